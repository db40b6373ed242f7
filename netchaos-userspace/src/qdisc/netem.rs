//! netem.

use std::{fmt, time::Duration};

use crate::qdisc::{rate, share};

/// sch_netem's options (`struct tc_netem_qopt` and TCA_NETEM_*, linux/pkt_sched.h; tc-netem(8)).
/// Probabilities and correlations are shares of `u32::MAX`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Netem {
    /// Nanoseconds added to every packet.
    pub latency: u64,
    /// Nanoseconds around `latency`, at most `i32::MAX`.
    pub jitter: u64,
    pub delay_correlation: u32,
    /// None is evenly. The kernel never shows the table that it was given, and a change cannot take
    /// it away.
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
    /// From every so-many-th packet on one may be reordered; 0 where none is.
    pub gap: u32,
    /// Bytes per second; 0 is no bound. [`Netem::IN_ORDER`] is none either, but with any rate no
    /// packet leaves before the one that came before it.
    pub rate: u64,
    /// Where the random numbers start; none leaves that to the kernel. Without effect before
    /// Linux 6.6.
    pub seed: Option<u64>,
}

/// A table of netem's for the spread of the jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    Normal,
    Pareto,
    /// A quarter normal, three quarters pareto.
    ParetoNormal,
}

impl Netem {
    /// A rate at which a packet takes no time: less than a nanosecond for 125 MB, which no packet
    /// has (`packet_time_ns()` in net/sched/sch_netem.c cuts off the rest).
    pub const IN_ORDER: u64 = 125_000_000_000_000_000;

    /// Whether the kernel, asked for `self`, would show `found`. What it does not show at all (the
    /// distribution, the seed before Linux 6.6) or chooses itself (a seed that was not asked for)
    /// does not count.
    pub fn reads_as(&self, found: &Self) -> bool {
        let seed = match (self.seed, found.seed) {
            (Some(asked), Some(shown)) => asked == shown,
            _ => true,
        };
        let shown = Self {
            distribution: self.distribution,
            seed: self.seed,
            ..found.clone()
        };
        seed && *self == shown
    }
}

/// As tc writes it: `netem limit 70000 delay 50ms 1ms 25% distribution normal`. What tc never shows
/// (the distribution) is where its command line has it.
impl fmt::Display for Netem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "netem limit {}", self.limit)?;
        if self.latency > 0 || self.jitter > 0 {
            write!(f, " delay {:?}", Duration::from_nanos(self.latency))?;
        }
        if self.jitter > 0 {
            write!(f, " {:?}", Duration::from_nanos(self.jitter))?;
            if self.delay_correlation > 0 {
                write!(f, " {}", share(self.delay_correlation))?;
            }
            if let Some(distribution) = self.distribution {
                write!(f, " distribution {distribution}")?;
            }
        }
        let chances = [
            ("loss", self.loss, self.loss_correlation),
            ("duplicate", self.duplicate, self.duplicate_correlation),
            ("reorder", self.reorder, self.reorder_correlation),
            ("corrupt", self.corrupt, self.corrupt_correlation),
        ];
        for (name, chance, correlation) in chances {
            if chance > 0 {
                write!(f, " {name} {}", share(chance))?;
                if correlation > 0 {
                    write!(f, " {}", share(correlation))?;
                }
            }
        }
        if self.gap > 0 {
            write!(f, " gap {}", self.gap)?;
        }
        if self.rate > 0 {
            write!(f, " rate {}", rate(self.rate))?;
        }
        match self.seed {
            Some(seed) => write!(f, " seed {seed}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Pareto => "pareto",
            Self::ParetoNormal => "paretonormal",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of everything, about.
    const HALF: u32 = u32::MAX / 2;

    fn full() -> Netem {
        Netem {
            latency: 50_000_000,
            jitter: 1_500_000,
            delay_correlation: HALF,
            distribution: Some(Distribution::Normal),
            limit: 70_000,
            loss: 42_949_673,
            loss_correlation: HALF,
            duplicate: HALF,
            corrupt: u32::MAX,
            reorder: HALF,
            gap: 5,
            rate: 1_250_000,
            seed: Some(7),
            ..Netem::default()
        }
    }

    #[test]
    fn it_reads_as_tc_writes_it() {
        assert_eq!(
            full().to_string(),
            "netem limit 70000 delay 50ms 1.5ms 50% distribution normal loss 1% 50% duplicate 50% \
             reorder 50% corrupt 100% gap 5 rate 10Mbit seed 7"
        );
        assert_eq!(Netem::default().to_string(), "netem limit 0");
    }

    #[test]
    fn what_the_kernel_does_not_show_makes_no_difference() {
        let mut found = full();
        found.distribution = None;
        assert!(full().reads_as(&found));
        found.seed = None;
        assert!(full().reads_as(&found), "before 6.6");
        let unseeded = Netem {
            seed: None,
            ..full()
        };
        assert!(unseeded.reads_as(&full()), "the kernel's own seed");
    }

    #[test]
    fn every_other_difference_is_one() {
        let change: [fn(&mut Netem); 15] = [
            |netem| netem.latency += 1,
            |netem| netem.jitter += 1,
            |netem| netem.delay_correlation += 1,
            |netem| netem.limit += 1,
            |netem| netem.loss += 1,
            |netem| netem.loss_correlation += 1,
            |netem| netem.duplicate += 1,
            |netem| netem.duplicate_correlation += 1,
            |netem| netem.corrupt -= 1,
            |netem| netem.corrupt_correlation += 1,
            |netem| netem.reorder += 1,
            |netem| netem.reorder_correlation += 1,
            |netem| netem.gap += 1,
            |netem| netem.rate += 1,
            |netem| netem.seed = Some(8),
        ];
        for (index, change) in change.iter().enumerate() {
            let mut found = full();
            change(&mut found);
            assert!(!full().reads_as(&found), "difference {index}");
        }
    }
}
