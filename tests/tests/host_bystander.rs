//! Other traffic at 50,000 packets a second, while faults come, change and go: none is lost, none is overtaken. On
//! whatever kernel this machine has.

use netchaos_tests::{
    lab::Lab,
    requires::kernel_version,
    rounds::{Round, under_traffic},
    settings::setting,
};

const ROUND: Round = Round {
    manifest: r#"{ apiVersion: netchaos/v1, kind: Experiment, name: round, direction: both,
                   to: [10.77.0.3, 10.79.0.0/16], fault: { partition: true } }"#,
    change: "--loss 50%",
};

/// Sends to somebody whom no fault wants.
fn assert_untouched(lab: &mut Lab) {
    if kernel_version() < (6, 6) {
        // Where netchaos has to make clsact itself, the kernel loses everybody's packets of that moment.
        lab.has_clsact();
    }
    let rounds = setting("NETCHAOS_ROUNDS", 100);
    let rate = setting("NETCHAOS_RATE", 50_000);
    let flow = under_traffic(lab, &ROUND, rounds, "10.77.0.2:6000", rate);
    flow.assert_in_order("somebody else's");
}

#[test]
fn nobody_elses_packet_is_lost_or_overtaken_by_the_first_fault_and_the_last() {
    Lab::test_with(&[], assert_untouched);
}

#[test]
fn nobody_elses_packet_is_lost_or_overtaken_beside_other_faults() {
    Lab::test_with(&[], |lab| {
        lab.netchaos("add stays --loss 10% --to 10.77.0.5 10.80.0.0/16 --port 80,443")
            .ok();
        assert_untouched(lab);
    });
}
