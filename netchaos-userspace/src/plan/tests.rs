use std::{slice, time::Duration};

use super::*;
use crate::experiment::{Chance, Delay, Direction, Fault, Loss, Rule, Targets};

fn delay() -> Fault {
    Fault {
        delay: Some(Delay {
            latency: Duration::from_millis(50),
            ..Delay::default()
        }),
        ..Fault::default()
    }
}

/// An experiment of 50 ms in a slot.
pub fn laid(slot: u8, band: Band, targets: &[&str]) -> Laid {
    Laid {
        slot,
        going: false,
        created: 0,
        pair: band.pair,
        band: band.band,
        into: None,
        ends: None,
        experiment: Experiment {
            name: format!("e{slot}"),
            namespace: None,
            device: None,
            direction: Direction::To,
            fault: delay(),
            targets: Targets::List(targets.iter().map(|text| text.parse().unwrap()).collect()),
            except: Vec::new(),
            rule: Rule::default(),
            duration: None,
            paused: false,
        },
        addresses: BTreeMap::new(),
        held: None,
    }
}

const fn band(pair: u8, band: u8) -> Band {
    Band { pair, band }
}

/// Slot and band for one more experiment to its targets.
fn room_for(others: &[Laid], fault: Fault) -> Option<(u8, Band)> {
    let mut experiment = laid(0, band(0, 0), &[]).experiment;
    experiment.fault = fault;
    let room = room(others, &experiment)?;
    assert_eq!(room.into, None);
    Some((room.slot, room.band))
}

fn loss() -> Fault {
    let chance = Chance {
        percent: "5".parse().unwrap(),
        ..Chance::default()
    };
    Fault {
        loss: Some(Loss::Random(chance)),
        ..Fault::default()
    }
}

fn of_fault(slot: u8, band: Band, fault: Fault) -> Laid {
    let mut laid = laid(slot, band, &[]);
    laid.experiment.fault = fault;
    laid
}

#[test]
fn faults_that_cut_packets_have_pairs_of_their_own_and_those_without_a_qdisc_no_band() {
    let lossy = Fault {
        loss: loss().loss,
        ..delay()
    };
    let slow = laid(0, band(0, 2), &[]);
    assert_eq!(
        room_for(slice::from_ref(&slow), lossy.clone()),
        Some((1, band(1, 2)))
    );
    assert_eq!(
        room_for(slice::from_ref(&slow), loss()),
        Some((1, band(1, CLEAN)))
    );
    let lost = of_fault(1, band(1, CLEAN), loss());
    let both = [slow, lost];
    assert_eq!(room_for(&both, lossy), Some((2, band(1, 2))));
    assert_eq!(room_for(&both, delay()), Some((2, band(0, 3))));
    let desired = desired(&both);
    assert_eq!(desired.pairs, [(0, false), (1, true)].into());
    assert_eq!(desired.bands.len(), 1);
}

#[test]
fn a_partition_goes_anywhere_and_decides_nothing_for_others() {
    let cut = Fault {
        partition: true,
        ..Fault::default()
    };
    let one = [of_fault(0, band(0, CLEAN), cut.clone())];
    assert_eq!(room_for(&one, loss()), Some((1, band(0, CLEAN))));
    let two = [one[0].clone(), of_fault(1, band(0, CLEAN), loss())];
    assert_eq!(room_for(&two, cut), Some((2, band(0, CLEAN))));
    assert_eq!(room_for(&two, delay()), Some((2, band(1, 2))));
}

#[test]
fn both_directions_have_a_band_each() {
    let mut both = laid(0, band(0, 2), &["10.0.0.1"]);
    both.experiment.direction = Direction::Both;
    let found = room(&[], &both.experiment).unwrap();
    assert_eq!((found.band, found.into), (band(0, 2), Some(band(0, 3))));
    both.into = found.into;
    assert_eq!(
        room_for(slice::from_ref(&both), delay()),
        Some((1, band(0, 4)))
    );
    let desired = desired(slice::from_ref(&both));
    assert_eq!(desired.bands.len(), 2);
    assert_eq!((desired.out, desired.into), (1, 1));
    both.move_band(band(0, 3), band(7, 2));
    assert_eq!(both.bands().collect::<Vec<_>>(), [band(0, 2), band(7, 2)]);
    both.experiment.fault = loss();
    assert_eq!(room(&[], &both.experiment).unwrap().into, None);
}

