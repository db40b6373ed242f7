//! tbf.

use std::fmt;

use crate::qdisc::{TICK, rate};

/// sch_tbf's options (`struct tc_tbf_qopt` and TCA_TBF_*, linux/pkt_sched.h; tc-tbf(8)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tbf {
    /// Bytes per second, more than 0.
    pub rate: u64,
    /// Bytes that wait at a time; what comes beyond is dropped.
    pub limit: u32,
    /// Bytes of the bucket.
    pub burst: u32,
    /// Bytes per second, more than `rate`; 0 is none.
    pub peakrate: u64,
    /// Bytes of the bucket for `peakrate`; 0 without one.
    pub mtu: u32,
}

impl Tbf {
    /// The largest packet that it takes as it is, in bytes; larger GSO packets it cuts.
    pub const fn largest(&self) -> u32 {
        if self.peakrate != 0 && self.mtu < self.burst {
            self.mtu
        } else {
            self.burst
        }
    }

    /// Ticks that `bytes` take at a rate: what the kernel keeps of a bucket's size, and shows.
    /// They wrap around beyond 275 s, as they do there.
    pub const fn ticks(bytes: u32, rate: u64) -> u32 {
        if rate == 0 {
            return 0;
        }
        let nanoseconds = bytes as u128 * 1_000_000_000 / rate as u128;
        (nanoseconds / TICK as u128) as u32
    }

    /// Bytes that take so many ticks.
    pub const fn bytes(ticks: u32, rate: u64) -> u32 {
        let bytes = ticks as u128 * TICK as u128 * rate as u128 / 1_000_000_000;
        if bytes > u32::MAX as u128 {
            u32::MAX
        } else {
            bytes as u32
        }
    }

    /// Whether the kernel, asked for `self`, would show `found`, whose buckets have gone through
    /// its ticks.
    pub fn reads_as(&self, found: &Self) -> bool {
        let Self {
            rate,
            limit,
            burst,
            peakrate,
            mtu,
        } = *self;
        (rate, limit, peakrate) == (found.rate, found.limit, found.peakrate)
            && is_shown_as(burst, found.burst, rate)
            && is_shown_as(mtu, found.mtu, peakrate)
    }
}

/// Whether a bucket of `asked` bytes may be read back as `shown`. The kernel divides by multiplying
/// (`psched_ratecfg_precompute()`), so its ticks may be one off, or one in 2^30.
fn is_shown_as(asked: u32, shown: u32, rate: u64) -> bool {
    let expected = Tbf::bytes(Tbf::ticks(asked, rate), rate);
    let slack = u64::from(Tbf::bytes(2, rate)) + u64::from(asked >> 30) + 1;
    u64::from(expected.abs_diff(shown)) <= slack
}

/// As tc's command line has it: `tbf rate 10Mbit burst 10000 limit 20000`, sizes in bytes.
impl fmt::Display for Tbf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { burst, limit, .. } = self;
        write!(
            f,
            "tbf rate {} burst {burst} limit {limit}",
            rate(self.rate)
        )?;
        if self.peakrate == 0 {
            return Ok(());
        }
        write!(f, " peakrate {} mtu {}", rate(self.peakrate), self.mtu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Tbf {
        Tbf {
            rate: 1_250_000,
            limit: 20_000,
            burst: 10_000,
            peakrate: 2_500_000,
            mtu: 1600,
        }
    }

    #[test]
    fn it_reads_as_tc_has_it() {
        assert_eq!(
            example().to_string(),
            "tbf rate 10Mbit burst 10000 limit 20000 peakrate 20Mbit mtu 1600"
        );
        let plain = Tbf {
            peakrate: 0,
            ..example()
        };
        assert_eq!(plain.to_string(), "tbf rate 10Mbit burst 10000 limit 20000");
    }

    #[test]
    fn the_rounding_of_ticks_makes_no_difference() {
        for rate in [1, 125, 1_250_000, 1_250_000_000, 125_000_000_000] {
            for burst in [1, 1518, 10_000, 1_000_000, u32::MAX] {
                let asked = Tbf {
                    rate,
                    burst,
                    peakrate: 0,
                    mtu: 0,
                    ..example()
                };
                let mut found = asked.clone();
                found.burst = Tbf::bytes(Tbf::ticks(burst, rate), rate);
                assert!(asked.reads_as(&found), "{asked} {found}");
            }
        }
    }

    #[test]
    fn every_other_difference_is_one() {
        let change: [fn(&mut Tbf); 5] = [
            |tbf| tbf.rate += 1,
            |tbf| tbf.limit += 1,
            |tbf| tbf.burst += 3,
            |tbf| tbf.peakrate += 1,
            |tbf| tbf.mtu += 3,
        ];
        for (index, change) in change.iter().enumerate() {
            let mut found = example();
            change(&mut found);
            assert!(!example().reads_as(&found), "difference {index}");
        }
    }
}
