//! Which packets, on which device, for how long.

use super::*;
use crate::experiment::{
    Mode, Protocol,
    yaml::{self, Field, Sink},
};

#[test]
fn external_targets_have_the_forms_of_chaos_mesh_and_ipv6_too() {
    for (text, target) in [
        ("1.1.1.1", "1.1.1.1"),
        ("1.1.1.1:80", "1.1.1.1:80"),
        ("1.1.1.1:0", "1.1.1.1"),
        // Beyond Chaos Mesh, which knows one port.
        ("'1.1.1.1:80,443'", "1.1.1.1:80,443"),
        ("1.1.1.1:8000-8100", "1.1.1.1:8000-8100"),
        ("10.1.2.3/16", "10.1.0.0/16"),
        ("10.1.2.3/16:443", "10.1.0.0/16:443"),
        ("example.com", "example.com"),
        ("example.com:80", "example.com:80"),
        ("::1", "::1"),
        ("fd00::1", "fd00::1"),
        ("'[fd00::1]:80'", "[fd00::1]:80"),
    ] {
        for list in [
            format!("\n  - {text}"),
            format!("['{}']", text.trim_matches('\'')),
        ] {
            assert_eq!(
                shown(&accepted(&[("externalTargets", &list)])),
                [target],
                "{text}"
            );
        }
    }
    for text in [
        "'1.1.1.1:'",
        "1.1.1.1:65536",
        "1.1.1.1:foo",
        "0.0.0.0/0",
        "::/0",
        "''",
        "443",
        "null",
        "{a: b}",
        "[a]",
    ] {
        let list = format!("[a.example, {text}]");
        refused(&[("externalTargets", &list)], "spec.externalTargets[1]: ");
    }
    refused(
        &[("externalTargets", "a.example")],
        "spec.externalTargets: \"a.example\" is a string",
    );
}

#[test]
fn all_traffic_needs_words() {
    let words = "allowed: one or more targets; for all traffic ";
    for list in ["-", "[]", "null"] {
        let changes = [("externalTargets", list)];
        let problem = read(&changes).unwrap_err();
        assert!(
            problem.starts_with("spec.externalTargets: no target is given"),
            "{problem}"
        );
        assert!(problem.contains(words), "{problem}");
        assert!(
            problem.contains("netchaos.io/all-traffic: \"true\""),
            "{problem}"
        );
        let asked = |value: &str, changes: &[(&str, &str)]| {
            let metadata = format!("name: a, annotations: {{netchaos.io/all-traffic: {value}}}");
            read_text(&manifest(&metadata, &spec(changes)))
        };
        assert_eq!(
            shown(&asked("'true'", &changes).unwrap().experiment),
            ["all"]
        );
        assert_eq!(asked("'false'", &changes).unwrap_err(), problem);
        // One problem, not two: what was meant by the annotation is not known.
        assert_eq!(
            asked("'yes'", &changes).unwrap_err(),
            "metadata.annotations[\"netchaos.io/all-traffic\"]: \"yes\" is neither yes nor no; \
             allowed: \"true\" or \"false\""
        );
        assert!(
            asked("'true'", &[])
                .unwrap_err()
                .contains("exclude each other")
        );
        assert_eq!(
            shown(&asked("'false'", &[]).unwrap().experiment),
            ["1.1.1.1"]
        );
    }
}

#[test]
fn durations_end_an_experiment() {
    let duration = |text: &str| {
        accepted(&[("duration", text)])
            .duration
            .map(format_duration)
    };
    assert_eq!(duration("-"), None);
    assert_eq!(duration("''"), None);
    assert_eq!(duration("120m").as_deref(), Some("2h"));
    assert_eq!(duration("1m30s").as_deref(), Some("1m30s"));
    assert_eq!(duration("'.5s'").as_deref(), Some("500ms"));
    for text in ["soon", "'10'", "'-1m'", "'0'", "0s", "60"] {
        refused(&[("duration", text)], "spec.duration: \"");
    }
}

#[test]
fn devices_are_cut_at_the_at_sign() {
    let device = |text: &str| accepted(&[("device", text)]).device;
    assert_eq!(device("-"), None);
    assert_eq!(device("''"), None);
    assert_eq!(device("eth1").as_deref(), Some("eth1"));
    assert_eq!(device("eth0@if12").as_deref(), Some("eth0"));
    for text in ["'@if12'", "a/b", "a-name-that-is-too-long", "'a b'"] {
        refused(
            &[("device", text)],
            &format!("spec.device: \"{}\" is not", text.trim_matches('\'')),
        );
    }
}

