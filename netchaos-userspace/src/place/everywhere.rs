//! All places that can be found.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Error, Files, Place, PodName, Where,
    cgroup::{Owner, Owners, is_id},
    named,
};
use crate::kernel::process::{self, Process};

/// All named namespaces, the current one where it is none of them, and those of all processes that
/// have no name: once each, opened when it is its turn. What cannot be looked into is left out.
pub fn everywhere() -> impl Iterator<Item = (Where, Result<Place, Error>)> {
    let mut seen = BTreeSet::new();
    let mut known = Vec::new();
    for wanted in named().into_iter().map(Where::Netns) {
        let opened = Place::open(&wanted);
        seen.extend(opened.as_ref().map(|place| place.namespace.inode()));
        known.push(wanted);
    }
    let here = Place::open(&Where::Here);
    // One that cannot be opened is told.
    if here
        .as_ref()
        .map_or(true, |place| seen.insert(place.namespace.inode()))
    {
        known.insert(0, Where::Here);
    }
    let known = known.into_iter().map(|wanted| {
        let opened = Place::open(&wanted);
        (wanted, opened)
    });
    known.chain(of_processes(seen))
}

fn of_processes(seen: BTreeSet<u64>) -> impl Iterator<Item = (Where, Result<Place, Error>)> {
    let mut first: BTreeMap<u64, ((u64, u32), u32)> = BTreeMap::new();
    for process in process::all().into_iter().flatten() {
        let Ok(inode) = process.network_inode() else {
            continue;
        };
        if !seen.contains(&inode) {
            let this = (process.age_key(), process.pid());
            let first = first.entry(inode).or_insert(this);
            *first = this.min(*first);
        }
    }
    let mut in_order: Vec<_> = first
        .into_iter()
        .map(|(inode, first)| (first, inode))
        .collect();
    in_order.sort_unstable();
    let open = |((_, pid), inode)| open(pid, inode);
    in_order.into_iter().filter_map(open)
}

/// So many digits of a container's id are shown, as Docker does. `--container` takes them.
const SHOWN: usize = 12;

/// The namespace by the process that was the first in it, or by another one where that has ended;
/// none where it has gone with its last process.
fn open(pid: u32, inode: u64) -> Option<(Where, Result<Place, Error>)> {
    let is_inside = |process: &Process| process.network_inode().is_ok_and(|found| found == inode);
    let process = Process::open(pid)
        .filter(is_inside)
        .or_else(|| process::all().ok()?.find(is_inside))?;
    let owner = process
        .cgroup()
        .ok()
        .and_then(|text| Owners::of(&text).innermost());
    let wanted = match owner {
        Some(Owner::Pod(uid)) => Where::Pod {
            name: PodName::Uid(uid),
            host_network: true,
        },
        Some(Owner::Container(id)) => Where::Container {
            name: if is_id(&id) { id[..SHOWN].into() } else { id },
            host_network: true,
        },
        None => Where::Pid(process.pid()),
    };
    let namespace = process.network().transpose()?;
    let opened = namespace.map_err(Error::from);
    let files = Files::Process(process.pid());
    Some((wanted, opened.map(|namespace| Place::new(namespace, files))))
}
