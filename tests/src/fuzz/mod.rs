//! What must hold for any input, however bad: each [`Target`] takes bytes, and panics where a promise
//! is broken. `fuzz/` feeds them by libFuzzer, `host_fuzz` feeds some thousands of [`mutated`] seeds on
//! every run of the tests.

use std::{env, fs, path::Path, process, time::Duration};

use nix::time::{ClockId, clock_gettime};

use crate::random::Random;

mod door;
mod grammar;
mod manifest;
mod names;
mod netlink;
mod packets;
mod state;

/// Something that reads what others have written.
pub struct Target {
    pub name: &'static str,
    /// Takes an input; the rest of a longer one than [`LONGEST`] is not looked at.
    ///
    /// # Panics
    /// A promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Bytes of an input.
pub const LONGEST: usize = 1 << 16;
/// No input of that size may take longer, in whatever build; measured by [`worked`].
pub const SLOWEST: Duration = Duration::from_secs(5);

/// How long this thread has worked: a machine that is busy with something else proves nothing.
///
/// # Panics
/// Never: every kernel has this clock.
pub fn worked() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("every kernel has it")
        .into()
}

pub const TARGETS: [Target; 9] = [
    Target {
        name: "manifest",
        run: manifest::run,
        seeds: manifest::seeds,
    },
    Target {
        name: "target",
        run: grammar::target,
        seeds: || lines(grammar::TARGETS),
    },
    Target {
        name: "rate",
        run: grammar::rate,
        seeds: || lines(grammar::RATES),
    },
    Target {
        name: "duration",
        run: grammar::duration,
        seeds: || lines(grammar::DURATIONS),
    },
    Target {
        name: "words",
        run: grammar::words,
        seeds: || lines(grammar::WORDS),
    },
    Target {
        name: "netlink",
        run: netlink::run,
        seeds: netlink::seeds,
    },
    Target {
        name: "state",
        run: state::run,
        seeds: state::seeds,
    },
    Target {
        name: "names",
        run: names::run,
        seeds: || names::SEEDS.map(|seed| seed.as_bytes().to_vec()).to_vec(),
    },
    Target {
        name: "door",
        run: door::run,
        seeds: || lines(door::SEEDS),
    },
];

/// The packet parser and the matching as user space has them, by any frame and any experiments.
/// In the kernel the same is fed by `host_packets`.
pub const PACKETS: Target = Target {
    name: "packets",
    run: packets::run,
    seeds: packets::seeds,
};

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Target> {
    TARGETS.iter().chain([&PACKETS])
}

/// # Panics
/// When there is none of that name.
pub fn named(name: &str) -> &'static Target {
    all()
        .find(|target| target.name == name)
        .expect("a target of that name")
}

impl Target {
    pub fn feed(&self, input: &[u8]) {
        (self.run)(&input[..input.len().min(LONGEST)]);
    }

    /// Writes the seeds into the folder that the environment names in NETCHAOS_FUZZ_SEEDS, and ends
    /// the process; does nothing where it names none.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn leave_seeds(&self) {
        let Some(folder) = env::var_os("NETCHAOS_FUZZ_SEEDS") else {
            return;
        };
        for (number, seed) in (self.seeds)().into_iter().enumerate() {
            let path = Path::new(&folder).join(format!("seed-{number}"));
            fs::write(path, seed).expect("the folder for seeds can be written");
        }
        process::exit(0);
    }
}

/// A seed with some damage: bits and numbers turned over, pieces cut out, doubled, or taken from
/// another seed.
pub fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let from = random.below(input.len() + 1);
        let to = from + random.below((input.len() - from).min(24) + 1);
        match random.below(7) {
            0 if from < input.len() => input[from] ^= 1 << random.below(8),
            1 if from < input.len() => {
                input[from] = random.pick(b"\0\x01\x7f\xff09.,:;-/[]{}&*#%\"'\n a");
            }
            2 => drop(input.drain(from..to)),
            3 => {
                let piece = input[from..to].repeat(1 + random.below(3));
                input.splice(from..from, piece);
            }
            4 => {
                let other = &seeds[random.below(seeds.len())];
                let start = random.below(other.len() + 1);
                let end = start + random.below((other.len() - start).min(64) + 1);
                input.splice(from..to, other[start..end].iter().copied());
            }
            5 => {
                let count = random.below(8);
                input.splice(from..to, random.bytes(count));
            }
            _ => input.truncate(from),
        }
    }
    input
}

fn lines(text: &str) -> Vec<Vec<u8>> {
    text.lines().map(|line| line.as_bytes().to_vec()).collect()
}

/// Says what is wrong, in one line that a terminal can be given.
fn check_words(words: &str, of: &dyn std::fmt::Debug) {
    assert!(!words.trim().is_empty(), "nothing is said of {of:?}");
    let is_bad = |c: char| c.is_control();
    assert!(!words.contains(is_bad), "a terminal obeys {words:?}");
}

/// Calls `work`, which must not take longer than [`SLOWEST`].
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let begin = worked();
    let done = work();
    let took = worked() - begin;
    assert!(took < SLOWEST, "it takes {took:?}");
    done
}
