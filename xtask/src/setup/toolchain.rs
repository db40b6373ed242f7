//! Which Rust compiler builds netchaos: the one at hand, if core's sources for the BPF target are to be had for it
//! and an LLVM to build bpf-linker with; else Debian's.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{apt, linker};
use crate::ctx::Ctx;
use crate::ui::{self, Step};

/// How long rustup may try to reach its server.
const RUSTUP_BOUND: Duration = Duration::from_secs(120);
/// Debian's Rust for building web browsers: newer than the distribution's own, with sources.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const DEBIAN_TOOLS: [&str; 7] = [
    "cargo",
    "rustc",
    "rustdoc",
    "rustfmt",
    "cargo-fmt",
    "cargo-clippy",
    "clippy-driver",
];

/// The toolchain that every build of this run uses.
#[derive(Debug)]
pub struct Toolchain {
    cargo: PathBuf,
    env: Vec<(&'static str, OsString)>,
    is_debian: bool,
}

/// What `rustc` says about itself.
struct Compiler {
    llvm: u32,
    has_core_sources: bool,
}

impl Toolchain {
    /// Finds or installs a compiler, core's sources and the fitting bpf-linker.
    ///
    /// # Errors
    /// When neither the compiler at hand nor Debian's can be completed; says what to install by hand.
    pub fn ready(ctx: &Ctx) -> Result<Self> {
        let _lock = ctx.lock("toolchain")?;
        match Self::at_hand(ctx) {
            Ok(toolchain) => Ok(toolchain),
            Err(reason) => {
                if !Path::new("/usr/bin/rustc").exists() {
                    ui::note(format_args!(
                        "using Debian's Rust, since the compiler at hand does not do: {reason:#}"
                    ));
                }
                Self::of_debian(ctx).with_context(|| {
                    format!("the compiler at hand does not do ({reason:#}), and Debian's neither")
                })
            }
        }
    }

    fn at_hand(ctx: &Ctx) -> Result<Self> {
        let mut compiler = ask("rustc".as_ref())?;
        if !compiler.has_core_sources {
            // Once Debian's compiler is installed, nobody waits for rustup's server again.
            if debian_is_complete() {
                bail!("no core sources for it");
            }
            let by_hand = "install by hand: rustup component add rust-src";
            let mut command = Command::new("rustup");
            command
                .args(["component", "add", "rust-src"])
                .env("RUST_BACKTRACE", "0");
            let step = Step::new("getting core's sources for the BPF target (rust-src)");
            step.bound(RUSTUP_BOUND)
                .run(&mut command)
                .context(by_hand)?;
            compiler = ask("rustc".as_ref())?;
            if !compiler.has_core_sources {
                bail!("rustup added rust-src, but it is not in the compiler's sysroot");
            }
        }
        let linker = linker::ready(ctx, compiler.llvm, None)?;
        let cargo = env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
        Ok(Self {
            cargo,
            env: vec![("PATH", path_with(&[&linker])?)],
            is_debian: false,
        })
    }

    fn of_debian(ctx: &Ctx) -> Result<Self> {
        if !debian_is_complete() {
            apt::install(&DEBIAN_PACKAGES)?;
        }
        let compiler = ask("/usr/bin/rustc".as_ref())?;
        if !compiler.has_core_sources {
            bail!("{} came without core's sources", DEBIAN_PACKAGES.join(" "));
        }
        let tools = debian_tools(ctx)?;
        let linker = linker::ready(ctx, compiler.llvm, Some(&tools))?;
        let path = path_with(&[&linker, &tools])?;
        let env = vec![
            ("PATH", path),
            ("CARGO", tools.join("cargo").into()),
            ("RUSTC", tools.join("rustc").into()),
            ("RUSTDOC", tools.join("rustdoc").into()),
            ("RUSTC_BOOTSTRAP", "1".into()),
        ];
        Ok(Self {
            cargo: tools.join("cargo"),
            env,
            is_debian: true,
        })
    }

    /// `cargo` in the workspace, with everything that its builds need in the environment.
    pub fn cargo(&self, ctx: &Ctx) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(&ctx.root);
        // A build script that looks at them (ring's) would be run again by each cargo in turn, with plain cargo, and all
        // above it compiled again.
        for (name, _) in env::vars_os().filter(|(name, _)| is_xtasks_own(name)) {
            command.env_remove(name);
        }
        for (name, value) in &self.env {
            command.env(name, value);
        }
        if self.is_debian {
            command.env_remove("RUSTUP_TOOLCHAIN");
        }
        command
    }

