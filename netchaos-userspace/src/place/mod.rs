//! WHERE a fault is put: an open network namespace, the meaning of host names there, a device.

use std::{fmt, path::Path};

use crate::{
    kernel::{
        netlink::Link,
        netns::{self, Namespace},
    },
    names::{self, View},
};

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
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("here"),
            Self::Netns(name) => f.write_str(name),
            Self::Pid(pid) => write!(f, "pid {pid}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Namespace(#[from] netns::Error),
    #[error("there is no network namespace {name:?}; {}", known(names))]
    NoSuchName { name: String, names: Vec<String> },
    #[error("there is no process {pid}")]
    NoSuchProcess { pid: u32 },
    #[error(transparent)]
    Names(#[from] names::Error),
    #[error("there is no device {name:?}; there is {}", devices.join(", "))]
    NoSuchDevice { name: String, devices: Vec<String> },
    #[error("{name:?} is a device of netchaos itself")]
    OwnDevice { name: String },
    #[error("which device? There is no default route{}", choice(devices))]
    WhichDevice { devices: Vec<String> },
}

fn known(names: &[String]) -> String {
    if names.is_empty() {
        return format!("there is none under {NAMED}");
    }
    format!("there is {}", names.join(", "))
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

/// An open place.
pub struct Place {
    pub namespace: Namespace,
    wanted: Where,
}

impl Place {
    /// # Errors
    /// There is no such namespace or process, or it cannot be opened.
    pub fn open(wanted: &Where) -> Result<Self, Error> {
        let namespace = match wanted {
            Where::Here => Namespace::current()?,
            Where::Netns(path) if path.contains('/') => Namespace::open(Path::new(path))?,
            Where::Netns(name) => open_named(name)?,
            Where::Pid(pid) => open_of_process(*pid)?,
        };
        Ok(Self {
            namespace,
            wanted: wanted.clone(),
        })
    }

    /// What host names mean there.
    ///
    /// # Errors
    /// resolv.conf or hosts cannot be used.
    pub fn view(&self) -> Result<View, Error> {
        Ok(match &self.wanted {
            Where::Netns(netns) => match name_of(netns) {
                Some(name) => View::of_named_namespace(name)?,
                None => View::of_host()?,
            },
            Where::Pid(pid) => View::of_process(*pid)?,
            Where::Here => View::of_host()?,
        })
    }
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

fn open_of_process(pid: u32) -> Result<Namespace, Error> {
    if !Path::new(&format!("/proc/{pid}")).exists() {
        return Err(Error::NoSuchProcess { pid });
    }
    Ok(Namespace::open(Path::new(&format!("/proc/{pid}/ns/net")))?)
}

/// All named namespaces, and the current one where it is none of them.
pub fn everywhere() -> Vec<Where> {
    let inode = |wanted: &Where| Some(Place::open(wanted).ok()?.namespace.inode());
    let mut places: Vec<Where> = named().into_iter().map(Where::Netns).collect();
    let here = inode(&Where::Here);
    if here.is_none() || places.iter().all(|place| inode(place) != here) {
        places.insert(0, Where::Here);
    }
    places
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

/// The device that faults go on: the one asked for, else that of the default route, else the only
/// one that is up. `is_own` tells the devices that netchaos made.
///
/// # Errors
/// There is no such device, or the choice is not clear; the devices are listed.
pub fn choose_device<'a>(
    links: &'a [Link],
    default_routes: &[u32],
    asked: Option<&str>,
    is_own: impl Fn(&Link) -> bool,
) -> Result<&'a Link, Error> {
    if let Some(name) = asked {
        let link = links.iter().find(|link| link.name == name);
        return match link {
            Some(link) if is_own(link) => Err(Error::OwnDevice { name: name.into() }),
            Some(link) => Ok(link),
            None => Err(Error::NoSuchDevice {
                name: name.into(),
                devices: names_of(links.iter().filter(|link| !is_own(link))),
            }),
        };
    }
    let candidates = || {
        links
            .iter()
            .filter(|link| !is_own(link) && !link.is_loopback)
    };
    for index in default_routes {
        if let Some(link) = candidates().find(|link| link.index == *index) {
            return Ok(link);
        }
    }
    let up: Vec<_> = candidates().filter(|link| link.is_up).collect();
    match up[..] {
        [only] => Ok(only),
        _ => Err(Error::WhichDevice {
            devices: names_of(up.into_iter()),
        }),
    }
}

fn names_of<'a>(links: impl Iterator<Item = &'a Link>) -> Vec<String> {
    links.map(|link| link.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, is_up: bool) -> Link {
        Link {
            index,
            name: name.into(),
            kind: String::new(),
            address: Vec::new(),
            alias: None,
            is_up,
            is_loopback: name == "lo",
            is_layer3: false,
            mtu: 1500,
            gso_max_segs: 65535,
        }
    }

    fn choose(links: &[Link], routes: &[u32], asked: Option<&str>) -> Result<String, String> {
        choose_device(links, routes, asked, |link| link.name.starts_with("nc"))
            .map(|link| link.name.clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_device_asked_for_wins_then_the_default_route_then_the_only_one_that_is_up() {
        let links = [
            link(1, "lo", true),
            link(2, "eth0", true),
            link(3, "eth1", true),
            link(4, "ncb2-0", true),
        ];
        assert_eq!(choose(&links, &[3], Some("eth0")).unwrap(), "eth0");
        assert_eq!(choose(&links, &[3, 2], None).unwrap(), "eth1");
        assert_eq!(choose(&links[..2], &[], None).unwrap(), "eth0");
        assert_eq!(choose(&links, &[], Some("lo")).unwrap(), "lo");
    }

    #[test]
    fn a_named_namespace_is_known_by_its_path_too() {
        assert_eq!(name_of("blue"), Some("blue"));
        assert_eq!(name_of("/run/netns/blue"), Some("blue"));
        assert_eq!(name_of("/var/run/netns/blue"), Some("blue"));
        assert_eq!(name_of("/proc/1/ns/net"), None);
    }

    #[test]
    fn where_the_choice_is_not_clear_the_devices_are_listed() {
        let links = [
            link(1, "lo", true),
            link(2, "eth0", true),
            link(3, "eth1", true),
            link(4, "ncb2-0", true),
        ];
        let error = choose(&links, &[], None).unwrap_err();
        assert!(error.contains("eth0, eth1;"), "{error}");
        let error = choose(&links, &[], Some("eth7")).unwrap_err();
        assert!(
            error.contains("\"eth7\"") && error.contains("lo, eth0, eth1"),
            "{error}"
        );
        assert!(choose(&links, &[], Some("ncb2-0")).is_err());
        assert!(
            choose(&links[..1], &[], None)
                .unwrap_err()
                .contains("no device is up")
        );
    }
}
