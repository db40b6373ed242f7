//! Chaos Mesh's `NetworkChaos`, with its names, forms and defaults (its v1alpha1 CRD and webhooks).
//!
//! What Chaos Mesh refuses is refused here. Beyond that, ranges are checked, IPv6 is read, numbers
//! are compared as numbers (its "0.5s" does nothing), and a missing target is never all traffic.
//! What is valid there and not yet supported is an error; nothing is dropped in silence.

mod metadata;
mod selection;

#[cfg(test)]
mod tests;

use std::time::Duration;

use self::metadata::Metadata;
use super::{
    Delay, Direction, Experiment, Fault, Percent, Rule, Targets,
    manifest::{Document, read_targets},
    name::check_device,
    problem::Invalid,
    target::{ALL_TRAFFIC_IN_WORDS, Target, ZeroPort},
    units,
    yaml::{Field, Fields},
};

pub(super) const API_VERSION: &str = "chaos-mesh.org/v1alpha1";
pub(super) const KIND: &str = "NetworkChaos";

/// Reads a manifest whose `apiVersion` and `kind` have been read already. None if it has problems.
pub(super) fn read(fields: &Fields) -> Option<Document> {
    let metadata = fields
        .require("metadata", "a mapping with the field name")
        .and_then(|field| field.fields())
        .map(|fields| Metadata::read(&fields));
    let spec = fields
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
    let spec = Spec::read(&spec?, all_traffic);
    let (metadata, spec) = (metadata?, spec?);
    let experiment = Experiment {
        name: metadata.name?,
        namespace: metadata.namespace,
        device: spec.device,
        direction: spec.direction,
        fault: Fault {
            delay: Some(spec.delay),
            ..Fault::default()
        },
        targets: spec.targets,
        except: Vec::new(),
        rule: Rule::default(),
        duration: spec.duration,
        paused: metadata.paused,
    };
    let mut notes = metadata.notes;
    notes.extend(spec.notes);
    notes.extend(experiment.notes());
    Some(Document { experiment, notes })
}

struct Spec {
    device: Option<String>,
    direction: Direction,
    delay: Delay,
    targets: Targets,
    duration: Option<Duration>,
    notes: Vec<String>,
}

impl Spec {
    fn read(spec: &Fields, all_traffic: Option<bool>) -> Option<Self> {
        selection::read(spec);
        let mut notes = vec![selection::NOTE.to_owned()];
        let (delay, note) = read_action_and_delay(spec);
        notes.extend(note);
        let direction = spec
            .get("direction")
            .map_or(Some(Direction::To), |field| string(&field, read_direction));
        let targets = read_external_targets(spec, all_traffic);
        let device = spec.get("device").and_then(|field| read_device(&field));
        let duration = spec.get("duration").and_then(|field| read_duration(&field));
        for (name, instead) in UNSUPPORTED {
            if let Some(field) = spec.get(name) {
                // Kubernetes tools write out empty strings for what is not set.
                if field.shown() != Some("") {
                    unsupported(&field, instead);
                }
            }
        }
        spec.finish();
        Some(Self {
            device,
            direction: direction?,
            delay: delay?,
            targets: targets?,
            duration,
            notes,
        })
    }
}

/// Faults beside `delay` that go into the same netem, whatever the action is called.
const OTHER_FAULTS: [&str; 4] = ["loss", "duplicate", "corrupt", "rate"];

/// Further fields that Chaos Mesh knows and netchaos does not yet, and what there is instead.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("bandwidth", "delay"),
    ("target", "externalTargets"),
    ("targetDevice", "device"),
    ("remoteCluster", "none"),
    ("partitionBehavior", "none"),
];

const NOT_YET: &str = "is valid in Chaos Mesh and not supported by netchaos yet";

fn unsupported(field: &Field, instead: &str) {
    field.refuse(Invalid {
        value: field.shown().map(str::to_owned),
        message: NOT_YET.to_owned(),
        allowed: Some(instead.to_owned()),
    });
}

/// Reads a string, which Kubernetes does not take numbers for.
fn string<T>(field: &Field, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
    field.accept(parse(field.string()?))
}

