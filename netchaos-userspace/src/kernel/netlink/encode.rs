//! The options of the qdiscs that the netlink crates do not know, as bytes.
//!
//! Reading is lenient where writing is not: kernels add fields at the end of what they send.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

pub(super) use self::{
    netem::{netem, read_netem},
    tbf::{read_tbf, tbf},
};
use crate::qdisc::Prio;

mod distribution;
mod netem;
mod tbf;

/// `rate` in a 32-bit field, as the kernel shows it too: all ones where a 64-bit attribute says it.
fn saturated(rate: u64) -> u32 {
    u32::try_from(rate).unwrap_or(u32::MAX)
}

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

/// A netlink attribute (`struct nlattr`): length, kind, value, filled up to four bytes.
pub(super) fn put_attribute(buffer: &mut BytesMut, kind: u16, value: impl FnOnce(&mut BytesMut)) {
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

fn put_u32s(buffer: &mut BytesMut, kind: u16, words: &[u32]) {
    put_attribute(buffer, kind, |value| {
        words.iter().for_each(|word| value.put_u32_ne(*word));
    });
}

fn put_u64(buffer: &mut BytesMut, kind: u16, word: u64) {
    put_attribute(buffer, kind, |value| value.put_u64_ne(word));
}

/// Kind and value of each attribute, as far as they are whole.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Bytes from hexadecimal digits; blanks are skipped.
#[cfg(test)]
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prio_reads_back_what_was_written() {
        let options = Prio {
            bands: 16,
            priomap: [0; 16],
        };
        assert_eq!(read_prio(&prio(&options)), Some(options));
    }
}
