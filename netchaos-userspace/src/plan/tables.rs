//! Targets -> the maps' entries, and the way from one set of entries to another.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::IpAddr,
};

use ipnet::IpNet;
use netchaos_common::abi::{
    Commit, HostKey, IPV4, IPV6, PREFIX_BITS_BEFORE_ADDRESS, PrefixKey, Wants,
};

use super::Laid;
use crate::experiment::{Peer, Target, Targets};

/// Key of a prefix: the bits that count, and the address.
pub type Prefix = (u32, PrefixKey);

/// What the maps say of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub all: Wants,
    pub hosts: HashMap<HostKey, Wants>,
    /// Each complete: with what the prefixes around it want, since a look-up finds the longest
    /// one only.
    pub prefixes: BTreeMap<Prefix, Wants>,
}

/// A map's key, of either map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Host(HostKey),
    Prefix(Prefix),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, port, length) = match self {
            Self::Host(key) => (address_of(key.family, key.address), key.port, None),
            Self::Prefix((bits, key)) => (
                address_of(u16::from_be_bytes(key.family), key.address),
                u16::from_be_bytes(key.port),
                Some(bits - PREFIX_BITS_BEFORE_ADDRESS),
            ),
        };
        let length = length.map_or_else(String::new, |length| format!("/{length}"));
        match (address, port) {
            (address, 0) => write!(f, "{address}{length}"),
            (IpAddr::V4(address), port) => write!(f, "{address}{length}:{port}"),
            (IpAddr::V6(address), port) => write!(f, "[{address}{length}]:{port}"),
        }
    }
}

/// A key whose value changes, or that comes or goes.
///
/// Where a prefix has no entry of its own, its value is that of the prefix around it: so an entry
/// that comes starts from there, and one that goes ends there, and only then is deleted. In
/// between a packet inside finds it in place of the one around it, and finds the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    pub before: Wants,
    pub after: Wants,
    /// There is no entry yet.
    pub comes: bool,
    /// There shall be no entry in the end.
    pub goes: bool,
}

/// The steps on the way from the old entries to the new ones, in their order.
///
/// A packet looks several keys up, and they cannot all change at once. In this order what it
/// finds on the way never adds up to something that is neither old nor new. Experiments that
/// steer neither before nor after count for nothing; one that starts is written whole before the
/// switch of the commit, and one that stops is cleared after it. For one that goes on, first more
/// is spared, then more is wanted; then comes the switch; then less is wanted, then less is spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Start,
    SpareMore,
    WantMore,
    WantLess,
    SpareLess,
    Stop,
}

/// Which slots steer before the switch and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    pub before: u64,
    pub after: u64,
}

impl Step {
    pub const BEFORE_SWITCH: [Self; 3] = [Self::Start, Self::SpareMore, Self::WantMore];
    pub const AFTER_SWITCH: [Self; 3] = [Self::WantLess, Self::SpareLess, Self::Stop];

    /// The value that the step leaves.
    pub const fn value(self, change: &Change, live: Live) -> Wants {
        const fn mix(zeros: u64, ones: u64, mask: u64) -> u64 {
            (zeros & !mask) | (ones & mask)
        }
        let Change { before, after, .. } = change;
        let starting = live.after & !live.before;
        let steady = live.after & live.before;
        let want = mix(before.want, after.want, starting);
        let except = mix(before.except, after.except, starting);
        let more_wanted = mix(want, before.want | after.want, steady);
        let more_spared = mix(except, before.except | after.except, steady);
        let less_wanted = mix(want, after.want, steady);
        let less_spared = mix(except, after.except, steady);
        let (want, except) = match self {
            Self::Start => (want, except),
            Self::SpareMore => (want, more_spared),
            Self::WantMore => (more_wanted, more_spared),
            Self::WantLess => (less_wanted, more_spared),
            Self::SpareLess => (less_wanted, less_spared),
            Self::Stop => (after.want, after.except),
        };
        Wants { want, except }
    }
}

