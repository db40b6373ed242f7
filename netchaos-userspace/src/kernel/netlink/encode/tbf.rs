//! tbf (`struct tc_tbf_qopt` and TCA_TBF_*, linux/pkt_sched.h).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{attributes, put_attribute, put_u32s, put_u64, saturated};
use crate::qdisc::Tbf;

const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_PRATE64: u16 = 5;
const TCA_TBF_BURST: u16 = 6;
const TCA_TBF_PBURST: u16 = 7;

/// Without the tables RTAB and PTAB, which kernels have not looked into since 3.8: they take the
/// sizes of the buckets from BURST and PBURST (3.13), in bytes.
pub(in super::super) fn tbf(tbf: &Tbf) -> Bytes {
    let mut options = BytesMut::with_capacity(96);
    put_attribute(&mut options, TCA_TBF_PARMS, |value| {
        put_rate(value, tbf.rate);
        put_rate(value, tbf.peakrate);
        value.put_u32_ne(tbf.limit);
        value.put_u32_ne(Tbf::ticks(tbf.burst, tbf.rate));
        value.put_u32_ne(Tbf::ticks(tbf.mtu, tbf.peakrate));
    });
    put_u32s(&mut options, TCA_TBF_BURST, &[tbf.burst]);
    if tbf.rate > u64::from(u32::MAX) {
        put_u64(&mut options, TCA_TBF_RATE64, tbf.rate);
    }
    if tbf.peakrate > 0 {
        put_u32s(&mut options, TCA_TBF_PBURST, &[tbf.mtu]);
    }
    if tbf.peakrate > u64::from(u32::MAX) {
        put_u64(&mut options, TCA_TBF_PRATE64, tbf.peakrate);
    }
    options.freeze()
}

/// `struct tc_ratespec`.
fn put_rate(value: &mut BytesMut, rate: u64) {
    /// A packet is as long as it is (TC_LINKLAYER_ETHERNET); 0 would let the kernel look for a
    /// table.
    const ETHERNET: u8 = 1;
    value.put_u8(0); // cell_log, of the table
    value.put_u8(if rate > 0 { ETHERNET } else { 0 });
    value.put_u16_ne(0); // overhead
    value.put_i16_ne(0); // cell_align
    value.put_u16_ne(0); // mpu
    value.put_u32_ne(saturated(rate));
}

/// The buckets are read from their ticks, and are rounded so.
pub(in super::super) fn read_tbf(options: &[u8]) -> Option<Tbf> {
    let (mut parameters, mut fast, mut fast_peak) = (None, None, None);
    for (kind, mut value) in attributes(options) {
        match kind {
            TCA_TBF_PARMS => parameters = Some(value),
            TCA_TBF_RATE64 => fast = Some(value.try_get_u64_ne().ok()?),
            TCA_TBF_PRATE64 => fast_peak = Some(value.try_get_u64_ne().ok()?),
            _ => {}
        }
    }
    let mut parameters = parameters?;
    let slow = read_rate(&mut parameters)?;
    let slow_peak = read_rate(&mut parameters)?;
    let rate = fast.unwrap_or(slow.into());
    let peakrate = fast_peak.unwrap_or(slow_peak.into());
    Some(Tbf {
        rate,
        peakrate,
        limit: parameters.try_get_u32_ne().ok()?,
        burst: Tbf::bytes(parameters.try_get_u32_ne().ok()?, rate),
        mtu: Tbf::bytes(parameters.try_get_u32_ne().ok()?, peakrate),
    })
}

fn read_rate(parameters: &mut &[u8]) -> Option<u32> {
    parameters.try_get_u64_ne().ok()?;
    parameters.try_get_u32_ne().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kernel::netlink::encode::hex;

    /// What iproute2 6.1 sends (strace), its tables left out, for `tbf rate 10mbit burst 10000
    /// limit 20000 peakrate 20mbit mtu 1600`.
    const SLOW: &str = "28000100 03010000ffff0000d0121300 03010000ffff0000a0252600\
        204e000048e8010010270000 0800060010270000 0800070040060000";
    /// And for `tbf rate 40gbit burst 1000000 limit 20000 peakrate 80gbit mtu 9000`.
    const FAST: &str = "28000100 06010000ffff0000ffffffff 06010000ffff0000ffffffff\
        204e0000290e00001f000000 0800060040420f00 0c00040000f2052a01000000\
        0c00050000e40b5402000000 0800070028230000";

    fn slow() -> Tbf {
        Tbf {
            rate: 1_250_000,
            limit: 20_000,
            burst: 10_000,
            peakrate: 2_500_000,
            mtu: 1600,
        }
    }

    fn fast() -> Tbf {
        Tbf {
            rate: 5_000_000_000,
            limit: 20_000,
            burst: 1_000_000,
            peakrate: 10_000_000_000,
            mtu: 9000,
        }
    }

    #[test]
    fn what_iproute2_writes_is_understood() {
        assert_eq!(read_tbf(&hex(SLOW)), Some(slow()));
        let found = read_tbf(&hex(FAST)).unwrap();
        let rates = (fast().rate, fast().peakrate, fast().limit);
        assert_eq!((found.rate, found.peakrate, found.limit), rates);
    }

    #[test]
    fn what_is_written_is_what_iproute2_writes() {
        for (example, theirs) in [(slow(), hex(SLOW)), (fast(), hex(FAST))] {
            let written = tbf(&example);
            let mut written: BTreeMap<_, _> = attributes(&written).collect();
            let mut theirs: BTreeMap<_, _> = attributes(&theirs).collect();
            let ours = written.remove(&TCA_TBF_PARMS).unwrap();
            let their = theirs.remove(&TCA_TBF_PARMS).unwrap();
            assert_eq!(written, theirs, "{example}");
            // The rest of each rate, cell_log and cell_align, is about the tables.
            for of_rate in [1..2, 6..12, 13..14, 18..24] {
                assert_eq!(ours[of_rate.clone()], their[of_rate], "{example}");
            }
            // Of a fast one iproute2's ticks are not exact; BURST and PBURST overrule them.
            let end = if example == slow() { 36 } else { 28 };
            assert_eq!(ours[24..end], their[24..end], "{example}");
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let plain = Tbf {
            peakrate: 0,
            mtu: 0,
            ..slow()
        };
        for example in [plain, slow(), fast()] {
            let found = read_tbf(&tbf(&example)).unwrap();
            assert!(example.reads_as(&found), "{example} {found}");
        }
    }

    #[test]
    fn options_cut_short_are_no_tbf() {
        let whole = tbf(&fast());
        for length in 0..40 {
            assert_eq!(read_tbf(&whole[..length]), None, "{length} bytes");
        }
    }
}
