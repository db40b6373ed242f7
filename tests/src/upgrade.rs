//! What the release before has laid, in the hands of this one.

use crate::{
    command::{Done, run, words},
    lab::Lab,
    netchaos::previous_program,
};

/// `netchaos ARGS` of the release before, in the lab's client.
///
/// # Panics
/// When it cannot be had, started, or does not end.
#[track_caller]
pub fn previous(lab: &Lab, args: &str) -> Done {
    let place = ["--netns", lab.client.name()];
    run(&previous_program(), &[&*words(args), &place].concat())
}
