//! Running a program so that the kernel kills it, with SIGSYS, where it starts a process or another
//! program. Threads it may have.

use std::{
    env,
    ffi::CString,
    io, mem,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Output, Stdio},
    ptr,
};

/// Where things are in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const FIRST_ARGUMENT: u32 = 16;

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

const fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    let code = code as u16;
    libc::sock_filter { code, jt, jf, k }
}

/// Kills whoever starts a process or a program, but for the one whose name lies at `program`: it is
/// this process's own name for it, which is gone with this process's memory.
fn filter(program: u64) -> Vec<libc::sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUALS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const HAS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    let returns = |what| statement(libc::BPF_RET | libc::BPF_K, what);
    let kill = || returns(libc::SECCOMP_RET_KILL_PROCESS);
    let allow = || returns(libc::SECCOMP_RET_ALLOW);
    let mut filter = vec![
        statement(LOAD, NUMBER),
        // Its flags lie in memory, where no filter looks. Who is refused it takes clone(2).
        jump(EQUALS, libc::SYS_clone3 as u32, 0, 1),
        returns(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        jump(EQUALS, libc::SYS_clone as u32, 0, 4),
        statement(LOAD, FIRST_ARGUMENT),
        jump(HAS, libc::CLONE_THREAD as u32, 0, 1),
        allow(),
        kill(),
        jump(EQUALS, libc::SYS_execveat as u32, 0, 1),
        kill(),
    ];
    #[cfg(target_arch = "x86_64")]
    for call in [libc::SYS_fork, libc::SYS_vfork] {
        filter.extend([jump(EQUALS, call as u32, 0, 1), kill()]);
    }
    filter.extend([
        jump(EQUALS, libc::SYS_execve as u32, 1, 0),
        allow(),
        statement(LOAD, FIRST_ARGUMENT),
        jump(EQUALS, program as u32, 0, 3),
        statement(LOAD, FIRST_ARGUMENT + 4),
        jump(EQUALS, (program >> 32) as u32, 0, 1),
        allow(),
        kill(),
    ]);
    filter
}

/// Runs it to its end.
///
/// # Panics
/// When it cannot be started.
#[track_caller]
pub fn run(program: &str, args: &[&str]) -> Output {
    let text = |text: &str| CString::new(text).expect("no zero in it");
    let name = text(&found(program));
    let words: Vec<CString> = [program]
        .iter()
        .chain(args)
        .map(|word| text(word))
        .collect();
    let mut pointers: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(ptr::null());
    let pointers = pointers
        .into_iter()
        .map(|pointer| pointer as usize)
        .collect::<Vec<_>>();
    let mut code = filter(name.as_ptr() as u64);
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    // SAFETY: between fork and exec it makes two system calls on memory that was prepared before, and
    // allocates nothing. What the pointers lead to lives until the command has been started.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog {
                len: code.len() as u16,
                filter: code.as_mut_ptr(),
            };
            let mode = libc::SECCOMP_MODE_FILTER;
            let is_set = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, mode, ptr::from_ref(&program)) == 0;
            if is_set {
                libc::execv(name.as_ptr(), pointers.as_ptr().cast());
            }
            Err(io::Error::last_os_error())
        });
    }
    let output = command.output();
    mem::drop(words);
    output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
}

/// The path of a program.
#[track_caller]
fn found(program: &str) -> String {
    if program.contains('/') {
        return program.to_owned();
    }
    let folders = env::var("PATH").expect("a PATH");
    let mut paths = folders
        .split(':')
        .map(|folder| format!("{folder}/{program}"));
    paths
        .find(|path| Path::new(path).exists())
        .unwrap_or_else(|| panic!("no {program} in PATH"))
}
