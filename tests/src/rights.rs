//! What a running process may do: capabilities(7), as the kernel tells of each of its threads.

use std::fs;

// include/uapi/linux/capability.h
pub const CHOWN: u64 = 1;
pub const DAC_OVERRIDE: u64 = 1 << 1;
pub const DAC_READ_SEARCH: u64 = 1 << 2;
pub const NET_BIND_SERVICE: u64 = 1 << 10;
pub const NET_ADMIN: u64 = 1 << 12;
pub const SYS_PTRACE: u64 = 1 << 19;
pub const SYS_ADMIN: u64 = 1 << 21;
pub const PERFMON: u64 = 1 << 38;
pub const BPF: u64 = 1 << 39;

/// What a call in a namespace that has a name may keep.
pub const TO_WORK: u64 = NET_ADMIN | SYS_ADMIN | DAC_READ_SEARCH | PERFMON | BPF;
/// The same for one that has to look for the namespace.
pub const TO_LOOK: u64 = TO_WORK | SYS_PTRACE | DAC_OVERRIDE;

/// A line of `/proc/PID/task/TID/status` in hexadecimal, of each thread.
///
/// # Panics
/// When the process is gone, or has no such line.
pub fn of_threads(pid: u32, field: &str) -> Vec<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    let lines = tasks.flatten().filter_map(status).map(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let value = line
            .and_then(|line| line.strip_prefix(':'))
            .expect("the field")
            .trim();
        u64::from_str_radix(value, 16).expect("hexadecimal")
    });
    lines.collect()
}

/// Asserts that no thread has, or can get, more than `allowed`, and that each has what the work takes.
///
/// # Panics
/// When one has more, or less, or when there is but one thread.
#[track_caller]
pub fn assert_few(pid: u32, allowed: u64) {
    let effective = of_threads(pid, "CapEff");
    assert!(effective.len() > 1, "the work has a thread of its own");
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        for held in of_threads(pid, set) {
            assert_eq!(held & !allowed, 0, "{set} {held:x}");
        }
    }
    for held in effective {
        assert_eq!(held & (NET_ADMIN | SYS_ADMIN), NET_ADMIN | SYS_ADMIN);
    }
    let none_new = of_threads(pid, "NoNewPrivs");
    assert!(none_new.iter().all(|set| *set == 1), "{none_new:?}");
}
