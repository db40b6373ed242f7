//! Real pods on real nodes.

use std::{fs, net::Ipv4Addr};

use serde_json::json;

use super::{
    BUSYBOX, apply, kubectl,
    peers::{Named, Peer, pod, pods_of},
};
use crate::netns::Netns;

/// Starts the peers, and waits until they are ready.
#[track_caller]
pub fn start(namespace: &str, named: &[Named]) -> Vec<Peer> {
    let container = json!({
        "name": "peer",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["httpd", "-f", "-p", "8080"],
    });
    let pods = named.iter().enumerate().map(|(number, named)| {
        let node = ["n1", "n2"][number % 2];
        pod(namespace, named, node, &container)
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods.collect::<Vec<_>>()});
    // The account that every pod has is made a moment after its namespace.
    super::wait_until("there is an account for pods", || {
        let done = kubectl(&["get", "serviceaccount", "default", "--namespace", namespace]);
        if done.status.success() {
            Ok(())
        } else {
            Err(done.to_string())
        }
    });
    apply(&list.to_string());
    let ready = [
        "wait",
        "pods",
        "--all",
        "--for=condition=Ready",
        "--timeout=60s",
    ];
    kubectl(&[&ready[..], &["--namespace", namespace]].concat()).ok();
    let peer = |(name, pod): (&'static str, serde_json::Value)| {
        let uid = pod["metadata"]["uid"]
            .as_str()
            .expect("every object has one");
        let address = pod["status"]["podIP"]
            .as_str()
            .expect("a pod that is ready has one");
        let address: Ipv4Addr = address.parse().expect("an IPv4 address");
        (name, address, Netns::of_process(name, process_of(uid)))
    };
    Peer::all(pods_of(namespace, named).into_iter().map(peer).collect())
}

/// A process of a pod: whichever has the pod's uid in the names of its cgroups.
#[track_caller]
fn process_of(uid: &str) -> u32 {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of_pod = |pid: &u32| {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup"));
        cgroups.is_ok_and(|cgroups| cgroups.contains(uid))
    };
    pids.find(of_pod)
        .unwrap_or_else(|| panic!("no process of the pod {uid}"))
}
