//! QEMU and virtiofsd as child processes that never outlive this one.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use super::accel::Accel;
use super::guest::PORT;
use super::wire::{Frame, Job};
use super::{Options, Sink, Stream, note};
use crate::duty::Duty;
use crate::setup::kernels::Kernel;
use crate::setup::packages::{Programs, is_qemus_virtiofsd};

/// What a VM is made of.
pub struct Parts<'a> {
    pub kernel: &'a Kernel,
    pub programs: &'a Programs,
    pub options: &'a Options,
    pub initramfs: Vec<u8>,
}

/// How a boot ended.
pub enum Boot {
    /// The VM waits for a job.
    Done,
    /// It does not, for this reason.
    Failed(String),
}

/// A running VM; ends when dropped.
pub struct Vm {
    /// QEMU and virtiofsd.
    _children: [Duty; 2],
    port: UnixStream,
    frames: Receiver<Result<Frame>>,
    console: Noise,
    qemu_said: Noise,
}

/// The processor that is emulated: one with all that programs for x86-64-v2 ask for, and RDRAND. Slower to emulate is `max`
/// with AVX2 and 5-level page tables (docs/adr/0009-vms-with-the-hosts-own-files.md has the figures).
const EMULATED: &str = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand";

/// `norandmaps`: QEMU finds what it has translated by its address, and would translate each program anew at each start
/// (docs/adr/0009-vms-with-the-hosts-own-files.md has the figures).
const COMMAND_LINE: &str =
    "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on norandmaps";

/// Kernel lines that mean trouble even when the command went well.
const COMPLAINTS: [&str; 6] = [
    "BUG:",
    "Oops",
    "Kernel panic",
    "general protection fault",
    "rcu_sched",
    "WARNING: CPU",
];
/// Of the console's text this much is kept.
const NOISE_KEPT: usize = 64 * 1024;
/// Of it this much is shown when a boot fails.
const NOISE_SHOWN: usize = 4000;

impl Vm {
    /// Starts virtiofsd and QEMU. The children die with the calling thread (what prctl(2) calls the parent in
    /// PR_SET_PDEATHSIG is a thread), so it has to live as long as the VM.
    ///
    /// # Errors
    /// When a program cannot be started.
    pub fn start(parts: &Parts, accel: Accel) -> Result<Self> {
        let name = socket_name()?;
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        let (port, far_port) = UnixStream::pair()?;
        let (console, far_console) = UnixStream::pair()?;
        let initrd = memfd_create("initramfs", MFdFlags::MFD_CLOEXEC)?;
        std::fs::File::from(initrd.try_clone()?).write_all(&parts.initramfs)?;

        let mut command = virtiofsd(parts, listener.as_raw_fd());
        let (virtiofsd, virtiofsd_said) = spawn_with(&mut command, vec![listener.into()])?;
        let mut command = qemu(
            parts,
            accel,
            &name,
            far_port.as_raw_fd(),
            far_console.as_raw_fd(),
            initrd.as_raw_fd(),
        );
        let fds = vec![far_port.into(), far_console.into(), initrd];
        let (qemu, qemu_said) = spawn_with(&mut command, fds)?;
        let (sender, frames) = sync_channel(64);
        let reader = port.try_clone()?;
        thread::spawn(move || read_frames(reader, &sender));
        let said = Noise::default();
        said.listen(virtiofsd_said);
        said.listen(qemu_said);
        let kernel_said = Noise::default();
        kernel_said.listen(console);
        Ok(Self {
            _children: [qemu, virtiofsd],
            port,
            frames,
            console: kernel_said,
            qemu_said: said,
        })
    }

