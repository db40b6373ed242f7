//! The maps by name and type.

use std::{collections::BTreeMap, io};

use aya::maps::{
    Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuValues, lpm_trie::Key,
};
use netchaos_common::abi::{Commit, Counter, Device, HostKey, Past, PrefixKey, Steer, Wants};

use super::{Error, Records};

/// Entries that the growing maps can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub hosts: u32,
    pub prefixes: u32,
    pub chunks: u32,
    /// Whether there is an entry for every port: half a megabyte for either end's.
    pub ports: bool,
}

impl Capacity {
    const PORTS: u32 = 1 << 16;

    /// Entries of `REMOTE_PORTS` and of `LOCAL_PORTS`.
    pub(super) const fn port_entries(&self) -> u32 {
        if self.ports { Self::PORTS } else { 1 }
    }
}

/// All maps of one device's classifier.
pub struct Maps {
    pub current: Array<MapData, u32>,
    pub commits: Array<MapData, Commit>,
    hosts: HashMap<MapData, HostKey, Wants>,
    prefixes: LpmTrie<MapData, PrefixKey, Wants>,
    pub steers: Array<MapData, Steer>,
    pub device: Array<MapData, Device>,
    remote_ports: Array<MapData, u64>,
    local_ports: Array<MapData, u64>,
    protocols: Array<MapData, u64>,
    counters: PerCpuArray<MapData, Counter>,
    loss_states: PerCpuArray<MapData, u32>,
    priorities: HashMap<MapData, u32, u32>,
    past: Array<MapData, Past>,
    pub records: Records,
    capacity: Capacity,
}

/// Key of a prefix: the bits that count, and the data.
pub type Prefix = (u32, PrefixKey);

impl Maps {
    /// Takes the maps from wherever `take` finds them.
    pub(super) fn collect(mut take: impl FnMut(&str) -> Result<Map, Error>) -> Result<Self, Error> {
        fn room(map: &MapData) -> Result<u32, Error> {
            map.info()
                .map(|info| info.max_entries())
                .map_err(|error| Error::new("size up a map", error))
        }
        let mut sized = |name| {
            let map = take(name)?;
            let entries = match &map {
                Map::HashMap(data) | Map::LpmTrie(data) | Map::Array(data) => room(data)?,
                _ => 0,
            };
            Ok::<_, Error>((map, entries))
        };
        let (hosts, hosts_room) = sized("HOSTS")?;
        let (prefixes, prefixes_room) = sized("PREFIXES")?;
        let (texts, texts_room) = sized("TEXTS")?;
        let mut texts = Some(texts);
        let (remote_ports, ports_room) = sized("REMOTE_PORTS")?;
        Ok(Self {
            current: typed("CURRENT", take("CURRENT")?)?,
            commits: typed("COMMITS", take("COMMITS")?)?,
            hosts: typed("HOSTS", hosts)?,
            prefixes: typed("PREFIXES", prefixes)?,
            steers: typed("STEERS", take("STEERS")?)?,
            device: typed("DEVICE", take("DEVICE")?)?,
            remote_ports: typed("REMOTE_PORTS", remote_ports)?,
            local_ports: typed("LOCAL_PORTS", take("LOCAL_PORTS")?)?,
            protocols: typed("PROTOCOLS", take("PROTOCOLS")?)?,
            counters: typed("COUNTERS", take("COUNTERS")?)?,
            loss_states: typed("LOSS_STATES", take("LOSS_STATES")?)?,
            priorities: typed("PRIORITIES", take("PRIORITIES")?)?,
            past: typed("PAST", take("PAST")?)?,
            records: Records::collect(|name| match texts.take_if(|_| name == "TEXTS") {
                Some(texts) => Ok(texts),
                None => take(name),
            })?,
            capacity: Capacity {
                hosts: hosts_room,
                prefixes: prefixes_room,
                chunks: texts_room,
                ports: ports_room >= Capacity::PORTS,
            },
        })
    }

    /// Whether the growing maps have so many entries in all.
    pub const fn has_room(&self, needed: &Capacity) -> bool {
        self.capacity.hosts >= needed.hosts
            && self.capacity.prefixes > needed.prefixes
            && self.capacity.chunks >= needed.chunks
            && (self.capacity.ports || !needed.ports)
    }

