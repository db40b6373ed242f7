//! Actions and faults: what goes into one netem, what is nothing, and what is only checked.

use super::*;
use crate::experiment::Fault;

/// The fault in its written form.
fn fault(changes: &[(&str, &str)]) -> serde_json::Value {
    serde_json::to_value(accepted(changes).fault).unwrap()
}

#[test]
fn every_fault_is_read() {
    let changes = [
        ("action", "netem"),
        (
            "delay",
            "{latency: 10ms, jitter: 5ms, correlation: '25', \
             reorder: {reorder: '50', correlation: '20', gap: 5}}",
        ),
        ("loss", "{loss: '1.5', correlation: '25'}"),
        ("duplicate", "{duplicate: '2', correlation: '3'}"),
        ("corrupt", "{corrupt: '0.5', correlation: ''}"),
        ("rate", "{rate: '  10   mbPs  '}"),
    ];
    assert_eq!(
        fault(&changes),
        serde_json::json!({
            "delay": {"latency": "10ms", "jitter": "5ms", "correlation": "25%"},
            "reorder": {"percent": "50%", "correlation": "20%", "gap": 5},
            "loss": {"percent": "1.5%", "correlation": "25%"},
            "duplicate": {"percent": "2%", "correlation": "3%"},
            "corrupt": {"percent": "0.5%"},
            "rate": "80mbit",
        })
    );
    let bandwidth =
        "{rate: 1mbps, limit: 20971520, buffer: 10000, peakrate: 80000000, minburst: 1600}";
    assert_eq!(
        fault(&[
            ("action", "bandwidth"),
            ("delay", "-"),
            ("bandwidth", bandwidth)
        ]),
        serde_json::json!({
            "bandwidth": {
                "rate": "8mbit",
                "limit": 20_971_520,
                "buffer": 10_000,
                // A bare number is bits per second to tc.
                "peakrate": "80mbit",
                "minburst": 1600,
            },
        })
    );
    assert_eq!(
        fault(&[("action", "partition"), ("delay", "-")]),
        serde_json::json!({"partition": true})
    );
}

#[test]
fn the_name_of_a_netem_action_says_nothing() {
    let all = [
        ("delay", "{latency: 10ms}"),
        ("loss", "{loss: '1'}"),
        ("duplicate", "{duplicate: '1'}"),
        ("corrupt", "{corrupt: '1'}"),
        ("rate", "{rate: 1mbit}"),
    ];
    for action in ["netem", "delay", "loss", "duplicate", "corrupt"] {
        for (part, value) in all {
            let changes = [("action", action), ("delay", "-"), (part, value)];
            let fault = fault(&changes);
            let parts: Vec<&String> = fault.as_object().unwrap().keys().collect();
            assert_eq!(parts, [part], "{action}");
            let note = format!("action {action} does what is given, here {part}, as in Chaos Mesh");
            let is_plain = action == "netem" || action == part;
            let expected = if is_plain { vec![] } else { vec![note] };
            assert_eq!(notes(&changes), expected);
        }
    }
    assert_eq!(
        notes(&[("loss", "{loss: '1'}")]),
        ["action delay does what is given, here delay, loss, as in Chaos Mesh"]
    );
    for action in ["rate", "reorder", "Delay", "''"] {
        refused(&[("action", action)], "spec.action: \"");
    }
}

#[test]
fn what_an_action_needs_is_missing_by_name() {
    for (action, field) in [
        ("netem", "delay"),
        ("delay", "delay"),
        ("loss", "loss"),
        ("duplicate", "duplicate"),
        ("corrupt", "corrupt"),
        ("bandwidth", "bandwidth"),
    ] {
        refused(
            &[("action", action), ("delay", "-")],
            &format!("spec.{field}: missing; allowed: "),
        );
    }
    for (part, value, field) in [
        ("delay", "{jitter: 1ms}", "latency: missing"),
        (
            "delay",
            "{latency: 1ms, reorder: {gap: 1}}",
            "reorder.reorder: missing",
        ),
        (
            "delay",
            "{latency: 1ms, reorder: {reorder: '1'}}",
            "reorder.gap: missing",
        ),
        ("loss", "{}", "loss: missing"),
        ("duplicate", "{correlation: '1'}", "duplicate: missing"),
        ("corrupt", "{}", "corrupt: missing"),
        ("rate", "{}", "rate: missing"),
        ("bandwidth", "{limit: 1, buffer: 1}", "rate: missing"),
        ("bandwidth", "{rate: 1mbit, buffer: 1}", "limit: missing"),
        ("bandwidth", "{rate: 1mbit, limit: 1}", "buffer: missing"),
    ] {
        refused(&[(part, value)], &format!("spec.{part}.{field}"));
    }
}

