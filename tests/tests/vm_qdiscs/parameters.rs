//! What was sent, what is read back, and what tc shows; and what the kernel refuses.

use netchaos::{
    kernel::netlink::{Error, NewLink},
    qdisc::{ClassId, Distribution, Netem, Tbf},
};
use netchaos_tests::{
    netns::Netns,
    requires::{DELAY, can_run, kernel_version},
};
use serde_json::{Value, json};

use crate::{BAND, NETEM, TBF, add_dummy, add_prio, inside, link, percent, qdisc, tc};

fn everything() -> Netem {
    Netem {
        latency: 50_000_000,
        jitter: 2_000_000,
        delay_correlation: percent(25),
        distribution: None,
        limit: 70_000,
        loss: percent(1),
        loss_correlation: percent(2),
        duplicate: percent(3),
        duplicate_correlation: percent(4),
        corrupt: percent(5),
        corrupt_correlation: percent(6),
        reorder: percent(7),
        reorder_correlation: percent(8),
        gap: 5,
        rate: 1_250_000,
        seed: Some(9),
    }
}

/// `options` of `tc -j` for [`everything`].
fn everything_of_tc() -> Value {
    json!({
        "limit": 70_000,
        "delay": {"delay": 0.05, "jitter": 0.002, "correlation": 0.25},
        "loss-random": {"loss": 0.01, "correlation": 0.02},
        "duplicate": {"duplicate": 0.03, "correlation": 0.04},
        "corrupt": {"corrupt": 0.05, "correlation": 0.06},
        "reorder": {"reorder": 0.07, "correlation": 0.08},
        "gap": 5,
        "rate": rate_of_tc(1_250_000),
    })
}

fn rate_of_tc(rate: u64) -> Value {
    json!({"rate": rate, "packetoverhead": 0, "cellsize": 0, "celloverhead": 0})
}

/// What a netem is changed into, step by step, and `options` of `tc -j` for it: each takes
/// something away that the one before it had.
fn steps() -> Vec<(Netem, Value)> {
    let bare = Netem {
        limit: 1000,
        ..Netem::default()
    };
    let delayed = Netem {
        latency: 10_000_000,
        ..bare.clone()
    };
    let spread = Netem {
        jitter: 1_000_000_000,
        distribution: Some(Distribution::ParetoNormal),
        ..delayed.clone()
    };
    let fast = Netem {
        rate: 12_500_000_000,
        ..bare.clone()
    };
    let in_order = Netem {
        rate: Netem::IN_ORDER,
        ..delayed.clone()
    };
    let slow = Netem {
        rate: 1000,
        ..bare.clone()
    };
    let delay = |jitter: u32| json!({"delay": 0.01, "jitter": jitter, "correlation": 0});
    vec![
        (everything(), everything_of_tc()),
        (delayed, json!({"limit": 1000, "delay": delay(0), "gap": 0})),
        (spread, json!({"limit": 1000, "delay": delay(1), "gap": 0})),
        (
            fast,
            json!({"limit": 1000, "rate": rate_of_tc(12_500_000_000), "gap": 0}),
        ),
        (
            in_order,
            json!({"limit": 1000, "delay": delay(0), "rate": rate_of_tc(Netem::IN_ORDER), "gap": 0}),
        ),
        (
            slow,
            json!({"limit": 1000, "rate": rate_of_tc(1000), "gap": 0}),
        ),
        (everything(), everything_of_tc()),
        (bare, json!({"limit": 1000, "gap": 0})),
    ]
}

#[test]
fn a_netem_is_what_was_sent_and_is_changed_in_place() {
    if !can_run(DELAY) {
        return;
    }
    let netns = Netns::new("qdiscs");
    inside(&netns, async |netlink| {
        let dummy = add_dummy(netlink, "d0").await;
        add_prio(netlink, &dummy).await;
        let bare = Netem::default();
        netlink
            .add_qdisc(dummy.as_device(), BAND, NETEM, &bare)
            .await
            .unwrap();
    });
    for (netem, expected) in steps() {
        let found = inside(&netns, async |netlink| {
            let dummy = link(netlink, "d0").await;
            netlink
                .change_qdisc(dummy.as_device(), BAND, NETEM, &netem)
                .await
                .unwrap();
            qdisc(netlink, NETEM).await.netem().unwrap()
        });
        println!("{netem}");
        assert!(netem.reads_as(&found), "{netem} is {found}");
        if kernel_version() >= (6, 6) {
            assert!(found.seed.is_some(), "{found}");
        }
        let mut options = tc(&netns, NETEM)["options"].take();
        options.as_object_mut().unwrap().remove("ecn");
        println!("{options}");
        assert_eq!(options, expected, "{netem}");
    }
}

/// The line of `tc qdisc show` from the options on.
fn line(netns: &Netns, handle: ClassId) -> String {
    let lines = netns.tc("qdisc show");
    let mut lines = lines.lines();
    let line = lines.find(|line| line.contains(&format!(" {handle} ")));
    let line = line.unwrap_or_else(|| panic!("no qdisc {handle}"));
    let (_, options) = line.split_once(" rate ").expect("a tbf has a rate");
    options.trim().to_owned()
}

