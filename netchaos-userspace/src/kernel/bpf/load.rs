//! Loading the classifiers, and finding loaded ones again.

use std::{io, os::fd::AsFd as _};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, MapError, MapInfo},
    programs::{ProgramError, SchedClassifier},
};
use netchaos_common::abi::Meta;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use super::{BACK, Capacity, EGRESS, Error, FOLLOW, INGRESS, Maps, OlderMaps, kept};

/// The object that `build.rs` made.
static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netchaos-classifier"));

/// The loaded programs, ready to be attached, and their maps. They stay in their object: to take
/// one out it would have to be opened by its id, which takes CAP_SYS_ADMIN.
pub struct Programs(Ebpf);

impl Programs {
    /// The program for egress of the device that the faults are on.
    ///
    /// # Errors
    /// None, since it was loaded.
    pub fn egress(&mut self) -> Result<&mut SchedClassifier, Error> {
        program(&mut self.0, EGRESS)
    }

    /// The program for its ingress.
    ///
    /// # Errors
    /// None, since it was loaded.
    pub fn ingress(&mut self) -> Result<&mut SchedClassifier, Error> {
        program(&mut self.0, INGRESS)
    }

    /// The program for the lower device of a pair.
    ///
    /// # Errors
    /// None, since it was loaded.
    pub fn back(&mut self) -> Result<&mut SchedClassifier, Error> {
        program(&mut self.0, BACK)
    }

    pub(super) fn named(&mut self, name: &'static str) -> Result<&mut SchedClassifier, Error> {
        program(&mut self.0, name)
    }

    /// Their maps, opened once more.
    pub(super) fn maps(&self) -> Result<Vec<(MapInfo, Map)>, Error> {
        let maps = self.0.maps().filter_map(|(_, map)| data_of(map));
        let opened = maps.map(|data| {
            let info = data.info();
            let info = info.map_err(|error| Error::new("inspect a map", error))?;
            Ok((info, again(data)?))
        });
        opened.collect()
    }
}

/// A map of the kinds that the programs share. Others of the object are not theirs.
const fn data_of(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::LpmTrie(data) | Map::PerCpuArray(data) => {
            Some(data)
        }
        _ => None,
    }
}

/// The same map with a descriptor of its own.
fn again(map: &MapData) -> Result<Map, Error> {
    let what = "open a map again";
    let fd = map.fd().as_fd().try_clone_to_owned();
    let fd = fd.map_err(|error| Error::new(what, error))?;
    MapData::from_fd(fd)
        .and_then(Map::from_map_data)
        .map_err(|error| Error::new(what, error))
}

/// The programs of one device with the maps that they share.
pub struct Classifier {
    pub programs: Programs,
    pub maps: Maps,
}

impl Classifier {
    /// Loads the programs with empty maps.
    ///
    /// # Errors
    /// The verifier's or the kernel's refusal; [`Error::is_about_rights`] where CAP_BPF,
    /// CAP_NET_ADMIN and CAP_PERFMON are not there.
    pub fn load(capacity: &Capacity) -> Result<Self, Error> {
        let mut ebpf = load_object(|loader| {
            loader
                .map_max_entries("HOSTS", capacity.hosts)
                .map_max_entries("PREFIXES", capacity.prefixes)
                .map_max_entries("TEXTS", capacity.chunks)
                .map_max_entries("REMOTE_PORTS", capacity.port_entries())
                .map_max_entries("LOCAL_PORTS", capacity.port_entries());
        })?;
        for name in [EGRESS, INGRESS, BACK] {
            load_program(&mut ebpf, name)?;
        }
        let maps = Maps::collect(|name| {
            let map = ebpf.map(name).and_then(data_of);
            let no_map = || Error::unexpected("load the classifier", format!("no map {name}"));
            again(map.ok_or_else(no_map)?)
        })?;
        Ok(Self {
            programs: Programs(ebpf),
            maps,
        })
    }
}

/// Magic number and ABI version of a loaded program's maps; none where it holds no such map. The
/// first words of `META` are where they are whatever the ABI.
///
/// # Errors
/// As [`maps_of_program`].
pub fn abi_of_program(id: u32) -> Result<Option<(u32, u32)>, Error> {
    let what = || format!("read the ABI version of BPF program {id}");
    let mut maps = MapsOf::program(id)?;
    let Some(meta) = maps.find("META") else {
        return Ok(None);
    };
    let meta: Array<MapData, Meta> = meta
        .try_into()
        .map_err(|error: MapError| Error::new(what(), error))?;
    let meta = meta.get(&0, 0).map_err(|error| Error::new(what(), error))?;
    Ok(Some((meta.magic, meta.abi)))
}

/// The maps of a loaded program, found by its id.
///
/// # Errors
/// The program is gone, lacks a map, or CAP_SYS_ADMIN is missing, which opening by id takes
/// (kernel/bpf/syscall.c, `bpf_map_get_fd_by_id`).
pub fn maps_of_program(id: u32) -> Result<Maps, Error> {
    let mut maps = MapsOf::program(id)?;
    Maps::collect(|name| maps.take(name))
}

