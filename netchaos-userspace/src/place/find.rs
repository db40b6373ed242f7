//! Containers and pods by what the kernel alone knows: who started first among their processes
//! tells their network namespace.

use std::{collections::BTreeSet, io, thread, time::Duration};

use super::{
    Error,
    cgroup::{Owner, Owners, is_hexadecimal, is_id},
};
use crate::kernel::{
    netns::{self, Namespace},
    process::{self, Process},
};

/// Docker prints so many digits of an id. Fewer would soon mean several.
const SHORTEST_PREFIX: usize = 12;

/// A runtime puts its own process into the cgroup some milliseconds before it leaves the host's
/// network namespace. Whatever is younger than this may be one.
const SETTLED: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The container that this id, or the beginning of one, means; none where no process is in one.
///
/// # Errors
/// The beginning is that of several.
pub(super) fn container(name: &str) -> Result<Option<Owner>, Error> {
    let is_prefix = name.len() >= SHORTEST_PREFIX && is_hexadecimal(name);
    let mut ids = BTreeSet::new();
    for process in process::all().map_err(Error::Proc)? {
        let Ok(text) = process.cgroup() else {
            continue;
        };
        for id in Owners::of(&text).containers() {
            if id == name {
                return Ok(Some(Owner::Container(name.into())));
            }
            if is_prefix && is_id(id) && id.starts_with(name) {
                ids.insert(id.to_owned());
            }
        }
    }
    if ids.len() > 1 {
        return Err(Error::Ambiguous {
            name: name.into(),
            ids: ids.into_iter().collect(),
        });
    }
    Ok(ids.pop_first().map(Owner::Container))
}

/// The process of it that started first; none where it has no process.
pub(super) fn first(owner: &Owner) -> Result<Option<Process>, Error> {
    Ok(processes(owner)?.min_by_key(Process::age_key))
}

/// The process of it in the namespace with this inode whose files say what names mean there: of a
/// pod not its sandbox, whose hosts file no kubelet writes, unless there is no other.
pub(super) fn with_files(owner: &Owner, inode: u64) -> Result<Option<Process>, Error> {
    let is_inside = |process: &Process| process.network_inode().is_ok_and(|found| found == inode);
    let inside = || Ok::<_, Error>(processes(owner)?.filter(is_inside));
    let first = inside()?.min_by_key(Process::age_key);
    let (Owner::Pod(uid), Some(sandbox)) = (owner, &first) else {
        return Ok(first);
    };
    let container = |process: &Process| {
        let text = process.cgroup().ok()?;
        Owners::of(&text).container_in_pod(uid).map(str::to_owned)
    };
    let of_sandbox = container(sandbox);
    let others = inside()?.filter(|process| container(process) != of_sandbox);
    Ok(others.min_by_key(Process::age_key).or(first))
}

fn processes(owner: &Owner) -> Result<impl Iterator<Item = Process>, Error> {
    let is_inside = |process: &Process| {
        process.cgroup().is_ok_and(|text| {
            let owners = Owners::of(&text);
            match owner {
                Owner::Container(id) => owners.is_in_container(id),
                Owner::Pod(uid) => owners.container_in_pod(uid).is_some(),
            }
        })
    };
    Ok(process::all().map_err(Error::Proc)?.filter(is_inside))
}

/// Its network namespace; none where it has no process. `what` is for messages.
///
/// # Errors
/// It may not be opened, or is the host's and `host_network` does not allow that.
pub(super) fn namespace(
    owner: &Owner,
    what: &str,
    host_network: bool,
) -> Result<Option<Namespace>, Error> {
    loop {
        let Some(process) = first(owner)? else {
            return Ok(None);
        };
        // What is opened belongs to this process, also if its pid has been used again by now. One
        // that has ended is looked for again, which ends when no process is left.
        let Some(namespace) = process.network()? else {
            continue;
        };
        match is_the_hosts(&namespace) {
            Ok(false) => return Ok(Some(namespace)),
            Ok(true) if process.age() < SETTLED => thread::sleep(LOOK_AGAIN),
            _ if host_network => return Ok(Some(namespace)),
            Ok(true) => return Err(Error::HostNetwork { what: what.into() }),
            Err(source) => {
                let what = what.into();
                return Err(Error::HostUnknown { what, source });
            }
        }
    }
}

/// Whether it is the host's: that of process 1, or where a sandbox of its own keeps that one from
/// view, of the kernel's threads, which are process 2 or its children.
fn is_the_hosts(namespace: &Namespace) -> Result<bool, netns::Error> {
    let gone = || netns::Error::Open {
        path: "/proc/1/ns/net".into(),
        source: io::ErrorKind::NotFound.into(),
    };
    let network = |process: Process| process.network()?.ok_or_else(gone);
    let of_init = Process::open(1).ok_or_else(gone).and_then(network);
    let of_host = of_init.or_else(|error| {
        let threads = Process::open(2).filter(Process::is_of_the_kernel);
        threads.map_or(Err(error), network)
    })?;
    Ok(of_host.inode() == namespace.inode())
}
