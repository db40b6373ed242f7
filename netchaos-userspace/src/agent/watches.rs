//! The watches: which objects, and what of each is kept.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{
    Api, Client,
    core::{
        ApiResource, DynamicObject, GroupVersionKind, NotUsed, Object, ObjectMeta,
        PartialObjectMeta,
    },
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, watcher},
    },
};
use serde::Deserialize;

use super::{
    chaos::Chaos,
    cluster::{Id, Node, Pod, Service, ServicePort, TargetPort},
    mirror::Mirror,
};

/// The objects of Kubernetes that are kept, with as much of them as is needed.
type PodObject = Object<PodSpec, PodStatus>;
type ServiceObject = Object<ServiceSpec, NotUsed>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: Option<String>,
    service_account_name: String,
    restart_policy: String,
    scheduler_name: String,
    containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    ports: Vec<ContainerPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    name: Option<String>,
    container_port: u16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<IpAddr>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    nominated_node_name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct PodIp {
    ip: IpAddr,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceSpec {
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    selector: BTreeMap<String, String>,
    ports: Vec<SpecPort>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecPort {
    port: u16,
    target_port: Option<IntOrString>,
}

/// Which objects `NetworkChaos` are.
pub fn chaos_resource(group: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk(group, "v1alpha1", "NetworkChaos");
    ApiResource::from_gvk_with_plural(&kind, "networkchaos")
}

fn core(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), plural)
}

pub async fn chaoses(client: Client, group: &str, mirror: &Mirror<Chaos>) {
    let api: Api<DynamicObject> = Api::all_with(client, &chaos_resource(group));
    let read = |object| Chaos::read(object).map(|chaos| (chaos.id.clone(), chaos));
    let watch = watcher(api, Config::default()).default_backoff();
    mirror.follow("NetworkChaos", watch, read).await;
}

/// All pods, or those of a node.
pub async fn pods(client: Client, node: Option<&str>, mirror: &Mirror<Pod>) {
    let mut config = Config::default();
    if let Some(node) = node {
        config = config.fields(&format!("spec.nodeName={node}"));
    }
    let api: Api<PodObject> = Api::all_with(client, &core("Pod", "pods"));
    let watch = watcher(api, config).default_backoff();
    mirror.follow("pods", watch, read_pod).await;
}

pub async fn services(client: Client, mirror: &Mirror<Service>) {
    let api: Api<ServiceObject> = Api::all_with(client, &core("Service", "services"));
    let watch = watcher(api, Config::default()).default_backoff();
    mirror.follow("services", watch, read_service).await;
}

pub async fn nodes(client: Client, mirror: &Mirror<Node>) {
    // Without their status, which changes every few seconds.
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &core("Node", "nodes"));
    let watch = watcher(api, Config::default()).default_backoff();
    let read = |object: PartialObjectMeta<DynamicObject>| {
        let labels = object.metadata.labels.clone().unwrap_or_default();
        Some((id(&object.metadata)?, Node { labels }))
    };
    mirror.follow("nodes", watch, read).await;
}

fn id(metadata: &ObjectMeta) -> Option<Id> {
    Some(Id {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone()?,
    })
}

fn read_pod(object: PodObject) -> Option<(Id, Pod)> {
    let id = id(&object.metadata)?;
    let metadata = object.metadata;
    let (spec, status) = (object.spec, object.status.unwrap_or_default());
    let mut addresses: Vec<IpAddr> = status.pod_ips.iter().map(|ip| ip.ip).collect();
    if addresses.is_empty() {
        addresses.extend(status.pod_ip);
    }
    let ports = spec.containers.into_iter().flat_map(|one| one.ports);
    let mut annotations = metadata.annotations.unwrap_or_default();
    // A copy of the whole object, and nothing that anybody selects by.
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    let pod = Pod {
        uid: metadata.uid?,
        node: spec.node_name,
        labels: metadata.labels.unwrap_or_default(),
        annotations,
        addresses,
        phase: status.phase,
        service_account: spec.service_account_name,
        restart_policy: spec.restart_policy,
        scheduler: spec.scheduler_name,
        nominated_node: status.nominated_node_name,
        named_ports: ports
            .filter_map(|port| Some((port.name?, port.container_port)))
            .collect(),
        is_leaving: metadata.deletion_timestamp.is_some(),
    };
    Some((id, pod))
}

fn read_service(object: ServiceObject) -> Option<(Id, Service)> {
    let port = |port: SpecPort| ServicePort {
        port: port.port,
        target: match port.target_port {
            Some(IntOrString::String(name)) => TargetPort::Name(name),
            Some(IntOrString::Int(number)) => {
                TargetPort::Number(u16::try_from(number).unwrap_or(port.port))
            }
            None => TargetPort::Number(port.port),
        },
    };
    // A headless one has "None".
    let addresses = object.spec.cluster_ips.iter();
    let service = Service {
        cluster_ips: addresses.filter_map(|text| text.parse().ok()).collect(),
        selector: object.spec.selector,
        ports: object.spec.ports.into_iter().map(port).collect(),
    };
    Some((id(&object.metadata)?, service))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_pod_is_kept_what_selectors_and_targets_need() {
        let pod = json!({
            "metadata": {
                "name": "web-1", "namespace": "shop", "uid": "u",
                "labels": {"app": "web"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"},
            },
            "spec": {
                "nodeName": "n1", "hostNetwork": true,
                "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}],
            },
            "status": {"phase": "Running", "podIP": "10.0.0.1",
                       "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
        });
        let (id, pod) = read_pod(serde_json::from_value(pod).unwrap()).unwrap();
        assert_eq!(id.to_string(), "shop/web-1");
        assert_eq!(pod.addresses.len(), 2);
        assert_eq!(pod.named_ports["http"], 8080);
        assert_eq!(pod.annotations.len(), 1);
        assert!(pod.lives());
        // One that the scheduler has not seen yet.
        let new = json!({"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": {}});
        let (_, new) = read_pod(serde_json::from_value(new).unwrap()).unwrap();
        assert!(new.node.is_none() && new.addresses.is_empty());
    }

    #[test]
    fn a_headless_service_has_no_address() {
        let service = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"clusterIPs": ["None"], "selector": {"app": "web"},
                     "ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}]},
        });
        let (_, service) = read_service(serde_json::from_value(service).unwrap()).unwrap();
        assert!(service.cluster_ips.is_empty());
        assert_eq!(service.ports[0].target, TargetPort::Name("http".into()));
        assert_eq!(service.ports[1].target, TargetPort::Number(8081));
    }
}
