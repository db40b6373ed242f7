//! The Helm chart: what it renders, which values it refuses, and what an API server says of it.

use std::{collections::BTreeMap, env, fs};

use netchaos_tests::{
    command::Done,
    kubernetes::{deploy, helm, kubectl, kubectl_with_input},
};

/// Helm asks no cluster when it only renders; the oldest Kubernetes that the chart takes.
const OLDEST: &str = "--kube-version=1.31.0";
/// Set, the test writes the manifests that it finds to differ.
const RENDER: &str = "NETCHAOS_RENDER";
/// On no node: what the agent does is for other tests.
const NOWHERE: &str = "--set=nodeSelector.netchaos\\.test/nowhere=yes";
/// In the order in which `kubectl apply --filename=deploy/kubernetes` applies them.
const MANIFESTS: [&str; 5] = ["namespace", "crd", "admission", "rbac", "agent"];

fn chart() -> String {
    deploy("helm/netchaos")
        .to_str()
        .expect("a path in UTF-8")
        .to_owned()
}

fn render(values: &[&str]) -> Done {
    let chart = chart();
    let sets = values.iter().map(|value| format!("--set={value}"));
    let sets: Vec<String> = sets.collect();
    let mut args = vec![
        "template",
        "netchaos",
        &chart,
        "--namespace=netchaos",
        OLDEST,
    ];
    args.extend(sets.iter().map(String::as_str));
    helm(&args)
}

/// The rendering by the names of the templates.
fn by_template(rendering: &str) -> BTreeMap<String, String> {
    let mut templates: BTreeMap<String, String> = BTreeMap::new();
    let source = "# Source: netchaos/templates/";
    for document in format!("\n{rendering}")
        .split("\n---\n")
        .filter(|text| text.contains(source))
    {
        let (line, text) = document
            .trim_start()
            .split_once('\n')
            .expect("more than a comment");
        let name = line.trim_start_matches(source).trim_end_matches(".yaml");
        let whole = templates.entry(name.to_owned()).or_default();
        if !whole.is_empty() {
            *whole += "---\n";
        }
        *whole += text.trim_end();
        *whole += "\n";
    }
    templates
}

#[test]
fn the_plain_manifests_are_the_charts_rendering() {
    let rendering = render(&["namespace.create=true"]).ok().stdout;
    let templates = by_template(&rendering);
    assert_eq!(templates.len(), MANIFESTS.len(), "{:?}", templates.keys());
    let mut differ = Vec::new();
    for (number, name) in MANIFESTS.iter().enumerate() {
        let file = deploy("kubernetes").join(format!("{number}-{name}.yaml"));
        if fs::read_to_string(&file).ok().as_ref() == Some(&templates[*name]) {
            continue;
        }
        if env::var_os(RENDER).is_some() {
            fs::write(&file, &templates[*name]).expect("deploy/kubernetes can be written");
        }
        differ.push(file);
    }
    assert!(
        differ.is_empty() || env::var_os(RENDER).is_some(),
        "{differ:?} are not what the chart renders: `{RENDER}=1 cargo xtask test cluster chart` writes them"
    );
    let count = fs::read_dir(deploy("kubernetes"))
        .expect("deploy/kubernetes is there")
        .count();
    assert_eq!(
        count,
        MANIFESTS.len(),
        "manifests that the chart knows nothing of"
    );
}

#[test]
fn the_chart_is_sound_and_its_version_is_that_of_netchaos() {
    let version = env!("CARGO_PKG_VERSION");
    helm(&["lint", &chart(), "--strict", OLDEST]).ok();
    helm(&["show", "chart", &chart()]).ok().says(&[
        &format!("version: {version}"),
        &format!("appVersion: {version}"),
    ]);
}

#[test]
fn each_setting_reaches_the_manifests() {
    for (value, expected) in [
        (
            "image.repository=registry.example/netchaos",
            "image: registry.example/netchaos:",
        ),
        ("image.tag=v7", "image: docker.io/netchaos/netchaos:v7"),
        ("image.pullPolicy=Always", "imagePullPolicy: Always"),
        ("imagePullSecrets[0].name=key", "- name: key"),
        ("group=chaos.example.com", "--group=chaos.example.com"),
        (
            "group=chaos.example.com",
            "name: networkchaos.chaos.example.com",
        ),
        (
            "group=chaos.example.com",
            "- apiGroups: [chaos.example.com]",
        ),
        ("lease=90s", "--lease=90s"),
        ("allowHostNetwork=true", "- --allow-host-network"),
        ("socket.hostPath=/var/run/nc", "path: /var/run/nc"),
        ("socket.group=0", "- --socket-group=0"),
        ("socket.group=1000650000", "- --socket-group=1000650000"),
        ("metrics.port=9000", "--listen=0.0.0.0:9000"),
        ("metrics.port=9000", "containerPort: 9000"),
        ("resources.limits.cpu=2", "cpu: 2"),
        ("nodeSelector.pool=chaos", "pool: chaos"),
        ("tolerations[0].key=gpu", "- key: gpu"),
        ("affinity.nodeAffinity.x=y", "nodeAffinity:"),
        ("priorityClassName=low", "priorityClassName: low"),
        ("podLabels.team=chaos", "team: chaos"),
        ("podAnnotations.why=tests", "why: tests"),
    ] {
        let with = render(&[value]).ok();
        assert!(
            with.stdout.contains(expected),
            "{value}: no {expected:?} in {with}"
        );
        let without = render(&[]).ok();
        assert!(
            !without.stdout.contains(expected),
            "{expected:?} is there without {value}"
        );
    }
    let without = render(&["crd.create=false"]).ok().stdout;
    let left = by_template(&without);
    assert_eq!(left.keys().collect::<Vec<_>>(), ["agent", "rbac"]);
}

