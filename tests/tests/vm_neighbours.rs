//! What others have on the same device goes on as if netchaos were not there.

use netchaos_tests::{
    lab::{DEVICE, Lab, ms, peer},
    probe::{Flow, Flowed, Options, class_packets, filter_packets},
    requires::Need,
};

const COUNT: u64 = 60;

/// Sends [`COUNT`] datagrams and brings them all home.
fn send(lab: &Lab, to: &str, adjust: impl FnOnce(&mut Options)) -> Flowed {
    let mut options = Options::new(COUNT, Some(1000));
    adjust(&mut options);
    let flow = Flow::start(&lab.client, &lab.peer, peer(to), options).finish(ms(2000));
    flow.assert_whole(to);
    flow
}

/// Sends to the target and to another without a fault, under one, under two, and after them.
/// Every time `count` has to grow by what was sent.
fn assert_counts_every_packet_once(
    lab: &Lab,
    mut adjust: impl FnMut(&mut Options),
    count: impl Fn(&Lab) -> u64,
) {
    let mut expected = count(lab);
    let mut check = |when: &str, delay: u64| {
        let flow = send(lab, "10.77.0.3:6000", &mut adjust);
        assert!(flow.shortest() >= ms(delay), "{when}: {flow}");
        expected += COUNT;
        assert_eq!(count(lab), expected, "{when}: the target's packets");
        send(lab, "10.77.0.2:6000", &mut adjust);
        expected += COUNT;
        assert_eq!(count(lab), expected, "{when}: another's packets");
    };
    check("without a fault", 0);
    lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
    check("under one fault", 100);
    lab.netchaos("add more --delay 50ms --to 10.77.0.3").ok();
    check("under two faults", 150);
    lab.netchaos("remove slow more").ok();
    lab.assert_nothing_left();
    check("after the faults", 0);
}

fn tc(lab: &mut Lab, lines: &[&str]) {
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lab.client.tc_batch(&lines);
    lab.is_the_users();
}

const HTB: [&str; 3] = [
    "qdisc add dev eth0 root handle 1: htb default 20",
    "class add dev eth0 parent 1: classid 1:10 htb rate 10gbit",
    "class add dev eth0 parent 1: classid 1:20 htb rate 10gbit",
];

#[test]
fn a_class_of_the_users_htb_is_chosen_by_so_priority_as_before() {
    Lab::test(&[Need::Htb], |lab| {
        tc(lab, &HTB);
        assert_counts_every_packet_once(
            lab,
            |options| options.priority = Some(0x10010),
            |lab| class_packets(&lab.client, DEVICE, "1:10"),
        );
    });
}

#[test]
fn a_band_of_the_users_prio_is_chosen_by_a_small_priority_as_before() {
    Lab::test(&[], |lab| {
        // Priority 5 alone goes to the first band.
        let prio = "qdisc add dev eth0 root handle 1: prio bands 3 priomap \
                    2 2 2 2 2 0 2 2 2 2 2 2 2 2 2 2";
        tc(lab, &[prio]);
        assert_counts_every_packet_once(
            lab,
            |options| options.priority = Some(5),
            |lab| class_packets(&lab.client, DEVICE, "1:1"),
        );
    });
}

#[test]
fn a_class_of_the_users_htb_is_chosen_by_mark_as_before() {
    Lab::test(&[Need::Htb], |lab| {
        let by_mark = "filter add dev eth0 parent 1: protocol ip handle 7 fw classid 1:10";
        tc(lab, &[&HTB[..], &[by_mark]].concat());
        assert_counts_every_packet_once(
            lab,
            |options| options.mark = Some(7),
            |lab| class_packets(&lab.client, DEVICE, "1:10"),
        );
    });
}

#[test]
fn dscp_arrives_as_it_was_sent() {
    Lab::test(&[Need::Flower], |lab| {
        let filter = "filter add dev eth0 ingress pref 1 protocol ip flower ip_proto udp \
                      dst_port 6000 ip_tos 0xb8/0xff action ok";
        lab.peer
            .tc_batch(&["qdisc add dev eth0 clsact".to_owned(), filter.to_owned()]);
        assert_counts_every_packet_once(
            lab,
            |options| options.tos = 0xb8,
            |lab| filter_packets(&lab.peer, DEVICE, "ingress", 1),
        );
    });
}

