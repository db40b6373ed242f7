//! Faults that the release before has laid are listed, counted, changed and removed by this one; those of a newer one
//! are refused. On whatever kernel this machine has.

use aya::{
    maps::{Array, Map, MapData, loaded_maps},
    programs::loaded_programs,
};
use netchaos_common::abi::{ABI_VERSION, Meta};
use netchaos_tests::{
    lab::{Lab, peer},
    lost::{self, Breakage},
    probe::{Flow, Options},
    upgrade::previous,
};

const LAY: &str = "add cut --partition --direction both --to 10.77.0.3";

/// Sends so many datagrams that are cut off.
fn send(lab: &Lab, to: &str, count: u64) {
    let flow = Flow::start(
        &lab.client,
        &lab.peer,
        peer(to),
        Options::new(count, Some(10_000)),
    );
    assert_eq!(
        flow.finish(netchaos_tests::lab::ms(200)).arrived(),
        0,
        "{to}"
    );
}

fn assert_cut(lab: &Lab, what: &str, cut: &[&str]) {
    let all = ["10.77.0.2", "10.77.0.3", "10.77.0.4"];
    let expected: Vec<_> = all.iter().map(|to| (*to, cut.contains(to))).collect();
    lab.assert_cut(what, &expected);
}

#[test]
fn what_the_release_before_has_laid_is_listed_counted_changed_and_removed() {
    Lab::test_with(&[], |lab| {
        previous(lab, LAY).ok();
        previous(lab, "add more --loss 100% --to 10.77.0.4 --for 1h").ok();
        send(lab, "10.77.0.3:6000", 100);
        let before = lab.netchaos("list -o json").ok().json();
        assert_eq!(before[0]["name"], "cut", "{before:#}");
        assert_eq!(before[0]["state"], "active", "{before:#}");
        assert_eq!(before[0]["to"]["packets"], 100, "{before:#}");
        assert_eq!(before[1]["name"], "more", "{before:#}");
        lab.netchaos("show cut").ok().says(&["100 packets"]);
        assert_cut(lab, "only read", &["10.77.0.3", "10.77.0.4"]);

        let counted = lab.counted("cut").to.packets;
        lab.netchaos("target add cut 10.77.0.2").ok();
        assert_cut(lab, "superseded", &["10.77.0.2", "10.77.0.3", "10.77.0.4"]);
        send(lab, "10.77.0.3:6000", 50);
        let after = lab.netchaos("list -o json").ok().json();
        assert_eq!(after[0]["created"], before[0]["created"], "{after:#}");
        assert!(after[1]["endsIn"].as_f64() > Some(3000.0), "{after:#}");
        assert!(lab.counted("cut").to.packets >= counted + 50, "{after:#}");

        lab.netchaos("remove cut").ok();
        assert_cut(lab, "one removed", &["10.77.0.4"]);
        lab.netchaos("remove more").ok();
        lab.assert_nothing_left();
    });
}

#[test]
fn each_first_thing_that_this_release_does_there_works() {
    Lab::test_with(&[], |lab| {
        for (first, cut) in [
            ("remove --all", &[][..]),
            ("remove cut --now", &[]),
            ("pause cut", &[]),
            (
                "add more --partition --to 10.77.0.4",
                &["10.77.0.3", "10.77.0.4"],
            ),
            ("target add cut 10.77.0.4", &["10.77.0.3", "10.77.0.4"]),
            ("repair", &["10.77.0.3"]),
            ("heal", &[]),
        ] {
            previous(lab, LAY).ok();
            lab.netchaos(first).ok();
            assert_cut(lab, first, cut);
            lab.netchaos("remove --all").ok();
            lab.assert_nothing_left();
        }
    });
}

#[test]
fn what_was_taken_away_from_under_a_fault_of_the_release_before_is_put_back() {
    Lab::test_with(&[], |lab| {
        for Breakage { what, says, act } in [lost::UPPER, lost::PROGRAM] {
            previous(lab, LAY).ok();
            act(lab);
            lab.netchaos("list").ok().says(&["lost", says]);
            lab.netchaos("repair").ok().says(&["cut repaired"]);
            assert_cut(lab, what, &["10.77.0.3"]);
            lab.netchaos("remove cut").ok();
            lab.assert_nothing_left();
        }
    });
}

#[test]
fn faults_of_a_newer_release_are_refused_by_name_and_left_alone_and_healed() {
    Lab::test_with(&[], |lab| {
        lab.netchaos(LAY).ok();
        raise_abi(lab);
        let newer = (ABI_VERSION + 1).to_string();
        for call in [
            "list",
            "show cut",
            "remove cut",
            "target add cut 10.77.0.4",
            "repair",
        ] {
            lab.netchaos(call)
                .fails_with(1)
                .says(&["another version", &newer, "heal"]);
        }
        assert_cut(lab, "left alone", &["10.77.0.3"]);
        lab.netchaos("heal").ok();
        lab.assert_nothing_left();
    });
}

/// Makes the experiments those of a netchaos with the next ABI: of the programs there, this is the newest.
fn raise_abi(lab: &Lab) {
    let behind = lab
        .client
        .tc(&format!("filter show dev {} egress", lost::lower(lab)));
    let id = behind
        .split(" id ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let id: u32 = id.and_then(|id| id.parse().ok()).expect("the program's id");
    let program = loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .expect("it is loaded");
    let maps = program
        .map_ids()
        .expect("root can ask")
        .expect("it has maps");
    let meta = loaded_maps()
        .filter_map(Result::ok)
        .find(|map| maps.contains(&map.id()) && map.name_as_str() == Some("META"))
        .expect("it has META");
    let data = MapData::from_id(meta.id()).expect("root can open it");
    let mut meta: Array<MapData, Meta> = Map::from_map_data(data)
        .and_then(Array::try_from)
        .expect("an array");
    let raised = Meta {
        abi: ABI_VERSION + 1,
        ..meta.get(&0, 0).expect("one entry")
    };
    meta.set(0, raised, 0).expect("it can be written");
}