    /// # Errors
    /// The kernel's refusal, for one a full map.
    pub fn put_host(&mut self, key: &HostKey, wants: &Wants) -> Result<(), Error> {
        self.hosts
            .insert(key, wants, 0)
            .map_err(|error| Error::new("write the map HOSTS", error))
    }

    /// # Errors
    /// The kernel's refusal; an entry that is not there is fine.
    pub fn remove_host(&mut self, key: &HostKey) -> Result<(), Error> {
        absent_is_fine(self.hosts.remove(key))
            .map_err(|error| Error::new("delete from the map HOSTS", error))
    }

    /// # Errors
    /// The kernel's refusal.
    pub fn hosts(&self) -> Result<Vec<(HostKey, Wants)>, Error> {
        self.hosts
            .iter()
            .collect::<Result<_, _>>()
            .map_err(|error| Error::new("read the map HOSTS", error))
    }

    /// # Errors
    /// The kernel's refusal, for one a full map.
    pub fn put_prefix(&mut self, prefix: &Prefix, wants: &Wants) -> Result<(), Error> {
        self.prefixes
            .insert(&Key::new(prefix.0, prefix.1), wants, 0)
            .map_err(|error| Error::new("write the map PREFIXES", error))
    }

    /// # Errors
    /// The kernel's refusal; an entry that is not there is fine.
    pub fn remove_prefix(&mut self, prefix: &Prefix) -> Result<(), Error> {
        absent_is_fine(self.prefixes.remove(&Key::new(prefix.0, prefix.1)))
            .map_err(|error| Error::new("delete from the map PREFIXES", error))
    }

    /// # Errors
    /// The kernel's refusal.
    pub fn prefixes(&self) -> Result<Vec<(Prefix, Wants)>, Error> {
        let unpack =
            |(key, wants): (Key<PrefixKey>, Wants)| ((key.prefix_len(), key.data()), wants);
        self.prefixes
            .iter()
            .map(|entry| entry.map(unpack))
            .collect::<Result<_, _>>()
            .map_err(|error| Error::new("read the map PREFIXES", error))
    }

    /// Sets which slots want packets of a port at the peer, a bit each.
    ///
    /// # Errors
    /// The kernel's refusal, for one where there is no entry for every port.
    pub fn put_remote_port(&mut self, port: u16, slots: u64) -> Result<(), Error> {
        self.remote_ports
            .set(port.into(), slots, 0)
            .map_err(|error| Error::new("write the map REMOTE_PORTS", error))
    }

    /// Sets which slots want packets of a port at the place.
    ///
    /// # Errors
    /// As [`Self::put_remote_port`].
    pub fn put_local_port(&mut self, port: u16, slots: u64) -> Result<(), Error> {
        self.local_ports
            .set(port.into(), slots, 0)
            .map_err(|error| Error::new("write the map LOCAL_PORTS", error))
    }

    /// Sets which slots want packets of a protocol of IP.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn put_protocol(&mut self, number: u8, slots: u64) -> Result<(), Error> {
        self.protocols
            .set(number.into(), slots, 0)
            .map_err(|error| Error::new("write the map PROTOCOLS", error))
    }

    /// The ports at the peer that somebody wants, and who.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn remote_ports(&self) -> Result<BTreeMap<u16, u64>, Error> {
        nonzero(&self.remote_ports, "REMOTE_PORTS", |port| port as u16)
    }

    /// The same of the ports at the place.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn local_ports(&self) -> Result<BTreeMap<u16, u64>, Error> {
        nonzero(&self.local_ports, "LOCAL_PORTS", |port| port as u16)
    }

    /// The same of the protocols.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn protocols(&self) -> Result<BTreeMap<u8, u64>, Error> {
        nonzero(&self.protocols, "PROTOCOLS", |number| number as u8)
    }

    /// What a slot's packets have been counted as by these programs, on the way out, or in, added up
    /// over the CPUs.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn counter(&self, slot: u32, ingress: bool) -> Result<Counter, Error> {
        let per_cpu = self
            .counters
            .get(&Counter::index(slot, ingress), 0)
            .map_err(|error| Error::new("read the map COUNTERS", error))?;
        let sum = |sum: Counter, cpu: &Counter| sum.plus(cpu);
        Ok(per_cpu.iter().fold(Counter::default(), sum))
    }

    /// Writes down what counts for a slot beside what these programs count.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn set_past(&mut self, slot: u32, ingress: bool, past: Past) -> Result<(), Error> {
        self.past
            .set(Counter::index(slot, ingress), past, 0)
            .map_err(|error| Error::new("write the map PAST", error))
    }

    /// Clears what is kept of a slot that nobody is in: its counters, and where its chains of losses
    /// are.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn clear_slot(&mut self, slot: u32) -> Result<(), Error> {
        for ingress in [false, true] {
            let index = Counter::index(slot, ingress);
            self.counters
                .set(index, on_one_cpu(Counter::default())?, 0)
                .map_err(|error| Error::new("write the map COUNTERS", error))?;
            self.loss_states
                .set(index, on_one_cpu(0)?, 0)
                .map_err(|error| Error::new("write the map LOSS_STATES", error))?;
            self.set_past(slot, ingress, Past::default())?;
        }
        Ok(())
    }

    /// Copies the priorities that packets on their laps may have to get back.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn copy_priorities(&mut self, from: &dyn Earlier) -> Result<(), Error> {
        let mut copy = || {
            for entry in from.priorities().iter() {
                let (code, priority) = entry?;
                self.priorities.insert(code, priority, 0)?;
            }
            Ok::<_, MapError>(())
        };
        copy().map_err(|error| Error::new("copy the map PRIORITIES", error))
    }
}

