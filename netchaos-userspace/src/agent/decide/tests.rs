use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::super::{
    chaos::FINALIZER,
    cluster::{
        Pod,
        tests::{id, labels, node},
    },
    status::{InPod, OnNode, Phase},
};
use super::*;

/// Three pods of `web` on two nodes, and a `db`.
fn cluster() -> Cluster {
    let pod = |name: &str, node: &str, app: &str, address: &str| {
        let pod = Pod {
            uid: format!("uid-{name}"),
            node: Some(node.into()),
            labels: labels(&[("app", app)]),
            addresses: vec![address.parse().unwrap()],
            phase: "Running".into(),
            ..Pod::default()
        };
        (id(&format!("shop/{name}")), pod)
    };
    Cluster {
        pods: [
            pod("web-1", "n1", "web", "10.0.1.1"),
            pod("web-2", "n2", "web", "10.0.2.2"),
            pod("web-3", "n2", "web", "10.0.2.3"),
            pod("db", "n1", "db", "10.0.1.9"),
        ]
        .into(),
        nodes: [node("n1", &[]), node("n2", &[])].into(),
        ..Cluster::default()
    }
}

/// Cuts `web` from `db`.
fn object() -> Value {
    json!({
        "metadata": {
            "name": "cut", "namespace": "shop", "uid": "u", "resourceVersion": "1",
            "finalizers": [FINALIZER], "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "action": "partition", "mode": "all", "direction": "to",
            "selector": {"labelSelectors": {"app": "web"}},
            "target": {"mode": "all", "selector": {"labelSelectors": {"app": "db"}}},
        },
    })
}

fn chaos(object: &Value) -> Chaos {
    Chaos::read(serde_json::from_value(object.clone()).unwrap()).unwrap()
}

fn now() -> Now {
    Now {
        time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_660),
        stamp: "2026-01-01T00:01:00Z".into(),
    }
}

fn step(chaos: &Chaos, cluster: &Cluster) -> Step {
    decide(chaos, cluster, None, &now(), &mut StdRng::seed_from_u64(7))
}

/// Takes steps until there is nothing to do; gives back what was told on the way.
fn settle(chaos: &mut Chaos, cluster: &Cluster) -> Vec<&'static str> {
    let mut told = Vec::new();
    for _ in 0..5 {
        match step(chaos, cluster) {
            Step::Write(status, tidings) => {
                chaos.status = *status;
                told.extend(tidings.into_iter().map(|tiding| tiding.reason));
            }
            Step::Nothing => return told,
            other => panic!("{other:?}"),
        }
    }
    panic!("it does not come to rest: {:?}", chaos.status);
}

/// What the agents of the nodes say.
fn say(chaos: &mut Chaos, pod: &str, node: &str, injected: bool, message: &str) {
    let on_node: &mut OnNode = chaos.status.netchaos.nodes.entry(node.into()).or_default();
    let in_pod = InPod {
        uid: format!("uid-{pod}"),
        injected,
        message: message.into(),
        since: String::new(),
    };
    on_node.pods.insert(format!("shop/{pod}"), in_pod);
}

fn say_all_injected(chaos: &mut Chaos) {
    for (pod, node) in [("web-1", "n1"), ("web-2", "n2"), ("web-3", "n2")] {
        say(chaos, pod, node, true, "");
    }
}

fn names(chaos: &Chaos, key: &str) -> Vec<String> {
    chaos
        .status
        .records(key)
        .map(|record| record.id.clone())
        .collect()
}

#[test]
fn nothing_is_chosen_before_the_object_is_held() {
    let mut value = object();
    value["metadata"]["finalizers"] = json!([]);
    assert_eq!(step(&chaos(&value), &cluster()), Step::AddFinalizer);
}

