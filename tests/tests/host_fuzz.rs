//! The fuzz targets by some thousands of damaged seeds, and by what fuzzing has found before. It needs
//! nothing of the kernel; `cargo xtask fuzz` goes on for as long as it is told.

use std::{panic::catch_unwind, time::Duration};

use netchaos_tests::{
    fuzz::{self, Target},
    random::Random,
    settings::setting,
};

/// So long each target works.
const BOUND: Duration = Duration::from_secs(1);
/// And no target more than that many inputs, so that a fast machine does not work for nothing.
const MOST_INPUTS: u32 = 20_000;

/// What is wrong with it, if anything is: the panic itself has been printed.
fn feed(target: &Target, input: &[u8], seed: u64) -> Result<(), String> {
    catch_unwind(|| target.feed(input)).map_err(|_| {
        let (name, text) = (target.name, String::from_utf8_lossy(input));
        format!("{name} breaks a promise, NETCHAOS_SEED={seed}: {text:?}, in bytes {input:02x?}")
    })
}

/// Feeds a target for some time, and says how many inputs that were.
fn fuzz(target: &Target, seed: u64) -> Result<u32, String> {
    let seeds = (target.seeds)();
    let mut random = Random(seed);
    for input in &seeds {
        feed(target, input, seed)?;
    }
    let begin = fuzz::worked();
    let mut inputs = 0;
    while inputs < MOST_INPUTS && fuzz::worked() - begin < BOUND {
        feed(target, &fuzz::mutated(&mut random, &seeds), seed)?;
        inputs += 1;
    }
    Ok(inputs)
}

#[test]
fn no_input_breaks_what_is_promised_of_every_input() {
    let seed = setting("NETCHAOS_SEED", 1);
    let mut broken = Vec::new();
    for target in fuzz::all() {
        match fuzz(target, seed) {
            Ok(inputs) => {
                println!("{}: {inputs} inputs of NETCHAOS_SEED={seed}", target.name);
                assert!(inputs > 50, "{}: {inputs} inputs", target.name);
            }
            Err(problem) => broken.push(problem),
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What YAML has, over and over: the time must not grow with more than the length. 64 KB are read in some
/// milliseconds, and would take minutes if each byte looked at all others.
#[test]
fn whatever_is_repeated_is_read_in_time() {
    let manifest = fuzz::named("manifest");
    for piece in [
        "[",
        "{",
        "- ",
        "? ",
        ": ",
        "[]",
        "a: ",
        "a:\n",
        "a\n",
        "\n",
        " ",
        "\t",
        "#\n",
        "'",
        "\"",
        "''",
        "|\n ",
        ">\n ",
        "!",
        "!!str ",
        "&a ",
        "*a ",
        "---\n",
        "...\n",
        "%TAG ! x\n",
        "%a\n",
        "\\",
        ",",
        "{a: [",
        "{\"a\": ",
        "- - - a\n",
        "[a, ",
        "{a: 1, ",
        "a: b\n",
        "\u{feff}",
        "\r",
        "\u{85}",
        "? - ",
        "&a [*a, ",
        "<<: *a\n",
        "\"\\n\\\n ",
        "a b ",
        "x",
        "1",
        "- |\n",
    ] {
        for (before, after) in [
            ("", ""),
            ("&a x\n", ""),
            ("- &a [b]\n- [", "]"),
            ("a: \"", "\""),
        ] {
            let count = (fuzz::LONGEST - before.len() - after.len()) / piece.len();
            let input = [before, &piece.repeat(count), after].concat();
            let begin = fuzz::worked();
            feed(manifest, input.as_bytes(), 0).unwrap_or_else(|problem| panic!("{problem}"));
            let took = fuzz::worked() - begin;
            assert!(
                took < Duration::from_secs(5),
                "{piece:?} after {before:?}: {took:?}"
            );
        }
    }
}
