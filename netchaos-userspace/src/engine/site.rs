//! From one state of a device to another.
//!
//! The order is what keeps the promises. First what nobody is steered to yet (pairs, bands); then
//! the journal: the state map says what is to be, so that a call that dies from here on is
//! finished by the next one; then the tables and their one switch; then, for what goes, the wait
//! for the packets on their way, and only then the end of its band. The programs on the device
//! come last of all and go first of all.

use std::{collections::BTreeMap, time::Duration};

use netchaos_common::abi::{self, Lane, Steer};

use super::{
    attach::{Fresh, hooks},
    error::Error,
    journal,
    observe::{Filled, Known, Pair, Site},
    tables,
};
use crate::{
    kernel::{
        bpf::{self, Capacity, Classifier, Earlier, Entry as _, Maps},
        netlink::{Hook, Netlink},
    },
    plan::{self, Band, CLEAN, Desired, Laid, Tables, chain},
};

/// How long the packets of a removed experiment are waited for beyond the longest that they take.
const PATIENCE_WITH_PACKETS: Duration = Duration::from_secs(2);
/// And at the longest, however long that is.
const LONGEST_DRAIN: Duration = Duration::from_secs(60);

/// Programs with new maps.
struct Renewed {
    programs: Fresh,
    /// The maps that those take over from.
    earlier: Option<Box<dyn Earlier>>,
}

impl Site {
    /// Makes the kernel hold `new`. Experiments in it that are marked as going are taken away;
    /// their packets are waited for, unless it is to be `at_once`. Gives back how many packets
    /// were thrown away with their bands.
    ///
    /// # Errors
    /// Something was refused on the way: the device is in between, and the caller puts the old
    /// state back.
    pub(super) async fn turn_into(
        &mut self,
        netlink: &Netlink,
        mut new: Vec<Laid>,
        at_once: bool,
    ) -> Result<u32, Error> {
        let mut desired = plan::desired(&new);
        self.make_pairs(netlink, &desired, &new).await?;
        self.fill_bands(netlink, &mut new, &mut desired).await?;
        let is_last = desired.pairs.is_empty();
        let known = self.laid().to_vec();
        let old = plan::desired(&known).tables;
        // Maps of another layout cannot be told to steer no more: new ones take their places first.
        let needs_maps = !is_last || matches!(self.state, Known::Older { .. });
        let renewed = if needs_maps {
            self.open_maps(&old, &desired, &new)?
        } else {
            None
        };
        let (fresh, earlier) = renewed.map_or((None, None), |renewed| {
            (Some(renewed.programs), renewed.earlier)
        });
        if fresh.is_none() && !is_last {
            self.attach_to_new_pairs(netlink).await?;
        }
        if matches!(self.state, Known::Open { .. }) {
            self.start_counting(netlink, earlier.as_deref(), &known, &new)
                .await?;
            self.write_journal(&new)?;
            // New maps hold nothing yet.
            let old = if fresh.is_some() {
                Tables::default()
            } else {
                old
            };
            self.write_tables(old, &new, &desired)?;
        }
        if needs_maps {
            self.attach(netlink, &desired, fresh).await?;
        }
        self.go_on_counting(netlink, earlier.as_deref(), &known)
            .await?;
        drop(earlier);
        let flushed = self.wait_for_what_goes(netlink, &new, at_once).await?;
        if is_last {
            self.take_down(netlink).await?;
            return Ok(flushed);
        }
        self.hand_down_counters(netlink, &new).await?;
        let (going, staying): (Vec<_>, Vec<_>) = new.into_iter().partition(|laid| laid.going);
        self.strike_out(&going)?;
        self.leave_unneeded(netlink, &desired).await?;
        self.delete_left_over_bands(netlink, &desired).await?;
        self.read_back(netlink, &desired).await?;
        self.close_journal(staying)?;
        Ok(flushed)
    }

    async fn make_pairs(
        &mut self,
        netlink: &Netlink,
        desired: &Desired,
        new: &[Laid],
    ) -> Result<(), Error> {
        for (pair, cuts) in &desired.pairs {
            // What goes still counts segments until the switch.
            let going = || new.iter().filter(|laid| laid.going);
            let cuts = *cuts || going().any(|laid| laid.counts_segments_in(*pair));
            let has_bands = desired.bands.keys().any(|band| band.pair == *pair);
            if self.pairs.get(pair).is_none_or(Pair::is_broken) {
                self.delete_pair(netlink, *pair).await?;
                self.make_pair(netlink, *pair).await?;
            }
            if has_bands && !self.pairs[pair].has_prio {
                self.add_prio(netlink, *pair).await?;
            }
            self.cut_segments(netlink, *pair, cuts).await?;
        }
        Ok(())
    }

