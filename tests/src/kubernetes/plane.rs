//! Pods where there is no kubelet: each an object, a namespace, and a process in cgroups that are named as a kubelet
//! names them.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::{Value, json};

use super::{
    Agent, BUSYBOX, apply, kubectl_with_input,
    peers::{Named, Peer, pod, pods_of},
    variable,
};
use crate::{netns::Netns, running::Running};

/// The node that the pods say they are on.
const NODE: &str = "plane";

/// What the pods are made of, and their node's agent.
pub struct Plane {
    pub agent: Agent,
    _processes: Vec<(Running, Cgroups)>,
    _switch: Netns,
}

impl Plane {
    #[track_caller]
    pub fn start(namespace: &str, pods: &[Named]) -> (Self, Vec<Peer>) {
        let container = json!({"name": "peer", "image": BUSYBOX});
        let mut objects = vec![json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE},
        })];
        objects.extend(
            pods.iter()
                .map(|named| pod(namespace, named, NODE, &container)),
        );
        apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());

        let switch = Netns::new("switch");
        switch.ip("link add br0 type bridge");
        switch.ip("link set br0 up");
        let (mut processes, mut peers, mut running) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (name, pod)) in pods_of(namespace, pods).into_iter().enumerate() {
            let address = Ipv4Addr::new(10, 244, 9, 10 + number as u8);
            let netns = connect(&switch, name, address);
            processes.push(process(&netns, &pod));
            running.push(runs_at(pod, address));
            peers.push((name, address, netns));
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": running}).to_string();
        kubectl_with_input(&["replace", "--subresource=status", "--filename=-"], &list).ok();
        let plane = Self {
            agent: Agent::start(NODE),
            _processes: processes,
            _switch: switch,
        };
        (plane, Peer::all(peers))
    }
}

/// A namespace with an eth0 that is plugged into the switch.
pub(super) fn connect(switch: &Netns, name: &str, address: Ipv4Addr) -> Netns {
    let netns = Netns::new(name);
    let (own, port) = (netns.name(), format!("to-{name}"));
    switch.ip(&format!(
        "link add {port} type veth peer name eth0 netns {own}"
    ));
    switch.ip(&format!("link set {port} master br0 up"));
    netns.ip("link set lo up");
    netns.ip(&format!("addr add {address}/24 dev eth0"));
    netns.ip("link set eth0 up");
    netns
}

/// The pod as a kubelet tells of it once it runs.
pub(super) fn runs_at(mut pod: Value, address: Ipv4Addr) -> Value {
    let ready = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .map(|kind| json!({"type": kind, "status": "True"}));
    pod["status"] = json!({
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": ready,
    });
    pod
}

/// Starts the process that is the pod's sandbox.
pub(super) fn process(netns: &Netns, pod: &Value) -> (Running, Cgroups) {
    held(netns.run(sleep), pod)
}

/// A program that does nothing, in the calling thread's namespace.
pub(super) fn sleep() -> Child {
    Command::new("sleep")
        .arg("2147483647")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("sleep is there")
}

/// Makes a process the pod's.
pub(super) fn held(child: Child, pod: &Value) -> (Running, Cgroups) {
    let uid = pod["metadata"]["uid"]
        .as_str()
        .expect("every object has one");
    // The id of a container: 64 hexadecimal digits.
    let container = format!("{:0>64}", uid.replace('-', ""));
    let path = format!("kubepods/besteffort/pod{uid}/{container}");
    let cgroups = Cgroups::of(Path::new(&path));
    cgroups.take(child.id());
    (Running::new(child), cgroups)
}

/// A cgroup in every hierarchy, gone when dropped.
pub(super) struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    fn of(path: &Path) -> Self {
        let tops = variable("CLUSTER_CGROUPS");
        let folders: Vec<_> = tops
            .split(':')
            .map(|top| Path::new(top).join(path))
            .collect();
        for folder in &folders {
            fs::create_dir_all(folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
        Self(folders)
    }

    fn take(&self, pid: u32) {
        for folder in &self.0 {
            fs::write(folder.join("cgroup.procs"), pid.to_string())
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // The container's and the pod's; the rest goes with the cluster.
        for folder in &self.0 {
            for folder in folder.ancestors().take(2) {
                let gone = fs::remove_dir(folder);
                assert!(
                    gone.is_ok() || thread::panicking(),
                    "{}: {gone:?}",
                    folder.display()
                );
            }
        }
    }
}
