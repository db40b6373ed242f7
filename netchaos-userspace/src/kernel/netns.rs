//! Network namespaces: opening one, running code inside it, locking it. The only caller of setns.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sched::{CloneFlags, setns, unshare},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};

/// The namespace of the calling thread (namespaces(7)).
const OF_THIS_THREAD: &str = "/proc/thread-self/ns/net";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot open the network namespace {}{}", path.display(), rights(source))]
    Open { path: PathBuf, source: io::Error },
    #[error("{} is not a network namespace", path.display())]
    NotANamespace { path: PathBuf },
    #[error("cannot enter the network namespace {} (needs CAP_SYS_ADMIN)", path.display())]
    Enter { path: PathBuf, source: io::Error },
    #[error("cannot start a thread for the network namespace {}", path.display())]
    Thread { path: PathBuf, source: io::Error },
    #[error("cannot lock the network namespace {}", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("the network namespace {} is still locked after {waited:?}{}", path.display(), holders(pids))]
    Locked {
        path: PathBuf,
        waited: Duration,
        pids: Vec<u32>,
    },
}

impl Error {
    /// Whether the caller's rights were not enough.
    pub fn is_about_rights(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Enter { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            _ => false,
        }
    }
}

/// What the kernel asks of whoever opens a process' namespace (`PTRACE_MODE_READ_FSCREDS`, ptrace(2)).
fn rights(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied {
        " (of another user's process that takes CAP_SYS_PTRACE)"
    } else {
        ""
    }
}

fn holders(pids: &[u32]) -> String {
    if pids.is_empty() {
        return String::new();
    }
    let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
    format!(", held by process {}", pids.join(", "))
}

/// How long a lock is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// With one and the same holder, who may hold it on purpose.
    pub with_one: Duration,
    /// In all, as long as holders come and go.
    pub in_all: Duration,
}

impl Patience {
    /// The same whoever holds it.
    pub const fn of(bound: Duration) -> Self {
        Self {
            with_one: bound,
            in_all: bound,
        }
    }
}

/// How often it is looked at who holds a lock, while one of them is waited for. Not more often: all
/// locks of the machine stand still while one reads about them (fs/locks.c, `locks_start`), the
/// longer the more wait in flock(2). So nobody does: it is asked for again and again.
const LOOKS: u32 = 3;
/// Between two times that a lock is asked for.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// An open network namespace. It is held by its descriptor, so a process that dies and a pid that
/// is used again cannot turn it into another one.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    path: PathBuf,
    /// Device and inode of its file: what tells two namespaces apart.
    id: (u64, u64),
}

impl Namespace {
    /// Opens a namespace file such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// The file cannot be opened, or is something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        match File::open(path) {
            Ok(file) => Self::of_file(file, path),
            Err(source) => Err(Error::Open {
                path: path.into(),
                source,
            }),
        }
    }

    /// A namespace whose file is open. `path` is for messages.
    pub(super) fn of_file(file: File, path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open {
            path: path.into(),
            source,
        };
        let kind = fstatfs(&file).map_err(|errno| failed(errno.into()))?;
        if kind.filesystem_type() != NSFS_MAGIC {
            return Err(Error::NotANamespace { path: path.into() });
        }
        let metadata = file.metadata().map_err(failed)?;
        Ok(Self {
            file,
            path: path.into(),
            id: (metadata.dev(), metadata.ino()),
        })
    }

    /// The namespace that netchaos itself runs in.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new(OF_THIS_THREAD))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was asked for as that of whoever calls.
    pub fn is_this_threads(&self) -> bool {
        self.path == Path::new(OF_THIS_THREAD)
    }

    /// Inode number, as `ls -l /proc/PID/ns/net` and `lsns` show it.
    pub fn inode(&self) -> u64 {
        self.id.1
    }

    /// Runs `work` on a thread inside the namespace and gives back what it gives. Where the caller
    /// is inside
    /// already, nothing is entered and no right to enter is needed.
    ///
    /// # Errors
    /// The namespace cannot be entered: setns(2) wants CAP_SYS_ADMIN.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let inside = Self::current()?.id == self.id;
        let enter_and_work = || {
            if !inside {
                setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|errno| {
                    Error::Enter {
                        path: self.path.clone(),
                        source: errno.into(),
                    }
                })?;
            }
            Ok(work())
        };
        on_thread(
            &format!("netns-{}", self.inode()),
            self.path.clone(),
            enter_and_work,
        )
    }

    /// Keeps other netchaos calls out of the namespace until the lock is dropped.
    ///
    /// Everybody who can open the namespace can take this lock (flock(2)), a process inside it
    /// too, so it is waited for no longer than `patience` says.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holders' pids, as far as `/proc/locks` shows them.
    pub fn lock(&self, patience: Patience) -> Result<Lock, Error> {
        let failed = |source| Error::Lock {
            path: self.path.clone(),
            source,
        };
        // A description of its own: a lock belongs to the description, not to the descriptor.
        let own = format!(
            "/proc/thread-self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&self.file)
        );
        let mut file = File::open(own).map_err(failed)?;
        let start = Instant::now();
        let (mut holders, mut since, mut looked) = (None, start, start);
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Lock { _lock: lock }),
                Err((back, Errno::EWOULDBLOCK)) => file = back,
                Err((_, errno)) => return Err(failed(errno.into())),
            }
            if looked.elapsed() >= patience.with_one / LOOKS {
                looked = Instant::now();
                let now = self.lock_holders();
                if holders.as_ref().is_some_and(|before| *before != now) {
                    since = looked;
                }
                holders = Some(now);
                if since.elapsed() >= patience.with_one || start.elapsed() >= patience.in_all {
                    return Err(Error::Locked {
                        path: self.path.clone(),
                        waited: Duration::from_millis(start.elapsed().as_millis() as u64),
                        pids: holders.unwrap_or_default(),
                    });
                }
            }
            // A thousand who wait must not keep each other from the processor.
            let pause = start.elapsed() / 20;
            thread::sleep(pause.clamp(
                SHORTEST_PAUSE,
                LONGEST_PAUSE.min(patience.with_one / LOOKS + SHORTEST_PAUSE),
            ));
        }
    }

    /// Who holds the lock, by `/proc/locks` (proc_locks(5)):
    /// `1: FLOCK  ADVISORY  WRITE 4711 00:04:4026532281 0 EOF`.
    fn lock_holders(&self) -> Vec<u32> {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let inode = format!(":{}", self.inode());
        locks
            .lines()
            .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
            .filter(|fields| fields.get(1) == Some(&"FLOCK"))
            .filter(|fields| fields.get(5).is_some_and(|file| file.ends_with(&inode)))
            .filter_map(|fields| fields.get(4)?.parse().ok())
            .collect()
    }
}

