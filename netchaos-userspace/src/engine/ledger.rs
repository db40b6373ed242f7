//! Where an experiment's packets are: each that was sent is somewhere.

use netchaos_common::abi::Past;
use serde::{Deserialize, Serialize};

use super::{error::Error, observe::Site};
use crate::{kernel::netlink::QdiscStatistics, plan::Laid};

/// What became of the packets of one direction. At any moment at which none moves,
///
/// `sent = delivered + dropped by fault + dropped by queue + flushed + in flight - duplicated + missing`
///
/// All but the last two are counted on their own: by the program where packets come from the device
/// and where they come back from the band, and by the band's first qdisc.
///
/// A packet is one of the wire where the experiment cuts packets to count them (loss, duplicate,
/// corrupt) or drops them, else one as it was sent: a GSO packet counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    pub sent: u64,
    pub delivered: u64,
    /// By the program, as asked: loss and partition.
    pub dropped_by_fault: u64,
    /// By the qdiscs: they were full; with `strictCompat` also as asked, since netem does not tell.
    pub dropped_by_queue: u64,
    /// Went down with a band that was given up for another while it still held packets.
    pub flushed: u64,
    pub in_flight: u64,
    /// Packets more than were sent.
    pub duplicated: u64,
    /// Packets that went into a band and were never seen again: somebody has deleted the band, its
    /// device or the program behind it. Or packets moved while this was read.
    pub missing: u64,
}

impl Ledger {
    /// Of what the program has counted, and a queue.
    fn new(past: &Past, queue: &QdiscStatistics) -> Self {
        let counter = past.counter;
        let mut ledger = Self {
            sent: counter.sent,
            delivered: (counter.sent + counter.left)
                .saturating_sub(counter.dropped + counter.entered),
            dropped_by_fault: counter.dropped,
            dropped_by_queue: past.queue_dropped + queue.drops,
            flushed: past.flushed,
            in_flight: queue.queued.into(),
            duplicated: 0,
            missing: 0,
        };
        let found = ledger.delivered
            + ledger.dropped_by_fault
            + ledger.dropped_by_queue
            + ledger.flushed
            + ledger.in_flight;
        ledger.duplicated = found.saturating_sub(ledger.sent);
        ledger.missing = ledger.sent.saturating_sub(found);
        ledger
    }
}

impl Site {
    /// The ledger of an experiment's packets in one direction; none where nothing is known of them.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(super) fn ledger(&self, laid: &Laid, ingress: bool) -> Result<Option<Ledger>, Error> {
        let Some(past) = self.counted(laid, ingress)? else {
            return Ok(None);
        };
        let mut queue = QdiscStatistics::default();
        let bands = self.places_of(laid);
        let bands = bands.filter_map(|laid| laid.band_of(ingress));
        for filled in bands.filter_map(|band| self.filled(band)) {
            queue.drops += filled.top.statistics.drops;
            queue.queued += filled.top.statistics.queued;
        }
        Ok(Some(Ledger::new(&past, &queue)))
    }
}

#[cfg(test)]
mod tests {
    use netchaos_common::abi::Counter;

    use super::*;

    #[test]
    fn every_packet_is_somewhere() {
        let past = Past {
            counter: Counter {
                sent: 1000,
                dropped: 100,
                entered: 900,
                left: 850,
                ..Counter::default()
            },
            queue_dropped: 20,
            flushed: 5,
        };
        let queue = QdiscStatistics {
            drops: 10,
            queued: 15,
            ..QdiscStatistics::default()
        };
        let ledger = Ledger::new(&past, &queue);
        assert_eq!((ledger.delivered, ledger.dropped_by_queue), (850, 30));
        assert_eq!((ledger.duplicated, ledger.missing), (0, 0));

        let mut duplicates = past;
        duplicates.counter.left += 90;
        assert_eq!(Ledger::new(&duplicates, &queue).duplicated, 90);
        let emptied = QdiscStatistics::default();
        assert_eq!(Ledger::new(&past, &emptied).missing, 25);
    }
}