    /// Waits until the VM says that it is up.
    ///
    /// # Errors
    /// When the VM says something that is no message.
    pub fn wait_for_boot(&mut self, bound: Duration, sink: Sink) -> Result<Boot> {
        let start = Instant::now();
        let mut next_note = Duration::from_secs(10);
        loop {
            match self.frames.recv_timeout(Duration::from_millis(500)) {
                Ok(Ok(Frame::Booted)) => return Ok(Boot::Done),
                Ok(Ok(frame)) => bail!("the VM begins with {frame:?}"),
                Ok(Err(error)) => return Ok(Boot::Failed(format!("{error:#}"))),
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Boot::Failed("QEMU ended".into()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if start.elapsed() > bound {
                return Ok(Boot::Failed(format!("not up after {} s", bound.as_secs())));
            }
            if start.elapsed() > next_note {
                let seconds = start.elapsed().as_secs();
                note(sink, format_args!("still booting, {seconds} s"))?;
                next_note += Duration::from_secs(10);
            }
        }
    }

    /// Runs the job; returns the command's status as a shell has it.
    ///
    /// # Errors
    /// When the VM is lost, or the command takes longer than `bound`.
    pub fn run(mut self, job: Job, bound: Option<Duration>, sink: Sink) -> Result<i32> {
        Frame::Job(job).write(&mut self.port)?;
        let end = bound.map(|bound| Instant::now() + bound);
        loop {
            let frame = match end {
                None => self
                    .frames
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                Some(end) => self
                    .frames
                    .recv_timeout(end.saturating_duration_since(Instant::now())),
            };
            match frame {
                Ok(Ok(Frame::Out(bytes))) => sink(Stream::Out, &bytes)?,
                Ok(Ok(Frame::Err(bytes))) => sink(Stream::Err, &bytes)?,
                Ok(Ok(Frame::Exit(code))) => {
                    self.report_complaints(sink)?;
                    return Ok(code);
                }
                Ok(Ok(frame)) => bail!("the VM says {frame:?} while the command runs"),
                Ok(Err(error)) => return Err(error.context(self.lost("it speaks no sense"))),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(anyhow!(self.lost("QEMU ended while the command ran")));
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(anyhow!(
                        self.lost("it was ended, since the command took too long")
                    ));
                }
            }
        }
    }

    fn lost(&self, how: &str) -> String {
        format!("the VM was lost: {how}\n{}", self.last_words())
    }

    /// The end of what kernel, QEMU and virtiofsd said.
    pub fn last_words(&self) -> String {
        // The readers may be a moment behind the end of the process.
        thread::sleep(Duration::from_millis(100));
        let parts = [
            ("console", self.console.tail()),
            ("qemu", self.qemu_said.tail()),
        ];
        let parts = parts.iter().filter(|(_, text)| !text.trim().is_empty());
        parts
            .map(|(who, text)| format!("--- {who}\n{}\n", text.trim()))
            .collect()
    }

    fn report_complaints(&self, sink: Sink) -> Result<()> {
        let text = self.console.text();
        if text
            .lines()
            .any(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)))
        {
            let said = self.console.tail();
            note(sink, format_args!("the VM's kernel complained:\n{said}"))?;
        }
        Ok(())
    }
}

/// A name for the socket between QEMU and virtiofsd in the abstract space: no file that could be left over.
fn socket_name() -> Result<String> {
    let mut random = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(format!(
        "netchaos-vm-{}-{:016x}",
        std::process::id(),
        u64::from_ne_bytes(random)
    ))
}

