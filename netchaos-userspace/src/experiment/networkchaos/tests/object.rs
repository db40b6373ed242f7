//! What makes the object one of Kubernetes: `metadata`, `status`, and the choice of pods.

use super::*;
use crate::experiment::{Expression, Mode, Operator, Selection, Selector};

#[test]
fn modes_have_the_values_that_go_with_them() {
    for (mode, value, expected) in [
        ("one", "-", Mode::One),
        ("all", "-", Mode::All),
        ("all", "'whatever'", Mode::All),
        ("fixed", "'1'", Mode::Fixed(1)),
        ("fixed", "'1000'", Mode::Fixed(1000)),
        ("fixed-percent", "'1'", Mode::FixedPercent(1)),
        ("fixed-percent", "'100'", Mode::FixedPercent(100)),
        ("random-max-percent", "'50'", Mode::RandomMaxPercent(50)),
    ] {
        let document = read(&[("mode", mode), ("value", value)]).unwrap();
        assert_eq!(document.pods.unwrap().selection.mode, expected);
    }
    for (mode, value) in [
        ("fixed", "-"),
        ("fixed", "''"),
        ("fixed", "'0'"),
        ("fixed", "'-1'"),
        ("fixed", "'1.5'"),
        ("fixed", "'two'"),
        ("fixed", "2"),
        ("fixed-percent", "-"),
        ("fixed-percent", "'0'"),
        ("fixed-percent", "'101'"),
        ("random-max-percent", "'50%'"),
    ] {
        refused(&[("mode", mode), ("value", value)], "spec.value: ");
    }
    for mode in ["some", "All", "''"] {
        refused(&[("mode", mode)], "spec.mode: \"");
    }
}

#[test]
fn selectors_are_kept_and_checked_in_form() {
    let selection = |selector: &str| -> Selection {
        let document = read(&[("selector", selector)]).unwrap();
        document.pods.unwrap().selection
    };
    assert_eq!(selection("{}").selector, Selector::default());
    let map = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let full = selection(
        "{namespaces: [a], nodes: [n], podPhaseSelectors: [Running], labelSelectors: {a: b}, \
         annotationSelectors: {c: d}, fieldSelectors: {spec.nodeName: n}, nodeSelectors: {e: f}, \
         pods: {ns: [p, q]}, expressionSelectors: [{key: k, operator: In, values: [v]}, \
         {key: l, operator: Exists}]}",
    );
    assert_eq!(
        full.selector,
        Selector {
            namespaces: vec!["a".to_owned()],
            label_selectors: map("a", "b"),
            annotation_selectors: map("c", "d"),
            field_selectors: map("spec.nodeName", "n"),
            expression_selectors: vec![
                Expression {
                    key: "k".to_owned(),
                    operator: Operator::In,
                    values: vec!["v".to_owned()],
                },
                Expression {
                    key: "l".to_owned(),
                    operator: Operator::Exists,
                    values: Vec::new(),
                },
            ],
            nodes: vec!["n".to_owned()],
            node_selectors: map("e", "f"),
            pod_phase_selectors: vec!["Running".to_owned()],
            pods: [("ns".to_owned(), vec!["p".to_owned(), "q".to_owned()])].into(),
        }
    );
    for (selector, field) in [
        ("[a]", ""),
        ("{namespaces: default}", ".namespaces"),
        ("{namespaces: [1]}", ".namespaces[0]"),
        ("{labelSelectors: [a]}", ".labelSelectors"),
        ("{labelSelectors: {a: 1}}", ".labelSelectors.a"),
        ("{pods: {ns: p}}", ".pods.ns"),
        ("{pods: [p]}", ".pods"),
        ("{expressionSelectors: {}}", ".expressionSelectors"),
        (
            "{expressionSelectors: [{operator: In}]}",
            ".expressionSelectors[0].key",
        ),
        (
            "{expressionSelectors: [{key: k}]}",
            ".expressionSelectors[0].operator",
        ),
        (
            "{expressionSelectors: [{key: k, operator: Is}]}",
            ".expressionSelectors[0].operator",
        ),
        (
            "{expressionSelectors: [{key: k, operator: In, value: v}]}",
            ".expressionSelectors[0].value",
        ),
        ("{containerNames: [c]}", ".containerNames"),
    ] {
        refused(
            &[("selector", selector)],
            &format!("spec.selector{field}: "),
        );
    }
}

#[test]
fn metadata_is_what_kubernetes_takes() {
    let read = |metadata: &str| read_text(&manifest(metadata, &spec(&[])));
    let document = read(
        "name: web.delay-1, namespace: chaos, labels: {a: b}, annotations: {x/y: z}, uid: u, \
         resourceVersion: '1', generation: 2, creationTimestamp: null, finalizers: [f], \
         managedFields: [{a: b}], ownerReferences: []",
    );
    let experiment = document.unwrap().experiment;
    assert_eq!(experiment.name, "web.delay-1");
    assert_eq!(experiment.namespace.as_deref(), Some("chaos"));
    for (metadata, expected) in [
        ("", "metadata.name: missing"),
        ("generateName: a-", "metadata.name: missing"),
        ("name: Web", "metadata.name: \"Web\" is not a name"),
        ("name: 7", "metadata.name: \"7\" is a number"),
        (
            "name: a, namespace: a.b",
            "metadata.namespace: \"a.b\" is not the name of a namespace",
        ),
        (
            "name: a, label: {}",
            "metadata.label: unknown field; did you mean \"labels\"?",
        ),
        (
            "name: a, labels: {a: 1}",
            "metadata.labels.a: \"1\" is a number",
        ),
        (
            "name: a, annotations: {x/y: true}",
            "metadata.annotations[\"x/y\"]: \"true\" is a boolean",
        ),
    ] {
        let problems = read(metadata).unwrap_err();
        assert!(problems.starts_with(expected), "{problems}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
}

#[test]
fn the_pause_annotation_pauses() {
    let read = |value: &str| {
        let annotations = format!("{{experiment.chaos-mesh.org/pause: {value}}}");
        let metadata = format!("name: a, annotations: {annotations}");
        read_text(&manifest(&metadata, &spec(&[])))
    };
    assert!(read("'true'").unwrap().experiment.paused);
    assert!(!read("'false'").unwrap().experiment.paused);
    // Neither a pause in Chaos Mesh nor here, and worth a word.
    let document = read("'True'").unwrap();
    assert!(!document.experiment.paused);
    assert!(
        document.notes[0].contains("only \"true\" pauses"),
        "{:?}",
        document.notes
    );
    assert!(
        read("true")
            .unwrap_err()
            .contains("write it in quotes: \"true\"")
    );
}

#[test]
fn status_is_ignored_and_other_top_level_fields_are_not() {
    let text = manifest("name: a", &spec(&[]));
    assert!(
        read_text(&format!(
            "{text}status: {{experiment: {{desiredPhase: Run}}}}\n"
        ))
        .is_ok()
    );
    let problems = read_text(&format!("{text}specs: {{}}\n")).unwrap_err();
    assert_eq!(problems, "specs: unknown field; did you mean \"spec\"?");
}
