//! The VM's side: PID 1 in the host's root, which finishes the system, runs the job and reports.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::time::TimeSpec;
use nix::sys::wait::{WaitStatus, wait};
use nix::time::{ClockId, clock_settime};
use nix::unistd::{Pid, sethostname};

use super::wire::{Frame, Job};

/// The hidden subcommand that PID 1 is. Its argument is the folder with the kernel's modules.
pub const SUBCOMMAND: &str = "guest-init";

/// The tests know by this name that they are in a VM, where none of them may lack anything.
const HOSTNAME: &str = "netchaos-vm";
/// The name of the virtio-serial port to the host.
pub const PORT: &str = "org.netchaos.job";
/// The kernel finds the port a moment after the device.
const PORT_BOUND: Duration = Duration::from_secs(20);
/// What a background process still writes after the command has ended is waited for this long.
const LATE_OUTPUT: Duration = Duration::from_millis(300);

type Port = Arc<Mutex<File>>;

/// Does not return: the VM ends with PID 1.
///
/// # Errors
/// When the system cannot be finished. The kernel then panics, and the host sees the reason on the console.
pub fn init(modules: &Path) -> Result<()> {
    if nix::unistd::getpid() != Pid::from_raw(1) {
        bail!("{SUBCOMMAND} is for the VM only");
    }
    mount_all()?;
    put_modules(modules)?;
    set_limits()?;
    sethostname(HOSTNAME)?;
    // Its autoload by netlink fails below 6.10.
    run_quietly("/sbin/modprobe", &["cls_bpf"])?;
    run_quietly("/sbin/ip", &["link", "set", "lo", "up"])?;

    let path = find_port()?;
    let mut port = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    Frame::Booted.write(&mut port)?;
    let Some(Frame::Job(job)) = Frame::read(&mut port)? else {
        bail!("no job came")
    };
    let code = run(&job, &Arc::new(Mutex::new(port.try_clone()?)))?;
    Frame::Exit(code).write(&mut port)?;
    // The host ends the VM when it has read the status; ending PID 1 first would be a race with the port.
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

fn find_port() -> Result<PathBuf> {
    let end = Instant::now() + PORT_BOUND;
    while Instant::now() < end {
        for entry in fs::read_dir("/sys/class/virtio-ports")
            .into_iter()
            .flatten()
            .flatten()
        {
            if fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == PORT) {
                return Ok(Path::new("/dev").join(entry.file_name()));
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("no virtio-serial port {PORT}")
}

fn mount_all() -> Result<()> {
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let device = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    for (kind, target, flags, options) in [
        ("proc", "/proc", plain, ""),
        ("sysfs", "/sys", plain, ""),
        ("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=755"),
        ("devpts", "/dev/pts", device, "mode=620,ptmxmode=666"),
        (
            "tmpfs",
            "/dev/shm",
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            "mode=1777",
        ),
        (
            "tmpfs",
            "/run",
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            "mode=755",
        ),
        ("bpf", "/sys/fs/bpf", plain, "mode=700"),
        ("cgroup2", "/sys/fs/cgroup", plain, ""),
        ("debugfs", "/sys/kernel/debug", plain, ""),
        ("tracefs", "/sys/kernel/tracing", plain, ""),
    ] {
        fs::create_dir_all(target).with_context(|| target.to_owned())?;
        mount(Some(kind), target, Some(kind), flags, Some(options))
            .with_context(|| format!("mounting {target}"))?;
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        std::os::unix::fs::symlink(target, Path::new("/dev").join(link)).ok();
    }
    for dir in ["/run/lock", "/run/netns"] {
        fs::create_dir_all(dir)?;
    }
    Ok(())
}

/// Puts the modules of the VM's kernel where modprobe looks for them.
fn put_modules(modules: &Path) -> Result<()> {
    let release = nix::sys::utsname::uname()?.release().to_owned();
    let target = Path::new("/lib/modules").join(release);
    fs::create_dir_all(&target).with_context(|| target.display().to_string())?;
    let none = None::<&str>;
    mount(Some(modules), &target, none, MsFlags::MS_BIND, none)
        .context("mounting the kernel's modules")
}

/// As a login has them: many files, memory that BPF maps may lock (counted below 5.11).
fn set_limits() -> Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, 1024, 1 << 20)?;
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)?;
    Ok(())
}

fn run_quietly(program: &str, args: &[&str]) -> Result<()> {
    let status = Command::new(program)
        .args(args)
        .status()
        .with_context(|| program.to_owned())?;
    if !status.success() {
        bail!("{program} {}: {status}", args.join(" "));
    }
    Ok(())
}

fn run(job: &Job, port: &Port) -> Result<i32> {
    let now = Duration::from_nanos(job.realtime_ns);
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(now))
        .context("setting the clock")?;
    let mut words = job.argv.iter().cloned().map(OsString::from_vec);
    let program = words.next().context("no command")?;
    let cwd = PathBuf::from(OsString::from_vec(job.cwd.clone()));
    let mut command = Command::new(&program);
    command
        .args(words)
        .env_clear()
        .envs(job.env.iter().map(|(name, value)| {
            (
                OsString::from_vec(name.clone()),
                OsString::from_vec(value.clone()),
            )
        }))
        .current_dir(if cwd.is_dir() { &cwd } else { Path::new("/") })
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => follow(child, port),
        Err(error) => {
            let text = format!("xtask: cannot run {}: {error}\n", program.display());
            send(port, Frame::Err(text.into_bytes()))?;
            // As a shell says it: not found, or found and not to be run.
            Ok(if error.kind() == ErrorKind::NotFound {
                127
            } else {
                126
            })
        }
    }
}

fn follow(mut child: Child, port: &Port) -> Result<i32> {
    let (sender, events) = channel();
    pump(
        child.stdout.take(),
        Arc::clone(port),
        sender.clone(),
        Frame::Out,
    );
    pump(child.stderr.take(), Arc::clone(port), sender, Frame::Err);
    let code = reap_until(Pid::from_raw(i32::try_from(child.id())?))?;
    wait_for_late_output(&events);
    Ok(code)
}

/// Waits for `child`, and meanwhile for every orphan, as is PID 1's duty.
fn reap_until(child: Pid) -> Result<i32> {
    loop {
        match wait()? {
            WaitStatus::Exited(pid, code) if pid == child => return Ok(code),
            WaitStatus::Signaled(pid, signal, _) if pid == child => return Ok(128 + signal as i32),
            _ => {}
        }
    }
}

/// The pumps send an event for every piece of output and hang up when the output is closed.
fn wait_for_late_output(events: &Receiver<()>) {
    while events.recv_timeout(LATE_OUTPUT).is_ok() {}
}

fn pump(
    source: Option<impl Read + Send + 'static>,
    port: Port,
    sender: Sender<()>,
    frame: fn(Vec<u8>) -> Frame,
) {
    let Some(mut source) = source else { return };
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            if send(&port, frame(buffer[..count].to_vec())).is_err() || sender.send(()).is_err() {
                return;
            }
        }
    });
}

fn send(port: &Port, frame: Frame) -> Result<()> {
    match port.lock() {
        Ok(mut port) => frame.write(&mut *port),
        Err(_) => bail!("a thread died while it wrote to the port"),
    }
}
