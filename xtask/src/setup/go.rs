//! Go, which Kubernetes is built with: the machine's own, or Debian's, unpacked beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt::{self, Index};
use crate::ctx::Ctx;
use crate::ui;

/// What the oldest of the modules that are built says in its go.mod.
const ENOUGH: (u32, u32) = (1, 24);
/// From this version on Go gets a newer one for itself, as a module (go.dev/doc/toolchain).
const FETCHES: (u32, u32) = (1, 21);
/// Where Debian has one that is new enough. Its files run wherever they lie.
const SUITE: &str = "trixie";
const PACKAGES: [&str; 2] = ["golang-1.24-go", "golang-1.24-src"];
/// The go command in those packages.
const UNPACKED: &str = "usr/lib/go-1.24/bin/go";
/// Where Go's own installer puts it, beside those in PATH.
const USUAL: &str = "/usr/local/go/bin/go";

/// A Go that builds what says `go 1.24` in its go.mod.
pub struct Go(PathBuf);

impl Go {
    /// Finds one, or gets Debian's.
    ///
    /// # Errors
    /// When there is none and none is to be had; says what to install by hand.
    pub fn ready(ctx: &Ctx) -> Result<Self> {
        let at_hand: Vec<_> = which::which_all("go")
            .into_iter()
            .flatten()
            .chain([USUAL.into()])
            .collect();
        for (least, why) in [
            (ENOUGH, ""),
            (FETCHES, ", which gets a newer one for itself"),
        ] {
            for go in &at_hand {
                if let Some(version) = version(go).filter(|version| *version >= least) {
                    if !why.is_empty() {
                        let (major, minor) = version;
                        ui::note(format_args!("Go is {major}.{minor}{why}"));
                    }
                    return Ok(Self(go.clone()));
                }
            }
        }
        debians(ctx).map(Self).with_context(|| {
            let (major, minor) = ENOUGH;
            format!("install Go {major}.{minor} or newer by hand (go.dev/dl), then run this again")
        })
    }

    /// The go command, with nothing of the user's settings that a build depends on. It lets everybody else go first:
    /// tests may run meanwhile.
    pub fn command(&self) -> Command {
        let mut command = Command::new("nice");
        command
            .args(["-n", "19"])
            .arg(&self.0)
            .env("GOTOOLCHAIN", "auto")
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .env("CGO_ENABLED", "0");
        command
    }
}

fn version(go: &Path) -> Option<(u32, u32)> {
    let mut command = Command::new(go);
    // Elsewhere a go.mod could name another version.
    let output = command.args(["env", "GOVERSION"]).current_dir("/");
    let output = output.env("GOTOOLCHAIN", "local").output().ok()?;
    parsed(&String::from_utf8_lossy(&output.stdout))
}

/// `go1.24.4` is 1.24; so are `go1.24rc1` and `go1.24-devel`.
fn parsed(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.trim().strip_prefix("go")?.split_once('.')?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..end].parse().ok()?))
}

fn debians(ctx: &Ctx) -> Result<PathBuf> {
    let dir = ctx.cache.join(PACKAGES[0]);
    let go = dir.join(UNPACKED);
    if !go.exists() {
        ui::note(format_args!(
            "there is no Go that will do here: unpacking Debian's ({SUITE}) into {}",
            dir.display()
        ));
        let downloads = dir.with_extension("download");
        fs::remove_dir_all(&downloads).ok();
        fs::create_dir_all(&downloads)?;
        let packages = PACKAGES.map(String::from);
        Index::of(ctx, &[SUITE])?.download(&packages, &downloads)?;
        let files: Vec<_> = fs::read_dir(&downloads)?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        apt::unpack(&files, &dir)?;
        fs::remove_dir_all(&downloads)?;
    }
    if version(&go) < Some(ENOUGH) {
        bail!("{} does not run", go.display());
    }
    Ok(go)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_go_tells_them() {
        assert_eq!(parsed("go1.26.8\n"), Some((1, 26)));
        assert_eq!(parsed("go1.24rc1"), Some((1, 24)));
        assert_eq!(parsed("go1.9"), Some((1, 9)));
        assert!(parsed("go1.9") < Some(FETCHES));
        assert_eq!(parsed("devel"), None);
    }
}
