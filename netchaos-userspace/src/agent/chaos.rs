//! A `NetworkChaos` object as the agent sees it.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::{cluster::Id, status::Status};
use crate::experiment::{
    Experiment, NOT_USED, Pods,
    manifest::{self, Reading},
};

/// The group of Chaos Mesh, whose manifests are read whatever the group is called here.
pub const CHAOS_MESH: &str = "chaos-mesh.org";
/// Keeps an object until its faults are gone.
pub const FINALIZER: &str = "netchaos.io/recover";
const PAUSE: &str = "experiment.chaos-mesh.org/pause";
const ALL_TRAFFIC: &str = "netchaos.io/all-traffic";
/// Chaos Mesh's way to let an object go whatever has become of its faults.
const FORCED: &str = "chaos-mesh.chaos-mesh.org/cleanFinalizer";

#[derive(Clone, Debug)]
pub struct Chaos {
    pub id: Id,
    pub uid: String,
    pub resource_version: String,
    pub finalizers: Vec<String>,
    pub is_deleted: bool,
    pub is_forced: bool,
    pub is_paused: bool,
    /// What is asked for, or what is wrong with it.
    pub asked: Result<Asked, String>,
    /// When the fault is over, by the clock of the API server.
    pub ends: Option<SystemTime>,
    pub status: Status,
}

#[derive(Clone, Debug)]
pub struct Asked {
    /// Not paused; its targets are the external ones alone.
    pub experiment: Experiment,
    pub pods: Pods,
    /// What is legal and still worth a word.
    pub notes: Vec<String>,
}

impl Chaos {
    pub fn read(object: DynamicObject) -> Option<Self> {
        let DynamicObject { metadata, data, .. } = object;
        let id = Id {
            namespace: metadata.namespace?,
            name: metadata.name?,
        };
        let created = metadata
            .creation_timestamp
            .map_or_else(SystemTime::now, |time| SystemTime::from(time.0));
        let annotations = metadata.annotations.unwrap_or_default();
        let annotation = |key: &str| annotations.get(key).map(String::as_str);
        let status = data.get("status").cloned().unwrap_or_default();
        let asked = ask(&id, &annotations, data.get("spec").cloned());
        let duration = asked
            .as_ref()
            .ok()
            .and_then(|asked| asked.experiment.duration);
        Some(Self {
            uid: metadata.uid?,
            resource_version: metadata.resource_version.unwrap_or_default(),
            finalizers: metadata.finalizers.unwrap_or_default(),
            is_deleted: metadata.deletion_timestamp.is_some(),
            is_forced: annotation(FORCED) == Some("forced"),
            is_paused: annotation(PAUSE) == Some("true"),
            ends: duration.map(|duration| created + duration),
            asked,
            // Another program's status is none of ours.
            status: serde_json::from_value(status).unwrap_or_default(),
            id,
        })
    }

    pub fn has_finalizer(&self) -> bool {
        self.finalizers.iter().any(|name| name == FINALIZER)
    }

    pub fn has_ended(&self, now: SystemTime) -> bool {
        self.ends.is_some_and(|end| end <= now)
    }

    /// Whether its fault shall be there, as far as the object itself says.
    pub fn runs(&self, now: SystemTime) -> bool {
        !self.is_deleted && !self.is_paused && !self.has_ended(now) && self.asked.is_ok()
    }

    /// How long its fault lasts from now on; none until it is taken away.
    pub fn left(&self, now: SystemTime) -> Option<Duration> {
        let left = |end: SystemTime| end.duration_since(now).unwrap_or_default();
        self.ends.map(left)
    }
}

/// Reads what the manifest of the object says, by the parser of `netchaos apply`.
fn ask(
    id: &Id,
    annotations: &BTreeMap<String, String>,
    spec: Option<Value>,
) -> Result<Asked, String> {
    // What else stands there is other programs', and can be long.
    let is_known = |key: &&String| [PAUSE, ALL_TRAFFIC].contains(&key.as_str());
    let annotations: BTreeMap<_, _> = annotations
        .iter()
        .filter(|(key, _)| is_known(key))
        .collect();
    let text = json!({
        "apiVersion": format!("{CHAOS_MESH}/v1alpha1"),
        "kind": "NetworkChaos",
        "metadata": {"name": id.name, "namespace": id.namespace, "annotations": annotations},
        "spec": spec,
    })
    .to_string();
    let reading = Reading {
        strict_compat: false,
        keeps_pods: true,
    };
    let documents = manifest::read("", &text, reading).map_err(|problems| problems.to_string())?;
    let [document] = <[_; 1]>::try_from(documents).map_err(|_| "is not one object".to_owned())?;
    let mut experiment = document.experiment;
    experiment.paused = false;
    let pods = document.pods.ok_or("is no NetworkChaos")?;
    let mut notes = document.notes;
    notes.retain(|note| note != NOT_USED);
    if pods.target_device.is_some() {
        let note =
            "targetDevice is not used: in every direction the fault is put on selector's pods";
        notes.push(note.to_owned());
    }
    Ok(Asked {
        experiment,
        pods,
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Chaos {
        Chaos::read(serde_json::from_value(value).unwrap()).unwrap()
    }

    fn slow() -> Value {
        json!({
            "apiVersion": "example.org/v1alpha1",
            "kind": "NetworkChaos",
            "metadata": {
                "name": "slow", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            },
            "spec": {
                "action": "delay", "mode": "all", "duration": "60s",
                "selector": {"labelSelectors": {"app": "web"}},
                "externalTargets": ["10.0.0.0/8"],
                "delay": {"latency": "10ms"},
            },
        })
    }

    #[test]
    fn an_object_of_any_group_is_read_by_the_parser_of_manifests() {
        let chaos = object(slow());
        let asked = chaos.asked.as_ref().unwrap();
        assert_eq!(asked.experiment.name, "slow");
        assert_eq!(asked.experiment.namespace.as_deref(), Some("shop"));
        let end = chaos.ends.unwrap();
        assert!(chaos.runs(end - Duration::from_secs(1)));
        assert!(chaos.has_ended(end));
        assert_eq!(
            chaos.left(end + Duration::from_secs(5)),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn what_is_wrong_is_kept_in_the_words_of_the_parser() {
        let mut value = slow();
        value["spec"]["mode"] = json!("some");
        let wrong = object(value).asked.unwrap_err();
        assert!(
            wrong.contains("mode") && wrong.contains("fixed-percent"),
            "{wrong}"
        );
    }

    #[test]
    fn a_paused_or_deleted_object_does_not_run() {
        for (field, value) in [
            ("annotations", json!({PAUSE: "true"})),
            ("deletionTimestamp", json!("2026-01-01T00:00:10Z")),
        ] {
            let mut paused = slow();
            paused["metadata"][field] = value;
            let chaos = object(paused);
            assert!(!chaos.runs(chaos.ends.unwrap() - Duration::from_secs(30)));
        }
    }
}
