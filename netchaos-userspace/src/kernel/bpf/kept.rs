//! Programs that whoever loaded them goes on with.
//!
//! A program or a map is opened by its id with CAP_SYS_ADMIN alone (kernel/bpf/syscall.c,
//! `bpf_prog_get_fd_by_id`), but whoever has loaded it has a descriptor anyway. So a process that
//! stays (`netchaos run`) can do without that right: what it has loaded is found here before it is
//! opened by its id.

use std::{
    borrow::Cow,
    cell::RefCell,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya::{
    maps::{Map, MapInfo},
    programs::{ProgramInfo, SchedClassifier, loaded_programs},
};

use super::{BACK, EGRESS, Error, INGRESS, load::Programs};

thread_local! {
    /// Of the thread that works in a namespace: it ends with the work, and lets go of them.
    static KEPT: RefCell<Vec<(Loaded, Programs)>> = const { RefCell::new(Vec::new()) };
}

/// Ids of programs that have been loaded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub egress: u32,
    pub ingress: u32,
    pub back: u32,
}

impl Loaded {
    const fn name_of(self, id: u32) -> Option<&'static str> {
        match id {
            _ if id == self.egress => Some(EGRESS),
            _ if id == self.ingress => Some(INGRESS),
            _ if id == self.back => Some(BACK),
            _ => None,
        }
    }
}

/// Keeps programs open on this thread.
///
/// # Errors
/// The kernel's refusal to tell their ids.
pub fn keep(mut programs: Programs) -> Result<Loaded, Error> {
    let loaded = Loaded {
        egress: id_of(programs.egress()?)?,
        ingress: id_of(programs.ingress()?)?,
        back: id_of(programs.back()?)?,
    };
    KEPT.with_borrow_mut(|kept| kept.push((loaded, programs)));
    Ok(loaded)
}

/// Lets go of programs of which none has one of these ids: they have left all hooks.
pub fn keep_only(ids: &[u32]) {
    KEPT.with_borrow_mut(|kept| {
        kept.retain(|(loaded, _)| ids.iter().any(|id| loaded.name_of(*id).is_some()));
    });
}

/// Calls `work` with the loaded program of that id. `work` is about that one alone: it must not ask
/// for another.
///
/// # Errors
/// What `work` says; or the program is gone, or CAP_SYS_ADMIN is missing to open it.
pub fn with_program<T>(
    id: u32,
    work: impl FnOnce(&mut SchedClassifier) -> Result<T, Error>,
) -> Result<T, Error> {
    KEPT.with_borrow_mut(|kept| {
        let mut found = kept.iter_mut();
        let found = found.find_map(|(loaded, programs)| Some((loaded.name_of(id)?, programs)));
        match found {
            Some((name, programs)) => work(programs.named(name)?),
            None => work(&mut open(id)?),
        }
    })
}

/// A descriptor of the loaded program of that id.
///
/// # Errors
/// As [`with_program`].
pub(super) fn descriptor(id: u32) -> Result<OwnedFd, Error> {
    with_program(id, |program| {
        let what = || format!("open BPF program {id}");
        let fd = program.fd().map_err(|error| Error::new(what(), error))?;
        let fd = fd.as_fd().try_clone_to_owned();
        fd.map_err(|error| Error::new(what(), error))
    })
}

/// The maps of a kept program.
pub(super) fn maps(id: u32) -> Option<Result<Vec<(MapInfo, Map)>, Error>> {
    KEPT.with_borrow(|kept| {
        let mut kept = kept.iter();
        let (_, programs) = kept.find(|(loaded, _)| loaded.name_of(id).is_some())?;
        Some(programs.maps())
    })
}

/// Whether the loaded program of that id has this name.
///
/// # Errors
/// As [`with_program`]; but whoever keeps programs knows its own among those that it cannot open.
pub(super) fn is_named(id: u32, name: &str) -> Result<bool, Error> {
    let kept = KEPT.with_borrow(|kept| {
        let known = kept.iter().find_map(|(loaded, _)| loaded.name_of(id));
        (known, !kept.is_empty())
    });
    match kept {
        (Some(known), _) => Ok(known == name),
        (None, keeps_any) => match info(id) {
            Ok(info) => Ok(info.name_as_str() == Some(name)),
            Err(error) if keeps_any && error.is_about_rights() => Ok(false),
            Err(error) => Err(error),
        },
    }
}

/// A program in words: its name where it has one that can be seen, and its id.
pub fn describe(id: u32) -> String {
    let info = info(id);
    let name = info.as_ref().ok().and_then(ProgramInfo::name_as_str);
    match name {
        Some(name) if !name.is_empty() => format!("{name} (BPF program {id})"),
        _ => format!("BPF program {id}"),
    }
}

fn id_of(program: &SchedClassifier) -> Result<u32, Error> {
    let info = program.info();
    let info = info.map_err(|error| Error::new("inspect the classifier", error))?;
    Ok(info.id())
}

fn open(id: u32) -> Result<SchedClassifier, Error> {
    let info = info(id)?;
    let name = info.name_as_str().unwrap_or_default().to_owned();
    SchedClassifier::from_program_info(info, Cow::Owned(name))
        .map_err(|error| Error::by_id(format!("open BPF program {id}"), error))
}

/// What the kernel says of the program of that id.
///
/// # Errors
/// As [`with_program`].
pub(super) fn info(id: u32) -> Result<ProgramInfo, Error> {
    let what = || format!("open BPF program {id}");
    for info in loaded_programs() {
        match info.map_err(|error| Error::by_id(what(), error)) {
            Ok(info) if info.id() == id => return Ok(info),
            Ok(_) => {}
            // Of all the programs of the machine somebody's has been unloaded in this moment.
            Err(error) if error.is_about_absence() => {}
            Err(error) => return Err(error),
        }
    }
    let gone = io::Error::new(io::ErrorKind::NotFound, "there is no such program");
    Err(Error::new(what(), gone))
}
