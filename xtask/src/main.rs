//! The one door for people and CI: sets a machine up, builds, runs and tests netchaos.

mod build;
mod cluster;
mod ctx;
mod demo;
mod dist;
mod duty;
mod fuzz;
mod kernel_table;
mod lint;
mod setup;
mod test;
mod ui;
mod vm;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};

use ctx::Ctx;
use setup::kernels::Kernel;
use setup::toolchain::Toolchain;

#[derive(Parser)]
#[command(name = "cargo xtask", about, version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build netchaos in release mode, its eBPF programs included
    Build,
    /// Build netchaos and run it on this node; without arguments: show what it does in a small lab
    Run {
        /// netchaos's own arguments
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Build what is handed out: a static program in a tarball, the container image, and their sums
    Dist(dist::DistArgs),
    /// Run the tests: on paper (unit), on this kernel (host), in Kubernetes (cluster), on other kernels (vm), or all
    Test(test::TestArgs),
    /// Give every reader of foreign input (manifests, netlink, state, …) inputs that nobody would write, by libFuzzer
    Fuzz(fuzz::FuzzArgs),
    /// Check formatting, clippy (the eBPF programs too), and which part uses what
    Lint,
    /// Ask each kernel, in a VM, how much of each program its verifier looks at, and write docs/kernels.md
    Kernels(kernel_table::TableArgs),
    /// Boot a VM that has this machine's files (writes to them are lost) and run a command in it as root
    Vm(VmArgs),
    #[command(name = vm::guest::SUBCOMMAND, hide = true)]
    GuestInit { modules: PathBuf },
    #[command(name = test::runner::SUBCOMMAND, hide = true)]
    RunTests(test::runner::RunnerArgs),
    #[command(name = demo::SUBCOMMAND, hide = true)]
    DemoLab(demo::LabArgs),
    #[command(name = cluster::TESTS, hide = true)]
    ClusterTests(cluster::TestsArgs),
    #[command(name = cluster::NODE, hide = true)]
    ClusterNode(cluster::NodeArgs),
    #[command(name = cluster::ENTER, hide = true)]
    ClusterEnter(cluster::EnterArgs),
}

#[derive(Args)]
struct VmArgs {
    /// A version such as 6.1, 6.12, 5.10, 6.18 or 7.3 (Debian's kernels), `newest` (of them), a kernel package
    /// FILE.deb, or a folder with an unpacked one
    #[arg(long, default_value = "6.12")]
    kernel: String,
    #[command(flatten)]
    machine: MachineArgs,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[derive(Args)]
struct MachineArgs {
    /// How QEMU runs the VM
    #[arg(long, value_enum, default_value = "auto")]
    accel: vm::Choice,
    /// The VM's memory; files written in the VM live in it
    #[arg(long, value_name = "MB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(256..))]
    memory: u32,
    /// Virtual processors [default: 2 with KVM; 1 with emulation, where more than one make Linux oops now and then]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: Option<u32>,
    /// Use this netchaos instead of building one
    #[arg(long, value_name = "FILE")]
    netchaos: Option<PathBuf>,
}

impl MachineArgs {
    fn options(&self) -> vm::Options {
        vm::Options {
            accel: self.accel,
            memory_mb: self.memory,
            cpus: self.cpus,
        }
    }

    fn netchaos(&self, ctx: &Ctx, features: &[&str]) -> Result<PathBuf> {
        match &self.netchaos {
            Some(path) => path
                .canonicalize()
                .with_context(|| format!("--netchaos {}", path.display())),
            None => build::netchaos(ctx, &Toolchain::ready(ctx)?, features),
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    if let Task::GuestInit { modules } = task {
        vm::guest::init(&modules)?;
        bail!("the VM's PID 1 came to an end");
    }
    let ctx = Ctx::new()?;
    match task {
        Task::Build => {
            let program = build::netchaos(&ctx, &Toolchain::ready(&ctx)?, &[])?;
            println!("{}", program.display());
            Ok(ExitCode::SUCCESS)
        }
        Task::Run { args } if args.is_empty() => demo::run(&ctx),
        Task::Run { args } => run_netchaos(&ctx, &args),
        Task::Dist(args) => dist::run(&ctx, &args),
        Task::Fuzz(args) => fuzz::run(&ctx, &args),
        Task::Lint => lint::run(&ctx),
        Task::Test(args) => test::run(&ctx, &args),
        Task::Kernels(args) => kernel_table::run(&ctx, &args),
        Task::Vm(args) => run_vm(&ctx, args),
        Task::DemoLab(args) => demo::tell(&args),
        Task::RunTests(args) => Ok(succeeded(test::runner::run(&args, &[])?)),
        Task::ClusterTests(args) => Ok(succeeded(cluster::run_tests(&args)?)),
        Task::ClusterNode(args) => match cluster::be_node(&args)? {},
        Task::ClusterEnter(args) => match cluster::enter(&args)? {},
        Task::GuestInit { .. } => unreachable!("handled above"),
    }
}

fn run_vm(ctx: &Ctx, args: VmArgs) -> Result<ExitCode> {
    let netchaos = args.machine.netchaos(ctx, &[])?;
    let programs = vm::ready(ctx)?;
    let kernel = Kernel::named(ctx, &args.kernel)?;
    let request = vm::Request {
        command: args.command,
        netchaos,
        bound: None,
    };
    let code = vm::run(
        ctx,
        &programs,
        &kernel,
        &args.machine.options(),
        &request,
        &mut vm::pass_on,
    );
    Ok(exit_code(code.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        vm::FAILED
    })))
}

/// Becomes `netchaos`, as root where that can be had: what the caller sees and gets back is netchaos's alone.
fn run_netchaos(ctx: &Ctx, args: &[OsString]) -> Result<ExitCode> {
    let netchaos = build::netchaos(ctx, &Toolchain::ready(ctx)?, &[])?;
    let mut command = ctx::as_root(&netchaos).unwrap_or_else(|_| Command::new(&netchaos));
    Err(command.args(args).exec()).with_context(|| format!("cannot run {}", ui::shown(&command)))
}

fn succeeded(is_so: bool) -> ExitCode {
    if is_so {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A status as the shell has it: 0 to 255.
pub fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
