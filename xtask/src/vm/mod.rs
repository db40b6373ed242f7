//! A virtual machine on a kernel of choice, with the host's own files in it, that runs one command.
//!
//! The host's root is the VM's root, by virtiofs and read-only, under an overlay in memory: every program and file of
//! the host is there at its own path, and nothing that the VM writes comes back.

mod accel;
pub mod guest;
mod initramfs;
mod qemu;
mod sudo;
mod wire;

use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

pub use accel::Choice;
use qemu::{Boot, Parts, Vm};
use wire::Job;

use crate::ctx::{self, Ctx};
use crate::setup::kernels::Kernel;
use crate::setup::packages::{self, Programs, SYSTEM_PATH};

/// How a VM is to be made.
#[derive(Debug, Clone)]
pub struct Options {
    /// QEMU's accelerator.
    pub accel: Choice,
    /// The VM's memory in MB. Files that are written in the VM live in it.
    pub memory_mb: u32,
    /// Virtual processors; none: as many as [suit](accel::Accel::default_cpus) the accelerator.
    pub cpus: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            accel: Choice::Auto,
            memory_mb: 2048,
            cpus: None,
        }
    }
}

/// The status for a VM that failed, as other programs that run commands have it.
pub const FAILED: i32 = 125;

/// Which of the command's outputs bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Its stdout.
    Out,
    /// Its stderr.
    Err,
}

/// Takes the command's output as it comes.
pub type Sink<'a> = &'a mut dyn FnMut(Stream, &[u8]) -> Result<()>;

/// A command for the VM.
#[derive(Debug)]
pub struct Request {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Where the `netchaos` to be used lies.
    pub netchaos: PathBuf,
    /// The command is given up after this; none: never.
    pub bound: Option<Duration>,
}

/// Hands the command's output on to this process's own.
///
/// # Errors
/// When nobody reads it any more.
pub fn pass_on(stream: Stream, bytes: &[u8]) -> Result<()> {
    let written = match stream {
        Stream::Out => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        }
        Stream::Err => std::io::stderr().lock().write_all(bytes),
    };
    written.context("nobody reads the output")
}

/// One line of our own, told with the command's outputs: several VMs may run at the same time.
fn note(sink: Sink, text: impl std::fmt::Display) -> Result<()> {
    sink(Stream::Err, format!("xtask: {text}\n").as_bytes())
}

/// Installs what VMs need; asks for root's rights, where that takes a password, before several VMs do it at once.
///
/// # Errors
/// Says what to install by hand, or that root cannot be had.
pub fn ready(ctx: &Ctx) -> Result<Programs> {
    let programs = packages::vm_tools(ctx)?;
    if !ctx::is_root() {
        sudo::ask()?;
    }
    Ok(programs)
}

/// Runs a command in a VM on `kernel` and returns its status as a shell has it in `$?`.
///
/// A boot that fails is tried once more; the command never is. The calling thread has to live as long as the VM: it
/// does, since this returns when the VM is gone.
///
/// # Errors
/// When the VM cannot be booted, or is lost while the command runs.
pub fn run(
    ctx: &Ctx,
    programs: &Programs,
    kernel: &Kernel,
    options: &Options,
    request: &Request,
    sink: Sink,
) -> Result<i32> {
    if !ctx::is_root() {
        return sudo::run(ctx, kernel, options, request, sink);
    }
    let parts = parts(kernel, programs, options)?;
    let mut reasons = Vec::new();
    for attempt in accel::attempts(ctx, options.accel) {
        let booting = format_args!("booting {} ({})", kernel.release, attempt.accel);
        note(sink, booting)?;
        let mut vm = Vm::start(&parts, attempt.accel)?;
        match vm.wait_for_boot(attempt.bound, sink)? {
            Boot::Done => {
                accel::boot_worked(ctx, options.accel, attempt.accel);
                return vm.run(job(request)?, request.bound, sink);
            }
            Boot::Failed(reason) => {
                note(
                    sink,
                    format_args!("no boot with {}: {reason}", attempt.accel),
                )?;
                reasons.push(format!("{}: {reason}\n{}", attempt.accel, vm.last_words()));
            }
        }
    }
    bail!(
        "the VM does not boot {}\n{}",
        kernel.release,
        reasons.join("\n")
    )
}

