//! State maps with numbers in them that no netchaos writes: whatever they say, calls end and say why, and `heal` leaves
//! nothing. (What the texts in them may say is the fuzz target `state`.)

use std::time::Duration;

use netchaos_common::abi::SLOTS;
use netchaos_tests::{
    lab::Lab,
    meta::{change_meta, change_state},
    random::Random,
    settings::{new_seed, setting},
};

const ADD: [&str; 2] = [
    "add cut --partition --direction both --to 10.77.0.3",
    "add more --loss 100% --to 10.77.0.4 --for 1h",
];
const CALLS: [&str; 6] = [
    "list",
    "list -o json",
    "show cut",
    "target add cut 10.77.0.2",
    "repair",
    "remove more",
];
/// How many times other numbers are written.
const ROUNDS: u32 = 12;
/// No call takes longer, however much the numbers promise to hold.
const BOUND: Duration = Duration::from_secs(20);

fn number(random: &mut Random) -> u32 {
    let any = random.next() as u32;
    random.pick(&[0, 1, 2, 3, 2048, 2049, i32::MAX as u32, u32::MAX, any])
}

/// Writes one number, and says which.
fn damage(lab: &Lab, random: &mut Random) -> String {
    let number = number(random);
    if random.once_in(2) {
        let field = random.pick(&["magic", "abi", "dirty", "reserved"]);
        change_meta(lab, |meta| match field {
            "magic" => meta.magic = number,
            "abi" => meta.abi = number,
            "dirty" => meta.dirty = number,
            _ => meta.reserved = number,
        });
        return format!("META.{field} = {number}");
    }
    let slot = random.pick(&[0, 1, 2, SLOTS as u32 - 1]);
    let field = random.pick(&["text", "length", "created", "phase"]);
    change_state(lab, slot, |state| match field {
        "text" => state.text = number,
        "length" => state.length = number,
        "created" => state.created = u64::from(number) << 32,
        _ => state.phase = number,
    });
    format!("STATES[{slot}].{field} = {number}")
}

#[test]
fn whatever_the_numbers_of_the_state_say_calls_end_with_a_reason_and_heal_leaves_nothing() {
    let mut random = Random(new_seed());
    Lab::test_with(&[], |lab| {
        for _ in 0..setting("NETCHAOS_ROUNDS", ROUNDS) {
            for add in ADD {
                lab.netchaos(add).ok();
            }
            let what = damage(lab, &mut random);
            let codes = CALLS.map(|call| {
                let done = lab.netchaos(call);
                assert!(done.took < BOUND, "{what}: {done}");
                // Killed by a signal it has none, and of a panic it is another.
                assert!(matches!(done.status.code(), Some(0 | 1)), "{what}: {done}");
                assert!(
                    done.status.success() || done.stderr.contains("error"),
                    "{what}: {done}"
                );
                done.status.code()
            });
            println!("{what}: {codes:?}");
            lab.netchaos("heal").ok();
            lab.assert_nothing_left();
        }
    });
}
