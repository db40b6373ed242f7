//! `metadata`: the name, the namespace, and the annotations that mean something.

use crate::experiment::{
    name::{check_name, check_namespace},
    problem::Invalid,
    yaml::{Field, Fields},
};

/// Chaos Mesh's annotation for a paused experiment.
pub(super) const PAUSE: &str = "experiment.chaos-mesh.org/pause";
/// Ours for a fault without targets; Chaos Mesh has no words for it.
pub(super) const ALL_TRAFFIC: &str = "netchaos.io/all-traffic";

/// What is not here is Kubernetes' own and says nothing about the fault.
const IGNORED: [&str; 12] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

pub(super) struct Metadata {
    /// None if it was refused.
    pub name: Option<String>,
    pub namespace: Option<String>,
    pub paused: bool,
    /// None if it was refused.
    pub all_traffic: Option<bool>,
    pub notes: Vec<String>,
}

impl Metadata {
    pub fn read(metadata: &Fields) -> Self {
        let name = metadata
            .require("name", "a name such as slow-db")
            .and_then(|field| {
                let name = field.string()?;
                field.accept(check_name(name))?;
                Some((field, name))
            });
        let namespace = metadata.get("namespace").and_then(|field| {
            let namespace = field.string().filter(|text| !text.is_empty())?;
            field.accept(check_namespace(namespace))?;
            Some(namespace.to_owned())
        });
        if let Some((field, name)) = &name {
            field.claim_name(name, namespace.as_deref());
        }
        let mut read = Self {
            name: name.map(|(_, name)| name.to_owned()),
            namespace,
            paused: false,
            all_traffic: Some(false),
            notes: Vec::new(),
        };
        if let Some(annotations) = metadata.get("annotations") {
            read.annotations(&annotations);
        }
        if let Some(labels) = metadata.get("labels") {
            labels.string_map();
        }
        metadata.ignore(&IGNORED);
        metadata.finish();
        read
    }

    fn annotations(&mut self, annotations: &Field) {
        let Some(annotations) = annotations.string_map() else {
            return;
        };
        if let Some(text) = annotations.get(PAUSE).and_then(Field::shown) {
            self.paused = text == "true";
            if !matches!(text, "true" | "false" | "") {
                self.notes.push(format!(
                    "the annotation {PAUSE} is {text:?}; only \"true\" pauses, as in Chaos Mesh"
                ));
            }
        }
        if let Some(field) = annotations.get(ALL_TRAFFIC) {
            self.all_traffic = match field.shown() {
                Some("true") => Some(true),
                Some("false") => Some(false),
                text => field.accept(Err(Invalid::value(
                    text.unwrap_or_default(),
                    "is neither yes nor no",
                    "\"true\" or \"false\"",
                ))),
            };
        }
    }
}
