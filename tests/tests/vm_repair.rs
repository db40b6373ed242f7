//! What others take away from under a delay, and who leaves no place for it.

use netchaos_tests::{
    lab::{DEVICE, Lab, ms},
    lost::{self, Breakage},
    requires::{Need, kernel_version},
};

const ADD: &str = "add slow --delay 100ms --to 10.77.0.3";

#[test]
fn whatever_others_take_away_is_told_and_put_back() {
    Lab::test(&[], |lab| {
        // Of the user's own, so that with the filter no clsact goes.
        lab.client.tc(&format!("qdisc add dev {DEVICE} clsact"));
        lab.is_the_users();
        lab.netchaos(ADD).ok();
        let changed = Breakage {
            what: "the netem is changed",
            says: "the band should hold",
            act: |lab| {
                let to = "parent 4e43:2 handle 102: netem delay 3ms limit 9";
                drop(
                    lab.client
                        .tc(&format!("qdisc change dev {} {to}", lost::upper(lab))),
                );
            },
        };
        for Breakage { what, says, act } in [
            lost::TREE,
            lost::BAND,
            lost::LOWER,
            lost::CLSACT_OF_LOWER,
            lost::PROGRAM,
            changed,
        ] {
            act(lab);
            lab.netchaos("show slow").ok().says(&[says]);
            lab.assert_prompt("10.77.0.2");
            let repaired = lab.netchaos("repair").ok().says(&["slow repaired", says]);
            println!("{what}: {}", repaired.stdout);
            lab.assert_delayed("10.77.0.3", ms(100));
            lab.assert_prompt("10.77.0.2");
        }
        lab.netchaos("repair").ok().says(&["nothing to repair"]);
    });
}

/// Where there is no tcx, ours is a filter of the lowest pref.
#[test]
fn a_filter_that_leaves_no_place_in_front_is_named_and_nothing_is_changed() {
    Lab::test(&[Need::Flower], |lab| {
        lab.client.tc_batch(&[
            format!("qdisc add dev {DEVICE} clsact"),
            format!(
                "filter add dev {DEVICE} egress pref 1 protocol ip flower ip_proto udp action ok"
            ),
        ]);
        lab.is_the_users();
        let added = lab.netchaos(ADD);
        if kernel_version() < (6, 6) {
            added
                .fails_with(1)
                .says(&["pref 1 flower", DEVICE, "egress"]);
            lab.assert_nothing_left();
            lab.assert_prompt("10.77.0.3");
        } else {
            added.ok();
            lab.assert_delayed("10.77.0.3", ms(100));
        }
    });
}
