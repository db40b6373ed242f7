//! Chaos Mesh's `NetworkChaos`, with its names, forms and defaults (its v1alpha1 CRD and webhooks).
//!
//! What Chaos Mesh refuses is refused here, but for what its data path cannot do and ours can.
//! Beyond that, ranges are checked, IPv6 is read, numbers are compared as numbers (its "0.5s" does
//! nothing), and a missing target is never all traffic. Nothing is dropped in silence.

mod faults;
mod metadata;
mod selection;
mod values;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::selection::{Expression, Mode, NOT_USED, Operator, Pods, Selection, Selector};
use self::{
    faults::{Action, Faults},
    metadata::Metadata,
    values::string,
};
use super::{
    Direction, Experiment, Fault, Protocol, Rule, Targets,
    manifest::{Document, Reading, read_targets},
    name::check_device,
    problem::Invalid,
    target::{ALL_TRAFFIC_IN_WORDS, Target, ZeroPort},
    units,
    yaml::{Field, Fields},
};

pub(super) const API_VERSION: &str = "chaos-mesh.org/v1alpha1";
pub(super) const KIND: &str = "NetworkChaos";

/// Reads a manifest whose `apiVersion` and `kind` have been read already. None if it has problems.
///
/// Without a cluster nobody knows the addresses of pods: as targets they are refused unless the
/// caller can do without.
pub(super) fn read(fields: &Fields, reading: Reading) -> Option<Document> {
    let metadata = fields
        .require("metadata", "a mapping with the field name")
        .and_then(|field| field.fields())
        .map(|fields| Metadata::read(&fields));
    let spec_fields = fields
        .require(
            "spec",
            "a mapping with the fields action, mode and selector",
        )
        .and_then(|field| field.fields());
    fields.ignore(&["status"]);
    fields.finish();
    let all_traffic = metadata
        .as_ref()
        .map_or(Some(false), |metadata| metadata.all_traffic);
    let spec_fields = spec_fields?;
    let spec = Spec::read(&spec_fields, all_traffic, reading.strict_compat);
    if spec_fields.has("target") && !reading.keeps_pods {
        spec_fields.refuse_at(&["target"], pods_need_a_cluster());
    }
    let (metadata, spec) = (metadata?, spec?);
    let experiment = Experiment {
        name: metadata.name?,
        namespace: metadata.namespace,
        device: spec.device,
        direction: spec.direction,
        fault: spec.faults.fault,
        targets: spec.targets,
        except: Vec::new(),
        rule: spec.rule,
        duration: spec.duration,
        paused: metadata.paused,
    };
    let mut notes = metadata.notes;
    notes.extend(spec.faults.notes);
    notes.extend(spec.notes);
    notes.extend(experiment.notes());
    Some(Document {
        experiment,
        notes,
        pods: Some(spec.pods),
    })
}

fn pods_need_a_cluster() -> Invalid {
    let instead = "externalTargets with the addresses of the pods (kubectl get pods -o wide shows \
         them) in the place of target";
    let message = "means pods, whose addresses are known only inside a cluster";
    Invalid::field(message, Some(instead.to_owned()))
}

struct Spec {
    faults: Faults,
    device: Option<String>,
    direction: Direction,
    /// External ones alone; none where there are only pods.
    targets: Targets,
    rule: Rule,
    pods: Pods,
    duration: Option<Duration>,
    notes: Vec<String>,
}

impl Spec {
    fn read(spec: &Fields, all_traffic: Option<bool>, strict_compat: bool) -> Option<Self> {
        let selection = selection::read(spec);
        let faults = faults::read(spec);
        let direction = spec
            .get("direction")
            .map_or(Some(Direction::To), |field| string(&field, read_direction));
        let targets = read_external_targets(spec, all_traffic);
        let target = spec.get("target").map(|field| read_target(&field));
        let device = spec.get("device").and_then(|field| read_device(&field));
        let target_device = spec
            .get("targetDevice")
            .and_then(|field| read_device(&field));
        let duration = spec.get("duration").and_then(|field| read_duration(&field));
        refuse_remote_cluster(spec);
        spec.finish();
        let mut notes = vec![NOT_USED.to_owned()];
        if target_device.is_some() && target.is_none() {
            notes
                .push("targetDevice is the device of target's pods, and there is no target".into());
        }
        let mut read = Self {
            faults: faults?,
            device,
            direction: direction?,
            targets: targets?,
            rule: Rule::default(),
            pods: Pods {
                selection: selection?,
                target: target.map_or(Some(None), |target| target.map(Some))?,
                target_device,
            },
            duration,
            notes,
        };
        let is_right = read.judge_direction(spec, strict_compat);
        if strict_compat {
            read.be_strict();
        }
        is_right.then_some(read)
    }

