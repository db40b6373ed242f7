//! Why a place cannot be opened.

use std::io;

use super::{
    NAMED,
    runtime::{AllTried, Sandbox},
};
use crate::{kernel::netns, names};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Namespace(#[from] netns::Error),
    #[error("there is no network namespace {name:?}; {}", known(names))]
    NoSuchName { name: String, names: Vec<String> },
    #[error("there is no process {pid}")]
    NoSuchProcess { pid: u32 },
    #[error("cannot list the processes in /proc: {0}")]
    Proc(#[source] io::Error),
    #[error("cannot ask container runtimes: {0}")]
    Thread(#[source] io::Error),
    #[error("there is no container {name:?}: it is the id of no running container, and {tried}{}", near(nearest.as_deref()))]
    NoSuchContainer {
        name: String,
        tried: AllTried,
        nearest: Option<String>,
    },
    #[error("there is no pod {namespace}/{name} on this node: {tried}{}", near(nearest.as_deref()))]
    NoSuchPod {
        namespace: String,
        name: String,
        tried: AllTried,
        nearest: Option<String>,
    },
    #[error("{name:?} can be each of these containers: {}; give more of the id", ids.join(", "))]
    Ambiguous { name: String, ids: Vec<String> },
    #[error("container {name:?} ({id}) does not run: its runtime says {state:?}; start it first")]
    NotRunning {
        name: String,
        id: String,
        state: String,
    },
    #[error("pod {} does not run: its sandbox {} has ended", sandbox.full_name(), sandbox.id)]
    NotReady { sandbox: Sandbox },
    #[error(
        "no process of {what} is to be seen in /proc: it runs on another node or has ended, or \
         netchaos itself is in a container that has not the host's processes (hostPID)"
    )]
    NoProcess { what: String },
    #[error(
        "{what} is in the host's network namespace (that of process 1): its faults would hit the \
         whole node; --host-network puts them there all the same"
    )]
    HostNetwork { what: String },
    #[error(
        "cannot tell whether {what} is in the host's network namespace; --host-network goes on \
         without knowing"
    )]
    HostUnknown { what: String, source: netns::Error },
    #[error(
        "{what} is not in the network namespace any more that was opened for it: resolv.conf and \
         hosts cannot be read"
    )]
    Moved { what: String },
    #[error(transparent)]
    Names(#[from] names::Error),
    #[error("there is no device {name:?}; there is {}", devices.join(", "))]
    NoSuchDevice { name: String, devices: Vec<String> },
    #[error("{name:?} is a device of netchaos itself")]
    OwnDevice { name: String },
    #[error("which device? There is no default route{}", choice(devices))]
    WhichDevice { devices: Vec<String> },
}

impl Error {
    /// Whether the caller's rights were not enough.
    pub fn is_about_rights(&self) -> bool {
        match self {
            Self::Namespace(source) | Self::HostUnknown { source, .. } => source.is_about_rights(),
            Self::NoSuchContainer { tried, .. } | Self::NoSuchPod { tried, .. } => {
                tried.is_about_rights()
            }
            _ => false,
        }
    }
}

fn known(names: &[String]) -> String {
    if names.is_empty() {
        return format!("there is none under {NAMED}");
    }
    format!("there is {}", names.join(", "))
}

fn near(name: Option<&str>) -> String {
    name.map(|name| format!("; did you mean {name:?}?"))
        .unwrap_or_default()
}

fn choice(devices: &[String]) -> String {
    if devices.is_empty() {
        return " and no device is up; name one with --device".into();
    }
    format!(
        ", and these are up: {}; name one with --device",
        devices.join(", ")
    )
}
