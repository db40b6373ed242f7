//! Experiments laid by hand, over a veth as the lower device and a tree of htb and tbf.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use netchaos::{
    kernel::{
        bpf::{self, Capacity, Classifier, Entry as _},
        netlink::{Hook, Link, Netlink, NewLink},
    },
    plan::tables::family_and_bytes,
};
use netchaos_common::abi::{Commit, Counter, Device, HostKey, Lane, Loss, Steer, Wants};
use netchaos_tests::{
    netns::Netns,
    probe::{class_packets, udp_round_trips_of},
};

pub const UPPER: &str = "upper";
pub const LOWER: &str = "lower";
/// One packet of [`BYTES`] takes 175 ms at this rate.
const SLOW: &str = "tbf rate 64kbit burst 1600 latency 10s";
pub const BYTES: usize = 1400;
pub const SLOWLY: Duration = Duration::from_millis(100);

/// An experiment, its slot being its place in the list.
#[derive(Clone, Copy)]
pub struct Experiment<'a> {
    /// Addresses.
    pub to: &'a [&'a str],
    pub out: bool,
    pub into: bool,
    /// As in [`Steer`].
    pub flags: u32,
    /// Whether its band is slow; else it lets packets pass at once.
    pub is_slow: bool,
    pub loss: Loss,
}

/// A slow band for what goes out to these addresses.
pub fn slow<'a>(to: &'a [&'a str]) -> Experiment<'a> {
    Experiment {
        to,
        out: true,
        into: false,
        flags: Steer::BAND,
        is_slow: true,
        loss: Loss::default(),
    }
}

/// The program loses a share of what goes out to these addresses.
pub fn loses<'a>(to: &'a [&'a str], share: u32) -> Experiment<'a> {
    Experiment {
        flags: 0,
        is_slow: false,
        loss: Loss {
            good: share,
            ..Loss::default()
        },
        ..slow(to)
    }
}

/// What was laid, for as long as it is there.
pub struct Rig<'n> {
    netns: &'n Netns,
    pub classifier: Classifier,
}

/// The class of an experiment's band, for the programs and for tc.
const fn class(slot: u32) -> u32 {
    0x4e43_0002 + slot
}

/// Lays experiments on a device.
pub fn lay<'n>(netns: &'n Netns, device: &str, experiments: &[Experiment<'_>]) -> Rig<'n> {
    let classifier = netns.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(lay_inside(device, experiments))
    });
    let class_of = |minor: usize| {
        format!("class add dev {UPPER} parent 4e43: classid 4e43:{minor:x} htb rate 10gbit")
    };
    let mut tree = vec![
        format!("qdisc add dev {UPPER} root handle 4e43: htb default 1"),
        class_of(1),
    ];
    for (slot, experiment) in experiments.iter().enumerate() {
        let minor = slot + 2;
        tree.push(class_of(minor));
        if experiment.is_slow {
            tree.push(format!(
                "qdisc add dev {UPPER} parent 4e43:{minor:x} {SLOW}"
            ));
        }
    }
    netns.tc_batch(&tree);
    // What cuts packets is the device that they go to next.
    netns.ip(&format!("link set {UPPER} gso_max_segs 1"));
    Rig { netns, classifier }
}

async fn lay_inside(device: &str, experiments: &[Experiment<'_>]) -> Classifier {
    let netlink = Netlink::connect().unwrap();
    let (lower, upper) = make_pair(&netlink).await;
    let device = link(&netlink, device).await;
    let mut classifier = load(&device, &lower, &upper, experiments);
    for link in [&lower, &device] {
        netlink.add_clsact(link.as_device()).await.unwrap();
    }
    let programs = &mut classifier.programs;
    let name = device.name.as_str();
    let handle = bpf::HANDLE;
    bpf::attach(programs.back().unwrap(), LOWER, Hook::Egress, handle).unwrap();
    bpf::attach(programs.egress().unwrap(), name, Hook::Egress, handle).unwrap();
    bpf::attach(programs.ingress().unwrap(), name, Hook::Ingress, handle).unwrap();
    classifier
}

async fn make_pair(netlink: &Netlink) -> (Link, Link) {
    let (address, other) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let veth = NewLink::Veth {
        peer: "far",
        peer_address: other,
    };
    netlink
        .add_link(LOWER, veth, address, 65_535, 1000)
        .await
        .unwrap();
    let lower = link(netlink, LOWER).await.index;
    let macvlan = NewLink::Macvlan { lower };
    netlink
        .add_link(UPPER, macvlan, [2, 0, 0, 0, 0, 3], 65_535, 1000)
        .await
        .unwrap();
    for name in ["far", LOWER, UPPER] {
        netlink.set_link_up(name).await.unwrap();
    }
    (link(netlink, LOWER).await, link(netlink, UPPER).await)
}

async fn link(netlink: &Netlink, name: &str) -> Link {
    let links = netlink.links().await.unwrap();
    links.into_iter().find(|link| link.name == name).unwrap()
}

fn load(device: &Link, lower: &Link, upper: &Link, experiments: &[Experiment<'_>]) -> Classifier {
    let capacity = Capacity {
        hosts: 64,
        prefixes: 2,
        chunks: 1,
        ports: false,
    };
    let mut classifier = Classifier::load(&capacity).unwrap();
    let maps = &mut classifier.maps;
    let on = Device {
        ifindex: device.index,
        layer3: device.is_layer3.into(),
    };
    maps.device.write(0, on).unwrap();
    let mut wants = BTreeMap::<HostKey, u64>::new();
    let (mut out, mut into) = (0, 0);
    for (slot, experiment) in (0_u32..).zip(experiments) {
        let lane = Lane {
            classid: class(slot),
            upper: upper.index,
        };
        let steer = Steer {
            ends: 0,
            out: lane,
            into: lane,
            lower: lower.index,
            flags: experiment.flags,
            loss: experiment.loss,
        };
        maps.steers.write(slot, steer).unwrap();
        out |= u64::from(experiment.out) << slot;
        into |= u64::from(experiment.into) << slot;
        for address in experiment.to.iter().collect::<BTreeSet<_>>() {
            let (family, address) = family_and_bytes(address.parse().unwrap());
            let key = HostKey {
                address,
                port: 0,
                family,
            };
            *wants.entry(key).or_default() |= 1 << slot;
        }
    }
    for (key, want) in wants {
        maps.put_host(&key, &Wants { want, except: 0 }).unwrap();
    }
    let commit = Commit {
        out,
        into,
        lookups: Commit::HOSTS,
        ..Commit::default()
    };
    maps.commits.write(0, commit).unwrap();
    classifier
}

impl Rig<'_> {
    /// Packets that a slot's band has let through, a GSO packet as those of the wire.
    pub fn band_packets(&self, slot: u32) -> u64 {
        self.class(class(slot) & 0xffff)
    }

    /// The same of the band that does nothing.
    pub fn clean_packets(&self) -> u64 {
        self.class(1)
    }

    fn class(&self, minor: u32) -> u64 {
        class_packets(self.netns, UPPER, &format!("4e43:{minor:x}"))
    }

    pub fn hits(&self, slot: u32, ingress: bool) -> Counter {
        self.classifier.maps.counter(slot, ingress).unwrap()
    }
}

pub fn slow_trips(from: &Netns, to: SocketAddr) {
    let trips = from.run(|| udp_round_trips_of(to, 4, BYTES));
    assert!(trips.median() >= SLOWLY, "{trips}");
}

/// A socket of either family, connected.
pub fn udp_to(to: SocketAddr) -> UdpSocket {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(to).unwrap();
    socket
}
