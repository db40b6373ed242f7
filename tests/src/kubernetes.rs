//! The programs of a cluster that `cargo xtask test cluster` has started.

use std::env;

use crate::command::{Done, run_with_input};

/// The value of a variable that the cluster's stage sets.
///
/// # Panics
/// When it is not set: without a cluster the test has failed.
#[track_caller]
pub fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set; `cargo xtask test cluster` starts a cluster and sets it")
    })
}

/// Runs `kubectl ARGS` in the cluster's network.
///
/// # Panics
/// When there is no cluster, or kubectl does not end.
#[track_caller]
pub fn kubectl(args: &[&str]) -> Done {
    kubectl_with_input(args, "")
}

/// As [`kubectl`], with a text on its stdin.
///
/// # Panics
/// As [`kubectl`].
#[track_caller]
pub fn kubectl_with_input(args: &[&str], input: &str) -> Done {
    run_with_input(&variable("KUBECTL"), args, input)
}

/// Runs `helm ARGS` in the cluster's network.
///
/// # Panics
/// As [`kubectl`].
#[track_caller]
pub fn helm(args: &[&str]) -> Done {
    run_with_input(&variable("HELM"), args, "")
}
