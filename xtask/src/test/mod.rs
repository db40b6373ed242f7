//! All tests: on paper (unit), on this machine's kernel (host), in a real Kubernetes (cluster), on real kernels (vm);
//! and one summary of them.

mod clusters;
mod results;
pub mod runner;
mod turns;
mod vms;

pub use vms::ALL_KERNELS;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::build::{self, Executable};
use crate::cluster::binaries;
use crate::ctx::{Ctx, as_root};
use crate::setup::packages;
use crate::setup::toolchain::Toolchain;
use crate::ui;
use results::{Counts, Failure, Results};
use runner::Told;

/// Unit tests are beside the code and in its documentation; cargo takes these apart. The eBPF programs are compiled for
/// the host here, as an empty one.
const UNIT: [&[&str]; 2] = [&["--lib", "--bins"], &["--doc"]];

/// How the names of test files end that begin with the release before this one.
const UPGRADE: &str = "_upgrade";

/// Which tests to run.
#[derive(Args)]
pub struct TestArgs {
    /// unit, host, cluster or vm (without one: all of them, the cluster without nodes); then: only tests with FILTER
    /// in their name, or in that of their file
    #[arg(value_name = "unit|host|cluster|vm] [FILTER", num_args = 0..=2)]
    words: Vec<String>,
    /// cluster: only what needs no nodes, an API server and one agent
    #[arg(long)]
    control_plane: bool,
    /// Kernels to test on, as for `vm`; may be repeated [default: 6.1 and 6.12]
    #[arg(long)]
    kernel: Vec<String>,
    /// On every kernel that netchaos is tested on: 5.10, 6.1, 6.12, 6.18 and the newest of Debian's
    #[arg(long, conflicts_with = "kernel")]
    all_kernels: bool,
    /// End a test file after so many seconds, for those that were asked by the environment to do more than usual
    #[arg(long, value_name = "SECONDS", default_value_t = runner::BOUND)]
    bound: u64,
    #[command(flatten)]
    machine: crate::MachineArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unit,
    Host,
    /// An API server, and nodes and pods of the test's own making.
    Plane,
    /// The same without [`LONG`].
    PlaneInShort,
    /// The same in a VM.
    PlaneVm,
    /// Real nodes.
    Nodes,
    Vm,
}

impl Stage {
    fn has_agents(&self) -> bool {
        matches!(
            self,
            Self::Plane | Self::PlaneInShort | Self::PlaneVm | Self::Nodes
        )
    }
}

/// What the words mean.
const STAGES: [(&str, &[Stage]); 4] = [
    ("unit", &[Stage::Unit]),
    ("host", &[Stage::Host]),
    ("cluster", &[Stage::Plane, Stage::PlaneVm, Stage::Nodes]),
    ("vm", &[Stage::Vm]),
];
/// What no word means. Real nodes take some minutes more, the first time, than everything has.
const ALL: [Stage; 4] = [Stage::Unit, Stage::Host, Stage::PlaneInShort, Stage::Vm];
/// Test files about many objects, and about an API server that goes away: minutes that `cluster` alone takes.
const LONG: [&str; 2] = ["cluster_plane_away", "cluster_plane_load"];

/// The stages and the filter that the words mean.
fn meant(words: &[String]) -> Result<(Vec<Stage>, Option<&str>)> {
    let all = || ALL.to_vec();
    let stage = |word: &String| {
        STAGES
            .iter()
            .find(|(name, _)| name == word)
            .map(|(_, stages)| stages.to_vec())
    };
    match words {
        [] => Ok((all(), None)),
        [word] => {
            Ok(stage(word).map_or_else(|| (all(), Some(word.as_str())), |stages| (stages, None)))
        }
        [word, filter] => match stage(word) {
            Some(stages) => Ok((stages, Some(filter))),
            None => bail!("{word} is none of unit, host, cluster, vm"),
        },
        _ => bail!("one stage and one filter at most"),
    }
}

/// Runs the tests and prints the summary; the last line of stdout has the totals.
///
/// # Errors
/// When the words make no sense. What fails later is in the summary.
pub fn run(ctx: &Ctx, args: &TestArgs) -> Result<ExitCode> {
    let (mut stages, filter) = meant(&args.words)?;
    if args.control_plane {
        stages.retain(|stage| *stage != Stage::Nodes);
    }
    // One program for all stages.
    let features: &[&str] = if stages.iter().any(Stage::has_agents) {
        &["agent"]
    } else {
        &[]
    };
    let mut all: Vec<Results> = Vec::new();
    let ready = Toolchain::ready(ctx)
        .and_then(|toolchain| Ok((args.machine.netchaos(ctx, features)?, toolchain)));
    match ready {
        Err(error) => {
            let mut results = Results::new("build", true);
            results.end(Some(Failure::Certain(format!("{error:#}"))));
            all.push(results);
        }
        Ok((netchaos, toolchain)) => {
            let run = Run {
                ctx,
                toolchain,
                netchaos,
                filter,
                args,
                is_for_kubernetes: filter.is_none() && stages.contains(&Stage::PlaneInShort),
            };
            for stage in stages {
                all.extend(run.stage(stage));
            }
        }
    }
    Ok(summarize(&all))
}

struct Run<'a> {
    ctx: &'a Ctx,
    toolchain: Toolchain,
    netchaos: PathBuf,
    filter: Option<&'a str>,
    args: &'a TestArgs,
    /// Whether a later stage needs a control plane, for sure.
    is_for_kubernetes: bool,
}