const EGRESS_COUNTER: &str =
    "filter add dev eth0 egress pref 10 protocol ip flower ip_proto udp dst_port 6000 action ok";

#[test]
fn a_filter_of_the_users_sees_each_packet_once() {
    Lab::test(&[Need::Flower], |lab| {
        tc(lab, &["qdisc add dev eth0 clsact", EGRESS_COUNTER]);
        assert_counts_every_packet_once(
            lab,
            |_| (),
            |lab| filter_packets(&lab.client, DEVICE, "egress", 10),
        );
    });
}

#[test]
fn a_policy_on_the_device_itself_stops_delayed_packets_too() {
    Lab::test(&[Need::Flower], |lab| {
        let policy = "filter add dev eth0 egress pref 10 protocol ip flower ip_proto udp \
                      dst_port 6000 action drop";
        tc(lab, &["qdisc add dev eth0 clsact", policy]);
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        let options = Options::new(COUNT, Some(1000));
        let to = peer("10.77.0.3:6000");
        let flow = Flow::start(&lab.client, &lab.peer, to, options).finish(ms(1000));
        assert_eq!(flow.arrived(), 0, "got past the policy: {flow}");
        assert_eq!(filter_packets(&lab.client, DEVICE, "egress", 10), COUNT);
        lab.assert_delayed("10.77.0.3", ms(100));
    });
}

#[test]
fn a_filter_that_came_while_a_fault_was_on_stays_when_it_goes() {
    Lab::test(&[Need::Flower], |lab| {
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
        // Where netchaos sits at tcx there is none yet.
        if !lab.client.tc("qdisc show dev eth0").contains("clsact") {
            lab.client.tc("qdisc add dev eth0 clsact");
        }
        lab.client.tc(EGRESS_COUNTER);
        send(lab, "10.77.0.3:6000", |_| ());
        let seen = || filter_packets(&lab.client, DEVICE, "egress", 10);
        assert_eq!(seen(), COUNT);
        lab.netchaos("remove slow").ok();
        send(lab, "10.77.0.3:6000", |_| ());
        assert_eq!(seen(), 2 * COUNT);
        // Its owner takes it away, and then nothing is left.
        lab.client.tc("filter del dev eth0 egress pref 10");
        if lab.client.tc("qdisc show dev eth0").contains("clsact") {
            lab.client.tc("qdisc del dev eth0 clsact");
        }
    });
}

#[test]
fn every_kind_of_root_qdisc_stays_as_it_is() {
    Lab::test(&[Need::Htb], |lab| {
        for root in [
            "fq",
            "fq_codel",
            "pfifo_fast",
            "tbf rate 1gbit burst 100kb latency 50ms",
            "netem delay 30ms",
        ] {
            tc(lab, &[&format!("qdisc replace dev eth0 root {root}")]);
            lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
            let own = if root.starts_with("netem") { 30 } else { 0 };
            lab.assert_delayed("10.77.0.3", ms(100 + own));
            lab.netchaos("remove slow").ok();
            lab.assert_nothing_left();
        }
    });
}

#[test]
fn a_foreign_macvlan_and_dummy_stay() {
    Lab::test(&[], |lab| {
        lab.client.ip_batch(
            "",
            &[
                "link add d0 type dummy".to_owned(),
                "link add m0 link d0 type macvlan mode private".to_owned(),
                "link set d0 up".to_owned(),
                "link set m0 up".to_owned(),
            ],
        );
        lab.is_the_users();
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3 --device eth0")
            .ok();
        lab.assert_delayed("10.77.0.3", ms(100));
        lab.netchaos("remove slow").ok();
        lab.assert_nothing_left();
        lab.netchaos("add slow --delay 100ms --to 10.77.0.3 --device eth0")
            .ok();
        lab.netchaos("heal").ok();
    });
}
