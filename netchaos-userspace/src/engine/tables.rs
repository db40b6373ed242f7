//! The maps' entries, from the old ones to the new ones.

use std::collections::BTreeMap;

use netchaos_common::abi::{Commit, SLOTS, Steer, Wants};

use super::error::Error;
use crate::{
    kernel::{
        bpf::{self, Entry as _, Maps},
        clock,
    },
    plan::{
        Tables,
        tables::{Change, Key, Live, Step},
    },
};

/// What the maps hold, read from them: after a writer that died, no plan says what that is.
///
/// # Errors
/// The kernel's refusal.
pub fn read(maps: &Maps) -> Result<Tables, Error> {
    let commit = current(maps)?;
    let is_looked_up = |lookup| commit.lookups & lookup != 0;
    // Reading every port takes a moment, and what is not looked up holds nothing: `switch` says
    // that something is to be looked up before it writes it, and takes that back when it is gone.
    Ok(Tables {
        all: commit.all,
        limited: commit.limited,
        vital: commit.vital,
        hosts: maps.hosts()?.into_iter().collect(),
        prefixes: maps.prefixes()?.into_iter().collect(),
        remote: if is_looked_up(Commit::REMOTE_PORTS) {
            maps.remote_ports()?
        } else {
            BTreeMap::new()
        },
        local: if is_looked_up(Commit::LOCAL_PORTS) {
            maps.local_ports()?
        } else {
            BTreeMap::new()
        },
        protocols: if is_looked_up(Commit::PROTOCOLS) {
            maps.protocols()?
        } else {
            BTreeMap::new()
        },
    })
}

/// The commit in force.
///
/// # Errors
/// The kernel's refusal.
pub fn current(maps: &Maps) -> Result<Commit, bpf::Error> {
    maps.commits.read(maps.current.read(0)? & 1)
}

/// What happens to the packets of each slot by the commit in force.
///
/// # Errors
/// The kernel's refusal.
pub fn current_steers(maps: &Maps) -> Result<BTreeMap<u32, Steer>, bpf::Error> {
    let half = half(maps.current.read(0)?);
    (0..SLOTS as u32)
        .map(|slot| Ok((slot, maps.steers.read(half + slot)?)))
        .collect()
}

/// Takes the maps from `old` to `new`, with the slots in `out` steering what goes out, those in
/// `into` what comes in, and `steers` saying where to, from the switch on. Every packet finds the
/// old state or the new one, see [`Step`]. Where all is so already, nothing is written.
///
/// A slot that steers before and after keeps its rule and its direction.
///
/// # Errors
/// The kernel's refusal, for one a full map: the maps are in between, and [`read`] says how.
pub fn switch(
    maps: &mut Maps,
    old: &Tables,
    new: &Tables,
    out: u64,
    into: u64,
    steers: &BTreeMap<u32, Steer>,
) -> Result<(), Error> {
    let before = current(maps)?;
    let turn = Live {
        before: before.out | before.into,
        after: out | into,
    };
    let changes = old.changes_to(new);
    let entry = |change: &Change| (!change.comes).then_some(change.before);
    let mut left: Vec<Option<Wants>> = changes.iter().map(entry).collect();
    let mut walk = |maps: &mut Maps, steps: [Step; 3]| {
        steps
            .into_iter()
            .try_for_each(|step| take(maps, step, &changes, turn, &mut left))
    };
    let commit = |lookups| Commit {
        out,
        into,
        all: new.all,
        limited: new.limited,
        vital: new.vital,
        lookups,
        reserved: 0,
    };
    let lookups = new.lookups();
    let widened = Commit {
        lookups: before.lookups | lookups,
        ..before
    };
    if widened != before {
        // What is spared in a map that is not looked up yet would be missed by whoever sees more
        // wanted in one that is.
        put_in_force(maps, widened, &current_steers(maps)?)?;
    }
    walk(maps, Step::BEFORE_SWITCH)?;
    put_in_force(maps, commit(widened.lookups), steers)?;
    walk(maps, Step::AFTER_SWITCH)?;
    for change in changes.iter().filter(|change| change.goes) {
        put(maps, &change.key, &Wants::default())?;
    }
    put_in_force(maps, commit(lookups), steers)
}

/// Fills the commit that is not in force, and its steers, and makes it the one that is.
fn put_in_force(
    maps: &mut Maps,
    commit: Commit,
    steers: &BTreeMap<u32, Steer>,
) -> Result<(), Error> {
    let current = maps.current.read(0)? & 1;
    let steer = |slot| steers.get(&slot).copied().unwrap_or_default();
    if maps.commits.read(current)? == commit
        && current_steers(maps)?
            .into_iter()
            .all(|(slot, found)| found == steer(slot))
    {
        return Ok(());
    }
    let next = current ^ 1;
    maps.commits.write(next, commit)?;
    for slot in 0..SLOTS as u32 {
        maps.steers.write(half(next) + slot, steer(slot))?;
    }
    maps.current.write(0, next)?;
    // Nobody may still read what comes to be overwritten or deleted next.
    clock::wait_for_running_programs();
    Ok(())
}

/// Where a commit's steers start.
const fn half(commit: u32) -> u32 {
    (commit & 1) * SLOTS as u32
}

/// Takes one step with every entry; `left` holds what the step before has left, none where there
/// is no entry.
fn take(
    maps: &mut Maps,
    step: Step,
    changes: &[Change],
    turn: Live,
    left: &mut [Option<Wants>],
) -> Result<(), Error> {
    let mut wrote = false;
    for (change, left) in changes.iter().zip(left) {
        let value = step.value(change, turn);
        if value != left.unwrap_or_default() {
            put(maps, &change.key, &value)?;
            *left = (value != Wants::default()).then_some(value);
            wrote = true;
        }
    }
    // Nobody steers by what is written first and last.
    if wrote && !matches!(step, Step::Start | Step::Stop) {
        // A packet must not find the next step's change without this one's.
        clock::wait_for_running_programs();
    }
    Ok(())
}

fn put(maps: &mut Maps, key: &Key, value: &Wants) -> Result<(), Error> {
    let is_nothing = *value == Wants::default();
    match key {
        Key::Host(key) if is_nothing => maps.remove_host(key)?,
        Key::Host(key) => maps.put_host(key, value)?,
        Key::Prefix(key) if is_nothing => maps.remove_prefix(key)?,
        Key::Prefix(key) => maps.put_prefix(key, value)?,
        Key::RemotePort(port) => maps.put_remote_port(*port, value.want)?,
        Key::LocalPort(port) => maps.put_local_port(*port, value.want)?,
        Key::Protocol(number) => maps.put_protocol(*number, value.want)?,
    }
    Ok(())
}
