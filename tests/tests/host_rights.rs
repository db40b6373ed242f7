//! What netchaos may do: with less than it needs it says what for, and what it does not need it gives
//! up. It runs no other program.

use std::{fs, os::unix::process::ExitStatusExt as _, process::Output, thread};

use netchaos_tests::{
    command::{run, start, words},
    lab::{Lab, ms, peer},
    netchaos::{limited, netchaos, program, start_netchaos},
    no_children,
    probe::answers,
    rights,
    running::Running,
};
use nix::sys::signal::Signal;

#[track_caller]
fn wait_until_cut(lab: &Lab) {
    for _ in 0..600 {
        if !lab.client.run(|| answers(peer("10.77.0.3"))) {
            return;
        }
        thread::sleep(ms(50));
    }
    panic!("it is never cut off");
}

#[test]
fn a_run_keeps_no_more_rights_than_it_needs_in_any_thread() {
    Lab::test_with(&[], |lab| {
        let cut = "run cut --partition --to 10.77.0.3";
        let holder = Running::new(lab.client.run(|| start("sleep", &["600"])));
        for (by_pid, allowed) in [(false, rights::TO_WORK), (true, rights::TO_LOOK)] {
            let run = Running::new(if by_pid {
                let at = format!("{cut} --pid {}", holder.pid());
                start_netchaos(&words(&at))
            } else {
                lab.start_netchaos(cut)
            });
            wait_until_cut(lab);
            rights::assert_few(run.pid(), allowed);
            run.end(Signal::SIGTERM);
            lab.assert_nothing_left();
        }
    });
}

#[test]
fn a_run_with_few_rights_has_no_more_than_those() {
    Lab::test_with(&[], |lab| {
        let few = "+net_admin,+bpf,+perfmon";
        let run = lab.start_limited(few, "run cut --partition --to 10.77.0.3");
        let run = Running::new(run);
        wait_until_cut(lab);
        for held in rights::of_threads(run.pid(), "CapPrm") {
            assert_eq!(
                held,
                rights::NET_ADMIN | rights::PERFMON | rights::BPF,
                "{held:x}"
            );
        }
        run.end(Signal::SIGTERM);
        lab.assert_nothing_left();
    });
}

#[test]
fn every_command_says_which_right_is_missing() {
    Lab::test_with(&[], |lab| {
        lab.netchaos("add cut --partition --to 10.77.0.3").ok();
        let manifest = std::env::temp_dir().join(format!("{}.yaml", lab.client.name()));
        let text = "apiVersion: netchaos/v1\nkind: Experiment\nname: other\nfault: { partition: true }\n\
                    to: [10.77.0.5]\n";
        fs::write(&manifest, text).expect("there is room");
        let apply = format!("apply -f {}", manifest.display());
        for command in [
            "list",
            "show cut",
            "explain cut",
            "target list cut",
            "target add cut 10.77.0.4",
            "target remove cut 10.77.0.4",
            "change cut --loss 5% --partition=none",
            "pause cut",
            "resume cut",
            "remove cut",
            "remove --all",
            "add other --partition --to 10.77.0.5",
            "run other --partition --to 10.77.0.5",
            apply.as_str(),
            "doctor",
        ] {
            for (held, missing) in [
                ("", &["CAP_NET_ADMIN", "CAP_SYS_ADMIN"][..]),
                ("+net_admin,+bpf,+perfmon", &["CAP_SYS_ADMIN"]),
            ] {
                let done = lab.limited(held, command).fails_with(3);
                done.says(missing);
            }
        }
        // Faults elsewhere, and those that only a look into a process finds.
        let pid_1 = ["list", "--pid", "1"];
        let named = ["list", "--netns", lab.peer.name()];
        for (held, args, missing) in [
            ("+net_admin,+sys_admin", pid_1, "CAP_SYS_PTRACE"),
            ("+net_admin", named, "CAP_SYS_ADMIN"),
        ] {
            let limited = limited(held, &args);
            let words: Vec<&str> = limited.iter().map(String::as_str).collect();
            let done = lab.client.run(|| run("setpriv", &words));
            done.fails_with(3).says(&[missing]);
        }
        lab.assert_cut(
            "still",
            &[
                ("10.77.0.3", true),
                ("10.77.0.4", false),
                ("10.77.0.5", false),
            ],
        );
        lab.limited("", "heal")
            .fails_with(3)
            .says(&["CAP_NET_ADMIN"]);
        lab.netchaos("remove cut").ok();
        fs::remove_file(manifest).expect("it is ours");
    });
}

/// Runs `netchaos ARGS` so that the kernel kills it where it starts a process or a program.
#[track_caller]
fn without_children(lab: &Lab, args: &str) -> Output {
    let place = ["--netns", lab.client.name()];
    let args: Vec<&str> = args.split(' ').chain(place).collect();
    let output = no_children::run(&program(), &args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    output
}

#[test]
fn no_command_starts_a_process_or_a_program() {
    Lab::test_with(&[], |lab| {
        // The rig itself: who starts one is killed, also by way of posix_spawn(3).
        for script in ["/bin/true; :", "/bin/true | /bin/true", "exec /bin/true"] {
            let output = no_children::run("/bin/sh", &["-c", script]);
            assert_eq!(
                output.status.signal(),
                Some(libc::SIGSYS),
                "{script}: {output:?}"
            );
        }
        assert!(no_children::run("/bin/true", &[]).status.success());
        lab.write_etc("hosts", "10.77.0.3 db.example\n");
        for args in [
            "add cut --partition --direction both --to db.example",
            "list",
            "show cut",
            "explain cut",
            "target add cut 10.77.0.4",
            "target list cut",
            "target remove cut 10.77.0.4",
            "change cut --loss 5% --partition=none",
            "pause cut",
            "resume cut",
            "add other --loss 50% --to 10.77.0.5 --dry-run",
            "doctor",
            "doctor --clean",
            "remove cut",
            "run brief --partition --to db.example --for 1s",
            "add cut --partition --to 10.77.0.3",
            "heal",
        ] {
            without_children(lab, args);
        }
        for args in [&["list", "--all"][..], &["doctor"]] {
            // Others' namespaces may not be what they should be.
            let output = no_children::run(&program(), args);
            assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
        }
        netchaos(&["heal", "--netns", lab.client.name()]).ok();
        lab.assert_nothing_left();
    });
}
