//! What `netchaos show -o json` says that an experiment has met.

use serde_json::Value;

/// Counters of one direction.
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
    /// Packets that the queue had no room for.
    pub queue_dropped: u64,
}

impl Counted {
    /// # Panics
    /// When the document has no such counters.
    #[track_caller]
    pub fn of(show: &Value) -> Self {
        let way = |name: &str| {
            let way = &show["counters"][name];
            let number = |field: &str| number(&way[field], field, show);
            Way {
                packets: number("packets"),
                bytes: number("bytes"),
                segments: number("segments"),
                dropped: number("dropped"),
            }
        };
        Self {
            to: way("to"),
            from: way("from"),
            queue_dropped: number(&show["queue"]["dropped"], "queue.dropped", show),
        }
    }
}

#[track_caller]
fn number(value: &Value, field: &str, show: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no {field} in {show:#}"))
}