/// The same of a netchaos before this one.
///
/// # Errors
/// As [`maps_of_program`].
pub fn older_maps_of_program(id: u32) -> Result<OlderMaps, Error> {
    let mut maps = MapsOf::program(id)?;
    OlderMaps::collect(|name| maps.take(name))
}

/// Whether two loaded programs use the same maps: those that were loaded together do, and no others.
///
/// # Errors
/// As [`maps_of_program`].
pub fn share_maps(one: u32, other: u32) -> Result<bool, Error> {
    let [one, other] = [MapsOf::program(one)?, MapsOf::program(other)?];
    let is_in_other = |id: u32| other.maps.iter().any(|(found, _)| found.id() == id);
    Ok(one.maps.iter().any(|(map, _)| is_in_other(map.id())))
}

/// The maps that a loaded program holds.
struct MapsOf {
    program: u32,
    maps: Vec<(MapInfo, Map)>,
}

impl MapsOf {
    fn program(id: u32) -> Result<Self, Error> {
        let what = || format!("open the maps of BPF program {id}");
        let open = || {
            let ids = kept::info(id)?.map_ids();
            let ids = ids.map_err(|error| Error::by_id(what(), error))?;
            let opened = ids.unwrap_or_default().into_iter().map(|id| {
                let data = MapData::from_id(id)?;
                Ok((data.info()?, Map::from_map_data(data)?))
            });
            let opened = opened.collect::<Result<_, MapError>>();
            opened.map_err(|error| Error::by_id(what(), error))
        };
        let maps = match kept::maps(id) {
            Some(maps) => maps?,
            None => open()?,
        };
        Ok(Self { program: id, maps })
    }

    fn find(&mut self, name: &str) -> Option<Map> {
        let mut maps = self.maps.iter();
        let found = maps.position(|(info, _)| info.name_as_str() == Some(name))?;
        Some(self.maps.swap_remove(found).1)
    }

    fn take(&mut self, name: &str) -> Result<Map, Error> {
        let what = format!("open the map {name} of BPF program {}", self.program);
        self.find(name)
            .ok_or_else(|| Error::unexpected(what, "it has no such map"))
    }
}

/// Loads the object's maps. Its programs are loaded one by one, as needed.
pub(super) fn load_object(adjust: impl FnOnce(&mut EbpfLoader<'_>)) -> Result<Ebpf, Error> {
    // Before 5.11 maps count against RLIMIT_MEMLOCK, whose default is too small; where it cannot
    // be raised the load says so.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let mut loader = EbpfLoader::new();
    adjust(&mut loader);
    loader
        .load(OBJECT)
        .map_err(|error| Error::new("load the classifier's maps", error))
}

/// Loads one program of the object.
pub(super) fn load_program<'e>(
    ebpf: &'e mut Ebpf,
    name: &'static str,
) -> Result<&'e mut SchedClassifier, Error> {
    let loaded = program(ebpf, name)?;
    match loaded.load() {
        Ok(()) => {
            has_its_name(loaded, name)?;
            Ok(loaded)
        }
        Err(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) => Err(Error::rejected(name, io_error, &verifier_log.to_string())),
        Err(error) => Err(Error::new(format!("load the classifier {name}"), error)),
    }
}

/// aya finds out by trying whether programs can have names, and goes on without where the trial
/// is refused; but by its name a program is found again.
fn has_its_name(program: &SchedClassifier, name: &str) -> Result<(), Error> {
    let info = program.info();
    let info = info.map_err(|error| Error::new(format!("inspect the classifier {name}"), error))?;
    if info.name_as_str() == Some(name) {
        return Ok(());
    }
    let why = "it cannot have a name; CAP_PERFMON is missing";
    let denied = io::Error::new(io::ErrorKind::PermissionDenied, why);
    Err(Error::new(format!("load the classifier {name}"), denied))
}

pub(super) fn program<'e>(
    ebpf: &'e mut Ebpf,
    name: &'static str,
) -> Result<&'e mut SchedClassifier, Error> {
    let what = || format!("find the classifier {name}");
    ebpf.program_mut(name)
        .ok_or_else(|| Error::unexpected(what(), "the object has no such program"))?
        .try_into()
        .map_err(|error: ProgramError| Error::new(what(), error))
}

/// Names of the programs in the object.
pub const PROGRAMS: [&str; 4] = [EGRESS, INGRESS, BACK, FOLLOW];

/// Loads each program by itself and gives back how many instructions the verifier looked at
/// (0 before Linux 5.16, which does not say).
///
/// # Errors
/// The verifier's refusal.
pub fn load_each() -> Result<Vec<(&'static str, u32)>, Error> {
    let mut ebpf = load_object(|_| ())?;
    let mut loaded = Vec::new();
    for name in PROGRAMS {
        let program = load_program(&mut ebpf, name)?;
        let info = program
            .info()
            .map_err(|error| Error::new(format!("inspect the classifier {name}"), error))?;
        loaded.push((name, info.verified_instruction_count().unwrap_or(0)));
    }
    Ok(loaded)
}
