//! What the agent has done in a pod, and when there is something to do again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    cluster::{Id, Pod},
    node::has_names,
    pod::{Brought, Order},
    status::InPod,
};
use crate::place::Place;

/// A pod with faults is looked at again after this, in case that somebody has taken one away.
const SOMETIMES: Duration = Duration::from_secs(300);
/// A pod with targets whose names have to be looked up again.
const NAMES: Duration = Duration::from_secs(30);
/// What failed is tried again after one second, two, four, and at last this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct InHand {
    pub id: Id,
    uid: String,
    /// What was ordered when work began the last time, and the addresses that the pod had: with a
    /// new sandbox it gets new ones. None if it never began: what an agent before this one has left
    /// there is not known.
    asked: Option<(Vec<Order>, Vec<IpAddr>)>,
    is_known: bool,
    /// Where its faults were found or put the last time.
    place: Option<Arc<Place>>,
    is_busy: bool,
    again: Option<Instant>,
    failures: u32,
    /// What was said of failures.
    said: BTreeSet<String>,
    /// By object: its uid, and what became of its fault.
    results: BTreeMap<Id, (String, InPod)>,
}

impl InHand {
    pub const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Whether it has been worked on to an end once.
    pub const fn is_known(&self) -> bool {
        self.is_known
    }

    /// Where it is, if it has faults.
    pub fn with_faults(&self) -> Option<Arc<Place>> {
        let has_faults = self.results.values().any(|(_, result)| result.injected);
        self.place.clone().filter(|_| has_faults)
    }

    /// When it is due again; none while it is worked on.
    pub fn again(&self) -> Option<Instant> {
        self.again.filter(|_| !self.is_busy)
    }

    /// Whether orders have changed, or something is due.
    pub fn has_work(&self, orders: &[Order], addresses: &[IpAddr]) -> bool {
        let is_due = self.again.is_some_and(|again| again <= Instant::now());
        let is_as_asked =
            |(before, at): &(Vec<Order>, Vec<IpAddr>)| before == orders && at == addresses;
        !self.is_busy && (is_due || !self.asked.as_ref().is_some_and(is_as_asked))
    }

    pub fn begin(&mut self, id: Id, pod: &Pod, orders: Vec<Order>) {
        self.id = id;
        self.uid.clone_from(&pod.uid);
        self.is_busy = true;
        let asked = Some((orders, pod.addresses.clone()));
        if self.asked != asked {
            self.failures = 0;
        }
        self.asked = asked;
    }

    /// Those of the failures that were not among the last ones.
    pub fn news(&mut self, failures: &[String]) -> Vec<String> {
        let before = std::mem::replace(&mut self.said, failures.iter().cloned().collect());
        self.said.difference(&before).cloned().collect()
    }

    /// Takes in how it went. `stamp` is now.
    pub fn finish(&mut self, outcome: Result<Brought, String>, stamp: &str, lease: Duration) {
        self.is_busy = false;
        let (orders, _) = self.asked.clone().unwrap_or_default();
        let has_failed = match outcome {
            Ok(Brought { outcomes, place }) => {
                self.is_known = true;
                self.place = place.map(Arc::new);
                self.all_done(&orders, outcomes, stamp)
            }
            Err(error) => {
                for order in &orders {
                    // It may have been there before, and is then.
                    let injected = self
                        .result(&order.chaos, &order.uid)
                        .is_some_and(|result| result.injected);
                    self.set(order, injected, &error, stamp);
                }
                true
            }
        };
        self.failures = if has_failed { self.failures + 1 } else { 0 };
        let pause = if has_failed {
            let doubled = Duration::from_secs(1 << (self.failures - 1).min(5));
            Some(doubled.min(LONGEST_PAUSE))
        } else if orders.is_empty() {
            None
        } else if orders.iter().any(has_names) {
            Some(NAMES)
        } else {
            // Twice before the engine renews it.
            Some(SOMETIMES.min(lease / 6))
        };
        self.again = pause.map(|pause| Instant::now() + pause);
    }

    /// Gives back whether one of them failed.
    fn all_done(
        &mut self,
        orders: &[Order],
        outcomes: Vec<(Id, Result<(), String>)>,
        stamp: &str,
    ) -> bool {
        let mut has_failed = false;
        for (_, result) in self.results.values_mut() {
            // Of those that are ordered the next lines tell.
            result.injected = false;
            result.message.clear();
        }
        for (order, (_, outcome)) in orders.iter().zip(outcomes) {
            has_failed |= outcome.is_err();
            let message = outcome.as_ref().err().cloned().unwrap_or_default();
            self.set(order, outcome.is_ok(), &message, stamp);
        }
        has_failed
    }

    fn set(&mut self, order: &Order, injected: bool, message: &str, stamp: &str) {
        let result = InPod {
            uid: self.uid.clone(),
            injected,
            message: message.to_owned(),
            since: stamp.to_owned(),
        };
        let entry = (order.uid.clone(), result);
        self.results.insert(order.chaos.clone(), entry);
    }

    /// What became of the fault of an object.
    pub fn result(&self, chaos: &Id, uid: &str) -> Option<&InPod> {
        let (of, result) = self.results.get(chaos)?;
        (of == uid).then_some(result)
    }
}
