//! What is handed out: a tarball with the static program and all that is shipped beside it, the image of the
//! container, and the sums of both. The same sources and compiler give the same bytes.

pub mod archive;
pub mod image;

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use flate2::{Compression, GzBuilder};

use crate::build;
use crate::ctx::Ctx;
use crate::setup::toolchain::Toolchain;
use archive::{Archive, sha256};

/// All packages of the workspace have one version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Files and folders of the repository that the tarball has beside the program.
const SHIPPED: [&str; 8] = [
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-GPL2",
    "LICENSE-MIT",
    "README.md",
    "deploy",
    "docs",
    "examples",
];

/// Where to put what is handed out.
#[derive(Args)]
pub struct DistArgs {
    /// The folder to write to [default: target/distribution]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Builds and writes all of it, and prints the paths.
///
/// # Errors
/// When the build fails or a file cannot be written.
pub fn run(ctx: &Ctx, args: &DistArgs) -> Result<ExitCode> {
    let program = build::standalone(ctx, &Toolchain::ready(ctx)?)?;
    let default = || ctx.root.join("target").join("distribution");
    let dir = args.to.clone().unwrap_or_else(default);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut sums = String::new();
    for (name, bytes) in [
        (
            format!("netchaos-{VERSION}-linux-{ARCH}.tar.gz"),
            tarball(&ctx.root, &program)?,
        ),
        (image::file_name(), image::archive(ctx, &program)?),
    ] {
        sums += &format!("{}  {name}\n", sha256(&bytes));
        write(&dir.join(name), &bytes)?;
    }
    write(&dir.join("SHA256SUMS"), sums.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn tarball(root: &Path, program: &Path) -> Result<Vec<u8>> {
    let top = format!("netchaos-{VERSION}");
    let mut archive = Archive::new();
    archive.file(&format!("{top}/netchaos"), &fs::read(program)?, 0o755)?;
    for name in SHIPPED {
        archive.tree(root, name, &top)?;
    }
    // GzBuilder writes no time and no name.
    let mut gz = GzBuilder::new().write(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut gz, &archive.finish()?)?;
    Ok(gz.finish()?)
}
