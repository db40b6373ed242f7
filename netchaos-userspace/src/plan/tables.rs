//! Targets -> the maps' entries, and the way from one set of entries to another.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::IpAddr,
};

use ipnet::IpNet;
use netchaos_common::abi::{
    Commit, HostKey, IPV4, IPV6, Limited, PREFIX_BITS_BEFORE_ADDRESS, PrefixKey, Wants,
};

pub use self::{
    size::{MOST_KEYS, TooManyKeys, check_size},
    step::{Change, Live, Step},
};
use super::Laid;
use crate::experiment::{Peer, Target, Targets, Vital};

mod size;
mod step;

/// Key of a prefix: the bits that count, and the address.
pub type Prefix = (u32, PrefixKey);

/// What the maps say of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub all: Wants,
    /// Slots that want only what `remote`, `local` and `protocols` say.
    pub limited: Limited,
    /// As in [`Commit::vital`].
    pub vital: [u64; 3],
    pub hosts: HashMap<HostKey, Wants>,
    /// Each complete: with what the prefixes around it want, since a look-up finds the longest
    /// one only.
    pub prefixes: BTreeMap<Prefix, Wants>,
    /// Slots that want a port at the peer, a bit each.
    pub remote: BTreeMap<u16, u64>,
    /// Slots that want a port at the place.
    pub local: BTreeMap<u16, u64>,
    /// Slots that want a protocol of IP.
    pub protocols: BTreeMap<u8, u64>,
}

/// A map's key, of any map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Host(HostKey),
    Prefix(Prefix),
    RemotePort(u16),
    LocalPort(u16),
    Protocol(u8),
}

impl Key {
    /// The name of its map.
    pub const fn map(&self) -> &'static str {
        match self {
            Self::Host(_) => "HOSTS",
            Self::Prefix(_) => "PREFIXES",
            Self::RemotePort(_) => "REMOTE_PORTS",
            Self::LocalPort(_) => "LOCAL_PORTS",
            Self::Protocol(_) => "PROTOCOLS",
        }
    }
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
            Self::RemotePort(port) => return write!(f, "port {port} at the peer"),
            Self::LocalPort(port) => return write!(f, "port {port} at the place"),
            Self::Protocol(number) => return write!(f, "protocol {number}"),
        };
        let length = length.map_or_else(String::new, |length| format!("/{length}"));
        match (address, port) {
            (address, 0) => write!(f, "{address}{length}"),
            (IpAddr::V4(address), port) => write!(f, "{address}{length}:{port}"),
            (IpAddr::V6(address), port) => write!(f, "[{address}{length}]:{port}"),
        }
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
            tables.limit(laid);
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
        for (is_empty, lookup) in [
            (self.remote.is_empty(), Commit::REMOTE_PORTS),
            (self.local.is_empty(), Commit::LOCAL_PORTS),
            (self.protocols.is_empty(), Commit::PROTOCOLS),
        ] {
            if !is_empty {
                lookups |= lookup;
            }
        }
        lookups
    }

    /// Whether the maps need an entry for every port.
    pub fn need_ports(&self) -> bool {
        !self.remote.is_empty() || !self.local.is_empty()
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
        let remote = bit_changes(&self.remote, &new.remote, Key::RemotePort);
        let local = bit_changes(&self.local, &new.local, Key::LocalPort);
        let protocols = bit_changes(&self.protocols, &new.protocols, Key::Protocol);
        hosts
            .chain(prefixes)
            .chain(remote)
            .chain(local)
            .chain(protocols)
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

    /// Adds the conditions that an experiment has beside its targets.
    fn limit(&mut self, laid: &Laid) {
        let (rule, bit) = (&laid.experiment.rule, laid.bit());
        if !rule.ports.are_any() {
            self.limited.remote |= bit;
        }
        for port in rule.ports.iter() {
            *self.remote.entry(port).or_default() |= bit;
        }
        if !rule.local_ports.are_any() {
            self.limited.local |= bit;
        }
        for port in rule.local_ports.iter() {
            *self.local.entry(port).or_default() |= bit;
        }
        if !rule.protocols.is_empty() {
            self.limited.protocol |= bit;
        }
        for number in rule.protocols.iter().flat_map(|one| one.numbers()) {
            *self.protocols.entry(number).or_default() |= bit;
        }
        for vital in &rule.include {
            let kind = match vital {
                Vital::Arp => 0,
                Vital::Nd => 1,
                Vital::Dhcp => 2,
            };
            self.vital[kind] |= bit;
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

/// The keys of a map of slots whose bits differ. They change in the order of what is wanted.
fn bit_changes<'t, K: Ord + Copy>(
    old: &'t BTreeMap<K, u64>,
    new: &'t BTreeMap<K, u64>,
    key: impl Fn(K) -> Key + 't,
) -> impl Iterator<Item = Change> + 't {
    let keys: BTreeSet<K> = old.keys().chain(new.keys()).copied().collect();
    keys.into_iter().map(move |index| {
        let bits = |map: &BTreeMap<K, u64>| Wants {
            want: map.get(&index).copied().unwrap_or_default(),
            except: 0,
        };
        Change {
            key: key(index),
            before: bits(old),
            after: bits(new),
            comes: false,
            goes: false,
        }
    })
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
