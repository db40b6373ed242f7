//! The order in which entries change.

use netchaos_common::abi::Wants;

use super::Key;

/// A key whose value changes, or that comes or goes.
///
/// Where a prefix has no entry of its own, its value is that of the prefix around it: so an entry
/// that comes starts from there, and one that goes ends there, and only then is deleted. In
/// between a packet inside finds it in place of the one around it, and finds the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    pub before: Wants,
    pub after: Wants,
    /// There is no entry yet.
    pub comes: bool,
    /// There shall be no entry in the end.
    pub goes: bool,
}

/// The steps on the way from the old entries to the new ones, in their order.
///
/// A packet looks several keys up, and they cannot all change at once. In this order what it
/// finds on the way never adds up to something that is neither old nor new. Experiments that
/// steer neither before nor after count for nothing; one that starts is written whole before the
/// switch of the commit, and one that stops is cleared after it. For one that goes on, first more
/// is spared, then more is wanted; then comes the switch; then less is wanted, then less is spared.
///
/// What a rule says of ports and protocols is wanted bits as well. It never changes for an
/// experiment that goes on, nor does its direction: a changed one gets a slot of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Start,
    SpareMore,
    WantMore,
    WantLess,
    SpareLess,
    Stop,
}

/// Which slots steer before the switch and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    pub before: u64,
    pub after: u64,
}

impl Step {
    pub const BEFORE_SWITCH: [Self; 3] = [Self::Start, Self::SpareMore, Self::WantMore];
    pub const AFTER_SWITCH: [Self; 3] = [Self::WantLess, Self::SpareLess, Self::Stop];

    /// The value that the step leaves.
    pub const fn value(self, change: &Change, live: Live) -> Wants {
        const fn mix(zeros: u64, ones: u64, mask: u64) -> u64 {
            (zeros & !mask) | (ones & mask)
        }
        let Change { before, after, .. } = change;
        let starting = live.after & !live.before;
        let steady = live.after & live.before;
        let want = mix(before.want, after.want, starting);
        let except = mix(before.except, after.except, starting);
        let more_wanted = mix(want, before.want | after.want, steady);
        let more_spared = mix(except, before.except | after.except, steady);
        let less_wanted = mix(want, after.want, steady);
        let less_spared = mix(except, after.except, steady);
        let (want, except) = match self {
            Self::Start => (want, except),
            Self::SpareMore => (want, more_spared),
            Self::WantMore => (more_wanted, more_spared),
            Self::WantLess => (less_wanted, more_spared),
            Self::SpareLess => (less_wanted, less_spared),
            Self::Stop => (after.want, after.except),
        };
        Wants { want, except }
    }
}

#[cfg(test)]
mod tests;
