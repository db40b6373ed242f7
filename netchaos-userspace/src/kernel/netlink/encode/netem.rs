//! netem (`struct tc_netem_qopt` and TCA_NETEM_*, linux/pkt_sched.h).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{attributes, distribution, put_attribute, put_u32s, put_u64, saturated};
use crate::qdisc::{Netem, TICK};

const TCA_NETEM_CORR: u16 = 1;
const TCA_NETEM_DELAY_DIST: u16 = 2;
const TCA_NETEM_REORDER: u16 = 3;
const TCA_NETEM_CORRUPT: u16 = 4;
const TCA_NETEM_RATE: u16 = 6;
const TCA_NETEM_RATE64: u16 = 8;
const TCA_NETEM_LATENCY64: u16 = 10;
const TCA_NETEM_JITTER64: u16 = 11;
const TCA_NETEM_PRNG_SEED: u16 = 14;

/// Length of `struct tc_netem_qopt`.
const QOPT: usize = 24;

/// netem keeps what is not mentioned, and a change has to be able to take a thing away: so
/// everything is mentioned, but for what is only there to overrule (RATE64) or cannot be taken away
/// (the distribution). Kernels skip attributes that they do not know.
pub(in super::super) fn netem(netem: &Netem) -> Bytes {
    let mut options = BytesMut::with_capacity(256);
    // The 64-bit attributes below overrule the times, which are ticks here.
    let ticks = |nanoseconds: u64| saturated(nanoseconds / TICK);
    for word in [
        ticks(netem.latency),
        netem.limit,
        netem.loss,
        netem.gap,
        netem.duplicate,
        ticks(netem.jitter),
    ] {
        options.put_u32_ne(word);
    }
    let correlations = [
        netem.delay_correlation,
        netem.loss_correlation,
        netem.duplicate_correlation,
    ];
    put_u32s(&mut options, TCA_NETEM_CORR, &correlations);
    let reorder = [netem.reorder, netem.reorder_correlation];
    put_u32s(&mut options, TCA_NETEM_REORDER, &reorder);
    let corrupt = [netem.corrupt, netem.corrupt_correlation];
    put_u32s(&mut options, TCA_NETEM_CORRUPT, &corrupt);
    // RATE64 alone is not enough: the kernel takes the larger one of it and the rate it had.
    // The zeros: overhead of a packet, size and overhead of a cell.
    let rate = [saturated(netem.rate), 0, 0, 0];
    put_u32s(&mut options, TCA_NETEM_RATE, &rate);
    if netem.rate > u64::from(u32::MAX) {
        put_u64(&mut options, TCA_NETEM_RATE64, netem.rate);
    }
    put_u64(&mut options, TCA_NETEM_LATENCY64, netem.latency);
    put_u64(&mut options, TCA_NETEM_JITTER64, netem.jitter);
    if let Some(seed) = netem.seed {
        put_u64(&mut options, TCA_NETEM_PRNG_SEED, seed);
    }
    if let Some(distribution) = netem.distribution {
        put_attribute(&mut options, TCA_NETEM_DELAY_DIST, |value| {
            for entry in distribution::table(distribution) {
                value.put_i16_ne(entry);
            }
        });
    }
    options.freeze()
}

