//! The status of a `NetworkChaos`: Chaos Mesh's fields, which its users and scripts know, and
//! `netchaos`, which has what ours need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// [`Record::selector_key`] of the pods that a fault is put on, and of those it is aimed at.
pub const PLACE: &str = ".";
pub const TARGET: &str = ".Target";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub conditions: Vec<Condition>,
    pub experiment: Progress,
    pub netchaos: Own,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    /// "True" or "False".
    pub status: String,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    pub desired_phase: Desired,
    pub container_records: Vec<Record>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desired {
    #[default]
    Run,
    Stop,
}

/// A pod that was chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// `NAMESPACE/NAME`.
    pub id: String,
    pub selector_key: String,
    pub phase: Phase,
    pub injected_count: u64,
    pub recovered_count: u64,
    /// The latest ones.
    pub events: Vec<RecordEvent>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    #[serde(rename = "Not Injected")]
    NotInjected,
    Injected,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordEvent {
    /// Succeeded or Failed.
    #[serde(rename = "type")]
    pub kind: String,
    /// Apply or Recover.
    pub operation: String,
    pub message: String,
    pub timestamp: String,
}

/// What netchaos adds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Own {
    pub state: State,
    /// "2/3" pods.
    pub injected: String,
    /// Why not, in one sentence.
    pub message: String,
    /// Whom the fault is aimed at now, as the command line writes targets.
    pub targets: Vec<String>,
    /// Of which selections the choice has been made once and for all.
    pub chosen: Vec<String>,
    /// What each node's agent says of its pods. Written by that agent, each its own key.
    pub nodes: BTreeMap<String, OnNode>,
}

/// One word for `kubectl get`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum State {
    /// There is no pod to be injected, or none to be aimed at.
    #[default]
    Waiting,
    Injecting,
    Injected,
    /// No pod can be injected.
    Failed,
    /// Some pods cannot be injected.
    Partly,
    Paused,
    Ended,
    Recovering,
    /// What was asked for cannot be done.
    Refused,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OnNode {
    /// By `NAMESPACE/NAME`.
    pub pods: BTreeMap<String, InPod>,
}

/// A fault in a pod, or why it is not there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InPod {
    pub uid: String,
    pub injected: bool,
    pub message: String,
    /// When it became so.
    pub since: String,
}

impl Status {
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }

    pub fn is(&self, kind: &str) -> bool {
        self.condition(kind)
            .is_some_and(|condition| condition.status == "True")
    }

    pub fn records(&self, selector_key: &str) -> impl Iterator<Item = &Record> {
        let records = self.experiment.container_records.iter();
        records.filter(move |record| record.selector_key == selector_key)
    }

    /// What the node's agent says of a pod.
    pub fn in_pod(&self, node: &str, pod: &str) -> Option<&InPod> {
        self.netchaos.nodes.get(node)?.pods.get(pod)
    }
}

impl InPod {
    /// Whether both say the same, but for since when.
    pub fn is_as(&self, other: &Self) -> bool {
        let since = other.since.clone();
        let this = Self {
            since,
            ..self.clone()
        };
        this == *other
    }
}
