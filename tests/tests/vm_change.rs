//! Changes under traffic: no packet ever sees neither the old nor the new.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::{Flow, Flowed, Options, udp_round_trips},
};

/// What flows to `to` while `change` is at work, and for a while before and after it.
fn flow_during(lab: &Lab, to: &str, change: impl FnOnce()) -> Flowed {
    let options = Options {
        copies: 2,
        ..Options::new(u64::MAX, Some(300))
    };
    let flow = Flow::start(&lab.client, &lab.peer, peer(to), options);
    thread::sleep(ms(300));
    change();
    thread::sleep(ms(500));
    flow.stop();
    flow.finish(ms(1500))
}

#[test]
fn what_is_cut_stays_cut_while_partition_and_loss_take_turns() {
    Lab::test(&[], |lab| {
        lab.netchaos("add cut --partition --to 10.77.0.3").ok();
        let flow = flow_during(lab, "10.77.0.3:6000", || {
            lab.netchaos("change cut --loss 100%").ok();
            lab.netchaos("change cut --loss none").ok();
            lab.netchaos("change cut --loss-gemodel 100%,0%,100%,100% --partition=none")
                .ok();
            lab.netchaos("change cut --partition --loss-gemodel none")
                .ok();
        });
        assert_eq!(flow.arrived(), 0, "got through: {flow}");
    });
}

#[test]
fn a_fault_that_becomes_another_kind_lets_nothing_through_unharmed() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        let start = Instant::now();
        let flow = flow_during(lab, "10.77.0.3:6000", || {
            lab.netchaos("change slow --delay 50ms --rate 100mbit").ok();
            lab.netchaos(
                "change slow --rate none --bandwidth 100mbit --bandwidth-limit 1000000 \
                 --bandwidth-buffer 100000",
            )
            .ok();
        });
        println!("{flow} in {:?}", start.elapsed());
        flow.assert_whole("delay, rate, bandwidth");
        assert!(flow.shortest() >= ms(50), "one saw neither: {flow}");
        // Both are seen: the old in the beginning, the new in the end.
        let delays = flow.delays();
        assert!(delays[..50].iter().all(|delay| *delay >= ms(100)), "{flow}");
        assert!(
            delays[delays.len() - 50..]
                .iter()
                .any(|delay| *delay < ms(100)),
            "{flow}"
        );

        let flow = flow_during(lab, "10.77.0.3:6001", || {
            lab.netchaos("change slow --delay none --bandwidth none --loss 100%")
                .ok();
            lab.netchaos("change slow --delay 60ms --rate 100mbit --loss none")
                .ok();
        });
        println!("{flow}");
        assert!(flow.shortest() >= ms(50), "one saw neither: {flow}");
        let lost = flow.lost();
        assert!(!lost.is_empty() && flow.arrived() > 100, "{flow}");
        // Lost in one piece: while the loss was in force, and not before nor after it.
        let (first, last) = (lost[0], lost[lost.len() - 1]);
        assert_eq!(last - first + 1, lost.len() as u64, "{lost:?}");
    });
}

#[test]
fn duplicates_that_come_or_go_with_a_change_lose_nothing() {
    Lab::test(&[], |lab| {
        lab.netchaos("add other --delay 30ms --to 10.77.0.3 10.77.0.4")
            .ok();
        lab.netchaos("add slow --delay 50ms --to 10.77.0.3").ok();
        let flow = flow_during(lab, "10.77.0.3:6000", || {
            lab.netchaos("change slow --duplicate 100%").ok();
            thread::sleep(ms(300));
            lab.netchaos("change slow --duplicate none").ok();
        });
        assert!(flow.lost().is_empty(), "{flow}");
        assert!(flow.shortest() >= ms(80), "{flow}");
        let copies = flow.copies();
        assert!(copies.contains(&1) && copies.contains(&2), "{flow}");
        assert!(copies.iter().all(|copies| *copies <= 2), "{flow}");
    });
}

/// Manifest of a delay of 80 ms for both families.
fn manifest(direction: &str, ports: &str) -> String {
    format!(
        "apiVersion: netchaos/v1
kind: Experiment
name: slow
direction: {direction}
fault:
  delay:
    latency: 80ms
to: [10.77.0.3, 'fd77::3']
ports: '{ports}'
"
    )
}

#[test]
fn direction_and_ports_change_with_every_round_trip_seeing_the_old_or_the_new() {
    Lab::test(&[], |lab| {
        let apply = |direction: &str, ports: &str| {
            lab.netchaos_with_input("apply -f -", &manifest(direction, ports))
                .ok();
        };
        let delays = |one: u64, two: u64, three: u64| {
            lab.assert_delays(
                "ports",
                &[
                    ("10.77.0.3:7001", one),
                    ("10.77.0.3:7002", two),
                    ("[fd77::3]:7003", three),
                ],
            );
        };
        apply("to", "7001-7002");
        delays(80, 80, 0);
        let done = AtomicBool::new(false);
        let lab = &*lab;
        // Before the change, during it and after it.
        thread::scope(|scope| {
            for to in ["10.77.0.3:7002", "[fd77::3]:7002"] {
                let done = &done;
                scope.spawn(move || {
                    let mut shortest = Duration::MAX;
                    while !done.load(Ordering::Relaxed) {
                        let round_trip = lab.client.run(|| udp_round_trips(peer(to), 2));
                        round_trip.assert_at_least(to, ms(80));
                        shortest = shortest.min(round_trip.shortest());
                    }
                    // A round trip that saw both would take twice as long.
                    assert!(shortest < ms(150), "{to}: {shortest:?}");
                });
            }
            thread::sleep(ms(200));
            apply("from", "7001-7002");
            apply("from", "7002-7003");
            apply("to", "7002-7003");
            thread::sleep(ms(200));
            done.store(true, Ordering::Relaxed);
        });
        delays(0, 80, 80);
    });
}

#[test]
fn pausing_and_resuming_lose_nothing_and_delay_the_whole_or_not_at_all() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 80ms --rate 100mbit --direction both --to 10.77.0.3")
            .ok();
        lab.netchaos("add base --delay 40ms --to 10.77.0.3").ok();
        let flow = flow_during(lab, "10.77.0.3:6000", || {
            lab.netchaos("pause slow").ok();
            thread::sleep(ms(300));
            lab.netchaos("resume slow").ok();
        });
        flow.assert_whole("paused and resumed");
        assert!(flow.shortest() >= ms(40), "{flow}");
        let delays = flow.delays();
        assert!(delays[..30].iter().all(|delay| *delay >= ms(120)), "{flow}");
        assert!(delays.iter().any(|delay| *delay < ms(80)), "{flow}");
        assert!(
            delays[delays.len() - 30..]
                .iter()
                .all(|delay| *delay >= ms(120)),
            "{flow}"
        );
    });
}
