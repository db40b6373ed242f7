//! Rates and sizes, as tc(8) writes them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::experiment::problem::Invalid;

/// A speed in bytes per second, never 0.
///
/// Its text form is tc's (tc(8), PARAMETERS, "Rates"): a decimal number with `bit`, `kbit`, `mbit`,
/// `gbit`, `tbit` (bits per second) or `bps`, `kbps`, `mbps`, `gbps`, `tbps` (bytes per second),
/// all decimal: `1mbps` is 8 Mbit/s. A number without a unit, which tc takes for bits per second,
/// is refused: who writes it rarely means that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(u64);

impl Rate {
    const ALLOWED: &str = "a number with bit, kbit, mbit, gbit or tbit (bits per second), or bps, \
         kbps, mbps, gbps or tbps (bytes per second), such as 10mbit";

    /// Suffixes and the bits per second of one; a longer one stands before its own end.
    const SUFFIXES: [(&str, u64); 10] = [
        ("kbit", 1_000),
        ("mbit", 1_000_000),
        ("gbit", 1_000_000_000),
        ("tbit", 1_000_000_000_000),
        ("tbps", 8_000_000_000_000),
        ("gbps", 8_000_000_000),
        ("mbps", 8_000_000),
        ("kbps", 8_000),
        ("bps", 8),
        ("bit", 1),
    ];

    pub const fn bytes_per_second(self) -> u64 {
        self.0
    }

    /// None for less than a byte per second.
    pub fn from_bits_per_second(bits: u64) -> Option<Self> {
        (bits >= 8).then_some(Self(bits / 8))
    }

    /// As [`Rate::from_str`], and none for a rate of 0.
    ///
    /// # Errors
    /// What [`Rate::from_str`] refuses beside 0.
    pub(in crate::experiment) fn parse_or_none(text: &str) -> Result<Option<Self>, Invalid> {
        let refuse = |message| Err(Invalid::value(text, message, Self::ALLOWED));
        let lower = text.trim().to_ascii_lowercase();
        let Some((number, unit)) = Self::SUFFIXES
            .iter()
            .find_map(|(suffix, unit)| Some((lower.strip_suffix(suffix)?.trim_end(), *unit)))
        else {
            return refuse("has no unit of a rate");
        };
        let Some(bits) = product(number, unit) else {
            return refuse("is not a rate");
        };
        if bits == 0 && !number.bytes().any(|b| matches!(b, b'1'..=b'9')) {
            return Ok(None);
        }
        let Ok(bits) = u64::try_from(bits) else {
            return refuse("is too fast");
        };
        match Self::from_bits_per_second(bits) {
            None => refuse("is less than a byte per second"),
            rate => Ok(rate),
        }
    }
}

/// A decimal number times a unit, without the fraction that is left. None for what is no number.
fn product(number: &str, unit: u64) -> Option<u128> {
    /// Digits that are looked at: so many of both sides times the largest unit fit a `u128`, more
    /// in front are too many for every use, and more behind are below one of anything.
    const MOST_DIGITS: usize = 24;
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() > MOST_DIGITS {
        return Some(u128::MAX);
    }
    let fraction = &fraction[..fraction.len().min(MOST_DIGITS)];
    let scale = 10_u128.pow(fraction.len() as u32);
    let number = |digits: &str| digits.parse::<u128>().unwrap_or(0);
    Some(number(whole) * u128::from(unit) + number(fraction) * u128::from(unit) / scale)
}

impl FromStr for Rate {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let message = "is no rate; nothing would come through";
        Self::parse_or_none(text)?
            .ok_or_else(|| Invalid::value(text, message, "a rate of more than 0"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from(self.0) * 8;
        let (name, unit) = [
            ("tbit", 1_000_000_000_000),
            ("gbit", 1_000_000_000),
            ("mbit", 1_000_000),
            ("kbit", 1_000),
        ]
        .into_iter()
        .find(|(_, unit)| bits >= *unit)
        .unwrap_or(("bit", 1));
        write!(f, "{}{name}", super::decimal(bits, unit))
    }
}

as_text!(Rate);

/// Reads a number of bytes as tc does (tc(8), PARAMETERS, "Sizes"): alone or with `b`, with `k` or
/// `kb`, `m` or `mb`, `g` or `gb`, which are powers of 1024 here, or in bits as `kbit`, `mbit`,
/// `gbit`, an eighth of those.
///
/// # Errors
/// What is no such number, 0, and more than a `u32` holds.
pub fn parse_size(text: &str) -> Result<u32, Invalid> {
    const ALLOWED: &str = "bytes from 1 to 4294967295, as a number alone or with k or kb (1024 \
         bytes), m or mb, g or gb, such as 32kb";
    const UNITS: [(&str, u64); 11] = [
        ("kbit", 1 << 7),
        ("mbit", 1 << 17),
        ("gbit", 1 << 27),
        ("kb", 1 << 10),
        ("mb", 1 << 20),
        ("gb", 1 << 30),
        ("k", 1 << 10),
        ("m", 1 << 20),
        ("g", 1 << 30),
        ("b", 1),
        ("", 1),
    ];
    let refuse = |message| Err(Invalid::value(text, message, ALLOWED));
    let lower = text.to_ascii_lowercase();
    let size = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((lower.strip_suffix(suffix)?, *unit)))
        .and_then(|(number, unit)| product(number, unit));
    match size.map(u32::try_from) {
        None => refuse("is not a size"),
        Some(Err(_)) => refuse("is too large"),
        Some(Ok(0)) => refuse("holds nothing"),
        Some(Ok(size)) => Ok(size),
    }
}
