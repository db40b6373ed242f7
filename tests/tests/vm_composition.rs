//! Several experiments in one place.

use std::thread;

use netchaos_tests::{
    lab::{Lab, PORT, ms, peer},
    probe::{Flow, Options},
};

#[test]
fn the_classic_example_holds() {
    Lab::test(&[], |lab| {
        for line in [
            "add all-50 --delay 50ms --all-traffic",
            "add all-100 --delay 100ms --all-traffic",
            "add a --delay 50ms --to 10.77.0.3 10.77.0.5 fd77::3 fd77::5",
            "add b --delay 100ms --to 10.77.0.4 10.77.0.5 fd77::4 fd77::5",
        ] {
            lab.netchaos(line).ok();
        }
        let expect = |what: &str, others: u64, a: u64, b: u64| {
            let mut ways = Vec::new();
            for (host, delay) in [(2, 0), (3, a), (4, b), (5, a + b)] {
                ways.push((format!("10.77.0.{host}"), others + delay));
                ways.push((format!("tcp 10.77.0.{host}:7002"), others + delay));
                ways.push((format!("fd77::{host}"), others + delay));
            }
            lab.assert_delays(what, &ways);
        };
        expect("all four", 150, 50, 100);
        lab.netchaos("remove all-50").ok();
        expect("without all-50", 100, 50, 100);
        lab.netchaos("pause a").ok();
        expect("with a paused", 100, 0, 100);
        lab.netchaos("remove all-100 b").ok();
        lab.netchaos("resume a").ok();
        expect("a alone", 0, 50, 0);
    });
}

#[test]
fn a_prefix_inside_anothers_prefix_takes_nothing_away_and_going_leaves_nothing() {
    // Name, milliseconds, targets, and what is spared.
    const EXPERIMENTS: [(&str, u64, &str); 5] = [
        (
            "eight",
            50,
            "10.0.0.0/8 fd00::/8 --except 10.77.0.4 fd77::4",
        ),
        (
            "inside",
            60,
            "10.77.0.0/24 fd77::/64 --except 10.77.0.4:7002",
        ),
        (
            "port",
            70,
            "10.77.0.0/24:7002 [fd77::/64]:7002 --except 10.77.0.5",
        ),
        ("narrow", 80, "10.77.0.4/31 fd77::4/127"),
        ("host", 90, "10.77.0.5:7002"),
    ];
    // Of each way, which of them want it.
    const WAYS: [(&str, &[&str]); 9] = [
        ("10.77.0.3:7001", &["eight", "inside"]),
        ("10.77.0.3:7002", &["eight", "inside", "port"]),
        ("[fd77::3]:7002", &["eight", "inside", "port"]),
        ("10.77.0.4:7001", &["inside", "narrow"]),
        ("10.77.0.4:7002", &["port", "narrow"]),
        ("10.77.0.5:7001", &["eight", "inside", "narrow"]),
        ("10.77.0.5:7002", &["eight", "inside", "narrow", "host"]),
        ("[fd77::4]:7002", &["inside", "port", "narrow"]),
        ("[fd77::5]:7001", &["eight", "inside", "narrow"]),
    ];
    Lab::test(&[], |lab| {
        let add = |name: &str| {
            let (_, delay, to) = EXPERIMENTS
                .iter()
                .find(|(other, ..)| *other == name)
                .unwrap();
            lab.netchaos(&format!("add {name} --delay {delay}ms --to {to}"))
                .ok();
        };
        let expect = |what: &str, gone: &[&str]| {
            let sum = |names: &[&str]| -> u64 {
                let there = |name: &&str| names.contains(name) && !gone.contains(name);
                let delays = EXPERIMENTS.iter().filter(|(name, ..)| there(name));
                delays.map(|(_, delay, _)| delay).sum()
            };
            let ways: Vec<(&str, u64)> =
                WAYS.iter().map(|(way, names)| (*way, sum(names))).collect();
            lab.assert_delays(what, &ways);
        };
        EXPERIMENTS.iter().for_each(|(name, ..)| add(name));
        expect("all", &[]);
        for (name, ..) in EXPERIMENTS {
            lab.netchaos(&format!("remove {name}")).ok();
            expect(&format!("without {name}"), &[name]);
            // Last in turn now, which changes nothing.
            add(name);
        }
        lab.netchaos("remove eight inside").ok();
        expect("without both prefixes", &["eight", "inside"]);
    });
}

