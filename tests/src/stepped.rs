//! netchaos, stopped between any two of its system calls: to be killed there, or to have somebody
//! else do something there.
//!
//! A process changes the world by system calls alone, so between two of them that can change
//! something outside it every moment is as good as any other: a kill there finds the same kernel.
//! Calls that change nothing but the process itself, or only ask, are let through; whatever is not
//! known to be one of those counts, so that a call that netchaos learns some day is not forgotten.
//! What dies with its last descriptor (a new map, a program that was only loaded, a lock) is no
//! change either. `NETCHAOS_EVERY_CALL=1` stops at each and every call, whatever it does.
//!
//! A seccomp filter stops the process (SECCOMP_RET_TRACE), and ptrace(2) says so: the calls that
//! are let through cost nothing.

use std::{
    env, fmt,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::{fs::FileExt as _, process::CommandExt as _},
    process::{Child, Command, Stdio},
};

use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::netchaos::program;

/// System calls that change nothing outside the process: its memory, its descriptors, its threads,
/// reading and waiting. A socket's options and names are the process' own; `setns` moves a thread;
/// a lock that it takes goes with it.
const HARMLESS: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_close,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_create1,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_newfstatat,
    libc::SYS_access,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_flock,
    libc::SYS_setns,
    libc::SYS_membarrier,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_eventfd2,
    libc::SYS_clone3,
    libc::SYS_clone,
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_arch_prctl,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_geteuid,
    libc::SYS_uname,
    libc::SYS_restart_syscall,
];

/// Commands of bpf(2) that only ask, and those that make what goes with its descriptor (linux/bpf.h):
/// MAP_CREATE, MAP_LOOKUP_ELEM, MAP_GET_NEXT_KEY, PROG_LOAD, PROG_GET_NEXT_ID, MAP_GET_NEXT_ID,
/// PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD, PROG_QUERY, BTF_LOAD,
/// MAP_LOOKUP_BATCH.
const HARMLESS_OF_BPF: &[u32] = &[0, 1, 4, 5, 11, 12, 13, 14, 15, 16, 18, 24];

/// What the process is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command of bpf(2), and the descriptor that it is about (of a map, mostly).
    Bpf { command: u32, about: u32 },
    /// A message of rtnetlink.
    Netlink(u16),
    /// Another system call, and its first argument.
    Other(u64, u64),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bpf { command, about } => match command {
                2 => write!(f, "BPF_MAP_UPDATE_ELEM of {about}"),
                3 => write!(f, "BPF_MAP_DELETE_ELEM of {about}"),
                8 => write!(f, "BPF_PROG_ATTACH at {about}"),
                9 => write!(f, "BPF_PROG_DETACH from {about}"),
                _ => write!(f, "bpf({command}, {about})"),
            },
            Self::Netlink(kind) => match *kind {
                libc::RTM_NEWLINK => write!(f, "RTM_NEWLINK"),
                libc::RTM_DELLINK => write!(f, "RTM_DELLINK"),
                libc::RTM_SETLINK => write!(f, "RTM_SETLINK"),
                libc::RTM_NEWQDISC => write!(f, "RTM_NEWQDISC"),
                libc::RTM_DELQDISC => write!(f, "RTM_DELQDISC"),
                libc::RTM_NEWTFILTER => write!(f, "RTM_NEWTFILTER"),
                libc::RTM_DELTFILTER => write!(f, "RTM_DELTFILTER"),
                other => write!(f, "netlink message {other}"),
            },
            Self::Other(number, argument) => write!(f, "system call {number}({argument})"),
        }
    }
}

/// What to do with a process that stands before a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    GoOn,
    Kill,
}

/// How a stepped run went.
pub struct Walk {
    /// The steps that it stood before, in their order.
    pub steps: Vec<Step>,
    /// None where it was killed.
    pub code: Option<i32>,
    pub stderr: String,
}

