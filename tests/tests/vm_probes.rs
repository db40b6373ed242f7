//! The measurements themselves, against tc(8)'s own netem at the device's root: they have to see
//! what is there, and to fail when it is not as asked.

use std::{
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
};

use netchaos_tests::{
    lab::{DEVICE, Lab, PORT, ms, peer},
    probe::{
        Flow, Options, RoundTrips, arp_round_trips, assert_delayed, assert_prompt, assert_silent,
        class_packets, device, filter_packets, neighbour_discovery_round_trips, netem_queue,
        ping_round_trips, tcp_connects, tcp_transfer, udp, udp_round_trips,
    },
    requires::{DELAY, Need, can_run},
    snapshot::Snapshot,
};

fn lab(more: &[Need]) -> Option<Lab> {
    can_run(&[DELAY, more].concat()).then(Lab::new)
}

/// Without the harness' words: this panic is expected.
fn fails(check: impl FnOnce()) -> bool {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let failed = catch_unwind(AssertUnwindSafe(check)).is_err();
    set_hook(hook);
    failed
}

/// Round trips to an address, from the calling thread's namespace.
type Probe = fn(SocketAddr) -> RoundTrips;

#[test]
fn every_kind_of_round_trip_is_prompt_without_a_fault_and_sees_netem() {
    let Some(lab) = lab(&[]) else {
        return;
    };
    let (v4, v6) = (peer("10.77.0.3"), peer("fd77::3"));
    let inside = |probe: Probe, to| lab.client.run(|| probe(to));
    let probes: [(&str, Probe, SocketAddr); 8] = [
        ("UDP", |to| udp_round_trips(to, 7), v4),
        ("UDP over IPv6", |to| udp_round_trips(to, 7), v6),
        ("TCP", |to| tcp_connects(to, 7), v4),
        ("TCP over IPv6", |to| tcp_connects(to, 7), v6),
        ("ping", |to| ping_round_trips(to.ip(), 7), v4),
        ("ping -6", |to| ping_round_trips(to.ip(), 7), v6),
        ("ARP", |to| arp(to.ip()), v4),
        ("neighbour discovery", |to| discovery(to.ip()), v6),
    ];
    for (what, probe, to) in probes {
        let measure = || inside(probe, to);
        assert_prompt(what, measure);
        assert!(fails(|| measure().assert_delayed(what, ms(1000))));
        lab.client.tc("qdisc add dev eth0 root netem delay 100ms");
        assert_delayed(what, ms(100), measure);
        assert!(fails(|| measure().assert_prompt(what)));
        lab.client.tc("qdisc del dev eth0 root");
    }
    lab.client.tc("qdisc add dev eth0 root netem loss 100%");
    let lost = lab.round_trips("10.77.0.3", 1);
    assert!(fails(|| lost.assert_prompt("a lost round trip")));
}

fn arp(target: IpAddr) -> RoundTrips {
    let IpAddr::V4(target) = target else {
        panic!("ARP is IPv4's")
    };
    arp_round_trips(DEVICE, [10, 77, 0, 1].into(), target, 7)
}

fn discovery(target: IpAddr) -> RoundTrips {
    let IpAddr::V6(target) = target else {
        panic!("neighbour discovery is IPv6's")
    };
    neighbour_discovery_round_trips(DEVICE, target, 7)
}

#[test]
fn a_tcp_transfer_brings_every_byte_back() {
    let Some(lab) = lab(&[]) else {
        return;
    };
    let took = lab
        .client
        .run(|| tcp_transfer(peer("10.77.0.5:7002"), 1 << 20));
    eprintln!("1 MB there and back in {took:?}");
}

#[test]
fn a_flow_tells_delay_loss_order_and_queue() {
    let Some(lab) = lab(&[]) else {
        return;
    };
    let flow = |count, rate| {
        Flow::start(
            &lab.client,
            &lab.peer,
            peer("10.77.0.3:6000"),
            Options::new(count, rate),
        )
    };
    let clean = flow(2000, Some(2000)).finish(ms(1000));
    eprintln!("clean: {clean}");
    clean.assert_whole("clean");
    clean.assert_in_order("clean");
    assert!(clean.median() < ms(20), "{clean}");

    lab.client
        .tc("qdisc add dev eth0 root netem delay 300ms limit 100000");
    let slow = flow(4000, Some(4000));
    // Where the sender gets no processor for a while, the queue is short.
    let queue = (0..10).map(|_| {
        std::thread::sleep(ms(100));
        netem_queue(&lab.client)
    });
    let queue = queue.max().expect("ten of them");
    let slow = slow.finish(ms(1000));
    eprintln!(
        "slow: {slow}, {} under way, {queue} in the queue",
        slow.most_under_way()
    );
    slow.assert_whole("slow");
    slow.assert_in_order("slow");
    assert!(slow.shortest() >= ms(300), "{slow}");
    assert!(slow.most_under_way() >= 600, "{slow}");
    assert!(queue >= 300, "{queue}");

    lab.client
        .tc("qdisc change dev eth0 root netem delay 20ms 19ms limit 100000");
    let jitter = flow(500, Some(2000)).finish(ms(1000));
    jitter.assert_whole("jitter");
    assert!(fails(|| jitter.assert_in_order("jitter")));

    lab.client
        .tc("qdisc change dev eth0 root netem loss 20% delay 0ms");
    let lossy = flow(500, Some(2000)).finish(ms(1000));
    assert!(fails(|| lossy.assert_whole("loss")));

    lab.client
        .tc("qdisc change dev eth0 root netem loss 0% duplicate 20%");
    let double = flow(500, Some(2000)).finish(ms(1000));
    assert!(fails(|| double.assert_whole("duplicate")));
}

