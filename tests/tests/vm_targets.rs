//! Whom a fault is aimed at: addresses, ports on both sides, protocols, excludes, and 100,000 of
//! them.

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::{Flow, Options, raw_delays},
};

#[test]
fn ports_come_in_lists_and_ranges_of_the_peer_and_of_the_place() {
    Lab::test(&[], |lab| {
        for line in [
            "add list --delay 60ms --to 10.77.0.3 fd77::3 --port 7002,7005-7007",
            "add inline --delay 60ms --to 10.77.0.4:7001,7003-7004 [fd77::4]:7002-7003",
            "add local --delay 60ms --to 10.77.0.5 fd77::5 --local-port 5001,5010-5020",
            "add each --delay 60ms --to 10.77.0.6 --port 7001-7002 --local-port 5001",
            "add back --delay 90ms --direction from --to 10.77.0.7 fd77::7 --port 7002 \
             --local-port 5030-5040",
        ] {
            lab.netchaos(line).ok();
        }
        let expected = [
            ("10.77.0.3:7001", 0),
            ("10.77.0.3:7002", 60),
            ("10.77.0.3:7003", 0),
            ("10.77.0.3:7004", 0),
            ("10.77.0.3:7005", 60),
            ("[fd77::3]:7007", 60),
            ("[fd77::3]:7008", 0),
            ("tcp [fd77::3]:7006", 60),
            ("tcp 10.77.0.3:7001", 0),
            ("ping 10.77.0.3", 0),
            ("10.77.0.4:7001", 60),
            ("10.77.0.4:7002", 0),
            ("10.77.0.4:7004", 60),
            ("[fd77::4]:7001", 0),
            ("[fd77::4]:7003", 60),
            ("10.77.0.5 from 5001", 60),
            ("10.77.0.5 from 5002", 0),
            ("10.77.0.5 from 5010", 60),
            ("fd77::5 from 5020", 60),
            ("fd77::5 from 5021", 0),
            ("10.77.0.6:7001 from 5001", 60),
            ("10.77.0.6:7003 from 5001", 0),
            ("10.77.0.6:7002 from 5003", 0),
            ("10.77.0.7:7002 from 5030", 90),
            ("10.77.0.7:7002 from 5041", 0),
            ("10.77.0.7:7001 from 5040", 0),
            ("[fd77::7]:7002 from 5039", 90),
            ("ping fd77::7", 0),
        ];
        // Local ports of their own, where two ways would share one.
        let (one, two): (Vec<_>, Vec<_>) = expected
            .into_iter()
            .partition(|(way, _)| !way.starts_with("10.77.0.6"));
        lab.assert_delays("ports", &one);
        lab.assert_delays("ports on both sides", &two[..1]);
        lab.assert_delays("another of the peer's ports", &two[1..]);
    });
}

#[test]
fn a_protocol_by_name_or_number_is_the_only_one_that_is_touched() {
    Lab::test(&[], |lab| {
        for line in [
            "add tcp --delay 60ms --to 10.77.0.3 fd77::3 --protocol tcp",
            "add icmp --delay 60ms --to 10.77.0.4 fd77::4 --protocol icmp",
            "add udp --delay 60ms --to 10.77.0.5 --protocol udp --port 7002",
            "add numbered --delay 60ms --to 10.77.0.6 --protocol 253",
            "add sctp --delay 60ms --to 10.77.0.7 --protocol sctp --port 7002",
            "add any --delay 60ms --to 10.77.0.8 --protocol any",
        ] {
            lab.netchaos(line).ok();
        }
        lab.assert_delays(
            "protocols",
            &[
                ("tcp 10.77.0.3", 60),
                ("tcp fd77::3", 60),
                ("10.77.0.3", 0),
                ("ping fd77::3", 0),
                ("ping 10.77.0.4", 60),
                ("ping fd77::4", 60),
                ("fd77::4", 0),
                ("nd fd77::4", 0),
                ("tcp 10.77.0.4", 0),
                ("10.77.0.5:7002", 60),
                ("10.77.0.5:7001", 0),
                ("tcp 10.77.0.5:7002", 0),
                ("10.77.0.6", 0),
                ("ping 10.77.0.6", 0),
                ("10.77.0.7:7002", 0),
                ("10.77.0.8", 60),
                ("tcp 10.77.0.8", 60),
                ("ping 10.77.0.8", 60),
            ],
        );
        // Of what no socket speaks, one way.
        let shortest = |protocol, to: &str| {
            let delays = raw_delays(&lab.client, &lab.peer, protocol, peer(to), 5);
            delays.into_iter().min().expect("five of them")
        };
        for (protocol, to, delayed) in [
            (253, "10.77.0.6", true),
            (254, "10.77.0.6", false),
            (132, "10.77.0.7:7002", true),
            (132, "10.77.0.7:7003", false),
            (253, "10.77.0.7:7002", false),
            (254, "10.77.0.8", true),
        ] {
            let shortest = shortest(protocol, to);
            let range = if delayed {
                ms(60)..ms(105)
            } else {
                ms(0)..ms(40)
            };
            assert!(
                range.contains(&shortest),
                "{protocol} to {to}: {shortest:?}"
            );
        }
    });
}