/// Runs `netchaos ARGS`, and asks `at` before each step that can change something, by its number
/// from 0 on.
///
/// # Panics
/// When it cannot be started or traced.
#[track_caller]
#[expect(clippy::zombie_processes, reason = "waitpid(2) takes it")]
pub fn walk(args: &[&str], mut at: impl FnMut(usize, &Step) -> Then) -> Walk {
    let every = env::var_os("NETCHAOS_EVERY_CALL").is_some();
    let mut child = start(args, every);
    let pid = Pid::from_raw(child.id() as i32);
    let options =
        Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACESECCOMP;
    let stopped = waitpid(pid, None).expect("a child can be waited for");
    assert!(
        matches!(stopped, WaitStatus::Stopped(_, Signal::SIGTRAP)),
        "{stopped:?}"
    );
    ptrace::setoptions(pid, options).expect("a child that stands still can be traced");
    go_on(pid, None);
    let mut steps = Vec::new();
    let code = loop {
        // Threads of it, and nobody else's children.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        match waitpid(None, Some(flags)).expect("a child can be waited for") {
            WaitStatus::PtraceEvent(thread, _, libc::PTRACE_EVENT_SECCOMP) => {
                let step = step_of(thread);
                let Some(step) = step.filter(|step| every || !step.is_harmless(pid)) else {
                    go_on(thread, None);
                    continue;
                };
                let then = at(steps.len(), &step);
                steps.push(step);
                match then {
                    Then::GoOn => go_on(thread, None),
                    // The call is not carried out any more (kernel/seccomp.c).
                    Then::Kill => kill(pid, Signal::SIGKILL).expect("it is there"),
                }
            }
            WaitStatus::Exited(ended, code) if ended == pid => break Some(code),
            WaitStatus::Signaled(ended, ..) if ended == pid => break None,
            WaitStatus::Stopped(thread, Signal::SIGSTOP | Signal::SIGTRAP)
            | WaitStatus::PtraceEvent(thread, ..) => go_on(thread, None),
            WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal)),
            // A thread has ended.
            _ => {}
        }
    };
    let mut stderr = String::new();
    let mut pipe = child.stderr.take().expect("piped");
    // What is no UTF-8 is cut there.
    let _ = pipe.read_to_string(&mut stderr);
    Walk {
        steps,
        code,
        stderr,
    }
}

/// Kills `netchaos ARGS` before its step of that number; false where it has fewer.
///
/// # Panics
/// As [`walk`].
#[track_caller]
pub fn killed_before(step: usize, args: &[&str]) -> bool {
    let walk = walk(args, |number, _| match number == step {
        true => Then::Kill,
        false => Then::GoOn,
    });
    walk.code.is_none()
}

fn go_on(thread: Pid, signal: Option<Signal>) {
    match ptrace::cont(thread, signal) {
        // It has been killed meanwhile.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("a thread that stands still goes on: {errno}"),
    }
}

fn start(args: &[&str], every: bool) -> Child {
    let filter = filter(every);
    let traced = move || {
        ptrace::traceme()?;
        install(&filter)
    };
    let mut command = Command::new(program());
    command
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(traced) };
    let child = command.spawn();
    child.unwrap_or_else(|error| panic!("cannot trace {}: {error}", program()))
}

/// Where `struct seccomp_data` (linux/seccomp.h) has the number and the first argument.
const NUMBER: u32 = 0;
const ARGUMENT: u32 = 16;

/// Classic BPF: calls that are harmless are allowed, others stop the process.
fn filter(every: bool) -> Vec<libc::sock_filter> {
    let instruction = |code: u32, value: u32, yes: usize, no: usize| libc::sock_filter {
        code: code as u16,
        jt: yes as u8,
        jf: no as u8,
        k: value,
    };
    let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    let equals =
        |value, yes, no| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, yes, no);
    let give = |what| instruction(libc::BPF_RET | libc::BPF_K, what, 0, 0);
    // The call that starts it all, and the one before which there is nothing left to be killed.
    let (calls, commands): (&[libc::c_long], &[u32]) = match every {
        true => (&[libc::SYS_execve, libc::SYS_exit_group], &[]),
        false => (HARMLESS, HARMLESS_OF_BPF),
    };
    let mut program = vec![load(NUMBER)];
    for (index, call) in calls.iter().enumerate() {
        // Over the rest of the calls, three instructions about bpf(2), its commands, and the stop.
        let to_the_end = calls.len() - index - 1 + 2 + commands.len() + 1;
        program.push(equals(*call as u32, to_the_end, 0));
    }
    program.push(equals(libc::SYS_bpf as u32, 0, commands.len() + 1));
    program.push(load(ARGUMENT));
    for (index, command) in commands.iter().enumerate() {
        program.push(equals(*command, commands.len() - index, 0));
    }
    program.push(give(libc::SECCOMP_RET_TRACE));
    program.push(give(libc::SECCOMP_RET_ALLOW));
    program
}

