//! The forms of values that Chaos Mesh's own tests, its CRD and its users have, one test for each.

use super::*;

fn with_rate(text: &str) -> Result<Document, String> {
    read(&[("rate", &format!("{{rate: {text:?}}}"))])
}

fn with_latency(text: &str) -> Result<Document, String> {
    read(&[("delay", &format!("{{latency: {text:?}}}"))])
}

fn latency(text: &str) -> Duration {
    let document = with_latency(text).unwrap_or_else(|e| panic!("{e}"));
    document.experiment.fault.delay.unwrap().latency
}

#[test]
fn a_rate_with_spaces_and_capitals_is_normalised() {
    let document = with_rate("  10   mbPs  ").unwrap();
    let rate = document.experiment.fault.rate.unwrap();
    assert_eq!(rate.bytes_per_second(), 10_000_000);
}

#[test]
fn a_rate_without_unit_or_with_an_unknown_one_is_refused() {
    for text in ["10", " 10 cpbs"] {
        let problem = with_rate(text).unwrap_err();
        assert!(
            problem.starts_with(&format!("spec.rate.rate: {text:?} ")),
            "{problem}"
        );
    }
}

#[test]
fn a_rate_with_a_fraction_is_taken_as_by_tc() {
    let rate = with_rate("1.5mbit").unwrap().experiment.fault.rate.unwrap();
    assert_eq!(rate.bytes_per_second(), 187_500);
}

#[test]
fn plain_latencies_are_taken() {
    assert_eq!(latency("90ms"), Duration::from_millis(90));
    assert_eq!(latency("1.5s"), Duration::from_millis(1500));
}

#[test]
fn latencies_that_the_crd_refuses_are_refused() {
    for text in ["-1ms", "1m30s", "10"] {
        let problem = with_latency(text).unwrap_err();
        assert!(problem.starts_with("spec.delay.latency: "), "{problem}");
    }
}

#[test]
fn a_latency_below_a_second_delays() {
    assert_eq!(latency("0.5s"), Duration::from_millis(500));
}

#[test]
fn latencies_that_tc_refuses_delay() {
    assert_eq!(latency("2m"), Duration::from_secs(120));
    assert_eq!(latency("100ns"), Duration::from_nanos(100));
}

#[test]
fn shares_outside_of_0_to_100_are_refused() {
    for text in ["150", "-5", "NaN"] {
        refused(
            &[("loss", &format!("{{loss: '{text}'}}"))],
            &format!("spec.loss.loss: {text:?} is out of range"),
        );
    }
}

#[test]
fn an_empty_correlation_is_zero() {
    let experiment = accepted(&[("loss", "{loss: '10', correlation: ''}")]);
    assert_eq!(
        serde_json::to_value(experiment.fault.loss).unwrap(),
        serde_json::json!({"percent": "10%"})
    );
}

#[test]
fn what_comes_from_external_targets_can_be_delayed() {
    let from = [("direction", "from")];
    assert_eq!(accepted(&from).direction, Direction::From);
    assert!(read_strictly(&from).is_err());
}

#[test]
fn a_partition_without_target_asks_for_words() {
    let both = [
        ("action", "partition"),
        ("direction", "both"),
        ("delay", "-"),
        ("externalTargets", "-"),
    ];
    refused(
        &both,
        "spec.externalTargets: no target is given, which is all traffic in Chaos Mesh",
    );
    let annotated = manifest(
        "name: a, annotations: {netchaos.io/all-traffic: 'true'}",
        &spec(&both),
    );
    let experiment = read_text(&annotated).unwrap().experiment;
    assert_eq!(experiment.targets, Targets::AllTraffic);
    assert_eq!(experiment.direction, Direction::Both);
    assert!(experiment.fault.partition);
}
