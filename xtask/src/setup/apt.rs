//! Debian packages: into the system, or only downloaded, from suites that the machine does not use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::ctx::{self, Ctx};
use crate::ui::{self, Step};

/// Where Debian is found when the machine's own sources name no mirror.
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
const DEFAULT_SECURITY: &str = "http://deb.debian.org/debian-security";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Installs `packages` from the machine's own sources.
///
/// # Errors
/// Says what to install by hand.
pub fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    let by_hand = || format!("install by hand, then run this again: apt-get install {names}");
    which::which("apt-get")
        .context("no apt-get here")
        .with_context(by_hand)?;
    let what = format!("installing {names}");
    if apt_get_install(&what, packages).is_ok() {
        return Ok(());
    }
    // Fresh machines have no package lists, old ones name packages that are gone.
    let mut update = apt_get()?;
    Step::new("refreshing the package lists")
        .run(update.arg("update"))
        .with_context(by_hand)?;
    apt_get_install(&what, packages).with_context(by_hand)
}

fn apt_get() -> Result<Command> {
    // sudo drops the environment: env(1) comes after it.
    let mut command = ctx::as_root("/usr/bin/env")?;
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]);
    Ok(command)
}

fn apt_get_install(what: &str, packages: &[&str]) -> Result<()> {
    let mut command = apt_get()?;
    command
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages);
    Step::new(what).run(&mut command)?;
    Ok(())
}

/// True when the machine's package lists know `package` in a version that can be installed.
pub fn is_known(package: &str) -> bool {
    let output = Command::new("apt-cache")
        .args(["show", "--no-all-versions", package])
        .output();
    output.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}

/// A package index of chosen suites, apart from the machine's own: nothing of the system is changed.
pub struct Index {
    dir: PathBuf,
}

