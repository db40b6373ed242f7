//! Which packets, on which device, for how long.

use super::*;

#[test]
fn external_targets_have_the_forms_of_chaos_mesh_and_ipv6_too() {
    for (text, target) in [
        ("1.1.1.1", "1.1.1.1"),
        ("1.1.1.1:80", "1.1.1.1:80"),
        ("1.1.1.1:0", "1.1.1.1"),
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
