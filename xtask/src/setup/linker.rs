//! bpf-linker, built for the LLVM of the compiler that it links for.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::ctx::Ctx;
use crate::ui::Step;

const VERSION: &str = "0.13.0";
/// The LLVM versions that this bpf-linker can be built for.
const LLVMS: [u32; 3] = [21, 22, 23];

/// The folder with a bpf-linker for `llvm`, built into the cache when it is not there. `tools` is a folder with the
/// cargo and rustc to build it with; without, those in PATH do.
///
/// # Errors
/// When this LLVM is not to be had; says what to install by hand.
pub fn ready(ctx: &Ctx, llvm: u32, tools: Option<&Path>) -> Result<PathBuf> {
    let root = ctx.cache.join(format!("bpf-linker-{VERSION}-llvm-{llvm}"));
    let bin = root.join("bin");
    // cargo install renames the finished file into bin, so what is there is whole.
    if bin.join("bpf-linker").exists() {
        return Ok(bin);
    }
    if !LLVMS.contains(&llvm) {
        bail!("bpf-linker {VERSION} cannot be built for LLVM {llvm}");
    }
    install_llvm(llvm)?;
    let cargo = match tools {
        Some(tools) => tools.join("cargo"),
        None => env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
    };
    let feature = format!("llvm-{llvm}");
    let mut command = Command::new(cargo);
    command
        .args([
            "install",
            "bpf-linker",
            "--locked",
            "--version",
            VERSION,
            "--no-default-features",
        ])
        .args(["--features", &feature, "--root"])
        .arg(&root)
        .env("LLVM_PREFIX", format!("/usr/lib/{feature}"))
        // A target folder that the user has set for this workspace is not for other programs.
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(&ctx.cache);
    if let Some(tools) = tools {
        command
            .env("RUSTC", tools.join("rustc"))
            .env_remove("RUSTUP_TOOLCHAIN");
    }
    let what = format!(
        "building bpf-linker {VERSION} for LLVM {llvm} (once per machine, a minute or two)"
    );
    Step::new(&what).run(&mut command).with_context(|| {
        format!("build by hand: LLVM_PREFIX=/usr/lib/{feature} cargo install bpf-linker --version {VERSION} --no-default-features --features {feature} --root {}", root.display())
    })?;
    Ok(bin)
}

fn install_llvm(llvm: u32) -> Result<()> {
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    let dev = format!("llvm-{llvm}-dev");
    let parts = [
        (prefix.join("include/llvm-c/Core.h"), dev.as_str()),
        ("/usr/include/zlib.h".into(), "zlib1g-dev"),
        ("/usr/include/zstd.h".into(), "libzstd-dev"),
    ];
    let missing: Vec<&str> = parts
        .iter()
        .filter(|(file, _)| !file.exists())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        apt::install(&missing)
    }
}
