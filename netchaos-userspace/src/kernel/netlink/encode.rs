//! The options of the qdiscs that the netlink crates do not know, as bytes.
//!
//! Reading is lenient where writing is not: kernels add fields at the end of what they send.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::qdisc::{Netem, Prio};

pub(super) fn prio(prio: &Prio) -> Bytes {
    let mut options = BytesMut::with_capacity(20);
    options.put_i32_ne(prio.bands as i32);
    options.put_slice(&prio.priomap);
    options.freeze()
}

pub(super) fn read_prio(mut options: &[u8]) -> Option<Prio> {
    let bands = options.try_get_i32_ne().ok()?.try_into().ok()?;
    let priomap = options.get(..16)?.try_into().ok()?;
    Some(Prio { bands, priomap })
}

const TCA_NETEM_CORR: u16 = 1;
const TCA_NETEM_LATENCY64: u16 = 10;
const TCA_NETEM_JITTER64: u16 = 11;
/// Length of `struct tc_netem_qopt`.
const NETEM_QOPT: usize = 24;

pub(super) fn netem(netem: &Netem) -> Bytes {
    let mut options = BytesMut::with_capacity(96);
    // latency, limit, loss, gap, duplicate, jitter. The 32-bit latency and jitter are psched
    // ticks of 64 ns; the 64-bit attributes below overrule them.
    for word in [0, netem.limit, 0, 0, 0, 0] {
        options.put_u32_ne(word);
    }
    // delay, loss and duplicate correlation. Always sent: netem keeps what is not mentioned,
    // and a change has to be able to take a correlation away.
    put_attribute(&mut options, TCA_NETEM_CORR, |value| {
        for word in [netem.delay_correlation, 0, 0] {
            value.put_u32_ne(word);
        }
    });
    put_attribute(&mut options, TCA_NETEM_LATENCY64, |value| {
        value.put_u64_ne(netem.latency);
    });
    put_attribute(&mut options, TCA_NETEM_JITTER64, |value| {
        value.put_u64_ne(netem.jitter);
    });
    options.freeze()
}

pub(super) fn read_netem(options: &[u8]) -> Option<Netem> {
    /// Nanoseconds of a psched tick (net/sched/sch_api.c, PSCHED_SHIFT).
    const TICK: u64 = 64;
    let mut words = options.get(..NETEM_QOPT)?;
    let latency = words.get_u32_ne();
    let limit = words.get_u32_ne();
    words.advance(12);
    let mut netem = Netem {
        latency: u64::from(latency) * TICK,
        jitter: u64::from(words.get_u32_ne()) * TICK,
        limit,
        ..Netem::default()
    };
    for (kind, mut value) in attributes(&options[NETEM_QOPT..]) {
        match kind {
            TCA_NETEM_CORR => netem.delay_correlation = value.try_get_u32_ne().ok()?,
            TCA_NETEM_LATENCY64 => netem.latency = value.try_get_u64_ne().ok()?,
            TCA_NETEM_JITTER64 => netem.jitter = value.try_get_u64_ne().ok()?,
            _ => {}
        }
    }
    Some(netem)
}

/// A netlink attribute (`struct nlattr`): length, kind, value, filled up to four bytes.
fn put_attribute(buffer: &mut BytesMut, kind: u16, value: impl FnOnce(&mut BytesMut)) {
    let start = buffer.len();
    buffer.put_u16_ne(0);
    buffer.put_u16_ne(kind);
    value(buffer);
    let length = (buffer.len() - start) as u16;
    buffer[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    while !buffer.len().is_multiple_of(4) {
        buffer.put_u8(0);
    }
}

/// Kind and value of each attribute, as far as they are whole.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Netem {
        Netem {
            latency: 50_000_000,
            jitter: 1_000_001,
            delay_correlation: 21_474_836,
            limit: 50_000,
            ..Netem::default()
        }
    }

    #[test]
    fn netem_reads_back_what_was_written() {
        assert_eq!(read_netem(&netem(&example())), Some(example()));
    }

    #[test]
    fn prio_reads_back_what_was_written() {
        let options = Prio {
            bands: 16,
            priomap: [0; 16],
        };
        assert_eq!(read_prio(&prio(&options)), Some(options));
    }

    /// `tc qdisc add … netem delay 50ms 1ms` of iproute2 6.1, as strace shows its TCA_OPTIONS:
    /// the words of `tc_netem_qopt` in ticks, then LATENCY64 and JITTER64.
    #[test]
    fn netem_written_by_iproute2_is_understood() {
        let mut bytes = BytesMut::new();
        for word in [781_250_u32, 1000, 0, 0, 0, 15_625] {
            bytes.put_u32_ne(word);
        }
        let without = read_netem(&bytes).unwrap();
        assert_eq!((without.latency, without.jitter), (50_000_000, 1_000_000));
        put_attribute(&mut bytes, TCA_NETEM_LATENCY64, |value| {
            value.put_u64_ne(50_000_063)
        });
        assert_eq!(read_netem(&bytes).unwrap().latency, 50_000_063);
        assert_eq!(read_netem(&bytes).unwrap().limit, 1000);
    }

    #[test]
    fn options_cut_short_are_no_netem() {
        let whole = netem(&example());
        for length in 0..NETEM_QOPT {
            assert_eq!(read_netem(&whole[..length]), None, "{length} bytes");
        }
    }
}
