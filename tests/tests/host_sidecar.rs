//! `netchaos run` as a sidecar runs it: inside the namespace, with the capabilities that a container
//! can have without being privileged. On whatever kernel this machine has.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use netchaos_tests::{
    command::run,
    foreign::{self, Tcx, Verdict},
    lab::{Lab, ms, peer},
    name_server::NameServer,
    netchaos::program,
    probe::answers,
    running::Running,
};
use nix::sys::signal::Signal;

/// What laying a fault takes, and nothing more.
const LEAST: &str = "+net_admin,+bpf,+perfmon";
const AT: &str = "10.77.0.9";

/// `netchaos run ARGS` with [`LEAST`], once `cut` is cut off.
#[track_caller]
fn start(lab: &Lab, args: &str, cut: &str) -> Running {
    let run = Running::new(lab.start_limited(LEAST, &format!("run {args}")));
    wait_until_cut(lab, cut);
    run
}

#[track_caller]
fn wait_until_cut(lab: &Lab, to: &str) {
    let begin = Instant::now();
    while lab.client.run(|| answers(peer(to))) {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{to} is never cut off"
        );
        thread::sleep(ms(50));
    }
}

#[test]
fn a_run_without_the_right_to_open_programs_lays_follows_names_and_takes_away() {
    Lab::test_with(&[], |lab| {
        lab.write_etc("resolv.conf", &format!("nameserver {AT}\n"));
        let at: IpAddr = AT.parse().expect("an address");
        let names: &[(&str, &[&str])] = &[("db.example.", &["10.77.0.3", "fd77::3"])];
        let server = NameServer::start_with_ttl(&lab.peer, at, names, 1);
        let mut run = start(
            lab,
            "cut --partition --direction both --to db.example",
            "10.77.0.3",
        );
        lab.assert_cut("at first", &[("fd77::3", true), ("10.77.0.4", false)]);
        server.set(&[("db.example.", &["10.77.0.4"])]);
        wait_until_cut(lab, "10.77.0.4");
        lab.assert_cut(
            "followed",
            &[
                ("10.77.0.3", true),
                ("fd77::3", true),
                ("10.77.0.5", false),
                (AT, false),
            ],
        );
        // Whoever has the right works beside it.
        lab.netchaos("target add cut 10.77.0.5").ok();
        lab.assert_cut("by hand", &[("10.77.0.5", true)]);
        let counted = lab.counted("cut").to;
        assert!(counted.dropped > 0, "{counted:?}");
        // Others without it say what they lack, and leave all as it is.
        for args in [
            "list",
            "show cut",
            "remove cut",
            "run other --loss 5% --to fd77::5",
        ] {
            lab.limited(LEAST, args)
                .fails_with(3)
                .says(&["CAP_SYS_ADMIN"]);
        }
        lab.assert_cut("still", &[("10.77.0.3", true), ("fd77::5", false)]);
        assert!(!run.has_ended());
        run.end(Signal::SIGTERM);
        lab.assert_nothing_left();
        lab.assert_cut("afterwards", &[("10.77.0.3", false), ("10.77.0.5", false)]);
    });
}

#[test]
fn a_run_with_few_rights_knows_its_own_beside_programs_of_others() {
    Lab::test_with(&[], |lab| {
        let foreign = foreign::load(Verdict::GoesOn);
        for hook in [Tcx::Ingress, Tcx::Egress] {
            lab.client.run(|| foreign::attach(&foreign, hook));
        }
        lab.is_the_users();
        for direction in ["to", "from", "both"] {
            let args = format!("cut --partition --direction {direction} --to 10.77.0.3");
            let run = start(lab, &args, "10.77.0.3");
            lab.assert_cut(direction, &[("10.77.0.4", false)]);
            run.end(Signal::SIGINT);
            lab.assert_nothing_left();
        }
    });
}

#[test]
fn a_run_with_few_rights_ends_with_its_experiments() {
    Lab::test_with(&[], |lab| {
        lab.limited(LEAST, "run cut --partition --to 10.77.0.3 --for 2s")
            .ok()
            .says(&["cut created"]);
        lab.assert_nothing_left();
    });
}

#[test]
fn what_a_killed_run_with_few_rights_leaves_is_healed_and_another_one_runs() {
    Lab::test_with(&[], |lab| {
        let args = "cut --partition --to 10.77.0.3";
        start(lab, args, "10.77.0.3").end(Signal::SIGKILL);
        lab.assert_cut("killed", &[("10.77.0.3", true)]);
        lab.limited(LEAST, &format!("run {args}"))
            .fails_with(3)
            .says(&["netchaos heal"]);
        // Where a program is at tcx it stays, and lets all pass: the right to tell whose it is is
        // missing.
        let healed = lab.limited(LEAST, "heal");
        assert!(
            healed.status.success() || healed.stderr.contains("CAP_SYS_ADMIN"),
            "{healed}"
        );
        lab.assert_cut("healed", &[("10.77.0.3", false)]);
        start(lab, args, "10.77.0.3").end(Signal::SIGKILL);
        // A container that is started anew has one command.
        start(lab, &format!("{args} --heal"), "10.77.0.3").end(Signal::SIGTERM);
        lab.assert_cut("another one", &[("10.77.0.3", false)]);
        lab.netchaos("heal").ok();
        lab.assert_nothing_left();
    });
}

#[test]
fn what_is_missing_is_named_before_anything_is_changed() {
    Lab::test_with(&[], |lab| {
        let args = "add cut --partition --to 10.77.0.3";
        for (capabilities, missing) in [
            ("", &["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"][..]),
            ("+bpf,+perfmon", &["CAP_NET_ADMIN"]),
            ("+net_admin,+perfmon", &["CAP_BPF"]),
            ("+net_admin,+bpf", &["CAP_PERFMON"]),
            ("+sys_admin", &["CAP_NET_ADMIN"]),
        ] {
            let done = lab.limited(capabilities, args).fails_with(3);
            for name in ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"] {
                assert_eq!(
                    done.stderr.contains(name),
                    missing.contains(&name),
                    "{name}: {done}"
                );
            }
            lab.assert_nothing_left();
        }
        // As root of a user namespace of its own, which has all of them.
        let program = program();
        let words: Vec<&str> = ["-Ur", &program]
            .into_iter()
            .chain(args.split(' '))
            .collect();
        let done = lab.client.run(|| run("unshare", &words));
        done.fails_with(3).says(&["user namespace"]);
        lab.assert_nothing_left();
        lab.limited("+net_admin,+sys_admin", args).ok();
        lab.assert_cut("with enough", &[("10.77.0.3", true)]);
    });
}
