//! What experiments have counted, carried along when they get another slot or other maps.

use netchaos_common::abi::Past;

use super::{
    error::Error,
    observe::{Known, Site},
};
use crate::{
    kernel::{
        bpf::Earlier,
        netlink::{Netlink, Qdisc, QdiscStatistics},
    },
    plan::{Band, Laid},
};

impl Site {
    /// Gets the slots ready before anything is steered by them: where experiments are new in theirs,
    /// it is cleared; where the maps are new, what was counted in the earlier ones is known.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(super) async fn start_counting(
        &mut self,
        netlink: &Netlink,
        earlier: Option<&dyn Earlier>,
        known: &[Laid],
        new: &[Laid],
    ) -> Result<(), Error> {
        self.go_on_counting(netlink, earlier, known).await?;
        let maps = self.maps()?;
        let is_known = |laid: &&Laid| known.iter().any(|known| known.slot == laid.slot);
        for laid in new.iter().filter(|laid| !is_known(laid)) {
            maps.clear_slot(laid.slot.into())?;
        }
        Ok(())
    }

    /// Where the maps are new: makes every slot go on with what it has counted in the earlier ones.
    /// Once more when their programs run no longer, and it is exact.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(super) async fn go_on_counting(
        &mut self,
        netlink: &Netlink,
        earlier: Option<&dyn Earlier>,
        known: &[Laid],
    ) -> Result<(), Error> {
        let Some(earlier) = earlier else {
            return Ok(());
        };
        let qdiscs = netlink.qdiscs().await?;
        for laid in known {
            for ingress in [false, true] {
                let mut past = earlier.counted(laid.slot.into(), ingress)?;
                if !earlier.counts_laps() {
                    // What the new programs have seen come out, and is or was in the queue, went in
                    // before they saw it.
                    let queue = self.queue_of(&qdiscs, laid, ingress);
                    let live = self.maps()?.counter(laid.slot.into(), ingress)?;
                    let found = live.left + queue.drops + u64::from(queue.queued);
                    past.counter.entered = found.saturating_sub(live.entered);
                    past.counter.left = live.entered.saturating_sub(found);
                    past.counter.sent = past.counter.entered + past.counter.dropped;
                }
                self.maps()?.set_past(laid.slot.into(), ingress, past)?;
            }
        }
        Ok(())
    }

    /// Lets each experiment that has moved to another slot go on with what it has counted in the
    /// old one, whose bands are about to be deleted. Doing it again comes to the same.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(super) async fn hand_down_counters(
        &mut self,
        netlink: &Netlink,
        new: &[Laid],
    ) -> Result<(), Error> {
        let heir = |gone: &Laid| {
            let mut staying = new.iter().filter(|laid| !laid.going);
            staying.find(|laid| laid.is_the_same(gone))
        };
        let moves = new.iter().filter(|laid| laid.going);
        let moves: Vec<_> = moves.filter_map(|gone| Some((gone, heir(gone)?))).collect();
        if moves.is_empty() {
            return Ok(());
        }
        let qdiscs = netlink.qdiscs().await?;
        for (gone, heir) in moves {
            for ingress in [false, true] {
                let queue = self.queue_of(&qdiscs, gone, ingress);
                let maps = self.maps()?;
                let before = maps.counted(gone.slot.into(), ingress)?;
                let past = Past {
                    counter: before.counter,
                    queue_dropped: before.queue_dropped + queue.drops,
                    flushed: before.flushed + u64::from(queue.queued),
                };
                maps.set_past(heir.slot.into(), ingress, past)?;
            }
        }
        Ok(())
    }

    /// What the queue of a band has counted; nothing where there is none.
    pub(super) fn statistics(&self, qdiscs: &[Qdisc], band: Band) -> QdiscStatistics {
        let find = || {
            let upper = self.pairs.get(&band.pair)?.upper.as_ref()?;
            let mut on_upper = qdiscs.iter().filter(|qdisc| qdisc.ifindex == upper.index);
            on_upper.find(|qdisc| qdisc.parent == band.class())
        };
        find().map_or_else(QdiscStatistics::default, |qdisc| qdisc.statistics)
    }

    /// The same of the band that an experiment has in one direction.
    fn queue_of(&self, qdiscs: &[Qdisc], laid: &Laid, ingress: bool) -> QdiscStatistics {
        let band = laid.band_of(ingress);
        band.map_or_else(QdiscStatistics::default, |band| {
            self.statistics(qdiscs, band)
        })
    }

    /// An experiment where it is, and while it moves where it was: its packets are in both.
    pub(super) fn places_of<'l>(&'l self, laid: &'l Laid) -> impl Iterator<Item = &'l Laid> {
        let is_old =
            |other: &&Laid| other.going && other.is_the_same(laid) && other.slot != laid.slot;
        std::iter::once(laid).chain(self.laid().iter().filter(is_old))
    }

    /// All that counts for an experiment in one direction; none where its maps cannot be read.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(super) fn counted(&self, laid: &Laid, ingress: bool) -> Result<Option<Past>, Error> {
        let maps: &dyn Earlier = match &self.state {
            Known::Open { maps, .. } => maps,
            Known::Older { maps, .. } => maps,
            _ => return Ok(None),
        };
        let mut sum = Past::default();
        for place in self.places_of(laid) {
            sum = sum.plus(&maps.counted(place.slot.into(), ingress)?);
        }
        Ok(Some(sum))
    }
}
