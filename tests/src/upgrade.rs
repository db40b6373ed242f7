//! What the release before has laid, in the hands of this one.

use crate::{
    command::{Done, run},
    lab::Lab,
    netchaos::previous_program,
};

/// `netchaos ARGS` of the release before, in the lab's client.
///
/// # Panics
/// When it cannot be had, started, or does not end.
#[track_caller]
pub fn previous(lab: &Lab, args: &str) -> Done {
    let words: Vec<&str> = args.split(' ').collect();
    let place = ["--netns", lab.client.name()];
    run(&previous_program(), &[&*words, &place].concat())
}
