//! The tests on real kernels: a VM for each, as many at the same time as the machine has room for.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::results::{Failure, Results};
use super::runner::Told;
use super::{Run, failure, turns};
use crate::setup::kernels::{Kernel, NEWEST};
use crate::setup::packages::{self, Programs};
use crate::ui;
use crate::vm::{self, Sink, Stream};

/// The kernels that tests run on when none is named.
const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// Those of `--all-kernels`.
pub const ALL_KERNELS: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", NEWEST];
/// The same for tests that have an API server in the VM, which takes its time.
const CLUSTER_KERNELS: [&str; 1] = ["6.12"];
/// Test files that the kernel matters little to: the tests' own probes, words, manifests, places, waiting. Each runs on
/// one of the usual kernels, in turn, so neighbours here take about the same time.
const ONCE: [&str; 12] = [
    "vm_probes",
    "vm_apply",
    "vm_drain",
    "vm_cli",
    "vm_targets",
    "vm_examples",
    "vm_podman",
    "vm_run",
    "vm_names",
    "vm_follow",
    "vm_sidecar",
    "vm_explain",
];
/// From this version on a kernel has everything that the tests use.
const ALL_MUST_RUN_FROM: (u32, u32) = (6, 1);
/// What a VM takes besides its own memory, in MB: QEMU with the code that it has translated, and virtiofsd.
const MEMORY_BESIDES: u64 = 512;

/// What to run on a kernel.
struct Job {
    /// What it is called in the summary.
    stage: String,
    kernel: Result<Kernel>,
    command: Vec<PathBuf>,
}

impl Run<'_> {
    pub(super) fn vms(&self) -> Vec<Results> {
        self.on_kernels("vm", &KERNELS, |which, count| {
            packages::container_runtimes(self.ctx)?;
            let others = ONCE.iter().enumerate();
            // All of them on all kernels is what `--all-kernels` is for.
            let elsewhere =
                others.filter(|(one, _)| !self.args.all_kernels && one % count != which);
            let elsewhere: Vec<_> = elsewhere.map(|(_, name)| *name).collect();
            self.told("vm_", &elsewhere)?.map(Told::command).transpose()
        })
    }

    /// A control plane in the VM, for what the host's kernel may lack.
    pub(super) fn cluster_in_vms(&self) -> Vec<Results> {
        self.on_kernels("cluster, control plane, vm", &CLUSTER_KERNELS, |_, _| {
            self.cluster_command("cluster_vm", &[], 0)
        })
    }

    /// Runs a command in a VM on each kernel that was named, or else on each of `usual`. `command` is asked for that of
    /// the first, second … of so many kernels, and gets ready what it needs; where it is none, no VM is started.
    fn on_kernels(
        &self,
        stage: &str,
        usual: &[&str],
        command: impl Fn(usize, usize) -> Result<Option<Vec<PathBuf>>>,
    ) -> Vec<Results> {
        // Whatever is installed, downloaded or built is so before the first VM starts.
        let ready = self.jobs(stage, usual, command).and_then(|jobs| {
            let programs = (!jobs.is_empty()).then(|| vm::ready(self.ctx));
            Ok((jobs, programs.transpose()?))
        });
        match ready {
            Ok((jobs, Some(programs))) => self.run_all(&jobs, &programs),
            Ok((_, None)) => Vec::new(),
            Err(error) => vec![broken(stage, &format!("{error:#}"))],
        }
    }

    fn jobs(
        &self,
        stage: &str,
        usual: &[&str],
        command: impl Fn(usize, usize) -> Result<Option<Vec<PathBuf>>>,
    ) -> Result<Vec<Job>> {
        let kernels: Vec<&str> = match &self.args.kernel[..] {
            [] if self.args.all_kernels => ALL_KERNELS.into(),
            [] => usual.into(),
            named => named.iter().map(String::as_str).collect(),
        };
        let mut jobs = Vec::new();
        for (index, which) in kernels.iter().enumerate() {
            if let Some(command) = command(index, kernels.len())? {
                let kernel = Kernel::named(self.ctx, which);
                jobs.push(Job {
                    stage: format!("{stage} {}", name(which, &kernel)),
                    kernel,
                    command,
                });
            }
        }
        Ok(jobs)
    }

    fn run_all(&self, jobs: &[Job], programs: &Programs) -> Vec<Results> {
        let slots = slots(
            thread::available_parallelism().map_or(1, usize::from),
            available_mb(),
            self.args.machine.memory,
        )
        .min(jobs.len());
        if slots > 1 {
            ui::note(format_args!("{slots} VMs at the same time"));
        }
        let stages: Vec<_> = jobs.iter().map(|job| job.stage.clone()).collect();
        let outcomes = turns::at_once(
            &stages,
            slots,
            |index, sink| self.vm(&jobs[index], programs, sink),
            &mut vm::pass_on,
        );
        match outcomes {
            Ok(outcomes) => outcomes
                .into_iter()
                .zip(&stages)
                .map(|(outcome, stage)| {
                    outcome.unwrap_or_else(|_| broken(stage, "xtask panicked; its words are above"))
                })
                .collect(),
            Err(error) => vec![broken("vm", &format!("{error:#}"))],
        }
    }

    fn vm(&self, job: &Job, programs: &Programs, sink: Sink) -> Results {
        let kernel = job.kernel.as_ref();
        let all_must_run = kernel.is_ok_and(|kernel| kernel.version() >= Some(ALL_MUST_RUN_FROM));
        let mut results = Results::new(&job.stage, all_must_run);
        let heading = format!("\n== {}\n", job.stage);
        let outcome = sink(Stream::Out, heading.as_bytes()).and_then(|()| match kernel {
            Ok(kernel) => self.vm_in(kernel, programs, &job.command, &mut results, sink),
            Err(error) => Err(anyhow!("{error:#}")),
        });
        results.end(failure(outcome, "the tests ended with an error"));
        results
    }

    fn vm_in(
        &self,
        kernel: &Kernel,
        programs: &Programs,
        command: &[PathBuf],
        results: &mut Results,
        sink: Sink,
    ) -> Result<bool> {
        let request = vm::Request {
            command: command.iter().map(Into::into).collect(),
            netchaos: self.netchaos.clone(),
            bound: Some(
                Duration::from_secs(self.args.bound).saturating_mul(u32::try_from(command.len())?),
            ),
        };
        let mut sink = |stream, bytes: &[u8]| {
            if stream == Stream::Out {
                results.feed(bytes);
            }
            sink(stream, bytes)
        };
        let options = self.args.machine.options();
        let code = vm::run(self.ctx, programs, kernel, &options, &request, &mut sink)?;
        if code == vm::FAILED {
            bail!("the VM was lost or did not boot: the reason is told above");
        }
        Ok(code == 0)
    }
}

