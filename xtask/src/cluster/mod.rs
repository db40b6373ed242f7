//! A real Kubernetes for the tests, on this machine's kernel: a control plane, and nodes in namespaces of their own.
//!
//! Nothing in it is ready-made: Kubernetes and etcd are built from their Go modules, containerd and runc are Debian's,
//! the images are made here. It has no way out, and leaves nothing behind. What it does not have: DNS, and a PID
//! namespace per node (`hostPID` shows the whole machine).

pub mod binaries;
mod cgroups;
mod images;
mod network;
mod node;
mod pki;
mod plane;
mod process;
mod run;

pub use node::{NodeArgs, be as be_node};

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::sched::{CloneFlags, setns};

use crate::dist::image;
use crate::setup::packages::SYSTEM_PATH;
use crate::test::runner::{self, RunnerArgs};
use crate::ui;
use node::Node;
use pki::Pki;
use plane::Plane;
use run::{Held, Run};

/// The hidden subcommands: a run of tests, a node, and whatever is started in a namespace.
pub const TESTS: &str = "cluster-tests";
pub const NODE: &str = "cluster-node";
pub const ENTER: &str = "cluster-enter";

/// Pods that a test makes itself, without a kubelet, are in cgroups below this one.
const PODS_CGROUP: &str = "pods";

/// What the cluster is made of, and which tests to run on it.
#[derive(Args)]
pub struct TestsArgs {
    /// Kubernetes' programs
    #[arg(long)]
    bin: PathBuf,
    /// How many nodes; 0 is a control plane without controllers and scheduler
    #[arg(long)]
    nodes: usize,
    /// A static busybox
    #[arg(long)]
    busybox: PathBuf,
    /// The archive of netchaos' image, for the nodes
    #[arg(long)]
    image: Option<PathBuf>,
    #[command(flatten)]
    runner: RunnerArgs,
}

/// What to enter before a program is run.
#[derive(Args)]
pub struct EnterArgs {
    #[arg(long)]
    cgroup: String,
    #[arg(long)]
    netns: PathBuf,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the command, in the cgroup and the namespace.
///
/// # Errors
/// When one of them cannot be entered, or there is no such program.
pub fn enter(args: &EnterArgs) -> Result<Infallible> {
    cgroups::join(&args.cgroup)?;
    let shown = args.netns.display();
    let netns = File::open(&args.netns).with_context(|| format!("cannot open {shown}"))?;
    setns(netns, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {shown}"))?;
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]).env("PATH", SYSTEM_PATH);
    Err(command.exec()).with_context(|| format!("cannot run {}", ui::shown(&command)))
}

/// Sets the cluster up, runs the tests and takes the cluster away. True when all tests succeeded.
///
/// # Errors
/// When the cluster does not stand, or does not go.
pub fn run_tests(args: &TestsArgs) -> Result<bool> {
    let cluster = Cluster::start(args)?;
    let succeeded = runner::run(&args.runner, &cluster.environment())?;
    let begin = Instant::now();
    cluster.end()?;
    ui::note(format_args!("taken away in {:.1?}", begin.elapsed()));
    Ok(succeeded)
}

struct Cluster {
    held: Held,
    plane: Plane,
    nodes: Vec<Node>,
}

impl Cluster {
    fn start(args: &TestsArgs) -> Result<Self> {
        let begin = Instant::now();
        let names: Vec<_> = (1..=args.nodes)
            .map(|number| format!("n{number}"))
            .collect();
        let (run, held) = Run::begin()?;
        cgroups::make(&run.cgroup(PODS_CGROUP))?;
        let pki = Pki::make(run.dir().join("pki"), &names)?;
        network::make(&run, &names)?;
        let plane = Plane::start(run, args.bin.clone(), pki, !names.is_empty())?;
        ui::note(format_args!(
            "the API server is ready after {:.1?}",
            begin.elapsed()
        ));
        let mut cluster = Self {
            held,
            plane,
            nodes: Vec::new(),
        };
        if !names.is_empty() {
            cluster.start_nodes(&names, args)?;
            let (names, took) = (names.join(", "), begin.elapsed());
            ui::note(format_args!("ready after {took:.1?}: {names}"));
        }
        for program in ["kubectl", "helm"] {
            cluster.wrap(program)?;
        }
        Ok(cluster)
    }

    fn start_nodes(&mut self, names: &[String], args: &TestsArgs) -> Result<()> {
        self.plane.start_controllers()?;
        let dir = self.plane.run.dir();
        let mut images = vec![images::write_busybox(&args.busybox, &dir)?];
        images.extend(args.image.clone());
        for (number, name) in names.iter().enumerate() {
            self.nodes
                .push(Node::start(&self.plane, number, name, &images)?);
        }
        for node in &mut self.nodes {
            node.wait(&self.plane)?;
        }
        self.plane.wait_for_controllers()
    }

    /// Writes a script that runs `program` in the cluster's network.
    fn wrap(&self, program: &str) -> Result<()> {
        let netns = self.plane.run.netns_path(None);
        let words = [
            "nsenter",
            &format!("--net={}", netns.display()),
            "--",
            &self.plane.bin.join(program).to_string_lossy(),
        ]
        .map(ui::quoted);
        let script = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
        let path = self.plane.run.dir().join(program);
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// What the tests are told: `tests/src/cluster/mod.rs` says what it means.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let dir = self.plane.run.dir();
        let pods = cgroups::folders(&self.plane.run.cgroup(PODS_CGROUP));
        let list = |paths: Vec<PathBuf>| {
            let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
            paths.join(":")
        };
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("{}={}", node.name, node.pid()))
            .collect();
        vec![
            ("KUBECONFIG", self.plane.pki.kubeconfig("admin").into()),
            ("KUBECTL", dir.join("kubectl").into()),
            ("HELM", dir.join("helm").into()),
            ("NETCHAOS_IMAGE", image::reference().into()),
            ("CLUSTER_NETNS", self.plane.run.netns_path(None).into()),
            ("CLUSTER_NODES", nodes.join(":").into()),
            ("CLUSTER_CGROUPS", list(pods).into()),
        ]
    }

    fn end(self) -> Result<()> {
        let name = self.plane.run.dir();
        drop(self.held);
        if name.exists() {
            bail!(
                "{} is still there: the reason is told above",
                name.display()
            );
        }
        Ok(())
    }
}

/// The words of a command that runs tests on a cluster; the first is xtask itself.
///
/// # Errors
/// When xtask's own file is not found.
pub fn command(
    bin: &Path,
    nodes: usize,
    busybox: &Path,
    image: Option<&Path>,
    runner: Vec<PathBuf>,
) -> Result<Vec<PathBuf>> {
    let this = std::env::current_exe().context("cannot find xtask's own file")?;
    let mut words: Vec<PathBuf> = vec![this, TESTS.into()];
    words.extend([
        "--bin".into(),
        bin.into(),
        "--busybox".into(),
        busybox.into(),
    ]);
    words.extend(["--nodes".into(), nodes.to_string().into()]);
    if let Some(image) = image {
        words.extend(["--image".into(), image.into()]);
    }
    words.extend(runner);
    Ok(words)
}
