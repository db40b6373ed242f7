//! The ledger of `netchaos show -o json`.

use crate::lab::Lab;

/// As the program prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    pub sent: u64,
    pub delivered: u64,
    pub dropped_by_fault: u64,
    pub dropped_by_queue: u64,
    pub flushed: u64,
    pub in_flight: u64,
    pub duplicated: u64,
    pub missing: u64,
}

impl Ledger {
    /// That of an experiment's packets `to` its targets or `from` them.
    ///
    /// # Panics
    /// When `show` does not tell it, or it does not come out.
    #[track_caller]
    pub fn of(lab: &Lab, name: &str, direction: &str) -> Self {
        let show = lab.netchaos(&format!("show {name} -o json")).ok().json();
        let number = |field: &str| {
            let number = show["ledger"][direction][field].as_u64();
            number.unwrap_or_else(|| panic!("no {field}: {show:#}"))
        };
        let ledger = Self {
            sent: number("sent"),
            delivered: number("delivered"),
            dropped_by_fault: number("droppedByFault"),
            dropped_by_queue: number("droppedByQueue"),
            flushed: number("flushed"),
            in_flight: number("inFlight"),
            duplicated: number("duplicated"),
            missing: number("missing"),
        };
        let found = ledger.delivered
            + ledger.dropped_by_fault
            + ledger.dropped_by_queue
            + ledger.flushed
            + ledger.in_flight
            + ledger.missing;
        assert_eq!(ledger.sent + ledger.duplicated, found, "{ledger:?}");
        ledger
    }
}
