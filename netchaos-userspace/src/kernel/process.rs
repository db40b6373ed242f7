//! Processes as `/proc` shows them (proc_pid(5)), and their network namespaces.
//!
//! A process is held by its folder in `/proc`, opened once. When it has ended nothing is found
//! there any more, also after another process has got its pid: what is read belongs to the process
//! that was found, or cannot be read.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat},
    sys::stat::{Mode, fstatat},
    unistd::{SysconfVar, sysconf},
};

use super::{
    clock,
    netns::{self, Namespace},
};

/// Where a process' network namespace is, from its folder.
const NETWORK: &str = "ns/net";

/// A process that was there when it was looked for.
#[derive(Debug)]
pub struct Process {
    folder: OwnedFd,
    pid: u32,
    /// In ticks of the clock since boot.
    started: u64,
}

impl Process {
    /// The process that has this pid now; none where there is none, or only what is left of one.
    pub fn open(pid: u32) -> Option<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = open(&folder_of(pid), flags, Mode::empty()).ok()?;
        let mut process = Self {
            folder,
            pid,
            started: 0,
        };
        process.started = started(&process.text("stat").ok()?)?;
        Some(process)
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sorts processes by their start. Those of one tick, mostly a hundredth of a second, by pid.
    pub fn age_key(&self) -> (u64, u32) {
        (self.started, self.pid)
    }

    /// How long it has been running, to a tick of the clock.
    pub fn age(&self) -> Duration {
        let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
        let started = u128::from(self.started) * 1_000_000_000 / per_second.max(1) as u128;
        let now = u128::from(clock::boot_nanoseconds().unwrap_or(0));
        Duration::from_nanos(u64::try_from(now.saturating_sub(started)).unwrap_or(u64::MAX))
    }

    /// Its cgroup in each hierarchy, as `/proc/PID/cgroup` has them (cgroups(7)).
    ///
    /// # Errors
    /// It has ended.
    pub fn cgroup(&self) -> io::Result<String> {
        self.text("cgroup")
    }

    /// Whether it is a thread of the kernel: those have no memory of their own.
    pub fn is_of_the_kernel(&self) -> bool {
        self.text("maps").is_ok_and(|maps| maps.is_empty())
    }

    /// Inode number of its network namespace.
    ///
    /// # Errors
    /// It has ended, or may not be looked into (`PTRACE_MODE_READ_FSCREDS`, ptrace(2)).
    pub fn network_inode(&self) -> io::Result<u64> {
        Ok(fstatat(&self.folder, NETWORK, AtFlags::empty())?.st_ino)
    }

    /// Its network namespace; none where it has ended in the meantime.
    ///
    /// # Errors
    /// It may not be looked into, see [`Self::network_inode`].
    pub fn network(&self) -> Result<Option<Namespace>, netns::Error> {
        let path = folder_of(self.pid).join(NETWORK);
        match self.file(NETWORK) {
            Ok(file) => Namespace::of_file(file, &path).map(Some),
            Err(error) if is_gone(&error) => Ok(None),
            Err(source) => Err(netns::Error::Open { path, source }),
        }
    }

    fn text(&self, name: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        self.file(name)?.read_to_end(&mut bytes)?;
        // Names of cgroups and programs are any bytes.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(openat(&self.folder, name, flags, Mode::empty())?.into())
    }
}

/// What a look at a process that has ended gives: its folder is empty, or its namespaces are gone.
fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::ENOENT, Errno::ESRCH];
    error
        .raw_os_error()
        .is_some_and(|errno| gone.contains(&Errno::from_raw(errno)))
}

fn folder_of(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// All processes that can be seen, each opened when it is its turn.
///
/// # Errors
/// `/proc` is not mounted.
pub fn all() -> io::Result<impl Iterator<Item = Process>> {
    let entries = std::fs::read_dir("/proc")?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(Process::open))
}

/// The start time out of `/proc/PID/stat`; none of a process that has ended and is not yet waited
/// for. The program's name, which can hold blanks and brackets, stands in the last brackets.
fn started(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    // The third field of the file.
    let state = fields.next()?;
    // The 22nd.
    let started = fields.nth(18)?;
    (!matches!(state, "Z" | "X" | "x")).then(|| started.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat =
            "4711 (a) Z (b) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 11 12";
        assert_eq!(started(stat), Some(987_654));
        assert_eq!(started(&stat.replace(") S", ") Z")), None);
        assert_eq!(started("4711 (a"), None);
    }

    #[test]
    fn of_a_process_that_has_ended_nothing_is_read() {
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process::open(child.id()).unwrap();
        assert!(
            process.age() < Duration::from_secs(20),
            "{:?}",
            process.age()
        );
        assert!(process.cgroup().is_ok());
        let own = Namespace::current().unwrap();
        assert_eq!(process.network_inode().unwrap(), own.inode());
        let found = process.network().unwrap().unwrap();
        assert_eq!(found.inode(), own.inode());
        child.kill().unwrap();
        // Dead, but not waited for.
        while Process::open(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert!(process.network().unwrap().is_none());
        child.wait().unwrap();
        assert!(process.network().unwrap().is_none());
        assert!(process.cgroup().is_err());
    }

    #[test]
    fn this_process_is_among_all() {
        let own = std::process::id();
        let found: Vec<_> = all()
            .unwrap()
            .filter(|process| process.pid() == own)
            .collect();
        assert_eq!(found.len(), 1);
    }
}
