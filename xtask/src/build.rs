//! Building netchaos and its tests with cargo, and finding what came out.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::ctx::Ctx;
use crate::setup::toolchain::Toolchain;
use crate::ui::Step;

/// A finished executable, as cargo reports it.
#[derive(Debug, PartialEq, Eq)]
pub struct Executable {
    /// The cargo target: a binary's name, or a test file's name without `.rs`.
    pub target: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Builds `netchaos` with these of its features in release mode, its eBPF object included, and returns the program's
/// path.
///
/// # Errors
/// When the build fails, with the compiler's words.
pub fn netchaos(ctx: &Ctx, toolchain: &Toolchain, features: &[&str]) -> Result<PathBuf> {
    let mut args = vec!["--release", "-p", "netchaos-userspace", "--bin", "netchaos"];
    for feature in features {
        args.extend(["--features", feature]);
    }
    let built = cargo_build(ctx, toolchain, "building netchaos", &args)?;
    let program = built
        .into_iter()
        .find(|executable| executable.target == "netchaos");
    Ok(program.context("cargo built no program netchaos")?.path)
}

/// As [`netchaos`], with the agent and without a need for libraries, for an image that has none.
///
/// # Errors
/// When the build fails, with the compiler's words.
pub fn netchaos_for_images(ctx: &Ctx, toolchain: &Toolchain) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let variable = target.to_uppercase().replace('-', "_");
    let mut command = toolchain.cargo(ctx);
    command
        .args([
            "build",
            "--message-format=json-render-diagnostics",
            "--release",
        ])
        .args([
            "-p",
            "netchaos-userspace",
            "--bin",
            "netchaos",
            "--features",
            "agent",
        ])
        .args(["--target", &target])
        .env(
            format!("CARGO_TARGET_{variable}_RUSTFLAGS"),
            "-C target-feature=+crt-static",
        );
    let output = Step::usually_instant("building netchaos for the image").run(&mut command)?;
    let built = executables(&String::from_utf8_lossy(&output.stdout));
    let program = built
        .into_iter()
        .find(|executable| executable.target == "netchaos");
    Ok(program.context("cargo built no program netchaos")?.path)
}

/// Builds the test binaries of the package `netchaos-tests` whose file name begins with `prefix`.
///
/// # Errors
/// When the build fails, with the compiler's words.
pub fn tests(ctx: &Ctx, toolchain: &Toolchain, prefix: &str) -> Result<Vec<Executable>> {
    let built = cargo_build(
        ctx,
        toolchain,
        "building the tests",
        &["-p", "netchaos-tests", "--tests"],
    )?;
    let mut tests: Vec<_> = built
        .into_iter()
        .filter(|executable| executable.target.starts_with(prefix))
        .collect();
    tests.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(tests)
}

fn cargo_build(
    ctx: &Ctx,
    toolchain: &Toolchain,
    what: &str,
    args: &[&str],
) -> Result<Vec<Executable>> {
    let mut command = toolchain.cargo(ctx);
    command
        .args(["build", "--message-format=json-render-diagnostics"])
        .args(args);
    let output = Step::usually_instant(what).run(&mut command)?;
    Ok(executables(&String::from_utf8_lossy(&output.stdout)))
}

/// The executables in cargo's JSON messages (The Cargo Book, "External tools").
fn executables(messages: &str) -> Vec<Executable> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let executable = |message: Message| {
        Some(Executable {
            target: message.target?.name,
            path: message.executable?,
        })
    };
    messages.filter_map(executable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"anyhow"},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"vm_delay"},"executable":"/t/debug/deps/vm_delay-1"}
not json
{"reason":"build-finished","success":true}"#;
        let expected = Executable {
            target: "vm_delay".into(),
            path: "/t/debug/deps/vm_delay-1".into(),
        };
        assert_eq!(executables(messages), [expected]);
    }
}
