//! Taking a fault away: no packet is lost by it, and nothing is left.

use std::thread;

use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::{Flow, Options, filter_packets, netem_queue, realtime},
    requires::Need,
};

fn flow(lab: &Lab, to: &str, count: u64, rate: Option<u32>) -> Flow {
    Flow::start(&lab.client, &lab.peer, peer(to), Options::new(count, rate))
}

#[test]
fn adding_and_removing_under_traffic_loses_nothing_of_the_target_and_of_nobody_else() {
    Lab::test(&[], |lab| {
        let flows = [
            ("the target's", flow(lab, "10.77.0.3:6000", 4000, Some(400))),
            ("another's", flow(lab, "10.77.0.2:6001", 4000, Some(400))),
            ("IPv6", flow(lab, "[fd77::3]:6002", 4000, Some(400))),
        ];
        // What was done when, so that a loss says where it comes from.
        let mut steps = Vec::new();
        let mut step = |lab: &Lab, args: &str| {
            let begin = realtime();
            lab.netchaos(args).ok();
            steps.push((args.to_owned(), begin..realtime()));
        };
        while !flows.iter().any(|(_, flow)| flow.is_sent()) {
            step(lab, "add slow --delay 200ms --to 10.77.0.3");
            thread::sleep(ms(300));
            step(lab, "remove slow");
        }
        assert!(steps.len() >= 4, "the flow was over after {steps:?}");
        lab.assert_nothing_left();
        let flows = flows.map(|(whose, flow)| (whose, flow.finish(ms(2000))));
        for (whose, flow) in &flows {
            let during = |number: &u64| {
                let sent = flow.sent_at(*number);
                let step = steps.iter().find(|(_, time)| time.contains(&sent));
                step.map_or((*number, "between", 0, 0), |(step, time)| {
                    let micros = |nanoseconds| nanoseconds / 1000;
                    (
                        *number,
                        step,
                        micros(sent - time.start),
                        micros(time.end - sent),
                    )
                })
            };
            let lost: Vec<_> = flow.lost().iter().map(during).collect();
            assert!(lost.is_empty(), "{whose}: lost {lost:?}: {flow}");
            flow.assert_whole(whose);
        }
        let [(_, target), others @ ..] = &flows;
        let delayed = target
            .delays()
            .iter()
            .filter(|delay| **delay >= ms(200))
            .count();
        assert!(
            delayed >= 100,
            "no fault was on: {delayed} delayed of {target}"
        );
        for (whose, flow) in others {
            flow.assert_in_order(whose);
            assert!(flow.median() < ms(20), "{whose}: {flow}");
        }
    });
}

#[test]
fn packets_that_wait_when_their_fault_is_removed_still_arrive() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 3s --to 10.77.0.3").ok();
        lab.netchaos("add other --delay 3s --to 10.77.0.4").ok();
        let flows = [
            flow(lab, "10.77.0.3:6000", 200, None),
            flow(lab, "10.77.0.4:6000", 200, None),
        ];
        thread::sleep(ms(300));
        assert_eq!(netem_queue(&lab.client), 400, "packets that wait");
        lab.netchaos("remove slow").ok();
        lab.assert_prompt("10.77.0.3");
        let flows = flows.map(|flow| flow.finish(ms(5000)));
        for flow in &flows {
            flow.assert_whole("waiting packets");
            assert!(flow.shortest() >= ms(3000), "cut short: {flow}");
        }
    });
}

#[test]
fn a_policy_at_the_other_end_sees_every_packet_the_drained_ones_too() {
    Lab::test(&[Need::Flower], |lab| {
        lab.peer.tc_batch(&[
            "qdisc add dev eth0 clsact".to_owned(),
            "filter add dev eth0 ingress pref 1 protocol ip flower ip_proto udp dst_port 6000 \
             action drop"
                .to_owned(),
        ]);
        let seen = || filter_packets(&lab.peer, "eth0", "ingress", 1);
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        lab.netchaos("add more --delay 2s --to 10.77.0.3").ok();
        let dropped = flow(lab, "10.77.0.3:6000", 100, None);
        let let_by = flow(lab, "10.77.0.3:6001", 100, None);
        thread::sleep(ms(200));
        assert!(netem_queue(&lab.client) >= 150, "the packets wait");
        lab.netchaos("remove --all").ok();
        lab.assert_nothing_left();
        let_by
            .finish(ms(4000))
            .assert_whole("what the policy lets by");
        let dropped = dropped.finish(ms(500));
        assert_eq!(dropped.arrived(), 0, "got past the policy: {dropped}");
        assert_eq!(seen(), 100, "packets that the policy saw");
    });
}

#[test]
fn removal_without_waiting_takes_no_time_and_loses_only_what_waited() {
    Lab::test(&[], |lab| {
        lab.netchaos("add slow --delay 60s --to 10.77.0.3").ok();
        let waiting = flow(lab, "10.77.0.3:6000", 50, None);
        let bystander = flow(lab, "10.77.0.2:6001", 2000, Some(500));
        thread::sleep(ms(300));
        let removed = lab.netchaos("remove slow --now").ok();
        assert!(removed.took < ms(30_000), "it waited: {removed}");
        lab.assert_nothing_left();
        lab.assert_prompt("10.77.0.3");
        bystander.finish(ms(1000)).assert_whole("another's");
        assert_eq!(waiting.finish(ms(100)).arrived(), 0);
    });
}

#[test]
fn many_faults_in_turn_leave_nothing() {
    Lab::test(&[], |lab| {
        for turn in 1..=4 {
            let delay = 20 * turn;
            lab.netchaos(&format!(
                "add a{turn} --delay {delay}ms --to 10.77.0.3 fd77::/64"
            ))
            .ok();
            lab.netchaos("add b --delay 10ms --all-traffic").ok();
            lab.assert_delayed("10.77.0.3", ms(delay + 10));
            lab.netchaos(&format!("remove b a{turn}")).ok();
            lab.assert_nothing_left();
            lab.assert_prompt("10.77.0.3");
        }
        lab.netchaos("remove b").fails_with(1).says(&["b"]);
    });
}
