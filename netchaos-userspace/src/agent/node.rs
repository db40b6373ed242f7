//! What every agent does: bring each pod of its node to what the objects ask, and say in their
//! status how that went.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use kube::{
    Client,
    api::{Patch, PatchParams},
};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::{
    Settings, aim,
    bell::Bell,
    chaos::Chaos,
    cluster::{Id, Pod},
    in_hand::InHand,
    leader::{api, now},
    metrics::Metrics,
    mirror::Mirror,
    pod::{self, Brought, Order},
    say,
    status::{PLACE, State},
};
use crate::experiment::{Target, Targets};

/// Events that come together are answered together.
const TOGETHER: Duration = Duration::from_millis(10);
/// Where nothing is due the loop still looks around after this.
const SOMETIMES: Duration = Duration::from_secs(60);
/// So many pods are worked on at a time: each takes a thread.
const AT_ONCE: usize = 4;
/// A report that was taken comes back by the watch within this.
const SHOWN: Duration = Duration::from_millis(100);
/// The API server has this long to take a report.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Node<'a> {
    client: Client,
    settings: &'a Settings,
    chaoses: &'a Mirror<Chaos>,
    pods: &'a Mirror<Pod>,
    metrics: &'a Metrics,
    /// By uid.
    in_hand: BTreeMap<String, InHand>,
    jobs: JoinSet<(String, Duration, Result<Brought, String>)>,
    reports: JoinSet<(Id, Result<(), String>)>,
    /// Objects whose report is on its way, or has failed and waits until then.
    reporting: BTreeMap<Id, Option<Instant>>,
}

impl<'a> Node<'a> {
    pub fn new(
        client: Client,
        settings: &'a Settings,
        chaoses: &'a Mirror<Chaos>,
        pods: &'a Mirror<Pod>,
        metrics: &'a Metrics,
    ) -> Self {
        Self {
            client,
            settings,
            chaoses,
            pods,
            metrics,
            in_hand: BTreeMap::new(),
            jobs: JoinSet::new(),
            reports: JoinSet::new(),
            reporting: BTreeMap::new(),
        }
    }

