//! Pods that send to each other: four peers, mostly.

use std::{
    net::Ipv4Addr,
    process::id,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use serde_json::{Value, json};

use super::{Chaos, get, kubectl, plane::Plane, pods, variable};
use crate::{
    netns::Netns,
    probe::each_to_each,
    snapshot::Snapshot,
    statistics::{Chain, assert_share},
};

/// The names of the four.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Datagrams from each to each other: enough to tell a loss of 40 % from one of 55 %.
const COUNT: u64 = 1500;

/// The name of a pod that is to be made, and its labels.
pub type Named = (&'static str, Value);

/// The four. `c` and `d` have the label `role: store`; the label `peer` of each is its name.
fn four() -> [Named; 4] {
    NAMES.map(|name| {
        let role = if ["c", "d"].contains(&name) {
            "store"
        } else {
            "client"
        };
        (name, json!({"peer": name, "role": role}))
    })
}

/// A pod, seen from outside.
pub struct Peer {
    pub name: &'static str,
    pub address: Ipv4Addr,
    pub netns: Netns,
    /// What its namespace is without netchaos.
    before: Snapshot,
}

impl Peer {
    /// Waits, for all at the same time, until nothing changes in them any more.
    pub(super) fn all(pods: Vec<(&'static str, Ipv4Addr, Netns)>) -> Vec<Self> {
        thread::scope(|scope| {
            let rest = |(name, address, netns): (_, _, Netns)| {
                scope.spawn(move || {
                    let before = Snapshot::at_rest(&netns);
                    Self {
                        name,
                        address,
                        netns,
                        before,
                    }
                })
            };
            let threads: Vec<_> = pods.into_iter().map(rest).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, Self>| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        })
    }
}

/// The peers, in one Kubernetes namespace.
pub struct Peers {
    pub namespace: String,
    // Dropped in this order: names of namespaces before what is in them.
    pub peers: Vec<Peer>,
    /// Without nodes: the agent, and what the pods are made of.
    pub plane: Option<Plane>,
}

impl Peers {
    /// Four pods beside a control plane alone, as [`Self::these_on_plane`] makes them, in a Kubernetes namespace of
    /// their own.
    ///
    /// # Panics
    /// When they cannot be made.
    #[track_caller]
    pub fn on_plane() -> Self {
        Self::these_on_plane(&new_namespace(), &four())
    }

    /// Pods beside a control plane alone: processes in cgroups and namespaces, as a kubelet would have made them; and
    /// an agent for their node.
    ///
    /// # Panics
    /// When they cannot be made, such as when the Kubernetes namespace is not there.
    #[track_caller]
    pub fn these_on_plane(namespace: &str, pods: &[Named]) -> Self {
        let (plane, peers) = Plane::start(namespace, pods);
        Self {
            namespace: namespace.to_owned(),
            peers,
            plane: Some(plane),
        }
    }

    /// Real pods, `a` and `c` on one node, `b` and `d` on the other, which have netchaos installed.
    ///
    /// # Panics
    /// When they do not get ready.
    #[track_caller]
    pub fn on_nodes() -> Self {
        super::install();
        let namespace = new_namespace();
        let peers = pods::start(&namespace, &four());
        Self {
            namespace,
            peers,
            plane: None,
        }
    }

    /// Applies a NetworkChaos in the peers' own Kubernetes namespace.
    ///
    /// # Panics
    /// When the API server refuses it.
    #[track_caller]
    pub fn chaos(&self, name: &str, spec: &Value) -> Chaos {
        Chaos::apply(&self.namespace, name, spec)
    }

    /// # Panics
    /// When there is none.
    pub fn peer(&self, name: &str) -> &Peer {
        let peer = self.peers.iter().find(|peer| peer.name == name);
        peer.unwrap_or_else(|| panic!("no peer {name}"))
    }

    /// Sends from each to each other, and asserts which share is lost on which way (`a->b`); on all others nothing is.
    ///
    /// # Panics
    /// When it is otherwise. By chance: for a share of neither 0 nor 1, as [`assert_share`] says.
    #[track_caller]
    pub fn assert_lost(&self, what: &str, lost: &[(&str, f64)]) {
        let all: Vec<_> = self
            .peers
            .iter()
            .map(|peer| (&peer.netns, peer.address))
            .collect();
        let arrived = each_to_each(&all, COUNT);
        let ways =
            |from: usize, to: usize| format!("{}->{}", self.peers[from].name, self.peers[to].name);
        let number = all.len();
        for (way, _) in lost {
            let is_way = (0..number * number).any(|at| ways(at / number, at % number) == *way);
            assert!(is_way, "{way} is no way");
        }
        let mut wrong = String::new();
        for (from, row) in arrived.iter().enumerate() {
            for (to, count) in row.iter().enumerate().filter(|(to, _)| *to != from) {
                let way = ways(from, to);
                let share = lost
                    .iter()
                    .find(|(lossy, _)| *lossy == way)
                    .map_or(0.0, |(_, share)| *share);
                if share > 0.0 && share < 1.0 {
                    assert_share(
                        &format!("{what}: {way}"),
                        COUNT - count,
                        COUNT,
                        &Chain::random(share),
                    );
                } else if (*count == 0) != (share == 1.0) || (share == 0.0 && *count != COUNT) {
                    wrong +=
                        &format!("\n{way}: {count} of {COUNT} arrived, {share} was to be lost");
                }
            }
        }
        assert!(wrong.is_empty(), "{what}:{wrong}\n{}", self.told());
    }

    /// What the API server has about it, for who reads of a failure.
    fn told(&self) -> String {
        get(&["networkchaos", "--namespace", &self.namespace]).to_string()
    }

    /// # Panics
    /// When the namespace of a peer prints something else than before.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        for peer in &self.peers {
            Snapshot::of(&peer.netns).assert_same_as(&peer.before);
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Pods of nodes go by themselves; the others have nobody who would wait for their processes.
        let args = [
            "delete",
            "pods",
            "--all",
            "--force",
            "--grace-period=0",
            "--wait=false",
        ];
        kubectl(&[&args[..], &["--namespace", &self.namespace]].concat());
    }
}

/// A Kubernetes namespace of the test's own.
pub(super) fn new_namespace() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    // Where there is no cluster that is said first.
    variable("KUBECTL");
    let name = format!("peers-{}-{}", id(), MADE.fetch_add(1, Ordering::Relaxed));
    kubectl(&["create", "namespace", &name]).ok();
    name
}

/// The pod of a peer, on this node and with this one container.
pub(super) fn pod(namespace: &str, (name, labels): &Named, node: &str, container: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        },
    })
}

/// Pods by their names, once all of them are there, in this order.
#[track_caller]
pub(super) fn pods_of(namespace: &str, named: &[Named]) -> Vec<(&'static str, Value)> {
    let pods = get(&["pods", "--namespace", namespace]);
    let pod = |name: &'static str| {
        let items = pods["items"].as_array().expect("a list");
        let pod = items.iter().find(|pod| pod["metadata"]["name"] == name);
        (
            name,
            pod.unwrap_or_else(|| panic!("no pod {name}: {pods}"))
                .clone(),
        )
    };
    named.iter().map(|(name, _)| pod(name)).collect()
}
