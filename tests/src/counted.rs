//! What `netchaos show -o json` says that an experiment has met.

use serde_json::Value;

/// Counters of one direction; zero where that is not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Packets that the experiment matched, a GSO packet counting once.
    pub packets: u64,
    pub bytes: u64,
    /// The packets that they are on the wire.
    pub segments: u64,
    /// Of these, those that the fault dropped.
    pub dropped: u64,
}

/// Counters of an experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub to: Way,
    pub from: Way,
    /// Packets that the queue had no room for; zero where there is no queue.
    pub queue_dropped: u64,
}

impl Counted {
    /// # Panics
    /// When the document has no such counters.
    #[track_caller]
    pub fn of(show: &Value) -> Self {
        let number = |value: &Value| {
            value
                .as_u64()
                .unwrap_or_else(|| panic!("a counter is missing in {show:#}"))
        };
        let way = |way: &Value| Way {
            packets: number(&way["packets"]),
            bytes: number(&way["bytes"]),
            segments: number(&way["segments"]),
            dropped: number(&way["dropped"]),
        };
        let is_there = |field: &&Value| !field.is_null();
        let [to, from, queue] =
            ["to", "from", "queue"].map(|field| Some(&show[field]).filter(is_there));
        assert!(to.or(from).is_some(), "no counters in {show:#}");
        Self {
            to: to.map(way).unwrap_or_default(),
            from: from.map(way).unwrap_or_default(),
            queue_dropped: queue.map_or(0, |queue| number(&queue["dropped"])),
        }
    }
}