impl Index {
    /// Downloads the package lists of `suites`. A suite ending in `-security` comes from the security mirror.
    ///
    /// # Errors
    /// When apt is missing or the folder cannot be written. A suite that the mirror lacks is no error here: the
    /// package is then not found.
    pub fn of(ctx: &Ctx, suites: &[&str]) -> Result<Self> {
        let dir = ctx.cache.join("apt").join(suites.join("+"));
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part))
                .with_context(|| format!("cannot write {}", dir.display()))?;
        }
        let mirrors = Mirrors::of_this_machine();
        fs::write(
            dir.join("sources.list"),
            mirrors.source_lines(suites, Path::new(KEYRING).exists()),
        )?;
        let index = Self { dir };
        let what = format!("reading the package lists of {}", suites.join(", "));
        if let Err(error) = Step::new(&what).run(index.apt("apt-get").arg("update")) {
            ui::note(format_args!("{error:#}"));
        }
        Ok(index)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let option = |name: &str, value: &str| format!("{name}={}", self.dir.join(value).display());
        for option in [
            option("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=-".into(),
            option("Dir::State::Lists", "lists"),
            option("Dir::Cache", "cache"),
            "Acquire::Languages=none".into(),
            // AppStream's hook asks for icons and descriptions that are of no use here.
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "APT::Update::Post-Invoke-Success::=true".into(),
            "APT::Sandbox::User=root".into(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    /// All package names of these suites that begin with `prefix`.
    ///
    /// # Errors
    /// When apt-cache does not work.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let output = Step::usually_instant("looking for packages")
            .run(self.apt("apt-cache").args(["pkgnames", prefix]))?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// The names of the packages that `package` depends on.
    ///
    /// # Errors
    /// When apt-cache does not know the package.
    pub fn depends(&self, package: &str) -> Result<Vec<String>> {
        let mut command = self.apt("apt-cache");
        command.args(["show", "--no-all-versions", package]);
        let output = Step::usually_instant("reading what it depends on").run(&mut command)?;
        Ok(depends_of(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Downloads `packages` into `dir`.
    ///
    /// # Errors
    /// When a download fails.
    pub fn download(&self, packages: &[String], dir: &Path) -> Result<()> {
        let what = format!("downloading {}", packages.join(" "));
        let mut command = self.apt("apt-get");
        Step::new(&what).run(command.arg("download").args(packages).current_dir(dir))?;
        Ok(())
    }
}

/// Unpacks `packages` into `dir`, which is there whole or not at all.
///
/// # Errors
/// When a package cannot be unpacked, or the folder is there.
pub fn unpack(packages: &[PathBuf], dir: &Path) -> Result<()> {
    let parent = dir.parent().context("no parent folder")?;
    fs::create_dir_all(parent)?;
    let half = parent.join(format!(".unpack-{}", std::process::id()));
    fs::remove_dir_all(&half).ok();
    for package in packages {
        let mut command = Command::new("dpkg-deb");
        let what = format!(
            "unpacking {}",
            package.file_name().unwrap_or_default().display()
        );
        Step::new(&what).run(command.arg("-x").arg(package).arg(&half))?;
    }
    fs::rename(&half, dir)
        .with_context(|| format!("cannot move what was unpacked to {}", dir.display()))
}

/// The names in the `Depends:` line of a package's description; of alternatives, the first.
fn depends_of(description: &str) -> Vec<String> {
    let line = description
        .lines()
        .find_map(|line| line.strip_prefix("Depends:"))
        .unwrap_or("");
    line.split(',')
        .filter_map(|entry| entry.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// The Debian mirrors that a machine uses.
#[derive(Debug, PartialEq, Eq)]
struct Mirrors {
    main: String,
    security: String,
}

impl Mirrors {
    fn of_this_machine() -> Self {
        let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
        let parts = fs::read_dir("/etc/apt/sources.list.d")
            .into_iter()
            .flatten()
            .flatten();
        files.extend(parts.map(|entry| entry.path()));
        files.sort();
        let texts = files
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok());
        Self::named_in(&texts.collect::<Vec<_>>().join("\n"))
    }

    /// Reads one-line and deb822 sources (sources.list(5)).
    fn named_in(sources: &str) -> Self {
        let uncommented = sources
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'));
        let uris: Vec<&str> = uncommented
            .filter(|line| {
                line.starts_with("deb ") || line.to_ascii_lowercase().starts_with("uris:")
            })
            .flat_map(str::split_whitespace)
            .filter(|word| word.contains("://"))
            .map(|uri| uri.trim_end_matches('/'))
            .collect();
        let ending = |name: &str| {
            uris.iter()
                .find(|uri| uri.ends_with(name))
                .map(|uri| (*uri).to_owned())
        };
        Self {
            main: ending("/debian").unwrap_or_else(|| DEFAULT_MIRROR.into()),
            security: ending("/debian-security").unwrap_or_else(|| DEFAULT_SECURITY.into()),
        }
    }

    fn source_lines(&self, suites: &[&str], keyring: bool) -> String {
        let signed = if keyring {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let line = |suite: &&str| {
            let mirror = if suite.ends_with("-security") {
                &self.security
            } else {
                &self.main
            };
            format!("deb {signed}{mirror} {suite} main\n")
        };
        suites.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_mirror_is_used() {
        let deb822 = "Types: deb\n# http://old.example/debian\nURIs: http://mirror.example/debian/\nSuites: bookworm\n\
                      \nTypes: deb\nURIs: https://mirror.example/debian-security\n";
        let one_line = "# deb http://old.example/debian x main\ndeb [arch=amd64] http://m2.example/debian bookworm main\n";
        let mirrors = |main: &str, security: &str| Mirrors {
            main: main.into(),
            security: security.into(),
        };
        let both = mirrors(
            "http://mirror.example/debian",
            "https://mirror.example/debian-security",
        );
        assert_eq!(Mirrors::named_in(deb822), both);
        assert_eq!(
            Mirrors::named_in(one_line),
            mirrors("http://m2.example/debian", DEFAULT_SECURITY)
        );
        let other = "deb https://packages.example/apt cloud main";
        assert_eq!(
            Mirrors::named_in(other),
            mirrors(DEFAULT_MIRROR, DEFAULT_SECURITY)
        );
    }

    #[test]
    fn security_suites_come_from_the_security_mirror() {
        let mirrors = Mirrors {
            main: "http://m/debian".into(),
            security: "http://s/debian-security".into(),
        };
        let lines = mirrors.source_lines(&["bookworm", "bookworm-security"], false);
        assert_eq!(
            lines,
            "deb http://m/debian bookworm main\ndeb http://s/debian-security bookworm-security main\n"
        );
    }

    #[test]
    fn depends_are_names_without_versions() {
        let text = "Package: p\nDepends: dracut | initramfs-tools (>= 0.120), linux-binary-7.3 (= 1), linux-modules-7.3\n";
        assert_eq!(
            depends_of(text),
            ["dracut", "linux-binary-7.3", "linux-modules-7.3"]
        );
    }
}