impl Tables {
    /// The entries for a device's experiments.
    pub fn of<'a>(laid: impl Iterator<Item = &'a Laid>) -> Self {
        let mut tables = Self::default();
        for laid in laid {
            let want = Wants {
                want: laid.bit(),
                except: 0,
            };
            let except = Wants {
                want: 0,
                except: laid.bit(),
            };
            match &laid.experiment.targets {
                Targets::AllTraffic => add(&mut tables.all, want),
                Targets::List(targets) => tables.aim(laid, targets, want),
            }
            tables.aim(laid, &laid.experiment.except, except);
        }
        tables.complete_prefixes();
        tables
    }

    /// What a commit has to say must be looked up.
    pub fn lookups(&self) -> u32 {
        let mut lookups = 0;
        for key in self.hosts.keys() {
            lookups |= if key.port == 0 {
                Commit::HOSTS
            } else {
                Commit::HOST_PORTS
            };
        }
        for (_, key) in self.prefixes.keys() {
            lookups |= if key.port == [0; 2] {
                Commit::PREFIXES
            } else {
                Commit::PREFIX_PORTS
            };
        }
        lookups
    }

    /// The keys whose values or entries differ.
    pub fn changes_to(&self, new: &Self) -> Vec<Change> {
        let hosts: BTreeSet<&HostKey> = self.hosts.keys().chain(new.hosts.keys()).collect();
        let hosts = hosts.into_iter().map(|key| {
            let (old, new) = (self.hosts.get(key), new.hosts.get(key));
            Change {
                key: Key::Host(*key),
                before: old.copied().unwrap_or_default(),
                after: new.copied().unwrap_or_default(),
                comes: old.is_none(),
                goes: new.is_none(),
            }
        });
        let prefixes: BTreeSet<&Prefix> = self.prefixes.keys().chain(new.prefixes.keys()).collect();
        let (old_lengths, new_lengths) = (self.prefix_lengths(), new.prefix_lengths());
        let prefixes = prefixes.into_iter().map(|key| {
            let (old, after) = (self.prefixes.get(key), new.prefixes.get(key));
            Change {
                key: Key::Prefix(*key),
                before: old
                    .copied()
                    .unwrap_or_else(|| self.around(key, &old_lengths)),
                after: after
                    .copied()
                    .unwrap_or_else(|| new.around(key, &new_lengths)),
                comes: old.is_none(),
                goes: after.is_none(),
            }
        });
        hosts
            .chain(prefixes)
            .filter(|change| change.before != change.after || change.comes || change.goes)
            .collect()
    }

    /// The lengths of prefixes that there are, longest first.
    fn prefix_lengths(&self) -> Vec<u32> {
        let lengths: BTreeSet<u32> = self.prefixes.keys().map(|(length, _)| *length).collect();
        lengths.into_iter().rev().collect()
    }

    /// What the longest prefix around another wants.
    fn around(&self, key: &Prefix, lengths: &[u32]) -> Wants {
        lengths
            .iter()
            .filter(|length| **length < key.0)
            .find_map(|length| self.prefixes.get(&shortened(key, *length)).copied())
            .unwrap_or_default()
    }

    fn aim(&mut self, laid: &Laid, targets: &[Target], what: Wants) {
        for target in targets {
            if target.ports.are_any() {
                self.aim_at_port(laid, &target.peer, 0, what);
            }
            for port in target.ports.iter() {
                self.aim_at_port(laid, &target.peer, port, what);
            }
        }
    }

    fn aim_at_port(&mut self, laid: &Laid, peer: &Peer, port: u16, what: Wants) {
        match peer {
            Peer::Prefix(prefix) if prefix.prefix_len() == prefix.max_prefix_len() => {
                self.aim_at_host(prefix.addr(), port, what);
            }
            Peer::Prefix(prefix) => {
                add(
                    self.prefixes.entry(prefix_key(prefix, port)).or_default(),
                    what,
                );
            }
            Peer::Name(name) => {
                for address in laid.addresses.get(name.as_str()).into_iter().flatten() {
                    self.aim_at_host(*address, port, what);
                }
            }
        }
    }

    fn aim_at_host(&mut self, address: IpAddr, port: u16, what: Wants) {
        let (family, address) = family_and_bytes(address);
        let key = HostKey {
            address,
            port,
            family,
        };
        add(self.hosts.entry(key).or_default(), what);
    }

    /// Gives each prefix what the ones around it want. They are sorted by length, so the ones
    /// around it are complete when its turn comes, and the longest of them says it all.
    fn complete_prefixes(&mut self) {
        let lengths = self.prefix_lengths();
        let keys: Vec<Prefix> = self.prefixes.keys().copied().collect();
        for key in keys {
            let around = self.around(&key, &lengths);
            if let Some(wants) = self.prefixes.get_mut(&key) {
                add(wants, around);
            }
        }
    }
}

fn add(sum: &mut Wants, more: Wants) {
    sum.want |= more.want;
    sum.except |= more.except;
}

/// Family and address as the keys hold them.
pub fn family_and_bytes(address: IpAddr) -> (u16, [u8; 16]) {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            (IPV4, bytes)
        }
        IpAddr::V6(address) => (IPV6, address.octets()),
    }
}

fn address_of(family: u16, bytes: [u8; 16]) -> IpAddr {
    let [a, b, c, d, ..] = bytes;
    if family == IPV4 {
        IpAddr::from([a, b, c, d])
    } else {
        IpAddr::from(bytes)
    }
}

fn prefix_key(prefix: &IpNet, port: u16) -> Prefix {
    let (family, address) = family_and_bytes(prefix.network());
    let bits = PREFIX_BITS_BEFORE_ADDRESS + u32::from(prefix.prefix_len());
    let key = PrefixKey {
        family: family.to_be_bytes(),
        port: port.to_be_bytes(),
        address,
    };
    (bits, key)
}

/// The prefix of `bits` bits around another.
fn shortened((_, key): &Prefix, bits: u32) -> Prefix {
    let keep = bits - PREFIX_BITS_BEFORE_ADDRESS;
    let mask = u128::MAX.checked_shl(128 - keep).unwrap_or(0);
    let address = u128::from_be_bytes(key.address) & mask;
    let key = PrefixKey {
        address: address.to_be_bytes(),
        ..*key
    };
    (bits, key)
}

#[cfg(test)]
mod tests;
