//! What `doctor` finds lying about, of netchaos and of others, and what `doctor --clean` takes away.

use std::{thread, time::Duration};

use netchaos_tests::{
    command::run,
    lab::{DEVICE, Lab},
    lost,
    meta::change_meta,
    netchaos::netchaos,
};
use serde_json::Value;

/// What `doctor` says of the client's namespace, with these flags.
#[track_caller]
fn leftovers(lab: &Lab, flags: &str) -> Vec<Value> {
    let found = lab.netchaos(&format!("doctor {flags} -o json")).ok().json();
    let places = found["places"].as_array().expect("an array");
    assert_eq!(places.len(), 1, "{found}");
    assert_eq!(places[0]["unseen"], serde_json::json!([]), "{found}");
    places[0]["leftovers"].as_array().expect("an array").clone()
}

#[track_caller]
fn assert_one(lab: &Lab, owner: &str, certain: bool, dead: bool, says: &str) {
    let found = leftovers(lab, "");
    let is_it = |left: &Value| {
        left["owner"] == owner
            && left["isCertain"] == certain
            && left["isDead"] == dead
            && left["what"]
                .as_str()
                .is_some_and(|what| what.contains(says))
            && left["undo"].as_str().is_some_and(|undo| !undo.is_empty())
    };
    assert!(found.len() == 1 && is_it(&found[0]), "{says}: {found:?}");
}

/// Cleans up and expects that of netchaos nothing is left, in any sense.
#[track_caller]
fn assert_cleaned(lab: &Lab, says: &str) {
    lab.netchaos("doctor --clean").ok().says(&[says]);
    assert_eq!(leftovers(lab, ""), Vec::<Value>::new());
    lab.assert_nothing_left();
}

#[test]
fn what_is_dead_of_netchaos_is_found_and_taken_away() {
    Lab::test_with(&[], |lab| {
        let add = "add cut --partition --direction both --to 10.77.0.3";
        assert_eq!(leftovers(lab, ""), Vec::<Value>::new());

        // What somebody has taken away is not dead, as long as one program knows what it was.
        lab.netchaos(add).ok();
        (lost::LOWER.act)(lab);
        assert_one(lab, "netchaos", true, false, "its pair of devices is gone");
        lab.netchaos("doctor --clean").ok();
        lab.netchaos("list").ok().says(&["cut", "lost"]);
        lab.netchaos("repair").ok().says(&["cut repaired"]);

        // A pair without any program.
        for breakage in [lost::CLSACT_OF_LOWER, lost::PROGRAM, lost::INGRESS_PROGRAM] {
            (breakage.act)(lab);
        }
        assert_one(lab, "netchaos", true, true, "without their program");
        assert_cleaned(lab, "without their program");

        // An experiment that has ended.
        lab.netchaos(&format!("{add} --for 1s")).ok();
        thread::sleep(Duration::from_millis(1200));
        assert_one(lab, "netchaos", true, true, "cut: has ended");
        assert_cleaned(lab, "cut: has ended");
    });
}

#[test]
fn what_is_at_work_stays_beside_what_is_dead() {
    Lab::test_with(&[], |lab| {
        lab.netchaos("add stays --partition --to 10.77.0.3").ok();
        lab.netchaos("add brief --partition --to 10.77.0.4 --for 1s")
            .ok();
        thread::sleep(Duration::from_millis(1200));
        let before = lab.netchaos("show stays -o json").ok().json();
        assert_one(lab, "netchaos", true, true, "brief: has ended");
        lab.netchaos("doctor --clean").ok().says(&["brief"]);
        assert_eq!(leftovers(lab, ""), Vec::<Value>::new());
        lab.assert_cut("cleaned", &[("10.77.0.3", true), ("10.77.0.4", false)]);
        let after = lab.netchaos("show stays -o json").ok().json();
        assert_eq!(before["created"], after["created"]);
        let listed = lab.netchaos("list -o json").ok().json();
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
        // And nothing more to do.
        let cleaned = lab.netchaos("doctor --clean -o json").ok().json();
        assert_eq!(cleaned["places"][0]["cleaned"], serde_json::json!([]));
        // What somebody has taken something away from is told, and is not dead.
        let upper = lab.lower_device().replace("ncb", "nca");
        lab.client.ip(&format!("link set {upper} down"));
        assert_one(
            lab,
            "netchaos",
            true,
            false,
            &format!("stays: {upper} is down"),
        );
        lab.netchaos("doctor --clean").ok();
        assert_one(lab, "netchaos", true, false, "is down");
    });
}

