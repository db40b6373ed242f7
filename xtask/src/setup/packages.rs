//! The Debian packages with the programs that VMs and tests use.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::apt;
use crate::ctx::Ctx;

/// Where commands in the VM, and the tests, look for programs.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A package, and the program by which it is known to be installed.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// What a test, or a script in the VM, may call.
const NETWORK: [Tool; 9] = [
    tool("ip", "iproute2"),
    tool("tc", "iproute2"),
    tool("ping", "iputils-ping"),
    tool("iptables-legacy", "iptables"),
    tool("ipset", "ipset"),
    tool("iperf3", "iperf3"),
    tool("tcpdump", "tcpdump"),
    tool("python3", "python3"),
    tool("modprobe", "kmod"),
];

/// The container runtimes that tests start by hand: containerd with runc, and plugins for its
/// networks, on the host; Podman in the VM.
const RUNTIMES: [Tool; 4] = [
    tool("containerd", "containerd"),
    tool("runc", "runc"),
    tool("/usr/lib/cni/bridge", "containernetworking-plugins"),
    tool("podman", "podman"),
];

/// What boots the VM.
const MACHINE: [Tool; 2] = [
    tool("qemu-system-x86_64", "qemu-system-x86"),
    tool("dpkg-deb", "dpkg"),
];

/// What a node of a cluster is made of besides, in [`NETWORK`] too.
const NODE: [Tool; 2] = [tool("containerd", "containerd"), tool("runc", "runc")];

/// Where Debian puts the plugins that connect a pod.
const CNI: &str = "/usr/lib/cni/bridge";

const STATIC_BUSYBOX: &str = "busybox-static";

/// virtiofsd: QEMU's own until 7.2, the one in Rust after it.
const VIRTIOFSD: [&str; 3] = [
    "/usr/lib/qemu/virtiofsd",
    "/usr/libexec/virtiofsd",
    "/usr/lib/virtiofsd",
];

/// The programs that the VM harness calls on the host.
pub struct Programs {
    /// `qemu-system-x86_64`
    pub qemu: PathBuf,
    /// `virtiofsd`, of either kind
    pub virtiofsd: PathBuf,
    /// A statically linked busybox
    pub busybox: PathBuf,
}

fn missing(tools: &[Tool]) -> Vec<&'static str> {
    let mut packages: Vec<_> = tools
        .iter()
        .filter(|tool| find(tool.program).is_none())
        .map(|tool| tool.package)
        .collect();
    packages.dedup();
    packages
}

fn find(program: &str) -> Option<PathBuf> {
    which::which_in(program, Some(SYSTEM_PATH), "/").ok()
}

fn virtiofsd() -> Option<PathBuf> {
    VIRTIOFSD
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

/// A busybox that needs no library: one that names a dynamic loader is of no use in an initramfs.
fn static_busybox() -> Option<PathBuf> {
    let path = find("busybox")?;
    needs_no_library(&path)
        .is_ok_and(|alone| alone)
        .then_some(path)
}

/// True for a program that names no dynamic loader, glibc's or musl's.
///
/// # Errors
/// When the file cannot be read.
pub fn needs_no_library(program: &Path) -> std::io::Result<bool> {
    let bytes = std::fs::read(program)?;
    let names = |loader: &[u8]| bytes.windows(loader.len()).any(|window| window == loader);
    Ok(!names(b"/lib64/ld-linux") && !names(b"/lib/ld-"))
}

/// Installs musl's C compiler, for the crates that have C in them.
///
/// # Errors
/// Says what to install by hand.
pub fn musl_gcc(ctx: &Ctx) -> Result<()> {
    let _lock = ctx.lock("packages")?;
    match find("musl-gcc") {
        Some(_) => Ok(()),
        None => apt::install(&["musl-tools"]),
    }
}

/// Installs git, by which an earlier release is had.
///
/// # Errors
/// Says what to install by hand.
pub fn git(ctx: &Ctx) -> Result<()> {
    let _lock = ctx.lock("packages")?;
    match find("git") {
        Some(_) => Ok(()),
        None => apt::install(&["git"]),
    }
}

/// Installs what tests and the demonstration call: iproute2, ping, iptables and so on.
///
/// # Errors
/// Says what to install by hand.
pub fn network_tools(ctx: &Ctx) -> Result<()> {
    let _lock = ctx.lock("packages")?;
    let packages = missing(&NETWORK);
    if packages.is_empty() {
        Ok(())
    } else {
        apt::install(&packages)
    }
}

/// Installs the container runtimes that tests use, and the busybox that runs in their containers.
///
/// # Errors
/// Says what to install by hand.
pub fn container_runtimes(ctx: &Ctx) -> Result<()> {
    let _lock = ctx.lock("packages")?;
    let mut packages = missing(&RUNTIMES);
    if static_busybox().is_none() {
        packages.push(STATIC_BUSYBOX);
    }
    if packages.is_empty() {
        Ok(())
    } else {
        apt::install(&packages)
    }
}

/// Installs what the VM needs on the host, and what is called in it.
///
/// # Errors
/// Says what to install by hand.
pub fn vm_tools(ctx: &Ctx) -> Result<Programs> {
    let _lock = ctx.lock("packages")?;
    let mut packages = missing(&NETWORK);
    packages.extend(missing(&MACHINE));
    if virtiofsd().is_none() {
        packages.push(if apt::is_known("virtiofsd") {
            "virtiofsd"
        } else {
            "qemu-system-common"
        });
    }
    if static_busybox().is_none() {
        packages.push(STATIC_BUSYBOX);
    }
    if !packages.is_empty() {
        apt::install(&packages)?;
    }
    let nowhere = |what: &str| {
        format!("{what} is not where it was looked for, though its package is installed")
    };
    Ok(Programs {
        qemu: find("qemu-system-x86_64").with_context(|| nowhere("qemu-system-x86_64"))?,
        virtiofsd: virtiofsd().with_context(|| nowhere(&VIRTIOFSD.join(" or ")))?,
        busybox: static_busybox().with_context(|| nowhere("a static busybox"))?,
    })
}

/// Installs what the nodes of a cluster are made of. Gives back a static busybox, for their images.
///
/// # Errors
/// Says what to install by hand.
pub fn cluster_tools(ctx: &Ctx) -> Result<PathBuf> {
    let _lock = ctx.lock("packages")?;
    let mut packages = missing(&NETWORK);
    packages.extend(missing(&NODE));
    if !Path::new(CNI).exists() {
        packages.push("containernetworking-plugins");
    }
    if static_busybox().is_none() {
        packages.push("busybox-static");
    }
    if !packages.is_empty() {
        apt::install(&packages)?;
    }
    static_busybox().context("a static busybox is not there, though its package is installed")
}

/// True for the virtiofsd that came with QEMU, whose options differ from its successor's.
pub fn is_qemus_virtiofsd(path: &Path) -> bool {
    path == Path::new(VIRTIOFSD[0])
}
