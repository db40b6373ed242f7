//! What packets meet: in a queue that is changed, in one that is full, in one that keeps their order.

use std::thread;

use netchaos::{
    kernel::netlink::QdiscStatistics,
    qdisc::{Netem, Tbf},
};
use netchaos_tests::{
    lab::{DEVICE, Lab, ms, peer},
    probe::{Flow, Flowed, Options},
    requires::{DELAY, can_run},
};

use crate::{BAND, NETEM, TBF, UNDER, add_prio, inside, link, qdisc};

/// A lab whose client sends everything through a netem, and a tbf under it where one is asked for.
fn lab_behind(netem: &Netem, tbf: Option<&Tbf>) -> Lab {
    let lab = Lab::new();
    // The peer's hardware address is known from now on.
    lab.round_trips("10.77.0.3", 1);
    inside(&lab.client, async |netlink| {
        let device = link(netlink, DEVICE).await;
        add_prio(netlink, &device).await;
        let device = device.as_device();
        netlink.add_qdisc(device, BAND, NETEM, netem).await.unwrap();
        if let Some(tbf) = tbf {
            netlink.add_qdisc(device, UNDER, TBF, tbf).await.unwrap();
        }
    });
    lab
}

#[test]
fn a_tbf_under_a_netem_waits_after_it_and_both_are_changed_in_place_with_packets_in_them() {
    if !can_run(DELAY) {
        return;
    }
    let mut netem = Netem {
        latency: 400_000_000,
        limit: 10_000,
        ..Netem::default()
    };
    // 58 bytes a datagram: 17 a second.
    let mut tbf = Tbf {
        rate: 1000,
        limit: 100_000,
        burst: 2000,
        ..Tbf::default()
    };
    let lab = lab_behind(&netem, Some(&tbf));
    let to = peer("10.77.0.3:6000");
    let flow = Flow::start(&lab.client, &lab.peer, to, Options::new(600, Some(500)));
    thread::sleep(ms(1000));
    let (above, under) = inside(&lab.client, async |netlink| {
        let device = link(netlink, DEVICE).await;
        let above = qdisc(netlink, NETEM).await.statistics;
        let under = qdisc(netlink, TBF).await.statistics;
        netem.latency = 200_000_000;
        netlink
            .change_qdisc(device.as_device(), BAND, NETEM, &netem)
            .await
            .unwrap();
        tbf.rate = 1_000_000;
        netlink
            .change_qdisc(device.as_device(), UNDER, TBF, &tbf)
            .await
            .unwrap();
        let found = qdisc(netlink, TBF).await;
        assert_eq!(found.parent, UNDER);
        assert!(tbf.reads_as(&found.tbf().unwrap()));
        (above, under)
    });
    println!("{above:?}\n{under:?}");
    assert!(under.queued > 50, "{under:?}");
    assert!(under.backlog / under.queued >= 58, "{under:?}");
    assert!(under.overlimits > 0, "{under:?}");
    let flow = flow.finish(ms(4000));
    println!("{flow}");
    flow.assert_whole("packets of before and after the change");
    assert!(flow.shortest() >= ms(200), "{flow}");
    let drops = inside(&lab.client, async |netlink| {
        qdisc(netlink, NETEM).await.statistics.drops + qdisc(netlink, TBF).await.statistics.drops
    });
    assert_eq!(drops, 0);
}

#[test]
fn what_a_full_queue_drops_is_counted() {
    if !can_run(DELAY) {
        return;
    }
    let netem = Netem {
        latency: 3_000_000_000,
        limit: 100,
        ..Netem::default()
    };
    let lab = lab_behind(&netem, None);
    let to = peer("10.77.0.3:6000");
    let flow = Flow::start(&lab.client, &lab.peer, to, Options::new(300, Some(1000)));
    thread::sleep(ms(1000));
    let QdiscStatistics {
        drops,
        queued,
        backlog,
        ..
    } = inside(&lab.client, async |netlink| {
        qdisc(netlink, NETEM).await.statistics
    });
    let flow = flow.finish(ms(4000));
    println!("{flow}; {drops} dropped");
    // A probe for a neighbour may be among them.
    assert!((95..=100).contains(&flow.arrived()), "{flow}");
    let asked_for = 300 - flow.arrived() as u64;
    assert!((asked_for..asked_for + 5).contains(&drops), "{drops}");
    assert_eq!(queued, 100);
    assert!(backlog >= 58 * 95, "{backlog}");
}

/// How many arrived before one that was sent earlier.
fn overtaking(flow: &Flowed) -> usize {
    let delays = flow.delays();
    let arrival = |number: usize| flow.sent_at(number as u64) + delays[number].as_nanos() as u64;
    (1..delays.len())
        .filter(|number| arrival(*number) < arrival(number - 1))
        .count()
}

#[test]
fn a_rate_that_costs_nothing_keeps_the_order_of_jitter() {
    if !can_run(DELAY) {
        return;
    }
    let mut netem = Netem {
        latency: 50_000_000,
        jitter: 40_000_000,
        limit: 10_000,
        ..Netem::default()
    };
    let lab = lab_behind(&netem, None);
    let flow = || {
        let to = peer("10.77.0.3:6000");
        let options = Options::new(1000, Some(500));
        let flow = Flow::start(&lab.client, &lab.peer, to, options).finish(ms(2000));
        flow.assert_whole("jitter");
        assert!(flow.shortest() >= ms(10), "{flow}");
        flow
    };
    let reordered = flow();
    println!("{} overtook: {reordered}", overtaking(&reordered));
    assert!(overtaking(&reordered) > 100, "{reordered}");
    netem.rate = Netem::IN_ORDER;
    inside(&lab.client, async |netlink| {
        let device = link(netlink, DEVICE).await;
        netlink
            .change_qdisc(device.as_device(), BAND, NETEM, &netem)
            .await
            .unwrap();
    });
    let kept = flow();
    let longest = kept.delays().into_iter().max().unwrap();
    println!(
        "{} overtook: {kept}, {longest:.1?} at most",
        overtaking(&kept)
    );
    kept.assert_in_order("kept");
    assert_eq!(overtaking(&kept), 0, "{kept}");
    // Nobody waits longer than the longest delay: 90 ms, and what an emulated processor is late.
    assert!(longest < ms(90 + 100), "{longest:?}");
    assert!(kept.median() < ms(90 + 40), "{kept}");
    assert!(kept.median() > ms(50), "{kept}");
}
