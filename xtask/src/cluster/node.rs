//! A node: containerd, kubelet and kube-proxy in a network, mount and UTS namespace and cgroups of its own.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::network::{PODS, node_address, node_pods};
use super::pki::Pki;
use super::run::Run;
use super::{NODE, cgroups, images};

/// Longer than nodes take on a machine that others use too: four seconds on an idle one.
const BOUND: Duration = Duration::from_secs(180);
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

/// Starts node `number`; its process is in its namespaces, and ends with the node.
///
/// # Errors
/// When it cannot be started.
pub fn start(
    run: &Run,
    bin: &Path,
    pki: &Pki,
    (number, name): (usize, &str),
    images: &[PathBuf],
) -> Result<Child> {
    let dir = run.dir().join(name);
    fs::create_dir(&dir)?;
    let cgroup = run.cgroup(name);
    cgroups::make(&cgroup)?;
    let system = format!("{name}-system");
    cgroups::make(&run.cgroup(&system))?;
    write_settings(&dir, number, name, &cgroup, pki)?;

    let this = env::current_exe().context("cannot find xtask's own file")?;
    let mut command = run.command(Some(name), &system, &this)?;
    command.arg(NODE).args(["--name", name]);
    command
        .args(["--number", &number.to_string(), "--bin"])
        .arg(bin);
    command
        .arg("--pki")
        .arg(pki.file(""))
        .arg("--dir")
        .arg(&dir);
    for image in images {
        command.arg("--image").arg(image);
    }
    run.start(name, &mut command)
}

fn write_settings(dir: &Path, number: usize, name: &str, cgroup: &str, pki: &Pki) -> Result<()> {
    let containerd = include_str!("texts/containerd.toml").replace("@sandbox@", images::BUSYBOX);
    fs::write(dir.join("containerd.toml"), containerd)?;
    let kubelet = include_str!("texts/kubelet.yaml")
        .replace(
            "@pki@",
            pki.file("").to_string_lossy().trim_end_matches('/'),
        )
        .replace("@node@", name)
        .replace("@cgroup@", cgroup);
    fs::write(dir.join("kubelet.yaml"), kubelet)?;
    let cni = include_str!("texts/cni.conflist").replace("@subnet@", &node_pods(number));
    fs::write(dir.join("cni.conflist"), cni)?;
    Ok(())
}

/// Waits until the node is Ready.
///
/// # Errors
/// When it does not get so, with the end of its logs.
pub fn wait(run: &Run, bin: &Path, pki: &Pki, name: &str) -> Result<()> {
    let logs = ["containerd", "kubelet"].map(|program| format!("{name}/{program}"));
    let logs = [name, &logs[0], &logs[1]];
    let node = format!("node/{name}");
    run.wait(&format!("{name} gets ready"), BOUND, &logs, || {
        let args = ["wait", "--for=condition=Ready", &node, "--timeout=5s"];
        super::plane::kubectl(run, bin, pki, &args)
    })
}

/// Is the node: the process that [`start`] starts.
///
/// # Errors
/// When something cannot be mounted or started, and when the kubelet ends.
pub fn be(args: &NodeArgs) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS).context("new namespaces")?;
    nix::unistd::sethostname(&args.name)?;
    mount_own(&args.dir)?;
    fs::create_dir_all("/run/cni")?;
    fs::copy(args.dir.join("cni.conflist"), "/run/cni/pods.conflist")?;

    let mut containerd = Command::new("containerd");
    containerd
        .arg("--config")
        .arg(args.dir.join("containerd.toml"));
    args.start("containerd", &mut containerd)?;
    let begin = Instant::now();
    while !ctr(&["version"]).is_ok_and(|output| output.status.success()) {
        if begin.elapsed() > BOUND {
            bail!("containerd does not answer");
        }
        thread::sleep(Duration::from_millis(50));
    }
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
    args.start("proxy", &mut args.proxy())?;
    let status = args.start("kubelet", &mut args.kubelet())?.wait()?;
    bail!("kubelet: {status}")
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

    fn start(&self, name: &str, command: &mut Command) -> Result<Child> {
        let log = File::create(self.dir.join(format!("{name}.log")))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))
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
