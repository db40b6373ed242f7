//! Numbers with a unit: percentages, rates, sizes and durations, and the bounds that netem sets to
//! them.

use std::time::Duration;

use super::problem::Invalid;

pub use self::{
    percent::Percent,
    rate::{Rate, parse_size},
};

mod percent;
mod rate;
#[cfg(test)]
mod tests;

/// The longest latency that is accepted.
///
/// The kernel has no bound of its own here (`TCA_NETEM_LATENCY64` is an `s64` of nanoseconds,
/// net/sched/sch_netem.c). This one is ours: netem keeps every held packet in memory and a removal
/// waits for them, no protocol waits so long for an answer, and the longer value is far more
/// likely a wrong unit.
pub const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// The longest jitter that netem can make: `INT_MAX` nanoseconds, 2.147483647 s.
///
/// `netem_change()` in net/sched/sch_netem.c caps what is more ("capping jitter to the range
/// acceptable by tabledist()") without a word, so a longer jitter would be a promise not kept.
pub const LONGEST_JITTER: Duration = Duration::from_nanos(i32::MAX as u64);

const DURATION_ALLOWED: &str = "a number with ns, us, ms, s, m or h, such as 50ms or 1m30s";

/// The units of a duration and their nanoseconds; a longer name stands before its own beginning.
/// Both Unicode characters for micro are known, as in Go.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration in the grammar of Go's `time.ParseDuration`, which Chaos Mesh uses: `50ms`,
/// `1.5s`, `1m30s`, and `0` without a unit. Exact to the nanosecond; what is finer is cut off.
///
/// # Errors
/// No number, no known unit, a sign, or more than `i64::MAX` ns (292 years, Go's bound).
pub fn parse_duration(text: &str) -> Result<Duration, Invalid> {
    let refuse = |message: &str| Err(Invalid::value(text, message, DURATION_ALLOWED));
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return refuse("is not a duration");
    }
    let mut rest = text;
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() {
        let Some((part, after)) = leading_part(rest) else {
            return refuse(if rest.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                "has no unit"
            } else {
                "is not a duration"
            });
        };
        // `part` fits: see MOST_DIGITS.
        nanoseconds += part;
        if nanoseconds > i64::MAX as u128 {
            return refuse("is too long");
        }
        rest = after;
    }
    Ok(Duration::from_nanos(nanoseconds as u64))
}

/// Digits that are looked at before and after the point. An hour's 3.6e12 ns times 10^24 fits a
/// `u128`; more digits before the point are too long anyway, more after it below a nanosecond.
const MOST_DIGITS: usize = 24;

/// The nanoseconds of the first `number unit` of `text`, and what follows it.
fn leading_part(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (name, unit) = UNITS.iter().find(|(name, _)| rest.starts_with(name))?;
    let unit = u128::from(*unit);
    let whole = whole.trim_start_matches('0');
    let whole: u128 = if whole.len() > MOST_DIGITS {
        10_u128.pow(MOST_DIGITS as u32)
    } else {
        whole.parse().unwrap_or(0)
    };
    let fraction = &fraction[..fraction.len().min(MOST_DIGITS)];
    let scale = 10_u128.pow(fraction.len() as u32);
    let fraction: u128 = fraction.parse().unwrap_or(0);
    Some((whole * unit + fraction * unit / scale, &rest[name.len()..]))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

/// Reads the latency of a delay: more than zero, at most [`LONGEST_DELAY`].
///
/// # Errors
/// What [`parse_duration`] refuses, and what is out of range.
pub fn parse_latency(text: &str) -> Result<Duration, Invalid> {
    let latency = parse_duration(text)?;
    check_latency(latency).map_err(|invalid| invalid.within(text))?;
    Ok(latency)
}

/// Reads the jitter of a delay: zero to [`LONGEST_JITTER`].
///
/// # Errors
/// What [`parse_duration`] refuses, and what is out of range.
pub fn parse_jitter(text: &str) -> Result<Duration, Invalid> {
    let jitter = parse_duration(text)?;
    check_jitter(jitter).map_err(|invalid| invalid.within(text))?;
    Ok(jitter)
}

/// Reads how long an experiment lasts: more than zero.
///
/// # Errors
/// What [`parse_duration`] refuses, and zero.
pub fn parse_lifetime(text: &str) -> Result<Duration, Invalid> {
    let lifetime = parse_duration(text)?;
    check_lifetime(lifetime).map_err(|invalid| invalid.within(text))?;
    Ok(lifetime)
}

/// Reads a whole number from 0 to `most`.
///
/// # Errors
/// Anything else, such as a sign.
pub fn parse_whole(text: &str, most: u64) -> Result<u64, Invalid> {
    let allowed = || format!("a whole number from 0 to {most}");
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Invalid::value(text, "is not a whole number", allowed()));
    }
    let number = text.parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| Invalid::value(text, "is too large", allowed()))
}

/// Reads the gap of a reordering, as [`parse_whole`]: 0 to `u32::MAX`.
///
/// # Errors
/// Anything else.
pub fn parse_gap(text: &str) -> Result<u32, Invalid> {
    // What is accepted fits.
    parse_whole(text, u32::MAX.into()).map(|gap| gap as u32)
}

pub(super) fn check_latency(latency: Duration) -> Result<(), Invalid> {
    let allowed = || format!("more than 0, at most {}", format_duration(LONGEST_DELAY));
    let value = || format_duration(latency);
    if latency.is_zero() {
        Err(Invalid::value(value(), "would delay nothing", allowed()))
    } else if latency > LONGEST_DELAY {
        Err(Invalid::value(value(), "is too long", allowed()))
    } else {
        Ok(())
    }
}

pub(super) fn check_jitter(jitter: Duration) -> Result<(), Invalid> {
    if jitter <= LONGEST_JITTER {
        return Ok(());
    }
    Err(Invalid::value(
        format_duration(jitter),
        "is more than the kernel's netem can do",
        format!("0 to {}", format_duration(LONGEST_JITTER)),
    ))
}

pub(super) fn check_lifetime(lifetime: Duration) -> Result<(), Invalid> {
    if !lifetime.is_zero() {
        return Ok(());
    }
    Err(Invalid::value(
        format_duration(lifetime),
        "would end at once",
        "more than 0, or nothing at all to last until it is removed",
    ))
}

/// Writes a duration so that [`parse_duration`] reads the same one back: `50ms`, `1.5s`, `2m`,
/// `1h30m`. Shorter than Go's `String` ("2m0s"): parts that are zero are left out.
pub fn format_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    if nanoseconds < 1_000_000_000 {
        let (name, unit) = [("ms", 1_000_000), ("us", 1_000), ("ns", 1)]
            .into_iter()
            .find(|(_, unit)| nanoseconds >= *unit)
            .unwrap_or(("ns", 1));
        return format!("{}{name}", decimal(nanoseconds, unit));
    }
    let mut text = String::new();
    let seconds = duration.as_secs();
    for (name, value) in [("h", seconds / 3600), ("m", seconds / 60 % 60)] {
        if value > 0 {
            text += &format!("{value}{name}");
        }
    }
    let below_a_minute = nanoseconds % 60_000_000_000;
    if below_a_minute > 0 {
        text += &format!("{}s", decimal(below_a_minute, 1_000_000_000));
    }
    text
}

/// `value / unit` in decimal, exact; `unit` is a power of ten.
fn decimal(value: u128, unit: u128) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// Durations as strings in Go's grammar, for `#[serde(with = …)]`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format_duration(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The same for a duration that may be absent.
pub mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| super::parse_duration(&text).map_err(D::Error::custom))
            .transpose()
    }
}
