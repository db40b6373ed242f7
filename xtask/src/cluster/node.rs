//! A node: containerd, kubelet and kube-proxy in a network, mount and UTS namespace and cgroups of its own.

use std::convert::Infallible;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::network::{PODS, node_address, node_pods};
use super::pki::Pki;
use super::plane::Plane;
use super::process::{Process, look_after, wait};
use super::{NODE, cgroups, images};

/// Folders that a node has for itself, empty in the beginning. All that a node writes is in them.
const OWN: [&str; 3] = ["/run", "/var/lib", "/var/log"];
/// Settings of the kernel that a kubelet wants (pkg/kubelet/cm, "KernelTunables"). It finds them so, and leaves the
/// machine's own alone.
const TUNED: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// What a node needs to know.
#[derive(Args)]
pub struct NodeArgs {
    #[arg(long)]
    name: String,
    #[arg(long)]
    number: usize,
    /// Kubernetes' programs
    #[arg(long)]
    bin: PathBuf,
    /// The folder of certificates
    #[arg(long)]
    pki: PathBuf,
    /// The folder of the node
    #[arg(long)]
    dir: PathBuf,
    /// Archives to load
    #[arg(long)]
    image: Vec<PathBuf>,
}

/// A node that was started.
pub struct Node {
    pub name: String,
    process: Process,
}

impl Node {
    /// Starts node `number`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(plane: &Plane, number: usize, name: &str, images: &[PathBuf]) -> Result<Self> {
        let (run, pki) = (&plane.run, &plane.pki);
        let dir = run.dir().join(name);
        fs::create_dir(&dir)?;
        let (pods, system) = (run.cgroup(name), format!("{name}-system"));
        cgroups::make(&pods)?;
        cgroups::make(&run.cgroup(&system))?;
        write_settings(&dir, number, name, &pods, pki)?;

        let this = env::current_exe().context("cannot find xtask's own file")?;
        let mut command = run.command(Some(name), &system, &this)?;
        command.arg(NODE).args(["--name", name]);
        command.args(["--number", &number.to_string()]);
        command.arg("--bin").arg(&plane.bin);
        command.arg("--pki").arg(pki.folder());
        command.arg("--dir").arg(&dir);
        for image in images {
            command.arg("--image").arg(image);
        }
        let process = Process::start(&mut command, dir.join("node.log"))?;
        Ok(Self {
            name: name.into(),
            process,
        })
    }

    /// Waits until the node is Ready.
    ///
    /// # Errors
    /// When it does not get so.
    pub fn wait(&mut self, plane: &Plane) -> Result<()> {
        let node = format!("node/{}", self.name);
        wait(&node, std::slice::from_mut(&mut self.process), || {
            plane.kubectl(&["wait", "--for=condition=Ready", &node, "--timeout=5s"])
        })
    }

    /// A process in its namespaces, which lives as long as the node.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

fn write_settings(dir: &Path, number: usize, name: &str, cgroup: &str, pki: &Pki) -> Result<()> {
    let containerd = include_str!("texts/containerd.toml").replace("@sandbox@", &images::busybox());
    fs::write(dir.join("containerd.toml"), containerd)?;
    let kubelet = include_str!("texts/kubelet.yaml")
        .replace("@pki@", &pki.folder().to_string_lossy())
        .replace("@node@", name)
        .replace("@cgroup@", cgroup);
    fs::write(dir.join("kubelet.yaml"), kubelet)?;
    let cni = include_str!("texts/cni.conflist").replace("@subnet@", &node_pods(number));
    fs::write(dir.join("cni.conflist"), cni)?;
    Ok(())
}

/// Is the node: the process that [`Node::start`] starts.
///
/// # Errors
/// When something cannot be mounted or started, and when the kubelet ends.
pub fn be(args: &NodeArgs) -> Result<Infallible> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS).context("new namespaces")?;
    nix::unistd::sethostname(&args.name)?;
    mount_own(&args.dir)?;
    fs::create_dir_all("/run/cni")?;
    fs::copy(args.dir.join("cni.conflist"), "/run/cni/pods.conflist")?;

    let mut containerd = Command::new("containerd");
    containerd
        .arg("--config")
        .arg(args.dir.join("containerd.toml"));
    let mut processes = vec![args.start("containerd", &mut containerd)?];
    wait("containerd", &mut processes, || {
        Ok(ctr(&["version"])?.status.success())
    })?;
    for image in &args.image {
        let words = ["-n", "k8s.io", "images", "import", &image.to_string_lossy()];
        let output = ctr(&words)?;
        if !output.status.success() {
            bail!(
                "{}: {}",
                image.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    processes.push(args.start("kubelet", &mut args.kubelet())?);
    processes.push(args.start("proxy", &mut args.proxy())?);
    // Whoever waits for the node learns of its end, and why.
    loop {
        look_after(&args.name, &mut processes)?;
        thread::sleep(Duration::from_millis(200));
    }
}

impl NodeArgs {
    fn kubelet(&self) -> Command {
        let mut command = Command::new(self.bin.join("kubelet"));
        command
            .arg(format!(
                "--config={}",
                self.dir.join("kubelet.yaml").display()
            ))
            .arg(format!("--kubeconfig={}", self.kubeconfig(&self.name)))
            .arg(format!("--hostname-override={}", self.name))
            .arg(format!("--node-ip={}", node_address(self.number)));
        command
    }

    fn proxy(&self) -> Command {
        let mut command = Command::new(self.bin.join("kube-proxy"));
        command
            .arg(format!("--kubeconfig={}", self.kubeconfig("proxy")))
            .arg(format!("--hostname-override={}", self.name))
            .arg(format!("--bind-address={}", node_address(self.number)))
            .arg(format!("--cluster-cidr={PODS}"))
            .arg("--proxy-mode=iptables")
            // These would be settings of the whole machine.
            .arg("--conntrack-max-per-core=0")
            .arg("--conntrack-tcp-timeout-established=0")
            .arg("--conntrack-tcp-timeout-close-wait=0");
        command
    }

    fn kubeconfig(&self, user: &str) -> String {
        let file = format!("{user}.kubeconfig");
        self.pki.join(file).display().to_string()
    }

    fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        Process::start(command, self.dir.join(format!("{name}.log")))
    }
}

fn ctr(words: &[&str]) -> Result<std::process::Output> {
    Ok(Command::new("ctr").args(words).output()?)
}

/// Cuts the mounts off the machine's, and puts the node's own in place.
fn mount_own(dir: &Path) -> Result<()> {
    let nothing: Option<&str> = None;
    let change = |flags| mount(nothing, "/", nothing, flags | MsFlags::MS_REC, nothing);
    change(MsFlags::MS_PRIVATE).context("cannot make / private")?;
    // What a container asks to see of later mounts (HostToContainer) it sees of the node's.
    change(MsFlags::MS_SHARED).context("cannot make / shared")?;
    for (name, value) in TUNED {
        let to = Path::new("/proc/sys").join(name);
        if to.exists() {
            let from = dir.join(name.replace('/', "."));
            fs::write(&from, value)?;
            mount(Some(&from), &to, nothing, MsFlags::MS_BIND, nothing)
                .with_context(|| format!("cannot cover {}", to.display()))?;
        }
    }
    for folder in OWN {
        mount(
            Some("node"),
            folder,
            Some("tmpfs"),
            MsFlags::empty(),
            nothing,
        )
        .with_context(|| format!("cannot mount {folder}"))?;
    }
    Ok(())
}
