//! netchaos killed, and its things broken by others: traffic goes on, and heal takes all away.

use std::{
    fs::File,
    thread,
    time::{Duration, Instant},
};

use netchaos::kernel::{bpf::tcx, netlink::Hook};
use netchaos_tests::lab::{DEVICE, Lab, ms};
use nix::{
    fcntl::{Flock, FlockArg},
    net::if_::if_nametoindex,
};

const ADD: &str = "add slow --delay 100ms --to 10.77.0.3 10.77.0.4/30 fd77::3";

/// Kills `netchaos ARGS` after so long. True when it was still running.
fn killed(lab: &Lab, args: &str, after: Duration) -> bool {
    let mut child = lab.start_netchaos(args);
    thread::sleep(after);
    let running = child
        .try_wait()
        .expect("a child can be waited for")
        .is_none();
    child.kill().expect("a child can be killed");
    child.wait().expect("a child can be waited for");
    running
}

fn time_of(lab: &Lab, args: &str) -> Duration {
    let before = Instant::now();
    lab.netchaos(args).ok();
    before.elapsed()
}

/// Whatever state the kill has left, traffic passes: delayed or not, never lost.
fn assert_traffic_passes(lab: &Lab, when: Duration) {
    for to in ["10.77.0.3", "10.77.0.2"] {
        let round_trips = lab.round_trips(to, 2);
        assert_eq!(round_trips.lost, 0, "{to}, killed after {when:?}");
    }
}

#[test]
fn add_killed_at_any_moment_is_healed_without_a_trace() {
    Lab::test(&[], |lab| {
        const KILLS: u32 = 30;
        let usual = time_of(lab, ADD);
        lab.netchaos("heal").ok();
        lab.assert_nothing_left();
        let mut in_the_middle = 0;
        for kill in 0..KILLS {
            let after = usual * kill / (KILLS - 2);
            in_the_middle += u32::from(killed(lab, ADD, after));
            assert_traffic_passes(lab, after);
            lab.netchaos("heal").ok();
            lab.assert_nothing_left();
        }
        println!("{in_the_middle} of {KILLS} kills in the middle, {usual:?} the usual time");
        assert!(in_the_middle >= KILLS / 3, "{in_the_middle} kills hit");
    });
}

#[test]
fn remove_killed_at_any_moment_is_healed_without_a_trace() {
    Lab::test(&[], |lab| {
        const KILLS: u32 = 10;
        lab.netchaos(ADD).ok();
        let usual = time_of(lab, "remove slow");
        let mut in_the_middle = 0;
        for kill in 0..KILLS {
            lab.netchaos(ADD).ok();
            let after = usual * kill / (KILLS - 1);
            in_the_middle += u32::from(killed(lab, "remove slow", after));
            assert_traffic_passes(lab, after);
            lab.netchaos("heal").ok();
            lab.assert_nothing_left();
        }
        assert!(in_the_middle >= KILLS / 3, "{in_the_middle} kills hit");
    });
}

#[test]
fn a_second_experiment_killed_while_added_leaves_the_first_at_work() {
    Lab::test(&[], |lab| {
        lab.netchaos(ADD).ok();
        let second = "add second --delay 50ms --to 10.77.0.3";
        let usual = time_of(lab, second);
        lab.netchaos("remove second").ok();
        for part in 1..6 {
            killed(lab, second, usual * part / 6);
            let round_trips = lab.round_trips("10.77.0.3", 3);
            assert_eq!(round_trips.lost, 0);
            assert!(
                round_trips.shortest() >= ms(100),
                "the first is gone: {round_trips}"
            );
            // The next call works with what the killed one has left, whatever that is.
            lab.netchaos("change slow --delay 100ms").ok();
            lab.netchaos("list").ok().says(&["slow"]);
            let names = lab.netchaos("list -o json").ok().json();
            if names.as_array().is_some_and(|list| list.len() == 2) {
                lab.netchaos("remove second").ok();
            }
            lab.assert_delayed("10.77.0.3", ms(100));
        }
    });
}

