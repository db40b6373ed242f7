//! Changing the maps while packets come: each finds the old state or the new one.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use netchaos::{
    engine::tables,
    kernel::bpf::{Capacity, Classifier, Entry as _, Maps},
    plan::{Laid, Tables},
};
use netchaos_common::abi::Steer;
use netchaos_tests::{packets::laid::laid, random::Random};

use super::{
    WAYS, frames,
    kernel::{Programs, steer},
    laps::plain_frame,
    reference::{self, Fault, Rule, Stop, Way},
    rules::{BAND, random_rule, rule},
    runnable,
};

/// What each slot is for.
type State = Vec<Rule>;

const SLOTS: usize = 8;
/// Nobody wants anything.
const NOBODY: &[Way] = &[];

fn random_state(random: &mut Random) -> State {
    let band = |rule| Rule {
        fault: BAND,
        ..rule
    };
    (0..SLOTS).map(|_| band(random_rule(random))).collect()
}

/// Another state. A slot that steers before and after keeps its conditions and its ways.
fn changed(random: &mut Random, old: &State) -> State {
    let mut new = random_state(random);
    for (new, old) in new.iter_mut().zip(old) {
        match random.below(5) {
            0 => *new = old.clone(),
            1 => {
                *new = old.clone();
                new.ways = NOBODY.to_vec();
            }
            // An experiment in a slot that nobody was in, or the same with other targets.
            _ if old.ways.is_empty() => {}
            _ => {
                *new = Rule {
                    to: new.to.take(),
                    except: std::mem::take(&mut new.except),
                    ..old.clone()
                };
            }
        }
    }
    new
}

fn tables_of(state: &State) -> Tables {
    let laid: Vec<Laid> = state
        .iter()
        .enumerate()
        .map(|(slot, rule)| laid(slot, rule))
        .collect();
    Tables::of(laid.iter())
}

fn switch(maps: &mut Maps, old: &Tables, state: &State, steers: &BTreeMap<u32, Steer>) {
    let live = |way| {
        let slots = state.iter().enumerate();
        let bits = slots.filter(|(_, rule)| rule.ways.contains(&way));
        bits.fold(0, |live, (slot, _)| live | 1 << slot)
    };
    let (out, into) = (live(Way::Out), live(Way::In));
    tables::switch(maps, old, &tables_of(state), out, into, steers).unwrap();
}

fn steers(fault: impl Fn(usize) -> Fault) -> BTreeMap<u32, Steer> {
    (0..SLOTS)
        .map(|slot| (slot as u32, steer(slot, fault(slot))))
        .collect()
}

fn bands() -> BTreeMap<u32, Steer> {
    steers(|_| BAND)
}

/// A frame, a way it goes, and the slots that want it before and after.
struct Subject {
    frame: Vec<u8>,
    way: Way,
    old: u64,
    new: u64,
}

fn subjects(random: &mut Random, old: &State, new: &State) -> Vec<Subject> {
    let wanting = |state: &State, packet: &reference::Packet, way| {
        let slots = state.iter().enumerate();
        let bits = slots.filter(|(_, rule)| rule.wants(packet, way));
        bits.fold(0, |wanting, (slot, _)| wanting | 1 << slot)
    };
    let mut subjects = Vec::new();
    for frame in frames(random.next(), 120) {
        let frame = runnable(frame);
        for way in WAYS {
            if let Some(packet) = reference::packet(&frame, way) {
                subjects.push(Subject {
                    old: wanting(old, &packet, way),
                    new: wanting(new, &packet, way),
                    frame: frame.clone(),
                    way,
                });
            }
        }
    }
    // What changes is what could go wrong, and what both want or spare.
    subjects.retain(|subject| subject.old | subject.new != 0);
    subjects
}

fn check(programs: &Programs, subject: &Subject) {
    let stops = programs.walk(&subject.frame, subject.way, 0);
    let found = stops.iter().fold(0, |found, stop| match stop {
        Stop::Lap(slot) => found | 1 << slot,
        _ => found,
    });
    let Subject { old, new, way, .. } = subject;
    let context = || {
        format!(
            "{found:#b} of {old:#b} -> {new:#b}, {way:?}: {:02x?}",
            subject.frame
        )
    };
    assert_eq!(found & !(old | new), 0, "too much: {}", context());
    assert_eq!(old & new & !found, 0, "too little: {}", context());
}

