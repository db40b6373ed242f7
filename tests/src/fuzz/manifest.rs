//! Files with manifests, of both kinds and in every reading.

use std::fs;

use netchaos::{
    experiment::{
        Experiment, Problem, Targets,
        manifest::{self, Document, Reading},
    },
    plan::{self, Laid, chain, explain},
};

use super::{check_words, grammar, in_time, netlink};

const READINGS: [Reading; 4] = [
    reading(false, false),
    reading(true, false),
    reading(false, true),
    reading(true, true),
];

const fn reading(strict_compat: bool, keeps_pods: bool) -> Reading {
    Reading {
        strict_compat,
        keeps_pods,
    }
}

pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    for reading in READINGS {
        let read = in_time(|| manifest::read("f.yaml", text, reading));
        match read {
            Ok(documents) => {
                assert!(!documents.is_empty(), "neither experiment nor problem");
                documents.iter().for_each(check_document);
            }
            Err(problems) => {
                assert!(!problems.0.is_empty(), "refused, and nobody knows why");
                // What YAML takes for a line's end.
                let ends = |c: &char| "\n\r\u{85}\u{2028}\u{2029}".contains(*c);
                let lines = text.chars().filter(ends).count() as u32 + 1;
                problems.0.iter().for_each(|one| check_problem(one, lines));
            }
        }
    }
}

fn check_problem(problem: &Problem, lines: u32) {
    check_words(&problem.to_string(), problem);
    check_words(&problem.invalid.message, problem);
    assert_eq!(problem.file.as_deref(), Some("f.yaml"));
    if let Some(line) = problem.line {
        assert!((1..=lines).contains(&line), "{problem:?} of {lines} lines");
    }
    let says_allowed = problem
        .invalid
        .allowed
        .as_ref()
        .is_some_and(|it| !it.is_empty());
    assert!(
        problem.field.is_empty()
            || says_allowed
            || problem.invalid.message.contains("did you mean"),
        "{problem:?} says not what is allowed"
    );
}

fn check_document(document: &Document) {
    for note in &document.notes {
        check_words(note, note);
    }
    let experiment = &document.experiment;
    let aimed_at_pods = document
        .pods
        .as_ref()
        .is_some_and(|pods| pods.target.is_some());
    if let Targets::List(list) = &experiment.targets {
        assert!(aimed_at_pods || !list.is_empty(), "no target");
    }
    let said = explain::explain(experiment, "eth0", document.pods.as_ref());
    assert!(!said.each.is_empty(), "{said:?}");
    if matches!(&experiment.targets, Targets::List(list) if list.is_empty()) {
        // Pods alone: whoever knows their addresses adds them.
        return;
    }
    assert_eq!(experiment.check(), [], "flags would be refused");
    check_experiment(experiment);
    // Its text is a manifest, of which the same comes.
    let json = serde_json::to_string(experiment).expect("it can be written");
    assert_eq!(
        &serde_json::from_str::<Experiment>(&json).unwrap(),
        experiment
    );
    match manifest::read("again", &json, Reading::default()) {
        Ok(again) => assert_eq!((&again[0].experiment, again.len()), (experiment, 1)),
        Err(problems) => panic!("{problems}: {json}"),
    }
}

/// What must hold of whatever is taken for an experiment.
pub fn check_experiment(experiment: &Experiment) {
    let aimed_at = match &experiment.targets {
        Targets::List(list) => list.as_slice(),
        Targets::AllTraffic => &[],
    };
    let all = aimed_at.iter().chain(&experiment.except);
    all.for_each(grammar::check_target);
    let said = explain::explain(experiment, "eth0", None);
    assert!(!said.packets.is_empty(), "{said:?}");
    for mtu in [68, 1500, 65_536, u32::MAX] {
        for problem in chain::check_mtu(&experiment.fault, mtu) {
            check_words(&problem.to_string(), &problem);
        }
    }
    chain::longest_wait(&experiment.fault);
    let room = plan::room(&[], experiment).expect("an empty device has room");
    let laid = Laid::new(experiment.clone(), room);
    assert!(laid.changes_in_place(&laid), "to what it is");
    assert!(laid.bands().all(|band| band.band > 0), "{room:?}");
    let chain = laid.chain().unwrap_or_default();
    chain.netem.iter().for_each(netlink::check_netem);
    chain.tbf.iter().for_each(netlink::check_tbf);
}

/// The examples, and what they leave out.
pub fn seeds() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let entries = fs::read_dir(folder).expect("the repository has examples");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    paths.sort();
    let read = |path| fs::read(path).expect("an example can be read");
    let mut seeds: Vec<Vec<u8>> = paths.iter().map(read).collect();
    assert!(seeds.len() > 10, "the examples");
    seeds.extend(MORE.map(|text| text.as_bytes().to_vec()));
    seeds
}

const MORE: [&str; 5] = [
    "apiVersion: netchaos/v1
kind: Experiment
name: all
namespace: shop
device: eth0
direction: both
fault:
  delay: {latency: 50ms, jitter: 5ms, correlation: 25%, distribution: pareto, jitterOrder: keep}
  reorder: {percent: 25%, gap: 5}
  loss: {percent: 5%, correlation: 50%}
  duplicate: {percent: 1%}
  corrupt: {percent: 0.1%}
  bandwidth: {rate: 10mbit, limit: 100kb, buffer: 32kb, peakrate: 20mbit, minburst: 1600}
  strictCompat: true
to: [\"[2001:db8::1]:443\", 10.0.0.0/8, 'db.example.com:80,8000-8100']
except: [10.0.0.53]
protocols: [tcp, 132]
ports: 80,443
localPorts: [1024-65535]
include: [arp, nd]
duration: 1h30m
paused: true
",
    "apiVersion: v1
kind: List
items:
- {apiVersion: netchaos/v1, kind: Experiment, name: a, fault: {partition: true}, allTraffic: true}
- apiVersion: netchaos/v1
  kind: Experiment
  name: b
  fault: {loss: {gilbertElliott: {worsen: 1%, recover: 10%, bad: 50%, good: 0}}}
  to: [db]
",
    "a: &a [x, x, x]
b: &b [*a, *a, *a]
c: {<<: [{k: *b}, {k: 1}], d: !!str 1, e: !<tag:x> |
  text
 }
--- # the next
[{apiVersion: netchaos/v1, kind: Experiment}]
",
    "kind: NetworkChaos
apiVersion: chaos-mesh.org/v1alpha1
metadata: {name: web, namespace: shop, annotations: {netchaos.io/all-traffic: 'true'}}
spec:
  action: bandwidth
  mode: fixed-percent
  value: '50'
  selector:
    namespaces: [shop]
    labelSelectors: {app: web}
    expressionSelectors: [{key: tier, operator: In, values: [cache]}]
  direction: from
  target: {mode: all, selector: {pods: {shop: [web-0]}}}
  bandwidth: {rate: 1mbps, limit: 20971520, buffer: 10000, peakrate: 1000000, minburst: 1000000}
  duration: 5m
",
    "{\"apiVersion\": \"chaos-mesh.org/v1alpha1\", \"kind\": \"NetworkChaos\", \"metadata\": {\"name\": \"j\"},
\"spec\": {\"action\": \"netem\", \"mode\": \"one\", \"selector\": {}, \"direction\": \"both\",
\"externalTargets\": [\"1.2.3.4:0\", \"db.example.com\"], \"delay\": {\"latency\": \"1ms\",
\"reorder\": {\"reorder\": \"50\", \"gap\": 2}}, \"loss\": {\"loss\": \"1\"}, \"rate\": {\"rate\": \"1mbit\"}}}
",
];
