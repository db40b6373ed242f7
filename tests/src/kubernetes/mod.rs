//! The cluster that `cargo xtask test cluster` has started. Tests in `cluster_plane_*.rs` find a control plane without
//! controllers, scheduler and nodes; what they need of nodes and pods they make themselves. Those in `cluster_vm_*.rs` find
//! the same in a VM, whose kernel has netem. Those in `cluster_nodes_*.rs` find nodes, `n1` and `n2`.
//!
//! What a test is told (xtask/src/cluster/mod.rs) is in its environment:
//!
//! | Variable | What it is |
//! |---|---|
//! | `KUBECTL`, `HELM` | programs that are run in the cluster's network |
//! | `KUBECONFIG` | how to be an administrator there |
//! | `NETCHAOS_IMAGE` | what netchaos' image is called on the nodes |
//! | `CLUSTER_NETNS` | the path of the control plane's network namespace |
//! | `CLUSTER_CGROUPS` | folders, separated by colons: a cgroup of the test's own in each hierarchy |
//! | `CLUSTER_NODES` | `NAME=PID`, separated by colons: a process in the node's network, mount and UTS namespace |

mod agent;
mod cast;
mod chaos;
mod peers;
mod plane;
mod pods;
mod proxy;
pub mod scenarios;

use std::{
    env,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use self::peers::new_namespace;
pub use self::{
    agent::{Agent, install},
    cast::{Cast, Place, node},
    chaos::Chaos,
    peers::{Peer, Peers},
    proxy::{Proxy, Way},
};
use crate::command::{Done, run, run_with_input};

/// An image with busybox that is on every node.
pub const BUSYBOX: &str = "docker.io/local/busybox:1";

/// The value of a variable that the cluster's stage sets.
///
/// # Panics
/// When it is not set: without a cluster the test has failed.
#[track_caller]
pub fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set; `cargo xtask test cluster` starts a cluster and sets it")
    })
}

/// Runs `kubectl ARGS` in the cluster's network.
///
/// # Panics
/// When there is no cluster, or kubectl does not end.
#[track_caller]
pub fn kubectl(args: &[&str]) -> Done {
    kubectl_with_input(args, "")
}

/// As [`kubectl`], with a text on its stdin.
///
/// # Panics
/// As [`kubectl`].
#[track_caller]
pub fn kubectl_with_input(args: &[&str], input: &str) -> Done {
    run_with_input(&variable("KUBECTL"), args, input)
}

/// Runs `helm ARGS` in the cluster's network.
///
/// # Panics
/// As [`kubectl`].
#[track_caller]
pub fn helm(args: &[&str]) -> Done {
    run_with_input(&variable("HELM"), args, "")
}

/// Makes the objects of a manifest what it says.
///
/// # Panics
/// When the API server refuses one.
#[track_caller]
pub fn apply(manifest: &str) {
    // A CRD is too large for the annotation of a client-side apply.
    kubectl_with_input(&["apply", "--server-side", "--filename=-"], manifest).ok();
}

/// An object, or a list of them, as `kubectl get ARGS` has it.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn get(args: &[&str]) -> serde_json::Value {
    kubectl(&[&["get", "--output=json"], args].concat())
        .ok()
        .json()
}

/// Runs a program on a node: in its network, with its mounts and its name.
///
/// # Panics
/// When there is no such node.
#[track_caller]
pub fn on_node(node: &str, args: &[&str]) -> Done {
    let nodes = variable("CLUSTER_NODES");
    let of_node = |entry: &str| Some(entry.strip_prefix(node)?.strip_prefix('=')?.to_owned());
    let pid = nodes
        .split(':')
        .find_map(of_node)
        .unwrap_or_else(|| panic!("no node {node} in {nodes:?}"));
    let enter = ["--target", &pid, "--net", "--mount", "--uts", "--"];
    run("nsenter", &[&enter, args].concat())
}

/// A file or folder of `deploy/`.
pub fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name)
}

/// The manifest `examples/kubernetes/NAME.yaml`.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/kubernetes")
        .join(name)
        .with_extension("yaml")
}

/// Waits until `what` happens to be so; `look` gives back what there is as long as it is not.
///
/// # Panics
/// When it is not within half a minute.
#[track_caller]
pub fn wait_until(what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let begin = Instant::now();
    while let Err(is) = look() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not so: {is}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A hundred times what anything takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);
