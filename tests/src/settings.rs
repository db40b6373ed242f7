//! What somebody who wants more than is usual, or the same once more, says by the environment.

use std::{
    env,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

/// A number out of the environment.
///
/// # Panics
/// When it is none.
pub fn setting<T: FromStr>(name: &str, usual: T) -> T {
    env::var(name).map_or(usual, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} should be a number"))
    })
}

/// The seed of a test that is another one each time, NETCHAOS_SEED where a failure has named it. It
/// is printed.
///
/// # Panics
/// When that is no number.
pub fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_nanos() as u64;
    let seed = setting("NETCHAOS_SEED", now);
    println!("NETCHAOS_SEED={seed} repeats this");
    seed
}