    /// Chaos Mesh shapes only what leaves a pod, so what comes from external targets is beyond it.
    /// Gives back whether the direction can stay.
    fn judge_direction(&mut self, spec: &Fields, strict_compat: bool) -> bool {
        let direction = self.direction;
        if direction == Direction::To {
            return true;
        }
        if self.faults.action != Action::Partition {
            let without_target = self.pods.target.is_none();
            if !without_target && !spec.has("externalTargets") {
                return true;
            }
            if strict_compat {
                let message = "is refused by Chaos Mesh with externalTargets or without target, for \
                     all actions but partition";
                let allowed = "to, or no --strict-compat";
                let invalid = Invalid::value(direction.to_string(), message, allowed);
                spec.refuse_at(&["direction"], invalid);
                return false;
            }
            self.notes.push(format!(
                "direction {direction} works here on what comes in from the targets; Chaos Mesh \
                 refuses it for them"
            ));
        } else if self.targets.have_ports() {
            self.notes.push(format!(
                "direction {direction} takes the ports of externalTargets for the peers', also on \
                 what comes in; Chaos Mesh takes them for the pod's own there"
            ));
        }
        true
    }

    /// What netchaos does better, as Chaos Mesh does it.
    fn be_strict(&mut self) {
        self.faults.fault = Fault {
            strict_compat: true,
            ..self.faults.fault.clone()
        };
        // A port is looked up in an ipset of the type hash:net,port, for which it is TCP's.
        if let Targets::List(targets) = &self.targets
            && self.targets.have_ports()
        {
            if targets.iter().all(|target| !target.ports.are_any()) {
                self.rule.protocols = vec![Protocol::TCP];
            } else {
                self.notes.push(
                    "the ports of externalTargets are those of TCP, UDP and SCTP, although Chaos \
                     Mesh knows only TCP's, because there are targets without ports beside them"
                        .into(),
                );
            }
        }
    }
}

impl Targets {
    fn have_ports(&self) -> bool {
        match self {
            Self::AllTraffic => false,
            Self::List(targets) => targets.iter().any(|target| !target.ports.are_any()),
        }
    }
}

fn read_direction(text: &str) -> Result<Direction, Invalid> {
    match text {
        "" => Ok(Direction::To),
        _ => text.parse(),
    }
}

/// Pods as targets: `selector`, `mode` and `value`, as for the pods of the fault.
fn read_target(field: &Field) -> Option<Selection> {
    let fields = field.fields()?;
    let selection = selection::read(&fields);
    fields.finish();
    selection
}

/// Kubernetes' tools write out empty strings for what is not set.
fn refuse_remote_cluster(spec: &Fields) {
    if let Some(field) = spec.get("remoteCluster")
        && let Some(text) = field.string()
        && !text.is_empty()
    {
        let message = "is another cluster, and netchaos works in the one that it is in";
        field.refuse(Invalid::value(text, message, "no remoteCluster"));
    }
}

/// An empty duration is none, as in Chaos Mesh.
fn read_duration(field: &Field) -> Option<Duration> {
    match field.string()? {
        "" => None,
        text => field.accept(units::parse_lifetime(text)),
    }
}

/// A device as `ip link` prints it: what follows `@` is its lower device. An empty one is none.
fn read_device(field: &Field) -> Option<String> {
    match field.string()? {
        "" => None,
        text => {
            let device = text.split('@').next().unwrap_or(text);
            field.accept(check_device(device).map_err(|invalid| invalid.within(text)))?;
            Some(device.to_owned())
        }
    }
}

/// `all_traffic` is none where it was asked for in a way that was refused already.
fn read_external_targets(spec: &Fields, all_traffic: Option<bool>) -> Option<Targets> {
    let field = spec.get("externalTargets");
    let targets = match &field {
        Some(field) => read_targets(field, |text| Target::parse(text, ZeroPort::AnyPort))?,
        None => Vec::new(),
    };
    let has_some = !targets.is_empty() || spec.has("target");
    let allowed = || Some(format!("one or more targets; {ALL_TRAFFIC_IN_WORDS}"));
    match (has_some, all_traffic?) {
        (true, false) => Some(Targets::List(targets)),
        (false, true) => Some(Targets::AllTraffic),
        (true, true) => {
            let message = "targets and all traffic exclude each other";
            spec.refuse_at(&["externalTargets"], Invalid::field(message, allowed()));
            None
        }
        (false, false) => {
            let message = "no target is given, which is all traffic in Chaos Mesh";
            spec.refuse_at(&["externalTargets"], Invalid::field(message, allowed()));
            None
        }
    }
}