/// What somebody does to netchaos' things.
type Breakage = fn(&Lab);

#[test]
fn heal_takes_everything_away_from_whatever_others_have_broken() {
    Lab::test(&[], |lab| {
        let breakages: [(&str, Breakage); 6] = [
            ("nothing", |_| ()),
            ("the macvlan is deleted", |lab| {
                lab.client
                    .ip(&format!("link del {}", of_kind(lab, "macvlan")));
            }),
            ("the dummy is deleted", |lab| {
                lab.client
                    .ip(&format!("link del {}", of_kind(lab, "dummy")));
            }),
            ("the device's program is detached", detach_program),
            ("the tree is deleted", |lab| {
                lab.client
                    .tc(&format!("qdisc del dev {} root", of_kind(lab, "macvlan")));
            }),
            ("the dummy's clsact is deleted", |lab| {
                lab.client
                    .tc(&format!("qdisc del dev {} clsact", of_kind(lab, "dummy")));
            }),
        ];
        for (what, breakage) in breakages {
            lab.netchaos(ADD).ok();
            breakage(lab);
            lab.netchaos("heal").ok();
            println!("{what}: healed");
            lab.assert_nothing_left();
            lab.assert_prompt("10.77.0.3");
        }
        // Nothing to heal is healed.
        lab.netchaos("heal").ok();
    });
}

/// Takes netchaos' program off the device: from tcx, or with all of clsact where it is there.
fn detach_program(lab: &Lab) {
    if lab
        .client
        .tc(&format!("qdisc show dev {DEVICE}"))
        .contains("clsact")
    {
        lab.client.tc(&format!("qdisc del dev {DEVICE} clsact"));
        return;
    }
    lab.client.run(|| {
        let index = if_nametoindex(DEVICE).expect("the device is there");
        let programs = tcx::programs(index, Hook::Egress).expect("root can ask");
        let programs = programs.expect("without clsact there is tcx");
        let id = programs.first().expect("netchaos' program is there");
        tcx::detach(*id, index, Hook::Egress).expect("root can detach it");
    });
}

/// The netchaos device of this kind (`ip -d link`).
fn of_kind(lab: &Lab, kind: &str) -> String {
    let links = netchaos_tests::command::run(
        "ip",
        &[
            "-n",
            lab.client.name(),
            "-d",
            "-j",
            "link",
            "show",
            "type",
            kind,
        ],
    );
    let links = links.ok().json();
    let name = links
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|link| link["ifname"].as_str());
    name.unwrap_or_else(|| panic!("no {kind} in {links:#}"))
        .to_owned()
}

#[test]
fn packets_pass_when_somebody_has_deleted_the_pair_or_the_filter() {
    Lab::test(&[], |lab| {
        lab.netchaos(ADD).ok();
        lab.client
            .ip(&format!("link del {}", of_kind(lab, "macvlan")));
        lab.assert_prompt("10.77.0.3");
        lab.netchaos("list").ok().says(&["slow"]);
        lab.netchaos("heal").ok();

        lab.netchaos(ADD).ok();
        detach_program(lab);
        lab.assert_prompt("10.77.0.3");
        // Losing the filter loses the effect, not the state.
        lab.netchaos("list").ok().says(&["slow", "lost"]);
    });
}

#[test]
fn a_lock_that_a_stranger_holds_bounds_the_wait_names_him_and_does_not_stop_heal() {
    Lab::test(&[], |lab| {
        lab.netchaos(ADD).ok();
        let file = File::open(lab.client.path()).expect("the namespace is there");
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
        let lock = lock.expect("nobody else holds it");
        let own = std::process::id().to_string();
        lab.netchaos("add more --delay 50ms --to 10.77.0.3")
            .fails_with(1)
            .says(&[&own]);
        lab.assert_delayed("10.77.0.3", ms(100));
        lab.netchaos("heal").ok();
        lab.assert_nothing_left();
        drop(lock);
        lab.netchaos(ADD).ok();
    });
}