#[test]
fn what_an_action_makes_no_use_of_is_noted_and_checked() {
    let bandwidth = "{rate: 1mbit, limit: 1, buffer: 1}";
    assert_eq!(
        notes(&[("bandwidth", bandwidth)]),
        ["action delay makes no use of bandwidth, as in Chaos Mesh"]
    );
    let partition = [
        ("action", "partition"),
        ("rate", "{rate: 1mbit}"),
        ("bandwidth", bandwidth),
    ];
    assert_eq!(fault(&partition), serde_json::json!({"partition": true}));
    assert_eq!(
        notes(&partition),
        ["action partition makes no use of delay, rate, bandwidth, as in Chaos Mesh"]
    );
    let shaped = [("action", "bandwidth"), ("bandwidth", bandwidth)];
    assert_eq!(accepted(&shaped).fault.delay, None);
    assert_eq!(
        notes(&shaped),
        ["action bandwidth makes no use of delay, as in Chaos Mesh"]
    );
    // The webhook judges all of them, whatever the action.
    for action in ["partition", "bandwidth"] {
        let bad = [
            ("action", action),
            ("bandwidth", bandwidth),
            ("loss", "{loss: '10%'}"),
        ];
        refused(&bad, "spec.loss.loss: \"10%\" has a percent sign");
    }
}

#[test]
fn zero_is_none() {
    let rest = "{\"rate\":\"1mbit\"}";
    for (part, value) in [
        ("delay", "{latency: 0ms}"),
        ("delay", "{latency: 0us}"),
        (
            "delay",
            "{latency: 0s, jitter: 1ms, reorder: {reorder: '5', gap: 1}}",
        ),
        ("loss", "{loss: '0', correlation: '5'}"),
        ("loss", "{loss: ''}"),
        ("duplicate", "{duplicate: '0.0'}"),
        ("corrupt", "{corrupt: '-0'}"),
    ] {
        let beside = [("delay", "-"), (part, value), ("rate", "{rate: 1mbit}")];
        assert_eq!(fault(&beside).to_string(), rest, "{part}: {value}");
        // Alone it would be an experiment that does nothing.
        refused(
            &[("delay", "-"), (part, value)],
            &format!("spec.{part}: no fault is given; allowed: one or more of delay"),
        );
    }
    assert_eq!(accepted(&[("rate", "{rate: 0mbit}")]).fault.rate, None);
    let reorder = |gap: &str, percent: &str| {
        let value = format!("{{latency: 1s, reorder: {{reorder: '{percent}', gap: {gap}}}}}");
        accepted(&[("delay", &value)]).fault.reorder
    };
    assert_eq!(reorder("5", "0"), None);
    assert_eq!(reorder("0", "10").unwrap().gap, 0);
    assert_eq!(
        notes(&[
            ("delay", "{latency: 0s, jitter: 1ms}"),
            ("rate", "{rate: 1mbit}")
        ])[0],
        "delay.latency is 0, so delay.jitter and delay.reorder do nothing, as in Chaos Mesh"
    );
}

#[test]
fn every_percentage_is_in_range() {
    for (part, start, end) in [
        ("delay", "{latency: 1s, correlation: ", "}"),
        ("delay", "{latency: 1s, reorder: {gap: 1, reorder: ", "}}"),
        (
            "delay",
            "{latency: 1s, reorder: {gap: 1, reorder: '1', correlation: ",
            "}}",
        ),
        ("loss", "{loss: ", "}"),
        ("loss", "{loss: '1', correlation: ", "}"),
        ("duplicate", "{duplicate: ", "}"),
        ("duplicate", "{duplicate: '1', correlation: ", "}"),
        ("corrupt", "{corrupt: ", "}"),
        ("corrupt", "{corrupt: '1', correlation: ", "}"),
    ] {
        for value in ["'150'", "'-5'", "'NaN'", "'10%'", "'much'", "25"] {
            refused(
                &[(part, &format!("{start}{value}{end}"))],
                &format!("spec.{part}."),
            );
        }
        for value in ["'100'", "'1e1'", "'0.5'", "''"] {
            accepted(&[
                (part, &format!("{start}{value}{end}")),
                ("rate", "{rate: 1mbit}"),
            ]);
        }
    }
}

