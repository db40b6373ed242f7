//! What a real API server says of NetworkChaos objects, with the CRD and the policy of `deploy/`, in groups of their
//! own so that no agent acts on them.

mod vectors;

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process, thread,
    time::{Duration, Instant},
};

use netchaos::experiment::{
    Problem, Problems,
    manifest::{self, Reading},
};
use netchaos_tests::{
    command::Done,
    kubernetes::{kubectl, kubectl_with_input},
};

use serde_json::{Value, json};

use vectors::Vector;

const CHAOS_MESH: &str = "chaos-mesh.org";

/// The CRD and the policy for a group, which go again at the end.
struct Rules {
    group: &'static str,
    manifests: String,
}

impl Rules {
    fn apply(group: &'static str) -> Self {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
        let read = |name: &str| {
            let text = fs::read_to_string(deploy.join(name)).expect("deploy/kubernetes is there");
            text.replace(CHAOS_MESH, group)
        };
        let rules = Self {
            group,
            manifests: format!("{}---\n{}", read("1-crd.yaml"), read("2-admission.yaml")),
        };
        kubectl_with_input(&["apply", "--filename=-"], &rules.manifests).ok();
        let crd = format!("crd/networkchaos.{group}");
        kubectl(&["wait", "--for=condition=Established", &crd]).ok();
        rules.wait();
        rules
    }

