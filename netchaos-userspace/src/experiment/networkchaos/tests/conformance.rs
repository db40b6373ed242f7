//! The table of fields in docs/networkchaos.md against the reader.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::experiment::networkchaos::metadata::{ALL_TRAFFIC, PAUSE};

/// A mapping of the manifest and a manifest that has it, with the mapping's content left out.
const MAPPINGS: [(&str, &[(&str, &str)]); 12] = [
    ("spec", &[("zzz", "0")]),
    ("spec.selector", &[("selector", "{zzz: 0}")]),
    (
        "spec.selector.expressionSelectors",
        &[(
            "selector",
            "{expressionSelectors: [{key: a, operator: Exists, zzz: 0}]}",
        )],
    ),
    (
        "spec.target",
        &[("target", "{mode: all, selector: {}, zzz: 0}")],
    ),
    ("spec.delay", &[("delay", "{latency: 1s, zzz: 0}")]),
    (
        "spec.delay.reorder",
        &[(
            "delay",
            "{latency: 1s, reorder: {reorder: '1', gap: 1, zzz: 0}}",
        )],
    ),
    ("spec.loss", &[("loss", "{loss: '1', zzz: 0}")]),
    (
        "spec.duplicate",
        &[("duplicate", "{duplicate: '1', zzz: 0}")],
    ),
    ("spec.corrupt", &[("corrupt", "{corrupt: '1', zzz: 0}")]),
    ("spec.rate", &[("rate", "{rate: 1mbit, zzz: 0}")]),
    (
        "spec.bandwidth",
        &[("bandwidth", "{rate: 1mbit, limit: 1, buffer: 1, zzz: 0}")],
    ),
    ("metadata", &[]),
];

/// The fields that the reader knows: what it says is allowed in the place of an unknown one.
fn known() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut learn = |path: &str, text: &str| {
        let problems = manifest::read("f", text, Default::default()).unwrap_err();
        let unknown = |problem: &&Problem| problem.field.ends_with("zzz");
        let found: Vec<&Problem> = problems.0.iter().filter(unknown).collect();
        assert_eq!(found.len(), 1, "{path}: {problems}");
        for name in found[0].invalid.allowed.as_deref().unwrap().split(", ") {
            let dot = if path.is_empty() { "" } else { "." };
            known.insert(format!("{path}{dot}{name}"));
        }
    };
    learn("", &format!("{}zzz: 0\n", manifest("name: a", &spec(&[]))));
    for (path, changes) in MAPPINGS {
        let metadata = if path == "metadata" {
            "name: a, zzz: 0"
        } else {
            "name: a"
        };
        learn(path, &manifest(metadata, &spec(changes)));
    }
    for annotation in [PAUSE, ALL_TRAFFIC] {
        known.insert(format!("metadata.annotations[{annotation:?}]"));
    }
    known
}

/// The table: field -> the word of its second column.
fn documented() -> BTreeMap<String, String> {
    let path = format!("{}/../docs/networkchaos.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## Fields\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut table = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{row}");
        // What stands between backticks.
        for field in cells[1].split('`').skip(1).step_by(2) {
            let twice = table.insert(field.to_owned(), cells[2].to_owned());
            assert_eq!(twice, None, "{field} stands twice");
        }
    }
    table
}

#[test]
fn every_field_that_is_known_is_in_the_table_and_the_other_way_round() {
    let (known, table) = (known(), documented());
    let documented: BTreeSet<String> = table.keys().cloned().collect();
    // Refused by its value, not by its name: the reader asks for them all the same.
    let missing: Vec<&String> = known.difference(&documented).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let annotation = |field: &String| field.starts_with("metadata.annotations[");
    let unknown: Vec<&String> = documented
        .difference(&known)
        .filter(|field| !annotation(field))
        .collect();
    assert!(
        unknown.is_empty(),
        "the reader knows nothing of {unknown:?}"
    );
    for word in table.values() {
        let words = ["yes", "kept", "ignored", "refused", "ours"];
        assert!(
            words.contains(&word.as_str()),
            "{word:?} is none of {words:?}"
        );
    }
}

/// The second column is true: what is refused is refused by name, what is ignored changes nothing,
/// and what is kept does not change the experiment.
#[test]
fn what_is_refused_or_ignored_is_so() {
    let table = documented();
    let word = |field: &str| table[field].as_str();
    let of = |wanted: &str| -> Vec<&str> {
        let fields = table.iter().filter(|(_, word)| *word == wanted);
        fields.map(|(field, _)| field.as_str()).collect()
    };
    assert_eq!(
        of("refused"),
        [
            "spec.remoteCluster",
            "spec.target",
            "spec.target.mode",
            "spec.target.selector",
            "spec.target.value"
        ]
    );
    refused(&[("remoteCluster", "east")], "spec.remoteCluster: ");
    refused(&[("target", "{mode: all, selector: {}}")], "spec.target: ");

    let base = accepted(&[]);
    for field in of("ignored") {
        let metadata = match field.strip_prefix("metadata.") {
            Some(name) if name.starts_with("annotations[") => {
                let annotation = name.split('"').nth(1).unwrap();
                format!("name: a, annotations: {{{annotation}: forced}}")
            }
            Some(name) => format!("name: a, {name}: {{a: b}}"),
            None => "name: a".to_owned(),
        };
        let status = match field {
            "status" => "status: {a: b}\n",
            _ => "",
        };
        let text = manifest(&metadata, &spec(&[]));
        let document =
            read_text(&format!("{text}{status}")).unwrap_or_else(|e| panic!("{field}: {e}"));
        assert_eq!(document.experiment, base, "{field}");
    }
    for (field, value) in [
        ("mode", "one"),
        ("selector", "{labelSelectors: {a: b}}"),
        ("value", "'5'"),
        ("targetDevice", "eth5"),
    ] {
        assert_eq!(word(&format!("spec.{field}")), "kept");
        assert_eq!(accepted(&[(field, value)]), base, "{field}");
    }
}
