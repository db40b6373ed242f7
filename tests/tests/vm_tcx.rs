//! Beside programs at tcx, the hook in front of clsact (Linux 6.6): one that lets packets go on
//! their way without asking anybody behind it would hide them from a filter on clsact.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

use netchaos_tests::{
    lab::{DEVICE, Lab},
    requires::kernel_version,
};
use nix::net::if_::if_nametoindex;

const DELAY: Duration = Duration::from_millis(80);

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

/// A classifier that says TC_ACT_OK, which ends the chain: `r0 = 0; exit`.
fn ends_the_chain() -> OwnedFd {
    const BPF_PROG_LOAD: libc::c_int = 5;
    let code: [u64; 2] = [0xb7, 0x95];
    let license = c"GPL";
    let mut load = Load {
        program_type: 3,
        instructions: 2,
        code: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..Load::default()
    };
    load.name[..7].copy_from_slice(b"foreign");
    let fd = bpf(BPF_PROG_LOAD, &load).expect("the program loads");
    // SAFETY: the kernel has just given this descriptor, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Attaches a program at tcx egress; false on a kernel that has no tcx.
fn attach(program: &OwnedFd) -> bool {
    const BPF_PROG_ATTACH: libc::c_int = 8;
    let attach = Attach {
        target: if_nametoindex(DEVICE).expect("the device is there"),
        program: program.as_raw_fd() as u32,
        kind: 47,
        flags: 0,
    };
    match bpf(BPF_PROG_ATTACH, &attach) {
        Ok(_) => true,
        Err(error) => {
            let version = kernel_version();
            assert!(version < (6, 6), "{version:?} has tcx: {error}");
            false
        }
    }
}

#[test]
fn a_program_at_tcx_that_ends_the_chain_hides_no_packet_from_us_and_stays() {
    Lab::test(&[], |lab| {
        let foreign = ends_the_chain();
        // Before 6.6 nobody can come before us, and the rest has to hold all the same.
        let has_tcx = lab.client.run(|| attach(&foreign));
        lab.is_the_users();
        lab.netchaos("add slow --delay 80ms --to 10.77.0.3").ok();
        lab.assert_delayed("10.77.0.3", DELAY);
        lab.assert_prompt("10.77.0.2");
        lab.netchaos("target add slow 10.77.0.4").ok();
        lab.netchaos("change slow --delay 160ms").ok();
        lab.assert_delayed("10.77.0.4", 2 * DELAY);
        let filters = lab.client.tc(&format!("filter show dev {DEVICE} egress"));
        assert_eq!(filters.contains("netchaos_egress"), !has_tcx, "{filters}");
        lab.netchaos("remove --all").ok();
        lab.assert_prompt("10.77.0.3");
        lab.netchaos("add again --delay 80ms --to 10.77.0.3").ok();
        lab.assert_delayed("10.77.0.3", DELAY);
        lab.netchaos("heal").ok();
        lab.assert_prompt("10.77.0.3");
    });
}
