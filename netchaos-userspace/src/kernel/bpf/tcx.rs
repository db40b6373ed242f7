//! Programs at tcx (Linux 6.6), the hook in front of clsact.
//!
//! It is the better seat. Making or deleting clsact puts a device out of action for a moment and
//! loses everybody's packets (net/sched/sch_api.c: `qdisc_graft` calls `dev_deactivate`, for an
//! ingress qdisc too), while nobody notices a program that comes or goes at tcx. And a program of
//! somebody else's there that ends the chain (Cilium's do) hides the packets from every filter on
//! clsact: ours goes in front of all.
//!
//! The calls are our own. The links that aya makes would be gone with this process or need a pin
//! in a bpffs, and its query opens every program, which takes CAP_SYS_ADMIN.

use std::{io, mem, os::fd::AsRawFd as _};

use super::{
    Error,
    attach::name_at,
    kept::{descriptor, is_named},
};
use crate::kernel::netlink::Hook;

const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const BPF_F_REPLACE: u32 = 1 << 2;
/// In front of the given program, of all where none is given.
const BPF_F_BEFORE: u32 = 1 << 3;

/// The part of `union bpf_attr` that BPF_PROG_ATTACH and BPF_PROG_DETACH read (linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct Attributes {
    target_ifindex: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
    relative_fd: u32,
    expected_revision: u64,
}

/// The part that BPF_PROG_QUERY reads and writes.
#[repr(C)]
#[derive(Default)]
struct Query {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    count: u32,
    padding: u32,
}

const fn attach_type(hook: Hook) -> u32 {
    match hook {
        Hook::Ingress => BPF_TCX_INGRESS,
        Hook::Egress => BPF_TCX_EGRESS,
    }
}

/// Ids of the programs at a device's tcx, in their order; none where the kernel has no tcx.
///
/// # Errors
/// The kernel's refusal: asking takes CAP_NET_ADMIN.
pub fn programs(ifindex: u32, hook: Hook) -> Result<Option<Vec<u32>>, Error> {
    /// BPF_MPROG_MAX (kernel/bpf/mprog.c), which is the most that there can be.
    const ROOM: usize = 64;
    let mut ids = [0_u32; ROOM];
    let mut query = Query {
        target_ifindex: ifindex,
        attach_type: attach_type(hook),
        program_ids: ids.as_mut_ptr() as u64,
        count: ROOM as u32,
        ..Default::default()
    };
    match system_call(BPF_PROG_QUERY, &mut query) {
        Ok(()) => {}
        // The attach type is unknown before 6.6; EINVAL is what an unknown one gets.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
        // Nobody has been there yet, or the device has gone.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {
            return Ok(Some(Vec::new()));
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Error::new(
                "ask for programs at tcx (needs CAP_NET_ADMIN)",
                error,
            ));
        }
        Err(error) => return Err(Error::new("ask for programs at tcx", error)),
    }
    Ok(Some(ids[..ROOM.min(query.count as usize)].to_vec()))
}

/// Our program at a hook.
pub struct Own {
    pub id: u32,
    /// Ids of the programs in front of it.
    pub before: Vec<u32>,
}

/// Our program for that hook among them.
///
/// # Errors
/// The kernel's refusal: a program tells its name to CAP_SYS_ADMIN, and to whoever keeps it open.
pub fn own(ifindex: u32, hook: Hook) -> Result<Option<Own>, Error> {
    let ids = programs(ifindex, hook)?.unwrap_or_default();
    for (place, id) in ids.iter().enumerate() {
        if is_own(*id, hook)? {
            let (id, before) = (*id, ids[..place].to_vec());
            return Ok(Some(Own { id, before }));
        }
    }
    Ok(None)
}

/// Ids of all the programs there that have the name of ours.
///
/// # Errors
/// As [`own`].
pub fn all_own(ifindex: u32, hook: Hook) -> Result<Vec<u32>, Error> {
    let mut all = Vec::new();
    for id in programs(ifindex, hook)?.unwrap_or_default() {
        if is_own(id, hook)? {
            all.push(id);
        }
    }
    Ok(all)
}

fn is_own(id: u32, hook: Hook) -> Result<bool, Error> {
    match is_named(id, name_at(hook)) {
        // Somebody has taken it away meanwhile.
        Err(error) if error.is_about_absence() => Ok(false),
        other => other,
    }
}

/// Attaches the program with the given id in front of all others at a device's tcx.
///
/// # Errors
/// The kernel's refusal.
pub fn attach(program: u32, ifindex: u32, hook: Hook) -> Result<(), Error> {
    let what = "attach the classifier at tcx";
    call(BPF_PROG_ATTACH, what, program, hook, |attributes| {
        attributes.target_ifindex = ifindex;
        attributes.attach_flags = BPF_F_BEFORE;
    })
}

/// Puts a program into the place of another one, both given by their ids, in one step.
///
/// # Errors
/// The kernel's refusal.
pub fn replace(program: u32, old: u32, ifindex: u32, hook: Hook) -> Result<(), Error> {
    let what = "replace the classifier at tcx";
    let old = descriptor(old)?;
    call(BPF_PROG_ATTACH, what, program, hook, |attributes| {
        attributes.target_ifindex = ifindex;
        attributes.attach_flags = BPF_F_REPLACE;
        attributes.replace_bpf_fd = old.as_raw_fd() as u32;
    })
}

/// Detaches the program with the given id from a device's tcx. One that has gone already is fine.
///
/// # Errors
/// The kernel's refusal.
pub fn detach(program: u32, ifindex: u32, hook: Hook) -> Result<(), Error> {
    let what = "detach the classifier from tcx";
    let detached = call(BPF_PROG_DETACH, what, program, hook, |attributes| {
        attributes.target_ifindex = ifindex;
    });
    match detached {
        Err(error) if error.is_about_absence() => Ok(()),
        other => other,
    }
}

fn call(
    command: libc::c_int,
    what: &str,
    program: u32,
    hook: Hook,
    fill: impl FnOnce(&mut Attributes),
) -> Result<(), Error> {
    let program = descriptor(program)?;
    let mut attributes = Attributes {
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: attach_type(hook),
        ..Default::default()
    };
    fill(&mut attributes);
    system_call(command, &mut attributes).map_err(|error| Error::new(what, error))
}

/// bpf(2).
fn system_call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<()> {
    // SAFETY: the kernel reads and writes as many bytes as it is told, and all of them are there;
    // where they hold an address, it is that of a buffer as long as they say.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            mem::size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
