//! What becomes of faults when the agent ends, is killed, and comes back.

use std::{
    thread,
    time::{Duration, Instant},
};

use netchaos_tests::{
    kubernetes::{Agent, Cast, Peers},
    rights,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const CUT: [(&str, f64); 1] = [("a->b", 1.0)];

fn cut(more: &Value) -> Value {
    let peer = |name: &str| json!({"labelSelectors": {"peer": name}});
    let mut spec = json!({
        "action": "partition", "direction": "to",
        "mode": "all", "selector": peer("a"),
        "target": {"mode": "all", "selector": peer("b")},
    });
    for (key, value) in more.as_object().expect("fields") {
        spec[key] = value.clone();
    }
    spec
}

fn agent(peers: &mut Peers) -> &mut Agent {
    &mut peers.plane.as_mut().expect("without nodes").agent
}

#[test]
fn a_fault_goes_on_without_the_agent_and_is_the_same_when_it_is_back() {
    let mut peers = Peers::on_plane();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let chaos = peers.chaos("cut", &cut(&json!({})));
        chaos.wait_until_injected(1);
        let before = chaos.status()["netchaos"]["nodes"].take();
        agent(&mut peers).end(signal);
        peers.assert_lost(&format!("after {signal}"), &CUT);
        agent(&mut peers).start_again();
        // A new pod's fault would be laid by now, so what there is to do is done.
        let second = peers.chaos("second", &cut(&json!({"direction": "from"})));
        second.wait_until_injected(1);
        second.delete();
        assert_eq!(chaos.status()["netchaos"]["nodes"], before, "{signal}");
        peers.assert_lost(&format!("back after {signal}"), &CUT);
        chaos.delete();
        peers.assert_lost("deleted", &[]);
        peers.assert_nothing_left();
    }
}

#[test]
fn an_agent_at_work_keeps_no_more_rights_than_it_needs() {
    let mut peers = Peers::on_plane();
    let chaos = peers.chaos("cut", &cut(&json!({})));
    chaos.wait_until_injected(1);
    // A socket for a group of users, and a port for the metrics.
    let allowed = rights::TO_LOOK | rights::CHOWN | rights::NET_BIND_SERVICE;
    rights::assert_few(agent(&mut peers).pid(), allowed);
    chaos.delete();
    peers.assert_nothing_left();
}

#[test]
fn a_fault_ends_in_time_without_the_agent() {
    let mut peers = Peers::on_plane();
    let begin = Instant::now();
    let chaos = peers.chaos("cut", &cut(&json!({"duration": "8s"})));
    chaos.wait_until_injected(1);
    agent(&mut peers).end(Signal::SIGKILL);
    peers.assert_lost("in its time", &CUT);
    assert!(begin.elapsed() < Duration::from_secs(8), "too slow to tell");
    thread::sleep(Duration::from_secs(9).saturating_sub(begin.elapsed()));
    peers.assert_lost("after its end", &[]);
    // What is left of it goes with the agent that comes back.
    agent(&mut peers).start_again();
    chaos.wait_for("Ended");
    peers.assert_nothing_left();
    chaos.delete();
}

#[test]
fn an_object_that_is_deleted_without_the_agent_goes_when_it_is_back() {
    let mut peers = Peers::on_plane();
    let chaos = peers.chaos("cut", &cut(&json!({})));
    chaos.wait_until_injected(1);
    agent(&mut peers).end(Signal::SIGKILL);
    chaos.ask_to_go();
    thread::sleep(Duration::from_secs(1));
    peers.assert_lost("deleted, and nobody there to recover it", &CUT);
    agent(&mut peers).start_again();
    chaos.wait_until_gone();
    peers.assert_lost("recovered", &[]);
    peers.assert_nothing_left();
}

#[test]
fn an_object_that_is_made_again_at_once_has_its_fault() {
    // One of the agents leads, the other does not.
    let cast = Cast::new(&[
        ("a", "again-1", "a"),
        ("a2", "again-2", "a"),
        ("b", "again-1", "b"),
    ]);
    let _agents = ["again-1", "again-2"].map(Agent::start);
    let app = |app: &str| json!({"labelSelectors": {"app": app}});
    let spec = cut(&json!({
        "selector": app("a"), "target": {"mode": "all", "selector": app("b")},
    }));
    for _ in 0..15 {
        let chaos = cast.chaos("cut", &spec);
        // Whatever is on its way for this one meets the next one of its name.
        chaos.annotate("chaos-mesh.chaos-mesh.org/cleanFinalizer=forced");
        chaos.delete();
        let again = cast.chaos("cut", &spec);
        again.wait_until_injected(2);
        again.delete();
    }
    cast.assert_nothing_left();
}
