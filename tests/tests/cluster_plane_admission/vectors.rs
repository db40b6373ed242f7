//! Right and wrong objects: what Chaos Mesh's tests, its CRD and its users have, and more.

mod values;

/// A field of `spec` with its value in YAML's flow style.
pub type Change = (String, String);

const BASE: [(&str, &str); 5] = [
    ("action", "delay"),
    ("mode", "all"),
    ("selector", "{namespaces: [default]}"),
    ("delay", "{latency: 50ms}"),
    ("externalTargets", "[1.1.1.1]"),
];

/// An object for the API server and for the reader.
#[derive(Default)]
pub struct Vector {
    /// Beside the name.
    pub metadata: &'static str,
    /// To [`BASE`]: a field that is changed, added, or with "-" taken away.
    pub changes: Vec<Change>,
}

impl Vector {
    /// The base with these changes.
    pub fn of(changes: &[(&str, &str)]) -> Self {
        Self {
            changes: changes.iter().copied().map(owned).collect(),
            ..Self::default()
        }
    }

    /// The manifest, the object being called `name`.
    pub fn manifest(&self, name: &str, group: &str) -> String {
        let mut fields: Vec<Change> = BASE.map(owned).into();
        for change in &self.changes {
            fields.retain(|(name, _)| *name != change.0);
            if change.1 != "-" {
                fields.push(change.clone());
            }
        }
        let line = |(name, value): &Change| format!("  {name}: {value}\n");
        format!(
            "apiVersion: {group}/v1alpha1\nkind: NetworkChaos\nmetadata: {{name: {name}{}}}\nspec:\n{}",
            self.metadata,
            fields.iter().map(line).collect::<String>()
        )
    }
}

fn owned(change: (&str, &str)) -> Change {
    (change.0.to_owned(), change.1.to_owned())
}

/// One for each value in the place of `@` in `template`.
fn each(field: &str, template: &str, values: &[&str]) -> Vec<Vector> {
    let one = |value: &&str| Vector::of(&[(field, &template.replace('@', value))]);
    values.iter().map(one).collect()
}

const NETEM: [(&str, &str); 5] = [
    ("delay", "{latency: 10ms}"),
    ("loss", "{loss: '1'}"),
    ("duplicate", "{duplicate: '1'}"),
    ("corrupt", "{corrupt: '1'}"),
    ("rate", "{rate: 1mbit}"),
];

pub fn all() -> Vec<Vector> {
    let parts = [
        fields(),
        actions(),
        values::percentages(),
        values::times(),
        values::rates(),
        values::numbers(),
        modes(),
        selectors(),
        values::targets(),
        all_traffic(),
        words(),
    ];
    parts.into_iter().flatten().collect()
}

/// What is missing, unknown, or of another type.
fn fields() -> Vec<Vector> {
    let mut vectors = vec![Vector::of(&[])];
    for field in ["action", "mode", "selector", "delay", "externalTargets"] {
        vectors.push(Vector::of(&[(field, "-")]));
    }
    for (field, value) in [
        ("zzz", "0"),
        ("selector", "{zzz: 0}"),
        ("selector", "{containerNames: [c]}"),
        ("target", "{mode: all, selector: {}, zzz: 0}"),
        ("delay", "{latency: 1s, zzz: 0}"),
        ("delay", "{jitter: 1ms}"),
        ("delay", "{latency: 50}"),
        ("delay", "{latency: 1ms, reorder: {gap: 1}}"),
        ("delay", "{latency: 1ms, reorder: {reorder: '1'}}"),
        ("delay", "50ms"),
        ("loss", "{}"),
        ("duplicate", "{correlation: '1'}"),
        ("corrupt", "{}"),
        ("rate", "{}"),
        ("bandwidth", "{limit: 1, buffer: 1}"),
        ("bandwidth", "{rate: 1mbit, buffer: 1}"),
        ("bandwidth", "{rate: 1mbit, limit: 1}"),
        ("externalTargets", "a.example"),
        ("externalTargets", "[a.example, {a: b}]"),
        ("externalTargets", "[443]"),
    ] {
        vectors.push(Vector::of(&[(field, value)]));
    }
    vectors
}

fn actions() -> Vec<Vector> {
    let mut vectors = each("action", "@", &["rate", "reorder", "Delay", "''"]);
    let bandwidth = "{rate: 1mbit, limit: 1, buffer: 1}";
    for action in ["netem", "delay", "loss", "duplicate", "corrupt"] {
        vectors.push(Vector::of(&[("action", action), ("delay", "-")]));
        for part in NETEM {
            vectors.push(Vector::of(&[("action", action), ("delay", "-"), part]));
        }
    }
    vectors.push(Vector::of(&[("action", "bandwidth")]));
    vectors.push(Vector::of(&[
        ("action", "bandwidth"),
        ("bandwidth", bandwidth),
    ]));
    vectors.push(Vector::of(&[("action", "partition"), ("delay", "-")]));
    // What an action makes no use of is judged all the same.
    for action in ["partition", "bandwidth"] {
        let loss = ("loss", "{loss: '10%'}");
        vectors.push(Vector::of(&[
            ("action", action),
            ("bandwidth", bandwidth),
            loss,
        ]));
    }
    // All is nothing.
    for part in [
        ("delay", "{latency: 0ms}"),
        ("delay", "{latency: 0s, jitter: 1ms}"),
        ("loss", "{loss: '0', correlation: '5'}"),
        ("loss", "{loss: ''}"),
        ("duplicate", "{duplicate: '0.0'}"),
        ("corrupt", "{corrupt: '-0'}"),
        ("rate", "{rate: 0mbit}"),
    ] {
        vectors.push(Vector::of(&[("delay", "-"), part]));
        vectors.push(Vector::of(&[part, ("duplicate", "{duplicate: '5'}")]));
    }
    vectors
}

