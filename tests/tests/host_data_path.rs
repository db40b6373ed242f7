//! The data path on a kernel that may have neither prio nor netem nor dummy: the same programs,
//! maps and laps, over a veth as the lower device and a tree of htb and tbf.

use std::{
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
use netchaos_common::abi::{Commit, Device, HostKey, Steer, Wants};
use netchaos_tests::{
    lab::{DEVICE, Lab, peer},
    netns::Netns,
    probe::{class_packets, udp_round_trips, udp_round_trips_of},
};
use nix::sys::socket::{setsockopt, sockopt};

const UPPER: &str = "upper";
const LOWER: &str = "lower";
/// One packet of `BYTES` takes 175 ms at this rate.
const SLOW: &str = "tbf rate 64kbit burst 1600 latency 10s";
const BYTES: usize = 1400;
const SLOWLY: Duration = Duration::from_millis(100);

/// The class of an experiment's band, for the programs and for tc.
const fn class(slot: u32) -> u32 {
    0x4e43_0002 + slot
}

/// Lays one experiment per peer address, by hand: slot 0 is aimed at the first, and so on.
fn lay(client: &Netns, targets: &[&[&str]]) -> Classifier {
    let classifier = client.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let netlink = Netlink::connect().unwrap();
            let (device, upper) = make_devices(&netlink).await;
            let mut classifier = load(&device, &upper, targets);
            netlink
                .add_clsact(link(&netlink, LOWER).await.as_device())
                .await
                .unwrap();
            netlink.add_clsact(device.as_device()).await.unwrap();
            bpf::attach(
                classifier.programs.back().unwrap(),
                LOWER,
                Hook::Egress,
                bpf::HANDLE,
            )
            .unwrap();
            bpf::attach(
                classifier.programs.egress().unwrap(),
                DEVICE,
                Hook::Egress,
                bpf::HANDLE,
            )
            .unwrap();
            classifier
        })
    });
    let mut tree = vec![
        format!("qdisc add dev {UPPER} root handle 4e43: htb default 1"),
        format!("class add dev {UPPER} parent 4e43: classid 4e43:1 htb rate 10gbit"),
    ];
    for slot in 0..targets.len() {
        let minor = slot + 2;
        tree.push(format!(
            "class add dev {UPPER} parent 4e43: classid 4e43:{minor} htb rate 10gbit"
        ));
        tree.push(format!("qdisc add dev {UPPER} parent 4e43:{minor} {SLOW}"));
    }
    client.tc_batch(&tree);
    classifier
}

async fn make_devices(netlink: &Netlink) -> (Link, Link) {
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
    (link(netlink, DEVICE).await, link(netlink, UPPER).await)
}

async fn link(netlink: &Netlink, name: &str) -> Link {
    let links = netlink.links().await.unwrap();
    links.into_iter().find(|link| link.name == name).unwrap()
}

fn load(device: &Link, upper: &Link, targets: &[&[&str]]) -> Classifier {
    let capacity = Capacity {
        hosts: 64,
        prefixes: 2,
        chunks: 1,
    };
    let mut classifier = Classifier::load(&capacity).unwrap();
    let maps = &mut classifier.maps;
    let ifindex = device.index;
    maps.device.write(0, Device { ifindex, layer3: 0 }).unwrap();
    let mut wants = std::collections::BTreeMap::<HostKey, u64>::new();
    let mut live = 0;
    for (slot, addresses) in (0_u32..).zip(targets) {
        let steer = Steer {
            ends: 0,
            classid: class(slot),
            ifindex: upper.index,
        };
        maps.steers.write(slot, steer).unwrap();
        live |= 1 << slot;
        for address in *addresses {
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
        live,
        lookups: Commit::HOSTS,
        ..Commit::default()
    };
    maps.commits.write(0, commit).unwrap();
    classifier
}

fn packets(client: &Netns, slot: u32) -> u64 {
    class_packets(client, UPPER, &format!("4e43:{:x}", class(slot) & 0xffff))
}

fn slow_trips(client: &Netns, to: SocketAddr) {
    let trips = client.run(|| udp_round_trips_of(to, 4, BYTES));
    assert!(trips.median() >= SLOWLY, "{trips}");
}

#[test]
fn a_target_goes_through_the_slow_band_and_others_do_not() {
    let lab = Lab::new();
    let _classifier = lay(&lab.client, &[&["10.77.0.3", "fd77::3"]]);
    for target in ["10.77.0.3:7001", "[fd77::3]:7001"] {
        slow_trips(&lab.client, peer(target));
    }
    for other in ["10.77.0.2:7001", "[fd77::2]:7001"] {
        let trips = lab.client.run(|| udp_round_trips_of(peer(other), 4, BYTES));
        trips.assert_prompt(other);
    }
    assert_eq!(packets(&lab.client, 0), 8, "each packet once");
}

#[test]
fn a_packet_of_two_experiments_does_a_lap_in_each() {
    let lab = Lab::new();
    let _classifier = lay(
        &lab.client,
        &[&["10.77.0.3", "10.77.0.4"], &["10.77.0.4", "10.77.0.5"]],
    );
    for (target, count) in [
        ("10.77.0.3:7001", 3),
        ("10.77.0.4:7001", 5),
        ("10.77.0.5:7001", 7),
    ] {
        lab.client.run(|| udp_round_trips(peer(target), count));
    }
    assert_eq!(packets(&lab.client, 0), 3 + 5);
    assert_eq!(packets(&lab.client, 1), 5 + 7);
}

#[test]
fn priorities_are_what_they_were_when_packets_reach_the_device() {
    let lab = Lab::new();
    // Classes of the user's own, one chosen by a small priority (none: the default), one by a
    // large one.
    lab.client.tc_batch(&[
        format!("qdisc add dev {DEVICE} root handle 1: htb default 1"),
        format!("class add dev {DEVICE} parent 1: classid 1:1 htb rate 10gbit"),
        format!("class add dev {DEVICE} parent 1: classid 1:10 htb rate 10gbit"),
        format!("class add dev {DEVICE} parent 1: classid 1:20 htb rate 10gbit"),
    ]);
    let _classifier = lay(&lab.client, &[&["10.77.0.3"], &["10.77.0.3"]]);
    for (priority, count) in [(0x1_0010_u32, 3_u64), (0x1_0020, 5)] {
        lab.client.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect("10.77.0.3:7001").unwrap();
            setsockopt(&socket, sockopt::Priority, &(priority as i32)).unwrap();
            for _ in 0..count {
                socket.send(b"x").unwrap();
                let mut answer = [0; 16];
                socket.recv(&mut answer).unwrap();
            }
        });
        let class = format!("1:{:x}", priority & 0xffff);
        assert_eq!(
            class_packets(&lab.client, DEVICE, &class),
            count,
            "class {class}"
        );
    }
}

#[test]
fn where_the_pair_is_gone_packets_pass() {
    let lab = Lab::new();
    let _classifier = lay(&lab.client, &[&["10.77.0.3"]]);
    slow_trips(&lab.client, peer("10.77.0.3:7001"));
    lab.client.ip(&format!("link del {LOWER}"));
    let trips = lab
        .client
        .run(|| udp_round_trips_of(peer("10.77.0.3:7001"), 4, BYTES));
    trips.assert_prompt("without the pair");
}
