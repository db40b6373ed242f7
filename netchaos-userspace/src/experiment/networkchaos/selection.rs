//! `selector`, `mode` and `value`: which pods of a cluster. Plain data for whoever knows a cluster.

use std::collections::BTreeMap;

use crate::experiment::{
    problem::Invalid,
    yaml::{Field, Fields},
};

/// The pods of a `NetworkChaos`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pods {
    /// Where the fault is put.
    pub selection: Selection,
    /// The peers, if they are pods.
    pub target: Option<Selection>,
    /// The device of the peers, where the fault is put there.
    pub target_device: Option<String>,
}

/// Some of the pods that a selector fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    pub selector: Selector,
    pub mode: Mode,
}

/// How many of the pods that were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Any one of them.
    One,
    All,
    /// So many, or all if there are fewer.
    Fixed(u64),
    /// So many percent of them, rounded up; 1 to 100.
    FixedPercent(u8),
    /// A random percentage up to this one, rounded up; 1 to 100.
    RandomMaxPercent(u8),
}

/// What a pod has to fit. All that is not empty has to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector {
    /// The object's own namespace where it is empty.
    pub namespaces: Vec<String>,
    pub label_selectors: BTreeMap<String, String>,
    pub annotation_selectors: BTreeMap<String, String>,
    pub field_selectors: BTreeMap<String, String>,
    pub expression_selectors: Vec<Expression>,
    pub nodes: Vec<String>,
    pub node_selectors: BTreeMap<String, String>,
    pub pod_phase_selectors: Vec<String>,
    /// Names of pods by namespace. Where there are some, only these, and nothing else counts.
    pub pods: BTreeMap<String, Vec<String>>,
}

/// Kubernetes' `LabelSelectorRequirement`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub key: String,
    pub operator: Operator,
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// The note of whoever knows no cluster.
pub const NOT_USED: &str = "selector and mode choose pods in a cluster; not used here";

/// `selector`, `mode` and `value` of `spec`, or of a `target` in it.
pub(super) fn read(fields: &Fields) -> Option<Selection> {
    let mode = read_mode(fields);
    let selector = fields
        .require("selector", "a mapping such as {namespaces: [default]}")
        .and_then(|field| read_selector(&field));
    Some(Selection {
        selector: selector?,
        mode: mode?,
    })
}

fn read_mode(fields: &Fields) -> Option<Mode> {
    const MODES: &str = "one, all, fixed, fixed-percent or random-max-percent";
    let mode = fields.require("mode", MODES);
    let value = fields.get("value");
    let text = value.as_ref().map(|field| (field, field.string()));
    let field = mode?;
    let mode = field.string()?;
    let (most, allowed) = match mode {
        "one" => return Some(Mode::One),
        "all" => return Some(Mode::All),
        "fixed" => (i64::MAX, "a whole number of 1 or more, in quotes"),
        "fixed-percent" | "random-max-percent" => (100, "a whole number from 1 to 100, in quotes"),
        _ => return field.accept(Err(Invalid::value(mode, "is not a mode", MODES))),
    };
    let Some((field, text)) = text else {
        fields.missing("value", &format!("missing, mode {mode} needs it"), allowed);
        return None;
    };
    let text = text?;
    let number = text.parse().ok().filter(|n: &i64| (1..=most).contains(n));
    let number = number
        .ok_or_else(|| Invalid::value(text, format!("does not go with mode {mode}"), allowed));
    // What is accepted fits.
    field.accept(number).map(|number| match mode {
        "fixed" => Mode::Fixed(number as u64),
        "fixed-percent" => Mode::FixedPercent(number as u8),
        _ => Mode::RandomMaxPercent(number as u8),
    })
}

fn read_selector(field: &Field) -> Option<Selector> {
    let fields = field.fields()?;
    let strings = |name| {
        let list = fields.get(name).and_then(|field| field.strings());
        owned(list.unwrap_or_default())
    };
    let map = |name| {
        let map = fields.get(name).and_then(|field| field.string_map());
        let entry = |(key, value): (&str, Field)| Some((key.to_owned(), value.shown()?.to_owned()));
        map.into_iter().flatten().filter_map(entry).collect()
    };
    let pods = fields.get("pods").and_then(|field| field.fields());
    let names = |(namespace, names): (&str, Field)| {
        (
            namespace.to_owned(),
            owned(names.strings().unwrap_or_default()),
        )
    };
    let expressions = fields.get("expressionSelectors");
    let expressions = expressions.and_then(|field| field.items());
    let selector = Selector {
        namespaces: strings("namespaces"),
        label_selectors: map("labelSelectors"),
        annotation_selectors: map("annotationSelectors"),
        field_selectors: map("fieldSelectors"),
        expression_selectors: expressions
            .unwrap_or_default()
            .iter()
            .filter_map(read_expression)
            .collect(),
        nodes: strings("nodes"),
        node_selectors: map("nodeSelectors"),
        pod_phase_selectors: strings("podPhaseSelectors"),
        pods: pods.iter().flat_map(Fields::all).map(names).collect(),
    };
    fields.finish();
    Some(selector)
}

fn owned(strings: Vec<&str>) -> Vec<String> {
    strings.into_iter().map(str::to_owned).collect()
}

fn read_expression(field: &Field) -> Option<Expression> {
    let fields = field.fields()?;
    let key = fields
        .require("key", "the key of a label")
        .and_then(|field| field.string());
    let operator = fields
        .require("operator", "In, NotIn, Exists or DoesNotExist")
        .and_then(|field| field.accept(read_operator(field.string()?)));
    let values = fields.get("values").and_then(|field| field.strings());
    fields.finish();
    Some(Expression {
        key: key?.to_owned(),
        operator: operator?,
        values: owned(values.unwrap_or_default()),
    })
}

fn read_operator(text: &str) -> Result<Operator, Invalid> {
    let words = [
        ("In", Operator::In),
        ("NotIn", Operator::NotIn),
        ("Exists", Operator::Exists),
        ("DoesNotExist", Operator::DoesNotExist),
    ];
    Invalid::unless_word(text, &words, "is not an operator")
}
