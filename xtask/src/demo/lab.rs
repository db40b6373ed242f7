//! A client, two targets and a bystander, each in a namespace of its own, with a router between them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::duty::Duty;
use crate::ui::quietly;

/// Where the faults are put.
pub const CLIENT: &str = "nclab-client";
const ROUTER: &str = "nclab-router";

/// Somebody whom the client talks to.
pub struct Peer {
    /// The name in the client's hosts file.
    pub name: &'static str,
    namespace: &'static str,
    subnet: u8,
}

/// The peers; the first is the manifest's target.
pub const PEERS: [Peer; 3] = [
    Peer {
        name: "target-one.lab",
        namespace: "nclab-one",
        subnet: 1,
    },
    Peer {
        name: "target-two.lab",
        namespace: "nclab-two",
        subnet: 2,
    },
    Peer {
        name: "bystander.lab",
        namespace: "nclab-other",
        subnet: 3,
    },
];

impl Peer {
    /// Its address.
    pub fn address(&self) -> String {
        format!("10.77.{}.2", self.subnet)
    }
}

/// The lab; gone when this is dropped, or when xtask is ended.
pub struct Lab {
    _removed: Duty,
}

impl Lab {
    /// Makes the lab, after removing what an earlier one that was killed may have left.
    ///
    /// # Errors
    /// With the command that failed.
    pub fn new() -> Result<Self> {
        remove();
        let lab = Self {
            _removed: Duty::new(remove),
        };
        namespace(ROUTER)?;
        set(ROUTER, "ipv4/ip_forward", "1")?;
        namespace(CLIENT)?;
        connect(CLIENT, 0)?;
        for peer in &PEERS {
            namespace(peer.namespace)?;
            connect(peer.namespace, peer.subnet)?;
        }
        write_hosts()?;
        Ok(lab)
    }
}

fn namespace(name: &str) -> Result<()> {
    ip(&format!("netns add {name}"))?;
    // Duplicate address detection changes what `ip addr` prints while it goes on.
    // Fails where there is no IPv6, and then nothing needs it.
    set(name, "ipv6/conf/default/accept_dad", "0").ok();
    ip(&format!("-n {name} link set lo up"))
}

/// sysctl(8) may not be installed.
fn set(namespace: &str, name: &str, value: &str) -> Result<()> {
    let script = format!("echo {value} > /proc/sys/net/{name}");
    quietly(Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", &script]))
}

/// A veth pair between `namespace` and the router, and the way to everybody else through it.
fn connect(namespace: &str, subnet: u8) -> Result<()> {
    let port = format!("to{subnet}");
    ip(&format!(
        "link add eth0 netns {namespace} type veth peer name {port} netns {ROUTER}"
    ))?;
    ip(&format!(
        "-n {ROUTER} addr add 10.77.{subnet}.1/24 dev {port}"
    ))?;
    ip(&format!("-n {ROUTER} link set {port} up"))?;
    ip(&format!(
        "-n {namespace} addr add 10.77.{subnet}.2/24 dev eth0"
    ))?;
    ip(&format!("-n {namespace} link set eth0 up"))?;
    ip(&format!(
        "-n {namespace} route add default via 10.77.{subnet}.1"
    ))
}

/// ip-netns(8) shows a namespace's own files in /etc/netns to its programs.
fn write_hosts() -> Result<()> {
    let dir = hosts_dir();
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let lines = PEERS
        .iter()
        .map(|peer| format!("{} {}\n", peer.address(), peer.name));
    let text = format!("127.0.0.1 localhost\n{}", lines.collect::<String>());
    fs::write(dir.join("hosts"), text).context("writing the client's hosts file")
}

fn hosts_dir() -> PathBuf {
    Path::new("/etc/netns").join(CLIENT)
}

/// Takes away what `new` makes, whatever of it is there.
fn remove() {
    let peers = PEERS.iter().map(|peer| peer.namespace);
    for namespace in [CLIENT, ROUTER].into_iter().chain(peers) {
        if Path::new("/run/netns").join(namespace).exists() {
            ip(&format!("netns del {namespace}")).ok();
        }
    }
    fs::remove_dir_all(hosts_dir()).ok();
    // Ours only if nobody else has anything in it.
    fs::remove_dir("/etc/netns").ok();
}

fn ip(words: &str) -> Result<()> {
    quietly(Command::new("ip").args(words.split(' ')))
}
