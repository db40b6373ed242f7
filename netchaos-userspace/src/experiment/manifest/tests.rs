use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn examples() -> String {
    format!("{}/../examples", env!("CARGO_MANIFEST_DIR"))
}

fn example(name: &str) -> String {
    std::fs::read_to_string(format!("{}/{name}", examples())).unwrap()
}

fn read_own(file: &str, text: &str) -> Result<Vec<Document>, Problems> {
    read(file, text, Reading::default())
}

fn names(documents: &[Document]) -> Vec<&str> {
    documents
        .iter()
        .map(|document| document.experiment.name.as_str())
        .collect()
}

fn error(text: &str) -> String {
    match read_own("f.yaml", text) {
        Ok(documents) => panic!("{text:?} was read: {documents:?}"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn every_example_is_read_and_in_the_index() {
    let index = example("README.md");
    let mut count = 0;
    for entry in std::fs::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".yaml") {
            count += 1;
            let result = read_own(&name, &example(&name));
            assert!(result.is_ok(), "{}", result.unwrap_err());
            assert!(
                index.contains(&format!("({name})")),
                "{name} is not in the index"
            );
        }
    }
    assert!(count >= 14, "{count}");
}

#[test]
fn the_examples_show_every_fault_and_every_direction() {
    let mut shown = BTreeSet::new();
    for entry in std::fs::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".yaml") {
            continue;
        }
        for document in read_own(&name, &example(&name)).unwrap() {
            let experiment = serde_json::to_value(&document.experiment).unwrap();
            shown.extend(experiment["fault"].as_object().unwrap().keys().cloned());
            let fields = [
                "direction",
                "protocols",
                "ports",
                "localPorts",
                "except",
                "allTraffic",
            ];
            let there = fields.iter().filter(|field| !experiment[**field].is_null());
            shown.extend(there.map(|field| format!("{field}: {}", experiment[*field])));
        }
    }
    let has = |start: &str| shown.iter().any(|field: &String| field.starts_with(start));
    for start in [
        "delay",
        "reorder",
        "loss",
        "duplicate",
        "corrupt",
        "rate",
        "bandwidth",
        "partition",
        "seed",
        "direction: \"to\"",
        "direction: \"both\"",
        "protocols",
        "ports",
        "localPorts",
        "except",
        "allTraffic",
    ] {
        assert!(has(start), "no example shows {start}");
    }
}

#[test]
fn the_classic_is_what_it_says() {
    let documents = read_own("classic", &example("delay-external-targets.yaml")).unwrap();
    assert_eq!(names(&documents), ["delay-external-targets"]);
    assert_eq!(
        serde_json::to_value(&documents[0].experiment).unwrap(),
        serde_json::json!({
            "apiVersion": "netchaos/v1",
            "kind": "Experiment",
            "name": "delay-external-targets",
            "namespace": "default",
            "direction": "to",
            "fault": {"delay": {"latency": "50ms", "jitter": "1ms", "correlation": "0.5%"}},
            "to": ["target-one.lab"],
            "duration": "2h",
        })
    );
    assert_eq!(
        documents[0].notes,
        [
            "selector and mode choose pods in a cluster; not used here",
            "correlation 0.5% of delay has hardly any effect in netem at a jitter of 1ms: the delays \
             are as independent, and as widely spread, as without it",
        ]
    );
}

const BAD: &str = "\
apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata:
  name: Slow_DB
  namespce: shop
  labels:
    tier: 1
spec:
  action: dealy
  mode: fixed
  selector:
    labelSelector:
      app: web
  delay:
    latency: 5x
    jitter: 3s
    correlation: '150'
    corelation: '1'
  direction: form
  externalTargets:
    - 300.1.1.1
    - 10.0.0.1:99999
    - '[::1]:foo'
  loss:
    loss: 10
  duration: soon
  duration: 1m
---
apiVersion: netchaos/v1
kind: Experiment
name: slow
fault: {delay: {latency: 0s}}
to: 10.0.0.1
";

