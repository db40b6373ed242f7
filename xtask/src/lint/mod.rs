//! What has to hold for every line of source: formatting, clippy, and who may use what.

mod rooms;

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::build;
use crate::ctx::Ctx;
use crate::setup::toolchain::Toolchain;
use crate::ui;

const CLIPPY: [&str; 4] = ["--all-targets", "--", "-D", "warnings"];

/// Runs all checks, whatever the first ones say.
///
/// # Errors
/// When a check cannot be run.
pub fn run(ctx: &Ctx) -> Result<ExitCode> {
    let toolchain = Toolchain::ready(ctx)?;
    toolchain.add_lint_tools(ctx)?;
    let cargo = |args: &[&str]| {
        let mut command = toolchain.cargo(ctx);
        command.args(args);
        command
    };
    let mut failed = Vec::new();
    for (name, mut command) in [
        ("formatting", cargo(&["fmt", "--all", "--check"])),
        (
            "clippy",
            cargo(&[&["clippy"], &build::WHOLE[..], &CLIPPY].concat()),
        ),
        (
            "clippy without the agent",
            cargo(&[&["clippy", "--package", "netchaos-userspace"], &CLIPPY[..]].concat()),
        ),
        ("clippy on the eBPF programs", bpf_clippy(&toolchain, ctx)),
    ] {
        ui::note(name);
        if !passes(&mut command)? {
            failed.push(name);
        }
    }
    ui::note("who uses what");
    let violations = rooms::violations(&ctx.root)?;
    violations
        .iter()
        .for_each(|violation| println!("{violation}"));
    if !violations.is_empty() {
        failed.push("who uses what");
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    ui::note(format_args!("lint failed: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// The workspace's own clippy sees an empty program in place of the eBPF ones: they exist for their target only.
fn bpf_clippy(toolchain: &Toolchain, ctx: &Ctx) -> Command {
    let mut command = toolchain.cargo(ctx);
    command
        .args([
            "clippy",
            "-p",
            "netchaos-ebpf",
            "--bins",
            "--target",
            "bpfel-unknown-none",
        ])
        .args(["-Z", "build-std=core", "--", "-D", "warnings"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            "--cfg=bpf_target_arch=\"x86_64\"",
        );
    command
}

fn passes(command: &mut Command) -> Result<bool> {
    let status = command.stdin(Stdio::null()).status();
    Ok(status
        .with_context(|| format!("cannot run {}", ui::shown(command)))?
        .success())
}
