//! A program of somebody else's at tcx, the hook in front of clsact (Linux 6.6).

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use nix::net::if_::if_nametoindex;

use crate::{lab::DEVICE, requires::kernel_version};

#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i32> {
    // SAFETY: the kernel reads as many bytes as it is told, and all of them are there.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            mem::size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as i32)
    }
}

/// What a classifier says of every packet: TC_ACT_OK, which ends the chain, or TC_ACT_UNSPEC.
#[derive(Clone, Copy)]
pub enum Verdict {
    EndsTheChain,
    GoesOn,
}

/// Loads a classifier with that verdict.
///
/// # Panics
/// When it cannot be loaded.
pub fn load(verdict: Verdict) -> OwnedFd {
    load_named(verdict, "foreign")
}

/// As [`load`], with a name of 15 characters at the most.
///
/// # Panics
/// As [`load`].
pub fn load_named(verdict: Verdict, name: &str) -> OwnedFd {
    let verdict = match verdict {
        Verdict::EndsTheChain => 0_i32,
        Verdict::GoesOn => -1,
    };
    load_code(name, &[return_value(verdict), EXIT])
}

/// Loads a classifier that lets go on what has this mark and priority, and no `tc_index`, and drops all else.
///
/// # Panics
/// When it cannot be loaded.
pub fn load_strict(mark: u32, priority: u32) -> OwnedFd {
    /// Offsets in `struct __sk_buff` (linux/bpf.h).
    const MARK: u64 = 8;
    const PRIORITY: u64 = 32;
    const TC_INDEX: u64 = 44;
    const TC_ACT_SHOT: i32 = 2;
    // `r2 = *(u32 *)(r1 + field); if r2 != value goto the drop`
    let load = |field: u64| 0x61 | 0x12 << 8 | field << 16;
    let unless = |value: u32, skip: u64| 0x55 | 2 << 8 | skip << 16 | u64::from(value) << 32;
    let code = [
        load(MARK),
        unless(mark, 6),
        load(PRIORITY),
        unless(priority, 4),
        load(TC_INDEX),
        unless(0, 2),
        return_value(-1),
        EXIT,
        return_value(TC_ACT_SHOT),
        EXIT,
    ];
    load_code("foreign", &code)
}

const EXIT: u64 = 0x95;

const fn return_value(value: i32) -> u64 {
    0xb7 | (value as u32 as u64) << 32
}

fn load_code(name: &str, code: &[u64]) -> OwnedFd {
    const BPF_PROG_LOAD: libc::c_int = 5;
    let license = c"GPL";
    let mut load = Load {
        program_type: 3,
        instructions: code.len() as u32,
        code: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..Load::default()
    };
    load.name[..name.len()].copy_from_slice(name.as_bytes());
    let fd = bpf(BPF_PROG_LOAD, &load).expect("the program loads");
    // SAFETY: the kernel has just given this descriptor, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// How often a program has run since [`count_runs`] was called.
///
/// # Panics
/// When the kernel does not tell.
pub fn runs(program: &OwnedFd) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd()));
    let text = text.expect("the descriptor is open");
    let line = text.lines().find_map(|line| line.strip_prefix("run_cnt:"));
    line.and_then(|line| line.trim().parse().ok())
        .expect("the kernel counts runs")
}

/// Makes the kernel count the runs of programs, until what this gives back is dropped.
///
/// # Panics
/// When it refuses.
pub fn count_runs() -> OwnedFd {
    const BPF_ENABLE_STATS: libc::c_int = 32;
    let run_time = 0_u32;
    let fd = bpf(BPF_ENABLE_STATS, &run_time).expect("root can have them counted");
    // SAFETY: as above.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The hook to attach a program to.
#[derive(Clone, Copy)]
pub enum Tcx {
    Ingress = 46,
    Egress = 47,
}

/// Attaches a program at tcx of [`DEVICE`] in the calling thread's namespace, behind those that are
/// there; false on a kernel that has no tcx.
///
/// # Panics
/// When a kernel that has it refuses.
pub fn attach(program: &OwnedFd, hook: Tcx) -> bool {
    attach_with(program, hook, 0)
}

/// As [`attach`], in front of those that are there.
///
/// # Panics
/// As [`attach`].
pub fn attach_first(program: &OwnedFd, hook: Tcx) -> bool {
    const BPF_F_BEFORE: u32 = 1 << 3;
    attach_with(program, hook, BPF_F_BEFORE)
}

/// As [`attach`], where there may be no room for more.
///
/// # Panics
/// Never, as long as the device is there.
pub fn try_attach(program: &OwnedFd, hook: Tcx) -> bool {
    ask_to_attach(program, hook, 0).is_ok()
}

fn ask_to_attach(program: &OwnedFd, hook: Tcx, flags: u32) -> io::Result<i32> {
    const BPF_PROG_ATTACH: libc::c_int = 8;
    let attach = Attach {
        target: if_nametoindex(DEVICE).expect("the device is there"),
        program: program.as_raw_fd() as u32,
        kind: hook as u32,
        flags,
    };
    bpf(BPF_PROG_ATTACH, &attach)
}

fn attach_with(program: &OwnedFd, hook: Tcx, flags: u32) -> bool {
    match ask_to_attach(program, hook, flags) {
        Ok(_) => true,
        Err(error) => {
            let version = kernel_version();
            assert!(version < (6, 6), "{version:?} has tcx: {error}");
            false
        }
    }
}
