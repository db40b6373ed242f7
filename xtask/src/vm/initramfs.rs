//! The small root file system that a VM starts in: a static busybox, the modules that are needed to mount the host's
//! root, and a script that does so.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use cpio::newc::Builder;

use crate::setup::kernels::Kernel;
use crate::ui::quoted;

/// What stands between the kernel and the host's root: PCI, the port to the host, virtiofs, the overlay on it.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_console", "virtiofs", "overlay"];

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;

/// Builds the initramfs for `kernel`. `init` is the program that goes on in the host's root, with its arguments.
///
/// # Errors
/// When the kernel lacks one of the modules, or a file cannot be read.
pub fn build(kernel: &Kernel, busybox: &Path, init: &[String]) -> Result<Vec<u8>> {
    let mut archive = Archive(Vec::new());
    for dir in ["bin", "dev", "lower", "modules", "root", "rw"] {
        archive.add(dir, S_IFDIR | 0o755, &[])?;
    }
    archive.add(
        "bin/busybox",
        S_IFREG | 0o755,
        &fs::read(busybox).context("busybox")?,
    )?;
    let mut loads = String::new();
    for path in load_order(kernel)? {
        let name = format!("modules/{}", module_name(&path));
        archive.add(
            &name,
            S_IFREG | 0o644,
            &read_module(&kernel.modules.join(&path), busybox)?,
        )?;
        loads.push_str(&format!("/bin/busybox insmod /{name}\n"));
    }
    archive.add("init", S_IFREG | 0o755, script(&loads, init).as_bytes())?;
    archive.finish()
}

/// PID 1 until the host's root is there. PID 1 itself must switch: the kernel's own threads share its root, and they
/// are who runs /sbin/modprobe.
fn script(loads: &str, init: &[String]) -> String {
    let init: Vec<String> = init.iter().map(|word| quoted(word)).collect();
    format!(
        "#!/bin/busybox sh
set -e
{loads}mount=\"/bin/busybox mount\"
$mount -t virtiofs -o ro root /lower
$mount -t tmpfs -o mode=755,size=80% rw /rw
/bin/busybox mkdir /rw/upper /rw/work
$mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work overlay /root
exec /bin/busybox switch_root /root {}
",
        init.join(" ")
    )
}

struct Archive(Vec<u8>);

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        let length = u32::try_from(content.len()).context("file too big for an initramfs")?;
        let links = if mode & S_IFDIR != 0 { 2 } else { 1 };
        let mut entry = Builder::new(name)
            .mode(mode)
            .nlink(links)
            .write(&mut self.0, length);
        entry.write_all(content)?;
        entry.finish()?;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        cpio::newc::trailer(&mut self.0)?;
        Ok(self.0)
    }
}

/// The files of `MODULES` and all that they depend on, in the order in which they are to be loaded.
fn load_order(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let read = |name: &str| {
        let path = kernel.modules.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    sort_modules(&read("modules.dep")?, &read("modules.builtin")?)
        .with_context(|| format!("kernel {} cannot mount the host's root", kernel.release))
}

/// In modules.dep(5) a module's line names all that it needs, directly or not, nearest first.
fn sort_modules(dep: &str, builtin: &str) -> Result<Vec<PathBuf>> {
    let lines: HashMap<String, Vec<&str>> = dep
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, needs)| {
            (
                module_name(path.as_ref()),
                [path].into_iter().chain(needs.split_whitespace()).collect(),
            )
        })
        .collect();
    let builtin: Vec<String> = builtin
        .lines()
        .map(|path| module_name(path.as_ref()))
        .collect();
    let mut order: Vec<PathBuf> = Vec::new();
    for name in MODULES {
        if builtin.iter().any(|builtin| builtin == name) {
            continue;
        }
        let Some(paths) = lines.get(name) else {
            bail!("it has no {name}");
        };
        for path in paths.iter().rev().map(PathBuf::from) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    Ok(order)
}

/// `kernel/drivers/virtio/virtio-pci.ko.xz` is `virtio_pci`.
fn module_name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().replace('-', "_")
}

/// A module's content; compressed ones are unpacked, since busybox's insmod may not know the format.
fn read_module(path: &Path, busybox: &Path) -> Result<Vec<u8>> {
    let mut command = match path.extension().and_then(|end| end.to_str()) {
        Some("xz") => applet(busybox, "xzcat"),
        Some("gz") => applet(busybox, "zcat"),
        Some("zst") => {
            let mut command = Command::new("zstd");
            command.arg("-dc");
            command
        }
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let output = command.arg(path).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot unpack {}", path.display()))?;
    if !output.status.success() {
        bail!("cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

fn applet(busybox: &Path, name: &str) -> Command {
    let mut command = Command::new(busybox);
    command.arg(name);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_after_what_they_need() {
        let dep = "kernel/fs/fuse/virtiofs.ko: kernel/fs/fuse/fuse.ko kernel/drivers/virtio/virtio.ko\n\
                   kernel/fs/overlayfs/overlay.ko.xz:\nkernel/drivers/virtio/virtio-pci.ko: kernel/drivers/virtio/virtio.ko\n";
        let order = sort_modules(dep, "kernel/drivers/char/virtio_console.ko\n").unwrap();
        let names: Vec<String> = order.iter().map(|path| module_name(path)).collect();
        assert_eq!(
            names,
            ["virtio", "virtio_pci", "fuse", "virtiofs", "overlay"]
        );
    }

    #[test]
    fn a_kernel_without_virtiofs_is_refused() {
        let error =
            sort_modules("kernel/virtio_pci.ko:\nkernel/virtio_console.ko:\n", "").unwrap_err();
        assert!(error.to_string().contains("virtiofs"), "{error}");
    }

    #[test]
    fn the_script_keeps_a_path_with_spaces_whole() {
        assert!(
            script("", &["/a b/xtask".into(), "guest-init".into()])
                .ends_with("/root '/a b/xtask' guest-init\n")
        );
    }
}
