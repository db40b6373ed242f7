//! The cluster's network: a switch in the control plane's namespace, a cable from it to each node. No way out.

use std::process::Command;

use anyhow::Result;

use super::run::Run;
use crate::ui::quietly;

/// The control plane's address.
pub const SERVER: &str = "10.77.0.10";
/// The API server's address as a service: the first of [`SERVICES`].
pub const SERVICE: &str = "10.96.0.1";
/// Addresses of services.
pub const SERVICES: &str = "10.96.0.0/16";
/// Addresses of pods on all nodes.
pub const PODS: &str = "10.244.0.0/16";

/// The address of the node with this number, counted from 0.
pub fn node_address(number: usize) -> String {
    format!("10.77.0.{}", 11 + number)
}

/// The addresses of the pods on it.
pub fn node_pods(number: usize) -> String {
    format!("10.244.{}.0/24", number + 1)
}

/// Makes the namespaces and connects them.
///
/// # Errors
/// With the command that failed.
pub fn make(run: &Run, nodes: &[String]) -> Result<()> {
    let plane = run.netns(None);
    namespace(&plane)?;
    ip(&format!("-n {plane} link add br0 type bridge"))?;
    ip(&format!("-n {plane} addr add {SERVER}/24 dev br0"))?;
    ip(&format!("-n {plane} link set br0 up"))?;
    for (number, node) in nodes.iter().enumerate() {
        let netns = run.netns(Some(node));
        namespace(&netns)?;
        ip(&format!(
            "-n {plane} link add {node} type veth peer name eth0 netns {netns}"
        ))?;
        ip(&format!("-n {plane} link set {node} master br0 up"))?;
        let address = node_address(number);
        ip(&format!("-n {netns} addr add {address}/24 dev eth0"))?;
        ip(&format!("-n {netns} link set eth0 up"))?;
        ip(&format!("-n {netns} route add default via {SERVER}"))?;
    }
    for (number, _) in nodes.iter().enumerate() {
        let way = format!("{} via {}", node_pods(number), node_address(number));
        ip(&format!("-n {plane} route add {way}"))?;
        for (_, other) in nodes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number)
        {
            let netns = run.netns(Some(other));
            ip(&format!("-n {netns} route add {way}"))?;
        }
    }
    Ok(())
}

fn namespace(name: &str) -> Result<()> {
    ip(&format!("netns add {name}"))?;
    ip(&format!("-n {name} link set lo up"))?;
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    ip_words(&["netns", "exec", name, "sh", "-c", forward])
}

fn ip(words: &str) -> Result<()> {
    ip_words(&words.split(' ').collect::<Vec<_>>())
}

fn ip_words(words: &[&str]) -> Result<()> {
    quietly(Command::new("ip").args(words))
}
