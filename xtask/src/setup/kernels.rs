//! Kernels to boot: Debian's own, unpacked into the cache, or what the user names.

use std::cmp::Ordering;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt::{self, Index};
use crate::ctx::Ctx;
use crate::ui::Step;

/// A kernel that can be booted.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Its release, as `uname -r` says it.
    pub release: String,
    /// The folder in which the other two were found.
    pub folder: PathBuf,
    /// The bzImage.
    pub image: PathBuf,
    /// The folder that belongs at `/lib/modules/<release>`.
    pub modules: PathBuf,
}

/// The Debian suites that have a kernel of `version` (major.minor) in a cloud flavour.
fn suites(version: &str) -> &'static [&'static str] {
    match version {
        "5.10" => &["bullseye", "bullseye-security"],
        "6.1" => &["bookworm", "bookworm-security"],
        "6.12" => &["bookworm-backports", "bookworm-security"],
        _ => &["trixie-backports", "sid", "experimental"],
    }
}

/// `--kernel` with this means the newest that Debian has.
pub const NEWEST: &str = "newest";
/// `linux-image-RELEASE` is a package, and RELEASE the folder that it is unpacked to.
const PACKAGE: &str = "linux-image-";

impl Kernel {
    /// The kernel that `--kernel WHICH` means: a version (`6.12`), `newest`, a Debian package file, or a folder.
    ///
    /// # Errors
    /// When it cannot be had, with what was looked for.
    pub fn named(ctx: &Ctx, which: &str) -> Result<Self> {
        let path = Path::new(which);
        if path.is_dir() {
            return Self::in_folder(&path.canonicalize()?);
        }
        if path.extension().is_some_and(|end| end == "deb") {
            return Self::of_file(ctx, path);
        }
        if which != NEWEST && !is_version(which) {
            bail!(
                "--kernel {which}: neither a version like 6.12, nor {NEWEST}, nor a .deb file, nor a folder"
            );
        }
        Self::of_debian(ctx, which)
    }

    /// Major and minor number of its version.
    pub fn version(&self) -> Option<(u32, u32)> {
        version_of(&self.release)
    }

    fn of_debian(ctx: &Ctx, version: &str) -> Result<Self> {
        let _lock = ctx.lock("kernels")?;
        let store = ctx.cache.join("kernels");
        fs::create_dir_all(&store)?;
        let kept = fs::read_dir(&store)?
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let kept = newest(kept.map(|name| format!("{PACKAGE}{name}")), version)
            .map(|package| store.join(release_of(&package)));
        match kept {
            // Debian may have a newer one by now; without a way to it the one that is here does.
            Some(kept) if version == NEWEST => {
                let there = Index::of(ctx, suites(version))
                    .and_then(|index| fetch(&index, &store, version));
                return Self::in_folder(&there.unwrap_or(kept));
            }
            Some(kept) => return Self::in_folder(&kept),
            None => {}
        }
        let suites = suites(version);
        let package = Index::of(ctx, suites).and_then(|index| fetch(&index, &store, version));
        let package = package.with_context(|| {
            let suites = suites.join(", ");
            format!("no kernel {version} to be had; get a linux-image-{version}*-cloud-amd64 package of Debian ({suites}) and name the file: --kernel FILE.deb")
        })?;
        Self::in_folder(&package)
    }

    fn of_file(ctx: &Ctx, file: &Path) -> Result<Self> {
        let file = file
            .canonicalize()
            .with_context(|| format!("--kernel {}", file.display()))?;
        let stem = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let about = fs::metadata(&file)?;
        let dir = ctx.cache.join("kernel-files").join(format!(
            "{stem}-{}-{}",
            about.size(),
            about.mtime()
        ));
        let _lock = ctx.lock("kernels")?;
        if !dir.exists() {
            apt::unpack(std::slice::from_ref(&file), &dir)?;
        }
        let hint = "unpack all packages of this kernel (dpkg-deb -x) into one folder and name that: --kernel DIR";
        Self::in_folder(&dir).with_context(|| format!("{}: {hint}", file.display()))
    }

    /// Finds image and modules in an unpacked package, or in a folder where somebody put them.
    fn in_folder(dir: &Path) -> Result<Self> {
        let modules = modules_in(dir)?;
        let release = modules
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let named = |parent: &str| dir.join(parent).join(format!("vmlinuz-{release}"));
        let candidates = [
            named("boot"),
            named(""),
            modules.join("vmlinuz"),
            dir.join("vmlinuz"),
            dir.join("bzImage"),
        ];
        let Some(image) = candidates.iter().find(|path| path.is_file()) else {
            let tried: Vec<_> = candidates
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            bail!(
                "no kernel image in {}: looked for {}",
                dir.display(),
                tried.join(", ")
            );
        };
        if !modules.join("modules.dep").exists() {
            depmod(&modules, &release)?;
        }
        Ok(Self {
            release,
            folder: dir.to_path_buf(),
            image: image.clone(),
            modules,
        })
    }
}