#[test]
fn wrong_values_are_refused() {
    for (value, field) in [
        ("leese=10m", "leese"),
        ("image.name=x", "name"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("group=Chaos", "group"),
        ("lease=soon", "lease"),
        ("lease=600", "lease"),
        ("allowHostNetwork=perhaps", "allowHostNetwork"),
        ("socket.hostPath=run", "hostPath"),
        ("socket.group=staff", "group"),
        ("metrics.port=0", "port"),
        ("metrics.port=70000", "port"),
    ] {
        render(&[value])
            .fails_with(1)
            .says(&["values don't meet the specifications", field]);
    }
}

/// The release and all that it leaves behind, away at the end.
struct Release;

impl Release {
    const NAMESPACE: &str = "netchaos-chart";
    const GROUP: &str = "chart.netchaos.test";

    fn install() -> Self {
        let namespace = Self::NAMESPACE;
        let group = format!("--set=group={}", Self::GROUP);
        let labelled = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}, \
             labels: {{pod-security.kubernetes.io/enforce: privileged}}}}}}"
        );
        kubectl_with_input(&["apply", "--filename=-"], &labelled).ok();
        let release = Self;
        let namespace = format!("--namespace={namespace}");
        helm(&["install", "chart", &chart(), &namespace, &group, NOWHERE])
            .ok()
            .says(&["kubectl get netchaos --all-namespaces"]);
        release
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let namespace = format!("--namespace={}", Self::NAMESPACE);
        helm(&["uninstall", "chart", &namespace, "--ignore-not-found"]);
        let crd = format!("crd/networkchaos.{}", Self::GROUP);
        kubectl(&["delete", &crd, "--ignore-not-found", "--timeout=30s"]);
        kubectl(&["delete", "namespace", Self::NAMESPACE, "--wait=false"]);
    }
}

#[test]
fn a_release_has_the_rights_it_needs_and_no_other() {
    let release = Release::install();
    let (namespace, group) = (Release::NAMESPACE, Release::GROUP);
    let account = format!("--as=system:serviceaccount:{namespace}:chart");
    let may = |verb: &str, resource: &str, place: &str| {
        let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
        let part = format!("--subresource={part}");
        let done = kubectl(&["auth", "can-i", verb, resource, &part, place, &account]);
        match done.stdout.trim() {
            "yes" => true,
            "no" => false,
            _ => panic!("{done}"),
        }
    };
    let own = format!("--namespace={namespace}");
    let everywhere = "--all-namespaces";
    let (chaos, status) = (
        format!("networkchaos.{group}"),
        format!("networkchaos.{group}/status"),
    );
    let events = "events.events.k8s.io";
    for (verbs, resource, place) in [
        ("get list watch patch", chaos.as_str(), everywhere),
        ("patch", status.as_str(), everywhere),
        ("list watch", "pods", everywhere),
        ("list watch", "services", everywhere),
        ("list watch", "nodes", everywhere),
        ("create patch", events, everywhere),
        (
            "get create update patch",
            "leases.coordination.k8s.io",
            own.as_str(),
        ),
    ] {
        let all = [
            "get", "list", "watch", "create", "update", "patch", "delete",
        ];
        for verb in all {
            let expected = verbs.split(' ').any(|word| word == verb);
            assert_eq!(
                may(verb, resource, place),
                expected,
                "{verb} {resource} {place}"
            );
        }
    }
    for (verb, resource) in [
        ("get", "secrets"),
        ("list", "configmaps"),
        ("create", "pods/exec"),
        ("get", "leases.coordination.k8s.io"),
        ("patch", "networkchaos.chaos-mesh.org"),
    ] {
        assert!(!may(verb, resource, everywhere), "{verb} {resource}");
    }

    // The CRD is of the asked group, and outlives the release.
    let crd = format!("crd/networkchaos.{group}");
    kubectl(&["wait", "--for=condition=Established", &crd]).ok();
    helm(&["uninstall", "chart", &own]).ok();
    kubectl(&["get", &crd]).ok();
    // As that of Chaos Mesh: it is somebody else's, and is taken over where that is asked for.
    let group = format!("--set=group={group}");
    let other = ["install", "other", &chart(), &own, &group, NOWHERE];
    helm(&other).fails_with(1).says(&["cannot be imported"]);
    helm(&[&other[..], &["--take-ownership"]].concat()).ok();
    helm(&["uninstall", "other", &own]).ok();
    drop(release);
}
