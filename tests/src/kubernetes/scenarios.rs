//! Four peers, and what is done to them through the API server alone. By partition and loss, which every kernel can.
//! Each begins without a fault, and ends so, without a trace.

use serde_json::{Value, json};

use super::{Chaos, Peers};

/// A scenario by what it shows.
pub type Scenario = fn(&Peers);

/// Makes a test of each scenario, on what `$peers` is.
#[macro_export]
macro_rules! four_peers {
    ($peers:expr) => {
        $crate::four_peers! { $peers =>
            one_peer_is_cut_off_from_everybody
            one_peer_loses_what_it_sends_to_another
            one_peer_is_cut_off_from_those_with_a_label
            those_with_a_label_are_cut_off_from_one_peer
            a_partition_has_the_direction_that_it_was_given
            of_two_experiments_one_stays_when_the_other_is_deleted
            two_experiments_on_the_same_packets_add_up
            two_peers_are_each_cut_off_from_the_other
            experiments_of_one_name_in_two_namespaces_are_two
            a_paused_experiment_does_nothing_until_it_goes_on
        }
    };
    ($peers:expr => $($name:ident)*) => {$(
        #[test]
        fn $name() {
            let peers = $peers;
            $crate::kubernetes::scenarios::run(&peers, $crate::kubernetes::scenarios::$name);
        }
    )*};
}

/// A peer by its name.
fn peer(name: &str) -> Value {
    labelled("peer", name)
}

fn labelled(label: &str, value: &str) -> Value {
    json!({"labelSelectors": {label: value}})
}

fn all(selector: &Value) -> Value {
    json!({"mode": "all", "selector": selector})
}

/// `from` is cut off from `to` in one of the directions.
fn cut(direction: &str, from: &Value, to: &Value) -> Value {
    json!({
        "action": "partition", "direction": direction,
        "mode": "all", "selector": from, "target": all(to),
    })
}

/// 40 % of what `from` sends to `to` is lost.
fn lossy(from: &Value, to: &Value) -> Value {
    json!({
        "action": "loss", "loss": {"loss": "40"}, "direction": "to",
        "mode": "all", "selector": from, "target": all(to),
    })
}

/// Runs `scenario` between two looks at the peers.
///
/// # Panics
/// When it fails, or something is left.
#[track_caller]
pub fn run(peers: &Peers, scenario: Scenario) {
    peers.assert_lost("before", &[]);
    scenario(peers);
    peers.assert_lost("afterwards", &[]);
    peers.assert_nothing_left();
}

pub fn one_peer_is_cut_off_from_everybody(peers: &Peers) {
    let spec = json!({
        "action": "partition", "direction": "both", "mode": "all", "selector": peer("a"),
    });
    let cut = Chaos::apply_with(
        &peers.namespace,
        "cut",
        &[("netchaos.io/all-traffic", "true")],
        &spec,
    );
    cut.wait_until_injected(1);
    let ways = ["a->b", "a->c", "a->d", "b->a", "c->a", "d->a"];
    peers.assert_lost("cut off", &ways.map(|way| (way, 1.0)));
    cut.delete();
}

pub fn one_peer_loses_what_it_sends_to_another(peers: &Peers) {
    let loss = peers.chaos("loss", &lossy(&peer("a"), &peer("b")));
    loss.wait_until_injected(1);
    peers.assert_lost("loss", &[("a->b", 0.4)]);
    loss.delete();
}

pub fn one_peer_is_cut_off_from_those_with_a_label(peers: &Peers) {
    let cut = peers.chaos("cut", &cut("to", &peer("a"), &labelled("role", "store")));
    cut.wait_until_injected(1);
    peers.assert_lost("cut", &[("a->c", 1.0), ("a->d", 1.0)]);
    cut.delete();
}

pub fn those_with_a_label_are_cut_off_from_one_peer(peers: &Peers) {
    let cut = peers.chaos("cut", &cut("to", &labelled("role", "store"), &peer("a")));
    cut.wait_until_injected(2);
    peers.assert_lost("cut", &[("c->a", 1.0), ("d->a", 1.0)]);
    cut.delete();
}

