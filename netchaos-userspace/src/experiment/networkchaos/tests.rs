//! The rules of Chaos Mesh's CRD and webhooks, one by one. Each case changes one field of a manifest
//! that is right, and looks at what comes out of the whole reader.

mod object;
mod scope;

use std::time::Duration;

use crate::experiment::{
    Direction, Experiment, Problem, Targets,
    manifest::{self, Document},
    units::format_duration,
};

/// A manifest of these top-level lines of `spec`, written in flow style so that a case is a line.
fn manifest(metadata: &str, spec: &str) -> String {
    format!(
        "apiVersion: chaos-mesh.org/v1alpha1\nkind: NetworkChaos\nmetadata: {{{metadata}}}\n\
         spec:\n{}\n",
        spec.trim_end()
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
    )
}

const BASE: [(&str, &str); 5] = [
    ("action", "delay"),
    ("mode", "all"),
    ("selector", "{namespaces: [default]}"),
    ("delay", "{latency: 50ms}"),
    ("externalTargets", "[1.1.1.1]"),
];

/// The base with these fields changed, added, or with the value "-" taken away.
fn spec(changes: &[(&str, &str)]) -> String {
    let mut fields: Vec<(&str, &str)> = BASE.to_vec();
    for change in changes {
        fields.retain(|(name, _)| *name != change.0);
        if change.1 != "-" {
            fields.push(*change);
        }
    }
    let line = |(name, value): &(&str, &str)| format!("{name}: {value}\n");
    fields.iter().map(line).collect()
}

fn read(changes: &[(&str, &str)]) -> Result<Document, String> {
    read_text(&manifest("name: a", &spec(changes)))
}

fn read_text(text: &str) -> Result<Document, String> {
    let documents = manifest::read("f", text).map_err(|problems| {
        let one = |problem: &Problem| format!("{}: {}", problem.field, problem.invalid);
        problems.0.iter().map(one).collect::<Vec<_>>().join("\n")
    })?;
    assert_eq!(documents.len(), 1);
    Ok(documents.into_iter().next().unwrap())
}

fn accepted(changes: &[(&str, &str)]) -> Experiment {
    read(changes)
        .unwrap_or_else(|e| panic!("{changes:?}: {e}"))
        .experiment
}

/// Exactly one problem, which begins like this.
fn refused(changes: &[(&str, &str)], expected: &str) {
    let problems = read(changes).expect_err(&format!("{changes:?}"));
    assert!(
        problems.starts_with(expected) && problems.lines().count() == 1,
        "{changes:?}: {problems:?} instead of {expected:?}"
    );
}

