//! Our own manifest: `apiVersion: netchaos/v1`, `kind: Experiment`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Direction, Experiment, Fault, Ports, Protocol, Rule, Targets, Vital,
    manifest::{Document, read_targets},
    name::{check_device, check_name, check_namespace},
    problem::Invalid,
    target::{ALL_TRAFFIC_IN_WORDS, Target},
    units,
    yaml::{Field, Fields},
};

mod fault;
#[cfg(test)]
mod tests;

/// The `apiVersion` of a native manifest.
pub(super) const API_VERSION: &str = "netchaos/v1";
/// The `kind` of a native manifest.
pub(super) const KIND: &str = "Experiment";

/// An [`Experiment`] as it is written: the fields of a native manifest in their order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Form {
    api_version: String,
    kind: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(default)]
    direction: Direction,
    fault: Fault,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    to: Vec<Target>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    all_traffic: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<Target>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    protocols: Vec<Protocol>,
    #[serde(default, skip_serializing_if = "Ports::are_any")]
    ports: Ports,
    #[serde(default, skip_serializing_if = "Ports::are_any")]
    local_ports: Ports,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    include: Vec<Vital>,
    #[serde(
        default,
        with = "units::optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    duration: Option<Duration>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
}

impl From<Experiment> for Form {
    fn from(experiment: Experiment) -> Self {
        let (to, all_traffic) = match experiment.targets {
            Targets::AllTraffic => (Vec::new(), true),
            Targets::List(list) => (list, false),
        };
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            name: experiment.name,
            namespace: experiment.namespace,
            device: experiment.device,
            direction: experiment.direction,
            fault: experiment.fault,
            to,
            all_traffic,
            except: experiment.except,
            protocols: experiment.rule.protocols,
            ports: experiment.rule.ports,
            local_ports: experiment.rule.local_ports,
            include: experiment.rule.include,
            duration: experiment.duration,
            paused: experiment.paused,
        }
    }
}

impl TryFrom<Form> for Experiment {
    type Error = Invalid;

    fn try_from(form: Form) -> Result<Self, Invalid> {
        if (form.api_version.as_str(), form.kind.as_str()) != (API_VERSION, KIND) {
            return Err(Invalid::value(
                format!("{} {}", form.api_version, form.kind),
                "is not read here",
                format!("{API_VERSION} {KIND}"),
            ));
        }
        Ok(Self {
            name: form.name,
            namespace: form.namespace,
            device: form.device,
            direction: form.direction,
            fault: form.fault,
            targets: targets(form.to, form.all_traffic)?,
            except: form.except,
            rule: Rule {
                protocols: form.protocols,
                ports: form.ports,
                local_ports: form.local_ports,
                include: form.include,
            },
            duration: form.duration,
            paused: form.paused,
        })
    }
}

/// Neither no target nor a target beside all traffic has a meaning that could be guessed.
fn targets(to: Vec<Target>, all_traffic: bool) -> Result<Targets, Invalid> {
    let refuse = |message: &str| Err(Invalid::field(message, Some(allowed_targets())));
    match (to.is_empty(), all_traffic) {
        (false, false) => Ok(Targets::List(to)),
        (true, true) => Ok(Targets::AllTraffic),
        (true, false) => refuse("no target is given"),
        (false, true) => refuse("targets and all traffic exclude each other"),
    }
}

fn allowed_targets() -> String {
    format!("one or more targets; {ALL_TRAFFIC_IN_WORDS}")
}