/// The one folder of modules under `dir`.
fn modules_in(dir: &Path) -> Result<PathBuf> {
    for parent in ["lib/modules", "usr/lib/modules"] {
        let entries = fs::read_dir(dir.join(parent))
            .into_iter()
            .flatten()
            .flatten();
        let mut found: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        match (found.pop(), found.is_empty()) {
            (Some(path), true) => return Ok(path),
            (None, _) => {}
            (Some(_), false) => bail!(
                "{}: modules of more than one kernel",
                dir.join(parent).display()
            ),
        }
    }
    bail!(
        "no modules in {}: looked for lib/modules/RELEASE and usr/lib/modules/RELEASE",
        dir.display()
    )
}

/// Debian's packages from 6.18 on come without modules.dep.
fn depmod(modules: &Path, release: &str) -> Result<()> {
    let base = modules
        .ancestors()
        .nth(3)
        .context("modules lie too near the root")?;
    let mut command = Command::new("/sbin/depmod");
    Step::new("sorting the kernel's modules").run(command.arg("-b").arg(base).arg(release))?;
    Ok(())
}

/// Downloads and unpacks the newest kernel of `version` into `store`.
fn fetch(index: &Index, store: &Path, version: &str) -> Result<PathBuf> {
    let names = index.names("linux-")?;
    let package = newest(names.iter().cloned(), version).context("none in the package lists")?;
    let release = release_of(&package);
    let dir = store.join(release);
    if dir.exists() {
        return Ok(dir);
    }
    let mut packages = vec![package.clone()];
    let parts = index.depends(&package)?;
    packages.extend(parts.into_iter().filter(|name| {
        // Of an older kernel the archive may have dropped a part before the rest. What is missing in the end is told
        // when it is looked for.
        names.contains(name)
            && name.ends_with(release)
            && ["linux-base-", "linux-binary-", "linux-modules-"]
                .iter()
                .any(|part| name.starts_with(part))
    }));
    let downloads = store.join(format!(".download-{}", std::process::id()));
    fs::create_dir_all(&downloads)?;
    let done = index.download(&packages, &downloads).and_then(|()| {
        let files: Vec<_> = fs::read_dir(&downloads)?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        apt::unpack(&files, &dir)?;
        Ok(dir)
    });
    fs::remove_dir_all(&downloads).ok();
    done
}

/// `6.12.117+deb12-cloud-amd64` is 6.12.
pub fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn is_version(which: &str) -> bool {
    let mut parts = which.split('.');
    let number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u16>().is_ok());
    number(parts.next()) && number(parts.next()) && parts.next().is_none()
}

fn release_of(package: &str) -> &str {
    package.trim_start_matches(PACKAGE)
}

/// Of package `names` the newest cloud kernel of `version`, or of all.
fn newest(names: impl Iterator<Item = String>, version: &str) -> Option<String> {
    let fits = |name: &String| {
        let release = name.strip_prefix(PACKAGE)?;
        let rest = match version {
            NEWEST => release
                .starts_with(|c: char| c.is_ascii_digit())
                .then_some(release),
            _ => release.strip_prefix(version)?.strip_prefix('.'),
        };
        rest.filter(|rest| rest.ends_with("-cloud-amd64")).map(drop)
    };
    names
        .filter(|name| fits(name).is_some())
        .max_by(|a, b| by_version(a, b))
}

/// Compares runs of digits as numbers, all else as text.
fn by_version(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (left, right) = (run(&mut a), run(&mut b));
        let order = match (left.parse::<u64>(), right.parse::<u64>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => left.cmp(right),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Takes the leading run of digits, or of other characters, off `text`.
fn run<'a>(text: &mut &'a str) -> &'a str {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    *text = rest;
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(names: &[&str], version: &str) -> Option<String> {
        newest(names.iter().map(|name| (*name).to_owned()), version)
    }

    #[test]
    fn the_newest_cloud_kernel_of_the_version_is_picked() {
        let names = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-57-amd64",
            "linux-image-6.1.0-58-cloud-amd64-dbg",
            "linux-image-6.1.0-59-cloud-amd64-unsigned",
            "linux-image-6.12.95+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-6.12-cloud-amd64",
        ];
        assert_eq!(
            pick(&names, "6.1").as_deref(),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(
            pick(&names, "6.12").as_deref(),
            Some("linux-image-6.12.117+deb12-cloud-amd64")
        );
        assert_eq!(pick(&names, "5.10"), None);
        assert_eq!(
            pick(&[&names[..], &["linux-image-cloud-amd64"]].concat(), NEWEST).as_deref(),
            Some("linux-image-6.12.117+deb12-cloud-amd64")
        );
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(by_version("6.12.95", "6.12.117"), Ordering::Less);
        assert_eq!(
            by_version("6.12.90+deb12", "6.12.90+deb12.1"),
            Ordering::Less
        );
        assert_eq!(by_version("7.3.4", "7.3.4"), Ordering::Equal);
    }

    #[test]
    fn a_release_has_a_version() {
        let releases = [
            "6.12.117+deb12-cloud-amd64",
            "5.10.0-46-cloud-amd64",
            "7.3-cloud-amd64",
        ];
        assert_eq!(
            releases.map(version_of),
            [Some((6, 12)), Some((5, 10)), Some((7, 3))]
        );
        assert_eq!(version_of("unknown"), None);
    }

    #[test]
    fn a_version_is_two_numbers() {
        assert!(is_version("6.12") && is_version("5.10"));
        assert!(
            !is_version("6") && !is_version("6.1.2") && !is_version("six.1") && !is_version("")
        );
    }
}
