//! The maps' entries, from the old ones to the new ones.

use netchaos_common::abi::{Commit, Wants};

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
pub(super) fn read(maps: &Maps) -> Result<Tables, Error> {
    Ok(Tables {
        all: current(maps)?.all,
        hosts: maps.hosts()?.into_iter().collect(),
        prefixes: maps.prefixes()?.into_iter().collect(),
    })
}

/// The commit in force.
pub(super) fn current(maps: &Maps) -> Result<Commit, bpf::Error> {
    maps.commits.read(maps.current.read(0)? & 1)
}

/// Takes the maps from `old` to `new` with `live` steering from the switch on. Every packet finds
/// the old state or the new one, see [`Step`].
pub(super) fn switch(maps: &mut Maps, old: &Tables, new: &Tables, live: u64) -> Result<(), Error> {
    let turn = Live {
        before: current(maps)?.live,
        after: live,
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
        live,
        all: new.all,
        lookups,
        reserved: 0,
    };
    let lookups = new.lookups();
    walk(maps, Step::BEFORE_SWITCH)?;
    put_in_force(maps, commit(lookups | old.lookups()))?;
    walk(maps, Step::AFTER_SWITCH)?;
    for change in changes.iter().filter(|change| change.goes) {
        put(maps, &change.key, &Wants::default())?;
    }
    if old.lookups() & !lookups != 0 {
        put_in_force(maps, commit(lookups))?;
    }
    Ok(())
}

/// Fills the commit that is not in force and makes it the one that is.
fn put_in_force(maps: &mut Maps, commit: Commit) -> Result<(), Error> {
    let current = maps.current.read(0)? & 1;
    if maps.commits.read(current)? == commit {
        return Ok(());
    }
    let next = current ^ 1;
    maps.commits.write(next, commit)?;
    maps.current.write(0, next)?;
    // Nobody may still read what comes to be overwritten or deleted next.
    clock::wait_for_running_programs();
    Ok(())
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
    }
    Ok(())
}
