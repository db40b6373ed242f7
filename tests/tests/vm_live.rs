//! Changes while traffic flows: the next packet sees them, no packet is lost by them.

use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

use netchaos_tests::{
    lab::{Lab, ms, peer},
    netchaos::program,
    probe::{Flow, Options, find},
};

#[test]
fn a_target_that_is_added_or_removed_counts_from_the_next_packet_on() {
    Lab::test(&[], |lab| {
        // One packet, and whether it was steered: a busy machine makes it late, but not steered.
        let is_steered = |to: &str| {
            let before = steered(lab);
            let round_trip = lab.round_trips(to, 1);
            assert_eq!(round_trip.lost, 0, "{to}");
            let delayed = round_trip.shortest() >= ms(100);
            let steered = steered(lab) - before;
            assert!(delayed || steered == 0, "{to}: steered and {round_trip}");
            steered == 1
        };
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        assert!(!is_steered("10.77.0.4"), "before");
        lab.netchaos("target add slow 10.77.0.4 fd77::4/127 10.77.0.5:7002")
            .ok();
        for target in ["10.77.0.3", "10.77.0.4", "fd77::5", "10.77.0.5:7002"] {
            assert!(is_steered(target), "{target}");
        }
        assert!(!is_steered("10.77.0.5:7001"), "another port");

        lab.netchaos("target list slow").ok().says(&[
            "10.77.0.3",
            "10.77.0.4",
            "fd77::4/127",
            "10.77.0.5:7002",
        ]);

        lab.netchaos("target remove slow 10.77.0.4 fd77::4/127")
            .ok();
        for other in ["10.77.0.4", "fd77::4", "fd77::5"] {
            assert!(!is_steered(other), "{other}");
        }
        for target in ["10.77.0.3", "10.77.0.5:7002"] {
            assert!(is_steered(target), "{target}");
        }
        lab.assert_prompt("10.77.0.4");
    });
}

/// Packets that `slow` has steered so far.
fn steered(lab: &Lab) -> u64 {
    let show = lab.netchaos("show slow -o json").ok().json();
    let packets = find(&show, "packets").and_then(serde_json::Value::as_u64);
    packets.unwrap_or_else(|| panic!("no packets in {show:#}"))
}

#[test]
fn targets_come_from_stdin_one_per_line() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        lab.netchaos_with_input("target add slow -", "10.77.0.4\n\n10.77.0.6/31\n")
            .ok();
        for target in ["10.77.0.3", "10.77.0.4", "10.77.0.6", "10.77.0.7"] {
            lab.assert_delayed(target, ms(100));
        }
        lab.assert_prompt("10.77.0.5");
    });
}

#[test]
fn the_last_target_is_not_removed_into_an_empty_list() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        lab.netchaos("target remove slow 10.77.0.3").fails_with(1);
        lab.netchaos("target remove slow 10.77.0.4")
            .fails_with(1)
            .says(&["10.77.0.4"]);
        lab.assert_delayed("10.77.0.3", ms(100));
        lab.assert_prompt("10.77.0.4");
    });
}

#[test]
fn a_thousand_targets_are_added_and_taken_away_again() {
    Lab::test(&[], |lab| {
        let many: String = (0..1000)
            .map(|number| format!("10.80.{}.{}\n", number / 250, number % 250 + 1))
            .collect();
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        lab.netchaos_with_input("target add slow -", &many).ok();
        let list = lab.netchaos("target list slow").ok();
        assert_eq!(list.stdout.matches("10.80.").count(), 1000);
        lab.assert_delayed("10.77.0.3", ms(100));
        lab.netchaos_with_input("target remove slow -", &many).ok();
        let list = lab.netchaos("target list slow").ok();
        assert_eq!(list.stdout.matches("10.80.").count(), 0);
        lab.assert_delayed("10.77.0.3", ms(100));
    });
}