#[test]
fn pods_are_chosen_then_injected_and_the_status_says_so() {
    let mut chaos = chaos(&object());
    assert_eq!(settle(&mut chaos, &cluster()), ["Selected"]);
    assert_eq!(
        names(&chaos, PLACE),
        ["shop/web-1", "shop/web-2", "shop/web-3"]
    );
    assert_eq!(names(&chaos, TARGET), ["shop/db"]);
    assert_eq!(chaos.status.netchaos.targets, ["10.0.1.9"]);
    assert_eq!(chaos.status.netchaos.state, State::Injecting);
    assert!(chaos.status.is("Selected") && !chaos.status.is("AllInjected"));
    say_all_injected(&mut chaos);
    assert_eq!(settle(&mut chaos, &cluster()), ["Injected"]);
    assert!(chaos.status.is("AllInjected") && !chaos.status.is("AllRecovered"));
    assert_eq!(chaos.status.netchaos.injected, "3/3");
    let mut records = chaos.status.experiment.container_records.iter();
    assert!(records.all(|record| record.phase == Phase::Injected && record.injected_count == 1));
}

#[test]
fn what_an_agent_says_of_another_pod_of_the_same_name_does_not_count() {
    let mut chaos = chaos(&object());
    settle(&mut chaos, &cluster());
    say_all_injected(&mut chaos);
    let mut cluster = cluster();
    cluster.pods.get_mut(&id("shop/web-1")).unwrap().uid = "a new one".into();
    settle(&mut chaos, &cluster);
    assert_eq!(chaos.status.netchaos.injected, "2/3");
    assert_eq!(chaos.status.netchaos.state, State::Injecting);
}

#[test]
fn pods_that_come_join_and_pods_that_go_are_normal() {
    let mut chaos = chaos(&object());
    let mut cluster = cluster();
    settle(&mut chaos, &cluster);
    say_all_injected(&mut chaos);
    settle(&mut chaos, &cluster);
    let pod = cluster.pods.remove(&id("shop/web-2")).unwrap();
    assert!(settle(&mut chaos, &cluster).is_empty());
    assert_eq!(chaos.status.netchaos.injected, "2/2");
    assert!(chaos.status.is("AllInjected"));
    cluster.pods.insert(id("shop/web-4"), pod);
    settle(&mut chaos, &cluster);
    assert_eq!(chaos.status.netchaos.injected, "2/3");
    assert!(names(&chaos, PLACE).contains(&"shop/web-4".to_owned()));
    // The targets follow their pods.
    cluster.pods.get_mut(&id("shop/db")).unwrap().addresses = vec!["10.0.1.77".parse().unwrap()];
    settle(&mut chaos, &cluster);
    assert_eq!(chaos.status.netchaos.targets, ["10.0.1.77"]);
}

#[test]
fn some_are_chosen_once() {
    let mut value = object();
    value["spec"]["mode"] = json!("fixed");
    value["spec"]["value"] = json!("2");
    let mut chaos = chaos(&value);
    let mut cluster = cluster();
    settle(&mut chaos, &cluster);
    let first = names(&chaos, PLACE);
    assert_eq!(first.len(), 2);
    for seed in 0..20 {
        let step = decide(
            &chaos,
            &cluster,
            None,
            &now(),
            &mut StdRng::seed_from_u64(seed),
        );
        assert_eq!(step, Step::Nothing);
    }
    // Its place is not given to another one.
    let gone = cluster.pods.remove(&id(&first[0])).unwrap();
    settle(&mut chaos, &cluster);
    assert_eq!(names(&chaos, PLACE), first);
    assert_eq!(chaos.status.netchaos.injected, "0/1");
    cluster.pods.insert(id(&first[0]), gone);
    settle(&mut chaos, &cluster);
    assert_eq!(chaos.status.netchaos.injected, "0/2");
}

#[test]
fn nobody_to_be_aimed_at_is_never_everybody() {
    let mut value = object();
    value["spec"]["target"]["selector"]["labelSelectors"]["app"] = json!("nobody");
    let mut chaos = chaos(&value);
    assert_eq!(settle(&mut chaos, &cluster()), ["Waiting"]);
    assert!(!chaos.status.is("Selected"));
    assert!(chaos.status.netchaos.targets.is_empty());
    assert!(
        chaos
            .status
            .netchaos
            .message
            .contains("no target has been selected")
    );
}

