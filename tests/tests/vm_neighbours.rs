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

/// Root qdiscs that Debian's kernels have, and what makes them let packets through.
const ROOTS: [&[&str]; 20] = [
    &["qdisc replace dev eth0 root handle 9: fq"],
    &["qdisc replace dev eth0 root handle 9: fq_codel"],
    &["qdisc replace dev eth0 root handle 9: pfifo_fast"],
    &["qdisc replace dev eth0 root handle 9: pfifo"],
    &["qdisc replace dev eth0 root handle 9: bfifo"],
    &["qdisc replace dev eth0 root handle 9: codel"],
    &["qdisc replace dev eth0 root handle 9: sfq"],
    &["qdisc replace dev eth0 root handle 9: cake"],
    &["qdisc replace dev eth0 root handle 9: pie"],
    &["qdisc replace dev eth0 root handle 9: fq_pie"],
    &["qdisc replace dev eth0 root handle 9: hhf"],
    &["qdisc replace dev eth0 root handle 9: sfb"],
    &["qdisc replace dev eth0 root handle 9: skbprio"],
    &["qdisc replace dev eth0 root handle 9: ets bands 3"],
    &["qdisc replace dev eth0 root handle 9: red limit 1mb avpkt 1000"],
    &["qdisc replace dev eth0 root handle 9: choke limit 1000 bandwidth 1gbit"],
    &["qdisc replace dev eth0 root handle 9: tbf rate 1gbit burst 100kb latency 50ms"],
    &["qdisc replace dev eth0 root handle 9: netem delay 30ms"],
    &[
        "qdisc replace dev eth0 root handle 9: hfsc default 1",
        "class add dev eth0 parent 9: classid 9:1 hfsc ls rate 1gbit",
    ],
    &[
        "qdisc replace dev eth0 root handle 9: htb default 1",
        "class add dev eth0 parent 9: classid 9:1 htb rate 1gbit",
    ],
];

/// Packets that the device's root qdisc has sent.
fn sent_by_root(lab: &Lab) -> u64 {
    // Not in JSON: that of iproute2 6.1 is none for hfsc.
    let text = lab.client.tc("-s qdisc show dev eth0");
    let mut lines = text.lines().skip_while(|line| !line.contains(" root "));
    let sent = lines.nth(1).and_then(|line| line.split_whitespace().nth(3));
    let packets = sent.and_then(|sent| sent.parse().ok());
    packets.unwrap_or_else(|| panic!("no root with a counter:\n{text}"))
}

#[test]
fn every_kind_of_root_qdisc_stays_and_sends_each_packet_once() {
    Lab::test(&[Need::Htb], |lab| {
        lab.know_neighbours();
        for root in ROOTS {
            let lines: Vec<String> = root.iter().map(ToString::to_string).collect();
            lab.client.tc_batch(&lines);
            let before = lab.client.tc("qdisc show dev eth0");
            lab.netchaos("add slow --delay 100ms --to 10.77.0.3").ok();
            let sent = sent_by_root(lab);
            let flow = send(lab, "10.77.0.3:6000", |_| ());
            assert!(flow.shortest() >= ms(100), "{root:?}: {flow}");
            send(lab, "10.77.0.2:6000", |_| ());
            assert_eq!(sent_by_root(lab) - sent, 2 * COUNT, "{root:?}");
            lab.netchaos("remove slow").ok();
            assert_eq!(lab.client.tc("qdisc show dev eth0"), before, "{root:?}");
            lab.client.tc("qdisc del dev eth0 root");
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