fn parts<'a>(
    kernel: &'a Kernel,
    programs: &'a Programs,
    options: &'a Options,
) -> Result<Parts<'a>> {
    let this = env::current_exe().context("cannot find xtask's own file")?;
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .with_context(|| format!("{} is not UTF-8", path.display()))
    };
    let init = [
        text(&this)?,
        guest::SUBCOMMAND.into(),
        text(&kernel.modules)?,
    ];
    let initramfs = initramfs::build(kernel, &programs.busybox, &init)?;
    Ok(Parts {
        kernel,
        programs,
        options,
        initramfs,
    })
}

/// Made when the VM waits for it: it says what time it is.
fn job(request: &Request) -> Result<Job> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Job {
        argv: request
            .command
            .iter()
            .map(|word| word.as_bytes().to_vec())
            .collect(),
        cwd: env::current_dir()?.into_os_string().into_vec(),
        env: environment(&request.netchaos, env::vars_os()),
        realtime_ns: u64::try_from(now.as_nanos())?,
    })
}

/// The command's environment: a plain root login's, netchaos in PATH, and of the caller's variables those that
/// concern language, terminal, Rust and netchaos. The caller's own PATH may hold wrappers that mean nothing in the VM.
fn environment(
    netchaos: &Path,
    own: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let passed = |name: &OsString| {
        let name = name.to_string_lossy();
        let exact = ["TERM", "LANG", "TZ"].contains(&&*name);
        exact
            || ["LC_", "RUST_", "NETCHAOS_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
    };
    let dir = netchaos.parent().unwrap_or(Path::new("/"));
    let path = [dir.as_os_str().as_bytes(), b":", SYSTEM_PATH.as_bytes()].concat();
    let fixed = [
        ("HOME", b"/root".to_vec()),
        ("USER", b"root".to_vec()),
        ("LOGNAME", b"root".to_vec()),
        ("SHELL", b"/bin/bash".to_vec()),
        ("PATH", path),
        ("NETCHAOS_BIN", netchaos.as_os_str().as_bytes().to_vec()),
    ];
    let own = own.filter(|(name, _)| passed(name) && name != "NETCHAOS_BIN");
    let own = own.map(|(name, value)| (name.into_vec(), value.into_vec()));
    own.chain(fixed.map(|(name, value)| (name.as_bytes().to_vec(), value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vms_environment_is_a_root_logins() {
        let own = [
            ("LC_ALL", "C"),
            ("RUST_LOG", "debug"),
            ("PATH", "/wrappers"),
            ("SECRET", "x"),
            ("HOME", "/home/u"),
        ];
        let own = own.map(|(name, value)| (name.into(), value.into()));
        let env = environment(Path::new("/t/release/netchaos"), own.into_iter());
        let get = |name: &str| {
            let found: Vec<_> = env
                .iter()
                .filter(|(have, _)| have == name.as_bytes())
                .collect();
            assert!(found.len() < 2, "{name} twice");
            found
                .first()
                .map(|(_, value)| String::from_utf8(value.clone()).unwrap())
        };
        assert_eq!(get("LC_ALL").as_deref(), Some("C"));
        assert_eq!(get("RUST_LOG").as_deref(), Some("debug"));
        assert_eq!(get("HOME").as_deref(), Some("/root"));
        assert_eq!(get("SECRET"), None);
        assert_eq!(get("PATH").unwrap(), format!("/t/release:{SYSTEM_PATH}"));
        assert_eq!(get("NETCHAOS_BIN").as_deref(), Some("/t/release/netchaos"));
    }
}