/// Maps that new ones take over from.
pub trait Earlier {
    /// All that counts for a slot.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn counted(&self, slot: u32, ingress: bool) -> Result<Past, Error>;

    /// Whether that says which packets went into a band and came out of it.
    fn counts_laps(&self) -> bool;

    fn priorities(&self) -> &HashMap<MapData, u32, u32>;
}

impl Earlier for Maps {
    fn counted(&self, slot: u32, ingress: bool) -> Result<Past, Error> {
        let past = self
            .past
            .get(&Counter::index(slot, ingress), 0)
            .map_err(|error| Error::new("read the map PAST", error))?;
        Ok(Past {
            counter: past.counter.plus(&self.counter(slot, ingress)?),
            ..past
        })
    }

    fn counts_laps(&self) -> bool {
        true
    }

    fn priorities(&self) -> &HashMap<MapData, u32, u32> {
        &self.priorities
    }
}

pub(super) fn typed<T: TryFrom<Map, Error = MapError>>(name: &str, map: Map) -> Result<T, Error> {
    T::try_from(map).map_err(|error| Error::new(format!("open the map {name}"), error))
}

/// The entry of a per-CPU map with `value` on one CPU and nothing on the others.
fn on_one_cpu<V: aya::Pod + Default>(value: V) -> Result<PerCpuValues<V>, Error> {
    let cpus = aya::util::nr_cpus()
        .map_err(|(file, error)| Error::new(format!("count the CPUs in {file}"), error))?;
    let mut values = vec![V::default(); cpus];
    values[0] = value;
    values
        .try_into()
        .map_err(|error: io::Error| Error::new("fill an entry for each CPU", error))
}

/// Entries of an array that are not zero.
fn nonzero<K: Ord>(
    map: &Array<MapData, u64>,
    name: &str,
    key: impl Fn(u32) -> K,
) -> Result<BTreeMap<K, u64>, Error> {
    let mut entries = BTreeMap::new();
    for (index, entry) in (0..).zip(map.iter()) {
        let slots = entry.map_err(|error| Error::new(format!("read the map {name}"), error))?;
        if slots != 0 {
            entries.insert(key(index), slots);
        }
    }
    Ok(entries)
}

pub(super) fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// One entry of an array, or its replacement; for the small maps whose fields are public.
pub trait Entry<V> {
    /// # Errors
    /// The kernel's refusal.
    fn read(&self, index: u32) -> Result<V, Error>;
    /// # Errors
    /// The kernel's refusal.
    fn write(&mut self, index: u32, value: V) -> Result<(), Error>;
}

impl<V: aya::Pod> Entry<V> for Array<MapData, V> {
    fn read(&self, index: u32) -> Result<V, Error> {
        self.get(&index, 0)
            .map_err(|error| Error::new("read a map", error))
    }

    fn write(&mut self, index: u32, value: V) -> Result<(), Error> {
        self.set(index, value, 0)
            .map_err(|error| Error::new("write a map", error))
    }
}
