//! Faults when the API server cannot be reached, when nobody renews their lease, and when pods, addresses and services
//! come, change and go.

use std::time::Duration;

use netchaos_tests::{
    command::run,
    kubernetes::{Agent, Cast, Chaos, Place, Proxy, Way, apply, kubectl},
    netchaos::program,
};
use serde_json::{Value, json};

const PASSES: [bool; 2] = [true, true];
/// What leaves the first pod for the second is lost.
const CUT: [bool; 2] = [false, true];
/// A lease that a test can wait for.
const LEASE: Duration = Duration::from_secs(10);
const SHORT_LEASE: [&str; 2] = ["--lease", "10s"];
const SOON: Duration = Duration::from_secs(10);

fn pods(app: &str) -> Value {
    json!({"labelSelectors": {"app": app}})
}

/// Cuts what leaves the pods `web` for the pods `db`.
fn cut(more: &Value) -> Value {
    let mut spec = json!({
        "action": "partition", "direction": "to",
        "mode": "all", "selector": pods("web"),
        "target": {"mode": "all", "selector": pods("db")},
    });
    for (key, value) in more.as_object().expect("fields") {
        spec[key] = value.clone();
    }
    spec
}

/// Two pods, and the agent of their node.
fn two(node: &str) -> Cast {
    Cast::new(&[("web", node, "web"), ("db", node, "db")])
}

#[test]
fn without_an_api_server_faults_go_on_beyond_their_leases_and_end_in_time() {
    let cast = two("away");
    let proxy = Proxy::start();
    let mut agent = Agent::new("away", &SHORT_LEASE);
    agent.aim_at(&proxy);
    agent.start_again();
    let line = cast.line("web", "db");
    let endless = cast.chaos("endless", &cut(&json!({})));
    endless.wait_until_injected(1);
    let ending = cast.chaos(
        "ending",
        &cut(&json!({"direction": "from", "duration": "12s"})),
    );
    ending.wait_until_injected(1);
    line.assert([false, false], "both");
    proxy.set(Way::Refused);
    // The end of the one comes without an API server, and the lease of the other is renewed.
    line.wait_until(CUT, Duration::from_secs(15), "one has ended");
    proxy.set(Way::BlackHole);
    line.assert_for(CUT, LEASE + LEASE / 2, "its agent lives");
    endless.ask_to_go();
    line.assert(CUT, "nobody has told the agent");
    proxy.set(Way::Open);
    line.wait_until(PASSES, Duration::from_secs(60), "the API server is back");
    endless.wait_until_gone();
    ending.delete();
    cast.assert_nothing_left();
}

#[test]
fn a_fault_without_an_end_goes_with_its_lease_when_the_agent_is_gone_for_good() {
    let cast = two("lease");
    let mut agent = Agent::start_with("lease", &SHORT_LEASE);
    let line = cast.line("web", "db");
    let chaos = cast.chaos("cut", &cut(&json!({})));
    chaos.wait_until_injected(1);
    agent.end(nix::sys::signal::Signal::SIGKILL);
    line.assert(CUT, "the agent was killed a moment ago");
    line.wait_until(PASSES, LEASE + Duration::from_secs(1), "its lease is over");
    // Whoever comes next lays it again, as the object asks.
    agent.start_again();
    line.wait_until(CUT, SOON, "an agent is back");
    chaos.delete();
    line.assert(PASSES, "deleted");
    cast.assert_nothing_left();
}

#[test]
fn pods_join_and_go_and_targets_are_followed() {
    let mut cast = two("moving");
    let _agent = Agent::start("moving");
    let chaos = cast.chaos("cut", &cut(&json!({})));
    chaos.wait_until_injected(1);
    cast.add(
        "late",
        Place {
            node: "moving",
            app: "web",
        },
    );
    chaos.wait_until_injected(2);
    cast.line("late", "db").wait_until(CUT, SOON, "it joins");
    cast.remove("web");
    chaos.wait_until_injected(1);
    // A pod of the same name is another one.
    cast.add(
        "web",
        Place {
            node: "moving",
            app: "web",
        },
    );
    chaos.wait_until_injected(2);
    let line = cast.line("web", "db");
    line.wait_until(CUT, SOON, "it has it as well");
    cast.move_away("db");
    cast.line("web", "db")
        .wait_until(CUT, SOON, "its new address");
    line.wait_until(PASSES, SOON, "its old address");
    chaos.delete();
    cast.line("web", "db").assert(PASSES, "deleted");
}

