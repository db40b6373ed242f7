//! WHAT is asked: an [`Experiment`] from flags, native YAML or a Chaos Mesh `NetworkChaos`.
//!
//! This room is pure. It does no I/O, reads no clock, knows no kernel: the same input gives the
//! same experiments and the same [`Problem`]s. Where names stand for addresses, they stay names
//! here; `names` looks them up and `plan` puts both together.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    problem::{Problem, Problems},
    target::{HostName, Peer, Target},
    units::Percent,
};

pub mod manifest;
mod native;
mod networkchaos;
mod problem;
mod target;
pub mod units;
mod yaml;

/// One named set of faults for the packets between a place and its targets.
///
/// Its JSON form is what the kernel keeps in the state map and what `-o json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Experiment {
    /// Unique in a place. See [`check_name`] for what is allowed.
    pub name: String,
    /// The Kubernetes namespace of a `NetworkChaos`; none for flags and native YAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The device asked for in the manifest; the command line's `--device` wins over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    pub direction: Direction,
    pub fault: Fault,
    pub targets: Targets,
    /// Peers that the experiment never touches, whatever `targets` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Target>,
    /// How long the fault lasts from the moment it is applied; none lasts until it is removed.
    #[serde(default, with = "units::optional_duration", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Laid down but steering nothing until `resume`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Which packets of a place an experiment is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Egress of the place: packets whose destination is a target.
    To,
}

/// What happens to a matched packet. Grows with the faults that netchaos knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    pub delay: Delay,
}

/// Extra time on the way, as netem makes it (tc-netem(8), DELAY OPTIONS).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delay {
    /// Added to every packet; more than zero, at most [`units::LONGEST_DELAY`].
    #[serde(with = "units::duration")]
    pub latency: Duration,
    /// Each packet gets `latency ± jitter`, uniformly spread.
    #[serde(default, with = "units::duration", skip_serializing_if = "Duration::is_zero")]
    pub jitter: Duration,
    /// How much of the random number of one packet is carried to the next one's.
    #[serde(default, skip_serializing_if = "Percent::is_zero")]
    pub correlation: Percent,
}

/// The peers that an experiment is aimed at. Never empty by accident: everything has to be asked
/// for in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Targets {
    /// Every IPv4 and IPv6 packet, apart from neighbour discovery and DHCP.
    AllTraffic,
    List(Vec<Target>),
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::To => "to",
        })
    }
}
