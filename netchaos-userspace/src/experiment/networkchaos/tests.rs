//! The rules of Chaos Mesh's CRD and webhooks, one by one. Each case changes one field of a manifest
//! that is right, and looks at what comes out of the whole reader.

mod conformance;
mod faults;
mod object;
mod scope;
mod vectors;

use std::time::Duration;

use crate::experiment::{
    Delay, Direction, Experiment, Problem, Problems, Targets,
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
    one_document(manifest::read("f", text, Default::default()))
}

fn read_strictly(changes: &[(&str, &str)]) -> Result<Document, String> {
    one_document(manifest::read(
        "f",
        &manifest("name: a", &spec(changes)),
        manifest::Reading {
            strict_compat: true,
            ..Default::default()
        },
    ))
}

fn one_document(read: Result<Vec<Document>, Problems>) -> Result<Document, String> {
    let documents = read.map_err(|problems| {
        let one = |problem: &Problem| format!("{}: {}", problem.field, problem.invalid);
        problems.0.iter().map(one).collect::<Vec<_>>().join("\n")
    })?;
    assert_eq!(documents.len(), 1);
    Ok(documents.into_iter().next().unwrap())
}

/// The notes beside the one that every manifest gets.
fn notes(changes: &[(&str, &str)]) -> Vec<String> {
    let document = read(changes).unwrap_or_else(|e| panic!("{changes:?}: {e}"));
    let mut notes = document.notes;
    notes.retain(|note| !note.starts_with("selector and mode"));
    notes
}

fn delay(changes: &[(&str, &str)]) -> Delay {
    accepted(changes).fault.delay.unwrap()
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
    let delay = experiment.fault.delay.clone().unwrap();
    assert_eq!(delay.latency, Duration::from_millis(50));
    assert_eq!(delay.jitter, Duration::ZERO);
    assert!(delay.correlation.is_zero());
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
        assert_eq!(
            format_duration(self::delay(&[("delay", &delay)]).latency),
            canonical
        );
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
        let correlation = self::delay(&[("delay", &delay)]).correlation;
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
