//! The maps by name and type.

use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, lpm_trie::Key};
use netchaos_common::abi::{
    CHUNK, Chunk, Commit, Counter, Device, HostKey, Meta, PrefixKey, State, Steer, TextKey, Wants,
};

use super::Error;

/// Entries that the growing maps can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub hosts: u32,
    pub prefixes: u32,
    pub chunks: u32,
}

/// All maps of one device's classifier.
pub struct Maps {
    pub current: Array<MapData, u32>,
    pub commits: Array<MapData, Commit>,
    hosts: HashMap<MapData, HostKey, Wants>,
    prefixes: LpmTrie<MapData, PrefixKey, Wants>,
    pub steers: Array<MapData, Steer>,
    pub device: Array<MapData, Device>,
    counters: PerCpuArray<MapData, Counter>,
    priorities: HashMap<MapData, u32, u32>,
    pub meta: Array<MapData, Meta>,
    pub states: Array<MapData, State>,
    texts: HashMap<MapData, TextKey, Chunk>,
    capacity: Capacity,
}

/// Key of a prefix: the bits that count, and the data.
pub type Prefix = (u32, PrefixKey);

impl Maps {
    /// Takes the maps from wherever `take` finds them.
    pub(super) fn collect(mut take: impl FnMut(&str) -> Result<Map, Error>) -> Result<Self, Error> {
        fn typed<T: TryFrom<Map, Error = MapError>>(name: &str, map: Map) -> Result<T, Error> {
            T::try_from(map).map_err(|error| Error::new(format!("open the map {name}"), error))
        }
        fn room(map: &MapData) -> Result<u32, Error> {
            map.info()
                .map(|info| info.max_entries())
                .map_err(|error| Error::new("size up a map", error))
        }
        let mut sized = |name| {
            let map = take(name)?;
            let entries = match &map {
                Map::HashMap(data) | Map::LpmTrie(data) => room(data)?,
                _ => 0,
            };
            Ok::<_, Error>((map, entries))
        };
        let (hosts, hosts_room) = sized("HOSTS")?;
        let (prefixes, prefixes_room) = sized("PREFIXES")?;
        let (texts, texts_room) = sized("TEXTS")?;
        Ok(Self {
            current: typed("CURRENT", take("CURRENT")?)?,
            commits: typed("COMMITS", take("COMMITS")?)?,
            hosts: typed("HOSTS", hosts)?,
            prefixes: typed("PREFIXES", prefixes)?,
            steers: typed("STEERS", take("STEERS")?)?,
            device: typed("DEVICE", take("DEVICE")?)?,
            counters: typed("COUNTERS", take("COUNTERS")?)?,
            priorities: typed("PRIORITIES", take("PRIORITIES")?)?,
            meta: typed("META", take("META")?)?,
            states: typed("STATES", take("STATES")?)?,
            texts: typed("TEXTS", texts)?,
            capacity: Capacity {
                hosts: hosts_room,
                prefixes: prefixes_room,
                chunks: texts_room,
            },
        })
    }

    /// Whether the growing maps have so many entries in all.
    pub const fn has_room(&self, needed: &Capacity) -> bool {
        self.capacity.hosts >= needed.hosts
            && self.capacity.prefixes > needed.prefixes
            && self.capacity.chunks >= needed.chunks
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

    /// A slot's counters, added up over the CPUs.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn counter(&self, slot: u32) -> Result<Counter, Error> {
        let per_cpu = self
            .counters
            .get(&slot, 0)
            .map_err(|error| Error::new("read the map COUNTERS", error))?;
        Ok(per_cpu.iter().fold(Counter::default(), |sum, cpu| Counter {
            packets: sum.packets + cpu.packets,
            bytes: sum.bytes + cpu.bytes,
            first: match (sum.first, cpu.first) {
                (0, first) | (first, 0) => first,
                (one, other) => one.min(other),
            },
            last: sum.last.max(cpu.last),
        }))
    }

    /// Sets a slot's counters, on one CPU what is given and nothing on the others.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn set_counter(&mut self, slot: u32, counter: Counter) -> Result<(), Error> {
        let what = "write the map COUNTERS";
        let cpus = aya::util::nr_cpus()
            .map_err(|(file, error)| Error::new(format!("count the CPUs in {file}"), error))?;
        let mut values = vec![Counter::default(); cpus];
        values[0] = counter;
        let values = values.try_into().map_err(|error| Error::new(what, error))?;
        self.counters
            .set(slot, values, 0)
            .map_err(|error| Error::new(what, error))
    }

    /// Copies the priorities that packets on their laps may have to get back.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn copy_priorities(&mut self, from: &Self) -> Result<(), Error> {
        let mut copy = || {
            for entry in from.priorities.iter() {
                let (code, priority) = entry?;
                self.priorities.insert(code, priority, 0)?;
            }
            Ok::<_, MapError>(())
        };
        copy().map_err(|error| Error::new("copy the map PRIORITIES", error))
    }

    /// Writes a text in pieces under a number that is not in use.
    ///
    /// # Errors
    /// The kernel's refusal, for one a full map.
    pub fn put_text(&mut self, text: u32, content: &str) -> Result<(), Error> {
        for (chunk, piece) in content.as_bytes().chunks(CHUNK).enumerate() {
            let mut bytes = [0; CHUNK];
            bytes[..piece.len()].copy_from_slice(piece);
            let key = TextKey {
                text,
                chunk: chunk as u32,
            };
            self.texts
                .insert(key, Chunk { bytes }, 0)
                .map_err(|error| Error::new("write the map TEXTS", error))?;
        }
        Ok(())
    }

    /// # Errors
    /// A piece is missing, or the kernel's refusal.
    pub fn text(&self, text: u32, length: u32) -> Result<String, Error> {
        let what = "read the map TEXTS";
        let mut bytes = Vec::new();
        for chunk in 0..length.div_ceil(CHUNK as u32) {
            let piece = self
                .texts
                .get(&TextKey { text, chunk }, 0)
                .map_err(|error| Error::new(what, error))?;
            bytes.extend(piece.bytes);
        }
        bytes.truncate(length as usize);
        String::from_utf8(bytes).map_err(|error| Error::unexpected(what, error.to_string()))
    }

    /// Deletes every text whose number is not in `keep`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn keep_texts(&mut self, keep: &[u32]) -> Result<(), Error> {
        let mut delete = || {
            let keys: Vec<TextKey> = self.texts.keys().collect::<Result<_, _>>()?;
            for key in keys {
                if !keep.contains(&key.text) {
                    absent_is_fine(self.texts.remove(&key))?;
                }
            }
            Ok::<_, MapError>(())
        };
        delete().map_err(|error| Error::new("delete from the map TEXTS", error))
    }
}

fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
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