pub(in super::super) fn read_netem(options: &[u8]) -> Option<Netem> {
    let mut words = options.get(..QOPT)?;
    let latency = words.get_u32_ne();
    let limit = words.get_u32_ne();
    let loss = words.get_u32_ne();
    let gap = words.get_u32_ne();
    let duplicate = words.get_u32_ne();
    let jitter = words.get_u32_ne();
    let mut netem = Netem {
        latency: u64::from(latency) * TICK,
        jitter: u64::from(jitter) * TICK,
        limit,
        loss,
        gap,
        duplicate,
        ..Netem::default()
    };
    let mut fast = None;
    for (kind, mut value) in attributes(&options[QOPT..]) {
        match kind {
            TCA_NETEM_CORR => {
                netem.delay_correlation = value.try_get_u32_ne().ok()?;
                netem.loss_correlation = value.try_get_u32_ne().ok()?;
                netem.duplicate_correlation = value.try_get_u32_ne().ok()?;
            }
            TCA_NETEM_REORDER => {
                netem.reorder = value.try_get_u32_ne().ok()?;
                netem.reorder_correlation = value.try_get_u32_ne().ok()?;
            }
            TCA_NETEM_CORRUPT => {
                netem.corrupt = value.try_get_u32_ne().ok()?;
                netem.corrupt_correlation = value.try_get_u32_ne().ok()?;
            }
            TCA_NETEM_RATE => netem.rate = value.try_get_u32_ne().ok()?.into(),
            TCA_NETEM_RATE64 => fast = Some(value.try_get_u64_ne().ok()?),
            TCA_NETEM_LATENCY64 => netem.latency = value.try_get_u64_ne().ok()?,
            TCA_NETEM_JITTER64 => netem.jitter = value.try_get_u64_ne().ok()?,
            TCA_NETEM_PRNG_SEED => netem.seed = Some(value.try_get_u64_ne().ok()?),
            _ => {}
        }
    }
    // The kernel sends RATE64 before RATE.
    netem.rate = fast.unwrap_or(netem.rate);
    Some(netem)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{kernel::netlink::encode::hex, qdisc::Distribution};

    /// What iproute2 6.1 sends (strace) for `netem limit 70000 delay 50ms 1500us 50% loss 1% 50%
    /// duplicate 2% 10% reorder 25% 50% gap 5 corrupt 3% 20% rate 10mbit`.
    const EVERYTHING: &str = "c2eb0b0070110100295c8f020500000052b81e058d5b0000\
        1000010000000080000000809a999919 0c00030000000040 00000080\
        0c0004007b14ae0733333333 14000600d0121300000000000000000000000000";

    fn everything() -> Netem {
        let percent = |percent: u64| (u64::from(u32::MAX) * percent).div_ceil(100) as u32;
        Netem {
            latency: 50_000_000,
            // In ticks of iproute2: 23437.5.
            jitter: 1_500_000 - 32,
            delay_correlation: percent(50),
            distribution: None,
            limit: 70_000,
            loss: percent(1),
            loss_correlation: percent(50),
            duplicate: percent(2),
            duplicate_correlation: percent(10),
            corrupt: percent(3),
            corrupt_correlation: percent(20),
            reorder: percent(25),
            reorder_correlation: percent(50),
            gap: 5,
            rate: 1_250_000,
            seed: None,
        }
    }

    /// The words of `tc_netem_qopt`, and the attributes.
    fn parts(options: &[u8]) -> (&[u8], BTreeMap<u16, &[u8]>) {
        let (words, rest) = options.split_at(QOPT);
        (words, attributes(rest).collect())
    }

    #[test]
    fn what_iproute2_writes_is_understood() {
        assert_eq!(read_netem(&hex(EVERYTHING)), Some(everything()));
    }

    #[test]
    fn what_is_written_is_what_iproute2_writes_and_the_times_in_nanoseconds() {
        let (written, theirs) = (netem(&everything()), hex(EVERYTHING));
        let (words, mut attributes) = parts(&written);
        let jitter = everything().jitter.to_ne_bytes();
        let latency = everything().latency.to_ne_bytes();
        assert_eq!(attributes.remove(&TCA_NETEM_JITTER64), Some(&jitter[..]));
        assert_eq!(attributes.remove(&TCA_NETEM_LATENCY64), Some(&latency[..]));
        assert_eq!((words, attributes), parts(&theirs));
    }

    /// `netem limit 70000 rate 100gbit` of iproute2 6.1.
    #[test]
    fn fast_rates_are_as_iproute2_writes_them() {
        let theirs = hex("000000007011010000000000000000000000000000000000\
            0c00080000dd0ee902000000 14000600ffffffff000000000000000000000000");
        let fast = Netem {
            limit: 70_000,
            rate: 12_500_000_000,
            ..Netem::default()
        };
        assert_eq!(read_netem(&theirs), Some(fast.clone()));
        let (written, theirs) = (netem(&fast), parts(&theirs).1);
        let written = parts(&written).1;
        for kind in [TCA_NETEM_RATE, TCA_NETEM_RATE64] {
            assert_eq!(written[&kind], theirs[&kind], "{kind}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_taken_away() {
        let plain = netem(&Netem::default());
        let kinds: Vec<_> = parts(&plain).1.into_keys().collect();
        let always = [
            TCA_NETEM_CORR,
            TCA_NETEM_REORDER,
            TCA_NETEM_CORRUPT,
            TCA_NETEM_RATE,
            TCA_NETEM_LATENCY64,
            TCA_NETEM_JITTER64,
        ];
        assert_eq!(kinds, always);
    }

    #[test]
    fn what_was_written_is_read() {
        let mut example = everything();
        example.seed = Some(u64::MAX);
        example.latency = 3_600_000_000_001;
        for rate in [0, u32::MAX.into(), u64::from(u32::MAX) + 1, Netem::IN_ORDER] {
            example.rate = rate;
            assert_eq!(read_netem(&netem(&example)), Some(example.clone()));
        }
        example.distribution = Some(Distribution::Pareto);
        let written = netem(&example);
        assert!(example.reads_as(&read_netem(&written).unwrap()));
        let table = parts(&written).1[&TCA_NETEM_DELAY_DIST];
        assert_eq!(table[..2], (-5461_i16).to_ne_bytes());
    }

    #[test]
    fn options_cut_short_are_no_netem() {
        let whole = netem(&everything());
        for length in 0..QOPT {
            assert_eq!(read_netem(&whole[..length]), None, "{length} bytes");
        }
    }
}