const BAD_SAYS: &str = r#"slow.yaml:4: metadata.name: "Slow_DB" is not a name; allowed: 1 to 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part
slow.yaml:5: metadata.namespce: unknown field; did you mean "namespace"?
slow.yaml:7: metadata.labels.tier: "1" is a number; allowed: a string, so write it in quotes: "1"
slow.yaml:8: spec.value: missing, mode fixed needs it; allowed: a whole number of 1 or more, in quotes
slow.yaml:9: spec.action: "dealy" is not an action; allowed: netem, delay, loss, duplicate, corrupt, partition or bandwidth
slow.yaml:12: spec.selector.labelSelector: unknown field; did you mean "labelSelectors"?
slow.yaml:15: spec.delay.latency: "5x" is not a duration; allowed: one number with ns, us, ms, s, m or h, such as 50ms
slow.yaml:16: spec.delay.jitter: "3s" is more than the kernel's netem can do; allowed: 0 to 2.147483647s
slow.yaml:17: spec.delay.correlation: "150" is out of range; allowed: a number from 0 to 100, in percent, such as 25 or 0.5
slow.yaml:18: spec.delay.corelation: unknown field; did you mean "correlation"?
slow.yaml:19: spec.direction: "form" is not a direction; allowed: to, from or both
slow.yaml:21: spec.externalTargets[0]: "300.1.1.1" is not an address; allowed: an address (1.2.3.4, 2001:db8::1), a prefix (10.0.0.0/8) or a host name, each also with ports (1.2.3.4:443, [2001:db8::1]:80,443, db.example.com:8000-8100)
slow.yaml:22: spec.externalTargets[1]: "10.0.0.1:99999" has a port that is out of range; allowed: ports from 1 to 65535, such as 443, 80,443 or 8000-8100, with commas between them
slow.yaml:23: spec.externalTargets[2]: "[::1]:foo" has a port that is not a number; allowed: ports from 1 to 65535, such as 443, 80,443 or 8000-8100, with commas between them
slow.yaml:25: spec.loss.loss: "10" is a number; allowed: a string, so write it in quotes: "10"
slow.yaml:26: spec.duration: "soon" is not a duration; allowed: a number with ns, us, ms, s, m or h, such as 50ms or 1m30s
slow.yaml:27: spec.duration: given twice, the first time in line 26; allowed: each field once
slow.yaml:32: fault.delay.latency: "0s" would delay nothing; allowed: more than 0, at most 1h
slow.yaml:33: to: "10.0.0.1" is a string; allowed: a list"#;

#[test]
fn every_mistake_of_a_file_is_named_with_its_line() {
    assert_eq!(
        read_own("slow.yaml", BAD).unwrap_err().to_string(),
        BAD_SAYS
    );
}

#[test]
fn problems_have_a_json_form() {
    let problems = read_own("slow.yaml", BAD).unwrap_err();
    assert_eq!(
        serde_json::to_value(&problems.0[6..8]).unwrap(),
        serde_json::json!([
            {
                "file": "slow.yaml",
                "line": 15,
                "field": "spec.delay.latency",
                "value": "5x",
                "message": "is not a duration",
                "allowed": "one number with ns, us, ms, s, m or h, such as 50ms",
            },
            {
                "file": "slow.yaml",
                "line": 16,
                "field": "spec.delay.jitter",
                "value": "3s",
                "message": "is more than the kernel's netem can do",
                "allowed": "0 to 2.147483647s",
            },
        ])
    );
}

fn native(name: &str) -> String {
    format!(
        "apiVersion: netchaos/v1\nkind: Experiment\nname: {name}\n\
         fault: {{delay: {{latency: 1s}}}}\nto: [10.0.0.1]\n"
    )
}

#[test]
fn documents_lists_and_json_hold_several_experiments() {
    let (one, two) = (native("one"), native("two"));
    let indented = |text: &str| text.trim_end().replace('\n', "\n  ");
    for text in [
        format!("{one}---\n{two}"),
        format!("---\n---\n{one}---\n# nothing\n---\nnull\n---\n{two}---\n...\n"),
        format!("- {}\n- {}\n", indented(&one), indented(&two)),
        format!(
            "apiVersion: v1\nkind: List\nmetadata: {{}}\nitems:\n- {}\n- {}\n",
            indented(&one),
            indented(&two)
        ),
    ] {
        assert_eq!(
            names(&read_own("f", &text).unwrap()),
            ["one", "two"],
            "{text}"
        );
    }
    let documents = read_own("f", &format!("{one}---\n{two}")).unwrap();
    let experiments: Vec<&Experiment> = documents.iter().map(|d| &d.experiment).collect();
    let json = serde_json::to_string(&experiments).unwrap();
    assert_eq!(read_own("f", &json).unwrap(), documents);
}

