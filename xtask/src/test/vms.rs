//! The tests on real kernels: a VM for each, as many at the same time as the machine has room for.

use std::path::PathBuf;
use std::thread;

use anyhow::{Result, anyhow, bail};

use super::results::{Failure, Results};
use super::runner::{self, Told};
use super::{Run, failure, turns};
use crate::setup::kernels::Kernel;
use crate::setup::packages::{self, Programs};
use crate::ui;
use crate::vm::{self, Sink, Stream};

/// The kernels that tests run on when none is named.
const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// The same for tests that have an API server in the VM, which takes its time.
const CLUSTER_KERNELS: [&str; 1] = ["6.12"];
/// From this version on a kernel has everything that the tests use.
const ALL_MUST_RUN_FROM: (u32, u32) = (6, 1);
/// What a VM takes besides its own memory, in MB: QEMU with the code that it has translated, and virtiofsd.
const MEMORY_BESIDES: u64 = 512;

/// What the VMs of all kernels have in common.
struct Ready {
    programs: Programs,
    command: Vec<PathBuf>,
}

impl Run<'_> {
    pub(super) fn vms(&self) -> Vec<Results> {
        self.on_kernels("vm", &KERNELS, || {
            packages::container_runtimes(self.ctx)?;
            self.told("vm_")?.map(Told::command).transpose()
        })
    }

    /// A control plane in the VM, for what the host's kernel may lack.
    pub(super) fn cluster_in_vms(&self) -> Vec<Results> {
        self.on_kernels("cluster, control plane, vm", &CLUSTER_KERNELS, || {
            self.cluster_command("cluster_vm", 0)
        })
    }

    /// Runs a command in a VM on each kernel that was named, or else on each of `usual`. `command` gets ready what it
    /// needs; where it is none, no VM is started.
    fn on_kernels(
        &self,
        stage: &str,
        usual: &[&str],
        command: impl FnOnce() -> Result<Option<Vec<PathBuf>>>,
    ) -> Vec<Results> {
        let named = &self.args.kernel;
        let kernels = if named.is_empty() {
            usual.iter().map(|&which| which.to_owned()).collect()
        } else {
            named.clone()
        };
        let stages: Vec<_> = kernels
            .iter()
            .map(|which| format!("{stage} {which}"))
            .collect();
        // Whatever is installed, downloaded or built is so before the first VM starts.
        let ready = match command() {
            Ok(None) => return Vec::new(),
            Ok(Some(command)) => vm::ready(self.ctx).map(|programs| Ready { command, programs }),
            Err(error) => Err(error),
        };
        let kernels: Vec<_> = kernels
            .iter()
            .map(|which| Kernel::named(self.ctx, which))
            .collect();
        let slots = slots(
            thread::available_parallelism().map_or(1, usize::from),
            available_mb(),
            self.args.machine.memory,
        )
        .min(stages.len());
        if slots > 1 {
            ui::note(format_args!("{slots} VMs at the same time"));
        }
        let outcomes = turns::at_once(
            &stages,
            slots,
            |index, sink| self.vm(&stages[index], &kernels[index], &ready, sink),
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

    fn vm(
        &self,
        stage: &str,
        kernel: &Result<Kernel>,
        ready: &Result<Ready>,
        sink: Sink,
    ) -> Results {
        let all_must_run = kernel
            .as_ref()
            .is_ok_and(|kernel| version(&kernel.release) >= Some(ALL_MUST_RUN_FROM));
        let mut results = Results::new(stage, all_must_run);
        let heading = format!("\n== {stage}\n");
        let outcome = sink(Stream::Out, heading.as_bytes()).and_then(|()| match (kernel, ready) {
            (Ok(kernel), Ok(ready)) => self.vm_in(kernel, ready, &mut results, sink),
            (Err(error), _) | (_, Err(error)) => Err(anyhow!("{error:#}")),
        });
        results.end(failure(outcome, "the tests ended with an error"));
        results
    }

    fn vm_in(
        &self,
        kernel: &Kernel,
        ready: &Ready,
        results: &mut Results,
        sink: Sink,
    ) -> Result<bool> {
        let request = vm::Request {
            command: ready.command.iter().map(Into::into).collect(),
            netchaos: self.netchaos.clone(),
            bound: Some(runner::BOUND * u32::try_from(ready.command.len())?),
        };
        let mut sink = |stream, bytes: &[u8]| {
            if stream == Stream::Out {
                results.feed(bytes);
            }
            sink(stream, bytes)
        };
        let code = vm::run(
            self.ctx,
            &ready.programs,
            kernel,
            &self.args.machine.options(),
            &request,
            &mut sink,
        )?;
        if code == vm::FAILED {
            bail!("the VM was lost or did not boot: the reason is told above");
        }
        Ok(code == 0)
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

/// `6.12.117+deb12-cloud-amd64` is 6.12.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
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

    #[test]
    fn releases_compare_by_their_version() {
        assert_eq!(version("6.12.117+deb12-cloud-amd64"), Some((6, 12)));
        assert!(version("5.10.0-46-cloud-amd64") < Some(ALL_MUST_RUN_FROM));
        assert!(version("6.1.0-56-cloud-amd64") >= Some(ALL_MUST_RUN_FROM));
        assert_eq!(version("unknown"), None);
    }
}
