//! Partition and loss need no netem: on whatever kernel this machine has.

use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::{Flow, Options, assert_silent},
    requires::{Need, can_run_without},
    statistics::{Chain, assert_bursts, assert_share},
};

#[test]
fn partition_works_whatever_the_kernel_lacks() {
    Lab::test_with(&[], |lab| {
        lab.netchaos("add cut --partition --direction both --to 10.77.0.3 fd77::4")
            .ok();
        for to in ["10.77.0.3", "fd77::4"] {
            lab.client.run(|| assert_silent(peer(to)));
        }
        lab.assert_delays(
            "others",
            &[
                ("10.77.0.2", 0),
                ("fd77::3", 0),
                ("arp 10.77.0.3", 0),
                ("nd fd77::4", 0),
            ],
        );
        let counted = lab.counted("cut").to;
        assert!(
            counted.dropped == counted.segments && counted.packets >= 400,
            "{counted:?}"
        );
        lab.netchaos("remove cut").ok();
        lab.assert_nothing_left();
        lab.assert_delays("afterwards", &[("10.77.0.3", 0), ("tcp fd77::4", 0)]);
    });
}

#[test]
fn loss_keeps_its_rate_and_bursts_whatever_the_kernel_lacks() {
    Lab::test_with(&[], |lab| {
        let elliott = Chain {
            worsen: 0.02,
            recover: 0.2,
            bad: 0.9,
            good: 0.01,
        };
        let chains = [
            ("--loss 1%", "10.77.0.3", Chain::random(0.01)),
            (
                "--loss 10% --loss-correlation 25% --direction from",
                "fd77::4",
                Chain::correlated(0.1, 0.25),
            ),
            ("--loss-gemodel 2%,20%,90%,1%", "fd77::5", elliott),
        ];
        const COUNT: u64 = 20_000;
        for (number, (fault, to, chain)) in chains.into_iter().enumerate() {
            lab.netchaos(&format!("add e{number} {fault} --to {to}"))
                .ok();
            let (sender, receiver, from, at) = if fault.contains("from") {
                (
                    &lab.peer,
                    &lab.client,
                    format!("[{to}]:0"),
                    "[fd77::1]:6000".to_owned(),
                )
            } else if to.contains(':') {
                (
                    &lab.client,
                    &lab.peer,
                    "[fd77::1]:0".to_owned(),
                    format!("[{to}]:6000"),
                )
            } else {
                (
                    &lab.client,
                    &lab.peer,
                    "10.77.0.1:0".to_owned(),
                    format!("{to}:6000"),
                )
            };
            let options = Options {
                source: Some(peer(&from)),
                ..Options::new(COUNT, Some(20_000))
            };
            let flow = Flow::start(sender, receiver, peer(&at), options).finish(ms(1000));
            let lost = flow.lost();
            assert_share(fault, lost.len() as u64, COUNT, &chain);
            if fault.contains("correlation") {
                assert_bursts(fault, &lost, COUNT, &chain);
            }
        }
    });
}

#[test]
fn what_the_kernel_lacks_is_named_before_anything_is_changed() {
    if !can_run_without(&[Need::Prio, Need::Netem]) {
        return;
    }
    Lab::test_with(&[], |lab| {
        lab.netchaos("add slow --delay 50ms --to 10.77.0.3")
            .fails_with(3)
            .says(&["sch_"]);
        lab.assert_nothing_left();
        lab.assert_delays("untouched", &[("10.77.0.3", 0)]);
    });
}