    /// Fills the bands. An experiment whose netem the kernel does not let be beside others gets a
    /// pair of its own, and `new` and `desired` say so then.
    async fn fill_bands(
        &mut self,
        netlink: &Netlink,
        new: &mut [Laid],
        desired: &mut Desired,
    ) -> Result<(), Error> {
        for (band, chain) in desired.bands.clone() {
            match self.fill_band(netlink, band, &chain).await {
                Err(Error::Netlink(error)) if error.is_duplicate_rule() => {}
                other => {
                    other?;
                    continue;
                }
            }
            let alone = plan::room_alone(new)
                .ok_or_else(|| Error::Refused("no pair of devices is left".into()))?;
            new.iter_mut().for_each(|laid| laid.move_band(band, alone));
            *desired = plan::desired(new);
            self.make_pairs(netlink, desired, new).await?;
            self.fill_band(netlink, alone, &chain).await?;
        }
        Ok(())
    }

    pub(super) fn maps(&mut self) -> Result<&mut Maps, Error> {
        match &mut self.state {
            Known::Open { maps, .. } => Ok(maps),
            _ => Err(Error::ReadBack("the maps have gone".into())),
        }
    }

    /// Sees to it that there are maps with enough room. Where new ones have to be loaded, the
    /// programs that use them are given back, to replace the attached ones.
    fn open_maps(
        &mut self,
        old: &Tables,
        desired: &Desired,
        new: &[Laid],
    ) -> Result<Option<Renewed>, Error> {
        let needed = needed_room(old, &desired.tables, new);
        let is_attached = self.is_attached(desired);
        let old = match std::mem::replace(&mut self.state, Known::Nothing) {
            Known::Open { maps, laid, dirty } if is_attached && maps.has_room(&needed) => {
                self.state = Known::Open { maps, laid, dirty };
                return Ok(None);
            }
            // A program on the device was taken away or was never needed, or the maps are full: new
            // programs come with new maps.
            Known::Open { maps, .. } => Some(Box::new(maps) as Box<dyn Earlier>),
            Known::Older { maps, .. } => Some(Box::new(maps) as _),
            _ => None,
        };
        let Classifier { programs, mut maps } = Classifier::load(&with_spare(needed))?;
        maps.records.meta.write(0, journal::meta(true))?;
        let device = abi::Device {
            ifindex: self.ifindex,
            layer3: self
                .device
                .as_ref()
                .is_some_and(|link| link.is_layer3)
                .into(),
        };
        maps.device.write(0, device)?;
        if let Some(old) = &old {
            // Packets are on their laps with marks that the old programs gave.
            maps.copy_priorities(old.as_ref())?;
        }
        self.state = Known::Open {
            maps,
            laid: Vec::new(),
            dirty: false,
        };
        Ok(Some(Renewed {
            programs: bpf::keep(programs)?,
            earlier: old,
        }))
    }

    /// Whether the programs that use the maps are within reach, wherever one is needed.
    fn is_attached(&self, desired: &Desired) -> bool {
        let sits = |(hook, is_needed): (Hook, bool)| !is_needed || self.seats.at(hook).is_some();
        !self.is_mixed
            && self.seats.before.is_empty()
            && hooks(desired).into_iter().all(sits)
            && self.pairs.values().any(|pair| pair.filter.is_some())
    }

    /// Tables and steers, with the switch at their end.
    fn write_tables(&mut self, old: Tables, new: &[Laid], desired: &Desired) -> Result<(), Error> {
        let mut steers = BTreeMap::new();
        for laid in new.iter().filter(|laid| !laid.going) {
            steers.insert(u32::from(laid.slot), self.steer(laid)?);
        }
        let Known::Open { maps, dirty, .. } = &mut self.state else {
            return Err(Error::ReadBack("the maps have gone".into()));
        };
        let old = if *dirty { tables::read(maps)? } else { old };
        tables::switch(
            maps,
            &old,
            &desired.tables,
            desired.out,
            desired.into,
            &steers,
        )
    }

    fn lane(&self, band: Band) -> Result<Lane, Error> {
        Ok(Lane {
            classid: band.class().0,
            upper: self.upper(band.pair)?.index,
        })
    }

    /// What the programs are told to do with an experiment's packets.
    fn steer(&self, laid: &Laid) -> Result<Steer, Error> {
        let fault = &laid.experiment.fault;
        let mut flags = 0;
        if laid.band != CLEAN {
            flags |= Steer::BAND;
        }
        if chain::counts_segments(fault) {
            flags |= Steer::SEGMENT;
        }
        Ok(Steer {
            ends: laid.ends.unwrap_or(0),
            out: self.lane(laid.band())?,
            into: self.lane(laid.band_into())?,
            lower: self.lower(laid.pair)?.index,
            flags,
            loss: chain::loss(fault),
        })
    }

