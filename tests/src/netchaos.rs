//! The program under test, as a user runs it.

use std::{env, process::Child};

use crate::command::{Done, run_with_input, start};

/// The `netchaos` to test: of the environment variable `NETCHAOS_BIN`, else the one in `PATH`.
pub fn program() -> String {
    env::var("NETCHAOS_BIN").unwrap_or_else(|_| "netchaos".to_owned())
}

/// The `netchaos` of the release before: of the environment variable `NETCHAOS_PREVIOUS_BIN`.
///
/// # Panics
/// When it is not to be had; xtask says why.
#[track_caller]
pub fn previous_program() -> String {
    env::var("NETCHAOS_PREVIOUS_BIN").unwrap_or_else(|_| {
        let why = env::var("NETCHAOS_NO_PREVIOUS")
            .unwrap_or_else(|_| "NETCHAOS_PREVIOUS_BIN is not set".to_owned());
        panic!("no previous release to begin with: {why}")
    })
}

/// Runs `netchaos ARGS` to its end.
///
/// # Panics
/// When it cannot be started or does not end.
#[track_caller]
pub fn netchaos(args: &[&str]) -> Done {
    netchaos_with_input(args, "")
}

/// As [`netchaos`], with a text on its stdin.
///
/// # Panics
/// As [`netchaos`].
#[track_caller]
pub fn netchaos_with_input(args: &[&str], input: &str) -> Done {
    run_with_input(&program(), args, input)
}

/// Starts `netchaos ARGS`, to be killed or waited for by the caller.
///
/// # Panics
/// When it cannot be started.
#[track_caller]
pub fn start_netchaos(args: &[&str]) -> Child {
    start(&program(), args)
}

/// The words of setpriv(1) that run `netchaos ARGS` with these capabilities alone, and no way to get
/// others.
pub fn limited(capabilities: &str, args: &[&str]) -> Vec<String> {
    let set = ["-all", capabilities].join(if capabilities.is_empty() { "" } else { "," });
    let mut words = vec![
        format!("--bounding-set={set}"),
        format!("--inh-caps={set}"),
        "--no-new-privs".to_owned(),
        "--".to_owned(),
        program(),
    ];
    words.extend(args.iter().map(|arg| (*arg).to_owned()));
    words
}
