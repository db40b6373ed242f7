use super::*;
use crate::experiment::manifest::{self, Reading};

fn explained(body: &str) -> Explanation {
    let text = format!("apiVersion: netchaos/v1\nkind: Experiment\nname: a\n{body}\n");
    let documents = manifest::read("f", &text, Default::default()).unwrap();
    explain(&documents[0].experiment, "eth0", None)
}

#[test]
fn a_delay_of_one_way_is_paid_once_a_round_trip() {
    let said = explained("to: [10.0.0.1]\nfault: {delay: {latency: 50ms}}");
    assert_eq!(
        said.packets,
        ["Packets to 10.0.0.1 that leave through eth0."]
    );
    assert_eq!(said.each, ["It is delayed by 50ms."]);
    assert!(said.meaning[0].contains("takes 50ms more"), "{said:?}");
    assert!(said.meaning[1].contains("handshake is one round trip: 50ms more"));
    assert!(said.meaning[1].contains("is two: 100ms more"));
}

#[test]
fn a_delay_of_both_ways_is_four_times_the_latency_for_a_request() {
    let said = explained("to: [10.0.0.1]\ndirection: both\nfault: {delay: {latency: 50ms}}");
    assert_eq!(said.packets.len(), 2);
    assert!(said.meaning[1].contains("is two: 200ms more"), "{said:?}");
    assert!(said.meaning[2].contains("4 times the 50ms"));
}

#[test]
fn a_correlated_loss_keeps_its_rate_and_says_how_long_its_runs_are() {
    let loss = "to: [10.0.0.1]\nfault: {loss: {percent: 10%, correlation: 25%}}";
    let said = explained(loss);
    // 1 / (0.9 * 0.75)
    assert!(said.each[0].contains("runs of 1.5 packets"), "{said:?}");
    assert!(said.meaning[0].contains("10.000%"), "{said:?}");
    assert!(said.differences.iter().any(|text| text.contains("1.8%")));
    let strict = explained(
        "to: [10.0.0.1]\nfault: {loss: {percent: 10%, correlation: 25%}, strictCompat: true}",
    );
    assert!(strict.each[0].contains("far less"), "{strict:?}");
}

#[test]
fn all_traffic_names_what_is_spared() {
    let said = explained("allTraffic: true\nfault: {partition: true}");
    let spared = said.packets.last().unwrap();
    assert_eq!(
        spared,
        "ARP, IPv6 neighbour discovery, DHCP pass untouched."
    );
    assert!(said.meaning[0].contains("hangs"));
}

#[test]
fn pods_as_targets_are_met_on_the_selected_side() {
    let text = "apiVersion: chaos-mesh.org/v1alpha1\nkind: NetworkChaos\nmetadata: {name: a}\n\
                spec:\n  action: delay\n  mode: all\n  selector: {namespaces: [shop]}\n  \
                direction: both\n  delay: {latency: 50ms}\n  target:\n    mode: all\n    selector: \
                {namespaces: [shop], labelSelectors: {app: db}}\n";
    assert!(manifest::read("f", text, Reading::default()).is_err());
    let reading = Reading {
        keeps_pods: true,
        ..Reading::default()
    };
    let documents = manifest::read("f", text, reading).unwrap();
    let document = &documents[0];
    let said = explain(&document.experiment, "eth0", document.pods.as_ref());
    let whom = "all pods that target selects in shop with app=db";
    assert!(
        said.packets[0].contains(&format!("Packets to {whom}")),
        "{said:?}"
    );
    assert!(said.packets[1].contains(&format!("Packets from {whom}")));
    assert!(said.differences.last().unwrap().contains("targetDevice"));
}
