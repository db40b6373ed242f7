//! The calling thread's rights: capabilities(7), and over which user namespace they are held.

use std::{fs, os::unix::fs::MetadataExt as _};

/// A capability: its bit (linux/capability.h), its name, and what it is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    bit: u32,
    pub name: &'static str,
    pub purpose: &'static str,
}

const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;

/// What laying a fault takes. CAP_SYS_ADMIN includes the last two.
const NEEDED: [Capability; 3] = [
    Capability {
        bit: NET_ADMIN,
        name: "CAP_NET_ADMIN",
        purpose: "devices, qdiscs, and programs on their hooks",
    },
    Capability {
        bit: 39,
        name: "CAP_BPF",
        purpose: "maps and programs",
    },
    Capability {
        bit: 38,
        name: "CAP_PERFMON",
        purpose: "the verifier's and the loader's checks of programs",
    },
];

/// The inode of the user namespace that the machine has booted with: PROC_USER_INIT_INO
/// (linux/proc_ns.h).
const OF_THE_HOST: u64 = 0xEFFF_FFFD;

/// Those capabilities that laying a fault takes and the calling thread does not have. None is
/// missing where that cannot be told: then the kernel will say so.
pub fn missing() -> Vec<Capability> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    effective(&status).map_or_else(Vec::new, missing_of)
}

/// Whether capabilities are held over another user namespace than the host's: there they do not
/// count for BPF (kernel/bpf/syscall.c: `capable`, not `ns_capable`).
pub fn is_in_user_namespace() -> bool {
    let namespace = fs::metadata("/proc/thread-self/ns/user");
    namespace.is_ok_and(|namespace| namespace.ino() != OF_THE_HOST)
}

/// The bits of the effective set, the line `CapEff:` of proc_pid_status(5), in hexadecimal.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    u64::from_str_radix(line?.trim(), 16).ok()
}

fn missing_of(effective: u64) -> Vec<Capability> {
    let has = |bit: u32| effective >> bit & 1 != 0;
    let is_missing = |needed: &Capability| {
        let is_included = needed.bit != NET_ADMIN && has(SYS_ADMIN);
        !has(needed.bit) && !is_included
    };
    NEEDED.into_iter().filter(is_missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(effective: u64) -> Vec<&'static str> {
        let missing = missing_of(effective).into_iter();
        missing.map(|capability| capability.name).collect()
    }

    #[test]
    fn what_is_missing_is_named_and_the_right_to_everything_includes_the_rest() {
        let all = ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"];
        assert_eq!(names(0), all);
        assert_eq!(names(1 << 12), all[1..]);
        assert_eq!(names(1 << 12 | 1 << 39), all[2..]);
        assert!(names(1 << 12 | 1 << 39 | 1 << 38).is_empty());
        assert_eq!(names(1 << SYS_ADMIN), all[..1]);
        assert!(names(1 << SYS_ADMIN | 1 << 12).is_empty());
    }

    #[test]
    fn the_effective_set_is_read_as_the_kernel_prints_it() {
        let status = "Name:\tnetchaos\nCapPrm:\t0000000000000000\nCapEff:\t000000c000001000\n";
        assert_eq!(effective(status), Some(1 << 12 | 1 << 39 | 1 << 38));
        assert_eq!(effective("Name:\tnetchaos\n"), None);
        let own = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(effective(&own).is_some());
    }
}
