//! WHAT the kernel shall hold.
//!
//! This room is pure, as `experiment` is: experiments, the addresses of their targets' names and
//! the numbers that they were given go in, [`Desired`] comes out, and [`tables::Step`] says in
//! which order the maps get there. It touches no kernel and reads no clock.

use std::{collections::BTreeMap, net::IpAddr};

use netchaos_common::abi::SLOTS;
use serde::{Deserialize, Serialize};

use crate::{
    experiment::{Direction, Experiment, Fault},
    qdisc::{Chain, ClassId, Prio},
};

pub mod chain;
pub mod explain;
mod held;
pub mod tables;

pub use self::{
    held::{Held, Until},
    tables::Tables,
};

/// Handle of a pair's prio: "NC", so that `tc qdisc` shows whose it is.
pub const PRIO_HANDLE: ClassId = ClassId::new(0x4e43, 0);

/// The prio of a pair. Band 1 stays clean: packets without a class of ours go there.
pub const PRIO: Prio = Prio {
    bands: 16,
    priomap: [0; 16],
};

/// The band that stays clean: of packets that only pass, and of experiments without a qdisc.
pub const CLEAN: u8 = 1;

/// Bands of a pair that experiments get, as classes count them (from 1).
const BANDS: std::ops::RangeInclusive<u8> = 2..=16;

/// An experiment with its place on a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Laid {
    /// Its bit in the maps and its turn among the laps of a packet.
    #[serde(skip)]
    pub slot: u8,
    /// Being removed: steers nothing any more.
    #[serde(skip)]
    pub going: bool,
    /// Unix time in nanoseconds.
    #[serde(skip)]
    pub created: u64,
    pub pair: u8,
    /// [`CLEAN`] where no qdisc has anything to do.
    pub band: u8,
    /// The band of what comes in, where what goes out has another: two directions do not share a
    /// link's speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<Band>,
    /// CLOCK_BOOTTIME in nanoseconds; none is never.
    pub ends: Option<u64>,
    pub experiment: Experiment,
    /// What the names among its targets stood for when they were looked up.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
    /// None where it was laid by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// Where an experiment's packets go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Band {
    pub pair: u8,
    /// From 1, as tc shows classes.
    pub band: u8,
}

/// What the kernel shall hold for one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Pairs, and whether their upper devices cut packets into the wire's segments.
    pub pairs: BTreeMap<u8, bool>,
    pub bands: BTreeMap<Band, Chain>,
    pub tables: Tables,
    /// Slots that steer on the way out, and on the way in.
    pub out: u64,
    pub into: u64,
    /// Whether a program has to be at the device's egress, and at its ingress.
    pub egress: bool,
    pub ingress: bool,
}

impl Band {
    /// Its class under the pair's prio.
    pub const fn class(self) -> ClassId {
        ClassId(PRIO_HANDLE.0 | self.band as u32)
    }

    /// The handle of the qdisc in it.
    pub const fn handle(self) -> ClassId {
        ClassId::new(0x100 + self.band as u16, 0)
    }

    /// The handle of the qdisc below that one.
    pub const fn inner_handle(self) -> ClassId {
        ClassId::new(0x200 + self.band as u16, 0)
    }
}

impl Laid {
    /// One that nobody has laid yet.
    pub fn new(experiment: Experiment, room: Room) -> Self {
        Self {
            slot: room.slot,
            going: false,
            created: 0,
            pair: room.band.pair,
            band: room.band.band,
            into: room.into,
            ends: None,
            experiment,
            addresses: BTreeMap::new(),
            held: None,
        }
    }

    /// The same in another place.
    pub fn moved(self, room: Room) -> Self {
        Self {
            created: self.created,
            ends: self.ends,
            addresses: self.addresses,
            held: self.held,
            ..Self::new(self.experiment, room)
        }
    }

    pub const fn band(&self) -> Band {
        Band {
            pair: self.pair,
            band: self.band,
        }
    }

    /// Its bands: one, or one for each direction.
    pub fn bands(&self) -> impl Iterator<Item = Band> + use<> {
        std::iter::once(self.band()).chain(self.into)
    }

    /// The band of what comes in.
    pub fn band_into(&self) -> Band {
        self.into.unwrap_or(self.band())
    }

    /// The band that packets of one direction go through; none where it wants none of those, or has
    /// no qdisc for them.
    pub fn band_of(&self, ingress: bool) -> Option<Band> {
        let (band, unasked) = if ingress {
            (self.band_into(), Direction::To)
        } else {
            (self.band(), Direction::From)
        };
        (band.band != CLEAN && self.experiment.direction != unasked).then_some(band)
    }

    /// Moves it out of one of its bands.
    pub fn move_band(&mut self, from: Band, to: Band) {
        if self.into == Some(from) {
            self.into = Some(to);
        } else if self.band() == from {
            (self.pair, self.band) = (to.pair, to.band);
        }
    }

    /// Whether both are the same experiment, though perhaps in different places and with different
    /// faults, and not only of the same id.
    pub fn is_the_same(&self, other: &Self) -> bool {
        self.experiment.id() == other.experiment.id() && self.created == other.created
    }

    /// Whether it is in a pair and wants packets cut there.
    pub fn counts_segments_in(&self, pair: u8) -> bool {
        is_in(self, pair) && segments(&self.experiment.fault) == Some(true)
    }