    /// Works for ever. `changed` is what both mirrors ring. Without an API server it goes on with
    /// what is known: ends come, leases are renewed.
    pub async fn work(mut self, changed: &Bell) {
        let mut changes = changed.listen();
        loop {
            let wait = self.until_next();
            tokio::select! {
                () = changes.rung() => tokio::time::sleep(TOGETHER).await,
                () = tokio::time::sleep(wait) => {}
                Some(done) = self.jobs.join_next() => match done {
                    Ok((uid, took, outcome)) => {
                        self.note(&uid, took, outcome);
                        if self.jobs.is_empty() {
                            give_memory_back();
                        }
                    }
                    // Its pod stays busy, which the next start of the agent ends.
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
                Some(Ok((id, result))) = self.reports.join_next() => self.reported(id, result),
            }
            // Before that nobody knows what shall be there.
            if self.chaoses.is_ready() && self.pods.is_ready() {
                self.start_jobs();
                self.start_reports();
            }
        }
    }

    fn start_jobs(&mut self) {
        let pods: Vec<(Id, Pod)> = self.pods.with(|pods| {
            // Before it runs there is no namespace of it, afterwards none any more.
            let runs = |(_, pod): &(&Id, &Pod)| pod.phase == "Running";
            let one = |(id, pod): (&Id, &Pod)| (id.clone(), pod.clone());
            pods.iter().filter(runs).map(one).collect()
        });
        let there: BTreeSet<&String> = pods.iter().map(|(_, pod)| &pod.uid).collect();
        self.in_hand
            .retain(|uid, in_hand| there.contains(uid) || in_hand.is_busy());
        let mut orders = self.orders();
        for (id, pod) in pods {
            let orders = orders.remove(&id.to_string()).unwrap_or_default();
            let uid = pod.uid.clone();
            let in_hand = self.in_hand.entry(uid.clone()).or_default();
            if !in_hand.has_work(&orders, &pod.addresses) || self.jobs.len() >= AT_ONCE {
                continue;
            }
            in_hand.begin(id, &pod, orders.clone());
            let (lease, host_network) = (self.settings.lease, self.settings.allow_host_network);
            self.jobs.spawn_blocking(move || {
                let start = Instant::now();
                let outcome = pod::bring(&uid, &orders, lease, host_network);
                (uid, start.elapsed(), outcome)
            });
        }
        let place = |in_hand: &InHand| Some((in_hand.id.clone(), in_hand.with_faults()?));
        let places = self.in_hand.values().filter_map(place);
        self.metrics.set_pods(places.collect());
    }

    /// The faults that pods shall have, by their `NAMESPACE/NAME`.
    fn orders(&self) -> BTreeMap<String, Vec<Order>> {
        let now = SystemTime::now();
        let mut orders: BTreeMap<String, Vec<Order>> = BTreeMap::new();
        self.chaoses.with(|all| {
            let acts = |chaos: &&Chaos| {
                chaos.runs(now)
                    && chaos.has_finalizer()
                    && chaos.status.netchaos.state != State::Refused
            };
            for chaos in all.values().filter(acts) {
                let Some(order) = order(chaos) else {
                    continue;
                };
                for record in chaos.status.records(PLACE) {
                    let of_pod = orders.entry(record.id.clone()).or_default();
                    of_pod.push(order.clone());
                }
            }
        });
        orders
    }

    fn note(&mut self, uid: &str, took: Duration, outcome: Result<Brought, String>) {
        let Some(in_hand) = self.in_hand.get_mut(uid) else {
            return;
        };
        let failures: Vec<String> = match &outcome {
            Ok(brought) => {
                let failed = |(id, result): &(Id, Result<(), String>)| {
                    Some(format!("NetworkChaos {id}: {}", result.as_ref().err()?))
                };
                brought.outcomes.iter().filter_map(failed).collect()
            }
            Err(error) => vec![error.clone()],
        };
        for failure in in_hand.news(&failures) {
            say(&format!("pod {}: {failure}", in_hand.id));
        }
        self.metrics.worked(took, failures.is_empty());
        in_hand.finish(outcome, &now().stamp, self.settings.lease);
    }

    /// Says in the status of each object how it went in the pods of this node, where the status
    /// says something else.
    fn start_reports(&mut self) {
        let now = Instant::now();
        let waits = |pause: &Option<Instant>| pause.is_none_or(|until| now < until);
        self.reporting.retain(|_, pause| waits(pause));
        let reports: Vec<(Id, Map<String, Value>)> = self.chaoses.with(|all| {
            let report = |(id, chaos): (&Id, &Chaos)| {
                let report = self.report(chaos);
                (!report.is_empty() && !self.reporting.contains_key(id))
                    .then(|| (id.clone(), report))
            };
            all.iter().filter_map(report).collect()
        });
        for (id, pods) in reports {
            let api = api(&self.client, self.settings, &id);
            let nodes = json!({ &self.settings.node: {"pods": pods} });
            let body = Patch::Merge(json!({"status": {"netchaos": {"nodes": nodes}}}));
            self.reporting.insert(id.clone(), None);
            self.reports.spawn(async move {
                let params = PatchParams::default();
                let patch = api.patch_status(&id.name, &params, &body);
                let result = match tokio::time::timeout(PATIENCE, patch).await {
                    Ok(result) => result.map(drop).map_err(|error| error.to_string()),
                    Err(_) => Err("the API server does not answer".to_owned()),
                };
                (id, result)
            });
        }
    }

    /// What has to change in an object's status; null takes an entry away.
    fn report(&self, chaos: &Chaos) -> Map<String, Value> {
        let said = chaos.status.netchaos.nodes.get(&self.settings.node);
        let said = |pod: &str| said.and_then(|node| node.pods.get(pod));
        let mut report = Map::new();
        let mut known = BTreeSet::new();
        for in_hand in self.in_hand.values() {
            let pod = in_hand.id.to_string();
            let result = in_hand.result(&chaos.id, &chaos.uid);
            if let Some(mut result) = result.cloned() {
                let before = said(&pod);
                if let Some(before) = before.filter(|before| before.is_as(&result)) {
                    result.since.clone_from(&before.since);
                }
                if before != Some(&result) {
                    report.insert(pod.clone(), json!(result));
                }
                known.insert(pod);
            } else if !in_hand.is_known() {
                // An agent before this one may be right.
                known.insert(pod);
            }
        }
        let node = chaos.status.netchaos.nodes.get(&self.settings.node);
        let told = node.into_iter().flat_map(|node| node.pods.keys());
        let gone = told.filter(|pod| !known.contains(*pod) && !self.is_new(pod));
        report.extend(gone.map(|pod| (pod.clone(), Value::Null)));
        report
    }

    /// Whether nobody has looked at a pod of that name yet.
    fn is_new(&self, pod: &str) -> bool {
        let is_it = |(id, at): (&Id, &Pod)| {
            id.to_string() == pod && at.phase == "Running" && !self.in_hand.contains_key(&at.uid)
        };
        self.pods.with(|pods| pods.iter().any(is_it))
    }

    /// The watch brings what was written, and until then it is not written again; what could not be
    /// written is tried again later.
    fn reported(&mut self, id: Id, result: Result<(), String>) {
        let pause = match result {
            Ok(()) => SHOWN,
            Err(error) => {
                say(&format!(
                    "NetworkChaos {id}: its status cannot be written: {error}"
                ));
                PATIENCE / 10
            }
        };
        self.reporting.insert(id, Some(Instant::now() + pause));
    }

    fn until_next(&self) -> Duration {
        let now = Instant::now();
        let pods = self.in_hand.values().filter_map(InHand::again);
        let reports = self.reporting.values().filter_map(|pause| *pause);
        let next = pods.chain(reports).min();
        let next = next.map(|next| next.saturating_duration_since(now));
        let clock = SystemTime::now();
        let left = |chaos: &Chaos| chaos.left(clock).filter(|left| !left.is_zero());
        let end = self.chaoses.with(|all| all.values().filter_map(left).min());
        // With all hands busy nothing that is due can begin; the end of a job wakes the loop.
        let next = next.filter(|_| self.jobs.len() < AT_ONCE);
        [next, end]
            .into_iter()
            .flatten()
            .fold(SOMETIMES, Duration::min)
    }
}

/// What work in pods took for a moment is several times what the agent has at rest. musl's allocator
/// gives it back by itself.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time and by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The fault that an object asks for in each of its pods; none where there is nobody to be aimed
/// at.
fn order(chaos: &Chaos) -> Option<Order> {
    let asked = chaos.asked.as_ref().ok()?;
    let mut experiment = asked.experiment.clone();
    if let Targets::List(list) = &mut experiment.targets {
        let targets = chaos.status.netchaos.targets.iter();
        *list = targets
            .filter_map(|text| text.parse::<Target>().ok())
            .collect();
        if list.is_empty() {
            return None;
        }
    }
    // The end of the object is the end of the fault, however late it came to the pod.
    experiment.duration = None;
    Some(Order {
        chaos: chaos.id.clone(),
        uid: chaos.uid.clone(),
        experiment,
        ends: chaos.ends,
    })
}

/// Whether the targets of an order have to be looked up again.
pub(super) fn has_names(order: &Order) -> bool {
    match &order.experiment.targets {
        Targets::List(list) => aim::has_names(list),
        Targets::AllTraffic => false,
    }
}