/// What a kernel is called in the summary: `newest` says little a year later.
fn name(which: &str, kernel: &Result<Kernel>) -> String {
    match kernel {
        Ok(kernel) if which == NEWEST => kernel.release.clone(),
        _ => which.to_owned(),
    }
}

fn broken(stage: &str, what: &str) -> Results {
    let mut results = Results::new(stage, true);
    results.end(Some(Failure::Certain(what.into())));
    results
}

/// How many VMs the machine has room for, one at least: a processor for each, and its memory.
fn slots(cpus: usize, available_mb: Option<u64>, memory_mb: u32) -> usize {
    let by_memory = available_mb.map_or(cpus, |available| {
        usize::try_from(available / (u64::from(memory_mb) + MEMORY_BESIDES)).unwrap_or(cpus)
    });
    cpus.min(by_memory).max(1)
}

/// The memory that can be had without swapping; none where the kernel does not say.
fn available_mb() -> Option<u64> {
    mem_available_mb(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// MemAvailable of `/proc/meminfo` (proc_meminfo(5)), in MB.
fn mem_available_mb(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kb: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kb / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_as_many_vms_as_processors_and_memory_allow() {
        assert_eq!(slots(2, Some(20_000), 2048), 2);
        assert_eq!(slots(8, Some(8_000), 2048), 3);
        assert_eq!(slots(8, Some(8_000), 8192), 1, "one at least");
        assert_eq!(slots(4, None, 2048), 4);
    }

    #[test]
    fn available_memory_is_read_as_the_kernel_writes_it() {
        let meminfo = "MemTotal:       24684024 kB\nMemFree:        21045252 kB\nMemAvailable:   21211136 kB\n";
        assert_eq!(mem_available_mb(meminfo), Some(20_714));
        assert_eq!(mem_available_mb("MemTotal: 1 kB\n"), None);
        assert!(available_mb().is_some());
    }
}
