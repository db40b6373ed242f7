//! What others take away from under experiments: said by name, put back by `repair`, with the counters going on.
//! On whatever kernel this machine has.

use netchaos::kernel::{bpf::tcx, netlink::Hook};
use netchaos_tests::{
    foreign::{self, Tcx, Verdict},
    lab::{DEVICE, Lab},
    lost::{self, Breakage},
};
use nix::net::if_::if_nametoindex;
use serde_json::Value;

const ADD: &str = "add cut --partition --direction both --to 10.77.0.3 fd77::4";

fn assert_at_work(lab: &Lab, what: &str) {
    let expected = [("10.77.0.3", true), ("fd77::4", true), ("10.77.0.2", false)];
    lab.assert_cut(what, &expected);
}

fn listed(lab: &Lab) -> Value {
    let mut list = lab.netchaos("list -o json").ok().json();
    list[0].take()
}

#[test]
fn whatever_others_take_away_is_told_and_put_back() {
    Lab::test_with(&[], |lab| {
        lab.netchaos(ADD).ok();
        assert_at_work(lab, "new");
        let breakages: [Breakage; 5] = [
            lost::UPPER,
            lost::LOWER,
            lost::UPPER_DOWN,
            lost::CLSACT_OF_LOWER,
            lost::PROGRAM,
        ];
        for Breakage { what, says, act } in breakages {
            let before = listed(lab);
            act(lab);
            let listed = listed(lab);
            assert_eq!(listed["state"], "lost", "{what}: {listed:#}");
            let missing = listed["missing"].to_string();
            assert!(missing.contains(says), "{what}: {missing}");
            lab.assert_cut(what, &[("10.77.0.2", false), ("fd77::3", false)]);
            lab.netchaos("show cut").ok().says(&["lost", says]);

            let repaired = lab.netchaos("repair -o json").ok().json();
            assert_eq!(repaired[0]["name"], "cut", "{what}: {repaired:#}");
            assert_eq!(repaired[0]["isBack"], true, "{what}: {repaired:#}");
            assert!(repaired[0]["found"].to_string().contains(says), "{what}");
            assert_at_work(lab, what);
            let after = self::listed(lab);
            assert_eq!(after["state"], "active", "{what}: {after:#}");
            assert!(
                after["packets"].as_u64() > before["packets"].as_u64(),
                "{what}: the counters go on: {before:#} {after:#}"
            );
            assert_eq!(after["created"], before["created"], "{what}");
            lab.netchaos("repair").ok().says(&["nothing to repair"]);
        }
    });
}

#[test]
fn one_that_comes_in_front_and_ends_the_chain_is_named_and_repair_goes_before_it() {
    Lab::test_with(&[], |lab| {
        lab.netchaos("add cut --partition --to 10.77.0.3").ok();
        let ender = foreign::load(Verdict::EndsTheChain);
        if !lab
            .client
            .run(|| foreign::attach_first(&ender, Tcx::Egress))
        {
            return;
        }
        lab.assert_cut("hidden", &[("10.77.0.3", false)]);
        let listed = listed(lab);
        assert_eq!(listed["state"], "lost", "{listed:#}");
        assert!(
            listed["missing"].to_string().contains("foreign"),
            "{listed:#}"
        );
        lab.netchaos("repair")
            .ok()
            .says(&["cut repaired", "foreign"]);
        lab.assert_cut("in front again", &[("10.77.0.3", true)]);
        let programs = lab.client.run(|| {
            let index = if_nametoindex(DEVICE).expect("the device is there");
            let programs = tcx::programs(index, Hook::Egress).expect("root can ask");
            programs.expect("the kernel has tcx")
        });
        assert_eq!(programs.len(), 2, "the other one has gone");
        lab.netchaos("remove cut").ok();
        lab.is_the_users();
    });
}

#[test]
fn a_place_where_nobody_knows_the_faults_any_more_is_swept() {
    Lab::test_with(&[], |lab| {
        lab.netchaos(ADD).ok();
        (lost::CLSACT_OF_LOWER.act)(lab);
        (lost::PROGRAM.act)(lab);
        (lost::INGRESS_PROGRAM.act)(lab);
        lab.netchaos("repair")
            .ok()
            .says(&["took away", "nobody knows"]);
        lab.assert_nothing_left();
        lab.assert_cut("swept", &[("10.77.0.3", false)]);
        lab.netchaos("list").ok().says(&["no experiments"]);
    });
}

#[test]
fn a_device_that_is_gone_takes_its_experiment_along() {
    Lab::test_with(&[], |lab| {
        lab.netchaos(ADD).ok();
        lab.client.ip(&format!("link del {DEVICE}"));
        let listed = listed(lab);
        assert_eq!(listed["state"], "lost", "{listed:#}");
        lab.netchaos("repair").ok().says(&["cut removed", "gone"]);
        assert_eq!(lab.client.devices(), [""; 0]);
        lab.is_the_users();
    });
}
