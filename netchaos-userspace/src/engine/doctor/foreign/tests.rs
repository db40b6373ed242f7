use super::*;

/// A qdisc as `tc qdisc show` prints it, in short: `prio 1: root 4` with its bands.
fn node(line: &str) -> Node {
    let words: Vec<&str> = line.split(' ').collect();
    let class = |text: &str| match text {
        "root" => ClassId::ROOT,
        text => {
            let (major, minor) = text.split_once(':').unwrap();
            let hex = |digits: &str| u16::from_str_radix(digits, 16).unwrap();
            ClassId::new(hex(major), if minor.is_empty() { 0 } else { hex(minor) })
        }
    };
    Node {
        kind: words[0].into(),
        handle: class(words[1]),
        parent: class(words[2]),
        prio: words.get(3).map(|bands| Prio {
            bands: bands.parse().unwrap(),
            priomap: DEFAULT_PRIOMAP,
        }),
    }
}

fn nodes(lines: &[&str]) -> Vec<Node> {
    lines.iter().map(|line| node(line)).collect()
}

#[track_caller]
fn assert_whose(lines: &[&str], owner: &str, is_certain: bool) {
    let found = of_qdiscs(&nodes(lines)).unwrap_or_else(|| panic!("{lines:?}: nobody's"));
    assert_eq!(
        (found.owner, found.is_certain),
        (owner, is_certain),
        "{lines:?}"
    );
}

#[test]
fn chaos_mesh_is_known_by_its_three_queues() {
    let tree = ["sfq 2: 1:1", "sfq 3: 1:2", "sfq 4: 1:3", "netem 5: 1:4"];
    assert_whose(&[&["prio 1: root 4"][..], &tree].concat(), CHAOS_MESH, true);
    assert_whose(
        &[&["prio 1: root 5"][..], &tree, &["tbf 6: 1:5"]].concat(),
        CHAOS_MESH,
        true,
    );
    // Two faults for all packets, and one with targets below them.
    let below = [
        "netem 1: root",
        "tbf 2: 1:",
        "prio 3: 2: 4",
        "sfq 4: 3:1",
        "sfq 5: 3:2",
        "sfq 6: 3:3",
        "netem 7: 3:4",
    ];
    assert_whose(&below, CHAOS_MESH, true);
    // Half made, or somebody's own.
    assert_whose(&below[..2], CHAOS_MESH, false);
    assert_whose(&["netem 1: root"], CHAOS_MESH, false);
    let other_handles = [
        "prio 1: root 4",
        "sfq 12: 1:1",
        "sfq 13: 1:2",
        "sfq 14: 1:3",
    ];
    assert_eq!(of_qdiscs(&nodes(&other_handles)), None);
}

#[test]
fn pumba_chaosblade_and_litmus_are_told_apart() {
    let pumba = [
        "prio 1: root 3",
        "sfq 10: 1:1",
        "sfq 20: 1:2",
        "netem 30: 1:3",
    ];
    assert_whose(&pumba, PUMBA, true);
    assert_whose(&["prio 1: root 4", "netem 40: 1:4"], CHAOSBLADE, true);
    let all_but = [
        "prio 1: root 4",
        "netem 8001: 1:1",
        "netem 8002: 1:2",
        "netem 8003: 1:3",
        "prio 40: 1:4 3",
    ];
    assert_whose(&all_but, CHAOSBLADE, true);
    assert_whose(&["prio 1: root 3", "netem 8002: 1:3"], LITMUS, false);
    assert_whose(&["netem 8001: root"], PLAIN, false);
    // A hand's.
    assert_whose(&["prio 1: root 3", "netem 30: 1:3"], UNKNOWN, false);
    assert_whose(&["htb 1: root", "netem 10: 1:1"], UNKNOWN, false);
}

#[test]
fn tcconfig_is_known_by_its_handles() {
    assert_whose(&["htb 1a1a: root", "netem 1a9a: 1a1a:1"], TCCONFIG, true);
    assert_whose(&["htb 1a1a: root", "netem 1a9b: 1a1a:2"], TCCONFIG, true);
    assert_whose(&["htb 2a1a: root", "netem 2a9a: 2a1a:1"], UNKNOWN, false);
    assert_whose(&["htb 1a1a: root", "netem 10: 1a1a:1"], UNKNOWN, false);
    let ifb = |name, kind, lines: &[&str]| of_ifb(name, kind, &nodes(lines));
    // 0x1a1a is 6682.
    assert!(
        ifb("ifb6682", "ifb", &["htb 1a1a: root"])
            .unwrap()
            .is_certain
    );
    assert!(!ifb("ifb6682", "ifb", &["htb 1: root"]).unwrap().is_certain);
    assert_eq!(ifb("ifb0", "ifb", &[]), None);
    assert_eq!(ifb("ifb6682", "dummy", &[]), None);
}

#[test]
fn what_harms_nothing_is_nobodys() {
    for lines in [
        &[][..],
        &["fq_codel 8001: root"],
        &["prio 1: root 3"],
        &["mq 0: root", "fq_codel 0: :1"][..1],
        &["htb 1a1a: root"],
        &["tbf 8001: root"],
    ] {
        assert_eq!(of_qdiscs(&nodes(lines)), None, "{lines:?}");
    }
}

#[test]
fn chains_and_sets_of_chaos_mesh_are_known_by_their_names() {
    let chains = [
        "INPUT",
        "CHAOS-OUTPUT",
        "KUBE-FORWARD",
        "CHAOS-INPUT",
        "CHAOS-INPUT",
    ];
    let found = of_chains(chains.into_iter()).unwrap();
    assert!(found.is_certain);
    assert_eq!(found.what, "chains CHAOS-INPUT, CHAOS-OUTPUT");
    assert!(!of_chains(["TC-TABLES-0"].into_iter()).unwrap().is_certain);
    assert_eq!(of_chains(["INPUT", "CHAOSMONKEY"].into_iter()), None);
    for (name, kind) in [
        ("delay_net_netgt", "hash:net"),
        ("cut_net_tgt", "hash:net"),
        ("cut_net6_tgt", "hash:net"),
        ("cut_netport_src", "hash:net,port"),
        ("cut_set_batgt", "list:set"),
        ("netwo_0123456789a_net_netgt", "hash:net"),
        ("netwo_0123456789a_net_netgtold", "hash:net"),
    ] {
        assert!(is_set_of_chaos_mesh(name, kind), "{name}");
    }
    for (name, kind) in [
        ("cut_net_tgt", "hash:ip"),
        ("blocklist", "hash:net"),
        ("_net_tgt", "hash:net"),
        ("network_net_tgt", "hash:net"),
        ("netwo_notahexstri_net_netgt", "hash:net"),
        ("KUBE-CLUSTER-IP", "hash:ip,port"),
    ] {
        assert!(!is_set_of_chaos_mesh(name, kind), "{name}");
    }
}
