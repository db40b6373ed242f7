//! WHERE a fault is put: an open network namespace, the meaning of host names there, a device.

mod cgroup;
mod device;
mod error;
mod everywhere;
mod find;
mod runtime;

use std::{fmt, path::Path, str::FromStr};

use self::{cgroup::Owner, runtime::Sandbox};
use crate::{
    kernel::{netns::Namespace, process::Process},
    names::View,
};

pub use self::{device::choose_device, error::Error, everywhere::everywhere};

/// Where iproute2 keeps named namespaces (ip-netns(8)).
const NAMED: &str = "/run/netns";

/// A place as somebody asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Where {
    /// The namespace that netchaos runs in.
    #[default]
    Here,
    /// A name under `/run/netns`, or the path of a namespace file.
    Netns(String),
    /// The namespace of a process.
    Pid(u32),
    /// The namespace of a container.
    Container {
        /// Its id, 12 or more of its first digits, or its name.
        name: String,
        /// Also where that is the host's own namespace.
        host_network: bool,
    },
    /// The namespace of a pod on this node.
    Pod {
        name: PodName,
        /// Also where that is the host's own namespace.
        host_network: bool,
    },
}

/// How somebody names a pod: `NAMESPACE/NAME`, which takes a runtime to look up, or its uid, which
/// the kernel knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodName {
    Named { namespace: String, name: String },
    Uid(String),
}

impl FromStr for PodName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self::Named {
                    namespace: namespace.into(),
                    name: name.into(),
                })
            }
            None if cgroup::is_uid(text) => Ok(Self::Uid(text.into())),
            _ => Err(
                "a pod is NAMESPACE/NAME, such as default/web-0, or its uid, such as \
                      d64f80ba-0ce3-4bd4-8f21-9a1f2b3c4d5e"
                    .into(),
            ),
        }
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Uid(uid) => f.write_str(uid),
        }
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("here"),
            Self::Netns(name) => f.write_str(name),
            Self::Pid(pid) => write!(f, "pid {pid}"),
            Self::Container { name, .. } => write!(f, "container {name}"),
            Self::Pod { name, .. } => write!(f, "pod {name}"),
        }
    }
}

/// An open place.
pub struct Place {
    pub namespace: Namespace,
    files: Files,
}

/// Whose files say what host names mean there.
enum Files {
    /// Those that netchaos itself sees.
    Own,
    /// Those of a named namespace.
    Named(String),
    Process(u32),
    /// Those of a process in it, which is looked for when they are read.
    Owner(Owner, String),
}

impl Place {
    /// # Errors
    /// There is no such namespace, process, container or pod, or it cannot be opened; the container
    /// or pod is in the host's network and `host_network` does not allow that.
    pub fn open(wanted: &Where) -> Result<Self, Error> {
        match wanted {
            Where::Here => Ok(Self::new(Namespace::current()?, Files::Own)),
            Where::Netns(netns) => open_netns(netns),
            Where::Pid(pid) => open_process(*pid),
            Where::Container { name, host_network } => {
                let owner = match find::container(name)? {
                    Some(owner) => owner,
                    None => Owner::Container(runtime::container(name)?),
                };
                Self::of_owner(owner, wanted.to_string(), *host_network)
            }
            Where::Pod {
                name: PodName::Uid(uid),
                host_network,
            } => Self::of_pod(uid, *host_network),
            Where::Pod {
                name: PodName::Named { namespace, name },
                host_network,
            } => open_sandbox(runtime::sandbox(namespace, name)?, wanted, *host_network),
        }
    }

    /// The pod with this uid, by the kernel alone: its process that started first is its sandbox's.
    /// A sandbox that is made anew is another place.
    ///
    /// Looks through all of `/proc`, and waits for up to a second while a sandbox is just being made.
    ///
    /// # Errors
    /// No process of it is on this node; its namespace cannot be opened, or is the host's and
    /// `host_network` does not allow that.
    pub fn of_pod(uid: &str, host_network: bool) -> Result<Self, Error> {
        let what = format!("pod {uid}");
        Self::of_owner(Owner::Pod(uid.into()), what, host_network)
    }

    fn of_owner(owner: Owner, what: String, host_network: bool) -> Result<Self, Error> {
        match find::namespace(&owner, &what, host_network)? {
            Some(namespace) => Ok(Self::new(namespace, Files::Owner(owner, what))),
            None => Err(Error::NoProcess { what }),
        }
    }

    fn new(namespace: Namespace, files: Files) -> Self {
        Self { namespace, files }
    }

    /// What host names mean there.
    ///
    /// # Errors
    /// resolv.conf or hosts cannot be used, or whose they are is not in the namespace any more.
    pub fn view(&self) -> Result<View, Error> {
        Ok(match &self.files {
            Files::Own => View::of_host()?,
            Files::Named(name) => View::of_named_namespace(name)?,
            Files::Process(pid) => View::of_process(*pid)?,
            Files::Owner(owner, what) => self.view_of(owner, what)?,
        })
    }

    fn view_of(&self, owner: &Owner, what: &str) -> Result<View, Error> {
        let moved = || Error::Moved { what: what.into() };
        let inode = self.namespace.inode();
        let process = find::with_files(owner, inode)?.ok_or_else(moved)?;
        let view = View::of_process(process.pid());
        // That was by its pid. It is still there, so it was the one that was read.
        match process.network_inode() {
            Ok(found) if found == inode => Ok(view?),
            _ => Err(moved()),
        }
    }
}

fn open_sandbox(sandbox: Sandbox, wanted: &Where, host_network: bool) -> Result<Place, Error> {
    let by_id = Owner::Container(sandbox.id);
    let by_uid = Owner::Pod(sandbox.uid);
    // Not by the uid where it can be: what is left of an older sandbox may be there still. CRI-O does
    // without a process in the sandbox.
    let has_process = find::first(&by_id)?.is_some();
    let owner = if has_process { &by_id } else { &by_uid };
    let mut place = Place::of_owner(owner.clone(), wanted.to_string(), host_network)?;
    // Its containers, unless whoever made the pod did not put them below its uid.
    if find::first(&by_uid)?.is_some() {
        place.files = Files::Owner(by_uid, wanted.to_string());
    }
    Ok(place)
}

fn open_netns(netns: &str) -> Result<Place, Error> {
    let namespace = if netns.contains('/') {
        Namespace::open(Path::new(netns))?
    } else {
        open_named(netns)?
    };
    let files = name_of(netns).map_or(Files::Own, |name| Files::Named(name.into()));
    Ok(Place::new(namespace, files))
}

/// The name of a named namespace, given by itself or as the path of its file.
fn name_of(netns: &str) -> Option<&str> {
    match netns.rsplit_once('/') {
        None => Some(netns),
        Some((NAMED | "/var/run/netns", name)) => Some(name),
        Some(_) => None,
    }
}

fn open_named(name: &str) -> Result<Namespace, Error> {
    let path = Path::new(NAMED).join(name);
    if !path.exists() {
        return Err(Error::NoSuchName {
            name: name.into(),
            names: named(),
        });
    }
    Ok(Namespace::open(&path)?)
}

/// Names of the named namespaces, sorted.
fn named() -> Vec<String> {
    let entries = std::fs::read_dir(NAMED).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

fn open_process(pid: u32) -> Result<Place, Error> {
    let process = Process::open(pid);
    let namespace = process.as_ref().map(Process::network).transpose()?;
    match namespace.flatten() {
        Some(namespace) => Ok(Place::new(namespace, Files::Process(pid))),
        None => Err(Error::NoSuchProcess { pid }),
    }
}

#[cfg(test)]
mod tests;