#[test]
fn an_exclude_wins_whatever_the_order_and_whatever_it_is_inside_of() {
    Lab::test(&[], |lab| {
        for line in [
            "add first --delay 60ms --except 10.77.0.3 fd77::3 --to 10.77.0.0/28 fd77::/64",
            "add last --delay 90ms --to 10.77.0.3 10.77.0.4 fd77::4 --except 10.77.0.0/30 \
             [fd77::4]:7002",
            "add port --delay 120ms --to 10.77.0.5 fd77::5 --except 10.77.0.5:7002-7003,7005",
            "add all --delay 30ms --all-traffic --except 10.77.0.0/24 fd77::/124",
        ] {
            lab.netchaos(line).ok();
        }
        let expected = [
            ("10.77.0.3", 0),
            ("fd77::3", 0),
            ("10.77.0.4", 150),
            ("10.77.0.2", 60),
            ("fd77::4", 150),
            ("[fd77::4]:7002", 60),
            ("10.77.0.5:7001", 180),
            ("10.77.0.5:7002", 60),
            ("10.77.0.5:7004", 180),
            ("tcp 10.77.0.5:7005", 60),
            ("[fd77::5]:7002", 180),
        ];
        lab.assert_delays("excludes", &expected);
        // What comes later does not win over what was excluded before.
        lab.netchaos("target add first 10.77.0.3 [fd77::3]:7001")
            .ok();
        lab.netchaos("target add last 10.77.0.3:7001 [fd77::4]:7002")
            .ok();
        lab.assert_delays("excludes, then targets", &expected);
        lab.netchaos("target remove first 10.77.0.0/28").ok();
        lab.assert_delays(
            "without the prefix",
            &[
                ("10.77.0.3", 0),
                ("10.77.0.4", 90),
                ("10.77.0.2", 0),
                ("fd77::4", 150),
            ],
        );
    });
}

/// Datagrams to a port where nothing answers, one way.
fn one_way(lab: &Lab, to: &str) -> Duration {
    let flow = Flow::start(&lab.client, &lab.peer, peer(to), Options::new(5, None));
    let flow = flow.finish(ms(1000));
    flow.assert_whole(to);
    flow.shortest()
}

#[test]
fn all_traffic_spares_arp_neighbour_discovery_and_dhcp_unless_they_are_named() {
    Lab::test(&[], |lab| {
        let vital = ["10.77.0.3:67", "10.77.0.3:68", "[fd77::3]:547"];
        let assert_vital = |what: &str, arp, nd, dhcp: bool| {
            lab.assert_delays(
                what,
                &[
                    ("arp 10.77.0.3", arp),
                    ("nd fd77::3", nd),
                    ("10.77.0.3", 80),
                    ("ping fd77::3", 80),
                    ("tcp fd77::4", 80),
                ],
            );
            for to in vital {
                let shortest = one_way(lab, to);
                assert_eq!(shortest >= ms(80), dhcp, "{what}: {to}: {shortest:?}");
                assert!(dhcp || shortest < ms(50), "{what}: {to}: {shortest:?}");
            }
        };
        lab.netchaos("add all --delay 80ms --all-traffic").ok();
        assert_vital("nothing named", 0, 0, false);
        for (vital, arp, nd, dhcp) in [
            ("arp", 80, 0, false),
            ("nd", 0, 80, false),
            ("dhcp", 0, 0, true),
        ] {
            lab.netchaos("remove all").ok();
            let add = format!("add all --delay 80ms --all-traffic --include {vital}");
            lab.netchaos(&add).ok();
            assert_vital(&add, arp, nd, dhcp);
        }
    });
}

/// 100,000 addresses of both families that nobody has, and at their end one of the lab's.
fn many(last: &str) -> String {
    let mut text = String::new();
    for number in 0..99_999_u32 {
        let (high, low) = (number >> 8, number & 255);
        if number % 2 == 0 {
            writeln!(text, "10.{}.{}.{low}", 100 + (high >> 8), high & 255)
        } else {
            writeln!(text, "fd78::{high:x}:{low:x}")
        }
        .expect("a string grows");
    }
    text + last + "\n"
}

#[test]
fn a_hundred_thousand_targets_come_in_one_call_from_stdin_or_a_file() {
    Lab::test(&[], |lab| {
        let timely = |what: &str, begin: Instant| {
            println!("{what}: {:?}", begin.elapsed());
            assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        };
        let begin = Instant::now();
        lab.netchaos_with_input("add piped --delay 60ms --to -", &many("10.77.0.3"))
            .ok();
        timely("stdin", begin);
        let file = std::env::temp_dir().join("netchaos-targets");
        fs::write(&file, many("fd77::4")).expect("root can write there");
        let begin = Instant::now();
        lab.netchaos(&format!("add read --delay 90ms --to @{}", file.display()))
            .ok();
        timely("a file", begin);
        fs::remove_file(&file).expect("it is there");
        lab.assert_delays(
            "the last of 100,000",
            &[
                ("10.77.0.3", 60),
                ("fd77::4", 90),
                ("10.77.0.4", 0),
                ("fd77::3", 0),
            ],
        );
        let begin = Instant::now();
        lab.netchaos("remove piped").ok();
        timely("remove", begin);
        lab.assert_delays("one is gone", &[("10.77.0.3", 0), ("fd77::4", 90)]);
    });
}
