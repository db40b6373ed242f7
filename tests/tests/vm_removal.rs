//! Taking a fault away: no packet is lost by it, and nothing is left.

use std::{thread, time::Duration};

use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::{Flow, Flowed, Options, filter_packets, netem_queue, realtime},
    requires::{Need, kernel_version},
};

fn flow(lab: &Lab, to: &str, count: u64, rate: Option<u32>) -> Flow {
    Flow::start(&lab.client, &lab.peer, peer(to), Options::new(count, rate))
}

const FIRST: &str = "add first --delay 200ms --to 10.77.0.3";
const LAST: &str = "remove first";

/// Adds and removes two faults, again and again, while flows go by. Gives back what was lost, and
/// in which step: each flow's name, the number of the datagram, the command that ran when it was
/// sent.
fn lost_under_traffic(lab: &Lab) -> Vec<(&'static str, u64, String)> {
    let flows = [
        ("the target's", "10.77.0.3:6000"),
        ("another's", "10.77.0.2:6001"),
        ("the other family's", "[fd77::3]:6002"),
    ];
    let flows = flows.map(|(whose, to)| (whose, flow(lab, to, u64::MAX, Some(400))));
    let mut steps = Vec::new();
    for _ in 0..2 {
        for args in [
            FIRST,
            "add second --delay 50ms --to 10.77.0.3",
            "remove second",
            LAST,
        ] {
            let begin = realtime();
            lab.netchaos(args).ok();
            steps.push((args, begin..realtime()));
            thread::sleep(ms(50));
        }
    }
    lab.assert_nothing_left();

    for (_, flow) in &flows {
        flow.stop();
    }
    let flows = flows.map(|(whose, flow)| (whose, flow.finish(ms(2000))));
    for (whose, flow) in &flows {
        assert_eq!(
            flow.arrived() + flow.lost().len(),
            flow.sent(),
            "{whose}: some came twice"
        );
    }
    let [(_, target), others @ ..] = &flows;
    let is_delayed = |delay: &&Duration| **delay >= ms(200);
    let delayed = target.delays().iter().filter(is_delayed).count();
    assert!(
        delayed >= 100,
        "no fault was on: {delayed} delayed of {target}"
    );
    for (whose, flow) in others {
        flow.assert_in_order(whose);
        assert!(flow.median() < ms(20), "{whose}: {flow}");
    }
    let step_of = |sent| {
        let step = steps.iter().find(|(_, time)| time.contains(&sent));
        step.map_or("between the commands", |(args, _)| args)
            .to_owned()
    };
    let lost = |(whose, flow): &(&'static str, Flowed)| {
        let lost = flow.lost().into_iter();
        lost.map(|number| (*whose, number, step_of(flow.sent_at(number))))
            .collect::<Vec<_>>()
    };
    flows.iter().flat_map(lost).collect()
}

#[test]
fn adding_and_removing_under_traffic_loses_nothing_of_the_target_and_of_nobody_else() {
    Lab::test(&[], |lab| {
        lab.has_clsact();
        assert_eq!(lost_under_traffic(lab), []);
    });
}

/// A kernel takes a device's queues out of service for a moment when clsact comes or goes
/// (net/sched/sch_api.c, `qdisc_graft`), and everybody's packets of that moment are lost. From 6.6
/// on there is tcx, which needs no clsact.
#[test]
fn without_clsact_nothing_is_lost_where_there_is_tcx_and_else_only_by_the_first_and_the_last() {
    Lab::test(&[], |lab| {
        let mut lost = lost_under_traffic(lab);
        println!("lost: {lost:?}");
        if kernel_version() < (6, 6) {
            lost.retain(|(_, _, step)| step != FIRST && step != LAST);
        }
        assert_eq!(lost, []);
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
        // With it gone or come, old kernels lose others' packets: not what is asked here.
        lab.has_clsact();
        lab.netchaos("add slow --delay 60s --to 10.77.0.3").ok();
        let waiting = flow(lab, "10.77.0.3:6000", 50, None);
        let bystander = flow(lab, "10.77.0.2:6001", u64::MAX, Some(500));
        thread::sleep(ms(300));
        let removed = lab.netchaos("remove slow --now").ok();
        assert!(removed.took < ms(30_000), "it waited: {removed}");
        lab.assert_nothing_left();
        lab.assert_prompt("10.77.0.3");
        bystander.stop();
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