    /// Waits for the packets in the bands of what goes.
    async fn wait_for_what_goes(
        &mut self,
        netlink: &Netlink,
        new: &[Laid],
        at_once: bool,
    ) -> Result<u32, Error> {
        let going = || new.iter().filter(|laid| laid.going);
        let bands: Vec<Band> = going().flat_map(Laid::bands).collect();
        let longest = going()
            .map(|laid| chain::longest_wait(&laid.experiment.fault))
            .max()
            .unwrap_or_default();
        let bound = if at_once {
            Duration::ZERO
        } else {
            (longest + PATIENCE_WITH_PACKETS).min(LONGEST_DRAIN)
        };
        if bands.is_empty() {
            return Ok(0);
        }
        self.drain(netlink, &bands, bound).await
    }

    /// Takes everything of ours away from the device.
    pub(super) async fn take_down(&mut self, netlink: &Netlink) -> Result<(), Error> {
        self.detach(netlink).await?;
        let pairs: Vec<u8> = self.pairs.keys().copied().collect();
        for pair in pairs {
            self.delete_pair(netlink, pair).await?;
        }
        self.state = Known::Nothing;
        Ok(())
    }

    /// Deletes the qdiscs, and the pairs, that no experiment is in.
    async fn delete_left_over_bands(
        &mut self,
        netlink: &Netlink,
        desired: &Desired,
    ) -> Result<(), Error> {
        let all = self.pairs.keys().copied();
        let unused: Vec<u8> = all
            .filter(|pair| !desired.pairs.contains_key(pair))
            .collect();
        for pair in unused {
            self.delete_pair(netlink, pair).await?;
        }
        for (pair, cuts) in &desired.pairs {
            self.cut_segments(netlink, *pair, *cuts).await?;
        }
        for (number, pair) in &self.pairs {
            let left_over = pair
                .bands
                .iter()
                .filter(|(band, _)| !desired.bands.contains_key(band));
            for (_, found) in left_over {
                // What hangs below goes with it.
                netlink
                    .delete_qdisc(self.upper(*number)?, &found.top)
                    .await?;
            }
        }
        Ok(())
    }

    /// Compares what the kernel holds with what it was told to hold.
    async fn read_back(&self, netlink: &Netlink, desired: &Desired) -> Result<(), Error> {
        let qdiscs = netlink.qdiscs().await?;
        for (band, chain) in &desired.bands {
            let upper = self.upper(band.pair)?;
            let found = Filled::find(&qdiscs, upper.index, *band);
            let found = found.as_ref().map(Filled::chain);
            if found.as_ref().is_none_or(|found| !chain.reads_as(found)) {
                return Err(Error::ReadBack(format!(
                    "{} of {} should be {chain:?} and is {found:?}",
                    band.class(),
                    upper.name
                )));
            }
        }
        let Known::Open { maps, .. } = &self.state else {
            return Err(Error::ReadBack("the maps have gone".into()));
        };
        let commit = tables::current(maps)?;
        let tables = &desired.tables;
        let held = (
            commit.out,
            commit.into,
            commit.all,
            commit.limited,
            commit.vital,
        );
        let wanted = (
            desired.out,
            desired.into,
            tables.all,
            tables.limited,
            tables.vital,
        );
        if held != wanted {
            return Err(Error::ReadBack("another commit is in force".into()));
        }
        Ok(())
    }
}

impl Pair {
    /// Nothing can be steered into it as it stands.
    fn is_broken(&self) -> bool {
        self.upper.as_ref().is_none_or(|upper| !upper.is_up)
    }
}

/// Entries that the maps need for the tables and the texts. During the switch what goes is there
/// beside what comes.
fn needed_room(old: &Tables, tables: &Tables, new: &[Laid]) -> Capacity {
    let hosts = old
        .hosts
        .keys()
        .filter(|key| !tables.hosts.contains_key(key));
    let prefixes = old.prefixes.keys();
    let prefixes = prefixes.filter(|key| !tables.prefixes.contains_key(key));
    Capacity {
        hosts: (tables.hosts.len() + hosts.count()) as u32,
        prefixes: (tables.prefixes.len() + prefixes.count()) as u32,
        chunks: journal::chunks(new),
        ports: tables.need_ports(),
    }
}

/// Maps are made with room to grow: what is there may double before new ones are needed. A trie
/// takes memory for what is in it only, so it gets plenty; it needs some in any case, since an old
/// kernel wants a free entry even to overwrite one (before 6.13).
fn with_spare(needed: Capacity) -> Capacity {
    let grown =
        |entries: u32, least: u32| (entries.saturating_mul(2)).max(least).next_power_of_two();
    Capacity {
        hosts: grown(needed.hosts, 4096),
        prefixes: grown(needed.prefixes, 1 << 16),
        chunks: grown(needed.chunks, 256),
        ports: needed.ports,
    }
}