impl Run<'_> {
    fn stage(&self, stage: Stage) -> Vec<Results> {
        match stage {
            Stage::Unit => vec![self.unit()],
            Stage::Host => vec![self.host()],
            Stage::Plane => vec![self.plane(&[])],
            Stage::PlaneInShort => vec![self.plane(&LONG)],
            Stage::PlaneVm => self.cluster_in_vms(),
            Stage::Nodes => vec![self.cluster("cluster, nodes", "cluster_nodes", &[], 2)],
            Stage::Vm => self.vms(),
        }
    }

    fn unit(&self) -> Results {
        let mut results = Results::new("unit", false);
        announce(&results.stage);
        let mut outcome = Ok(true);
        for which in UNIT {
            let mut command = self.toolchain.cargo(self.ctx);
            command.args(["test", "--no-fail-fast"]).args(build::WHOLE);
            command.args(which).arg("--").args(self.filter);
            let succeeded = follow(&mut command, &mut results);
            outcome = outcome.and_then(|so_far| Ok(so_far & succeeded?));
        }
        results.end(failure(
            outcome,
            "cargo test failed before or after the tests",
        ));
        results
    }

    fn host(&self) -> Results {
        let mut results = Results::new("host", false);
        announce(&results.stage);
        let outcome = self.host_in(&mut results);
        results.end(failure(outcome, "the tests ended with an error"));
        results
    }

    fn host_in(&self, results: &mut Results) -> Result<bool> {
        packages::network_tools(self.ctx)?;
        packages::container_runtimes(self.ctx)?;
        let Some(told) = self.told("host_", &[])? else {
            return Ok(true);
        };
        let words = told.command()?;
        let mut command = as_root(&words[0])?;
        thread::scope(|scope| {
            if self.is_for_kubernetes {
                // These tests wait most of their time. The build takes what processors have to spare; what goes wrong
                // goes wrong again, and is told, when it is needed.
                scope.spawn(|| binaries::ready(self.ctx, false).ok());
            }
            follow(command.args(&words[1..]), results)
        })
    }

    /// What a runner of the tests whose file names begin with `prefix` is told; none where the filter leaves none.
    fn told(&self, prefix: &str, without: &[&str]) -> Result<Option<Told<'_>>> {
        let mut tests = build::tests(self.ctx, &self.toolchain, prefix)?;
        tests.retain(|test| !without.contains(&&*test.target));
        if let Some(filter) = self.filter {
            let mut chosen = Vec::new();
            for test in tests {
                if test.target.contains(filter) || test.has_test(filter)? {
                    chosen.push(test);
                }
            }
            tests = chosen;
        }
        if tests.is_empty() {
            return Ok(None);
        }
        let is_upgrade = |test: &Executable| test.target.ends_with(UPGRADE);
        let previous = || build::previous::netchaos(self.ctx, &self.toolchain);
        Ok(Some(Told {
            netchaos: &self.netchaos,
            previous: tests.iter().any(is_upgrade).then(previous),
            bound: self.args.bound,
            filter: self.filter,
            binaries: tests.into_iter().map(|test| test.path).collect(),
        }))
    }
}

fn announce(stage: &str) {
    println!("\n== {stage}");
}

/// Runs `command` with its outputs in one stream, as the tests' own words and the runner's belong together in time.
fn follow(command: &mut Command, results: &mut Results) -> Result<bool> {
    let (mut reader, writer) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", ui::shown(command)))?;
    // The command holds the pipe's other end; reading would never come to an end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut buffer = [0; 8192];
    while let count @ 1.. = reader.read(&mut buffer)? {
        std::io::stdout()
            .write_all(&buffer[..count])
            .and_then(|()| std::io::stdout().flush())?;
        results.feed(&buffer[..count]);
    }
    Ok(child.wait()?.success())
}

fn failure(outcome: Result<bool>, no_success: &str) -> Option<Failure> {
    match outcome {
        Ok(true) => None,
        Ok(false) => Some(Failure::Unexplained(no_success.into())),
        Err(error) => Some(Failure::Certain(format!("{error:#}"))),
    }
}

fn summarize(all: &[Results]) -> ExitCode {
    let mut total = Counts::default();
    println!("\n== summary");
    for results in all {
        println!("{}: {}", results.stage, results.counts);
        total += results.counts;
    }
    for results in all {
        for test in &results.not_run {
            println!("not run: {}: {test}", results.stage);
        }
    }
    for results in all {
        for test in &results.failures {
            println!("failed: {}: {test}", results.stage);
        }
    }
    if total == Counts::default() {
        println!("failed: no test ran at all");
    }
    println!("{total}");
    if total.failed > 0 || total == Counts::default() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_word_is_a_stage_or_a_filter() {
        let all = ALL.to_vec();
        assert_eq!(meant(&[]).unwrap(), (all.clone(), None));
        assert_eq!(
            meant(&words(&["cluster", "peers"])).unwrap(),
            (
                vec![Stage::Plane, Stage::PlaneVm, Stage::Nodes],
                Some("peers")
            )
        );
        assert_eq!(meant(&words(&["vm"])).unwrap(), (vec![Stage::Vm], None));
        assert_eq!(meant(&words(&["delay"])).unwrap(), (all, Some("delay")));
        assert_eq!(
            meant(&words(&["host", "vm"])).unwrap(),
            (vec![Stage::Host], Some("vm"))
        );
        assert!(meant(&words(&["delay", "loss"])).is_err());
    }
}
