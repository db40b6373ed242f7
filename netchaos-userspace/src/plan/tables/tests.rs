use super::*;
use crate::plan::{Band, tests::laid};

const BAND: Band = Band { pair: 0, band: 2 };

fn host(address: &str, port: u16) -> HostKey {
    let (family, address) = family_and_bytes(address.parse().unwrap());
    HostKey {
        address,
        port,
        family,
    }
}

fn prefix(text: &str, port: u16) -> Prefix {
    prefix_key(&text.parse().unwrap(), port)
}

fn wants(want: u64, except: u64) -> Wants {
    Wants { want, except }
}

#[test]
fn single_addresses_are_hosts_and_the_rest_prefixes() {
    let laid = laid(
        3,
        BAND,
        &[
            "10.0.0.1",
            "10.0.0.2:80",
            "10.0.0.0/8",
            "fd00::/64",
            "fd00::1",
        ],
    );
    let tables = Tables::of([&laid].into_iter());
    assert_eq!(tables.hosts[&host("10.0.0.1", 0)], wants(8, 0));
    assert_eq!(tables.hosts[&host("10.0.0.2", 80)], wants(8, 0));
    assert_eq!(tables.hosts[&host("fd00::1", 0)], wants(8, 0));
    assert_eq!(tables.prefixes[&prefix("10.0.0.0/8", 0)], wants(8, 0));
    assert_eq!(tables.hosts.len() + tables.prefixes.len(), 5);
    assert_eq!(
        tables.lookups(),
        Commit::HOSTS | Commit::HOST_PORTS | Commit::PREFIXES
    );
}

#[test]
fn a_name_is_the_addresses_of_both_families_that_it_had() {
    let mut laid = laid(0, BAND, &["db.example:5432"]);
    let addresses = ["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()];
    laid.addresses.insert("db.example".into(), addresses.into());
    let tables = Tables::of([&laid].into_iter());
    assert_eq!(tables.hosts[&host("10.0.0.7", 5432)], wants(1, 0));
    assert_eq!(tables.hosts[&host("fd00::7", 5432)], wants(1, 0));
    assert_eq!(tables.hosts.len(), 2);
}

#[test]
fn a_prefix_holds_what_the_prefixes_around_it_want() {
    let wide = laid(0, BAND, &["10.0.0.0/8"]);
    let mut narrow = laid(1, BAND, &["10.1.0.0/16"]);
    narrow.experiment.except = vec!["10.1.2.0/24".parse().unwrap()];
    let port = laid(2, BAND, &["10.1.2.0/24:443"]);
    let other = laid(3, BAND, &["11.0.0.0/8"]);
    let tables = Tables::of([&wide, &narrow, &port, &other].into_iter());
    assert_eq!(tables.prefixes[&prefix("10.0.0.0/8", 0)], wants(0b0001, 0));
    assert_eq!(tables.prefixes[&prefix("10.1.0.0/16", 0)], wants(0b0011, 0));
    assert_eq!(
        tables.prefixes[&prefix("10.1.2.0/24", 0)],
        wants(0b0011, 0b0010)
    );
    assert_eq!(tables.prefixes[&prefix("11.0.0.0/8", 0)], wants(0b1000, 0));
    // A port's prefixes are a trie of their own.
    assert_eq!(
        tables.prefixes[&prefix("10.1.2.0/24", 443)],
        wants(0b0100, 0)
    );
}

/// The verdict on a peer that both keys cover.
fn verdict((one, other): (Wants, Wants), live: u64) -> u64 {
    (one.want | other.want) & !(one.except | other.except) & live
}

#[test]
fn on_the_way_every_verdict_is_the_old_one_or_the_new_one() {
    let key = Key::Host(host("10.0.0.1", 0));
    let values: Vec<_> = (0..4).map(|bits| wants(bits & 1, bits >> 1)).collect();
    let change = |before, after| Change {
        key,
        before,
        after,
        comes: false,
        goes: false,
    };
    for (before, after) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let live = Live { before, after };
        // Every way in which two keys that a packet looks up can change.
        for (a0, a1, b0, b1) in quadruples(&values) {
            let (a, b) = (change(a0, a1), change(b0, b1));
            let old = verdict((a0, b0), before);
            let new = verdict((a1, b1), after);
            let mut found = (a0, b0);
            for (steps, in_force) in [(Step::BEFORE_SWITCH, before), (Step::AFTER_SWITCH, after)] {
                // The switch itself.
                let now = verdict(found, in_force);
                assert!(now == old || now == new, "{live:?} {steps:?}: {a:?} {b:?}");
                for step in steps {
                    let left = (step.value(&a, live), step.value(&b, live));
                    // The keys are written one after the other, in either order.
                    for seen in [left, (left.0, found.1), (found.0, left.1)] {
                        let now = verdict(seen, in_force);
                        assert!(now == old || now == new, "{live:?} {step:?}: {a:?} {b:?}");
                    }
                    found = left;
                }
            }
            assert_eq!(found, (a1, b1));
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

#[test]
fn only_keys_that_differ_are_changed() {
    let one = Tables::of([&laid(0, BAND, &["10.0.0.1", "10.0.0.2", "10.0.0.0/8"])].into_iter());
    let other = Tables::of([&laid(0, BAND, &["10.0.0.2", "10.0.0.3", "10.0.0.0/8"])].into_iter());
    let mut changes = one.changes_to(&other);
    changes.sort_by_key(|change| change.key);
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].key, Key::Host(host("10.0.0.1", 0)));
    assert_eq!(
        (changes[0].before, changes[0].after),
        (wants(1, 0), wants(0, 0))
    );
    assert_eq!(
        (changes[1].before, changes[1].after),
        (wants(0, 0), wants(1, 0))
    );
    assert!(one.changes_to(&one).is_empty());
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
