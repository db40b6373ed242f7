//! netem (`struct tc_netem_qopt` and TCA_NETEM_*, linux/pkt_sched.h).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{attributes, distribution, put_attribute, put_u32s, put_u64, saturated};
use crate::qdisc::Netem;

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

/// Nanoseconds of a psched tick (PSCHED_SHIFT, include/net/pkt_sched.h).
const TICK: u64 = 64;

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
