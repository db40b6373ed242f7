//! `selector`, `mode` and `value`: which pods of a cluster. Checked in form, used by nobody yet.

use crate::experiment::{
    problem::Invalid,
    yaml::{Field, Fields},
};

pub(super) const NOTE: &str = "selector and mode choose pods in a cluster; not used here";

const MODES: &str = "one, all, fixed, fixed-percent or random-max-percent";

pub(super) fn read(spec: &Fields) {
    read_mode(spec);
    if let Some(selector) = spec.require("selector", "a mapping such as {namespaces: [default]}") {
        read_selector(&selector);
    }
}

fn read_mode(spec: &Fields) {
    let mode = spec.require("mode", MODES);
    let value = spec.get("value");
    let text = value.as_ref().map(|field| (field, field.string()));
    let Some((field, mode)) = mode.and_then(|field| field.string().map(|mode| (field, mode)))
    else {
        return;
    };
    let (range, allowed) = match mode {
        "one" | "all" => return,
        "fixed" => (1..=i64::MAX, "a whole number of 1 or more, in quotes"),
        "fixed-percent" | "random-max-percent" => {
            (1..=100, "a whole number from 1 to 100, in quotes")
        }
        _ => return field.refuse(Invalid::value(mode, "is not a mode", MODES)),
    };
    match text {
        None => spec.missing("value", &format!("missing, mode {mode} needs it"), allowed),
        Some((field, Some(text))) if !text.parse().is_ok_and(|n: i64| range.contains(&n)) => {
            let message = format!("does not go with mode {mode}");
            field.refuse(Invalid::value(text, message, allowed));
        }
        Some(_) => {}
    }
}

fn read_selector(selector: &Field) {
    let Some(selector) = selector.fields() else {
        return;
    };
    for name in ["namespaces", "nodes", "podPhaseSelectors"] {
        selector.get(name).and_then(|field| field.strings());
    }
    for name in [
        "labelSelectors",
        "annotationSelectors",
        "fieldSelectors",
        "nodeSelectors",
    ] {
        selector.get(name).and_then(|field| field.string_map());
    }
    if let Some(pods) = selector.get("pods").and_then(|field| field.fields()) {
        for (_, names) in pods.all() {
            names.strings();
        }
    }
    let expressions = selector.get("expressionSelectors");
    for expression in expressions
        .and_then(|field| field.items())
        .unwrap_or_default()
    {
        read_expression(&expression);
    }
    selector.finish();
}

/// A `LabelSelectorRequirement` of Kubernetes.
fn read_expression(expression: &Field) {
    const OPERATORS: &str = "In, NotIn, Exists or DoesNotExist";
    let Some(expression) = expression.fields() else {
        return;
    };
    expression
        .require("key", "the key of a label")
        .and_then(|field| field.string());
    if let Some(operator) = expression.require("operator", OPERATORS)
        && let Some(text) = operator.string()
        && !matches!(text, "In" | "NotIn" | "Exists" | "DoesNotExist")
    {
        operator.refuse(Invalid::value(text, "is not an operator", OPERATORS));
    }
    expression.get("values").and_then(|field| field.strings());
    expression.finish();
}
