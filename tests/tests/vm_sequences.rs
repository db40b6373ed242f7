//! Random calls on delays, killed at random steps, with somebody at work who takes things away: after `repair` packets
//! take as long as `list` says that they should, and in the end nothing is left.

use netchaos_tests::{
    lab::Lab,
    lost,
    random::Random,
    settings::{new_seed, setting},
    stepped::{Then, walk},
};
use serde_json::Value;

const SEQUENCES: u32 = 3;
const ACTS: usize = 5;
/// Steps that most calls have.
const STEPS: usize = 90;
const TARGETS: [&str; 4] = ["10.77.0.3", "10.77.0.4", "fd77::3", "fd77::5"];

fn call(random: &mut Random) -> String {
    let name = random.pick(&["a", "b", "c"]);
    let delay = random.pick(&[60, 120]);
    let target = random.pick(&TARGETS);
    match random.below(8) {
        0..=2 => format!("add {name} --delay {delay}ms --to {target} 10.77.0.6"),
        3 => format!("change {name} --delay {delay}ms"),
        4 => format!("change {name} --delay {delay}ms --loss 0.0001%"),
        5 => format!("target add {name} {target}"),
        6 => format!("pause {name}"),
        _ => format!("remove {name}"),
    }
}

/// How much longer a round trip to an address takes by what is listed.
fn listed(list: &Value, to: &str) -> u64 {
    let all = list.as_array().expect("an array");
    let delay = |item: &Value| {
        assert!(
            ["active", "paused"].contains(&item["state"].as_str().unwrap_or("")),
            "{item:#}"
        );
        let spec = &item["spec"];
        let targets = spec["to"].as_array().expect("targets");
        let is_aimed = targets.iter().any(|target| target == to) && item["state"] == "active";
        let latency = spec["fault"]["delay"]["latency"].as_str().expect("a delay");
        let latency: u64 = latency
            .trim_end_matches("ms")
            .parse()
            .expect("milliseconds");
        if is_aimed { latency } else { 0 }
    };
    all.iter().map(delay).sum()
}

fn sequence(lab: &Lab, random: &mut Random, log: &mut Vec<String>) {
    for _ in 0..ACTS {
        let line = format!("{} --netns {}", call(random), lab.client.name());
        let words: Vec<&str> = line.split(' ').collect();
        let at = random.below(STEPS);
        let walked = walk(
            &words,
            |step, _| if step == at { Then::Kill } else { Then::GoOn },
        );
        log.push(format!(
            "{line}: {:?} before step {at} {}",
            walked.code, walked.stderr
        ));
        // One that is there already, or is not there, is refused.
        assert!(matches!(walked.code, None | Some(0 | 1)), "{log:#?}");
        let list = lab.netchaos("list -o json").ok().json();
        // A call that was killed early has left less than there is to take away.
        if list[0]["state"] == "active" && random.once_in(2) {
            let harm = random.pick(&[lost::UPPER_DOWN, lost::TREE, lost::LOWER]);
            log.push(harm.what.to_owned());
            (harm.act)(lab);
        }
        lab.netchaos("repair").ok();
        let list = lab.netchaos("list -o json").ok().json();
        let expected = ["10.77.0.2", "10.77.0.6"].into_iter().chain(TARGETS);
        let expected: Vec<(&str, u64)> = expected.map(|to| (to, listed(&list, to))).collect();
        lab.assert_delays(&format!("{log:#?}"), &expected);
    }
    let end = random.pick(&["remove --all", "heal"]);
    lab.netchaos(end).ok();
    lab.assert_nothing_left();
}

#[test]
fn packets_take_as_long_as_is_listed_whatever_was_killed_or_taken_away() {
    Lab::test(&[], |lab| {
        let mut random = Random(new_seed());
        for _ in 0..setting("NETCHAOS_SEQUENCES", SEQUENCES) {
            sequence(lab, &mut random, &mut Vec::new());
        }
    });
}