#[test]
fn a_table_of_ways_tells_what_is_early_late_or_lost() {
    let Some(lab) = lab(&[]) else {
        return;
    };
    let all = |delay| {
        let mut ways = [
            "10.77.0.3:7002",
            "fd77::3",
            "10.77.0.4 from 5001",
            "tcp fd77::4",
        ]
        .map(|way| (way, delay))
        .to_vec();
        ways.extend([("ping 10.77.0.5", delay), ("arp 10.77.0.6", delay)]);
        ways.push(("nd fd77::6", delay));
        ways
    };
    lab.assert_delays("clean", &all(0));
    lab.client.tc("qdisc add dev eth0 root netem delay 100ms");
    lab.assert_delays("slow", &all(100));
    for (index, wrong) in [(0, 0), (3, 200), (5, 200)] {
        let mut ways = all(100);
        ways[index].1 = wrong;
        assert!(fails(|| lab.assert_delays("wrong", &ways)), "{ways:?}");
    }
    lab.client.tc("qdisc change dev eth0 root netem loss 100%");
    assert!(fails(|| lab.assert_delays("lost", &all(0)[..1])));
}

#[test]
fn silence_is_what_a_cut_makes_and_not_what_a_filter_makes() {
    let Some(lab) = lab(&[Need::Flower]) else {
        return;
    };
    let silent = || lab.client.run(|| assert_silent(peer("10.77.0.3")));
    assert!(fails(silent), "there is an answer");
    lab.client.tc("qdisc add dev eth0 root netem loss 100%");
    silent();
    lab.client.tc("qdisc del dev eth0 root");
    lab.client.tc("qdisc add dev eth0 clsact");
    let drop = "filter add dev eth0 egress protocol ip flower dst_ip 10.77.0.3 action drop";
    lab.client.tc(drop);
    assert!(fails(silent), "senders are told of a filter's drops");
}

#[test]
fn counters_count_each_packet_once() {
    let Some(lab) = lab(&[Need::Htb, Need::Flower]) else {
        return;
    };
    for command in [
        "qdisc add dev eth0 root handle 1: htb default 20",
        "class add dev eth0 parent 1: classid 1:10 htb rate 10gbit",
        "class add dev eth0 parent 1: classid 1:20 htb rate 10gbit",
        "qdisc add dev eth0 clsact",
        "filter add dev eth0 egress pref 10 protocol ip flower ip_proto udp dst_port 6000 action ok",
    ] {
        lab.client.tc(command);
    }
    let before = (device(&lab.client, DEVICE), udp(&lab.peer));
    let mut options = Options::new(300, None);
    options.priority = Some(0x10010);
    let flow = Flow::start(&lab.client, &lab.peer, peer("10.77.0.3:6000"), options);
    flow.finish(ms(1000)).assert_whole("htb");
    assert_eq!(class_packets(&lab.client, DEVICE, "1:10"), 300);
    assert_eq!(filter_packets(&lab.client, DEVICE, "egress", 10), 300);
    let after = (device(&lab.client, DEVICE), udp(&lab.peer));
    assert!(after.0.sent - before.0.sent >= 300, "{before:?} {after:?}");
    assert_eq!(after.1.received - before.1.received, 300);
    let flow = Flow::start(&lab.client, &lab.peer, peer("[fd77::3]:6000"), options);
    flow.finish(ms(1000)).assert_whole("htb");
    assert_eq!(udp(&lab.peer).received - after.1.received, 300);
    assert_eq!(class_packets(&lab.client, DEVICE, "1:10"), 600);
}

#[test]
fn a_snapshot_sees_what_is_left_behind_and_nothing_else() {
    let Some(lab) = lab(&[]) else {
        return;
    };
    let before = Snapshot::of(&lab.client);
    lab.assert_prompt(&format!("10.77.0.3:{PORT}"));
    lab.assert_prompt("fd77::3");
    Snapshot::of(&lab.client).assert_same_as(&before);
    for (make, take_away) in [
        (
            "tc qdisc add dev eth0 clsact",
            "tc qdisc del dev eth0 clsact",
        ),
        (
            "tc qdisc add dev eth0 root prio",
            "tc qdisc del dev eth0 root",
        ),
        ("ip link add d0 type dummy", "ip link del d0"),
        ("ip link set eth0 alias x", "ip link set eth0 alias"),
        (
            "ip addr add 10.9.9.9/32 dev lo",
            "ip addr del 10.9.9.9/32 dev lo",
        ),
        (
            "ip route add 10.9.0.0/16 via 10.77.0.2",
            "ip route del 10.9.0.0/16",
        ),
    ] {
        let command = |line: &str| match line.split_once(' ').unwrap() {
            ("tc", args) => lab.client.tc(args),
            (_, "link set eth0 alias") => {
                let args = ["-n", lab.client.name(), "link", "set", DEVICE, "alias", ""];
                netchaos_tests::command::run("ip", &args).ok().stdout
            }
            (_, args) => lab.client.ip(args),
        };
        command(make);
        let now = Snapshot::of(&lab.client);
        assert!(fails(|| now.assert_same_as(&before)), "{make} is not seen");
        command(take_away);
        Snapshot::of(&lab.client).assert_same_as(&before);
    }
}