/// Runs `work` on a thread in a new, empty namespace, which goes away with the thread.
///
/// # Errors
/// unshare(2) wants CAP_SYS_ADMIN.
pub fn in_scratch<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let path = || PathBuf::from("(a new one)");
    let unshare_and_work = || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| Error::Enter {
            path: path(),
            source: errno.into(),
        })?;
        Ok(work())
    };
    on_thread("netns-scratch", path(), unshare_and_work)
}

/// A thread in a foreign namespace is never reused: it ends with its work.
fn on_thread<T: Send>(
    name: &str,
    path: PathBuf,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name(name.into())
            .spawn_scoped(scope, work)
            .map_err(|source| Error::Thread { path, source })?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// See [`Namespace::lock`].
#[derive(Debug)]
pub struct Lock {
    _lock: Flock<File>,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_file_that_is_no_namespace_is_refused() {
        let error = Namespace::open(Path::new("/proc/self/status")).unwrap_err();
        assert!(matches!(error, Error::NotANamespace { .. }), "{error}");
    }

    /// The tests have one namespace, and its lock, among them.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    #[test]
    fn two_callers_exclude_each_other_and_the_holder_is_named() {
        let _one = ONE_AT_A_TIME.lock();
        let first = Namespace::current().unwrap();
        let second = Namespace::current().unwrap();
        let lock = first.lock(Patience::of(Duration::ZERO)).unwrap();
        match second
            .lock(Patience::of(Duration::from_millis(30)))
            .unwrap_err()
        {
            Error::Locked { pids, .. } => assert!(pids.contains(&std::process::id())),
            other => panic!("{other}"),
        }
        drop(lock);
        second.lock(Patience::of(Duration::from_secs(5))).unwrap();
    }

    #[test]
    fn a_line_of_callers_is_waited_for_longer_than_one_of_them() {
        let _one = ONE_AT_A_TIME.lock();
        let namespace = Namespace::current().unwrap();
        let patience = Patience {
            with_one: Duration::from_millis(900),
            in_all: Duration::from_secs(60),
        };
        // Each holds it for less than that, all together for longer.
        let mut others: Vec<_> = (0..4)
            .map(|_| {
                let mut flock = std::process::Command::new("flock");
                flock.arg(format!("/proc/{}/ns/net", std::process::id()));
                flock.args(["sleep", "0.5"]).spawn().unwrap()
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        let begin = Instant::now();
        namespace.lock(patience).unwrap();
        let waited = begin.elapsed();
        assert!(waited > patience.with_one, "{waited:?}");
        for other in &mut others {
            assert!(other.wait().unwrap().success());
        }
    }
}
