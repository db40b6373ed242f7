//! The parameters of qdiscs, as `plan` decides on them and `kernel` sends them. Plain data.

use std::fmt;

pub use self::{
    netem::{Distribution, Netem},
    tbf::Tbf,
};

mod netem;
mod tbf;

/// Nanoseconds of a psched tick (PSCHED_SHIFT, include/net/pkt_sched.h).
pub const TICK: u64 = 64;

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

/// The qdiscs of a band. Where there are both, netem is above and tbf its child: what has waited its
/// time then waits for tokens. Never none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pub netem: Option<Netem>,
    pub tbf: Option<Tbf>,
}

impl Chain {
    /// Whether the kernel, asked for `self`, would show `found`.
    pub fn reads_as(&self, found: &Self) -> bool {
        let netem = match (&self.netem, &found.netem) {
            (Some(asked), Some(shown)) => asked.reads_as(shown),
            (asked, shown) => asked.is_none() && shown.is_none(),
        };
        let tbf = match (&self.tbf, &found.tbf) {
            (Some(asked), Some(shown)) => asked.reads_as(shown),
            (asked, shown) => asked.is_none() && shown.is_none(),
        };
        netem && tbf
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.netem, &self.tbf) {
            (Some(netem), Some(tbf)) => write!(f, "{netem}, then {tbf}"),
            (Some(netem), None) => netem.fmt(f),
            (None, Some(tbf)) => tbf.fmt(f),
            (None, None) => f.write_str("nothing"),
        }
    }
}

/// A share of `u32::MAX` in percent, with the digits that its 32 bits can tell apart.
fn share(share: u32) -> String {
    let percent = f64::from(share) / f64::from(u32::MAX) * 100.0;
    let digits = format!("{percent:.6}");
    format!("{}%", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// Bytes per second as tc writes a rate: decimal, in the largest unit that is not above it.
fn rate(bytes_per_second: u64) -> String {
    let bits = u128::from(bytes_per_second) * 8;
    let (name, unit) = [
        ("Tbit", 1_000_000_000_000),
        ("Gbit", 1_000_000_000),
        ("Mbit", 1_000_000),
        ("Kbit", 1_000),
    ]
    .into_iter()
    .find(|(_, unit)| bits >= *unit)
    .unwrap_or(("bit", 1));
    format!("{}{name}", bits as f64 / unit as f64)
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
