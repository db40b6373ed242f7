//! The clocks that the maps speak of, and the wait for programs that run right now.

use std::{
    io,
    time::{Duration, SystemTime},
};

use nix::time::{ClockId, clock_gettime};

/// CLOCK_BOOTTIME in nanoseconds, the clock of `bpf_ktime_get_boot_ns` (clock_gettime(2)).
///
/// # Errors
/// None on a kernel that netchaos runs on; the clock has been there since Linux 2.6.39.
pub fn boot_nanoseconds() -> io::Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    Ok(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

/// Unix time in nanoseconds.
pub fn unix_nanoseconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_nanos() as u64
}

/// Returns when every classifier that was running at the call has ended, so that nothing that it
/// saw in the maps is in use any more.
///
/// Programs run inside RCU read sections, and `MEMBARRIER_CMD_GLOBAL` is `synchronize_rcu()`
/// (membarrier(2), kernel/sched/membarrier.c). A kernel without it is given time instead.
pub fn wait_for_running_programs() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: a system call with plain numbers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        std::thread::sleep(Duration::from_millis(100));
    }
}
