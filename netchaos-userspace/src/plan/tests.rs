use std::time::Duration;

use super::*;
use crate::experiment::{Delay, Direction, Fault, Rule, Targets};

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
    }
}

const fn band(pair: u8, band: u8) -> Band {
    Band { pair, band }
}

#[test]
fn the_first_experiment_leaves_band_one_clean() {
    assert_eq!(room(&[], &delay()), Some((0, band(0, 2))));
}

#[test]
fn slots_go_up_and_bands_are_used_again() {
    let laid = [laid(0, band(0, 3), &[]), laid(5, band(0, 2), &[])];
    assert_eq!(room(&laid, &delay()), Some((6, band(0, 4))));
    let laid = [laid[0].clone(), super::tests::laid(63, band(0, 4), &[])];
    assert_eq!(room(&laid, &delay()), Some((1, band(0, 2))));
}

#[test]
fn the_sixteenth_experiment_opens_another_pair_and_the_sixty_fifth_has_no_room() {
    let mut all = Vec::new();
    while let Some((slot, band)) = room(&all, &delay()) {
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
