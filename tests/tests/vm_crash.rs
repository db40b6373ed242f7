//! netchaos killed at steps of its calls, and its things broken by others: traffic goes on, and
//! heal takes all away. `host_crash` kills before every step; here there is a tree of qdiscs.

use netchaos::kernel::{bpf::tcx, netlink::Hook};
use netchaos_tests::{
    lab::{DEVICE, Lab, ms},
    lost,
    stepped::{Then, killed_before, walk, worth_a_kill},
};
use nix::net::if_::if_nametoindex;

const ADD: &str = "add slow --delay 100ms --to 10.77.0.3 10.77.0.4/30 fd77::3";
const SECOND: &str = "add second --delay 50ms --to 10.77.0.3";

fn words<'a>(lab: &'a Lab, args: &'a str) -> Vec<&'a str> {
    let words = args.split(' ');
    words.chain(["--netns", lab.client.name()]).collect()
}

/// So many steps of a call that can be killed, spread over it; the call has been done then.
fn steps(lab: &Lab, args: &str, count: usize) -> Vec<usize> {
    let whole = walk(&words(lab, args), |_, _| Then::GoOn);
    assert_eq!(whole.code, Some(0), "{args}: {}", whole.stderr);
    let worth = worth_a_kill(&whole.steps, |between| between / 2);
    assert!(worth.len() >= count, "{args}: {:?}", whole.steps);
    let spread = (0..count).map(|number| worth[number * worth.len() / count]);
    spread.collect()
}

/// Whatever state the kill has left, traffic passes: delayed or not, never lost.
fn assert_traffic_passes(lab: &Lab, what: &str) {
    for to in ["10.77.0.3", "10.77.0.2"] {
        let round_trips = lab.round_trips(to, 2);
        assert_eq!(round_trips.lost, 0, "{to}, {what}");
    }
}

#[test]
fn a_call_killed_at_any_step_lets_traffic_pass_and_is_healed_or_finished() {
    Lab::test(&[], |lab| {
        let mut kills = 0;
        let of_add = steps(lab, ADD, 12);
        let of_remove = steps(lab, "remove slow", 6);
        for (number, step) in of_add.into_iter().enumerate() {
            let what = format!("add killed before step {step}");
            assert!(killed_before(step, &words(lab, ADD)), "{what}");
            assert_traffic_passes(lab, &what);
            lab.netchaos(if number % 2 == 0 {
                "heal"
            } else {
                "remove --all"
            })
            .ok();
            lab.assert_nothing_left();
            kills += 1;
        }
        for step in of_remove {
            lab.netchaos(ADD).ok();
            let what = format!("remove killed before step {step}");
            assert!(killed_before(step, &words(lab, "remove slow")), "{what}");
            assert_traffic_passes(lab, &what);
            lab.netchaos("heal").ok();
            lab.assert_nothing_left();
            kills += 1;
        }
        println!("{kills} kills survived");
    });
}

#[test]
fn a_second_experiment_killed_while_added_leaves_the_first_at_work() {
    Lab::test(&[], |lab| {
        lab.netchaos(ADD).ok();
        let steps = steps(lab, SECOND, 6);
        lab.netchaos("remove second").ok();
        for step in steps {
            assert!(killed_before(step, &words(lab, SECOND)), "step {step}");
            let round_trips = lab.round_trips("10.77.0.3", 3);
            assert_eq!(round_trips.lost, 0, "step {step}");
            assert!(
                round_trips.shortest() >= ms(100),
                "step {step}, the first is gone: {round_trips}"
            );
            // The next call works with what the killed one has left, whatever that is.
            lab.netchaos("change slow --delay 100ms").ok();
            let list = lab.netchaos("list -o json").ok().says(&["slow"]).json();
            if list.as_array().is_some_and(|list| list.len() == 2) {
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
            (lost::UPPER.what, lost::UPPER.act),
            (lost::LOWER.what, lost::LOWER.act),
            ("the device's program is detached", detach_program),
            (lost::TREE.what, lost::TREE.act),
            (lost::CLSACT_OF_LOWER.what, lost::CLSACT_OF_LOWER.act),
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

#[test]
fn packets_pass_when_somebody_has_deleted_the_pair_or_the_filter() {
    Lab::test(&[], |lab| {
        lab.netchaos(ADD).ok();
        (lost::UPPER.act)(lab);
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
