//! The targets' own packets under a delaying tree, while faults come, change and go: none is lost.

use netchaos_tests::{
    lab::{Lab, ms},
    rounds::{Round, under_traffic},
    settings::setting,
};

const ROUND: Round = Round {
    manifest: r#"{ apiVersion: netchaos/v1, kind: Experiment, name: round, to: [10.77.0.3],
                   fault: { delay: { latency: 10ms, jitter: 2ms } } }"#,
    change: "--delay 15ms",
};

/// An emulated processor has no more than so many a second; rounds and rate can be asked for.
const RATE: u32 = 2000;

fn prepare(lab: &mut Lab) -> (u32, u32) {
    // Where netchaos has to make clsact itself, old kernels lose everybody's packets of that moment.
    lab.has_clsact();
    (
        setting("NETCHAOS_ROUNDS", 3),
        setting("NETCHAOS_RATE", RATE),
    )
}

#[test]
fn no_packet_of_a_target_is_lost_by_a_delay_that_comes_changes_and_goes() {
    Lab::test(&[], |lab| {
        let (rounds, rate) = prepare(lab);
        let flow = under_traffic(lab, &ROUND, rounds, "10.77.0.3:6000", rate);
        let delayed = flow
            .delays()
            .iter()
            .filter(|delay| **delay >= ms(10))
            .count();
        assert!(
            delayed >= 100,
            "no fault was on: {delayed} delayed of {flow}"
        );
    });
}

#[test]
fn no_packet_of_a_target_is_lost_under_one_that_stays() {
    Lab::test(&[], |lab| {
        let (rounds, rate) = prepare(lab);
        lab.netchaos("add stays --delay 20ms --to 10.77.0.0/24")
            .ok();
        let flow = under_traffic(lab, &ROUND, rounds, "10.77.0.3:6000", rate);
        assert!(flow.shortest() >= ms(20), "{flow}");
    });
}