fn read_frames(mut port: UnixStream, sender: &SyncSender<Result<Frame>>) {
    loop {
        let frame = match Frame::read(&mut port) {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let last = frame.is_err();
        if sender.send(frame).is_err() || last {
            return;
        }
    }
}

/// With any other cache mode the VM forgets a file's content each time the file is opened, and every program start
/// costs tenths of a second. The price: what changes on the host while the VM runs may not be seen in it.
fn virtiofsd(parts: &Parts, listener: RawFd) -> Command {
    let program = &parts.programs.virtiofsd;
    let mut command = Command::new(program);
    command.arg(format!("--fd={listener}"));
    if is_qemus_virtiofsd(program) {
        command.args([
            "-o",
            "source=/",
            "-o",
            "cache=always",
            "-o",
            "sandbox=chroot",
            "-o",
            "log_level=err",
        ]);
    } else {
        command.args([
            "--shared-dir=/",
            "--cache=always",
            "--sandbox=chroot",
            "--log-level=error",
        ]);
    }
    command
}

fn qemu(
    parts: &Parts,
    accel: Accel,
    fs_socket: &str,
    port: RawFd,
    console: RawFd,
    initrd: RawFd,
) -> Command {
    let memory_mb = parts.options.memory_mb;
    let cpus = parts.options.cpus.unwrap_or(accel.default_cpus());
    let (accel, cpu) = match accel {
        Accel::Kvm => ("kvm", "host"),
        Accel::Tcg => ("tcg,thread=multi", EMULATED),
    };
    let mut command = Command::new(&parts.programs.qemu);
    command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ])
        .args([
            "-machine",
            "q35,memory-backend=mem",
            "-accel",
            accel,
            "-cpu",
            cpu,
        ])
        .args(["-smp", &cpus.to_string(), "-m", &format!("{memory_mb}M")])
        .args([
            "-object",
            &format!("memory-backend-memfd,id=mem,size={memory_mb}M,share=on"),
        ])
        .args([
            "-chardev",
            &format!("socket,id=fs,path={fs_socket},abstract=on"),
        ])
        .args([
            "-device",
            "vhost-user-fs-pci,chardev=fs,tag=root,queue-size=1024",
        ])
        .args(["-chardev", &format!("socket,id=port,fd={port}")])
        .args(["-device", "virtio-serial-pci"])
        .args([
            "-device",
            &format!("virtserialport,chardev=port,name={PORT}"),
        ])
        .args([
            "-chardev",
            &format!("socket,id=console,fd={console}"),
            "-serial",
            "chardev:console",
        ])
        .arg("-kernel")
        .arg(&parts.kernel.image)
        .args(["-initrd", &format!("/proc/self/fd/{initrd}")])
        .args(["-append", COMMAND_LINE]);
    command
}

/// Starts `command` so that it inherits `fds` under their own numbers and dies with this thread. Returns its stderr
/// (and stdout) beside it.
fn spawn_with(
    command: &mut Command,
    fds: Vec<OwnedFd>,
) -> Result<(Duty, impl Read + Send + use<>)> {
    let (said, far_said) = UnixStream::pair()?;
    command
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(far_said.try_clone()?))
        .stderr(OwnedFd::from(far_said));
    let parent = nix::unistd::getpid();
    let program = command.get_program().to_owned();
    let prepare = move || {
        for fd in &fds {
            fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above.
        if nix::unistd::getppid() != parent {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes only async-signal-safe system calls (fcntl, prctl, getppid) and
    // allocates nothing.
    unsafe { command.pre_exec(prepare) };
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let end = Duty::new(move || {
        child.kill().ok();
        child.wait().ok();
    });
    Ok((end, said))
}

/// The end of a text stream that is wanted only when something goes wrong.
#[derive(Default)]
struct Noise(Arc<Mutex<Vec<u8>>>);

impl Noise {
    fn listen(&self, mut source: impl Read + Send + 'static) {
        let kept = Arc::clone(&self.0);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                let Ok(mut kept) = kept.lock() else { return };
                kept.extend(&buffer[..count]);
                let excess = kept.len().saturating_sub(NOISE_KEPT);
                kept.drain(..excess);
            }
        });
    }

    fn text(&self) -> String {
        let bytes = self.0.lock().map(|kept| kept.clone()).unwrap_or_default();
        String::from_utf8_lossy(&bytes)
            .chars()
            .filter(|c| !c.is_control() || *c == '\n')
            .collect()
    }

    fn tail(&self) -> String {
        let text = self.text();
        let skipped = text.chars().count().saturating_sub(NOISE_SHOWN);
        text.chars().skip(skipped).collect()
    }
}
