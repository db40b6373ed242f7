//! Pods of a test's own on nodes of its own, beside a control plane alone: they come, move and go as the test says.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, os::unix::fs::MetadataExt as _, thread};

use serde_json::{Value, json};

use super::{
    BUSYBOX, Chaos, apply, get, kubectl, kubectl_with_input,
    peers::new_namespace,
    plane::{self, Cgroups},
};
use crate::{netns::Netns, probe::Line, running::Running, snapshot::Snapshot};

/// Pods in a Kubernetes namespace of the test's own, on one switch.
pub struct Cast {
    pub namespace: String,
    pods: BTreeMap<String, Pod>,
    switch: Netns,
    last: u8,
}

struct Pod {
    address: Ipv4Addr,
    netns: Netns,
    object: Value,
    /// What its namespace is without netchaos, once somebody has looked.
    before: Option<Snapshot>,
    _process: (Running, Cgroups),
}

/// Where a pod is, and what is said of it.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub node: &'a str,
    pub app: &'a str,
}

/// Makes a node, which is an object and nothing else.
///
/// # Panics
/// When the API server refuses it.
#[track_caller]
pub fn node(name: &str) {
    apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}).to_string());
}

impl Cast {
    /// `pods` are names, nodes, and values of the label `app`. Waits until nothing changes in them any more.
    ///
    /// # Panics
    /// When they cannot be made.
    #[track_caller]
    pub fn new(pods: &[(&str, &str, &str)]) -> Self {
        let namespace = new_namespace();
        let switch = Netns::new("switch");
        switch.ip("link add br0 type bridge");
        switch.ip("link set br0 up");
        let mut cast = Self {
            namespace,
            pods: BTreeMap::new(),
            switch,
            last: 9,
        };
        for (_, name, _) in pods {
            node(name);
        }
        for (name, node, app) in pods {
            cast.add(name, Place { node, app });
        }
        let rest = |pod: &mut Pod| pod.before = Some(Snapshot::at_rest(&pod.netns));
        thread::scope(|scope| {
            for pod in cast.pods.values_mut() {
                scope.spawn(move || rest(pod));
            }
        });
        cast
    }

    /// A new pod comes, which runs.
    ///
    /// # Panics
    /// When it cannot be made.
    #[track_caller]
    pub fn add(&mut self, name: &str, place: Place<'_>) {
        self.last += 1;
        let address = Ipv4Addr::new(10, 244, 9, self.last);
        let object = self.declare(name, place);
        let netns = plane::connect(&self.switch, &format!("{name}{}", self.last), address);
        let process = plane::process(&netns, &object);
        let pod = Pod {
            address,
            netns,
            object: set_status(plane::runs_at(object, address)),
            before: None,
            _process: process,
        };
        self.pods.insert(name.to_owned(), pod);
    }

    /// A pod whose process is in the host's own network. It goes when what is given back is dropped.
    ///
    /// # Panics
    /// When it cannot be made.
    #[track_caller]
    pub fn add_to_host(&self, name: &str, place: Place<'_>) -> OnHost {
        let own = fs::metadata("/proc/self/ns/net")
            .expect("there is one")
            .ino();
        let host = fs::metadata("/proc/1/ns/net").expect("there is one").ino();
        assert_eq!(own, host, "the test is not in the host's network");
        let object = self.declare(name, place);
        let process = plane::held(plane::sleep(), &object);
        set_status(plane::runs_at(object, Ipv4Addr::new(10, 77, 9, 9)));
        OnHost { _process: process }
    }

    /// The object of a pod, which nobody has started yet.
    #[track_caller]
    fn declare(&self, name: &str, place: Place<'_>) -> Value {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": self.namespace, "name": name, "labels": {"app": place.app, "pod": name}},
            "spec": {
                "nodeName": place.node,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "pod", "image": BUSYBOX}],
            },
        });
        apply(&object.to_string());
        get(&["pod", name, "--namespace", &self.namespace])
    }

    /// A pod goes, and all that it is made of.
    ///
    /// # Panics
    /// When it does not go.
    #[track_caller]
    pub fn remove(&mut self, name: &str) {
        let pod = self.pods.remove(name).expect("a pod of this name");
        let args = ["delete", "pod", name, "--force", "--grace-period=0"];
        kubectl(&[&args[..], &["--namespace", &self.namespace]].concat()).ok();
        drop(pod);
    }

    /// A pod gets another address instead of its own.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn move_away(&mut self, name: &str) {
        self.last += 1;
        let address = Ipv4Addr::new(10, 244, 9, self.last);
        let pod = self.pods.get_mut(name).expect("a pod of this name");
        pod.netns.ip(&format!("addr add {address}/24 dev eth0"));
        pod.address = address;
        let object = get(&["pod", name, "--namespace", &self.namespace]);
        pod.object = set_status(plane::runs_at(object, address));
    }

    fn pod(&self, name: &str) -> &Pod {
        self.pods
            .get(name)
            .unwrap_or_else(|| panic!("no pod {name}"))
    }

    pub fn uid(&self, name: &str) -> &str {
        let uid = self.pod(name).object["metadata"]["uid"].as_str();
        uid.expect("every object has one")
    }

    pub fn address(&self, name: &str) -> Ipv4Addr {
        self.pod(name).address
    }

    pub fn netns(&self, name: &str) -> &Netns {
        &self.pod(name).netns
    }

    /// From pod to pod; a pod may have another address, too.
    #[track_caller]
    pub fn line(&self, one: &str, other: &str) -> Line {
        self.line_to(one, other, self.address(other))
    }

    #[track_caller]
    pub fn line_to(&self, one: &str, other: &str, address: Ipv4Addr) -> Line {
        let one = self.pod(one);
        Line::between((&one.netns, one.address), (&self.pod(other).netns, address))
    }

    /// Applies a NetworkChaos in the pods' own Kubernetes namespace.
    ///
    /// # Panics
    /// When the API server refuses it.
    #[track_caller]
    pub fn chaos(&self, name: &str, spec: &Value) -> Chaos {
        Chaos::apply(&self.namespace, name, spec)
    }

    /// # Panics
    /// When the namespace of a pod that was there from the beginning prints something else than then.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        for name in self.pods.keys() {
            self.assert_nothing_left_in(name);
        }
    }

    /// # Panics
    /// As [`Self::assert_nothing_left`].
    #[track_caller]
    pub fn assert_nothing_left_in(&self, name: &str) {
        let pod = self.pod(name);
        if let Some(before) = &pod.before {
            Snapshot::of(&pod.netns).assert_same_as(before);
        }
    }
}

/// What a pod in the host's network is made of.
pub struct OnHost {
    _process: (Running, Cgroups),
}

/// Writes an object's status.
#[track_caller]
fn set_status(object: Value) -> Value {
    let args = ["replace", "--subresource=status", "--filename=-"];
    kubectl_with_input(&args, &object.to_string()).ok();
    object
}

impl Drop for Cast {
    fn drop(&mut self) {
        let args = [
            "delete",
            "pods",
            "--all",
            "--force",
            "--grace-period=0",
            "--wait=false",
        ];
        kubectl(&[&args[..], &["--namespace", &self.namespace]].concat());
    }
}