#[test]
fn what_a_netem_can_take_changes_in_place_and_all_else_moves() {
    let slow = laid(0, band(0, 2), &["10.0.0.1"]);
    let changes = |change: &dyn Fn(&mut Experiment)| {
        let mut new = slow.clone();
        change(&mut new.experiment);
        slow.changes_in_place(&new)
    };
    assert!(changes(&|new| {
        new.fault.delay.as_mut().unwrap().latency = Duration::from_secs(1);
    }));
    assert!(changes(&|new| new.targets = Targets::AllTraffic));
    assert!(changes(&|new| new.paused = true));
    assert!(!changes(&|new| {
        new.paused = true;
        new.fault.delay.as_mut().unwrap().latency = Duration::from_secs(1);
    }));
    assert!(!changes(&|new| new.direction = Direction::From));
    assert!(!changes(&|new| new.fault = loss()));
    assert!(!changes(&|new| new.rule.ports = "80".parse().unwrap()));
    assert!(!changes(&|new| new.fault.loss = loss().loss));
    let lossy = of_fault(
        0,
        band(0, 2),
        Fault {
            loss: loss().loss,
            ..delay()
        },
    );
    let mut new = lossy.clone();
    new.experiment.fault.loss = Some(Loss::Random(Chance {
        percent: "7".parse().unwrap(),
        ..Chance::default()
    }));
    assert!(lossy.changes_in_place(&new));
    // Two moments: the netem changes before the switch, the loss with it.
    let mut slower = new.clone();
    slower.experiment.fault.delay.as_mut().unwrap().latency = Duration::from_secs(1);
    assert!(!lossy.changes_in_place(&slower));
    // A target that comes before the switch would meet the old loss, one that goes after it the new one.
    let mut elsewhere = new.clone();
    elsewhere.experiment.targets = Targets::AllTraffic;
    assert!(!lossy.changes_in_place(&elsewhere));
    let mut moved_away = new;
    moved_away.addresses.insert("db".into(), vec![]);
    assert!(!lossy.changes_in_place(&moved_away));
    let mut alone = lossy.clone();
    alone.addresses.insert("db".into(), vec![]);
    assert!(lossy.changes_in_place(&alone));
}

#[test]
fn the_first_experiment_leaves_band_one_clean() {
    assert_eq!(room_for(&[], delay()), Some((0, band(0, 2))));
}

#[test]
fn slots_go_up_then_the_highest_free_one_is_taken_and_bands_are_used_again() {
    let laid = [laid(0, band(0, 3), &[]), laid(5, band(0, 2), &[])];
    assert_eq!(room_for(&laid, delay()), Some((6, band(0, 4))));
    let laid = [laid[0].clone(), super::tests::laid(63, band(0, 4), &[])];
    assert_eq!(room_for(&laid, delay()), Some((62, band(0, 2))));
}

#[test]
fn the_sixteenth_experiment_opens_another_pair_and_the_sixty_fifth_has_no_room() {
    let mut all = Vec::new();
    while let Some((slot, band)) = room_for(&all, delay()) {
        all.push(laid(slot, band, &[]));
    }
    assert_eq!(all.len(), SLOTS);
    assert_eq!(all[14].band(), band(0, 16));
    assert_eq!(all[15].band(), band(1, 2));
}

#[test]
fn what_goes_or_is_paused_steers_nothing_and_what_is_paused_keeps_its_band() {
    let mut paused = laid(1, band(0, 3), &["10.0.0.1"]);
    paused.experiment.paused = true;
    let mut going = laid(2, band(0, 4), &["10.0.0.1"]);
    going.going = true;
    let desired = desired(&[laid(0, band(0, 2), &["10.0.0.1"]), paused, going]);
    assert_eq!(desired.out, 0b001);
    assert_eq!(desired.bands.len(), 2);
    assert_eq!(desired.tables.hosts.values().next().unwrap().want, 0b011);
}
