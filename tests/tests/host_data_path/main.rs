//! The data path on a kernel that may have neither prio nor netem nor dummy: the same programs,
//! maps and laps, over a veth as the lower device and a tree of htb and tbf.

mod ingress;
mod loss;
mod rig;

use std::net::UdpSocket;

use netchaos_tests::{
    lab::{DEVICE, Lab, peer},
    probe::{class_packets, udp_round_trips, udp_round_trips_of},
};
use nix::sys::socket::{setsockopt, sockopt};

use rig::{BYTES, LOWER, lay, slow, slow_trips};

#[test]
fn a_target_goes_through_the_slow_band_and_others_do_not() {
    let lab = Lab::new();
    let rig = lay(&lab.client, DEVICE, &[slow(&["10.77.0.3", "fd77::3"])]);
    for target in ["10.77.0.3:7001", "[fd77::3]:7001"] {
        slow_trips(&lab.client, peer(target));
    }
    for other in ["10.77.0.2:7001", "[fd77::2]:7001"] {
        let trips = lab.client.run(|| udp_round_trips_of(peer(other), 4, BYTES));
        trips.assert_prompt(other);
    }
    assert_eq!(rig.band_packets(0), 8, "each packet once");
    assert_eq!(rig.clean_packets(), 0);
    let hits = rig.hits(0, false);
    assert_eq!((hits.packets, hits.segments, hits.dropped), (8, 8, 0));
}

#[test]
fn a_packet_of_two_experiments_does_a_lap_in_each() {
    let lab = Lab::new();
    let experiments = [
        slow(&["10.77.0.3", "10.77.0.4"]),
        slow(&["10.77.0.4", "10.77.0.5"]),
    ];
    let rig = lay(&lab.client, DEVICE, &experiments);
    for (target, count) in [
        ("10.77.0.3:7001", 3),
        ("10.77.0.4:7001", 5),
        ("10.77.0.5:7001", 7),
    ] {
        lab.client.run(|| udp_round_trips(peer(target), count));
    }
    assert_eq!(rig.band_packets(0), 3 + 5);
    assert_eq!(rig.band_packets(1), 5 + 7);
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
    let _rig = lay(
        &lab.client,
        DEVICE,
        &[slow(&["10.77.0.3"]), slow(&["10.77.0.3"])],
    );
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
    let _rig = lay(&lab.client, DEVICE, &[slow(&["10.77.0.3"])]);
    slow_trips(&lab.client, peer("10.77.0.3:7001"));
    lab.client.ip(&format!("link del {LOWER}"));
    let trips = lab
        .client
        .run(|| udp_round_trips_of(peer("10.77.0.3:7001"), 4, BYTES));
    trips.assert_prompt("without the pair");
}
