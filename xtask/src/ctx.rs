//! Where things are on this machine, and who is allowed to touch them.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::ui;

/// The workspace and the user's cache.
pub struct Ctx {
    /// The workspace that this xtask was built from.
    pub root: PathBuf,
    /// What is downloaded or built once per user: `$XDG_CACHE_HOME/netchaos`, else `~/.cache/netchaos`.
    pub cache: PathBuf,
}

impl Ctx {
    /// # Errors
    /// When the workspace is gone, or neither `XDG_CACHE_HOME` nor `HOME` is set.
    pub fn new() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .parent()
            .context("xtask has no workspace around it")?
            .to_path_buf();
        let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
            Some(dir) if dir.is_absolute() => dir,
            _ => Path::new(&env::var_os("HOME").context("HOME is not set")?).join(".cache"),
        };
        let cache = base.join("netchaos");
        fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make the cache folder {}", cache.display()))?;
        Ok(Self { root, cache })
    }

    /// Keeps a second xtask of this user out until the returned file is dropped.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn lock(&self, name: &str) -> Result<File> {
        let path = self.cache.join(format!("{name}.lock"));
        let file =
            File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                ui::note(format_args!("waiting for another xtask ({name})"))
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache"),
        }
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }
}

/// True when this process may do everything.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// `program` so that it runs as root: itself, or behind `sudo`.
///
/// # Errors
/// When this process is not root and there is no `sudo`.
pub fn as_root(program: impl AsRef<Path>) -> Result<Command> {
    let program = program.as_ref();
    if is_root() {
        return Ok(Command::new(program));
    }
    let Ok(sudo) = which::which("sudo") else {
        bail!(
            "{} needs root, and there is no sudo here: run this as root",
            program.display()
        );
    };
    let mut command = Command::new(sudo);
    command.arg("--").arg(program);
    Ok(command)
}
