//! Building netchaos and its tests with cargo, and finding what came out.

pub mod previous;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::ctx::Ctx;
use crate::setup::packages::needs_no_library;
use crate::setup::standalone::Standalone;
use crate::setup::toolchain::Toolchain;
use crate::ui::{self, Step};

/// A finished executable, as cargo reports it.
#[derive(Debug, PartialEq, Eq)]
pub struct Executable {
    /// The cargo target: a binary's name, or a test file's name without `.rs`.
    pub target: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Executable {
    /// Whether this, a test binary, has a test with `filter` in its name.
    ///
    /// # Errors
    /// When it does not run.
    pub fn has_test(&self, filter: &str) -> Result<bool> {
        let mut list = Command::new(&self.path);
        list.args(["--list", "--format=terse", filter])
            .stdin(Stdio::null());
        Ok(!ui::output(&mut list)?.trim().is_empty())
    }
}

/// Builds `netchaos` in release mode, its eBPF object included, and returns the program's path.
///
/// # Errors
/// When the build fails, with the compiler's words.
pub fn netchaos(ctx: &Ctx, toolchain: &Toolchain, features: &[&str]) -> Result<PathBuf> {
    let mut command = cargo_build(ctx, toolchain);
    command.args(["--release", "-p", "netchaos-userspace", "--bin", "netchaos"]);
    command.args(features.iter().flat_map(|feature| ["--features", feature]));
    the_program(executables_of(&mut command, "building netchaos")?)
}

/// Builds `netchaos` as it is handed out, the agent included: it needs no library of the machine that it runs on.
///
/// # Errors
/// When the build fails, with the compiler's words, and when what came out needs a library.
pub fn standalone(ctx: &Ctx, toolchain: &Toolchain) -> Result<PathBuf> {
    let standalone = Standalone::ready(ctx, toolchain)?;
    let mut command = cargo_build(ctx, toolchain);
    command
        .args(["-p", "netchaos-userspace", "--bin", "netchaos"])
        .args(["--features", "agent", "--profile", "dist"]);
    standalone.aim(&mut command);
    let what = format!("building netchaos for {}", standalone.target);
    let program = the_program(executables_of(&mut command, &what)?)?;
    if !needs_no_library(&program)? {
        bail!("{} was to be static, and is not", program.display());
    }
    Ok(program)
}

fn the_program(built: Vec<Executable>) -> Result<PathBuf> {
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
    let mut command = cargo_build(ctx, toolchain);
    command.args(["-p", "netchaos-tests", "--tests"]);
    let built = executables_of(&mut command, "building the tests")?;
    let mut tests: Vec<_> = built
        .into_iter()
        .filter(|executable| executable.target.starts_with(prefix))
        .collect();
    tests.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(tests)
}

fn cargo_build(ctx: &Ctx, toolchain: &Toolchain) -> Command {
    let mut command = toolchain.cargo(ctx);
    command.args(["build", "--message-format=json-render-diagnostics"]);
    command
}

fn executables_of(build: &mut Command, what: &str) -> Result<Vec<Executable>> {
    let output = Step::usually_instant(what).run(build)?;
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
