//! `netchaos run`: faults for as long as it runs, and names that are followed meanwhile.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use netchaos_tests::{
    lab::{Lab, ms},
    name_server::NameServer,
    running::Running,
};
use nix::sys::signal::Signal;

const AT: &str = "10.77.0.9";
/// For an emulated processor.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts `netchaos run ARGS` and waits until the fault is there.
#[track_caller]
fn start(lab: &Lab, args: &str, delayed: &str) -> Running {
    let run = Running::new(lab.start_netchaos(&format!("run {args}")));
    wait_until(lab, delayed);
    run
}

/// Until a round trip to `to` takes 100 ms.
#[track_caller]
fn wait_until(lab: &Lab, to: &str) {
    let begin = Instant::now();
    while lab.round_trips(to, 1).shortest() < ms(100) {
        assert!(begin.elapsed() < PATIENCE, "{to} is never delayed");
        thread::sleep(ms(50));
    }
}

#[test]
fn run_takes_its_fault_away_at_sigint_and_sigterm() {
    Lab::test(&[], |lab| {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let run = start(
                lab,
                "slow --delay 100ms --to 10.77.0.3 fd77::3",
                "10.77.0.3",
            );
            lab.assert_delays("run", &[("fd77::3", 100), ("10.77.0.4", 0)]);
            run.end(signal);
            lab.assert_nothing_left();
            lab.assert_delays("afterwards", &[("10.77.0.3", 0), ("fd77::3", 0)]);
        }
    });
}

#[test]
fn what_a_killed_run_leaves_ends_in_time_and_is_swept_by_the_next_call() {
    Lab::test(&[], |lab| {
        let begin = Instant::now();
        let run = start(
            lab,
            "slow --delay 100ms --to 10.77.0.3 --for 8s",
            "10.77.0.3",
        );
        run.end(Signal::SIGKILL);
        lab.assert_delays("killed", &[("10.77.0.3", 100)]);
        lab.netchaos("list").ok().says(&["slow"]);
        // It was laid after `begin`; how long after is not known, but at most until it was seen.
        let end = Duration::from_secs(8) + PATIENCE;
        while lab.round_trips("10.77.0.3", 1).shortest() >= ms(100) {
            assert!(begin.elapsed() < end, "it does not end");
            thread::sleep(ms(100));
        }
        assert!(
            begin.elapsed() >= Duration::from_secs(8),
            "it ended too early"
        );
        // Any call that writes.
        lab.netchaos("add other --delay 100ms --to 10.77.0.4").ok();
        let list = lab.netchaos("list -o json").ok().json();
        assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
        lab.netchaos("remove other").ok();
        lab.assert_nothing_left();
    });
}

#[test]
fn a_name_is_followed_to_new_addresses_while_run_runs_and_old_ones_are_kept() {
    Lab::test(&[], |lab| {
        lab.write_etc("resolv.conf", &format!("nameserver {AT}\n"));
        let at: IpAddr = AT.parse().unwrap();
        let first: &[(&str, &[&str])] = &[("db.example.", &["10.77.0.3", "fd77::3"])];
        let server = NameServer::start_with_ttl(&lab.peer, at, first, 1);
        let run = start(lab, "slow --delay 100ms --to db.example", "10.77.0.3");
        lab.assert_delays(
            "at first",
            &[("fd77::3", 100), ("10.77.0.4", 0), ("fd77::5", 0)],
        );
        server.set(&[("db.example.", &["10.77.0.4", "fd77::5"])]);
        wait_until(lab, "10.77.0.4");
        wait_until(lab, "fd77::5");
        lab.assert_delays(
            "old and new",
            &[
                ("10.77.0.3", 100),
                ("fd77::3", 100),
                ("10.77.0.4", 100),
                ("fd77::5", 100),
                ("10.77.0.5", 0),
                (AT, 0),
            ],
        );
        lab.netchaos("list -o json")
            .ok()
            .says(&["10.77.0.4", "fd77::5"]);
        // A name that is gone is no reason to let anybody go.
        server.set(&[]);
        let asked = server.asked();
        let begin = Instant::now();
        while server.asked() < asked + 4 {
            assert!(
                begin.elapsed() < PATIENCE,
                "the name is not asked for any more"
            );
            thread::sleep(ms(100));
        }
        lab.assert_delays(
            "kept",
            &[("10.77.0.3", 100), ("10.77.0.4", 100), ("fd77::5", 100)],
        );
        run.end(Signal::SIGINT);
        lab.assert_nothing_left();
    });
}

#[test]
fn the_last_answer_is_kept_when_the_fault_itself_cuts_the_name_server_off() {
    Lab::test(&[], |lab| {
        lab.write_etc("resolv.conf", &format!("nameserver {AT}\n"));
        let at: IpAddr = AT.parse().unwrap();
        let names: &[(&str, &[&str])] = &[("db.example.", &["10.77.0.3"])];
        let server = NameServer::start_with_ttl(&lab.peer, at, names, 1);
        let mut run =
            Running::new(lab.start_netchaos(&format!("run cut --partition --to db.example {AT}")));
        let begin = Instant::now();
        let arrives = |to: &str| {
            lab.client
                .run(|| netchaos_tests::probe::tcp_connects(netchaos_tests::lab::peer(to), 1))
                .lost
                == 0
        };
        while arrives("10.77.0.3") {
            assert!(begin.elapsed() < PATIENCE, "it is never cut off");
        }
        let asked = server.asked();
        thread::sleep(Duration::from_secs(4));
        assert_eq!(server.asked(), asked, "questions get through");
        assert!(!run.has_ended(), "run has given up");
        assert!(!arrives("10.77.0.3"), "the address was let go");
        lab.assert_delays("others", &[("10.77.0.4", 0)]);
        run.end(Signal::SIGTERM);
        lab.assert_nothing_left();
    });
}
