//! Whom a fault is aimed at: the addresses of pods, of services, and what else the object names.
//! Pure.

use std::{collections::BTreeSet, net::IpAddr};

use super::cluster::{Cluster, Id, Pod, Service, TargetPort, sorted};
use crate::experiment::{Peer, Ports, Target};

/// The targets of an object in `own_namespace`: what it names itself, and `pods`.
///
/// A service is a target beside its pods where all of its pods are, since packets to it carry its
/// own address when they leave a pod. Where only some are, its address would mean the others too.
pub fn targets(
    named: &[Target],
    own_namespace: &str,
    pods: &BTreeSet<&Id>,
    cluster: &Cluster,
) -> Vec<Target> {
    let mut all: Vec<Target> = Vec::new();
    for target in named {
        match &target.peer {
            Peer::Name(name) => match service_of(name.as_str(), own_namespace, cluster) {
                Some((id, service)) => all.extend(of_service(id, service, &target.ports, cluster)),
                None => all.push(target.clone()),
            },
            Peer::Prefix(_) => all.push(target.clone()),
        }
    }
    for pod in pods.iter().filter_map(|id| cluster.pods.get(*id)) {
        all.extend(pod.addresses.iter().map(|address| any_port(*address)));
    }
    for (id, service) in &cluster.services {
        let mut backing = cluster.backing(id, service).map(|(id, _)| id).peekable();
        if backing.peek().is_some() && backing.all(|id| pods.contains(id)) {
            all.extend(service.cluster_ips.iter().map(|address| any_port(*address)));
        }
    }
    sorted(all)
}

/// The service that a name means to the pods of a namespace (Kubernetes' DNS specification
/// 1.1.0, §2.3), where there is one.
fn service_of<'a>(
    name: &str,
    own_namespace: &str,
    cluster: &'a Cluster,
) -> Option<(&'a Id, &'a Service)> {
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    let (name, namespace) = match labels[..] {
        [name] => (name, own_namespace),
        [name, namespace] | [name, namespace, "svc"] => (name, namespace),
        [name, namespace, "svc", "cluster", "local"] => (name, namespace),
        _ => return None,
    };
    let id = Id {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    cluster.services.get_key_value(&id)
}

/// A service's own addresses, and those of its pods: somebody may have put them in its place
/// before the packets leave (as Cilium does), and a headless service has no other.
fn of_service(id: &Id, service: &Service, ports: &Ports, cluster: &Cluster) -> Vec<Target> {
    let with = |address: IpAddr, ports: &Ports| Target {
        ports: ports.clone(),
        ..any_port(address)
    };
    let own = service.cluster_ips.iter();
    let mut all: Vec<Target> = own.map(|address| with(*address, ports)).collect();
    for (_, pod) in cluster.backing(id, service) {
        let theirs = ports_of(service, ports, pod);
        if theirs.are_any() && !ports.are_any() {
            continue;
        }
        let addresses = pod.addresses.iter();
        all.extend(addresses.map(|address| with(*address, &theirs)));
    }
    all
}

/// The ports of a pod behind ports of its service.
fn ports_of(service: &Service, ports: &Ports, pod: &Pod) -> Ports {
    if ports.are_any() {
        return Ports::default();
    }
    let meant = service.ports.iter();
    let meant = meant.filter(|port| ports.overlap(&Ports::one(port.port)));
    let number = |port: &TargetPort| match port {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => pod.named_ports.get(name).copied(),
    };
    meant
        .filter_map(|port| number(&port.target))
        .map(Ports::one)
        .collect()
}

fn any_port(address: IpAddr) -> Target {
    Target {
        peer: Peer::Prefix(address.into()),
        ports: Ports::default(),
    }
}

/// What a list of targets means by name alone, for whoever looks names up.
pub fn has_names(targets: &[Target]) -> bool {
    let mut targets = targets.iter();
    targets.any(|target| matches!(target.peer, Peer::Name(_)))
}

#[cfg(test)]
mod tests {
    use super::super::cluster::{
        ServicePort,
        tests::{id, labels},
    };
    use super::*;

    /// Two pods behind the service `web`, and one behind nothing.
    fn cluster() -> Cluster {
        let pod = |address: &str, app: &str| Pod {
            labels: labels(&[("app", app)]),
            addresses: vec![address.parse().unwrap()],
            named_ports: [("http".to_owned(), 8080)].into(),
            phase: "Running".into(),
            ..Pod::default()
        };
        let port = |port, target| ServicePort { port, target };
        let web = Service {
            cluster_ips: vec!["10.96.0.7".parse().unwrap()],
            selector: labels(&[("app", "web")]),
            ports: vec![
                port(80, TargetPort::Name("http".into())),
                port(443, TargetPort::Number(8443)),
            ],
        };
        let headless = Service {
            cluster_ips: Vec::new(),
            ..web.clone()
        };
        Cluster {
            pods: [
                (id("shop/web-1"), pod("10.244.1.1", "web")),
                (id("shop/web-2"), pod("10.244.2.1", "web")),
                (id("shop/db"), pod("10.244.2.9", "db")),
            ]
            .into(),
            services: [(id("shop/web"), web), (id("shop/all-web"), headless)].into(),
            ..Cluster::default()
        }
    }

    fn aimed(named: &[&str], pods: &[&str]) -> Vec<String> {
        let named: Vec<Target> = named.iter().map(|text| text.parse().unwrap()).collect();
        let pods: Vec<Id> = pods.iter().map(|text| id(text)).collect();
        let targets = targets(&named, "shop", &pods.iter().collect(), &cluster());
        targets.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_service_is_meant_where_all_of_its_pods_are() {
        assert_eq!(
            aimed(&[], &["shop/db", "shop/web-1"]),
            ["10.244.1.1", "10.244.2.9"]
        );
        assert_eq!(
            aimed(&[], &["shop/web-1", "shop/web-2"]),
            ["10.96.0.7", "10.244.1.1", "10.244.2.1"]
        );
        assert!(aimed(&[], &["shop/gone"]).is_empty());
    }

    #[test]
    fn a_services_name_means_its_address_and_its_pods() {
        let all = ["10.96.0.7", "10.244.1.1", "10.244.2.1"];
        for name in [
            "web",
            "web.shop",
            "web.shop.svc",
            "web.shop.svc.cluster.local.",
        ] {
            assert_eq!(aimed(&[name], &[]), all, "{name}");
        }
        assert_eq!(aimed(&["all-web"], &[]), all[1..]);
        for name in ["web.other", "web.shop.svc.example.com", "db.example.com"] {
            assert_eq!(aimed(&[name], &[]), [name]);
        }
    }

    #[test]
    fn a_services_port_is_the_port_behind_it_at_its_pods() {
        assert_eq!(
            aimed(&["web:80"], &[]),
            ["10.96.0.7:80", "10.244.1.1:8080", "10.244.2.1:8080"]
        );
        assert_eq!(
            aimed(&["web:80,443"], &[]),
            [
                "10.96.0.7:80,443",
                "10.244.1.1:8080,8443",
                "10.244.2.1:8080,8443"
            ]
        );
        // No port of the service: nobody listens there, and the pods are not meant whole.
        assert_eq!(aimed(&["web:81"], &[]), ["10.96.0.7:81"]);
    }
}
