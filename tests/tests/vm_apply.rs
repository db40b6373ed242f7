//! Chaos Mesh's NetworkChaos manifests.

use netchaos_tests::{
    lab::{Lab, ms, peer},
    probe::{Flow, Options},
    snapshot::Snapshot,
};

/// As the documentation of Chaos Mesh has them, with room for a test's own lines.
fn manifest(latency: &str, targets: &str, annotations: &str) -> String {
    format!(
        "apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata:
  name: web-delay
  namespace: shop{annotations}
spec:
  action: delay
  mode: all
  selector:
    namespaces:
      - shop
    labelSelectors:
      app: web
  delay:
    latency: '{latency}'
    correlation: '0.5'
    jitter: '1ms'
  direction: to
  externalTargets: {targets}
  duration: '120m'
"
    )
}

const TARGETS: &str = "['db.lab', '10.77.0.6/31', '10.77.0.5:7002']";

#[test]
fn a_manifest_delays_its_external_targets_and_says_that_the_selector_is_not_used() {
    Lab::test(&[], |lab| {
        lab.write_etc("hosts", "10.77.0.3 db.lab\nfd77::3 db.lab\n");
        lab.netchaos_with_input("apply -f -", &manifest("100ms", TARGETS, ""))
            .ok()
            .says(&["selector", "web-delay"]);
        for target in [
            "10.77.0.3",
            "fd77::3",
            "10.77.0.6",
            "10.77.0.7",
            "10.77.0.5:7002",
        ] {
            assert_about(lab, target, 100);
        }
        for other in [
            "10.77.0.2",
            "10.77.0.4",
            "fd77::5",
            "10.77.0.5:7001",
            "10.77.0.8",
        ] {
            lab.assert_prompt(other);
        }
        let list = lab.netchaos("list -o json").ok().json();
        let name = list[0]["name"].as_str().unwrap_or_default();
        assert!(name.contains("web-delay"), "{list}");
    });
}

#[test]
fn applied_twice_is_once_and_a_changed_manifest_changes_in_place() {
    Lab::test(&[], |lab| {
        let apply = |latency: &str, targets: &str| {
            lab.netchaos_with_input("apply -f -", &manifest(latency, targets, ""))
                .ok();
        };
        let listed = || {
            let list = lab.netchaos("list -o json").ok().json();
            list.as_array().map(Vec::len).expect("an array")
        };
        apply("100ms", "['10.77.0.3']");
        // By then the kernel has settled what state the new devices are in.
        assert_about(lab, "10.77.0.3", 100);
        let before = Snapshot::of(&lab.client);
        apply("100ms", "['10.77.0.3']");
        Snapshot::of(&lab.client).assert_same_as(&before);
        assert_eq!(listed(), 1);
        assert_about(lab, "10.77.0.3", 100);
        apply("200ms", "['10.77.0.3', '10.77.0.4']");
        assert_eq!(listed(), 1);
        assert_about(lab, "10.77.0.3", 200);
        assert_about(lab, "10.77.0.4", 200);
        apply("200ms", "['10.77.0.4']");
        lab.assert_prompt("10.77.0.3");
        assert_about(lab, "10.77.0.4", 200);
    });
}

/// The delay of [`manifest`], give or take its jitter of 1 ms.
#[track_caller]
fn assert_about(lab: &Lab, to: &str, delay: u64) {
    lab.assert_delayed(to, ms(delay - 1));
}

#[test]
fn three_mistakes_are_all_named_with_their_lines_and_nothing_changes() {
    Lab::test(&[], |lab| {
        let wrong = manifest("10 parsecs", "['10.77.0.0/64']", "")
            .replace("direction: to", "direction: sideways");
        let refused = lab
            .netchaos_with_input("apply -f -", &wrong)
            .fails_with(1)
            .says(&[
                "latency",
                "10 parsecs",
                "externalTargets",
                "10.77.0.0/64",
                "direction",
                "sideways",
            ]);
        for field in ["latency:", "direction:", "externalTargets:"] {
            let line = 1 + wrong.lines().position(|line| line.contains(field)).unwrap();
            assert!(
                refused.stderr.contains(&format!(":{line}"))
                    || refused.stderr.contains(&format!("line {line}")),
                "line {line} of {field} is not named: {refused}"
            );
        }
        lab.assert_nothing_left();
    });
}

#[test]
fn one_wrong_document_keeps_the_right_one_beside_it_from_being_applied() {
    Lab::test(&[], |lab| {
        let right = manifest("100ms", "['10.77.0.3']", "");
        let other = manifest("50ms", "['10.77.0.4']", "").replace("web-delay", "other");
        let wrong = other.replace("'50ms'", "'soon'");
        lab.netchaos_with_input("apply -f -", &format!("{right}---\n{wrong}"))
            .fails_with(1)
            .says(&["soon"]);
        lab.assert_nothing_left();
        lab.netchaos_with_input("apply -f -", &format!("{right}---\n{other}"))
            .ok();
        assert_about(lab, "10.77.0.3", 100);
        assert_about(lab, "10.77.0.4", 50);
    });
}

#[test]
fn an_empty_target_list_is_an_error_and_never_all_traffic() {
    Lab::test(&[], |lab| {
        lab.netchaos_with_input("apply -f -", &manifest("100ms", "[]", ""))
            .fails_with(1)
            .says(&["externalTargets"]);
        lab.assert_nothing_left();
        lab.assert_prompt("10.77.0.3");
    });
}

