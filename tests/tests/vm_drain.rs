//! The end of faults under traffic, and of queues that would take for ever: bounded, and what was thrown away is told.

use std::thread;

use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::{Flow, Options},
};

fn flow(lab: &Lab, to: &str, count: u64, rate: Option<u32>) -> Flow {
    let options = Options {
        bytes: 1400,
        ..Options::new(count, rate)
    };
    Flow::start(&lab.client, &lab.peer, peer(to), options)
}

/// A queue that takes hours to empty, and how it goes: waited for as long as netchaos waits at all.
#[test]
fn hours_of_waiting_packets_are_waited_for_a_minute_and_then_counted() {
    Lab::test(&[], |lab| {
        // With it gone or come, old kernels lose others' packets: not what is asked here.
        lab.has_clsact();
        let add = "add NAME --bandwidth 1kbit --bandwidth-limit 4mb --to TO";
        for (name, to) in [("patient", "10.77.0.3"), ("hasty", "10.77.0.4")] {
            lab.netchaos(&add.replace("NAME", name).replace("TO", to))
                .ok();
            // What is sent while it is full is dropped.
            flow(lab, &format!("{to}:6000"), 2500, None).finish(ms(100));
        }
        let hasty = lab.netchaos("remove hasty --now").ok();
        assert!(hasty.took < ms(20_000), "it waited: {hasty}");
        hasty.says(&["packets that waited in the queues went down with them"]);

        let others = flow(lab, "10.77.0.2:6001", u64::MAX, Some(200));
        let patient = lab.netchaos("remove patient").ok();
        assert!(
            (ms(50_000)..ms(90_000)).contains(&patient.took),
            "a minute: {patient}"
        );
        patient.says(&["packets that waited in the queues went down with them"]);
        others.stop();
        others.finish(ms(1000)).assert_whole("somebody else's");
        lab.assert_nothing_left();
        lab.assert_prompt("10.77.0.3");
    });
}

#[test]
fn a_fault_that_ends_by_itself_under_traffic_loses_nothing_and_is_swept() {
    Lab::test(&[], |lab| {
        lab.has_clsact();
        lab.netchaos("add slow --delay 300ms --for 4s --to 10.77.0.3")
            .ok();
        lab.netchaos("add stays --delay 20ms --to 10.77.0.4").ok();
        let target = flow(lab, "10.77.0.3:6000", u64::MAX, Some(300));
        let other = flow(lab, "10.77.0.2:6001", u64::MAX, Some(300));
        thread::sleep(ms(5000));
        lab.assert_prompt("10.77.0.3");
        // Nobody has to be there for it; the next write takes away what is left.
        let listed = lab.netchaos("list -o json").ok().json();
        assert_eq!(listed[0]["state"], "ended", "{listed:#}");
        lab.netchaos("change stays --delay 30ms").ok();
        let listed = lab.netchaos("list -o json").ok().json();
        assert_eq!(listed[0]["name"], "stays", "{listed:#}");
        for flow in [&target, &other] {
            flow.stop();
        }
        let (target, other) = (target.finish(ms(1000)), other.finish(ms(1000)));
        target.assert_whole("the target's");
        other.assert_whole("another's");
        other.assert_in_order("another's");
        let delayed = target
            .delays()
            .iter()
            .filter(|delay| **delay >= ms(300))
            .count();
        assert!(delayed >= 50, "no fault was on: {delayed} of {target}");
    });
}
