//! What a delay does to the packets that it is aimed at, and that it does nothing to any other.

use std::{net::Ipv4Addr, time::Duration};

use netchaos_tests::{
    lab::{DEVICE, Lab, ms, peer},
    probe::{
        Flow, Options, RoundTrips, arp_round_trips, assert_delayed, assert_prompt,
        neighbour_discovery_round_trips, ping_round_trips, tcp_connects, tcp_transfer,
        udp_round_trips_of,
    },
    requires::Need,
};

#[test]
fn round_trip_to_the_target_grows_by_the_delay_for_udp_tcp_and_icmp() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3 fd77::3")
            .ok();
        for target in ["10.77.0.3", "fd77::3"] {
            lab.assert_delayed(target, ms(100));
            let address = peer(target);
            assert_delayed(&format!("TCP to {target}"), ms(100), || {
                lab.client.run(|| tcp_connects(address, 5))
            });
            assert_delayed(&format!("ping {target}"), ms(100), || {
                lab.client.run(|| ping_round_trips(address.ip(), 5))
            });
        }
    });
}

#[test]
fn round_trip_to_others_does_not_grow() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3:7001")
            .ok();
        lab.assert_delayed("10.77.0.3:7001", ms(100));
        for (what, other) in [
            ("another address", "10.77.0.2:7001"),
            ("another port", "10.77.0.3:7002"),
            ("the other family", "[fd77::3]:7001"),
        ] {
            assert_prompt(what, || lab.round_trips(other, 9));
        }
        let target = [10, 77, 0, 3];
        assert_prompt("ARP for the target", || arp(lab, target.into()));
        assert_prompt("ICMP to the target, which has no port", || {
            lab.client.run(|| ping_round_trips(target.into(), 5))
        });
        let tcp = |to| lab.client.run(|| tcp_connects(peer(to), 5));
        assert_prompt("TCP to another port", || tcp("10.77.0.3:7002"));
        assert_delayed("TCP to the port", ms(100), || tcp("10.77.0.3:7001"));
    });
}

fn arp(lab: &Lab, target: Ipv4Addr) -> RoundTrips {
    lab.client
        .run(|| arp_round_trips(DEVICE, [10, 77, 0, 1].into(), target, 9))
}

#[test]
fn a_prefix_delays_its_addresses_and_not_its_neighbours() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 80ms --to 10.77.0.4/30 [fd77::4/126]:7002")
            .ok();
        for inside in ["10.77.0.4", "10.77.0.7", "[fd77::4]:7002", "[fd77::7]:7002"] {
            lab.assert_delayed(inside, ms(80));
        }
        for outside in [
            "10.77.0.3",
            "10.77.0.8",
            "[fd77::3]:7002",
            "[fd77::8]:7002",
            "[fd77::4]:7001",
        ] {
            lab.assert_prompt(outside);
        }
    });
}

#[test]
fn all_traffic_is_delayed_but_for_address_resolution_and_what_is_excepted() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --all-traffic --except 10.77.0.2 fd77::2")
            .ok();
        for delayed in ["10.77.0.3", "10.77.0.9:7003", "fd77::3"] {
            lab.assert_delayed(delayed, ms(100));
        }
        for excepted in ["10.77.0.2", "fd77::2"] {
            lab.assert_prompt(excepted);
        }
        assert_prompt("ARP", || arp(lab, [10, 77, 0, 3].into()));
        assert_prompt("IPv6 neighbour discovery", || {
            let target = "fd77::3".parse().unwrap();
            lab.client
                .run(|| neighbour_discovery_round_trips(DEVICE, target, 9))
        });
    });
}

#[test]
fn jitter_spreads_the_delay_on_both_sides_and_loses_nothing() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --jitter 30ms --to 10.77.0.3")
            .ok();
        let flow = Flow::start(
            &lab.client,
            &lab.peer,
            peer("10.77.0.3:6000"),
            Options::new(500, Some(500)),
        );
        let flow = flow.finish(ms(1000));
        flow.assert_whole("jitter");
        let mut delays = flow.delays();
        delays.sort();
        // Uniform from 70 to 130 ms: a quarter of 500 lies below 85 and a quarter above 115.
        assert!(delays[0] >= ms(70), "less than 100 - 30 ms: {flow}");
        assert!(delays[50] < ms(90), "nothing is earlier: {flow}");
        assert!(delays[449] > ms(110), "nothing is later: {flow}");
        assert!(flow.median() >= ms(90) && flow.median() < ms(130), "{flow}");
    });
}

#[test]
fn fragments_of_a_large_datagram_are_delayed_and_arrive() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3 fd77::3")
            .ok();
        for target in ["10.77.0.3", "fd77::3"] {
            assert_delayed(&format!("4000 bytes to {target}"), ms(100), || {
                ping_size(lab, target, 4000)
            });
        }
        assert_prompt("4000 bytes to another", || {
            ping_size(lab, "10.77.0.2", 4000)
        });
    });
}

/// UDP round trips with datagrams of so many bytes.
fn ping_size(lab: &Lab, to: &str, bytes: usize) -> RoundTrips {
    let to = peer(to);
    lab.client.run(|| udp_round_trips_of(to, 5, bytes))
}

#[test]
fn a_tcp_stream_comes_through_whole_with_its_large_segments() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 20ms --to 10.77.0.3 fd77::3")
            .ok();
        for target in ["10.77.0.3", "fd77::3"] {
            let target = peer(target);
            let took = lab.client.run(|| tcp_transfer(target, 4 << 20));
            // The handshake and the last bytes, at least.
            assert!(took >= ms(40), "{took:?}");
        }
    });
}

#[test]
fn a_target_behind_a_vlan_tag_is_delayed() {
    Lab::test(&[Need::Vlan], |lab| {
        for (netns, host) in [(&lab.client, 1), (&lab.peer, 3)] {
            netns.ip_batch(
                "",
                &[
                    format!("link add link {DEVICE} name v5 type vlan id 5"),
                    "link set v5 up".to_owned(),
                    format!("addr add 10.78.0.{host}/24 dev v5"),
                ],
            );
        }
        lab.is_the_users();
        lab.netchaos("add slow --delay 100ms --to 10.78.0.3 --device eth0")
            .ok();
        lab.assert_delayed("10.78.0.3", ms(100));
        lab.assert_prompt("10.77.0.3");
    });
}

#[test]
fn a_delay_below_a_millisecond_and_one_of_seconds_are_what_was_asked() {
    Lab::test(&[], |lab| {
        lab.netchaos("add short --delay 600us --to 10.77.0.3").ok();
        lab.netchaos("add long --delay 5s --to 10.77.0.4").ok();
        assert_delayed("600 us", Duration::from_micros(600), || {
            lab.round_trips("10.77.0.3", 25)
        });
        let flow = Flow::start(
            &lab.client,
            &lab.peer,
            peer("10.77.0.4:6000"),
            Options::new(3, None),
        );
        let flow = flow.finish(ms(8000));
        flow.assert_whole("5 s");
        assert!(
            flow.shortest() >= ms(5000) && flow.median() < ms(6000),
            "{flow}"
        );
    });
}