fn shown(experiment: &Experiment) -> Vec<String> {
    match &experiment.targets {
        Targets::AllTraffic => vec!["all".to_owned()],
        Targets::List(list) => list.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_base_is_right_and_has_the_defaults() {
    let document = read(&[]).unwrap();
    assert_eq!(
        document.notes,
        ["selector and mode choose pods in a cluster; not used here"]
    );
    let experiment = document.experiment;
    assert_eq!(experiment.name, "a");
    assert_eq!(experiment.namespace, None);
    assert_eq!(experiment.device, None);
    assert_eq!(experiment.direction, Direction::To);
    assert_eq!(experiment.fault.delay.latency, Duration::from_millis(50));
    assert_eq!(experiment.fault.delay.jitter, Duration::ZERO);
    assert!(experiment.fault.delay.correlation.is_zero());
    assert_eq!(experiment.duration, None);
    assert!(!experiment.paused);
    assert_eq!(shown(&experiment), ["1.1.1.1"]);
}

#[test]
fn required_fields_are_required() {
    for field in ["action", "mode", "selector", "delay", "externalTargets"] {
        refused(&[(field, "-")], &format!("spec.{field}: "));
        refused(&[(field, "")], &format!("spec.{field}: "));
        refused(&[(field, "null")], &format!("spec.{field}: "));
    }
    refused(&[("delay", "{jitter: 1ms}")], "spec.delay.latency: missing");
    for (text, expected) in [
        ("kind: NetworkChaos", "apiVersion: missing"),
        ("apiVersion: chaos-mesh.org/v1alpha1", "kind: missing"),
        (
            "{apiVersion: chaos-mesh.org/v1alpha1, kind: NetworkChaos}",
            "metadata: missing",
        ),
    ] {
        let problems = read_text(text).unwrap_err();
        assert!(problems.contains(expected), "{problems}");
        assert!(problems.contains("spec: missing"), "{problems}");
    }
}

#[test]
fn actions_that_are_a_netem_delay_when_only_delay_is_given() {
    for action in ["netem", "delay", "loss", "duplicate", "corrupt"] {
        let document = read(&[("action", action)]).unwrap();
        assert_eq!(document.experiment, accepted(&[]), "{action}");
        let noted = document
            .notes
            .iter()
            .any(|note| note.starts_with("action "));
        assert_eq!(noted, !matches!(action, "netem" | "delay"), "{action}");
    }
    // A refused action needs no delay, so there is one problem and not two.
    for action in ["partition", "bandwidth"] {
        let expected = "is valid in Chaos Mesh and not supported by netchaos yet; allowed: delay";
        for delay in ["-", "{latency: 1ms}"] {
            refused(
                &[("action", action), ("delay", delay)],
                &format!("spec.action: {action:?} {expected}"),
            );
        }
    }
    for action in ["rate", "reorder", "Delay", "''"] {
        refused(&[("action", action)], "spec.action: \"");
    }
}

#[test]
fn what_chaos_mesh_has_and_netchaos_has_not_yet_is_refused_by_name() {
    for (field, value) in [
        ("loss", "{loss: '25'}"),
        ("duplicate", "{duplicate: '25', correlation: '1'}"),
        ("corrupt", "{corrupt: '25'}"),
        ("rate", "{rate: 1mbps}"),
        ("bandwidth", "{rate: 1mbps, limit: 1, buffer: 1}"),
        ("target", "{mode: all, selector: {}}"),
        ("targetDevice", "eth1"),
        ("remoteCluster", "east"),
        ("partitionBehavior", "drop"),
        ("direction", "from"),
        ("direction", "both"),
    ] {
        let problems = read(&[(field, value)]).expect_err(field);
        assert!(
            problems.starts_with(&format!("spec.{field}: ")),
            "{problems}"
        );
        assert!(
            problems
                .contains("is valid in Chaos Mesh and not supported by netchaos yet; allowed: "),
            "{problems}"
        );
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
    refused(
        &[("delay", "{latency: 1ms, reorder: {reorder: '1', gap: 1}}")],
        "spec.delay.reorder: is valid in Chaos Mesh and not supported by netchaos yet",
    );
    // Not missing: another fault is there. And no targets, but pods as targets.
    refused(
        &[("delay", "-"), ("rate", "{rate: 1mbps}")],
        "spec.rate: is valid",
    );
    refused(
        &[
            ("externalTargets", "-"),
            ("target", "{mode: all, selector: {}}"),
        ],
        "spec.target: is valid",
    );
    // Written out and not set.
    accepted(&[
        ("targetDevice", "''"),
        ("remoteCluster", "''"),
        ("loss", "null"),
    ]);
    refused(
        &[("delay", "{latency: 1ms, limit: 5}")],
        "spec.delay.limit: unknown field",
    );
    refused(
        &[("external_targets", "[]")],
        "spec.external_targets: unknown field; did you mean \"externalTargets\"?",
    );
}

#[test]
fn latency_and_jitter_have_the_form_of_the_crd() {
    for (text, canonical) in [
        ("90ms", "90ms"),
        ("1.5s", "1.5s"),
        // Chaos Mesh compares these as strings and drops them in silence.
        ("0.5s", "500ms"),
        ("0.5ms", "500us"),
        ("0.001s", "1ms"),
        ("05ms", "5ms"),
        // And its tc refuses these.
        ("2m", "2m"),
        ("100ns", "100ns"),
        ("1h", "1h"),
    ] {
        let delay = format!("{{latency: {text}}}");
        let experiment = accepted(&[("delay", &delay)]);
        assert_eq!(format_duration(experiment.fault.delay.latency), canonical);
    }
    for (text, why) in [
        ("-1ms", "is not a duration"),
        ("10x", "is not a duration"),
        ("''", "is not a duration"),
        ("'10'", "has no unit"),
        ("'0'", "does not have the form that Chaos Mesh takes here"),
        ("1m30s", "does not have the form that Chaos Mesh takes here"),
        (".5s", "does not have the form that Chaos Mesh takes here"),
        ("5.s", "does not have the form that Chaos Mesh takes here"),
        ("1µs", "does not have the form that Chaos Mesh takes here"),
    ] {
        let value = text.trim_matches('\'');
        let expected = format!(
            "{value:?} {why}; allowed: one number with ns, us, ms, s, m or h, such as 50ms"
        );
        let latency = format!("{{latency: {text}}}");
        refused(
            &[("delay", &latency)],
            &format!("spec.delay.latency: {expected}"),
        );
        let jitter = format!("{{latency: 1s, jitter: {text}}}");
        refused(
            &[("delay", &jitter)],
            &format!("spec.delay.jitter: {expected}"),
        );
    }
    refused(
        &[("delay", "{latency: 0ms}")],
        r#"spec.delay.latency: "0ms" would delay nothing"#,
    );
    refused(
        &[("delay", "{latency: 2h}")],
        r#"spec.delay.latency: "2h" is too long"#,
    );
    refused(
        &[("delay", "{latency: 5s, jitter: 3s}")],
        r#"spec.delay.jitter: "3s" is more than"#,
    );
    refused(
        &[("delay", "{latency: 50}")],
        r#"spec.delay.latency: "50" is a number; allowed: a str"#,
    );
    accepted(&[("delay", "{latency: 1ms, jitter: 0us}")]);
}

#[test]
fn jitter_beyond_latency_and_correlation_without_jitter_are_noted() {
    let notes = |delay| read(&[("delay", delay)]).unwrap().notes[1..].join("\n");
    assert!(
        notes("{latency: 1ms, jitter: 2ms}").starts_with("jitter 2ms is more than latency 1ms")
    );
    assert_eq!(
        notes("{latency: 10ms, jitter: 0ms, correlation: '100'}"),
        "correlation 100% has no effect without jitter"
    );
    assert_eq!(
        notes("{latency: 10ms, jitter: 10ms, correlation: '100'}"),
        ""
    );
}

#[test]
fn correlation_is_a_float_string_in_percent() {
    for (text, percent) in [
        ("'0.5'", 0.5),
        ("''", 0.0),
        ("'0'", 0.0),
        ("'25'", 25.0),
        ("'1e1'", 10.0),
        ("\"100\"", 100.0),
    ] {
        let delay = format!("{{latency: 1s, jitter: 1s, correlation: {text}}}");
        let correlation = accepted(&[("delay", &delay)]).fault.delay.correlation;
        assert_eq!(correlation.get(), percent, "{text}");
    }
    for (text, why) in [
        ("'150'", "is out of range"),
        ("'-5'", "is out of range"),
        ("'NaN'", "is out of range"),
        (
            "'10%'",
            "has a percent sign, which Chaos Mesh does not take",
        ),
        ("'much'", "is not a percentage"),
        (
            "0.5",
            "is a number; allowed: a string, so write it in quotes: \"0.5\"",
        ),
    ] {
        let delay = format!("{{latency: 1s, correlation: {text}}}");
        let expected = format!(
            "spec.delay.correlation: {:?} {why}",
            text.trim_matches('\'')
        );
        refused(&[("delay", &delay)], &expected);
    }
}