/// A `NetworkChaos` with another action than a delay.
fn chaos(name: &str, action: &str, parameters: &str, target: &str) -> String {
    format!(
        "apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata: {{ name: {name}, namespace: shop }}
spec:
  action: {action}
  mode: all
  selector: {{ namespaces: [shop] }}
  externalTargets: ['{target}']
  {parameters}
---
"
    )
}

#[test]
fn every_action_does_what_it_says_and_what_it_does_not_say_too() {
    Lab::test(&[], |lab| {
        let manifests = [
            chaos("loss", "loss", "loss: { loss: '100' }", "10.77.0.3"),
            chaos(
                "twice",
                "duplicate",
                "duplicate: { duplicate: '100' }",
                "10.77.0.4",
            ),
            chaos(
                "corrupt",
                "corrupt",
                "corrupt: { corrupt: '100' }",
                "10.77.0.5",
            ),
            chaos("cut", "partition", "direction: both", "10.77.0.6"),
            chaos(
                "narrow",
                "bandwidth",
                "bandwidth: { rate: 125kbps, limit: 100000, buffer: 2000 }",
                "10.77.0.7",
            ),
            // The name of the action is one thing, what is there another: Chaos Mesh merges all.
            chaos(
                "mixed",
                "loss",
                "delay: { latency: 90ms }\n  rate: { rate: 1mbit }\n  \
                 duplicate: { duplicate: '100' }",
                "10.77.0.8",
            ),
            chaos(
                "early",
                "netem",
                "delay: { latency: 150ms, reorder: { reorder: '100', gap: 3 } }",
                "10.77.0.9",
            ),
        ];
        lab.netchaos_with_input("apply -f -", &manifests.concat())
            .ok();
        let flow = |host: u8| {
            let options = Options {
                bytes: 958,
                copies: 2,
                ..Options::new(60, Some(500))
            };
            let to = peer(&format!("10.77.0.{host}:6000"));
            Flow::start(&lab.client, &lab.peer, to, options)
        };
        let flows = [2, 3, 4, 5, 6, 7, 8, 9].map(flow);
        let [other, loss, twice, corrupt, cut, narrow, mixed, early] =
            flows.map(|flow| flow.finish(ms(1000)));
        other.assert_whole("another's");
        assert_eq!(loss.arrived() + cut.arrived(), 0, "{loss}, {cut}");
        assert!(twice.copies().iter().all(|copies| *copies == 2), "{twice}");
        assert!(corrupt.arrived() < 10, "{corrupt}");
        // 60 frames of 1000 bytes; 2 of them go at once.
        narrow.assert_whole("bandwidth");
        assert!(*narrow.arrivals().last().unwrap() >= ms(420), "{narrow}");
        assert!(mixed.copies().iter().all(|copies| *copies == 2), "{mixed}");
        assert!(mixed.shortest() >= ms(90), "{mixed}");
        assert!(*mixed.arrivals().last().unwrap() >= ms(900), "{mixed}");
        let ahead = early
            .delays()
            .iter()
            .filter(|delay| **delay < ms(100))
            .count();
        assert!((18..=21).contains(&ahead), "{ahead} went ahead: {early}");
        lab.assert_delays("cut in both directions alone", &[("10.77.0.2", 0)]);
    });
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    Lab::test(&[], |lab| {
        let good = manifest("100ms", "['10.77.0.3']", "");
        for (field, text) in [
            (
                "nonsense",
                good.replace("  mode: all", "  mode: all\n  nonsense: 1"),
            ),
            ("Schedule", good.replace("NetworkChaos", "Schedule")),
            ("Workflow", good.replace("NetworkChaos", "Workflow")),
            ("PodChaos", good.replace("NetworkChaos", "PodChaos")),
            (
                "remoteCluster",
                good.replace("  mode: all", "  mode: all\n  remoteCluster: far"),
            ),
            ("150", good.replace("'0.5'", "'150'")),
        ] {
            lab.netchaos_with_input("apply -f -", &text)
                .fails_with(1)
                .says(&[field]);
        }
        lab.assert_nothing_left();
    });
}

#[test]
fn the_pause_annotation_lays_it_down_without_effect() {
    Lab::test(&[], |lab| {
        let paused = "\n  annotations:\n    experiment.chaos-mesh.org/pause: 'true'";
        lab.netchaos_with_input("apply -f -", &manifest("100ms", "['10.77.0.3']", paused))
            .ok();
        lab.assert_prompt("10.77.0.3");
        lab.netchaos("list").ok().says(&["web-delay", "paused"]);
        lab.netchaos_with_input("apply -f -", &manifest("100ms", "['10.77.0.3']", ""))
            .ok();
        assert_about(lab, "10.77.0.3", 100);
    });
}

#[test]
fn a_dry_run_of_a_manifest_prints_and_changes_nothing() {
    Lab::test(&[], |lab| {
        lab.netchaos_with_input(
            "apply -f - --dry-run",
            &manifest("100ms", "['10.77.0.3']", ""),
        )
        .ok()
        .says(&["netem", "100ms", "10.77.0.3"]);
        lab.assert_nothing_left();
    });
}