#[test]
fn a_tbf_is_what_was_sent_and_is_changed_in_place() {
    if !can_run(DELAY) {
        return;
    }
    let slow = Tbf {
        rate: 1_250_000,
        limit: 22_500,
        burst: 10_000,
        ..Tbf::default()
    };
    let peak = Tbf {
        peakrate: 2_500_000,
        mtu: 1600,
        ..slow.clone()
    };
    let fast = Tbf {
        rate: 5_000_000_000,
        burst: 1_002_500,
        peakrate: 10_000_000_000,
        mtu: 12_000,
        ..slow.clone()
    };
    let slowest = Tbf {
        rate: 1,
        burst: 2000,
        ..slow.clone()
    };
    let steps = [
        (&slow, "10Mbit burst 10000b lat 10ms"),
        (
            &peak,
            "10Mbit burst 10000b peakrate 20Mbit minburst 1600b lat 10ms",
        ),
        // tc rounds to microseconds.
        (
            &fast,
            "40Gbit burst 1000000b peakrate 80Gbit minburst 10000b lat 1us",
        ),
        // And its 32-bit ticks wrap around: 2000 s are 75.
        (&slowest, "8bit burst 75b lat 949s"),
        (&slow, "10Mbit burst 10000b lat 10ms"),
    ];
    let netns = Netns::new("qdiscs");
    let dummy = inside(&netns, async |netlink| {
        let dummy = add_dummy(netlink, "d0").await;
        add_prio(netlink, &dummy).await;
        netlink
            .add_qdisc(dummy.as_device(), BAND, TBF, &peak)
            .await
            .unwrap();
        dummy
    });
    for (tbf, expected) in steps {
        let found = inside(&netns, async |netlink| {
            netlink
                .change_qdisc(dummy.as_device(), BAND, TBF, tbf)
                .await
                .unwrap();
            qdisc(netlink, TBF).await.tbf().unwrap()
        });
        println!("{tbf}\n{}", line(&netns, TBF));
        assert!(tbf.reads_as(&found), "{tbf} is {found}");
        assert_eq!(line(&netns, TBF), expected, "{tbf}");
    }
}

#[test]
fn a_netem_that_duplicates_is_refused_by_name_where_it_has_to_be_alone() {
    if !can_run(DELAY) {
        return;
    }
    let netns = Netns::new("qdiscs");
    let plain = Netem {
        latency: 1_000_000,
        limit: 1000,
        ..Netem::default()
    };
    let twice = Netem {
        duplicate: percent(10),
        ..plain.clone()
    };
    let next_to = inside(&netns, async |netlink| {
        let dummy = add_dummy(netlink, "d0").await;
        add_prio(netlink, &dummy).await;
        let dummy = dummy.as_device();
        netlink.add_qdisc(dummy, BAND, NETEM, &plain).await.unwrap();
        let next = ClassId::new(0x4e43, 2);
        let handle = ClassId::new(0x102, 0);
        netlink.add_qdisc(dummy, next, handle, &twice).await
    });
    println!("{next_to:?}");
    // As Debian's kernels of these lines have it; 6.12.93 lifted it.
    match kernel_version() {
        (5, 10) | (6, 1 | 18) => assert!(next_to.is_err()),
        (6, 12) | (7, 3) => assert!(next_to.is_ok(), "{next_to:?}"),
        _ => {}
    }
    assert!(next_to.as_ref().err().is_none_or(Error::is_duplicate_rule));
    inside(&netns, async |netlink| {
        let other = add_dummy(netlink, "d1").await;
        add_prio(netlink, &other).await;
        let other = other.as_device();
        netlink.add_qdisc(other, BAND, NETEM, &twice).await.unwrap();
        netlink
            .change_qdisc(other, BAND, NETEM, &plain)
            .await
            .unwrap();
        netlink
            .change_qdisc(other, BAND, NETEM, &twice)
            .await
            .unwrap();
    });
}

#[test]
fn refusals_of_bad_parameters_are_no_duplicate_rule() {
    if !can_run(DELAY) {
        return;
    }
    let netns = Netns::new("qdiscs");
    let refused = inside(&netns, async |netlink| {
        let dummy = add_dummy(netlink, "d0").await;
        add_prio(netlink, &dummy).await;
        let slower_peak = Tbf {
            rate: 1_000_000,
            limit: 10_000,
            burst: 10_000,
            peakrate: 1000,
            mtu: 1600,
        };
        netlink
            .add_qdisc(dummy.as_device(), BAND, TBF, &slower_peak)
            .await
            .unwrap_err()
    });
    println!("{refused:?}");
    assert_eq!(refused.errno(), nix::errno::Errno::EINVAL as i32);
    assert!(!refused.is_duplicate_rule());
}

#[test]
fn links_show_their_mtu_and_take_a_bound_to_gso() {
    if !can_run(DELAY) {
        return;
    }
    let netns = Netns::new("qdiscs");
    let inherited = inside(&netns, async |netlink| {
        let lower = add_dummy(netlink, "d0").await;
        let whole = lower.gso_max_segs;
        assert!(whole > 1, "{lower:?}");
        assert_eq!(lower.mtu, 1500);
        netlink
            .set_gso_max_segs(lower.as_device(), 1)
            .await
            .unwrap();
        assert_eq!(link(netlink, "d0").await.gso_max_segs, 1);
        let macvlan = NewLink::Macvlan { lower: lower.index };
        let address = [2, 0, 0, 0, 0, 2];
        netlink
            .add_link("m0", macvlan, address, 1400, 1000)
            .await
            .unwrap();
        let upper = link(netlink, "m0").await;
        let inherited = upper.gso_max_segs;
        netlink
            .set_gso_max_segs(upper.as_device(), 1)
            .await
            .unwrap();
        for name in ["d0", "m0"] {
            netlink.set_link_up(name).await.unwrap();
        }
        let upper = link(netlink, "m0").await;
        assert_eq!((upper.gso_max_segs, upper.mtu), (1, 1400));
        inherited
    });
    println!("a macvlan had {inherited}");
    let shown = netns.ip("-d link show m0");
    assert!(shown.contains("gso_max_segs 1 "), "{shown}");
}
