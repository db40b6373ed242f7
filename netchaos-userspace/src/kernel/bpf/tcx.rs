//! Programs at tcx (Linux 6.6), the hook in front of clsact.
//!
//! It is the better seat. Making or deleting clsact puts a device out of action for a moment and
//! loses everybody's packets (net/sched/sch_api.c: `qdisc_graft` calls `dev_deactivate`, for an
//! ingress qdisc too), while nobody notices a program that comes or goes at tcx. And a program of
//! somebody else's there that ends the chain (Cilium's do) hides the packets from every filter on
//! clsact: ours goes in front of all.
//!
//! It is attached by BPF_PROG_ATTACH, which aya has no call for: the links that it makes would be
//! gone with this process or need a pin in a bpffs.

use std::{
    io, mem,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, TcAttachType};

use super::{Error, load::program_by_id};

const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
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

/// Names and ids of the programs at a device's tcx egress, in their order; none where the kernel
/// has no tcx.
///
/// # Errors
/// The kernel's refusal: asking takes CAP_NET_ADMIN, and seeing their names CAP_SYS_ADMIN.
pub fn programs(device: &str) -> Result<Option<Vec<(String, u32)>>, Error> {
    let programs = match SchedClassifier::query_tcx(device, TcAttachType::Egress) {
        Ok((_, programs)) => programs,
        // The attach type is unknown before 6.6; EINVAL is what an unknown one gets.
        Err(ProgramError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::EINVAL) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(Error::new(
                format!("ask for programs at tcx of {device}"),
                error,
            ));
        }
    };
    let named = |info: &ProgramInfo| {
        let name = info.name_as_str().unwrap_or_default().to_owned();
        (name, info.id())
    };
    Ok(Some(programs.iter().map(named).collect()))
}

/// Attaches a program in front of all others at a device's tcx egress.
///
/// # Errors
/// The kernel's refusal.
pub fn attach(program: &SchedClassifier, ifindex: u32) -> Result<(), Error> {
    call(
        BPF_PROG_ATTACH,
        "attach the classifier at tcx",
        program,
        |attributes| {
            attributes.target_ifindex = ifindex;
            attributes.attach_flags = BPF_F_BEFORE;
        },
    )
}

/// Puts a program into the place of the one with the given id, in one step.
///
/// # Errors
/// The kernel's refusal.
pub fn replace(program: &SchedClassifier, id: u32, ifindex: u32) -> Result<(), Error> {
    let what = "replace the classifier at tcx";
    let old = program_by_id(id, super::EGRESS)?;
    let old = old.fd().map_err(|error| Error::new(what, error))?;
    call(BPF_PROG_ATTACH, what, program, |attributes| {
        attributes.target_ifindex = ifindex;
        attributes.attach_flags = BPF_F_REPLACE;
        attributes.replace_bpf_fd = old.as_fd().as_raw_fd() as u32;
    })
}

/// Detaches the program with the given id from a device's tcx egress.
///
/// # Errors
/// The kernel's refusal.
pub fn detach(id: u32, ifindex: u32) -> Result<(), Error> {
    let program = program_by_id(id, super::EGRESS)?;
    call(
        BPF_PROG_DETACH,
        "detach the classifier from tcx",
        &program,
        |attributes| {
            attributes.target_ifindex = ifindex;
        },
    )
}

fn call(
    command: libc::c_int,
    what: &str,
    program: &SchedClassifier,
    fill: impl FnOnce(&mut Attributes),
) -> Result<(), Error> {
    let fd = program.fd().map_err(|error| Error::new(what, error))?;
    let mut attributes = Attributes {
        attach_bpf_fd: fd.as_fd().as_raw_fd() as u32,
        attach_type: BPF_TCX_EGRESS,
        ..Default::default()
    };
    fill(&mut attributes);
    // SAFETY: the kernel reads as many bytes as it is told, and all of them are there.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw const attributes,
            mem::size_of::<Attributes>(),
        )
    };
    if result < 0 {
        return Err(Error::new(what, io::Error::last_os_error()));
    }
    Ok(())
}
