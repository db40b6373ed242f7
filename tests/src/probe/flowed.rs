//! What became of a flow: what arrived, when, and in which order.

use std::{collections::BTreeSet, fmt, time::Duration};

/// One datagram as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) number: u64,
    /// When it was sent and when the kernel received it: nanoseconds of CLOCK_REALTIME.
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// A flow that has ended.
pub struct Flowed {
    /// When each datagram was sent, by its number.
    pub(super) sent: Vec<u64>,
    /// In the order of arrival.
    pub(super) arrived: Vec<Arrival>,
}

impl Flowed {
    pub fn sent(&self) -> usize {
        self.sent.len()
    }

    pub fn arrived(&self) -> usize {
        self.arrived.len()
    }

    /// When a datagram was sent, by [`realtime`].
    ///
    /// # Panics
    /// When it was not.
    pub fn sent_at(&self, number: u64) -> u64 {
        self.sent[usize::try_from(number).expect("a number that was sent")]
    }

    /// Numbers that never came.
    pub fn lost(&self) -> Vec<u64> {
        let came: BTreeSet<u64> = self.arrived.iter().map(|arrival| arrival.number).collect();
        (0..self.sent.len() as u64)
            .filter(|number| !came.contains(number))
            .collect()
    }

    /// # Panics
    /// When one was lost or came twice.
    #[track_caller]
    pub fn assert_whole(&self, what: &str) {
        let lost = self.lost();
        assert!(lost.is_empty(), "{what}: lost {lost:?}: {self}");
        assert_eq!(self.arrived(), self.sent(), "{what}: some came twice");
    }

    /// # Panics
    /// When one came before one that was sent earlier.
    #[track_caller]
    pub fn assert_in_order(&self, what: &str) {
        let late = self
            .arrived
            .windows(2)
            .find(|two| two[0].number > two[1].number);
        assert!(late.is_none(), "{what}: out of order: {late:?}: {self}");
    }

    /// How often each came, by its number.
    ///
    /// # Panics
    /// When one came that was not sent.
    pub fn copies(&self) -> Vec<usize> {
        let mut copies = vec![0; self.sent.len()];
        for arrival in &self.arrived {
            copies[usize::try_from(arrival.number).expect("a number that was sent")] += 1;
        }
        copies
    }

    /// Whether one came before one that was sent earlier.
    pub fn is_reordered(&self) -> bool {
        let mut pairs = self.arrived.windows(2);
        pairs.any(|two| two[0].number > two[1].number)
    }

    /// When each came, in the order of arrival, counted from the first one.
    pub fn arrivals(&self) -> Vec<Duration> {
        let first = self.arrived.first().map_or(0, |arrival| arrival.received);
        let since = |arrival: &Arrival| arrival.received.saturating_sub(first);
        let times = self.arrived.iter().map(since);
        times.map(Duration::from_nanos).collect()
    }

    /// From when the first was sent to when the last came. Unlike [`Self::arrivals`] it is not shorter where the first
    /// came late.
    ///
    /// # Panics
    /// When nothing arrived.
    #[track_caller]
    pub fn took(&self) -> Duration {
        let last = self.arrived.last().expect("something arrived");
        Duration::from_nanos(last.received.saturating_sub(self.sent[0]))
    }

    /// How long each was under way, in the order of sending.
    pub fn delays(&self) -> Vec<Duration> {
        let mut arrived = self.arrived.clone();
        arrived.sort_by_key(|arrival| arrival.number);
        arrived.iter().map(Arrival::delay).collect()
    }

    /// # Panics
    /// When nothing arrived.
    #[track_caller]
    pub fn shortest(&self) -> Duration {
        *self.delays().iter().min().expect("nothing arrived")
    }

    /// # Panics
    /// When nothing arrived.
    #[track_caller]
    pub fn median(&self) -> Duration {
        let mut delays = self.delays();
        assert!(!delays.is_empty(), "nothing arrived");
        delays.sort();
        delays[delays.len() / 2]
    }

    /// Datagrams per second at which they were really sent.
    pub fn rate(&self) -> f64 {
        let took = self.sent.last().copied().unwrap_or(0) - self.sent.first().copied().unwrap_or(0);
        self.sent.len() as f64 / Duration::from_nanos(took.max(1)).as_secs_f64()
    }

    /// The most datagrams that were on their way at one moment.
    pub fn most_under_way(&self) -> usize {
        let mut changes: Vec<(u64, isize)> = self
            .arrived
            .iter()
            .flat_map(|arrival| [(arrival.sent, 1), (arrival.received, -1)])
            .collect();
        changes.sort();
        let mut under_way = 0;
        let most = changes.iter().map(|(_, change)| {
            under_way += change;
            under_way
        });
        most.max().unwrap_or(0).unsigned_abs()
    }
}

impl fmt::Display for Flowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} arrived, sent at {:.0}/s",
            self.arrived(),
            self.sent(),
            self.rate()
        )?;
        if self.arrived() > 0 {
            write!(f, ", {:.1?} to {:.1?}", self.shortest(), self.median())?;
            f.write_str(" (median) under way")?;
        }
        Ok(())
    }
}

impl Arrival {
    /// Zero where the clock went back.
    fn delay(&self) -> Duration {
        Duration::from_nanos(self.received.saturating_sub(self.sent))
    }
}
