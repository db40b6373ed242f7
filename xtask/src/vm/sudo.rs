//! VMs for a user who is not root: virtiofsd has to read every file of the host, and only root can.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use anyhow::{Context as _, Result, bail};

use super::{FAILED, Options, Request, Sink, Stream};
use crate::ctx::{self, Ctx};
use crate::setup::kernels::Kernel;
use crate::ui;

/// Lets sudo ask for the password, which it then knows for a while.
///
/// # Errors
/// When there is no sudo, or it refuses.
pub fn ask() -> Result<()> {
    let mut command = ctx::as_root("/bin/true")?;
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", ui::shown(&command)))?;
    if !status.success() {
        bail!("a VM needs root, and sudo refuses ({status}): run this as root");
    }
    Ok(())
}

/// The same again, behind sudo: `xtask vm` with this kernel, these options and this command.
///
/// # Errors
/// When it cannot be started. When the VM fails the status is [`FAILED`], and the reason is among what was said.
pub fn run(
    ctx: &Ctx,
    kernel: &Kernel,
    options: &Options,
    request: &Request,
    sink: Sink,
) -> Result<i32> {
    let mut command = command(ctx, kernel, options, request)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", ui::shown(&command)))?;
    let (sender, said) = channel();
    ui::pump(child.stdout.take(), sender.clone(), |bytes| {
        (Stream::Out, bytes)
    });
    ui::pump(child.stderr.take(), sender, |bytes| (Stream::Err, bytes));
    for (stream, bytes) in said {
        sink(stream, &bytes)?;
    }
    let status = child.wait()?;
    Ok(status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(FAILED))
}

fn command(ctx: &Ctx, kernel: &Kernel, options: &Options, request: &Request) -> Result<Command> {
    let cache = ctx
        .cache
        .parent()
        .context("the cache folder has no parent")?;
    let mut command = ctx::as_root("/usr/bin/env")?;
    command
        .arg([OsStr::new("XDG_CACHE_HOME="), cache.as_os_str()].join(OsStr::new("")))
        .arg(env::current_exe().context("cannot find xtask's own file")?)
        .args([OsStr::new("vm"), OsStr::new("--kernel")])
        .arg(&kernel.folder)
        .arg("--netchaos")
        .arg(&request.netchaos)
        .args(["--accel", options.accel.name()])
        .args(["--memory", &options.memory_mb.to_string()])
        .args(options.cpus.map(|cpus| format!("--cpus={cpus}")))
        .arg("--")
        .args(&request.command);
    Ok(command)
}
