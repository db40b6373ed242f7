//! What `doctor` says of a kernel that has all modules, and of the trees of qdiscs that others make.

use netchaos_tests::{
    lab::{DEVICE, Lab},
    requires::{Need, kernel_version},
};

#[test]
fn everything_is_tried_and_works_but_for_what_this_version_lacks() {
    Lab::test(&[], |lab| {
        let found = lab.netchaos("doctor -o json").ok().json();
        let abilities = found["abilities"].as_array().expect("an array");
        let names: Vec<&str> = abilities
            .iter()
            .filter_map(|ability| ability["name"].as_str())
            .collect();
        for name in [
            "sch_prio",
            "sch_netem",
            "netem jitter",
            "netem distribution",
            "netem correlation",
            "netem loss",
            "netem duplicate",
            "netem corrupt",
            "netem reorder",
            "netem rate",
            "netem rate of 64 bits",
            "netem seed",
            "netem duplicate beside others",
            "sch_tbf",
            "gso_max_segs of macvlan",
            "tcx",
            "cls_bpf",
            "BPF maps by id",
        ] {
            assert!(names.contains(&name), "{name}: {found}");
        }
        for ability in abilities {
            let name = ability["name"].as_str().expect("a name");
            let works = ability["works"].as_bool().expect("a boolean");
            match name {
                "tcx" | "netem seed" => assert_eq!(works, kernel_version() >= (6, 6), "{ability}"),
                // Stable lines have it or not; that the answer is right is vm_duplicate_corrupt's to say.
                "netem duplicate beside others" => {}
                _ => assert!(works, "{ability}"),
            }
            assert_eq!(ability["why"].is_null(), works, "{ability}");
            for words in ["without", "remedy"] {
                assert!(
                    ability[words]
                        .as_str()
                        .is_some_and(|words| !words.is_empty())
                );
            }
        }
        lab.assert_nothing_left();
    });
}

/// A tree as its maker makes it; whose it is, and whether that is certain.
const TREES: [(&str, bool, &[&str]); 7] = [
    (
        "Chaos Mesh",
        true,
        &[
            "root handle 1: prio bands 4 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1",
            "parent 1:1 handle 2: sfq",
            "parent 1:2 handle 3: sfq",
            "parent 1:3 handle 4: sfq",
            "parent 1:4 handle 5: netem delay 50ms",
        ],
    ),
    (
        "Chaos Mesh",
        true,
        &[
            "root handle 1: netem delay 50ms",
            "parent 1: handle 2: netem delay 10ms",
            "parent 2: handle 3: prio bands 4 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1",
            "parent 3:1 handle 4: sfq",
            "parent 3:2 handle 5: sfq",
            "parent 3:3 handle 6: sfq",
            "parent 3:4 handle 7: netem loss 10%",
        ],
    ),
    ("Chaos Mesh", false, &["root handle 1: netem delay 50ms"]),
    (
        "Pumba",
        true,
        &[
            "root handle 1: prio",
            "parent 1:1 handle 10: sfq",
            "parent 1:2 handle 20: sfq",
            "parent 1:3 handle 30: netem delay 50ms",
        ],
    ),
    (
        "ChaosBlade",
        true,
        &[
            "root handle 1: prio bands 4",
            "parent 1:4 handle 40: netem delay 50ms",
        ],
    ),
    (
        "Litmus",
        false,
        &["root handle 1: prio", "parent 1:3 netem delay 50ms"],
    ),
    (
        "Pumba, Litmus or ChaosBlade",
        false,
        &["root netem delay 50ms"],
    ),
];

#[test]
fn the_trees_of_others_are_recognised_and_left_alone() {
    Lab::test(&[Need::Htb], |lab| {
        for (owner, is_certain, tree) in TREES {
            let lines = tree
                .iter()
                .map(|line| format!("qdisc add dev {DEVICE} {line}"));
            lab.client.tc_batch(&lines.collect::<Vec<_>>());
            lab.is_the_users();
            assert_whose(lab, owner, is_certain);
            lab.assert_nothing_left();
            lab.client.tc(&format!("qdisc del dev {DEVICE} root"));
        }
        // tcconfig's, whose classes come between its qdiscs.
        let lines = [
            "qdisc add dev eth0 root handle 1a1a: htb default 1",
            "class add dev eth0 parent 1a1a: classid 1a1a:2 htb rate 100mbit",
            "qdisc add dev eth0 parent 1a1a:2 handle 1a9a: netem delay 50ms",
        ];
        lab.client.tc_batch(&lines.map(str::to_owned));
        assert_whose(lab, "tcconfig", true);
        lab.client.tc("qdisc del dev eth0 root");
        lab.is_the_users();
        // Our own tree is nobody else's.
        lab.netchaos("add slow --delay 50ms --to 10.77.0.3").ok();
        let found = lab.netchaos("doctor -o json").ok().json();
        assert_eq!(found["places"][0]["leftovers"], serde_json::json!([]));
    });
}

#[track_caller]
fn assert_whose(lab: &Lab, owner: &str, is_certain: bool) {
    let found = lab.netchaos("doctor --clean -o json").ok().json();
    assert_eq!(found["places"][0]["cleaned"], serde_json::json!([]));
    let left = &found["places"][0]["leftovers"];
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{owner}: {left}");
    assert_eq!(left[0]["owner"], owner, "{left}");
    assert_eq!(left[0]["isCertain"], is_certain, "{left}");
    assert_eq!(left[0]["device"], DEVICE, "{left}");
}
