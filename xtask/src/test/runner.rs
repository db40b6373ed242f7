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
/// A test binary is ended after so many seconds. The longest of ours takes a quarter of it.
pub const BOUND: u64 = 600;

/// Where a test finds the release before, or why it does not.
const PREVIOUS: &str = "NETCHAOS_PREVIOUS_BIN";
const NO_PREVIOUS: &str = "NETCHAOS_NO_PREVIOUS";

/// What to run.
#[derive(Args)]
pub struct RunnerArgs {
    /// The `netchaos` to be tested
    #[arg(long)]
    netchaos: PathBuf,
    /// The release before it, for tests of an upgrade
    #[arg(long)]
    previous: Option<PathBuf>,
    /// Why it is not to be had
    #[arg(long)]
    no_previous: Option<String>,
    /// End a test binary after so many seconds
    #[arg(long, default_value_t = BOUND)]
    bound: u64,
    /// Only tests with this in their name, or in that of their binary
    #[arg(long)]
    filter: Option<String>,
    /// Test binaries
    binaries: Vec<PathBuf>,
}

/// What a runner is told, in words.
pub struct Told<'a> {
    pub netchaos: &'a Path,
    /// Where a test asks for it: the release before, or why it is not to be had.
    pub previous: Option<Result<PathBuf>>,
    pub bound: u64,
    pub filter: Option<&'a str>,
    pub binaries: Vec<PathBuf>,
}

impl Told<'_> {
    /// The words of a command that runs the binaries; the first is xtask itself.
    ///
    /// # Errors
    /// When xtask's own file is not found.
    pub fn command(self) -> Result<Vec<PathBuf>> {
        let this = env::current_exe().context("cannot find xtask's own file")?;
        let command = [this, SUBCOMMAND.into()];
        Ok(command.into_iter().chain(self.words()).collect())
    }

    /// What says so behind a subcommand.
    pub fn words(self) -> Vec<PathBuf> {
        let mut words = vec!["--netchaos".into(), self.netchaos.into()];
        match self.previous {
            Some(Ok(path)) => words.extend(["--previous".into(), path]),
            Some(Err(why)) => words.push(format!("--no-previous={why:#}").into()),
            None => {}
        }
        words.push(format!("--bound={}", self.bound).into());
        if let Some(filter) = self.filter {
            words.push(format!("--filter={filter}").into());
        }
        words.push("--".into());
        words.extend(self.binaries);
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
        let name = name_of(binary);
        println!("     Running {name} ({})", binary.display());
        let mut command = Command::new(binary);
        command
            .args(["--test-threads=1", "--show-output"])
            .args(args.filter.iter().filter(|filter| !name.contains(*filter)));
        command
            .env("NETCHAOS_BIN", &args.netchaos)
            .envs(args.previous.iter().map(|path| (PREVIOUS, path)))
            .envs(args.no_previous.iter().map(|why| (NO_PREVIOUS, why)))
            .env("PATH", &path)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        // One stream: what a test says on stderr belongs between the lines around it.
        command.stderr(io::stdout().as_fd().try_clone_to_owned()?);
        let begin = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let how = wait(child, Duration::from_secs(args.bound))?;
        all_succeeded &= how == "exit status: 0";
        let seconds = begin.elapsed().as_secs_f32();
        println!("     Ended {name}: {how} after {seconds:.1} s");
    }
    Ok(all_succeeded)
}

/// The name of a test binary's file without cargo's hash.
fn name_of(binary: &Path) -> String {
    let file = binary.file_name().unwrap_or_default().to_string_lossy();
    let name = file.rsplit_once('-').map_or(&*file, |(name, _hash)| name);
    name.to_owned()
}

fn wait(mut child: Child, bound: Duration) -> Result<String> {
    let start = Instant::now();
    while start.elapsed() < bound {
        if let Some(status) = child.try_wait()? {
            return Ok(status.to_string());
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(format!("killed after {} s", bound.as_secs()))
}
