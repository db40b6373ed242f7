//! The forms of values in a `NetworkChaos`, where they are not those of the flags.

use std::{ops::RangeInclusive, time::Duration};

use crate::experiment::{Percent, problem::Invalid, units, yaml::Field};

/// Reads a string, which Kubernetes does not take numbers for.
pub(super) fn string<T>(
    field: &Field,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Option<T> {
    field.accept(parse(field.string()?))
}

/// Reads a whole number, which Kubernetes does not take strings for.
pub(super) fn number(field: &Field, range: RangeInclusive<u64>, allowed: &str) -> Option<u64> {
    let text = field.number(allowed)?;
    let number = text.parse().ok().filter(|number| range.contains(number));
    field.accept(number.ok_or_else(|| Invalid::value(text, "is out of range", allowed)))
}

pub(super) const DURATION_ALLOWED: &str = "one number with ns, us, ms, s, m or h, such as 50ms";

/// A duration by the pattern of the CRD, `^[0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h)$`, which is narrower
/// than Go's grammar.
pub(super) fn one_number(text: &str) -> Result<Duration, Invalid> {
    let duration = units::parse_duration(text).map_err(|invalid| Invalid {
        allowed: Some(DURATION_ALLOWED.to_owned()),
        ..invalid
    })?;
    let number = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if number == text || !digits(whole) || !digits(fraction) {
        let message = "does not have the form that Chaos Mesh takes here";
        return Err(Invalid::value(text, message, DURATION_ALLOWED));
    }
    Ok(duration)
}

/// A percentage as a float string; an empty one is zero.
pub(super) fn read_percent(text: &str) -> Result<Percent, Invalid> {
    match text {
        "" => Ok(Percent::default()),
        _ if text.ends_with('%') => Err(Invalid::value(
            text,
            "has a percent sign, which Chaos Mesh does not take",
            "the number alone, in quotes, such as \"25\"",
        )),
        _ => text.parse(),
    }
}
