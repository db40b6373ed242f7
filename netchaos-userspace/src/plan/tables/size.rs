//! How many keys there may be.

use crate::{
    experiment::{Peer, Target, Targets},
    plan::Laid,
};

/// Keys that a device's targets may need: some 130 MB of the kernel's memory (kernel/bpf/hashtab.c,
/// `htab_elem_value` and the buckets).
pub const MOST_KEYS: u64 = 1 << 20;

/// More targets than the maps have room for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{id} needs {keys} entries for its targets, one per address and port, and all experiments of \
     a device {all} together; {MOST_KEYS} is the most. Ports that all targets have in common cost \
     nothing as a rule of the experiment: --port on the command line, ports: in a manifest"
)]
pub struct TooManyKeys {
    /// The id of the experiment that needs the most.
    pub id: String,
    pub keys: u64,
    pub all: u64,
}

/// Whether the targets of a device's experiments fit the maps. Asked before [`super::Tables::of`], which
/// takes memory for each of them.
///
/// # Errors
/// They do not.
pub fn check_size<'a>(laid: impl Iterator<Item = &'a Laid>) -> Result<(), TooManyKeys> {
    let mut all = 0;
    let mut largest = (0, String::new());
    for laid in laid {
        let list = match &laid.experiment.targets {
            Targets::List(list) => list.as_slice(),
            Targets::AllTraffic => &[],
        };
        let targets = list.iter().chain(&laid.experiment.except);
        let keys: u64 = targets.map(|target| keys_of(laid, target)).sum();
        all += keys;
        largest = largest.max((keys, laid.experiment.id()));
    }
    if all <= MOST_KEYS {
        return Ok(());
    }
    Err(TooManyKeys {
        id: largest.1,
        keys: largest.0,
        all,
    })
}

/// Keys that a target needs.
fn keys_of(laid: &Laid, target: &Target) -> u64 {
    let addresses = match &target.peer {
        Peer::Prefix(_) => 1,
        Peer::Name(name) => laid.addresses.get(name.as_str()).map_or(0, Vec::len),
    };
    addresses as u64 * target.ports.count().max(1) as u64
}