/// Reads a manifest whose `apiVersion` and `kind` have been read already. None if it has problems.
pub(super) fn read(fields: &Fields, strict_compat: bool) -> Option<Document> {
    let name = fields
        .require("name", "a name such as slow-db")
        .and_then(|field| {
            let name = parsed(&field, |text| check_name(text).map(|()| text.to_owned()))?;
            Some((field, name))
        });
    let owned = |check: fn(&str) -> Result<(), Invalid>| {
        move |field: Field| parsed(&field, |text| check(text).map(|()| text.to_owned()))
    };
    let namespace = fields.get("namespace").and_then(owned(check_namespace));
    if let Some((field, name)) = &name {
        field.claim_name(name, namespace.as_deref());
    }
    let device = fields.get("device").and_then(owned(check_device));
    let direction = fields
        .get("direction")
        .map_or(Some(Direction::To), |field| parsed(&field, str::parse));
    let fault = fault::read(fields);
    let targets = read_to(fields);
    let except = fields
        .get("except")
        .and_then(|field| read_targets(&field, str::parse))
        .unwrap_or_default();
    let rule = read_rule(fields);
    let duration = fields
        .get("duration")
        .and_then(|field| parsed(&field, units::parse_lifetime));
    let paused = fields.get("paused").and_then(|field| field.boolean());
    // What `list` and `show` print beside the experiment.
    fields.ignore(&["status"]);
    fields.finish();
    let fault = fault?;
    let experiment = Experiment {
        name: name?.1,
        namespace,
        device,
        direction: direction?,
        fault: Fault {
            strict_compat: fault.strict_compat || strict_compat,
            ..fault
        },
        targets: targets?,
        except,
        rule: rule?,
        duration,
        paused: paused.unwrap_or(false),
    };
    let wrong = experiment.wrong();
    for (part, invalid) in wrong.iter().cloned() {
        fields.refuse_at(part.path(), invalid);
    }
    let notes = experiment.notes();
    wrong.is_empty().then_some(Document {
        experiment,
        notes,
        pods: None,
    })
}

fn parsed<T>(field: &Field, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
    field.accept(parse(field.text("a string")?))
}

/// The value of a field, or the default where it is not there. None if it is refused.
fn parsed_or_default<T: Default>(
    fields: &Fields,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Option<T> {
    fields
        .get(name)
        .map_or_else(|| Some(T::default()), |field| parsed(&field, parse))
}

fn read_rule(fields: &Fields) -> Option<Rule> {
    let protocols = read_words(fields, "protocols", Protocol::parse_or_any);
    let ports = read_ports(fields, "ports");
    let local_ports = read_ports(fields, "localPorts");
    let include = read_words(fields, "include", str::parse::<Vital>);
    Some(Rule {
        protocols: Protocol::list(protocols?),
        ports: ports?,
        local_ports: local_ports?,
        include: Vital::list(include?),
    })
}

/// A list of words; an empty one where there is none. None if one of them is refused.
fn read_words<T>(
    fields: &Fields,
    name: &'static str,
    parse: fn(&str) -> Result<T, Invalid>,
) -> Option<Vec<T>> {
    let Some(list) = fields.get(name) else {
        return Some(Vec::new());
    };
    let read: Vec<Option<T>> = list
        .items()?
        .iter()
        .map(|item| parsed(item, parse))
        .collect();
    read.into_iter().collect()
}

/// Ports as one text (`80,8000-8100`), or as a list of such.
fn read_ports(fields: &Fields, name: &'static str) -> Option<Ports> {
    match fields.get(name) {
        Some(list) if list.is_sequence() => {
            let ports = read_words(fields, name, str::parse::<Ports>)?;
            Some(ports.into_iter().collect())
        }
        _ => parsed_or_default(fields, name, str::parse),
    }
}

fn read_to(fields: &Fields) -> Option<Targets> {
    let all_traffic = fields.get("allTraffic");
    let Some(to) = fields.get("to") else {
        // Without "to" it has to be said, and "allTraffic: false" does not say it.
        return match all_traffic.map(|field| field.boolean()) {
            Some(Some(true)) => Some(Targets::AllTraffic),
            Some(None) => None,
            Some(Some(false)) | None => {
                fields.missing("to", "no target is given", &allowed_targets());
                None
            }
        };
    };
    let all_traffic = match all_traffic {
        Some(field) => field.boolean()?,
        None => false,
    };
    to.accept(targets(read_targets(&to, str::parse)?, all_traffic))
}
