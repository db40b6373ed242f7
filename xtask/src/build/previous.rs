//! The release before this one, built from git's history: what the tests of an upgrade begin with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{cargo_build, executables_of, the_program};
use crate::ctx::Ctx;
use crate::setup::packages;
use crate::setup::toolchain::Toolchain;
use crate::ui::{self, Step};

/// Says which commit it is, by its full hash.
const FILE: &str = "tests/previous-release";
/// Where a clone without history gets it from.
const REMOTE: &str = "origin";

/// Builds the previous release's `netchaos` once per commit and user, and returns the program's path.
///
/// # Errors
/// When its commit is not to be had, or does not build.
pub fn netchaos(ctx: &Ctx, toolchain: &Toolchain) -> Result<PathBuf> {
    let commit = commit(ctx)?;
    let _lock = ctx.lock("previous")?;
    let store = ctx.cache.join("previous").join(&commit);
    let program = store.join("netchaos");
    if program.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&store).with_context(|| store.display().to_string())?;
    let sources = Sources::of(ctx, &commit, store.join("sources"))?;
    let built = sources.build(ctx, toolchain)?;
    // Whole or not at all.
    let half = store.join(format!(".netchaos-{}", process::id()));
    fs::copy(&built, &half).with_context(|| format!("cannot copy {}", built.display()))?;
    fs::rename(&half, &program)?;
    Ok(program)
}

fn commit(ctx: &Ctx) -> Result<String> {
    let text = fs::read_to_string(ctx.root.join(FILE)).context(FILE)?;
    let Some(commit) = full_hash(&text) else {
        bail!("{FILE} names no commit by its full hash: {text:?}");
    };
    Ok(commit.to_owned())
}

fn full_hash(text: &str) -> Option<&str> {
    let hash = text.trim();
    let hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    (hash.len() == 40 && hash.chars().all(hex)).then_some(hash)
}

/// The files of that commit, gone when dropped.
struct Sources(PathBuf);

impl Sources {
    fn of(ctx: &Ctx, commit: &str, dir: PathBuf) -> Result<Self> {
        packages::git(ctx)?;
        get(&ctx.root, commit)?;
        let what = format!("exporting {commit}");
        let archive = Step::usually_instant(&what)
            .run(git(&ctx.root).args(["archive", "--format=tar", commit]))?
            .stdout;
        // Of a run that was killed.
        fs::remove_dir_all(&dir).ok();
        tar::Archive::new(&*archive)
            .unpack(&dir)
            .with_context(|| format!("cannot unpack {commit} to {}", dir.display()))?;
        Ok(Self(dir))
    }

    /// What lies between is shared with our own builds, so that what both use is compiled once; what comes out is not.
    /// Before cargo 1.91, which does not know `build-dir`, all of it is compiled again.
    fn build(&self, ctx: &Ctx, toolchain: &Toolchain) -> Result<PathBuf> {
        let ours = target_dir(ctx, toolchain)?;
        let mut command = cargo_build(ctx, toolchain);
        command
            .current_dir(&self.0)
            .args(["--locked", "--release"])
            .args(["-p", "netchaos-userspace", "--bin", "netchaos"])
            .env("CARGO_BUILD_BUILD_DIR", &ours)
            .env("CARGO_TARGET_DIR", ours.join("previous"));
        the_program(executables_of(
            &mut command,
            "building the previous release",
        )?)
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// git in `root`, which may be another user's: root runs the tests.
fn git(root: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-c")
        .arg(format!("safe.directory={}", root.display()))
        .arg("-C")
        .arg(root)
        // Nobody is there to type a password.
        .env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// Sees to it that `commit` is there. A clone without history lacks it: it is asked for, then all of the history.
fn get(root: &Path, commit: &str) -> Result<()> {
    let object = format!("{commit}^{{commit}}");
    let is_there = || ui::quietly(git(root).args(["cat-file", "-e", &object])).is_ok();
    if is_there() {
        return Ok(());
    }
    ui::note(format_args!(
        "git's history here has no {commit} ({FILE}): getting it from {REMOTE}"
    ));
    let mut said = Vec::new();
    for args in [
        ["--depth=1", REMOTE, commit].as_slice(),
        &["--unshallow", REMOTE],
    ] {
        let fetched = Step::usually_instant("git fetch").run(git(root).arg("fetch").args(args));
        if is_there() {
            return Ok(());
        }
        said.extend(fetched.err().map(|error| format!("{error:#}")));
    }
    bail!(
        "commit {commit} of {FILE} is not in git's history here, nor to be had from {REMOTE}: clone with the whole history\n{}",
        said.join("\n")
    )
}

/// Where cargo puts what it builds for us.
fn target_dir(ctx: &Ctx, toolchain: &Toolchain) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let mut command = toolchain.cargo(ctx);
    command.args(["metadata", "--no-deps", "--format-version=1"]);
    let output = Step::usually_instant("asking cargo").run(&mut command)?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    Ok(metadata.target_directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_named_by_its_full_hash() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(full_hash(&format!("{hash}\n")), Some(hash));
        assert_eq!(full_hash(""), None);
        assert_eq!(full_hash("0123456"), None);
        assert_eq!(full_hash(&hash.to_uppercase()), None);
        assert_eq!(full_hash(&format!("{hash} {hash}")), None);
    }

    #[test]
    fn a_clone_without_history_gets_it() {
        let dir = std::env::temp_dir().join(format!("netchaos-previous-{}", process::id()));
        let (whole, shallow) = (dir.join("whole"), dir.join("shallow"));
        fs::create_dir_all(&whole).unwrap();
        let in_whole = |args: &[&str]| {
            let who = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
            ui::output(git(&whole).args(who).args(args)).unwrap()
        };
        in_whole(&["init", "--quiet"]);
        in_whole(&["commit", "--quiet", "--allow-empty", "--message=one"]);
        let commit = in_whole(&["rev-parse", "HEAD"]).trim().to_owned();
        in_whole(&["commit", "--quiet", "--allow-empty", "--message=two"]);
        let url = format!("file://{}", whole.display());
        let clone = ["clone", "--quiet", "--depth=1", &url];
        ui::quietly(git(&dir).args(clone).arg(&shallow)).unwrap();

        let none = "0123456789abcdef0123456789abcdef01234567";
        let refused = get(&shallow, none).unwrap_err().to_string();
        assert!(
            refused.contains(none) && refused.contains("whole history"),
            "{refused}"
        );
        get(&shallow, &commit).unwrap();
        fs::remove_dir_all(&whole).unwrap();
        get(&shallow, &commit).unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_file_names_a_commit() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE);
        let text = fs::read_to_string(file).unwrap();
        assert!(full_hash(&text).is_some(), "{text:?}");
    }
}
