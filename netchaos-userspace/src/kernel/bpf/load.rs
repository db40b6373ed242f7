//! Loading the classifiers, and finding loaded ones again.

use std::borrow::Cow;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, MapInfo, MapType},
    programs::{ProgramInfo, SchedClassifier, loaded_programs},
};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use super::{BACK, Capacity, EGRESS, Error, FOLLOW, Maps};

/// The object that `build.rs` made.
static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netchaos-classifier"));

/// The programs, ready to be attached.
pub struct Programs {
    pub egress: SchedClassifier,
    pub back: SchedClassifier,
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
    /// The verifier's or the kernel's refusal; [`Error::is_about_rights`] where CAP_BPF and
    /// CAP_NET_ADMIN (before 6.12 CAP_PERFMON as well) are not there.
    pub fn load(capacity: &Capacity) -> Result<Self, Error> {
        let mut ebpf = load_object(|loader| {
            loader
                .map_max_entries("HOSTS", capacity.hosts)
                .map_max_entries("PREFIXES", capacity.prefixes)
                .map_max_entries("TEXTS", capacity.chunks);
        })?;
        Ok(Self {
            programs: Programs {
                egress: load_program(&mut ebpf, EGRESS)?,
                back: load_program(&mut ebpf, BACK)?,
            },
            maps: Maps::collect(|name| {
                ebpf.take_map(name).ok_or_else(|| {
                    Error::unexpected("load the classifier", format!("no map {name}"))
                })
            })?,
        })
    }
}

/// The maps of a loaded program, found by its id.
///
/// # Errors
/// The program is gone, lacks a map, or CAP_SYS_ADMIN is missing, which opening by id takes
/// (kernel/bpf/syscall.c, `bpf_map_get_fd_by_id`).
pub fn maps_of_program(id: u32) -> Result<Maps, Error> {
    let what = || format!("open the maps of BPF program {id}");
    let info = program_info(id)?;
    let ids = info
        .map_ids()
        .map_err(|error| Error::new(what(), error))?
        .unwrap_or_default();
    let mut maps = Vec::new();
    for map in ids {
        let info = MapInfo::from_id(map).map_err(|error| Error::new(what(), error))?;
        maps.push((info.name_as_str().unwrap_or_default().to_owned(), info));
    }
    Maps::collect(|name| {
        let (_, info) = maps
            .iter()
            .find(|(found, _)| found == name)
            .ok_or_else(|| Error::unexpected(what(), format!("it has no map {name}")))?;
        open_map(info).map_err(|error| Error::new(what(), error))
    })
}

/// A loaded program, found by its id, to be attached once more.
///
/// # Errors
/// As [`maps_of_program`].
pub fn program_by_id(id: u32, name: &'static str) -> Result<SchedClassifier, Error> {
    SchedClassifier::from_program_info(program_info(id)?, Cow::Borrowed(name))
        .map_err(|error| Error::new(format!("open BPF program {id}"), error))
}

fn program_info(id: u32) -> Result<ProgramInfo, Error> {
    let what = || format!("open BPF program {id}");
    for info in loaded_programs() {
        let info = info.map_err(|error| Error::new(what(), error))?;
        if info.id() == id {
            return Ok(info);
        }
    }
    Err(Error::unexpected(what(), "there is no such program"))
}

fn open_map(info: &MapInfo) -> Result<Map, aya::maps::MapError> {
    let data = MapData::from_id(info.id())?;
    Ok(match info.map_type()? {
        MapType::Hash => Map::HashMap(data),
        MapType::LpmTrie => Map::LpmTrie(data),
        MapType::PerCpuArray => Map::PerCpuArray(data),
        _ => Map::Array(data),
    })
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

/// Loads one program of the object and takes it out, so that it is attached and let go without
/// the object: aya would detach it when dropped.
pub(super) fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<SchedClassifier, Error> {
    let what = || format!("load the classifier {name}");
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| Error::unexpected(what(), "the object has no such program"))?;
    let program: &mut SchedClassifier = program
        .try_into()
        .map_err(|error: aya::programs::ProgramError| Error::new(what(), error))?;
    program.load().map_err(|error| Error::new(what(), error))?;
    let info = program.info().map_err(|error| Error::new(what(), error))?;
    SchedClassifier::from_program_info(info, Cow::Borrowed(name))
        .map_err(|error| Error::new(what(), error))
}

/// Names of the programs in the object.
pub const PROGRAMS: [&str; 3] = [EGRESS, BACK, FOLLOW];

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
