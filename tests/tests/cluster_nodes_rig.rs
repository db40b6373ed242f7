//! What a user of the cluster sees of it and of a fault, from inside a pod and from a node.

use netchaos_tests::{
    kubernetes::{Peers, get, kubectl, on_node},
    netchaos::program,
};
use serde_json::json;

/// How many of five pings from one peer are answered by another.
#[track_caller]
fn answered(peers: &Peers, from: &str, to: &str) -> u32 {
    let to = peers.peer(to).address.to_string();
    let namespace = format!("--namespace={}", peers.namespace);
    let ping = ["ping", "-c", "5", "-i", "0.2", "-W", "1", &to];
    let done = kubectl(&[&["exec", from, &namespace, "--"], &ping[..]].concat());
    let counts = done
        .stdout
        .lines()
        .find_map(|line| line.split_once(" packets transmitted, "));
    let (sent, rest) = counts.unwrap_or_else(|| panic!("{done}"));
    assert_eq!(sent, "5", "{done}");
    let received = rest.split(' ').next().expect("a number");
    received.parse().unwrap_or_else(|_| panic!("{done}"))
}

#[test]
fn pods_and_nodes_see_a_fault_as_they_see_each_other() {
    let peers = Peers::on_nodes();
    let nodes = get(&["nodes"]);
    let nodes: Vec<_> = nodes["items"].as_array().expect("a list").iter().collect();
    assert_eq!(nodes.len(), 2, "{nodes:?}");
    for node in nodes {
        let name = node["metadata"]["name"].as_str().expect("a name");
        assert_eq!(on_node(name, &["hostname"]).ok().stdout.trim(), name);
        let own = node["status"]["addresses"][0]["address"]
            .as_str()
            .expect("an address");
        on_node(name, &["ip", "addr", "show", "dev", "eth0"])
            .ok()
            .says(&[own]);
    }
    // On one node, and from one to the other.
    for (from, to) in [("a", "c"), ("a", "b"), ("d", "a")] {
        assert_eq!(answered(&peers, from, to), 5, "{from} to {to}");
    }

    let selector = json!({"labelSelectors": {"peer": "a"}});
    let target = json!({"mode": "all", "selector": {"labelSelectors": {"peer": "b"}}});
    let cut = peers.chaos(
        "cut",
        &json!({"action": "partition", "mode": "all", "selector": selector, "target": target}),
    );
    cut.wait_until_injected(1);
    for (from, to, count) in [("a", "b", 0), ("b", "a", 0), ("a", "c", 5), ("d", "a", 5)] {
        assert_eq!(answered(&peers, from, to), count, "{from} to {to}");
    }
    // The command line on the pod's node finds what the agent has laid.
    let pod = format!("{}/a", peers.namespace);
    on_node("n1", &[&program(), "list", "--pod", &pod])
        .ok()
        .says(&["cut"]);
    cut.delete();
    assert_eq!(answered(&peers, "a", "b"), 5, "afterwards");
    peers.assert_nothing_left();
}