/// seccomp(2), on the calling process.
fn install(filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies as many instructions as it is told, and all of them are there.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            std::ptr::from_ref(&program),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What a thread stands before; none where it has been killed meanwhile.
fn step_of(thread: Pid) -> Option<Step> {
    let info = ptrace::syscall_info(thread).ok()?;
    // SAFETY: at a stop by seccomp this is the part that the kernel fills (ptrace(2),
    // PTRACE_SYSCALL_INFO_SECCOMP).
    let call = unsafe { info.u.seccomp };
    let [first, second, third, ..] = call.args;
    let number = call.nr as libc::c_long;
    Some(match number {
        libc::SYS_bpf => Step::Bpf {
            command: first as u32,
            about: read(thread, second).map_or(0, u32::from_ne_bytes),
        },
        libc::SYS_sendto if third >= 16 => match read(thread, second + 4) {
            Some(kind) if is_netlink(thread, first) => Step::Netlink(u16::from_ne_bytes(kind)),
            _ => Step::Other(call.nr, first),
        },
        _ => Step::Other(call.nr, first),
    })
}

impl Step {
    /// The filter sees numbers alone; this sees what they mean.
    fn is_harmless(&self, pid: Pid) -> bool {
        match self {
            // RTM_GET…: of each four the third (linux/rtnetlink.h).
            Self::Netlink(kind) => *kind >= libc::RTM_NEWLINK && kind & 3 == 2,
            // Waking a thread of its own.
            Self::Other(number, descriptor) if *number == libc::SYS_write as u64 => {
                target(pid, *descriptor) == "anon_inode:[eventfd]"
            }
            _ => false,
        }
    }
}

fn is_netlink(thread: Pid, descriptor: u64) -> bool {
    let text = target(thread, descriptor);
    let inode = text
        .strip_prefix("socket:[")
        .map(|rest| rest.trim_end_matches(']'));
    let Some(inode) = inode else { return false };
    let sockets = fs::read_to_string(format!("/proc/{thread}/net/netlink")).unwrap_or_default();
    sockets
        .lines()
        .any(|line| line.split_ascii_whitespace().next_back() == Some(inode))
}

/// What a descriptor leads to.
fn target(pid: Pid, descriptor: u64) -> String {
    let target = fs::read_link(format!("/proc/{pid}/fd/{descriptor}"));
    target.map_or_else(
        |_| String::new(),
        |path| path.to_string_lossy().into_owned(),
    )
}

fn read<const N: usize>(thread: Pid, address: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let memory = File::open(format!("/proc/{thread}/mem")).ok()?;
    memory.read_exact_at(&mut bytes, address).ok()?;
    Some(bytes)
}

/// The steps before which a kill is worth its while where not all can be had: in a row of steps of
/// one kind (a map that is filled) the first two, the last, and one that `pick` chooses from as many as there are between
/// them.
pub fn worth_a_kill(steps: &[Step], mut pick: impl FnMut(usize) -> usize) -> Vec<usize> {
    let mut chosen = Vec::new();
    let mut begin = 0;
    for row in steps.chunk_by(|one, other| one == other) {
        let end = begin + row.len();
        match row.len() {
            0..=4 => chosen.extend(begin..end),
            length => {
                let between = begin + 2 + pick(length - 3);
                chosen.extend([begin, begin + 1, between, end - 1]);
            }
        }
        begin = end;
    }
    chosen
}
