//! How a program is built that runs where nothing is installed: statically, against musl, or against this machine's
//! own C library where musl is not to be had.

use std::env::consts::ARCH;
use std::process::Command;

use anyhow::Result;

use super::packages;
use super::toolchain::Toolchain;
use crate::ctx::Ctx;
use crate::ui;

/// A target of rustc, and what its builds need.
pub struct Standalone {
    /// As `--target` takes it.
    pub target: String,
    /// glibc's targets link dynamically unless told otherwise, musl's statically.
    needs_telling: bool,
}

impl Standalone {
    /// musl's standard library and C compiler, got where they are missing. Where rustup's server cannot be reached,
    /// and with Debian's Rust, which has none for musl, it is glibc's.
    ///
    /// # Errors
    /// When rustc does not run, or musl's compiler cannot be installed.
    pub fn ready(ctx: &Ctx, toolchain: &Toolchain) -> Result<Self> {
        let target = format!("{ARCH}-unknown-linux-musl");
        if !toolchain.has_std(&target)?
            && let Err(reason) = toolchain.add_std(&target)
        {
            ui::note(format_args!(
                "linking glibc statically, not musl: {reason:#}"
            ));
            return Ok(Self {
                target: format!("{ARCH}-unknown-linux-gnu"),
                needs_telling: true,
            });
        }
        packages::musl_gcc(ctx)?;
        Ok(Self {
            target,
            needs_telling: false,
        })
    }

    /// Makes a `cargo build` one for this target.
    pub fn aim(&self, command: &mut Command) {
        command.args(["--target", &self.target]);
        if self.needs_telling {
            command.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
        }
    }
}
