//! The parameters of qdiscs, as `plan` decides on them and `kernel` sends them. Plain data.

use std::fmt;

/// A handle or class as the kernel has it: major number in the upper half, minor in the lower.
/// It is written as tc writes it, in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

impl ClassId {
    pub const ROOT: Self = Self(u32::MAX);
    /// What clsact and ingress hang on.
    pub const CLSACT: Self = Self(0xffff_fff1);

    pub const fn new(major: u16, minor: u16) -> Self {
        Self(((major as u32) << 16) | minor as u32)
    }
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 >> 16, self.0 & 0xffff) {
            (0xffff, 0xffff) => f.write_str("root"),
            (major, 0) => write!(f, "{major:x}:"),
            (major, minor) => write!(f, "{major:x}:{minor:x}"),
        }
    }
}

impl fmt::Debug for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// sch_prio's options (`struct tc_prio_qopt`, linux/pkt_sched.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prio {
    /// 2 to 16 (TCQ_PRIO_BANDS).
    pub bands: u32,
    /// Band, from 0, of a packet whose priority names no class, by its lowest four bits.
    pub priomap: [u8; 16],
}

/// sch_netem's options (`struct tc_netem_qopt` and TCA_NETEM_*, linux/pkt_sched.h; tc-netem(8)).
/// Probabilities and correlations are shares of `u32::MAX`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Netem {
    /// Nanoseconds added to every packet.
    pub latency: u64,
    /// Nanoseconds around `latency`.
    pub jitter: u64,
    pub delay_correlation: u32,
    /// None is evenly. The kernel never shows the table that it was given.
    pub distribution: Option<Distribution>,
    /// Packets held at a time; what comes beyond is dropped.
    pub limit: u32,
    pub loss: u32,
    pub loss_correlation: u32,
    pub duplicate: u32,
    pub duplicate_correlation: u32,
    pub corrupt: u32,
    pub corrupt_correlation: u32,
    pub reorder: u32,
    pub reorder_correlation: u32,
    /// Every so-many-th packet may be reordered; 0 where none is.
    pub gap: u32,
    /// Bytes per second; 0 is no bound.
    pub rate: u64,
    pub seed: Option<u64>,
}

/// A table of netem's for the spread of the jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    Normal,
    Pareto,
    ParetoNormal,
}

/// sch_tbf's options (`struct tc_tbf_qopt` and TCA_TBF_*, linux/pkt_sched.h; tc-tbf(8)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tbf {
    /// Bytes per second.
    pub rate: u64,
    /// Bytes that wait at a time; what comes beyond is dropped.
    pub limit: u32,
    /// Bytes of the bucket.
    pub burst: u32,
    /// Bytes per second; 0 is none.
    pub peakrate: u64,
    /// Bytes of the bucket for `peakrate`.
    pub mtu: u32,
}

/// The qdiscs of a band: netem first, and tbf behind it where there are both, so that what has
/// waited its time then waits for tokens. Never none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pub netem: Option<Netem>,
    pub tbf: Option<Tbf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_and_classes_read_as_tc_writes_them() {
        assert_eq!(ClassId::new(0x4e43, 0).to_string(), "4e43:");
        assert_eq!(ClassId::new(0x4e43, 16).to_string(), "4e43:10");
        assert_eq!(ClassId::ROOT.to_string(), "root");
    }
}