#[test]
fn a_failure_is_told_once_and_the_others_go_on() {
    let mut chaos = chaos(&object());
    settle(&mut chaos, &cluster());
    say_all_injected(&mut chaos);
    say(
        &mut chaos,
        "web-1",
        "n1",
        false,
        "the kernel has no sch_netem",
    );
    assert_eq!(settle(&mut chaos, &cluster()), ["Failed"]);
    assert_eq!(chaos.status.netchaos.state, State::Partly);
    assert_eq!(
        chaos.status.netchaos.message,
        "shop/web-1: the kernel has no sch_netem"
    );
    let record = chaos.status.records(PLACE).next().unwrap();
    assert_eq!(record.events.last().unwrap().kind, "Failed");
}

#[test]
fn what_is_refused_says_why_and_stops() {
    let mut value = object();
    value["spec"]["selector"]["fieldSelectors"] = json!({"spec.x": "y"});
    let mut wrong = chaos(&value);
    assert_eq!(settle(&mut wrong, &cluster()), ["Refused"]);
    assert_eq!(wrong.status.experiment.desired_phase, Desired::Stop);
    let mut chaos = chaos(&object());
    settle(&mut chaos, &cluster());
    let step = decide(
        &chaos,
        &cluster(),
        Some("Chaos Mesh is here"),
        &now(),
        &mut StdRng::seed_from_u64(1),
    );
    let Step::Write(status, _) = step else {
        panic!("{step:?}");
    };
    assert_eq!(status.netchaos.state, State::Refused);
    assert_eq!(status.netchaos.message, "Chaos Mesh is here");
}

#[test]
fn pause_and_end_take_the_fault_away_and_say_when_it_is_gone() {
    for (field, state) in [("annotations", State::Paused), ("duration", State::Ended)] {
        let mut value = object();
        if field == "duration" {
            value["spec"]["duration"] = json!("30s");
        } else {
            value["metadata"]["annotations"] = json!({"experiment.chaos-mesh.org/pause": "true"});
        }
        let mut running = chaos(&object());
        settle(&mut running, &cluster());
        say_all_injected(&mut running);
        settle(&mut running, &cluster());
        let mut stopped = chaos(&value);
        stopped.status = running.status;
        assert!(settle(&mut stopped, &cluster()).is_empty());
        assert_eq!(stopped.status.netchaos.state, State::Recovering);
        assert_eq!(stopped.status.experiment.desired_phase, Desired::Stop);
        for (pod, node) in [("web-1", "n1"), ("web-2", "n2"), ("web-3", "n2")] {
            say(&mut stopped, pod, node, false, "");
        }
        settle(&mut stopped, &cluster());
        assert_eq!(stopped.status.netchaos.state, state);
        assert!(stopped.status.is("AllRecovered"));
        assert_eq!(stopped.status.is("Paused"), state == State::Paused);
    }
}

#[test]
fn a_deleted_object_goes_when_nobody_can_have_its_fault_any_more() {
    let mut injected = chaos(&object());
    settle(&mut injected, &cluster());
    say_all_injected(&mut injected);
    injected.is_deleted = true;
    let waits = |chaos: &Chaos, cluster: &Cluster| step(chaos, cluster) != Step::RemoveFinalizer;
    assert!(waits(&injected, &cluster()));
    // Its pods recover, or are gone, or are others, or their node is gone.
    let mut recovered = injected.clone();
    say(&mut recovered, "web-1", "n1", false, "");
    assert!(waits(&recovered, &cluster()));
    let mut without = cluster();
    without.pods.remove(&id("shop/web-2"));
    assert!(waits(&recovered, &without));
    without.pods.get_mut(&id("shop/web-3")).unwrap().uid = "another".into();
    assert!(!waits(&recovered, &without));
    let mut without_node = cluster();
    without_node.nodes.retain(|id, _| id.name != "n2");
    assert!(!waits(&recovered, &without_node));
    // Its end has passed, or somebody forces it.
    let mut ended = injected.clone();
    ended.ends = Some(now().time - Duration::from_secs(60));
    assert!(!waits(&ended, &cluster()));
    injected.is_forced = true;
    assert!(!waits(&injected, &cluster()));
    injected.finalizers.clear();
    assert_eq!(step(&injected, &cluster()), Step::Nothing);
}
