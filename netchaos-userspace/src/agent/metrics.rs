//! What Prometheus is told.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use super::{chaos::Chaos, cluster::Id, mirror::Mirror, status::State};
use crate::{
    engine::{self, Listed},
    place::Place,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFault {
    namespace: String,
    name: String,
    pod_namespace: String,
    pod: String,
    direction: &'static str,
}

pub struct Metrics {
    registry: Registry,
    experiments: Family<OfState, Gauge>,
    pods: Gauge,
    leads: Gauge,
    work: Family<OfResult, Counter>,
    took: Histogram,
    packets: Family<OfFault, Counter<u64, AtomicU64>>,
    bytes: Family<OfFault, Counter<u64, AtomicU64>>,
    dropped: Family<OfFault, Counter<u64, AtomicU64>>,
    with_faults: Mutex<Vec<(Id, Arc<Place>)>>,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("netchaos");
        let new = Self {
            experiments: Family::default(),
            pods: Gauge::default(),
            leads: Gauge::default(),
            work: Family::default(),
            // From 1 ms to 8 s.
            took: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            packets: Family::default(),
            bytes: Family::default(),
            dropped: Family::default(),
            with_faults: Mutex::default(),
            registry: Registry::default(),
        };
        registry.register(
            "experiments",
            "NetworkChaos objects by state",
            new.experiments.clone(),
        );
        registry.register(
            "pods_with_faults",
            "Pods of this node that have a fault",
            new.pods.clone(),
        );
        registry.register(
            "leader",
            "1 where this agent chooses the pods",
            new.leads.clone(),
        );
        registry.register(
            "pod_changes",
            "Times that a pod was brought to what the objects ask",
            new.work.clone(),
        );
        registry.register_with_unit(
            "pod_change_duration",
            "How long that took",
            Unit::Seconds,
            new.took.clone(),
        );
        let packets = "Packets that an experiment has matched in a pod";
        registry.register("packets", packets, new.packets.clone());
        let bytes = "Bytes that an experiment has matched in a pod";
        registry.register("matched_bytes", bytes, new.bytes.clone());
        let dropped = "Packets that an experiment has dropped as asked, by loss and partition";
        registry.register("dropped_packets", dropped, new.dropped.clone());
        Self { registry, ..new }
    }

    pub fn set_leader(&self, leads: bool) {
        self.leads.set(leads.into());
    }

    /// Says which pods have faults.
    pub fn set_pods(&self, pods: Vec<(Id, Arc<Place>)>) {
        self.pods.set(pods.len().try_into().unwrap_or(i64::MAX));
        *self
            .with_faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = pods;
    }

    /// A pod was worked on.
    pub fn worked(&self, took: Duration, well: bool) {
        let result = if well { "done" } else { "failed" };
        self.work.get_or_create(&OfResult { result }).inc();
        self.took.observe(took.as_secs_f64());
    }

    /// All metrics in Prometheus' text format. Reads the counters of the kernel, which takes some
    /// milliseconds for each pod with faults.
    pub fn text(&self, chaoses: &Mirror<Chaos>) -> String {
        self.count_experiments(chaoses);
        let pods = self
            .with_faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let pods = pods.clone();
        for family in [&self.packets, &self.bytes, &self.dropped] {
            family.clear();
        }
        for (pod, place) in pods {
            for listed in faults(&place) {
                self.count_packets(&pod, &listed);
            }
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn count_experiments(&self, chaoses: &Mirror<Chaos>) {
        self.experiments.clear();
        let states: Vec<State> = chaoses.with(|all| {
            all.values()
                .map(|chaos| chaos.status.netchaos.state)
                .collect()
        });
        for state in states {
            let state = format!("{state:?}");
            self.experiments.get_or_create(&OfState { state }).inc();
        }
    }

    fn count_packets(&self, pod: &Id, listed: &Listed) {
        for (direction, hits) in listed.hits() {
            let labels = OfFault {
                namespace: listed.spec.namespace.clone().unwrap_or_default(),
                name: listed.spec.name.clone(),
                pod_namespace: pod.namespace.clone(),
                pod: pod.name.clone(),
                direction,
            };
            let set = |family: &Family<OfFault, Counter<u64, AtomicU64>>, value| {
                let counter = family.get_or_create(&labels);
                counter.inner().store(value, Ordering::Relaxed);
            };
            set(&self.packets, hits.packets);
            set(&self.bytes, hits.bytes);
            set(&self.dropped, hits.dropped);
        }
    }
}

/// The experiments in a pod; none where it is gone.
fn faults(place: &Place) -> Vec<Listed> {
    let listed = engine::inside(place, async |session| session.list().await);
    listed.map_or_else(|_| Vec::new(), |(listed, _)| listed)
}