fn modes() -> Vec<Vector> {
    let mut vectors = each("mode", "@", &["one", "some", "All", "''"]);
    for (mode, value) in [
        ("all", "'whatever'"),
        ("fixed", "'1'"),
        ("fixed", "'+1000'"),
        ("fixed", "'007'"),
        ("fixed", "-"),
        ("fixed", "''"),
        ("fixed", "'0'"),
        ("fixed", "'-1'"),
        ("fixed", "'1.5'"),
        ("fixed", "'two'"),
        ("fixed", "2"),
        ("fixed-percent", "'1'"),
        ("fixed-percent", "'100'"),
        ("fixed-percent", "-"),
        ("fixed-percent", "'0'"),
        ("fixed-percent", "'101'"),
        ("random-max-percent", "'50'"),
        ("random-max-percent", "'50%'"),
        ("random-max-percent", "-"),
    ] {
        vectors.push(Vector::of(&[("mode", mode), ("value", value)]));
        let value = match value {
            "-" => String::new(),
            value => format!(", value: {value}"),
        };
        let target = format!("{{mode: {mode}, selector: {{}}{value}}}");
        vectors.push(Vector::of(&[("target", &target)]));
    }
    vectors
}

fn selectors() -> Vec<Vector> {
    let mut vectors = each(
        "selector",
        "@",
        &[
            "{}",
            "{namespaces: [a], nodes: [n1], podPhaseSelectors: [Running], labelSelectors: {a: b}, \
             annotationSelectors: {c: d}, fieldSelectors: {spec.nodeName: n1}, nodeSelectors: {e: f}, \
             pods: {ns: [p, q]}, expressionSelectors: [{key: k, operator: In, values: [v]}, \
             {key: l, operator: Exists}]}",
            "[a]",
            "{namespaces: default}",
            "{namespaces: [1]}",
            "{labelSelectors: [a]}",
            "{labelSelectors: {a: 1}}",
            "{pods: {ns: p}}",
            "{pods: [p]}",
            "{expressionSelectors: {}}",
            "{expressionSelectors: [{operator: In}]}",
            "{expressionSelectors: [{key: k}]}",
            "{expressionSelectors: [{key: k, operator: Is}]}",
            "{expressionSelectors: [{key: k, operator: In, value: v}]}",
        ],
    );
    for target in [
        "{mode: all, selector: {labelSelectors: {app: db}}}",
        "{selector: {}}",
        "{mode: all}",
        "{mode: all, selector: {}, device: eth0}",
        "{mode: all, selector: {labelSelectors: {a: 1}}}",
    ] {
        vectors.push(Vector::of(&[("target", target), ("externalTargets", "-")]));
    }
    vectors
}

/// No target means all traffic only where it is asked for in words.
fn all_traffic() -> Vec<Vector> {
    const ASKED: [&str; 4] = [
        "",
        ", annotations: {netchaos.io/all-traffic: 'true'}",
        ", annotations: {netchaos.io/all-traffic: 'false'}",
        ", annotations: {netchaos.io/all-traffic: 'yes'}",
    ];
    let pods = ("target", "{mode: all, selector: {}}");
    let mut vectors = Vec::new();
    for metadata in ASKED {
        for changes in [
            vec![],
            vec![("externalTargets", "-")],
            vec![("externalTargets", "[]")],
            vec![("externalTargets", "-"), pods],
            vec![
                ("externalTargets", "-"),
                ("action", "partition"),
                ("direction", "both"),
            ],
        ] {
            vectors.push(Vector {
                metadata,
                ..Vector::of(&changes)
            });
        }
    }
    vectors
}

fn words() -> Vec<Vector> {
    let mut vectors = each("direction", "@", &["''", "to", "from", "both", "out", "To"]);
    let devices = [
        "''",
        "eth1",
        "eth0@if12",
        "'@if12'",
        "a/b",
        "'a:b'",
        "a-name-that-is-too-long",
        "'a b'",
        "'.'",
        "'..'",
        "'...'",
    ];
    vectors.extend(each("device", "@", &devices));
    vectors.extend(each("targetDevice", "@", &["''", "eth1", "a/b"]));
    vectors.extend(each("remoteCluster", "@", &["''", "east"]));
    vectors.extend(each("partitionBehavior", "@", &["''", "drop", "reject"]));
    vectors
}