#[test]
fn a_name_is_used_once_in_each_namespace() {
    let in_namespace = |namespace: &str| format!("{}namespace: {namespace}\n", native("a"));
    let text = [native("a"), in_namespace("one"), in_namespace("two")].join("---\n");
    assert_eq!(names(&read_own("f", &text).unwrap()), ["a", "a", "a"]);
    let twice = [in_namespace("one"), in_namespace("one")].join("---\n");
    assert!(error(&twice).contains("is already the name in line 3"));
    let chaos = |namespace: &str| {
        format!(
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: NetworkChaos\nmetadata: {{name: a, \
             namespace: {namespace}}}\nspec: {{action: partition, mode: all, selector: {{}}, \
             externalTargets: [10.0.0.1]}}\n"
        )
    };
    let text = [chaos("one"), chaos("two")].join("---\n");
    assert_eq!(names(&read_own("f", &text).unwrap()), ["a", "a"]);
    let text = [chaos("one"), in_namespace("one")].join("---\n");
    assert!(error(&text).contains("is already the name in line 3"));
    assert_eq!(
        error(&format!(
            "{}---\n{}---\n{}",
            native("a"),
            native("b"),
            native("a")
        )),
        r#"f.yaml:15: name: "a" is already the name in line 3; allowed: a name of its own for each experiment"#
    );
    // Even all in one line, and even where one of them is wrong otherwise.
    let text = r#"[{"apiVersion":"netchaos/v1","kind":"Experiment","name":"a"},{"apiVersion":"netchaos/v1","kind":"Experiment","name":"a"}]"#;
    assert!(error(text).contains(r#"[1].name: "a" is already the name in line 1"#));
}

#[test]
fn a_file_without_experiments_is_an_error() {
    for text in ["", "\n", "# nothing\n", "---\n---\n", "[]", "null"] {
        assert_eq!(
            error(text),
            "f.yaml: holds no experiment; allowed: apiVersion chaos-mesh.org/v1alpha1 with kind \
             NetworkChaos, or apiVersion netchaos/v1 with kind Experiment"
        );
    }
    assert!(error("{apiVersion: v1, kind: List, items: []}").contains("holds no experiment"));
}

#[test]
fn other_kinds_are_refused_by_name() {
    for (text, expected) in [
        (
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: Schedule\nspec: {anything: 1}",
            r#"f.yaml:2: kind: "Schedule" is not read by netchaos; allowed: NetworkChaos, with what"#,
        ),
        (
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: Workflow\nspec: {anything: 1}",
            r#"f.yaml:2: kind: "Workflow" is not read by netchaos; allowed: NetworkChaos, one for"#,
        ),
        (
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodNetworkChaos",
            r#"f.yaml:2: kind: "PodNetworkChaos" is not read by netchaos; allowed: NetworkChaos; "#,
        ),
        (
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos",
            r#"f.yaml:2: kind: "PodChaos" is not read by netchaos; allowed: NetworkChaos"#,
        ),
        (
            "apiVersion: netchaos/v1\nkind: Experimnt",
            r#"f.yaml:2: kind: "Experimnt" is not read by netchaos; allowed: Experiment"#,
        ),
        (
            "apiVersion: v1\nkind: Pod",
            r#"f.yaml:1: apiVersion: "v1" is not read by netchaos; allowed: apiVersion chaos-mesh"#,
        ),
        (
            "kind: Pod",
            "f.yaml:1: apiVersion: missing; allowed: apiVersion chaos-mesh",
        ),
        (
            "apiVersion: 1\nkind: Pod",
            r#"f.yaml:1: apiVersion: "1" is a number"#,
        ),
        (
            "just a text",
            r#"f.yaml:1: "just a text" is a string; allowed: a mapping"#,
        ),
    ] {
        let error = error(text);
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    // Another version of a kind that is known: the rest is judged as well.
    for (version, kind) in [
        ("chaos-mesh.org/v1beta1", "NetworkChaos"),
        ("netchaos/v1", "NetworkChaos"),
        ("netchaos/v2", "Experiment"),
    ] {
        let error = error(&format!(
            "apiVersion: {version}\nkind: {kind}\ncolor: red\n"
        ));
        assert!(
            error.contains(&format!(
                "f.yaml:1: apiVersion: {version:?} is not read by netchaos"
            )),
            "{error}"
        );
        assert!(error.contains("f.yaml:3: color: unknown field"), "{error}");
    }
}

#[test]
fn a_broken_end_does_not_hide_the_problems_before_it() {
    let error = error("apiVersion: netchaos/v1\nkind: Pod\n---\na: [\n---\n");
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(error.starts_with("f.yaml:2: kind: \"Pod\""), "{error}");
    assert!(error.contains("f.yaml:5: \"---\" is not YAML"), "{error}");
}

#[test]
fn strict_compatibility_can_be_asked_for_from_outside() {
    let is_strict = |strict| {
        let text = format!("{}---\n{}", native("a"), native("b"));
        let reading = Reading {
            strict_compat: strict,
            ..Reading::default()
        };
        let documents = read("f", &text, reading).unwrap();
        documents
            .iter()
            .all(|document| document.experiment.fault.strict_compat)
    };
    assert!(is_strict(true) && !is_strict(false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever stands in a file: an answer, and no panic.
    #[test]
    fn any_text_gets_an_answer(text in "[-a-z0-9:{}\\[\\],'\"&*!|>%@#?~. \t\n]{0,60}|\\PC{0,40}") {
        let _ = read_own("f", &text);
    }

    /// The same for a manifest with a piece cut out, put in twice, or replaced.
    #[test]
    fn damaged_manifests_get_an_answer(
        from in 0..BAD.len(), length in 0..40_usize, with in "[-a-z:{}\\[\\]'\"&* \n]{0,8}",
    ) {
        let to = (from + length).min(BAD.len());
        let _ = read_own("f", &format!("{}{with}{}", &BAD[..from], &BAD[to..]));
        let _ = read_own("f", &format!("{}{}", &BAD[..to], &BAD[from..]));
    }
}
