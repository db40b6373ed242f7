//! The demonstration: a manifest slows down exactly what it names, and then is gone without a trace.

mod lab;
mod ping;
mod story;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::build;
use crate::ctx::{self, Ctx};
use crate::duty::Duty;
use crate::setup::kernels::Kernel;
use crate::setup::packages;
use crate::setup::toolchain::Toolchain;
use crate::ui::{self, quietly};
use crate::vm;

/// The hidden subcommand that tells the story, on the host or in the VM.
pub const SUBCOMMAND: &str = "demo-lab";
/// The kernel of the VM where this one lacks something.
const KERNEL: &str = "6.12";
/// What netchaos needs of a kernel beside eBPF, by trying: the words of ip(8) or tc(8), and what it is called.
const NEEDS: [(&str, &str); 4] = [
    ("ip link add below type veth peer name end", "veth"),
    (
        "ip link add above link below type macvlan mode private",
        "macvlan",
    ),
    ("tc qdisc add dev above root handle 1: prio", "sch_prio"),
    (
        "tc qdisc add dev above parent 1:1 netem delay 1ms",
        "sch_netem",
    ),
];

/// What the story needs to know.
#[derive(Args)]
pub struct LabArgs {
    /// The netchaos to show
    #[arg(long)]
    netchaos: PathBuf,
}

/// Builds netchaos and shows it at work: on this kernel if it can, else in a VM.
///
/// # Errors
/// When netchaos cannot be built, or no VM booted.
pub fn run(ctx: &Ctx) -> Result<ExitCode> {
    let netchaos = build::netchaos(ctx, &Toolchain::ready(ctx)?, &[])?;
    packages::network_tools(ctx)?;
    // The story names files of the workspace as a reader there would.
    env::set_current_dir(&ctx.root)?;
    let release = nix::sys::utsname::uname()?
        .release()
        .to_string_lossy()
        .into_owned();
    match lacks(ctx)? {
        None => {
            println!("This kernel ({release}) has all that it takes: the lab is made right here.");
            // Two labs would have the same names.
            let _lock = ctx.lock("lab")?;
            tell(&LabArgs { netchaos })
        }
        Some(reason) => {
            let kernel = Kernel::named(ctx, KERNEL)?;
            println!("This kernel ({release}) does not do: {reason}.");
            println!(
                "So the lab is made in a VM with Debian's kernel {}.",
                kernel.release
            );
            let this = env::current_exe().context("cannot find xtask's own file")?;
            let command: [&Path; 4] =
                [&this, SUBCOMMAND.as_ref(), "--netchaos".as_ref(), &netchaos];
            let command = command.map(|word| word.as_os_str().to_owned()).to_vec();
            let request = vm::Request {
                command,
                netchaos: netchaos.clone(),
                bound: None,
            };
            let code = vm::run(
                ctx,
                &vm::ready(ctx)?,
                &kernel,
                &vm::Options::default(),
                &request,
                &mut vm::pass_on,
            )?;
            Ok(crate::exit_code(code))
        }
    }
}

/// What keeps the lab from being made on this kernel, found out in a scratch namespace.
fn lacks(ctx: &Ctx) -> Result<Option<String>> {
    if !ctx::is_root() {
        return Ok(Some(
            "making namespaces needs root, and this is not root".into(),
        ));
    }
    let _lock = ctx.lock("lab")?;
    let name = "nclab-probe";
    let remove = || quietly(Command::new("ip").args(["netns", "del", name]));
    remove().ok();
    if let Err(error) = quietly(Command::new("ip").args(["netns", "add", name])) {
        return Ok(Some(format!("it refuses a namespace ({error:#})")));
    }
    let _removed = Duty::new(move || {
        remove().ok();
    });
    for (words, module) in NEEDS {
        let mut words = words.split(' ');
        let mut command = Command::new(words.next().context("no program")?);
        if let Err(error) = quietly(command.args(["-n", name]).args(words)) {
            return Ok(Some(format!("it has no {module} ({error:#})")));
        }
    }
    Ok(None)
}

/// Tells the story; success when everything was as it should be.
///
/// # Errors
/// When the lab cannot be made, or netchaos fails.
pub fn tell(args: &LabArgs) -> Result<ExitCode> {
    if !args.netchaos.exists() {
        bail!("{} is not there", args.netchaos.display());
    }
    match story::tell(&args.netchaos) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            // On stdout, where the reader is.
            println!("\nThe demonstration failed: {error:#}");
            ui::note("the lab has been removed");
            Ok(ExitCode::FAILURE)
        }
    }
}