#[test]
fn what_a_dead_call_left_half_done_is_finished_and_another_versions_faults_stay() {
    Lab::test_with(&[], |lab| {
        lab.netchaos("add cut --partition --to 10.77.0.3").ok();
        change_meta(lab, |meta| meta.dirty = 1);
        assert_one(lab, "netchaos", true, true, "a call died half-way");
        lab.netchaos("doctor --clean")
            .ok()
            .says(&["cleared up", "died half-way"]);
        assert_eq!(leftovers(lab, ""), Vec::<Value>::new());
        let listed = lab.netchaos("list -o json").ok().json();
        assert_eq!(listed[0]["state"], "active", "{listed}");
        lab.assert_cut("finished", &[("10.77.0.3", true)]);

        let mut own = 0;
        change_meta(lab, |meta| own = std::mem::replace(&mut meta.abi, 99));
        for flags in ["", "--clean"] {
            let found = leftovers(lab, flags);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0]["isDead"], false, "{found:?}");
            let what = found[0]["what"].as_str().expect("words");
            assert!(what.contains("another netchaos (ABI 99"), "{what}");
        }
        lab.assert_cut("another version's", &[("10.77.0.3", true)]);
        change_meta(lab, |meta| meta.abi = own);
    });
}

#[test]
fn what_others_leave_is_found_and_never_touched() {
    Lab::test_with(&[], |lab| {
        let name = lab.client.name().to_owned();
        let inside = |line: &str| {
            let words: Vec<&str> = ["netns", "exec", &name]
                .into_iter()
                .chain(line.split(' '))
                .collect();
            run("ip", &words).ok();
        };
        for line in [
            "iptables-legacy -N CHAOS-INPUT",
            "iptables-legacy -N CHAOS-OUTPUT",
            "iptables-legacy -A OUTPUT -j CHAOS-OUTPUT",
        ] {
            inside(line);
        }
        assert_one(
            lab,
            "Chaos Mesh",
            true,
            false,
            "chains CHAOS-INPUT, CHAOS-OUTPUT",
        );
        inside("iptables-legacy -F");
        inside("iptables-legacy -X");
        assert_eq!(leftovers(lab, ""), Vec::<Value>::new());

        inside("ipset create cut_net_tgt hash:net");
        inside("ipset create mine hash:net");
        assert_one(lab, "Chaos Mesh", true, false, "ipsets cut_net_tgt");
        inside("ipset destroy");

        let tc =
            format!("qdisc add dev {DEVICE} root handle 1: tbf rate 100mbit burst 100kb limit 1mb");
        lab.client.tc(&tc);
        lab.is_the_users();
        assert_one(lab, "Chaos Mesh", false, false, "tbf");
        // Beside an experiment of ours, and after everything of ours has been cleaned up.
        lab.netchaos("add cut --partition --to 10.77.0.3").ok();
        assert_one(lab, "Chaos Mesh", false, false, "tbf");
        lab.netchaos("doctor --clean")
            .ok()
            .says(&["looks like Chaos Mesh's, or somebody's own"]);
        lab.assert_cut("cleaned", &[("10.77.0.3", true)]);
        lab.netchaos("remove cut").ok();
        lab.assert_nothing_left();
    });
}

#[test]
fn without_a_place_all_namespaces_are_looked_at() {
    Lab::test_with(&[], |lab| {
        lab.netchaos("add brief --partition --to 10.77.0.4 --for 1s")
            .ok();
        thread::sleep(Duration::from_millis(1200));
        // Others' namespaces come and go, and may not let us look: that is told, with exit code 4.
        let done = netchaos(&["doctor", "-o", "json"]);
        assert!(matches!(done.status.code(), Some(0 | 4)), "{done}");
        let found = done.json();
        let places = found["places"].as_array().expect("an array");
        let place = |name: &str| places.iter().find(|place| place["place"] == name);
        let ours = place(lab.client.name()).unwrap_or_else(|| panic!("{done}"));
        assert_eq!(ours["leftovers"][0]["what"], "brief: has ended", "{done}");
        assert!(place(lab.peer.name()).is_some(), "{done}");
        let remains = format!("{}: {DEVICE}: brief: has ended", lab.client.name());
        let said = found["remains"].as_array().expect("an array");
        assert!(said.iter().any(|line| line == remains.as_str()), "{done}");
    });
}

#[test]
fn whoever_holds_the_lock_keeps_doctor_from_cleaning_and_not_from_looking() {
    Lab::test_with(&[], |lab| {
        lab.netchaos("add brief --partition --to 10.77.0.4 --for 1s")
            .ok();
        thread::sleep(Duration::from_millis(1200));
        let file = std::fs::File::open(lab.client.path()).expect("it is there");
        let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive);
        let lock = lock.expect("nobody else holds it");
        let done = lab.netchaos("doctor").ok();
        done.says(&["brief: has ended", "a call may be at work"]);
        lab.netchaos("doctor --clean")
            .fails_with(4)
            .says(&["brief: has ended", "still locked"]);
        drop(lock);
        assert_cleaned(lab, "brief: has ended");
    });
}
