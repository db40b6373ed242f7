//! What the agent knows of the cluster: as little of each object as its work needs, so that the
//! pods of a large cluster fit into a few megabytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Namespace and name, as Chaos Mesh writes a pod: `default/web-1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    pub namespace: String,
    pub name: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    pub uid: String,
    /// None until it is scheduled.
    pub node: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// `status.podIPs`.
    pub addresses: Vec<IpAddr>,
    pub phase: String,
    pub service_account: String,
    pub restart_policy: String,
    pub scheduler: String,
    pub nominated_node: String,
    /// Ports of its containers that have a name.
    pub named_ports: BTreeMap<String, u16>,
    /// Somebody has deleted it, and it is about to go.
    pub is_leaving: bool,
}

impl Pod {
    /// Whether there is, or will be, a network namespace of it.
    pub fn lives(&self) -> bool {
        !self.is_leaving && !matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Empty where it has none of its own (headless).
    pub cluster_ips: Vec<IpAddr>,
    /// Empty where somebody else writes its endpoints.
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ServicePort {
    pub port: u16,
    pub target: TargetPort,
}

/// The pods' end of a service's port.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetPort {
    Number(u16),
    /// A port that each pod has under this name.
    Name(String),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub labels: BTreeMap<String, String>,
}

/// All that the leader chooses from.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub pods: BTreeMap<Id, Pod>,
    pub services: BTreeMap<Id, Service>,
    pub nodes: BTreeMap<Id, Node>,
}

impl Cluster {
    /// The pods behind a service.
    pub fn backing<'a>(
        &'a self,
        id: &'a Id,
        service: &'a Service,
    ) -> impl Iterator<Item = (&'a Id, &'a Pod)> {
        self.pods.iter().filter(|(pod_id, pod)| {
            pod_id.namespace == id.namespace
                && !service.selector.is_empty()
                && contains(&pod.labels, &service.selector)
                && pod.lives()
        })
    }

    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(&Id {
            name: name.to_owned(),
            ..Id::default()
        })
    }

    /// A pod of Chaos Mesh's own controller that is running, if there is one.
    pub fn chaos_mesh(&self) -> Option<&Id> {
        let is_its = |pod: &Pod| {
            let label = |key| pod.labels.get(key).map(String::as_str);
            label("app.kubernetes.io/name") == Some("chaos-mesh")
                && label("app.kubernetes.io/component") == Some("controller-manager")
        };
        let mut pods = self.pods.iter();
        pods.find(|(_, pod)| is_its(pod) && pod.phase == "Running" && !pod.is_leaving)
            .map(|(id, _)| id)
    }
}

/// Whether `all` has every entry of `wanted`.
pub fn contains(all: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(key, value)| all.get(key) == Some(value))
}

/// The names in a list, each once and in order.
pub fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    items
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn labels(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        entries.iter().map(owned).collect()
    }

    pub fn id(text: &str) -> Id {
        let (namespace, name) = text.split_once('/').unwrap();
        Id {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    pub fn node(name: &str, with: &[(&str, &str)]) -> (Id, Node) {
        let id = Id {
            name: name.into(),
            ..Id::default()
        };
        let labels = labels(with);
        (id, Node { labels })
    }

    #[test]
    fn chaos_mesh_is_known_by_its_controller() {
        let mut pod = Pod {
            labels: labels(&[
                ("app.kubernetes.io/name", "chaos-mesh"),
                ("app.kubernetes.io/component", "controller-manager"),
            ]),
            phase: "Running".into(),
            ..Pod::default()
        };
        let with = |pod: &Pod| Cluster {
            pods: [(id("chaos/it"), pod.clone())].into(),
            ..Cluster::default()
        };
        assert_eq!(with(&pod).chaos_mesh(), Some(&id("chaos/it")));
        pod.phase = "Failed".into();
        assert_eq!(with(&pod).chaos_mesh(), None);
    }
}
