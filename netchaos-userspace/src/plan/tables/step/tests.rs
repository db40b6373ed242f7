use std::collections::BTreeMap;

use super::{
    super::{Prefix, Tables, prefix_key, shortened},
    *,
};
use crate::{
    experiment::Targets,
    plan::{Band, Laid, tests::laid},
};

const BAND: Band = Band { pair: 0, band: 2 };

fn wants(want: u64, except: u64) -> Wants {
    Wants { want, except }
}

/// The verdict on a peer that both keys cover.
fn verdict((one, other): (Wants, Wants), live: u64) -> u64 {
    (one.want | other.want) & !(one.except | other.except) & live
}

/// What the commit says, which changes with the switch as one.
#[derive(Clone, Copy, Debug)]
struct InForce {
    live: u64,
    all: u64,
    limited: u64,
}

impl InForce {
    /// The verdict on a packet whose address two keys cover and whose port one does.
    fn verdict(self, (one, other, port): (Wants, Wants, Wants)) -> u64 {
        let all = wants(self.all, 0);
        let aimed = verdict(
            (
                one,
                Wants {
                    want: other.want | all.want,
                    ..other
                },
            ),
            self.live,
        );
        aimed & (!self.limited | port.want)
    }
}

#[test]
fn on_the_way_every_verdict_is_the_old_one_or_the_new_one() {
    let key = Key::Protocol(0);
    let values: Vec<_> = (0..4).map(|bits| wants(bits & 1, bits >> 1)).collect();
    let change = |before, after| Change {
        key,
        before,
        after,
        comes: false,
        goes: false,
    };
    let bit = |number: u64, place: u32| number >> place & 1;
    for number in 0..1 << 8 {
        let side = |shift| InForce {
            live: bit(number, shift),
            all: bit(number, shift + 1),
            limited: bit(number, shift + 2),
        };
        let (before, after) = (side(0), side(4));
        let port = change(wants(bit(number, 3), 0), wants(bit(number, 7), 0));
        let live = Live {
            before: before.live,
            after: after.live,
        };
        if live.before & live.after != 0
            && (before.limited != after.limited || port.before != port.after)
        {
            // The rule of an experiment that goes on never changes.
            continue;
        }
        // Every way in which two keys that a packet looks up can change.
        for (a0, a1, b0, b1) in quadruples(&values) {
            let (a, b) = (change(a0, a1), change(b0, b1));
            let old = before.verdict((a0, b0, port.before));
            let new = after.verdict((a1, b1, port.after));
            let mut found = (a0, b0, port.before);
            let check = |seen, in_force: InForce| {
                let now = in_force.verdict(seen);
                assert!(
                    now == old || now == new,
                    "{in_force:?}: {a:?} {b:?} {port:?}"
                );
            };
            for (steps, in_force) in [(Step::BEFORE_SWITCH, before), (Step::AFTER_SWITCH, after)] {
                // The switch itself.
                check(found, in_force);
                for step in steps {
                    let value = |change| step.value(change, live);
                    let left = (value(&a), value(&b), value(&port));
                    // The keys are written one after the other, in any order.
                    for written in 0..8 {
                        let seen = (
                            if written & 1 == 0 { found.0 } else { left.0 },
                            if written & 2 == 0 { found.1 } else { left.1 },
                            if written & 4 == 0 { found.2 } else { left.2 },
                        );
                        check(seen, in_force);
                    }
                    found = left;
                }
            }
            assert_eq!(found, (a1, b1, port.after));
        }
    }
}

fn quadruples(values: &[Wants]) -> impl Iterator<Item = (Wants, Wants, Wants, Wants)> {
    let count = values.len();
    (0..count.pow(4)).map(move |number| {
        let pick = |place: u32| values[number / count.pow(place) % count];
        (pick(0), pick(1), pick(2), pick(3))
    })
}

/// What a map of prefixes says of an address, as the kernel finds it.
fn longest(map: &BTreeMap<Prefix, Wants>, address: &str) -> Wants {
    let whole = prefix_key(&format!("{address}/32").parse().unwrap(), 0);
    let covers = |(length, _): &(&Prefix, &Wants)| shortened(&whole, length.0) == **length;
    map.iter()
        .filter(|entry| covers(entry))
        .max_by_key(|((length, _), _)| *length)
        .map_or_else(Wants::default, |(_, wants)| *wants)
}

#[test]
fn prefixes_inside_prefixes_come_and_go_without_hiding_each_other() {
    let prefixes = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24"];
    let inside = ["10.0.0.9", "10.1.0.9", "10.1.2.9"];
    // Each of two experiments has each prefix or not, before and after.
    for number in 0..1_u32 << 12 {
        let side = |shift: u32| -> Vec<Laid> {
            let has = |slot: u32, prefix: u32| number >> (shift + 3 * slot + prefix) & 1 != 0;
            let targets = |slot: u32| -> Vec<&str> {
                (0..3)
                    .filter(|prefix| has(slot, *prefix))
                    .map(|prefix| prefixes[prefix as usize])
                    .collect()
            };
            (0..2_u32)
                .map(|slot| laid(slot as u8, BAND, &targets(slot)))
                .collect()
        };
        let live_of = |laid: &[Laid]| {
            laid.iter()
                .filter(|laid| laid.experiment.targets != Targets::List(Vec::new()))
                .fold(0, |live, laid| live | laid.bit())
        };
        let (before, after) = (side(0), side(6));
        let (old, new) = (Tables::of(before.iter()), Tables::of(after.iter()));
        let live = Live {
            before: live_of(&before),
            after: live_of(&after),
        };
        let mut map = old.prefixes.clone();
        let check = |map: &BTreeMap<Prefix, Wants>, in_force: u64| {
            for address in inside {
                let verdict = |map, live| verdict((longest(map, address), Wants::default()), live);
                let now = verdict(map, in_force);
                let (was, will) = (
                    verdict(&old.prefixes, live.before),
                    verdict(&new.prefixes, live.after),
                );
                // Each experiment by itself: both need not switch at the same moment.
                assert_eq!(
                    now & !(was | will),
                    0,
                    "{number:#x}: {address} gets too much"
                );
                assert_eq!(
                    was & will & !now,
                    0,
                    "{number:#x}: {address} gets too little"
                );
            }
        };
        let changes = old.changes_to(&new);
        for (steps, in_force) in [
            (Step::BEFORE_SWITCH, live.before),
            (Step::AFTER_SWITCH, live.after),
        ] {
            check(&map, in_force);
            for step in steps {
                for change in &changes {
                    let Key::Prefix(key) = change.key else {
                        unreachable!("only prefixes are aimed at");
                    };
                    // As the engine writes: nothing to say is no entry.
                    match step.value(change, live) {
                        nothing if nothing == Wants::default() => map.remove(&key),
                        value => map.insert(key, value),
                    };
                    check(&map, in_force);
                }
            }
        }
        for change in changes.iter().filter(|change| change.goes) {
            let Key::Prefix(key) = change.key else {
                unreachable!("only prefixes are aimed at");
            };
            map.remove(&key);
            check(&map, live.after);
        }
        assert_eq!(map, new.prefixes, "{number:#x}");
    }
}
