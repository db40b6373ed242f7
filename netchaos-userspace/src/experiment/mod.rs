//! WHAT is asked: an [`Experiment`] from flags, native YAML or a Chaos Mesh `NetworkChaos`.
//!
//! This room is pure. It does no I/O, reads no clock, knows no kernel: the same input gives the
//! same experiments and the same [`Problem`]s. Where names stand for addresses, they stay names
//! here; `names` looks them up and `plan` puts both together.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    fault::{
        Bandwidth, Chance, Delay, Distribution, Fault, GilbertElliott, JitterOrder, Loss, Reorder,
    },
    name::{check_device, check_name},
    networkchaos::{Expression, Mode, NOT_USED, Operator, Pods, Selection, Selector},
    problem::{Invalid, Problem, Problems},
    rule::{Ports, Protocol, Rule, Vital},
    target::{HostName, Peer, Target},
    units::{Percent, Rate},
};

/// The conversions by which serde takes a type for the text of its `FromStr` and `Display`:
/// `#[serde(try_from = "String", into = "String")]`.
macro_rules! as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = $crate::experiment::Invalid;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

mod check;
mod fault;
pub mod manifest;
mod name;
mod native;
mod networkchaos;
mod problem;
mod rule;
mod target;
pub mod units;
mod yaml;

/// One named set of faults for the packets between a place and its targets.
///
/// Its serde form is a native manifest ([`native::Form`]): what the kernel keeps in the state map,
/// what `-o json` and `-o yaml` print, and what `apply -f` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "native::Form", into = "native::Form")]
pub struct Experiment {
    /// Unique in a place together with the namespace, see [`Experiment::id`]. [`check_name`] says
    /// what is allowed.
    pub name: String,
    /// The Kubernetes namespace of a `NetworkChaos`; mostly none for flags and native YAML.
    pub namespace: Option<String>,
    /// The device asked for in the manifest; the command line's `--device` wins over it.
    pub device: Option<String>,
    pub direction: Direction,
    pub fault: Fault,
    pub targets: Targets,
    /// Peers that the experiment never touches, whatever `targets` says.
    pub except: Vec<Target>,
    /// Which of the packets to and from the targets.
    pub rule: Rule,
    /// How long the fault lasts from the moment it is applied; none lasts until it is removed.
    #[serde(
        default,
        with = "units::optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub duration: Option<Duration>,
    /// Laid down but steering nothing until `resume`.
    pub paused: bool,
}

/// Which packets of a place an experiment is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Egress of the place: packets whose destination is a target.
    #[default]
    To,
    /// Ingress of the place: packets whose source is a target.
    From,
    Both,
}

/// The peers that an experiment is aimed at. Never empty by accident: everything has to be asked
/// for in words.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Every IPv4 and IPv6 packet, apart from neighbour discovery and DHCP; see [`Rule::include`].
    AllTraffic,
    List(Vec<Target>),
}

/// What an experiment is known by in a place: `namespace/name`, or the name alone where it has no
/// namespace.
pub fn id(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

impl Experiment {
    /// What it is known by in a place, see [`id`].
    pub fn id(&self) -> String {
        id(self.namespace.as_deref(), &self.name)
    }

    /// Everything that is wrong with an experiment put together from flags; the fields of the
    /// problems are the flags. Manifests are checked while they are read, with their lines.
    pub fn check(&self) -> Vec<Problem> {
        let targets = match &self.targets {
            Targets::List(list) if list.is_empty() => Err(Invalid::field(
                "no target is given",
                Some(format!(
                    "one or more targets; {}",
                    target::ALL_TRAFFIC_IN_WORDS
                )),
            )),
            _ => Ok(()),
        };
        let checks = [
            ("NAME", check_name(&self.name)),
            (
                "--device",
                self.device.as_deref().map_or(Ok(()), check_device),
            ),
            ("--for", self.duration.map_or(Ok(()), units::check_lifetime)),
            ("--to", targets),
        ];
        let problem = |(field, result): (&str, Result<(), Invalid>)| {
            result.err().map(|invalid| Problem::of(field, invalid))
        };
        let together = self.wrong().into_iter();
        let together = together.map(|(part, invalid)| Problem::of(part.flag(), invalid));
        checks
            .into_iter()
            .filter_map(problem)
            .chain(together)
            .collect()
    }

    /// What is legal and still worth a word to whoever asked for it.
    pub fn notes(&self) -> Vec<String> {
        self.fault.notes()
    }
}

impl Fault {
    /// Everything that is wrong with a fault put together from flags; the fields of the problems
    /// are the flags.
    pub fn check(&self) -> Vec<Problem> {
        let problem = |(part, invalid): (check::Part, Invalid)| Problem::of(part.flag(), invalid);
        self.wrong().into_iter().map(problem).collect()
    }
}

impl FromStr for Direction {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let words = [("to", Self::To), ("from", Self::From), ("both", Self::Both)];
        Invalid::unless_word(text, &words, "is not a direction")
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::To => "to",
            Self::From => "from",
            Self::Both => "both",
        })
    }
}
