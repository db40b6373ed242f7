//! A run of the cluster: its names, and taking away what it, or an earlier one that was killed, has left.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::cgroups;
use crate::duty::Duty;
use crate::ui::{self, quietly};

/// What the names of all runs begin with: network namespaces, cgroups, folders.
const PREFIX: &str = "netchaos-k8s-";
/// Where a run has its folder. Not /run, which is often small.
const FOLDERS: &str = "/var/tmp";
/// Held as long as the run lives.
const LOCK: &str = "lock";
const NAMESPACES: &str = "/run/netns";

/// The names of one run. Two can stand side by side.
#[derive(Clone)]
pub struct Run {
    name: String,
}

/// Keeps a run's things; they go when this is dropped, or when xtask is ended.
pub struct Held {
    // Dropped in this order: the folder is nobody's only when nothing is left.
    _removed: Duty,
    _lock: File,
}

impl Run {
    /// Takes away what is left of runs that are no more, and begins a new one.
    ///
    /// # Errors
    /// When something of another run does not go, or the folder cannot be made.
    pub fn begin() -> Result<(Self, Held)> {
        for left in Self::all() {
            if let Some(lock) = left.taken_over()? {
                ui::note(format_args!("taking away what {} has left", left.name));
                left.remove()?;
                drop(lock);
            }
        }
        let run = Self {
            name: format!("{PREFIX}{}", process::id()),
        };
        // Whoever sees the folder finds it locked.
        let new = Path::new(FOLDERS).join(format!("netchaos-new-{}", process::id()));
        fs::create_dir_all(&new).with_context(|| new.display().to_string())?;
        let lock = File::create(new.join(LOCK))?;
        lock.try_lock().context("nobody else has this folder")?;
        fs::rename(&new, run.dir())?;
        let removed = run.clone();
        let held = Held {
            _removed: Duty::new(move || {
                // Whoever reads what xtask says may be gone.
                if let Err(error) = removed.remove() {
                    use std::io::Write as _;
                    writeln!(std::io::stderr(), "xtask: {error:#}").ok();
                }
            }),
            _lock: lock,
        };
        Ok((run, held))
    }

    /// Every run of which something is there.
    fn all() -> Vec<Self> {
        let mut names: Vec<String> = cgroups::folders("")
            .into_iter()
            .chain([FOLDERS.into(), NAMESPACES.into()])
            .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten())
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let rest = name.strip_prefix(PREFIX)?;
                let end = rest.find('-').unwrap_or(rest.len());
                Some(format!("{PREFIX}{}", &rest[..end]))
            })
            .collect();
        names.sort();
        names.dedup();
        names.into_iter().map(|name| Self { name }).collect()
    }

    /// The run's lock, if it is alive no more.
    fn taken_over(&self) -> Result<Option<File>> {
        fs::create_dir_all(self.dir())?;
        let lock = File::create(self.lock())?;
        Ok(lock.try_lock().is_ok().then_some(lock))
    }

    /// Where its files are.
    pub fn dir(&self) -> PathBuf {
        Path::new(FOLDERS).join(&self.name)
    }

    fn lock(&self) -> PathBuf {
        self.dir().join(LOCK)
    }

    /// The name of one of its network namespaces: of the control plane (without `part`), or of a node.
    pub fn netns(&self, part: Option<&str>) -> String {
        part.map_or_else(|| self.name.clone(), |part| format!("{}-{part}", self.name))
    }

    /// The path of such a namespace.
    pub fn netns_path(&self, part: Option<&str>) -> PathBuf {
        Path::new(NAMESPACES).join(self.netns(part))
    }

    /// One of its cgroups.
    pub fn cgroup(&self, part: &str) -> String {
        format!("{}/{part}", self.name)
    }

    /// A command that runs `program` in the network namespace of `node` (none: the control plane's) and in the cgroup
    /// `cgroup`.
    ///
    /// # Errors
    /// When xtask's own file is not found.
    pub fn command(&self, node: Option<&str>, cgroup: &str, program: &Path) -> Result<Command> {
        let mut command = Command::new(env::current_exe().context("cannot find xtask's own file")?);
        command
            .arg(super::ENTER)
            .args(["--cgroup", &self.cgroup(cgroup), "--netns"])
            .arg(self.netns_path(node))
            .arg("--")
            .arg(program);
        Ok(command)
    }

    /// Ends its processes, and takes away its namespaces, cgroups and files, whatever of it is there.
    fn remove(&self) -> Result<()> {
        let cgroups = cgroups::end(&self.name);
        let namespaces = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
        for entry in namespaces {
            let name = entry.file_name().to_string_lossy().into_owned();
            let part = format!("{}-", self.name);
            if name == self.name || name.starts_with(&part) {
                quietly(Command::new("ip").args(["netns", "del", &name]))?;
            }
        }
        cgroups?;
        // A node's mounts go with its last process, a moment later.
        let mut left = Ok(());
        for _ in 0..50 {
            left = match fs::remove_dir_all(self.dir()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => return Ok(()),
            };
            thread::sleep(Duration::from_millis(100));
        }
        left.with_context(|| format!("cannot take {} away", self.dir().display()))
    }
}
