//! WHAT the kernel shall hold.
//!
//! This room is pure, as `experiment` is: experiments, the addresses of their targets' names and
//! the numbers that they were given go in, [`Desired`] comes out, and [`tables::Step`] says in
//! which order the maps get there. It touches no kernel and reads no clock.

use std::{collections::BTreeMap, net::IpAddr};

use netchaos_common::abi::SLOTS;
use serde::{Deserialize, Serialize};

use crate::{
    experiment::Experiment,
    qdisc::{self, ClassId, Prio},
};

pub mod chain;
pub mod tables;

pub use self::tables::Tables;

/// Handle of a pair's prio: "NC", so that `tc qdisc` shows whose it is.
pub const PRIO_HANDLE: ClassId = ClassId::new(0x4e43, 0);

/// The prio of a pair. Band 1 stays clean: packets without a class of ours go there.
pub const PRIO: Prio = Prio {
    bands: 16,
    priomap: [0; 16],
};

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
    pub band: u8,
    /// CLOCK_BOOTTIME in nanoseconds; none is never.
    pub ends: Option<u64>,
    pub experiment: Experiment,
    /// What the names among its targets stood for when they were looked up.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// Where an experiment's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Band {
    pub pair: u8,
    /// From 1, as tc shows classes.
    pub band: u8,
}

/// What the kernel shall hold for one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    pub bands: BTreeMap<Band, qdisc::Chain>,
    pub tables: Tables,
    /// Slots that steer.
    pub live: u64,
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
}

impl Laid {
    pub const fn band(&self) -> Band {
        Band {
            pair: self.pair,
            band: self.band,
        }
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

    pub fn has_expired(&self, boot_nanoseconds: u64) -> bool {
        self.ends.is_some_and(|end| end <= boot_nanoseconds)
    }
}

/// What the kernel shall hold for the experiments of a device.
pub fn desired(laid: &[Laid]) -> Desired {
    let staying = || laid.iter().filter(|laid| !laid.going);
    Desired {
        bands: staying()
            .filter_map(|laid| Some((laid.band(), chain::of(&laid.experiment.fault)?)))
            .collect(),
        tables: Tables::of(staying()),
        live: staying()
            .filter(|laid| !laid.experiment.paused)
            .fold(0, |live, laid| live | laid.bit()),
    }
}

/// Slot and band for one more experiment; none where the device has no more.
///
/// Slots go up, so that a packet gets its experiments in the order in which they were made; when
/// they are used up, the first free one is taken.
pub fn room(laid: &[Laid]) -> Option<(u8, Band)> {
    let slots = SLOTS as u8;
    let next = laid.iter().map(|laid| laid.slot + 1).max().unwrap_or(0);
    let is_free = |slot: &u8| laid.iter().all(|laid| laid.slot != *slot);
    let slot = (next..slots).chain(0..slots).find(is_free)?;
    let band = (0..)
        .flat_map(|pair| BANDS.map(move |band| Band { pair, band }))
        .find(|band| laid.iter().all(|laid| laid.band() != *band))?;
    Some((slot, band))
}

#[cfg(test)]
mod tests;