    /// The API server compiles a policy some time after it was made.
    fn wait(&self) {
        let without = Vector::of(&[("externalTargets", "-")]).manifest("waiting", self.group);
        let began = Instant::now();
        loop {
            let args = ["create", "--dry-run=server", "--filename=-"];
            let done = kubectl_with_input(&args, &without);
            if done.stderr.contains("no target is given") {
                break;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "no policy: {done}"
            );
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        // An object that kept its finalizer would keep the CRD for ever.
        let args = [
            "delete",
            "--ignore-not-found",
            "--timeout=30s",
            "--filename=-",
        ];
        kubectl_with_input(&args, &self.manifests);
    }
}

/// What the API server says of each object, by its name: nothing where it takes it.
fn verdicts(manifests: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let folder = env::temp_dir().join(format!("netchaos-admission-{}", process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    for (name, text) in manifests {
        fs::write(folder.join(format!("{name}.yaml")), text).expect("a file can be written");
    }
    let path = folder.to_str().expect("a path in UTF-8");
    let filename = format!("--filename={path}");
    let done = kubectl(&["create", "--dry-run=server", "--validate=strict", &filename]);
    fs::remove_dir_all(&folder).expect("the folder can be removed");
    let mut verdicts: BTreeMap<String, String> = BTreeMap::new();
    for line in done.stdout.lines() {
        let name = line
            .split_once('/')
            .and_then(|(_, rest)| rest.split_once(' '));
        let name = name.unwrap_or_else(|| panic!("{line:?} of {done}")).0;
        verdicts.insert(name.to_owned(), String::new());
    }
    // An error begins with the name of the object or of its file, and goes on with lines of its own.
    let mut current = String::new();
    for line in done.stderr.lines() {
        if let Some(name) = manifests.keys().find(|name| {
            line.contains(&format!("\"{name}\"")) || line.contains(&format!("/{name}.yaml\""))
        }) {
            current.clone_from(name);
        }
        let text = verdicts.entry(current.clone()).or_default();
        *text += line;
        *text += "\n";
    }
    verdicts
}

/// What the reader says of it, as the agent asks it.
fn read(text: &str) -> Result<(), Problems> {
    let reading = Reading {
        keeps_pods: true,
        ..Reading::default()
    };
    manifest::read("f", text, reading).map(drop)
}

#[test]
fn the_server_refuses_what_the_reader_refuses() {
    let rules = Rules::apply("admission.netchaos.test");
    let vectors = vectors::all();
    let name = |index: usize| format!("v-{index:03}");
    let of = |group: &str| -> BTreeMap<String, String> {
        let vectors = vectors.iter().enumerate();
        vectors
            .map(|(index, vector)| (name(index), vector.manifest(&name(index), group)))
            .collect()
    };
    let verdicts = verdicts(&of(rules.group));
    let mut wrong = Vec::new();
    let mut refused = 0;
    for (name, text) in of(CHAOS_MESH) {
        let verdict = verdicts.get(&name).map_or("nothing at all", String::as_str);
        match read(&text) {
            Ok(()) if verdict.is_empty() => {}
            Err(problems) if says(verdict, &problems) => refused += 1,
            Ok(()) => wrong.push(format!("{text}the reader takes it; the server: {verdict}")),
            Err(problems) => {
                wrong.push(format!(
                    "{text}the reader: {problems}\nthe server: {verdict}"
                ));
            }
        }
    }
    drop(rules);
    println!("{} objects, {refused} of them wrong", vectors.len());
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        vectors.len(),
        wrong.join("\n\n")
    );
    assert!(refused > 100 && vectors.len() - refused > 100);
}

/// The server refuses it too, for one of the fields, and says what would be right.
fn says(verdict: &str, problems: &Problems) -> bool {
    // Kubernetes' own words for types, bounds of numbers and unknown fields are clear enough.
    const WORDS: [&str; 4] = [
        "; allowed: ",
        "must be of type",
        "should be ",
        "unknown field",
    ];
    let at = |problem: &Problem| {
        // A rule about several parts is one of spec.
        let is_shared =
            ["missing", "no fault is given"].contains(&problem.invalid.message.as_str());
        verdict.contains(&format!("{}: ", problem.field))
            || verdict.contains(&format!("\"{}", problem.field))
            || (is_shared && verdict.contains(": spec: "))
    };
    problems.0.iter().any(at) && WORDS.iter().any(|words| verdict.contains(words))
}

/// Each NetworkChaos of `examples/`, by its file. The namespace of the examples is not there.
fn examples(group: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut examples = BTreeMap::new();
    for (folder, prefix) in [(folder.join("kubernetes"), "k-"), (folder, "")] {
        for entry in fs::read_dir(folder).expect("the examples are there") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            if text.contains("kind: NetworkChaos") {
                let name = path.file_stem().expect("a name").to_string_lossy();
                let text = text
                    .replace(CHAOS_MESH, group)
                    .replace("namespace: shop", "namespace: default");
                // The name of an object tells its verdict.
                let text = text.replacen(
                    &format!("name: {name}\n"),
                    &format!("name: {prefix}{name}\n"),
                    1,
                );
                examples.insert(format!("{prefix}{name}"), text);
            }
        }
    }
    examples
}

#[test]
fn the_examples_are_taken() {
    let rules = Rules::apply("examples.netchaos.test");
    let verdicts = verdicts(&examples(rules.group));
    for action in [
        "delay",
        "loss",
        "duplicate",
        "corrupt",
        "partition",
        "bandwidth",
        "rate",
    ] {
        assert!(
            verdicts.contains_key(&format!("k-{action}")),
            "{action} of {verdicts:?}"
        );
    }
    for (name, verdict) in &verdicts {
        assert!(verdict.is_empty(), "{name}: {verdict}");
    }
    for (name, text) in examples(CHAOS_MESH) {
        if let Err(problems) = read(&text) {
            panic!("{name}: {problems}");
        }
    }
}

/// A spec cannot change, and the words for all traffic cannot go while there is no target. The rest can.
#[test]
fn an_object_keeps_its_spec_and_shows_its_status() {
    let rules = Rules::apply("life.netchaos.test");
    let object = format!("networkchaos.{}/life", rules.group);
    let patch = |patch: Value, more: &[&str]| {
        let patch = format!("--patch={patch}");
        kubectl(&[&["patch", &object, "--type=merge", &patch], more].concat())
    };
    let everything = Vector {
        metadata: ", finalizers: [netchaos.io/recover], annotations: {netchaos.io/all-traffic: 'true'}",
        ..Vector::of(&[("externalTargets", "-"), ("duration", "10m")])
    };
    let manifest = everything.manifest("life", rules.group);
    kubectl_with_input(&["create", "--filename=-"], &manifest).ok();

    for spec in [
        json!({"direction": "both"}),
        json!({"delay": {"latency": "1s"}}),
        json!({"duration": null}),
    ] {
        patch(json!({"spec": spec}), &[])
            .fails_with(1)
            .says(&["spec: Forbidden: cannot change; delete the NetworkChaos and create it anew"]);
    }
    let annotate = |annotation: Value| patch(json!({"metadata": {"annotations": annotation}}), &[]);
    annotate(json!({"netchaos.io/all-traffic": null}))
        .fails_with(1)
        .says(&["spec.externalTargets: no target is given"]);
    annotate(json!({"experiment.chaos-mesh.org/pause": "true"})).ok();
    patch(json!({"status": status()}), &["--subresource=status"]).ok();
    let read = kubectl(&["get", &object, "--output=json"]).ok().json();
    assert_eq!(read["status"], status(), "nothing is pruned");
    let table = kubectl(&["get", &object]).ok();
    let table = columns(&table);
    let names = [
        "NAME",
        "ACTION",
        "DIRECTION",
        "STATE",
        "INJECTED",
        "DURATION",
        "AGE",
    ];
    assert_eq!(table[0], names);
    assert_eq!(
        table[1][..6],
        ["life", "delay", "to", "Partly", "2/3", "10m"]
    );
    let wide = kubectl(&["get", &object, "--output=wide"]).ok();
    let wide = columns(&wide);
    assert_eq!(wide[0][7], "MESSAGE");
    assert_eq!(wide[1][7], "the pod is gone");

    // Whoever takes a finalizer off must not be refused, whatever else is wrong with the object.
    kubectl(&["delete", &object, "--wait=false"]).ok();
    annotate(json!({"netchaos.io/all-traffic": null})).ok();
    patch(json!({"metadata": {"finalizers": null}}), &[]).ok();
    kubectl(&["get", &object]).fails_with(1).says(&["NotFound"]);
}

/// As leader and agents write it.
fn status() -> Value {
    let time = "2026-01-01T00:00:00Z";
    json!({
        "conditions": [
            {"type": "Selected", "status": "True", "reason": "", "lastTransitionTime": time},
            {"type": "AllInjected", "status": "False", "reason": "", "lastTransitionTime": time},
        ],
        "experiment": {
            "desiredPhase": "Run",
            "containerRecords": [{
                "id": "default/web-1",
                "selectorKey": ".",
                "phase": "Injected",
                "injectedCount": 1,
                "recoveredCount": 0,
                "events": [{"type": "Succeeded", "operation": "Apply", "message": "", "timestamp": time}],
            }],
        },
        "netchaos": {
            "state": "Partly",
            "injected": "2/3",
            "message": "the pod is gone",
            "targets": ["10.244.1.5", "db.example.com:5432"],
            "nodes": {"n1": {"pods": {"default/web-1": {
                "uid": "u", "injected": true, "message": "", "since": time,
            }}}},
        },
    })
}

/// The columns of kubectl's table, which are at least three blanks apart.
fn columns(table: &Done) -> Vec<Vec<&str>> {
    let words = |line| -> Vec<&str> { str::split(line, "   ").map(str::trim).collect() };
    let full = |line| -> Vec<&str> {
        words(line)
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect()
    };
    table.stdout.lines().map(full).collect()
}