#[test]
fn directions_work_for_external_targets_too() {
    for (direction, expected) in [
        ("-", Direction::To),
        ("''", Direction::To),
        ("to", Direction::To),
        ("from", Direction::From),
        ("both", Direction::Both),
    ] {
        for action in ["delay", "partition"] {
            let changes = [("direction", direction), ("action", action)];
            assert_eq!(
                accepted(&changes).direction,
                expected,
                "{direction} {action}"
            );
            // Chaos Mesh shapes only what leaves a pod.
            let is_beyond = action == "delay" && expected != Direction::To;
            let noted = notes(&changes)
                .iter()
                .any(|note| note.ends_with("Chaos Mesh refuses it for them"));
            assert_eq!(noted, is_beyond, "{direction} {action}");
            let strict = read_strictly(&changes).map(|document| document.experiment.direction);
            match is_beyond {
                false => assert_eq!(strict.unwrap(), expected),
                true => assert!(
                    strict.unwrap_err().starts_with("spec.direction: \""),
                    "{direction} {action}"
                ),
            }
        }
    }
    refused(
        &[("direction", "out")],
        "spec.direction: \"out\" is not a direction; allowed: to, from or both",
    );
    let from = [
        ("action", "partition"),
        ("direction", "from"),
        ("externalTargets", "['1.1.1.1:443']"),
    ];
    assert!(notes(&from)[1].contains("takes the ports of externalTargets for the peers'"));
}

#[test]
fn pods_as_targets_are_read_and_need_a_cluster() {
    let pods = "{mode: fixed, value: '2', selector: {labelSelectors: {app: db}}}";
    let message = "spec.target: means pods, whose addresses are known only inside a cluster; \
         allowed: externalTargets with the addresses of the pods";
    for external in ["-", "[1.1.1.1]"] {
        for direction in ["to", "from", "both"] {
            refused(
                &[
                    ("target", pods),
                    ("externalTargets", external),
                    ("direction", direction),
                    ("targetDevice", "eth1"),
                ],
                message,
            );
        }
    }
    for (target, field) in [
        ("{selector: {}}", ".mode: missing"),
        ("{mode: all}", ".selector: missing"),
        ("{mode: fixed, selector: {}}", ".value: missing"),
        (
            "{mode: all, selector: {}, device: eth0}",
            ".device: unknown field",
        ),
        (
            "{mode: all, selector: {labelSelectors: {a: 1}}}",
            ".selector.labelSelectors.a: ",
        ),
    ] {
        let problems = read(&[("target", target)]).unwrap_err();
        assert!(
            problems.contains(&format!("spec.target{field}")),
            "{problems}"
        );
    }
}

/// What whoever knows a cluster gets, which is all of it.
#[test]
fn pods_as_targets_are_kept_for_who_knows_them() {
    let text = manifest(
        "name: a",
        &spec(&[
            (
                "target",
                "{mode: fixed, value: '2', selector: {labelSelectors: {app: db}}}",
            ),
            ("targetDevice", "eth1@if7"),
            ("externalTargets", "-"),
            ("direction", "both"),
        ]),
    );
    let sink = Sink::new("f");
    let nodes = yaml::parse(&text, &sink);
    let fields = Field::root(&sink, &nodes[0]).fields().unwrap();
    let document = super::super::read(&fields, Default::default()).unwrap();
    assert_eq!(document.experiment.direction, Direction::Both);
    assert_eq!(document.experiment.targets, Targets::List(Vec::new()));
    let pods = document.pods.unwrap();
    assert_eq!(pods.target_device.as_deref(), Some("eth1"));
    let target = pods.target.unwrap();
    assert_eq!(target.mode, Mode::Fixed(2));
    assert_eq!(target.selector.label_selectors["app"], "db");
    assert_eq!(pods.selection.selector.namespaces, ["default"]);
}

#[test]
fn what_only_a_cluster_has_is_refused_by_name_or_noted() {
    for (field, value, expected) in [
        ("remoteCluster", "east", "is another cluster"),
        (
            "partitionBehavior",
            "reject",
            "is not supported by netchaos",
        ),
    ] {
        refused(
            &[(field, value)],
            &format!("spec.{field}: {value:?} {expected}"),
        );
        accepted(&[(field, "''")]);
    }
    accepted(&[("partitionBehavior", "drop")]);
    assert_eq!(
        notes(&[("targetDevice", "eth1")]),
        ["targetDevice is the device of target's pods, and there is no target"]
    );
    assert_eq!(notes(&[("targetDevice", "''")]), [""; 0]);
    refused(
        &[("targetDevice", "a/b")],
        "spec.targetDevice: \"a/b\" is not the name of a device",
    );
}

/// Chaos Mesh's ipset takes a port for TCP's.
#[test]
fn strict_compatibility_knows_the_ports_of_tcp_alone() {
    let document = |list: &str| read_strictly(&[("externalTargets", list)]).unwrap();
    let tcp = document("['1.1.1.1:443', 'a.example:80']").experiment;
    assert!(tcp.fault.strict_compat);
    assert_eq!(tcp.rule.protocols, [Protocol::TCP]);
    assert!(document("[1.1.1.1]").experiment.rule.protocols.is_empty());
    let mixed = document("[1.1.1.1, '1.1.1.1:443']");
    assert!(mixed.experiment.rule.protocols.is_empty());
    assert!(
        mixed
            .notes
            .iter()
            .any(|note| note.contains("although Chaos Mesh knows only TCP's"))
    );
    assert!(
        !accepted(&[("externalTargets", "['1.1.1.1:443']")])
            .fault
            .strict_compat
    );
}