/// A native manifest of one experiment.
fn manifest(name: &str, fault: &str, rest: &str) -> String {
    format!(
        "apiVersion: netchaos/v1\nkind: Experiment\nname: {name}\nfault: {fault}\n{rest}\n---\n"
    )
}

#[test]
fn forty_experiments_of_every_kind_work_on_one_device_and_go_without_a_trace() {
    Lab::test(&[], |lab| {
        let mut manifests = String::new();
        // Each on a port of its own.
        for number in 0..16 {
            let (port, delay) = (PORT + number, 20 + 20 * number);
            let fault = format!("{{ delay: {{ latency: {delay}ms }} }}");
            let to = format!("to: ['10.77.0.3:{port}', '[fd77::3]:{port}']");
            manifests += &manifest(&format!("own-{number}"), &fault, &to);
        }
        // All on the same packets, on the way there and back.
        for number in 0..10 {
            let direction = ["to", "from"][number % 2];
            let rest = format!("direction: {direction}\nto: [10.77.0.4/31]");
            let fault = "{ delay: { latency: 20ms } }";
            manifests += &manifest(&format!("same-{number}"), fault, &rest);
        }
        // Other faults, two of each, beside a delay for all of them.
        for (number, fault) in [
            "{ loss: { percent: 100% } }",
            "{ partition: true }",
            "{ duplicate: { percent: 100% } }",
            "{ corrupt: { percent: 100% } }",
            "{ rate: 10mbit }",
            "{ bandwidth: { rate: 10mbit, limit: 100000, buffer: 20000 } }",
        ]
        .into_iter()
        .enumerate()
        {
            for (twin, host) in [("one", "10.77.0.7"), ("two", "fd77::7")] {
                let to = format!("to: ['[{host}]:{}']", PORT + number as u16);
                let to = to.replace("[10.77.0.7]", "10.77.0.7");
                manifests += &manifest(&format!("{twin}-{number}"), fault, &to);
            }
        }
        let fault = "{ delay: { latency: 100ms } }";
        manifests += &manifest("late-4", fault, "to: [10.77.0.7]");
        manifests += &manifest("late-6", fault, "to: ['fd77::7']");
        let begin = std::time::Instant::now();
        lab.netchaos_with_input("apply -f -", &manifests).ok();
        println!("laid after {:?}", begin.elapsed());
        let list = lab.netchaos("list -o json").ok().json();
        assert_eq!(list.as_array().map(Vec::len), Some(40), "{list}");

        let own = |address: &'static str, numbers: [u16; 3]| {
            numbers.map(|number| {
                let way = format!("{address}:{}", PORT + number);
                (way, u64::from(20 + 20 * number))
            })
        };
        let mut ways = own("10.77.0.3", [0, 7, 15]).to_vec();
        ways.extend(own("[fd77::3]", [3, 14, 11]));
        for (way, delay) in [
            ("10.77.0.4", 200),
            ("10.77.0.5:7009", 200),
            ("10.77.0.6", 0),
            ("10.77.0.3:7017", 0),
            ("10.77.0.7:7005", 100),
            ("[fd77::7]:7006", 100),
            ("10.77.0.7:7010", 100),
        ] {
            ways.push((way.to_owned(), delay));
        }
        lab.assert_delays("forty experiments", &ways);
        // Ports that answer are above; what comes of these is looked at one way.
        let arrived = |to: &str| {
            let options = Options {
                copies: 2,
                ..Options::new(20, Some(1000))
            };
            let flow = Flow::start(&lab.client, &lab.peer, peer(to), options);
            flow.finish(ms(600)).arrived()
        };
        lab.netchaos("target add one-0 10.77.0.7:6000").ok();
        lab.netchaos("target add two-1 [fd77::7]:6001").ok();
        lab.netchaos("target add two-2 [fd77::7]:6002").ok();
        lab.netchaos("target add one-3 10.77.0.7:6003").ok();
        assert_eq!(arrived("10.77.0.7:6000"), 0, "loss");
        assert_eq!(arrived("[fd77::7]:6001"), 0, "partition");
        assert_eq!(arrived("[fd77::7]:6002"), 40, "duplicate");
        // A wrong bit in what neither sum covers lets one through now and then.
        assert!(arrived("10.77.0.7:6003") < 10, "corrupt");
        assert_eq!(arrived("10.77.0.7:6004"), 20, "another port");
        lab.netchaos("remove own-7 same-0 same-5").ok();
        lab.assert_delays(
            "thirty-seven",
            &[
                ("10.77.0.3:7008", 0),
                ("10.77.0.3:7016", 320),
                ("10.77.0.4", 160),
                ("fd77::4", 0),
            ],
        );
    });
}