/// The address of a service in front of the pods `db`, given to the one that there is.
fn service(cast: &Cast) -> std::net::Ipv4Addr {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "db", "namespace": cast.namespace},
        "spec": {"selector": {"app": "db"}, "ports": [{"port": 80}]},
    });
    apply(&service.to_string());
    let args = [
        "get",
        "service",
        "db",
        "--output=jsonpath={.spec.clusterIP}",
    ];
    let done = kubectl(&[&args[..], &["--namespace", &cast.namespace]].concat()).ok();
    let address = done.stdout.trim().to_owned();
    cast.netns("db")
        .ip(&format!("addr add {address}/32 dev eth0"));
    cast.netns("web")
        .ip(&format!("route add {address}/32 dev eth0"));
    address.parse().expect("a service has an address")
}

#[test]
fn a_service_is_a_target_by_its_pods_and_by_its_name() {
    let cast = two("service");
    let address = service(&cast);
    let _agent = Agent::start("service");
    let line = cast.line_to("web", "db", address);
    line.wait_until(PASSES, SOON, "before");
    let name = json!({"externalTargets": [format!("db.{}.svc", cast.namespace)], "target": null});
    for more in [json!({}), name] {
        let mut spec = cut(&more);
        if spec["target"].is_null() {
            spec.as_object_mut().expect("fields").remove("target");
        }
        let chaos: Chaos = cast.chaos("cut", &spec);
        chaos.wait_until_injected(1);
        line.wait_until(CUT, SOON, "the service");
        cast.line("web", "db").assert(CUT, "its pod");
        chaos.delete();
        line.assert(PASSES, "deleted");
    }
}

#[test]
fn the_command_line_and_the_agent_agree() {
    let cast = Cast::new(&[
        ("web", "door", "web"),
        ("db", "door", "db"),
        ("third", "door", "third"),
    ]);
    let mut agent = Agent::start("door");
    let chaos = cast.chaos("cut", &cut(&json!({})));
    chaos.wait_until_injected(1);
    let (by_name, uid) = (
        format!("{}/web", cast.namespace),
        cast.uid("web").to_owned(),
    );
    let socket = agent.socket().display().to_string();
    // By its name the agent does it, by its uid the command itself.
    let netchaos = |args: &[&str]| {
        let variable = format!("NETCHAOS_SOCKET={socket}");
        run("env", &[&[&variable, &program()[..]], args].concat()).ok()
    };
    let listed = |pod: &str| {
        let listed = netchaos(&["list", "-o", "json", "--pod", pod]).json();
        let one = &listed.as_array().expect("a list")[0];
        (one["name"].clone(), one["spec"]["to"].clone())
    };
    assert_eq!(listed(&by_name), listed(&uid));
    assert_eq!(listed(&by_name).0, "cut");
    let line = cast.line("web", "third");
    line.assert(PASSES, "no target yet");
    let third = cast.address("third").to_string();
    netchaos(&["target", "add", "cut", &third, "--pod", &by_name]);
    line.wait_until(CUT, SOON, "a target that was added");
    // It stays when the agent looks again, and when it starts anew.
    agent.end(nix::sys::signal::Signal::SIGTERM);
    agent.start_again();
    let second = cast.chaos("second", &cut(&json!({"direction": "from"})));
    second.wait_until_injected(1);
    second.delete();
    line.assert(CUT, "with a new agent");
    netchaos(&["target", "remove", "cut", &third, "--pod", &uid]);
    line.wait_until(PASSES, SOON, "removed again");
    assert_eq!(listed(&by_name), listed(&uid));
    chaos.delete();
    cast.assert_nothing_left();
}