#[test]
fn while_the_maps_change_packets_find_the_old_state_or_the_new_one() {
    let mut random = Random(5);
    let capacity = Capacity {
        hosts: 4096,
        prefixes: 4096,
        chunks: 1,
        ports: true,
    };
    let mut classifier = Classifier::load(&capacity).expect("root can load the classifier");
    let programs = Programs::of(&mut classifier);
    let maps = &mut classifier.maps;
    let mut old: State = vec![Rule::default(); SLOTS];
    let mut walked = 0;
    for _ in 0..40 {
        let new = changed(&mut random, &old);
        let subjects = subjects(&mut random, &old, &new);
        walked += switch_under(&programs, maps, &old, &new, &subjects);
        for subject in &subjects {
            let settled = Subject {
                frame: subject.frame.clone(),
                old: subject.new,
                ..*subject
            };
            check(&programs, &settled);
        }
        assert_eq!(tables::read(maps).unwrap(), tables_of(&new));
        // Once more is nothing to do.
        let current = maps.current.read(0).unwrap();
        switch(maps, &tables_of(&new), &new, &bands());
        assert_eq!(maps.current.read(0).unwrap(), current);
        old = new;
    }
    assert!(walked > 5000, "{walked} packets");
}

/// Switches while the subjects are on their way over and over, and says how often.
fn switch_under(
    programs: &Programs,
    maps: &mut Maps,
    old: &State,
    new: &State,
    subjects: &[Subject],
) -> usize {
    let (done, walked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let walker = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for subject in subjects {
                    check(programs, subject);
                    walked.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        while walked.load(Ordering::Relaxed) == 0 && !walker.is_finished() {
            thread::yield_now();
        }
        switch(maps, &tables_of(old), new, &bands());
        done.store(true, Ordering::Relaxed);
        let ended = walker.join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    walked.into_inner()
}

#[test]
fn who_is_spared_in_a_map_that_was_not_looked_up_before_is_never_touched() {
    let capacity = Capacity {
        hosts: 64,
        prefixes: 64,
        chunks: 1,
        ports: false,
    };
    let mut classifier = Classifier::load(&capacity).expect("root can load the classifier");
    let programs = Programs::of(&mut classifier);
    let maps = &mut classifier.maps;
    let nobody: State = Vec::new();
    let elsewhere = vec![rule(&["10.9.9.9"], &[])];
    let here = vec![rule(&["10.1.2.3"], &["10.1.2.3 port 443", "10.0.0.0/9"])];
    let spared = [Subject {
        frame: plain_frame(),
        way: Way::Out,
        old: 0,
        new: 0,
    }];
    switch(maps, &tables_of(&nobody), &elsewhere, &bands());
    let mut walked = 0;
    while walked < 300 {
        walked += switch_under(&programs, maps, &elsewhere, &here, &spared);
        walked += switch_under(&programs, maps, &here, &elsewhere, &spared);
    }
}

#[test]
fn what_happens_to_packets_changes_for_all_slots_at_once() {
    let capacity = Capacity {
        hosts: 64,
        prefixes: 64,
        chunks: 1,
        ports: false,
    };
    let mut classifier = Classifier::load(&capacity).expect("root can load the classifier");
    let programs = Programs::of(&mut classifier);
    let maps = &mut classifier.maps;
    let everything = Rule {
        ways: WAYS.to_vec(),
        fault: BAND,
        ..Rule::default()
    };
    let state = vec![everything; SLOTS];
    let first = |slot| Fault {
        loses: slot == 0,
        ..BAND
    };
    let last = |slot| Fault {
        loses: slot == SLOTS - 1,
        ..BAND
    };
    let mut old = Tables::default();
    let is_plain = |frame: &Vec<u8>| {
        let packet = reference::packet(frame, Way::Out);
        packet.is_some_and(|packet| packet.vital.is_none())
    };
    let mut all = frames(6, 50).into_iter().map(runnable);
    let frame = all.find(is_plain).expect("most are");
    let mut expected_last: Vec<Stop> = (0..SLOTS - 1).map(Stop::Lap).collect();
    expected_last.push(Stop::Dropped);
    let done = AtomicBool::new(false);
    switch(maps, &old, &state, &steers(first));
    thread::scope(|scope| {
        let walker = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let stop = programs.walk(&frame, Way::Out, 0)[0];
                assert!([Stop::Dropped, Stop::Lap(0)].contains(&stop), "{stop:?}");
            }
        });
        for _ in 0..20 {
            old = tables_of(&state);
            switch(maps, &old, &state, &steers(last));
            assert_eq!(programs.walk(&frame, Way::Out, 0), expected_last);
            assert_eq!(tables::current_steers(maps).unwrap()[&0], steer(0, last(0)));
            switch(maps, &old, &state, &steers(first));
            assert_eq!(programs.walk(&frame, Way::Out, 0), [Stop::Dropped]);
        }
        done.store(true, Ordering::Relaxed);
        let walked = walker.join();
        walked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}