#[test]
fn duplicates_go_with_every_other_fault_beside_them() {
    Lab::test(&[], |lab| {
        for line in [
            "add twice --duplicate 100% --to 10.77.0.3 10.77.0.4",
            "add slow --delay 100ms --to 10.77.0.3 10.77.0.5",
            "add again --duplicate 100% --delay 50ms --to 10.77.0.3",
        ] {
            lab.netchaos(line).ok();
        }
        // How many experiments make a second one. Since 6.12.93 and in others of that time netem
        // does not duplicate a duplicate (`skb->tc_depth`, net/sched/sch_netem.c): there each adds
        // one, before each doubles what there is.
        let expect = |what: &str, expected: &[(&str, u32, u64)]| {
            let options = Options {
                copies: 8,
                ..Options::new(100, Some(500))
            };
            let start = |to: &str| Flow::start(&lab.client, &lab.peer, peer(to), options);
            let flows: Vec<Flow> = expected
                .iter()
                .map(|(to, ..)| start(&format!("{to}:6000")))
                .collect();
            for ((to, doublers, delay), flow) in expected.iter().zip(flows) {
                let flow = flow.finish(ms(800));
                let right = [1 + *doublers as usize, 1 << doublers]
                    .map(|copies| flow.copies().iter().all(|number| *number == copies));
                assert!(right.contains(&true), "{what}: {to}: {:?}", flow.copies());
                let (shortest, delay) = (flow.shortest(), ms(*delay));
                assert!(
                    (delay..delay + ms(50)).contains(&shortest),
                    "{what}: {to}: {flow}"
                );
            }
        };
        expect(
            "all",
            &[
                ("10.77.0.2", 0, 0),
                ("10.77.0.3", 2, 150),
                ("10.77.0.4", 1, 0),
                ("10.77.0.5", 0, 100),
            ],
        );
        lab.netchaos("change slow --duplicate 100%").ok();
        expect(
            "a third one",
            &[("10.77.0.3", 3, 150), ("10.77.0.5", 1, 100)],
        );
        lab.netchaos("remove twice").ok();
        expect("two", &[("10.77.0.3", 2, 150), ("10.77.0.4", 0, 0)]);
    });
}

#[test]
fn experiments_that_are_added_at_the_same_time_all_land() {
    Lab::test(&[], |lab| {
        let lab = &*lab;
        thread::scope(|scope| {
            for number in 2..6 {
                scope.spawn(move || {
                    let delay = 40 * number;
                    lab.netchaos(&format!(
                        "add e{number} --delay {delay}ms --to 10.77.0.{number}"
                    ))
                    .ok();
                });
            }
        });
        for number in 2..6 {
            lab.assert_delayed(&format!("10.77.0.{number}"), ms(40 * number));
        }
        thread::scope(|scope| {
            for number in 2..6 {
                scope.spawn(move || lab.netchaos(&format!("remove e{number}")).ok());
            }
        });
        lab.assert_nothing_left();
    });
}
