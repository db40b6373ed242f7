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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Netem {
    /// Nanoseconds added to every packet.
    pub latency: u64,
    /// Nanoseconds around `latency`.
    pub jitter: u64,
    /// Correlation of the delays, `u32::MAX` being all.
    pub delay_correlation: u32,
    /// Packets held at a time; what comes beyond is dropped.
    pub limit: u32,
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
