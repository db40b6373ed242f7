//! `fault`: its fields, their mistakes, and random ones for the way through all written forms.

use super::*;

fn fault(fields: &str) -> Result<Fault, String> {
    read(&format!("name: a\nto: [::1]\nfault: {{{fields}}}")).map(|experiment| experiment.fault)
}

/// The fault in its written form.
fn written(fields: &str) -> serde_json::Value {
    serde_json::to_value(fault(fields).unwrap_or_else(|e| panic!("{e}"))).unwrap()
}

#[test]
fn every_part_of_a_fault_is_read() {
    assert_eq!(
        written(
            "delay: {latency: 10ms, jitter: 1ms, correlation: 5, distribution: paretonormal, \
             order: keep}, reorder: {percent: 25%, correlation: 50, gap: 5}, \
             loss: {percent: 1.5, correlation: 25%}, duplicate: {percent: 2, correlation: 3}, \
             corrupt: {percent: 0.1%}, rate: 10Mbit, bandwidth: {rate: 1mbps, limit: 64kb, \
             buffer: 16000, peakrate: 10mbit, minburst: 1600b}, partition: true, seed: 42, \
             strictCompat: true"
        ),
        serde_json::json!({
            "delay": {
                "latency": "10ms",
                "jitter": "1ms",
                "correlation": "5%",
                "distribution": "paretonormal",
                "order": "keep",
            },
            "reorder": {"percent": "25%", "correlation": "50%", "gap": 5},
            "loss": {"percent": "1.5%", "correlation": "25%"},
            "duplicate": {"percent": "2%", "correlation": "3%"},
            "corrupt": {"percent": "0.1%"},
            "rate": "10mbit",
            "bandwidth": {
                "rate": "8mbit",
                "limit": 65536,
                "buffer": 16000,
                "peakrate": "10mbit",
                "minburst": 1600,
            },
            "partition": true,
            "seed": 42,
            "strictCompat": true,
        })
    );
}

#[test]
fn loss_has_two_forms() {
    assert_eq!(
        written("loss: {worsen: 1, recover: 10}"),
        serde_json::json!({"loss": {"worsen": "1%", "recover": "10%", "bad": "100%"}})
    );
    assert_eq!(
        written("loss: {worsen: 1, recover: 10, bad: 50, good: 0.1}"),
        serde_json::json!({
            "loss": {"worsen": "1%", "recover": "10%", "bad": "50%", "good": "0.1%"},
        })
    );
}

#[test]
fn a_bucket_that_is_not_said_goes_with_the_rate() {
    assert_eq!(
        written("bandwidth: {rate: 1mbit}"),
        serde_json::json!({"bandwidth": {"rate": "1mbit", "limit": 16490, "buffer": 10240}})
    );
}

#[test]
fn what_would_do_nothing_is_not_there() {
    let zero = "loss: {percent: 0}, duplicate: {percent: 0%, correlation: 5}, partition: false";
    assert_eq!(
        written(&format!("rate: 1mbit, {zero}")),
        serde_json::json!({"rate": "1mbit"})
    );
    for fields in [zero, "", "seed: 5, strictCompat: true"] {
        let error = fault(fields).unwrap_err();
        assert!(
            error.starts_with("f:5: fault: no fault is given; allowed: one or"),
            "{error}"
        );
    }
}