    pub const fn bit(&self) -> u64 {
        1 << self.slot
    }

    /// Whether both have the same text, which leaves out whether it is going.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let other = Self {
            going: self.going,
            ..other.clone()
        };
        *self == other
    }

    /// The qdiscs of its band.
    pub fn chain(&self) -> Option<Chain> {
        chain::of(&self.experiment.fault)
    }

    /// Whether it can become `new` where it is, at once for every packet. If not it gets a slot
    /// and a band of its own beside the old ones, and one switch leads from these to those.
    pub fn changes_in_place(&self, new: &Self) -> bool {
        let (was, is) = (&self.experiment, &new.experiment);
        let chain = |laid: &Self| laid.chain().unwrap_or_default();
        let (old_chain, new_chain) = (chain(self), chain(new));
        // Each of these changes at a moment of its own, and targets one by one: between two moments a
        // packet would see neither the old nor the new.
        let changes = [
            old_chain.netem != new_chain.netem,
            old_chain.tbf != new_chain.tbf,
            // Both by the switch.
            chain::loss(&was.fault) != chain::loss(&is.fault) || was.paused != is.paused,
            was.targets != is.targets || was.except != is.except || self.addresses != new.addresses,
        ];
        let moments = changes.into_iter().filter(|changes| *changes).count();
        moments <= 1
            && chain::fits_in_place(&old_chain, &new_chain)
            && was.rule == is.rule
            && was.direction == is.direction
            && segments(&was.fault) == segments(&is.fault)
    }

    pub fn has_expired(&self, boot_nanoseconds: u64) -> bool {
        self.ends.is_some_and(|end| end <= boot_nanoseconds)
    }
}

/// What the kernel shall hold for the experiments of a device.
pub fn desired(laid: &[Laid]) -> Desired {
    let staying = || laid.iter().filter(|laid| !laid.going);
    let mut desired = Desired {
        tables: Tables::of(staying()),
        ..Desired::default()
    };
    for laid in staying() {
        for band in laid.bands() {
            *desired.pairs.entry(band.pair).or_default() |=
                segments(&laid.experiment.fault) == Some(true);
            let chain = laid.chain().map(|chain| (band, chain));
            desired.bands.extend(chain);
        }
        let live = if laid.experiment.paused {
            0
        } else {
            laid.bit()
        };
        if laid.experiment.direction != Direction::From {
            desired.egress = true;
            desired.out |= live;
        }
        if laid.experiment.direction != Direction::To {
            desired.ingress = true;
            desired.into |= live;
        }
    }
    desired
}

/// Whether a fault wants its packets cut into segments, and does not want it; none where it does
/// not matter, since nothing comes through.
fn segments(fault: &Fault) -> Option<bool> {
    (!fault.partition).then(|| chain::counts_segments(fault))
}

/// Where one more experiment goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub slot: u8,
    pub band: Band,
    /// As in [`Laid`].
    pub into: Option<Band>,
}

/// Slot and bands for one more experiment; none where the device has no more.
///
/// Slots go up, so that a packet gets its experiments in the order in which they were made; when
/// they are used up, the highest free one is taken: an experiment that moves there is met by most
/// of the packets that have its old slot behind them. Faults that want segments have pairs of their
/// own, so that nobody else's packets are cut.
pub fn room(laid: &[Laid], experiment: &Experiment) -> Option<Room> {
    let slots = SLOTS as u8;
    let next = laid.iter().map(|laid| laid.slot + 1).max().unwrap_or(0);
    let is_free = |slot: &u8| laid.iter().all(|laid| laid.slot != *slot);
    let slot = (next..slots).chain((0..slots).rev()).find(is_free)?;
    let band = free_band(laid, &experiment.fault, None)?;
    let into = if experiment.direction == Direction::Both && band.band != CLEAN {
        Some(free_band(laid, &experiment.fault, Some(band))?)
    } else {
        None
    };
    Some(Room { slot, band, into })
}

/// A band that nobody is in, beside experiments that agree about segments; [`CLEAN`] where no
/// qdisc has anything to do.
fn free_band(laid: &[Laid], fault: &Fault, taken: Option<Band>) -> Option<Band> {
    let wanted = segments(fault);
    let agrees = |pair: &u8| {
        let others = laid.iter().filter(|laid| is_in(laid, *pair));
        let mut others = others.filter_map(|laid| segments(&laid.experiment.fault));
        others.all(|other| wanted.is_none_or(|wanted| wanted == other))
    };
    let is_free = |band: &Band| {
        Some(*band) != taken
            && laid
                .iter()
                .all(|laid| laid.bands().all(|other| other != *band))
    };
    (0..=u8::MAX).filter(agrees).find_map(|pair| {
        if chain::of(fault).is_none() {
            return Some(Band { pair, band: CLEAN });
        }
        BANDS.map(|band| Band { pair, band }).find(is_free)
    })
}

fn is_in(laid: &Laid, pair: u8) -> bool {
    laid.bands().any(|band| band.pair == pair)
}

/// A band in a pair without any other experiment: where the kernel does not let an experiment's
/// netem be beside others.
pub fn room_alone(laid: &[Laid]) -> Option<Band> {
    let pair = (0..=u8::MAX).find(|pair| laid.iter().all(|laid| !is_in(laid, *pair)))?;
    let band = *BANDS.start();
    Some(Band { pair, band })
}

#[cfg(test)]
mod tests;
