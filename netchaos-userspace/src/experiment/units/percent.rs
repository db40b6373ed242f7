//! Shares in percent.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::experiment::problem::Invalid;

/// A share in percent: a finite number from 0 to 100.
///
/// Written `25`, `25%` or `0.5` (half a percent, never a fraction of one). Prints as `25%`, and
/// that string is its serde form too.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(f64);

impl Percent {
    pub const ALL: Self = Self(100.0);

    const ALLOWED: &str = "a number from 0 to 100, in percent, such as 25 or 0.5";

    /// From 0.0 to 100.0.
    pub fn get(self) -> f64 {
        self.0
    }

    pub fn is_zero(&self) -> bool {
        self.0 == 0.0
    }

    /// As the kernel takes probabilities: 0 is never, `u32::MAX` always.
    ///
    /// Rounded as iproute2 does it (`set_percent()` in tc/q_netem.c: `rint`, ties to even), so that
    /// `tc qdisc show` prints the same number for both.
    pub fn as_probability_u32(self) -> u32 {
        // A float-to-integer cast saturates, and 0..=100 cannot leave the range anyway.
        (self.0 / 100.0 * f64::from(u32::MAX)).round_ties_even() as u32
    }
}

impl FromStr for Percent {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number: f64 = text
            .strip_suffix('%')
            .unwrap_or(text)
            .parse()
            .map_err(|_| Invalid::value(text, "is not a percentage", Self::ALLOWED))?;
        if !(0.0..=100.0).contains(&number) {
            return Err(Invalid::value(text, "is out of range", Self::ALLOWED));
        }
        // `abs` turns "-0", which the range lets through, into 0.
        Ok(Self(number.abs()))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

as_text!(Percent);
