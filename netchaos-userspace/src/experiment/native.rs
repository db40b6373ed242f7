//! Our own manifest: `apiVersion: netchaos/v1`, `kind: Experiment`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Direction, Experiment, Fault, Targets,
    problem::Invalid,
    target::{ALL_TRAFFIC_IN_WORDS, Target},
    units,
};

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
            duration: form.duration,
            paused: form.paused,
        })
    }
}

/// Neither no target nor a target beside all traffic has a meaning that could be guessed.
fn targets(to: Vec<Target>, all_traffic: bool) -> Result<Targets, Invalid> {
    let refuse = |message: &str| {
        let allowed = format!("one or more targets; {ALL_TRAFFIC_IN_WORDS}");
        Err(Invalid::field(message, Some(allowed)))
    };
    match (to.is_empty(), all_traffic) {
        (false, false) => Ok(Targets::List(to)),
        (true, true) => Ok(Targets::AllTraffic),
        (true, false) => refuse("no target is given"),
        (false, true) => refuse("targets and all traffic exclude each other"),
    }
}
