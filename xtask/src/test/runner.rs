//! Runs finished test binaries one after the other, on the host as well as in the VM, and says when each begins and
//! ends, so that a binary that dies is not mistaken for one with nothing to say.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;

/// The hidden subcommand that this is.
pub const SUBCOMMAND: &str = "run-tests";
/// A test binary is ended after this. The longest of ours takes a tenth of it.
pub const BOUND: Duration = Duration::from_secs(600);

/// What to run.
#[derive(Args)]
pub struct RunnerArgs {
    /// The `netchaos` to be tested
    #[arg(long)]
    netchaos: PathBuf,
    /// Only tests with this in their name
    #[arg(long)]
    filter: Option<String>,
    /// Test binaries
    binaries: Vec<PathBuf>,
}

impl RunnerArgs {
    /// The words of a command that runs `binaries`; the first is xtask itself.
    ///
    /// # Errors
    /// When xtask's own file is not found.
    pub fn command(
        netchaos: &Path,
        filter: Option<&str>,
        binaries: Vec<PathBuf>,
    ) -> Result<Vec<PathBuf>> {
        let this = env::current_exe().context("cannot find xtask's own file")?;
        let words = Self::words(netchaos, filter, binaries);
        Ok([this, SUBCOMMAND.into()].into_iter().chain(words).collect())
    }

    /// What says so behind a subcommand.
    pub fn words(netchaos: &Path, filter: Option<&str>, binaries: Vec<PathBuf>) -> Vec<PathBuf> {
        let mut words = vec!["--netchaos".into(), netchaos.into()];
        if let Some(filter) = filter {
            words.push(format!("--filter={filter}").into());
        }
        words.push("--".into());
        words.extend(binaries);
        words
    }
}

/// Runs the binaries with this in their environment. Returns true when all succeeded.
///
/// # Errors
/// When a binary cannot be started.
pub fn run(args: &RunnerArgs, environment: &[(&str, OsString)]) -> Result<bool> {
    let dir = args
        .netchaos
        .parent()
        .unwrap_or(Path::new("/"))
        .to_path_buf();
    let old = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([dir].into_iter().chain(env::split_paths(&old)))?;
    let mut all_succeeded = true;
    for binary in &args.binaries {
        let file = binary.file_name().unwrap_or_default().to_string_lossy();
        let name = file
            .rsplit_once('-')
            .map_or(&*file, |(name, _hash)| name)
            .to_owned();
        println!("     Running {name} ({})", binary.display());
        let mut command = Command::new(binary);
        command
            .args(["--test-threads=1", "--show-output"])
            .args(&args.filter);
        command
            .env("NETCHAOS_BIN", &args.netchaos)
            .env("PATH", &path)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        // One stream: what a test says on stderr belongs between the lines around it.
        command.stderr(io::stdout().as_fd().try_clone_to_owned()?);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let how = wait(child)?;
        all_succeeded &= how == "exit status: 0";
        println!("     Ended {name}: {how}");
    }
    Ok(all_succeeded)
}

fn wait(mut child: Child) -> Result<String> {
    let start = Instant::now();
    while start.elapsed() < BOUND {
        if let Some(status) = child.try_wait()? {
            return Ok(status.to_string());
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(format!("killed after {} s", BOUND.as_secs()))
}