pub fn a_partition_has_the_direction_that_it_was_given(peers: &Peers) {
    for (direction, lost) in [
        ("to", &[("a->b", 1.0)][..]),
        ("from", &[("b->a", 1.0)]),
        ("both", &[("a->b", 1.0), ("b->a", 1.0)]),
    ] {
        let cut = peers.chaos("cut", &cut(direction, &peer("a"), &peer("b")));
        cut.wait_until_injected(1);
        peers.assert_lost(direction, lost);
        cut.delete();
        peers.assert_lost(&format!("{direction}, afterwards"), &[]);
    }
}

pub fn of_two_experiments_one_stays_when_the_other_is_deleted(peers: &Peers) {
    let cut = peers.chaos("cut", &cut("to", &peer("a"), &peer("b")));
    let loss = peers.chaos("loss", &lossy(&peer("a"), &peer("c")));
    cut.wait_until_injected(1);
    loss.wait_until_injected(1);
    peers.assert_lost("both", &[("a->b", 1.0), ("a->c", 0.4)]);
    cut.delete();
    peers.assert_lost("loss alone", &[("a->c", 0.4)]);
    loss.delete();
}

pub fn two_experiments_on_the_same_packets_add_up(peers: &Peers) {
    let first = peers.chaos("first", &lossy(&peer("a"), &peer("b")));
    let second = peers.chaos("second", &lossy(&peer("a"), &peer("b")));
    first.wait_until_injected(1);
    second.wait_until_injected(1);
    peers.assert_lost("both", &[("a->b", 0.64)]);
    first.delete();
    peers.assert_lost("one", &[("a->b", 0.4)]);
    second.delete();
}

pub fn two_peers_are_each_cut_off_from_the_other(peers: &Peers) {
    let there = peers.chaos("there", &cut("to", &peer("a"), &peer("b")));
    let back = peers.chaos("back", &lossy(&peer("b"), &peer("a")));
    there.wait_until_injected(1);
    back.wait_until_injected(1);
    peers.assert_lost("both", &[("a->b", 1.0), ("b->a", 0.4)]);
    there.delete();
    peers.assert_lost("back alone", &[("b->a", 0.4)]);
    back.delete();
}

pub fn experiments_of_one_name_in_two_namespaces_are_two(peers: &Peers) {
    let other = super::new_namespace();
    let elsewhere = |mut spec: Value| {
        let namespaces = json!([peers.namespace]);
        spec["selector"]["namespaces"] = namespaces.clone();
        spec["target"]["selector"]["namespaces"] = namespaces;
        spec
    };
    let here = peers.chaos("cut", &cut("to", &peer("a"), &peer("b")));
    let there = Chaos::apply(&other, "cut", &elsewhere(cut("to", &peer("a"), &peer("c"))));
    let back = peers.chaos("back", &cut("to", &peer("c"), &peer("a")));
    for chaos in [&here, &there, &back] {
        chaos.wait_until_injected(1);
    }
    peers.assert_lost("all", &[("a->b", 1.0), ("a->c", 1.0), ("c->a", 1.0)]);
    here.delete();
    peers.assert_lost("its namesake stays", &[("a->c", 1.0), ("c->a", 1.0)]);
    there.delete();
    peers.assert_lost("back alone", &[("c->a", 1.0)]);
    back.delete();
}

pub fn a_paused_experiment_does_nothing_until_it_goes_on(peers: &Peers) {
    const PAUSE: &str = "experiment.chaos-mesh.org/pause";
    let cut = peers.chaos("cut", &cut("both", &peer("a"), &peer("b")));
    let lost = [("a->b", 1.0), ("b->a", 1.0)];
    cut.wait_until_injected(1);
    peers.assert_lost("before the pause", &lost);
    cut.annotate(&format!("{PAUSE}=true"));
    cut.wait_for("Paused");
    peers.assert_lost("paused", &[]);
    cut.annotate(&format!("{PAUSE}-"));
    cut.wait_until_injected(1);
    peers.assert_lost("after the pause", &lost);
    cut.delete();
}
