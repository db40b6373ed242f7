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