#[test]
fn a_changed_delay_loses_nothing_and_leaves_devices_and_qdiscs_in_place() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 50ms --to 10.77.0.3").ok();
        lab.netchaos("add other --delay 80ms --to 10.77.0.4").ok();
        let places = || -> (BTreeSet<String>, usize) {
            let links = lab.client.ip("-o link show");
            let numbered = links.lines().filter_map(|line| line.split_once(": <"));
            let qdiscs = lab.client.tc("qdisc show");
            (
                numbered.map(|(name, _)| name.to_owned()).collect(),
                qdiscs
                    .lines()
                    .filter(|line| line.contains(" netem "))
                    .count(),
            )
        };
        let before = places();
        let flow = |to| {
            Flow::start(
                &lab.client,
                &lab.peer,
                peer(to),
                Options::new(u64::MAX, Some(200)),
            )
        };
        let (target, bystander) = (flow("10.77.0.3:6000"), flow("10.77.0.2:6001"));
        thread::sleep(ms(500));
        lab.netchaos("change slow --delay 200ms").ok();
        lab.assert_delayed("10.77.0.3", ms(200));
        assert_eq!(places(), before);
        target.stop();
        bystander.stop();
        let (target, bystander) = (target.finish(ms(2000)), bystander.finish(ms(2000)));
        target.assert_whole("the target's");
        bystander.assert_whole("another's");
        bystander.assert_in_order("another's");
        assert!(
            target.shortest() >= ms(50) && target.shortest() < ms(200),
            "{target}"
        );
        assert!(*target.delays().last().unwrap() >= ms(200), "{target}");
        lab.assert_delayed("10.77.0.4", ms(80));

        // What is not mentioned stays.
        lab.netchaos("change slow --jitter 1ms").ok();
        lab.assert_delayed("10.77.0.3", ms(199));
    });
}

#[test]
fn a_paused_experiment_delays_nothing_until_it_is_resumed() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        lab.netchaos("add other --delay 60ms --to 10.77.0.3 10.77.0.4")
            .ok();
        lab.netchaos("pause slow").ok();
        lab.assert_delayed("10.77.0.3", ms(60));
        lab.netchaos("list").ok().says(&["slow", "other", "paused"]);
        // Twice is once.
        lab.netchaos("pause slow").ok();
        lab.netchaos("resume slow").ok();
        lab.assert_delayed("10.77.0.3", ms(160));
        lab.netchaos("pause slow other").ok();
        lab.assert_prompt("10.77.0.3");
        lab.assert_prompt("10.77.0.4");
    });
}

#[test]
fn a_fault_with_an_end_ends_with_every_process_killed() {
    Lab::test(&[], |lab| {
        let before = Instant::now();
        lab.netchaos("add slow --delay 100ms --for 10s --to 10.77.0.3")
            .ok();
        let laid = Instant::now();
        assert_no_netchaos_runs();
        // Every moment up to the end, none after it. How long `add` took is not known better than
        // that it was between `before` and `laid`.
        let end = Duration::from_secs(10);
        let mut before_its_end = 0;
        while before.elapsed() < end - ms(400) {
            lab.round_trips("10.77.0.3", 1)
                .assert_at_least("before its end", ms(100));
            before_its_end += 1;
        }
        assert!(before_its_end > 0, "`add` took {:?}", laid - before);
        thread::sleep((end + ms(200)).saturating_sub(laid.elapsed()));
        lab.assert_prompt("10.77.0.3");
        assert_no_netchaos_runs();
    });
}

/// By the program that a process runs (proc_pid_exe(5)), whatever its name is.
fn assert_no_netchaos_runs() {
    let program = program();
    let program = fs::canonicalize(&program).unwrap_or(program.into());
    for process in fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(runs) = fs::read_link(process.path().join("exe")) {
            assert_ne!(runs, program, "{} runs", process.path().display());
        }
    }
}

#[test]
fn what_has_ended_is_swept_by_the_next_call_and_its_name_is_free() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --for 1s --to 10.77.0.3")
            .ok();
        thread::sleep(ms(1500));
        lab.netchaos("add slow --delay 150ms --to 10.77.0.4").ok();
        lab.assert_delayed("10.77.0.4", ms(150));
        lab.assert_prompt("10.77.0.3");
        let list = lab.netchaos("list -o json").ok().json();
        assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    });
}
