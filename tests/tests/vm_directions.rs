//! Every fault alone, in each direction: it harms what goes the way that was asked for, and nothing
//! else.

use std::time::Duration;

use netchaos_tests::{
    directions::{Family, in_each_direction},
    lab::{Lab, ms},
    probe::{Flowed, Options},
    statistics::{Chain, assert_share},
};

/// Small datagrams, eight flows at a time.
const MANY: Options = Options::new(600, Some(300));

/// More than half of the datagrams take this long.
fn assert_slow(what: &str, flow: &Flowed, delay: Duration) {
    flow.assert_whole(what);
    assert!(flow.shortest() >= delay, "{what}: too early: {flow}");
    assert!(flow.median() < delay + ms(80), "{what}: too late: {flow}");
}

#[test]
fn delay_jitter_and_reordering_go_the_way_that_was_asked_for() {
    Lab::test(&[], |lab| {
        in_each_direction(lab, "--delay 80ms", Family::V4, MANY, |what, flow| {
            assert_slow(what, flow, ms(80));
            flow.assert_in_order(what);
        });
        let jitter = "--delay 80ms --jitter 40ms";
        in_each_direction(lab, jitter, Family::V6, MANY, |what, flow| {
            assert_slow(what, flow, ms(40));
            assert!(flow.is_reordered(), "{what}: in order");
            let mut delays = flow.delays();
            delays.sort();
            // Evenly from 40 to 120 ms: a quarter of it below 60 ms, a quarter above 100 ms.
            let quarter = delays.len() / 4;
            assert!(delays[quarter / 2] < ms(60), "{what}: nothing is earlier");
            assert!(delays[3 * quarter] > ms(90), "{what}: nothing is later");
        });
        let reorder = "--delay 150ms --reorder 30%";
        in_each_direction(lab, reorder, Family::V4, MANY, |what, flow| {
            flow.assert_whole(what);
            let early = flow
                .delays()
                .iter()
                .filter(|delay| **delay < ms(100))
                .count();
            assert_share(what, early as u64, flow.sent() as u64, &Chain::random(0.3));
        });
    });
}

#[test]
fn loss_duplication_and_corruption_go_the_way_that_was_asked_for() {
    Lab::test(&[], |lab| {
        in_each_direction(lab, "--loss 30%", Family::V6, MANY, |what, flow| {
            let lost = flow.lost().len() as u64;
            assert_share(what, lost, flow.sent() as u64, &Chain::random(0.3));
            assert_eq!(flow.arrived() as u64, flow.sent() as u64 - lost, "{what}");
        });
        in_each_direction(lab, "--duplicate 30%", Family::V4, MANY, |what, flow| {
            let copies = flow.copies();
            assert!(
                copies.iter().all(|copies| matches!(copies, 1 | 2)),
                "{what}"
            );
            let doubled = copies.iter().filter(|copies| **copies == 2).count();
            assert_share(
                what,
                doubled as u64,
                flow.sent() as u64,
                &Chain::random(0.3),
            );
        });
        // The receiver's checksum finds a wrong bit, so a corrupt datagram is one that is missing.
        in_each_direction(lab, "--corrupt 30%", Family::V6, MANY, |what, flow| {
            let missing = flow.lost().len() as u64;
            let all = flow.sent() as u64;
            // All but a wrong bit of the Ethernet header's source or of the flow label is seen.
            let least = *Chain::random(0.3 * 0.8).accepted(all).start();
            let most = *Chain::random(0.3).accepted(all).end();
            assert!(
                (least..=most).contains(&missing),
                "{what}: {missing} of {all}"
            );
        });
    });
}

#[test]
fn rate_and_bandwidth_go_the_way_that_was_asked_for() {
    Lab::test(&[], |lab| {
        // 50 datagrams of 1042 bytes with their headers (IPv6: 1062), at once.
        let burst = Options {
            bytes: 1000,
            ..Options::new(50, None)
        };
        // 1 Mbit/s is 8.3 ms for each; the last one waits for all before it.
        in_each_direction(lab, "--rate 1mbit", Family::V4, burst, |what, flow| {
            flow.assert_whole(what);
            flow.assert_in_order(what);
            let last = flow.took();
            assert!(last >= ms(400) && last < ms(650), "{what}: {last:?}");
        });
        let bandwidth = "--bandwidth 1mbit --bandwidth-limit 100000 --bandwidth-buffer 10000";
        in_each_direction(lab, bandwidth, Family::V6, burst, |what, flow| {
            flow.assert_whole(what);
            flow.assert_in_order(what);
            let last = flow.took();
            // 10 kB of it go at once.
            assert!(last >= ms(330) && last < ms(580), "{what}: {last:?}");
        });
    });
}

#[test]
fn partition_cuts_the_way_that_was_asked_for() {
    Lab::test(&[], |lab| {
        for family in [Family::V4, Family::V6] {
            in_each_direction(lab, "--partition", family, MANY, |what, flow| {
                assert_eq!(flow.arrived(), 0, "{what}: {flow}");
            });
        }
    });
}

#[test]
fn both_directions_double_the_round_trip_and_add_up_with_others() {
    Lab::test(&[], |lab| {
        lab.netchaos("add both --delay 60ms --direction both --to 10.77.0.3 fd77::3")
            .ok();
        lab.netchaos("add from --delay 90ms --direction from --to 10.77.0.0/29 fd77::3")
            .ok();
        lab.assert_delays(
            "both and from",
            &[
                ("10.77.0.3", 210),
                ("tcp fd77::3", 210),
                ("ping 10.77.0.3", 210),
                ("fd77::3", 210),
                ("10.77.0.4", 90),
                ("fd77::4", 0),
                ("10.77.0.9", 0),
                ("arp 10.77.0.3", 0),
                ("nd fd77::3", 0),
            ],
        );
        lab.netchaos("remove both").ok();
        lab.assert_delays(
            "from",
            &[("10.77.0.3", 90), ("fd77::3", 90), ("fd77::4", 0)],
        );
    });
}
