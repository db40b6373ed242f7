//! Cgroups of a run: whatever it starts is in them, so they tell what has to be ended.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const MOUNT: &str = "/sys/fs/cgroup";
const CONTROLLERS: &str = "cgroup.controllers";
/// How long killed processes may take to be gone. One that is in a mount or a read of a disk takes its time.
const BOUND: Duration = Duration::from_secs(20);

/// The top of every hierarchy: one of version 2, those of version 1, or both beside each other (cgroups(7)).
fn tops() -> Vec<PathBuf> {
    let mount = PathBuf::from(MOUNT);
    if mount.join(CONTROLLERS).exists() {
        return vec![mount];
    }
    let mut tops: Vec<_> = fs::read_dir(&mount)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        // Names such as `cpu,cpuacct` have symbolic links to them.
        .filter(|path| path.join("cgroup.procs").exists() && !path.is_symlink())
        .collect();
    tops.sort();
    tops
}

/// The folders of the cgroup `path`, one in each hierarchy.
pub fn folders(path: &str) -> Vec<PathBuf> {
    tops().into_iter().map(|top| top.join(path)).collect()
}

/// Makes the cgroup `path` in all hierarchies, with the controllers, processors and memory nodes that are above it.
///
/// # Errors
/// When there are no cgroups, or they cannot be written.
pub fn make(path: &str) -> Result<()> {
    let tops = tops();
    if tops.is_empty() {
        bail!("no cgroups below {MOUNT}");
    }
    for top in tops {
        let mut dir = top;
        for part in Path::new(path) {
            let parent = dir.clone();
            hand_down(&parent);
            dir.push(part);
            match fs::create_dir(&dir) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(error).with_context(|| format!("cannot make {}", dir.display()));
                }
                _ => {}
            }
            inherit(&parent, &dir).with_context(|| dir.display().to_string())?;
        }
    }
    Ok(())
}

/// Version 2, where it has the controllers: a child has those that its parent names. Those that cannot be handed down
/// say so, and whoever needs them misses them.
fn hand_down(parent: &Path) {
    if !Path::new(MOUNT).join(CONTROLLERS).exists() {
        return;
    }
    let controllers = fs::read_to_string(parent.join(CONTROLLERS)).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        fs::write(
            parent.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .ok();
    }
}

/// Version 1: without processors and memory nodes nobody can enter a cpuset.
fn inherit(parent: &Path, dir: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (parent.join(file), dir.join(file));
        if dir.join("cgroup.clone_children").exists() && from.exists() {
            fs::write(to, fs::read(from)?)?;
            fs::write(dir.join("cgroup.clone_children"), "1")?;
        }
    }
    Ok(())
}

/// Puts this process, and what it will start, into the cgroup `path`.
///
/// # Errors
/// When it is not there.
pub fn join(path: &str) -> Result<()> {
    for folder in folders(path) {
        fs::write(folder.join("cgroup.procs"), "0")
            .with_context(|| format!("cannot enter {}", folder.display()))?;
    }
    Ok(())
}

/// Kills every process in the cgroup `path` and below, and takes the cgroup away.
///
/// # Errors
/// When a process does not end, or the cgroup does not go.
pub fn end(path: &str) -> Result<()> {
    let begin = Instant::now();
    loop {
        let pids: Vec<_> = folders(path).iter().flat_map(|dir| members(dir)).collect();
        let gone = pids.is_empty() && folders(path).iter().all(|dir| remove(dir).is_ok());
        if gone {
            return Ok(());
        }
        if begin.elapsed() > BOUND {
            bail!("cgroup {path} does not go; processes in it: {pids:?}");
        }
        for pid in pids {
            // Gone meanwhile, or it is seen in the next round.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The processes in `dir` and below.
fn members(dir: &Path) -> Vec<i32> {
    let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = procs.lines().filter_map(|pid| pid.parse().ok()).collect();
    for child in children(dir) {
        pids.extend(members(&child));
    }
    // 0 is a process that this one cannot see, and would be this one's own group.
    pids.retain(|pid| *pid > 0);
    pids
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn remove(dir: &Path) -> std::io::Result<()> {
    for child in children(dir) {
        remove(&child)?;
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_has_a_folder_in_every_hierarchy() {
        let folders = folders("netchaos-k8s-1/n1");
        assert_eq!(folders.len(), tops().len());
        for folder in folders {
            assert!(folder.starts_with(MOUNT) && folder.ends_with("netchaos-k8s-1/n1"));
        }
    }
}