    /// True once the standard library for `target` is there.
    ///
    /// # Errors
    /// When rustc does not run.
    pub fn has_std(&self, target: &str) -> Result<bool> {
        let rustc = self.env.iter().find(|(name, _)| *name == "RUSTC");
        let rustc = rustc.map_or("rustc".as_ref(), |(_, path)| path.as_os_str());
        let mut command = Command::new(rustc);
        command.args(["--print", "target-libdir", "--target", target]);
        let output = Step::usually_instant("asking rustc").run(&mut command)?;
        Ok(Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists())
    }

    /// Gets the standard library for `target` from rustup's server.
    ///
    /// # Errors
    /// When this is Debian's compiler, or the server cannot be reached.
    pub fn add_std(&self, target: &str) -> Result<()> {
        if self.is_debian {
            bail!("Debian's Rust has no standard library for {target}");
        }
        let what = format!("getting the standard library for {target}");
        let mut command = Command::new("rustup");
        command.args(["target", "add", target]);
        Step::new(&what).bound(RUSTUP_BOUND).run(&mut command)?;
        if !self.has_std(target)? {
            bail!("rustup added {target}, but it is not in the compiler's sysroot");
        }
        Ok(())
    }

    /// Installs rustfmt and clippy where they are missing.
    ///
    /// # Errors
    /// Says what to install by hand.
    pub fn add_lint_tools(&self, ctx: &Ctx) -> Result<()> {
        if self.is_debian {
            let there = |tool: &&str| Path::new("/usr/bin").join(tool).exists();
            let all_there = DEBIAN_TOOLS.iter().all(there);
            return if all_there {
                Ok(())
            } else {
                apt::install(&["rustfmt-web", "rust-web-clippy"])
            };
        }
        let works = |tool: &str| {
            let output = self.cargo(ctx).args([tool, "--version"]).output();
            output.is_ok_and(|output| output.status.success())
        };
        if works("fmt") && works("clippy") {
            return Ok(());
        }
        let mut command = Command::new("rustup");
        command.args(["component", "add", "rustfmt", "clippy"]);
        let step = Step::new("getting rustfmt and clippy").bound(RUSTUP_BOUND);
        step.run(&mut command)
            .context("install by hand: rustup component add rustfmt clippy")?;
        Ok(())
    }
}

/// What `cargo run` tells xtask of xtask's own package (The Cargo Book, "Environment variables").
fn is_xtasks_own(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn ask(rustc: &Path) -> Result<Compiler> {
    let ask = |args: &[&str]| -> Result<String> {
        let output = Step::usually_instant("asking rustc").run(Command::new(rustc).args(args))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let about = ask(&["-vV"])?;
    let llvm =
        llvm_major(&about).with_context(|| format!("rustc -vV names no LLVM version:\n{about}"))?;
    let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?);
    Ok(Compiler {
        llvm,
        has_core_sources: core_sources(&sysroot).exists(),
    })
}

fn core_sources(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs")
}

fn debian_is_complete() -> bool {
    Path::new("/usr/bin/rustc").exists()
        && Path::new("/usr/bin/cargo").exists()
        && core_sources(Path::new("/usr")).exists()
}

/// The major version in the line `LLVM version: 22.1.2` of `rustc -vV`.
fn llvm_major(about: &str) -> Option<u32> {
    let version = about
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

/// A folder with Debian's Rust and nothing else of /usr/bin, so that it can be put first in PATH.
fn debian_tools(ctx: &Ctx) -> Result<PathBuf> {
    let dir = ctx.cache.join("debian-rust");
    fs::create_dir_all(&dir)?;
    for tool in DEBIAN_TOOLS {
        let link = dir.join(tool);
        if !link.is_symlink() {
            symlink(Path::new("/usr/bin").join(tool), &link)
                .context("cannot fill the cache folder")?;
        }
    }
    Ok(dir)
}

/// PATH with `front` in front of it.
fn path_with(front: &[&Path]) -> Result<OsString> {
    let old = env::var_os("PATH").unwrap_or_default();
    let front = front.iter().map(|dir| dir.to_path_buf());
    env::join_paths(front.chain(env::split_paths(&old))).context("PATH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_version_is_read_from_what_rustc_says() {
        let about = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.2";
        assert_eq!(llvm_major(about), Some(22));
        assert_eq!(llvm_major("rustc 1.95.0"), None);
    }

    #[test]
    fn the_linker_comes_first_in_path() {
        let path = path_with(&[Path::new("/x/linker")]).unwrap();
        assert_eq!(env::split_paths(&path).next(), Some("/x/linker".into()));
    }
}