#[test]
fn rates_have_units() {
    for (text, shown) in [
        ("1mbps", "8mbit"),
        ("100kbps", "800kbit"),
        ("10 mbps", "80mbit"),
        ("1Gbit", "1gbit"),
        // Chaos Mesh takes whole numbers only.
        ("1.5mbit", "1.5mbit"),
    ] {
        let rate = accepted(&[("rate", &format!("{{rate: {text}}}"))])
            .fault
            .rate;
        assert_eq!(rate.unwrap().to_string(), shown);
    }
    for text in ["'10'", "' 10 cpbs'", "''", "fast", "-1mbit", "7bit"] {
        refused(
            &[("rate", &format!("{{rate: {text}}}"))],
            "spec.rate.rate: ",
        );
        let bandwidth = format!("{{rate: {text}, limit: 1, buffer: 1}}");
        refused(&[("bandwidth", &bandwidth)], "spec.bandwidth.rate: ");
    }
    refused(
        &[("bandwidth", "{rate: 0mbit, limit: 1, buffer: 1}")],
        "spec.bandwidth.rate: \"0mbit\" is no rate",
    );
}

#[test]
fn buckets_have_whole_numbers_in_range() {
    let bandwidth = |fields: &str| format!("{{rate: 10mbit, {fields}}}");
    let shaped = |fields: &str| -> Fault {
        let bandwidth = bandwidth(fields);
        accepted(&[("action", "bandwidth"), ("bandwidth", &bandwidth)]).fault
    };
    assert_eq!(
        shaped("limit: 1, buffer: 4294967295")
            .bandwidth
            .unwrap()
            .buffer,
        u32::MAX
    );
    for fields in [
        "limit: 1, buffer: 1, peakrate: 0, minburst: 0",
        "limit: 1, buffer: 1, peakrate: 20000000",
        "limit: 1, buffer: 1, minburst: 1600",
    ] {
        let bandwidth = shaped(fields).bandwidth.unwrap();
        assert_eq!(
            (bandwidth.peakrate, bandwidth.minburst),
            (None, None),
            "{fields}"
        );
        let text = format!("{{rate: 10mbit, {fields}}}");
        let noted = notes(&[
            ("action", "bandwidth"),
            ("delay", "-"),
            ("bandwidth", &text),
        ]);
        assert_eq!(
            noted.len(),
            usize::from(!fields.ends_with("minburst: 0")),
            "{noted:?}"
        );
    }
    for (fields, expected) in [
        ("limit: 0, buffer: 1", "limit: \"0\" is out of range"),
        ("limit: 1, buffer: 0", "buffer: \"0\" is out of range"),
        ("limit: -1, buffer: 1", "limit: \"-1\" is out of range"),
        (
            "limit: 4294967296, buffer: 1",
            "limit: \"4294967296\" is out of range",
        ),
        ("limit: 1.5, buffer: 1", "limit: \"1.5\" is out of range"),
        ("limit: '1', buffer: 1", "limit: \"1\" is a string"),
        (
            "limit: 1, buffer: 1, minburst: -1",
            "minburst: \"-1\" is out of range",
        ),
        (
            "limit: 1, buffer: 1, peakrate: 5mbit",
            "peakrate: \"5mbit\" is a string",
        ),
        (
            "limit: 1, buffer: 1, peakrate: 7, minburst: 1",
            "peakrate: is less than a byte per second",
        ),
        (
            "limit: 1, buffer: 1, peakrate: 10000000, minburst: 1600",
            "peakrate: \"10mbit\" is not above the rate",
        ),
    ] {
        refused(
            &[("action", "bandwidth"), ("bandwidth", &bandwidth(fields))],
            &format!("spec.bandwidth.{expected}"),
        );
    }
}

#[test]
fn gaps_are_whole_numbers() {
    let delay = |gap: &str| format!("{{latency: 1s, reorder: {{reorder: '1', gap: {gap}}}}}");
    accepted(&[("delay", &delay("4294967295"))]);
    for gap in ["-1", "4294967296", "1.5", "'1'", "many"] {
        refused(&[("delay", &delay(gap))], "spec.delay.reorder.gap: ");
    }
}