/// Chaos Mesh puts all faults that are present into one netem and ignores the name of the action,
/// so `action: loss` with only `delay` set delays. That comes back with a note.
fn read_action_and_delay(spec: &Fields) -> (Option<Delay>, Option<String>) {
    let action = spec.require("action", "delay");
    let netem = action.as_ref().and_then(read_action);
    let delay = spec.get("delay");
    let mut others = false;
    for name in OTHER_FAULTS {
        if let Some(field) = spec.get(name) {
            others = true;
            unsupported(&field, "delay");
        }
    }
    // A refused action may need no delay.
    if delay.is_none() && !others && (netem.is_some() || action.is_none()) {
        spec.missing("delay", "missing", "a mapping with the field latency");
    }
    let note = netem
        .filter(|name| OTHER_FAULTS.contains(name))
        .map(|name| format!("action {name} with only delay given delays, as in Chaos Mesh"));
    (delay.and_then(|field| read_delay(&field.fields()?)), note)
}

/// The name of an action that is a netem.
fn read_action<'a>(field: &Field<'a>) -> Option<&'a str> {
    match field.string()? {
        name @ ("netem" | "delay" | "loss" | "duplicate" | "corrupt") => return Some(name),
        "partition" | "bandwidth" => unsupported(field, "delay"),
        name => field.refuse(Invalid::value(name, "is not an action", "delay")),
    }
    None
}

fn read_direction(text: &str) -> Result<Direction, Invalid> {
    let message = match text {
        "to" => return Ok(Direction::To),
        "from" | "both" => NOT_YET,
        _ => "is not a direction",
    };
    Err(Invalid::value(text, message, "to"))
}

fn read_delay(delay: &Fields) -> Option<Delay> {
    let latency = delay
        .require("latency", DURATION_ALLOWED)
        .and_then(|field| string(&field, |text| one_number(text, units::parse_latency)));
    let jitter = delay
        .get("jitter")
        .and_then(|field| string(&field, |text| one_number(text, units::parse_jitter)));
    let correlation = delay
        .get("correlation")
        .and_then(|field| string(&field, read_percent));
    if let Some(reorder) = delay.get("reorder") {
        unsupported(&reorder, "latency, jitter, correlation");
    }
    delay.finish();
    Some(Delay {
        latency: latency?,
        jitter: jitter.unwrap_or_default(),
        correlation: correlation.unwrap_or_default(),
        ..Delay::default()
    })
}

const DURATION_ALLOWED: &str = "one number with ns, us, ms, s, m or h, such as 50ms";

/// A duration by the pattern of the CRD, `^[0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h)$`, which is narrower
/// than Go's grammar.
fn one_number(
    text: &str,
    parse: fn(&str) -> Result<Duration, Invalid>,
) -> Result<Duration, Invalid> {
    units::parse_duration(text).map_err(|invalid| Invalid {
        allowed: Some(DURATION_ALLOWED.to_owned()),
        ..invalid
    })?;
    let number = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if number == text || !digits(whole) || !digits(fraction) {
        let message = "does not have the form that Chaos Mesh takes here";
        return Err(Invalid::value(text, message, DURATION_ALLOWED));
    }
    parse(text)
}

/// A percentage as a float string; an empty one is zero.
fn read_percent(text: &str) -> Result<Percent, Invalid> {
    match text {
        "" => Ok(Percent::default()),
        _ if text.ends_with('%') => Err(Invalid::value(
            text,
            "has a percent sign, which Chaos Mesh does not take",
            "the number alone, in quotes, such as \"25\"",
        )),
        _ => text.parse(),
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
    let allowed = || format!("one or more targets; {ALL_TRAFFIC_IN_WORDS}");
    match (field, targets.is_empty(), all_traffic?) {
        (_, true, true) => Some(Targets::AllTraffic),
        (_, false, false) => Some(Targets::List(targets)),
        (Some(field), false, true) => {
            let message = "targets and all traffic exclude each other";
            field.refuse(Invalid::field(message, Some(allowed())));
            None
        }
        _ => {
            // A target is refused for itself.
            if spec.get("target").is_none() {
                let message = "no target is given, which is all traffic in Chaos Mesh";
                spec.missing("externalTargets", message, &allowed());
            }
            None
        }
    }
}