#[test]
fn the_mistakes_of_a_fault_are_named() {
    for (fields, expected) in [
        ("delay: {jitter: 1ms}", "delay.latency: missing"),
        (
            "delay: {latency: 1s, order: kept}",
            "delay.order: \"kept\" is not an order",
        ),
        (
            "delay: {latency: 1s, distribution: bell}",
            "delay.distribution: \"bell\" is not a distribution",
        ),
        (
            "rate: 1mbit, reorder: {percent: 5}",
            "reorder: has nothing to overtake, since nothing is delayed",
        ),
        (
            "delay: {latency: 1s}, reorder: {percent: 5, gap: -1}",
            "reorder.gap: \"-1\" is not a whole number",
        ),
        ("loss: {}", "loss.percent: missing"),
        ("loss: {correlation: 5}", "loss.percent: missing"),
        (
            "loss: {percent: 101}",
            "loss.percent: \"101\" is out of range",
        ),
        ("loss: {worsen: 1}", "loss.recover: missing"),
        (
            "loss: {worsen: 1, recover: 2, percent: 3}",
            "loss.percent: does not go with the chances of two states",
        ),
        (
            "loss: {percent: 3, recovr: 2}",
            "loss.recovr: unknown field; did you mean \"recover\"?",
        ),
        (
            "duplicate: {percent: x}",
            "duplicate.percent: \"x\" is not a percentage",
        ),
        ("corrupt: 5", "corrupt: \"5\" is a number"),
        ("rate: 10", "rate: \"10\" has no unit of a rate"),
        ("bandwidth: {limit: 5}", "bandwidth.rate: missing"),
        (
            "bandwidth: {rate: 1mbit, buffer: 0}",
            "bandwidth.buffer: \"0\" holds nothing",
        ),
        (
            "bandwidth: {rate: 1mbit, limit: 5gb}",
            "bandwidth.limit: \"5gb\" is too large",
        ),
        (
            "bandwidth: {rate: 2mbit, peakrate: 1mbit, minburst: 2kb}",
            "bandwidth.peakrate: \"1mbit\" is not above the rate",
        ),
        (
            "bandwidth: {rate: 2mbit, peakrate: 3mbit}",
            "bandwidth.minburst: missing",
        ),
        (
            "bandwidth: {rate: 2mbit, minburst: 2kb}",
            "bandwidth.peakrate: missing",
        ),
        ("partition: 'yes'", "partition: \"yes\" is a string"),
        (
            "rate: 1mbit, seed: 1.5",
            "seed: \"1.5\" is not a whole number",
        ),
        ("rate: 1mbit, limit: 5", "limit: unknown field"),
    ] {
        let error = fault(fields).expect_err(fields);
        assert!(
            error.starts_with(&format!("f:5: fault.{expected}")),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{fields}: {error}");
    }
}

fn any_percent() -> impl Strategy<Value = Percent> {
    let whole = (0..=100_u8).prop_map(|percent| percent.to_string());
    let any = (0.0..=100.0_f64).prop_map(|percent| percent.to_string());
    prop_oneof![whole, any].prop_map(|text| text.parse().unwrap())
}

fn any_rate() -> impl Strategy<Value = Rate> {
    (8..=u64::MAX / 2, 0..60_u32)
        .prop_map(|(bits, shift)| Rate::from_bits_per_second((bits >> shift).max(8)).unwrap())
}

fn any_delay() -> impl Strategy<Value = Delay> {
    let distribution = prop_oneof![
        Just(Distribution::Uniform),
        Just(Distribution::Normal),
        Just(Distribution::Pareto),
        Just(Distribution::ParetoNormal),
    ];
    let order = prop_oneof![Just(JitterOrder::Keep), Just(JitterOrder::Reorder)];
    let times = (any_duration(LONGEST_DELAY), any_duration(LONGEST_JITTER));
    (times, any_percent(), distribution, order).prop_map(
        |((latency, jitter), correlation, distribution, order)| Delay {
            latency,
            jitter,
            correlation,
            distribution,
            order,
        },
    )
}

fn any_chance() -> impl Strategy<Value = Chance> {
    (any_percent(), any_percent()).prop_map(|(percent, correlation)| Chance {
        percent,
        correlation,
    })
}

fn any_loss() -> impl Strategy<Value = Loss> {
    let chain = prop::array::uniform4(any_percent()).prop_map(|[worsen, recover, bad, good]| {
        Loss::GilbertElliott(GilbertElliott {
            worsen,
            recover,
            bad,
            good,
        })
    });
    prop_oneof![any_chance().prop_map(Loss::Random), chain]
}

fn any_bandwidth() -> impl Strategy<Value = Bandwidth> {
    let peak = prop::option::of((any_rate(), 1..=u32::MAX));
    (any_rate(), 1..=u32::MAX, 1..=u32::MAX, peak).prop_map(|(rate, limit, buffer, peak)| {
        let peak = peak.filter(|(peakrate, _)| *peakrate > rate);
        Bandwidth {
            rate,
            limit,
            buffer,
            peakrate: peak.map(|(peakrate, _)| peakrate),
            minburst: peak.map(|(_, minburst)| minburst),
        }
    })
}

/// One that passes the checks.
pub(super) fn any_fault() -> impl Strategy<Value = Fault> {
    let reorder = (any_percent(), any_percent(), any::<u32>());
    let reorder = reorder.prop_map(|(percent, correlation, gap)| Reorder {
        percent,
        correlation,
        gap,
    });
    let delay = prop::option::of((any_delay(), prop::option::of(reorder)));
    let chances = (
        prop::option::of(any_chance()),
        prop::option::of(any_chance()),
    );
    let rates = (
        prop::option::of(any_rate()),
        prop::option::of(any_bandwidth()),
    );
    let rest = (any::<bool>(), prop::option::of(any::<u64>()), any::<bool>());
    (delay, prop::option::of(any_loss()), chances, rates, rest)
        .prop_map(
            |(delay, loss, (duplicate, corrupt), (rate, bandwidth), rest)| {
                let (delay, reorder) = delay.unzip();
                let (partition, seed, strict_compat) = rest;
                let fault = Fault {
                    delay,
                    reorder: reorder.flatten(),
                    loss,
                    duplicate,
                    corrupt,
                    rate,
                    bandwidth,
                    partition,
                    seed,
                    strict_compat,
                };
                fault.without_idle()
            },
        )
        .prop_filter("a fault", |fault| !fault.is_empty())
}
