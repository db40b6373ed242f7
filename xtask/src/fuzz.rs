//! Fuzzing: every target of `fuzz/` for a while, and what that found.
//!
//! libFuzzer's coverage works with the stable compiler; what needs a nightly one are the sanitizers, which have little
//! to say of code without `unsafe`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::ctx::Ctx;
use crate::setup::apt;
use crate::ui::{self, Step};

const CARGO_FUZZ: &str = "0.13.2";
/// Bytes of an input; the targets look at no more (`netchaos_tests::fuzz::LONGEST`).
const LONGEST: u32 = 1 << 16;
/// Memory in MB and seconds for one input; more is a finding.
const MEMORY: u32 = 2048;
const PATIENCE: u32 = 25;

#[derive(Args)]
pub struct FuzzArgs {
    /// One of the files in fuzz/targets, without `.rs` [default: all of them, one after the other]
    target: Option<String>,
    /// How long each target is fuzzed
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// How many inputs each target gets, whatever the time
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    runs: Option<u64>,
}

/// Fuzzes, and prints for each target how many inputs it got and what was found.
///
/// # Errors
/// When cargo-fuzz or a target cannot be built; says what to install by hand.
pub fn run(ctx: &Ctx, args: &FuzzArgs) -> Result<ExitCode> {
    let targets = targets(&ctx.root, args.target.as_deref())?;
    let fuzzer = Fuzzer::ready(ctx)?;
    let mut found = 0;
    println!("| target | inputs | found |\n|---|---|---|");
    for target in &targets {
        let (inputs, all) = fuzzer.fuzz(target, args)?;
        println!("| {target} | {inputs} | {} |", all.len());
        for again in &all {
            println!("found: {again}");
        }
        found += all.len();
    }
    Ok(crate::succeeded(found == 0))
}

fn targets(root: &Path, wanted: Option<&str>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("fuzz/targets")).context("fuzz/targets")? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        names.push(name.into_owned());
    }
    names.sort();
    match wanted {
        None => Ok(names),
        Some(wanted) if names.iter().any(|name| name == wanted) => Ok(vec![wanted.to_owned()]),
        Some(wanted) => bail!("{wanted} is none of {}", names.join(", ")),
    }
}

struct Fuzzer {
    cargo_fuzz: PathBuf,
    root: PathBuf,
    /// Where everything that comes of fuzzing is.
    folder: PathBuf,
}

impl Fuzzer {
    fn ready(ctx: &Ctx) -> Result<Self> {
        if which::which("c++").is_err() {
            apt::install(&["g++"])?;
        }
        let lock = ctx.root.join("fuzz/Cargo.lock");
        if !lock.exists() {
            // The versions that everything else is built with; cargo adds what fuzzing needs.
            fs::copy(ctx.root.join("Cargo.lock"), &lock).context("fuzz/Cargo.lock")?;
        }
        let folder = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => ctx.root.join(dir),
            None => ctx.root.join("target"),
        };
        Ok(Self {
            cargo_fuzz: cargo_fuzz(ctx)?,
            root: ctx.root.clone(),
            folder: folder.join("fuzz"),
        })
    }

    /// Inputs of this time, and of all findings that there are the command that shows it again.
    fn fuzz(&self, target: &str, args: &FuzzArgs) -> Result<(u64, Vec<String>)> {
        let corpus = self.folder.join("corpus").join(target);
        let found = self.folder.join("found").join(target);
        for folder in [&corpus, &found] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let program = self.build(target)?;
        let mut seeds = Command::new(&program);
        seeds.env("NETCHAOS_FUZZ_SEEDS", &corpus);
        Step::usually_instant("writing seeds").run(&mut seeds)?;

        let mut command = Command::new(&program);
        command.arg(&corpus).args([
            format!("-artifact_prefix={}/", found.display()),
            format!("-max_len={LONGEST}"),
            format!("-rss_limit_mb={MEMORY}"),
            format!("-timeout={PATIENCE}"),
            "-print_final_stats=1".to_owned(),
            match args.runs {
                Some(runs) => format!("-runs={runs}"),
                None => format!("-max_total_time={}", args.seconds),
            },
        ]);
        let words = match Step::new(&format!("fuzzing {target}")).run(&mut command) {
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => {
                let words = format!("{error:#}");
                ui::note(&words);
                words
            }
        };
        let inputs = executed(&words).context("libFuzzer says not how many inputs it has tried")?;
        let mut again = Vec::new();
        for entry in fs::read_dir(&found)? {
            again.push(ui::shown(Command::new(&program).arg(entry?.path())));
        }
        Ok((inputs, again))
    }

    fn build(&self, target: &str) -> Result<PathBuf> {
        let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
        let folder = self.folder.join("target");
        let mut command = Command::new(&self.cargo_fuzz);
        command
            .args(["fuzz", "build", "--sanitizer", "none", "--target", &triple])
            .arg("--target-dir")
            .arg(&folder)
            .arg(target)
            .current_dir(&self.root)
            // Nothing is loaded into a kernel.
            .env("NETCHAOS_SKIP_EBPF", "1");
        Step::usually_instant(&format!("building the fuzz target {target}")).run(&mut command)?;
        Ok(folder.join(triple).join("release").join(target))
    }
}

/// cargo-fuzz, built into the cache when it is not there.
fn cargo_fuzz(ctx: &Ctx) -> Result<PathBuf> {
    let root = ctx.cache.join(format!("cargo-fuzz-{CARGO_FUZZ}"));
    let program = root.join("bin/cargo-fuzz");
    if program.exists() {
        return Ok(program);
    }
    let cargo = env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
    let mut command = Command::new(cargo);
    command
        .args([
            "install",
            "cargo-fuzz",
            "--locked",
            "--version",
            CARGO_FUZZ,
            "--root",
        ])
        .arg(&root)
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(&ctx.cache);
    let what = format!("building cargo-fuzz {CARGO_FUZZ} (once per machine, a minute or two)");
    Step::new(&what).run(&mut command).with_context(|| {
        let root = root.display();
        format!("build by hand: cargo install cargo-fuzz --version {CARGO_FUZZ} --root {root}")
    })?;
    Ok(program)
}

/// The number in libFuzzer's last words `stat::number_of_executed_units: 4711`.
fn executed(words: &str) -> Option<u64> {
    let behind = words.rsplit_once("stat::number_of_executed_units:")?.1;
    behind.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_inputs_is_in_the_last_words() {
        let words = "#2 INITED\nstat::number_of_executed_units: 4711\nstat::average_exec: 9\n";
        assert_eq!(executed(words), Some(4711));
        assert_eq!(executed("no word"), None);
    }

    #[test]
    fn a_target_is_a_file_and_another_word_is_none() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert!(targets(root, None).unwrap().len() > 5);
        assert_eq!(targets(root, Some("rate")).unwrap(), ["rate"]);
        let error = targets(root, Some("rates")).unwrap_err().to_string();
        assert!(
            error.starts_with("rates is none of door, duration"),
            "{error}"
        );
    }
}
