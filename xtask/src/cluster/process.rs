//! Processes of the cluster, and waiting until what they make is there.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Far longer than anything takes on a machine that others use too: on an idle one an API server takes three seconds.
const BOUND: Duration = Duration::from_secs(120);
/// Lines of a log that are shown when something fails.
const TAIL_LINES: usize = 15;

/// A process with its words in a file.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", crate::ui::shown(command)))?;
        Ok(Self { child, log })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    fn ended(&mut self) -> Result<Option<String>> {
        let status = self.child.try_wait()?;
        Ok(status.map(|status| format!("it ended ({status}), and said last:\n{}", self.tail())))
    }

    fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

/// Waits until `is_so`, which these processes are to bring about.
///
/// # Errors
/// When it is not in time, or one of them has ended; with what they said last.
pub fn wait(
    what: &str,
    processes: &mut [Process],
    mut is_so: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let begin = Instant::now();
    while !is_so()? {
        look_after(what, processes)?;
        if begin.elapsed() > BOUND {
            let said = processes
                .iter()
                .map(|process| format!("\n{}:\n{}", process.log.display(), process.tail()));
            let said: String = said.collect();
            bail!("{what}: not within {} s{said}", BOUND.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Looks whether all of them run.
///
/// # Errors
/// When one has ended, with what it said last.
pub fn look_after(what: &str, processes: &mut [Process]) -> Result<()> {
    for process in processes {
        if let Some(how) = process.ended()? {
            bail!("{what}: {}: {how}", process.log.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_of_an_end() {
        let log = std::env::temp_dir().join(format!("netchaos-process-{}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo because >&2; exit 3"]);
        let mut processes = [Process::start(&mut command, log.clone()).unwrap()];
        let error = wait("trying", &mut processes, || Ok(false)).unwrap_err();
        fs::remove_file(log).unwrap();
        let error = format!("{error:#}");
        assert!(
            error.contains("because") && error.contains("status: 3"),
            "{error}"
        );
    }
}
