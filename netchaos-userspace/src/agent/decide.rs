//! What the leader makes of an object: which pods, aimed at whom, and what its status says. Pure,
//! but for the dice it is given: objects and cluster in, the next step out.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use rand::Rng;

use super::{
    aim,
    chaos::{Asked, Chaos},
    cluster::{Cluster, Id},
    report,
    select::{choose, fitting},
    status::{Desired, PLACE, Record, State, Status, TARGET},
};
use crate::experiment::{Mode, Selection, Targets};

#[cfg(test)]
mod tests;

/// A node's clock may be so far behind the API server's.
const CLOCKS: Duration = Duration::from_secs(2);

/// What the status says of a fault for everybody.
pub const ALL_TRAFFIC: &str = "all traffic";

/// The one thing that has to be done next for an object.
#[derive(Debug, PartialEq)]
pub enum Step {
    Nothing,
    /// Before anything is put anywhere: it has to be kept until that is gone.
    AddFinalizer,
    RemoveFinalizer,
    Write(Box<Status>, Vec<Tiding>),
}

/// What is worth an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiding {
    pub is_warning: bool,
    pub reason: &'static str,
    pub note: String,
}

/// When it is, in both forms that are needed.
#[derive(Clone, Debug)]
pub struct Now {
    pub time: SystemTime,
    /// RFC 3339.
    pub stamp: String,
}

/// What is to be done for an object. `obstacle` is why netchaos keeps away from all of them.
pub fn decide(
    chaos: &Chaos,
    cluster: &Cluster,
    obstacle: Option<&str>,
    now: &Now,
    dice: &mut impl Rng,
) -> Step {
    if chaos.is_deleted {
        if !chaos.has_finalizer() {
            return Step::Nothing;
        }
        if chaos.is_forced || is_recovered(chaos, cluster, now.time) {
            return Step::RemoveFinalizer;
        }
    } else if chaos.asked.is_ok() && obstacle.is_none() && !chaos.has_finalizer() {
        return Step::AddFinalizer;
    }
    let mut draft = Draft::new(chaos);
    draft.judge(chaos, cluster, obstacle, now.time, dice);
    let (status, tidings) = report::told(draft, chaos, cluster, now);
    if status == chaos.status {
        Step::Nothing
    } else {
        Step::Write(Box::new(status), tidings)
    }
}

/// Whether no pod has the fault any more, as far as anybody can still have it.
fn is_recovered(chaos: &Chaos, cluster: &Cluster, now: SystemTime) -> bool {
    let is_left = |node: &str, pod: &str, uid: &str| {
        let there = cluster.pods.iter().find(|(id, _)| id.to_string() == pod);
        let is_it = there.is_some_and(|(_, there)| there.uid == uid && there.lives());
        is_it && cluster.node(node).is_some()
    };
    let nodes = chaos.status.netchaos.nodes.iter();
    let mut pods = nodes.flat_map(|(node, on)| on.pods.iter().map(move |pod| (node, pod)));
    chaos.has_ended(now - CLOCKS)
        || !pods.any(|(node, (pod, in_pod))| in_pod.injected && is_left(node, pod, &in_pod.uid))
}

/// The status in the making.
pub(super) struct Draft {
    pub desired: Desired,
    /// Where the object itself asks for nothing to be done, or cannot be followed.
    pub rest: Option<State>,
    pub message: String,
    pub places: Vec<Id>,
    pub peers: Vec<Id>,
    pub targets: Vec<String>,
    pub chosen: Vec<String>,
}

impl Draft {
    fn new(chaos: &Chaos) -> Self {
        let ids = |key| chaos.status.records(key).filter_map(id_of).collect();
        Self {
            desired: Desired::Stop,
            rest: None,
            message: String::new(),
            places: ids(PLACE),
            peers: ids(TARGET),
            targets: chaos.status.netchaos.targets.clone(),
            chosen: chaos.status.netchaos.chosen.clone(),
        }
    }

    fn judge(
        &mut self,
        chaos: &Chaos,
        cluster: &Cluster,
        obstacle: Option<&str>,
        now: SystemTime,
        dice: &mut impl Rng,
    ) {
        match (&chaos.asked, obstacle) {
            _ if chaos.is_deleted => self.rest = Some(State::Recovering),
            (Err(wrong), _) => self.refuse(wrong.clone()),
            (Ok(_), Some(obstacle)) => self.refuse(obstacle.to_owned()),
            _ if chaos.has_ended(now) => self.rest = Some(State::Ended),
            _ if chaos.is_paused => self.rest = Some(State::Paused),
            (Ok(asked), None) => {
                self.desired = Desired::Run;
                if let Err(wrong) = self.select(chaos, asked, cluster, dice) {
                    self.desired = Desired::Stop;
                    self.refuse(wrong);
                }
            }
        }
    }

    fn refuse(&mut self, message: String) {
        self.rest = Some(State::Refused);
        self.message = message;
    }

    fn select(
        &mut self,
        chaos: &Chaos,
        asked: &Asked,
        cluster: &Cluster,
        dice: &mut impl Rng,
    ) -> Result<(), String> {
        let namespace = &chaos.id.namespace;
        let selection = &asked.pods.selection;
        let places = std::mem::take(&mut self.places);
        self.places = self.pick(PLACE, selection, places, namespace, cluster, dice)?;
        let peers = std::mem::take(&mut self.peers);
        if let Some(target) = &asked.pods.target {
            self.peers = self.pick(TARGET, target, peers, namespace, cluster, dice)?;
        }
        self.targets = match &asked.experiment.targets {
            Targets::AllTraffic => vec![ALL_TRAFFIC.to_owned()],
            Targets::List(named) => {
                let peers: BTreeSet<&Id> = self.peers.iter().collect();
                let targets = aim::targets(named, namespace, &peers, cluster);
                targets.iter().map(ToString::to_string).collect()
            }
        };
        if self.places.is_empty() {
            self.rest = Some(State::Waiting);
            self.message = "no pod is selected: none fits the selector".to_owned();
        } else if self.targets.is_empty() {
            self.rest = Some(State::Waiting);
            self.message = "no target has been selected: no pod fits target's selector, and no \
                            service that is named has an address"
                .to_owned();
        }
        Ok(())
    }

    /// All pods that fit, as they come and go, or those that were chosen once.
    fn pick(
        &mut self,
        key: &str,
        selection: &Selection,
        before: Vec<Id>,
        namespace: &str,
        cluster: &Cluster,
        dice: &mut impl Rng,
    ) -> Result<Vec<Id>, String> {
        if selection.mode != Mode::All && self.chosen.iter().any(|chosen| chosen == key) {
            return Ok(before);
        }
        let found = fitting(&selection.selector, namespace, cluster)?;
        if !found.is_empty() && selection.mode != Mode::All {
            self.chosen.push(key.to_owned());
        }
        let chosen = choose(selection.mode, &found, dice);
        Ok(chosen.into_iter().cloned().collect())
    }
}

pub(super) fn id_of(record: &Record) -> Option<Id> {
    let (namespace, name) = record.id.split_once('/')?;
    Some(Id {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}
