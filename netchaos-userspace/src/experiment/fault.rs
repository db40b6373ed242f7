//! What happens to a matched packet.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    problem::Invalid,
    units::{self, Percent, Rate},
};

mod notes;
#[cfg(test)]
mod tests;

/// Everything that happens to the packets of an experiment; any mix, at least one of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// Only beside `delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Chance>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Chance>,
    /// A link of this speed, as netem makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// A token bucket, as tbf makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// Nothing comes through, as over a cut cable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partition: bool,
    /// Start of netem's random numbers, for runs that repeat (Linux 6.6; without effect before).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Probabilities and correlations go to netem as Chaos Mesh passes them, whose rates are then
    /// not what was asked for, and packets are counted as the stack makes them, not as the wire
    /// carries them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict_compat: bool,
}

/// Extra time on the way, as netem makes it (tc-netem(8), DELAY OPTIONS).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delay {
    /// Added to every packet; more than zero, at most [`units::LONGEST_DELAY`].
    #[serde(with = "units::duration")]
    pub latency: Duration,
    /// Each packet gets `latency ± jitter`, spread as `distribution` says, never less than
    /// nothing. At most [`units::LONGEST_JITTER`].
    #[serde(
        default,
        with = "units::duration",
        skip_serializing_if = "Duration::is_zero"
    )]
    pub jitter: Duration,
    /// How much of the random number of one packet is carried to the next one's.
    #[serde(default, skip_serializing_if = "Percent::is_zero")]
    pub correlation: Percent,
    #[serde(default, skip_serializing_if = "Distribution::is_uniform")]
    pub distribution: Distribution,
    #[serde(default, skip_serializing_if = "JitterOrder::is_reorder")]
    pub order: JitterOrder,
}

/// How the jitter is spread (tc-netem(8), `distribution`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Evenly between latency - jitter and latency + jitter.
    #[default]
    Uniform,
    /// The jitter is the standard deviation.
    Normal,
    Pareto,
    /// A quarter normal, three quarters pareto.
    ParetoNormal,
}

impl Distribution {
    const WORDS: [(&str, Self); 4] = [
        ("uniform", Self::Uniform),
        ("normal", Self::Normal),
        ("pareto", Self::Pareto),
        ("paretonormal", Self::ParetoNormal),
    ];

    pub fn is_uniform(&self) -> bool {
        *self == Self::Uniform
    }
}

/// Whether a packet with less delay overtakes one with more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JitterOrder {
    /// It does, as netem has it.
    #[default]
    Reorder,
    /// It waits for the one before it.
    Keep,
}

impl FromStr for Distribution {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Invalid::unless_word(text, &Self::WORDS, "is not a distribution")
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, meaning)| meaning == self);
        f.write_str(word.map_or("", |(word, _)| *word))
    }
}

impl JitterOrder {
    pub fn is_reorder(&self) -> bool {
        *self == Self::Reorder
    }
}

impl FromStr for JitterOrder {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let words = [("keep", Self::Keep), ("reorder", Self::Reorder)];
        Invalid::unless_word(text, &words, "is not an order")
    }
}

/// Packets that go at once and overtake the delayed ones (tc-netem(8), `reorder`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reorder {
    pub percent: Percent,
    #[serde(default, skip_serializing_if = "Percent::is_zero")]
    pub correlation: Percent,
    /// Every `gap`-th packet is a candidate; 0 and 1 are every packet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gap: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Loss {
    Random(Chance),
    GilbertElliott(GilbertElliott),
}

/// Loss by a chain of two states (tc-netem(8), `loss gemodel`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GilbertElliott {
    /// From the good state to the bad one, for each packet: `p`.
    pub worsen: Percent,
    /// From the bad state to the good one: `r`.
    pub recover: Percent,
    /// Packets lost in the bad state, `1-h`; 100 where it is not said.
    #[serde(default = "all")]
    pub bad: Percent,
    /// Packets lost in the good state, `1-k`.
    #[serde(default, skip_serializing_if = "Percent::is_zero")]
    pub good: Percent,
}

/// A share of the packets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chance {
    pub percent: Percent,
    /// How likely the next packet meets the fate of this one.
    #[serde(default, skip_serializing_if = "Percent::is_zero")]
    pub correlation: Percent,
}

/// A token bucket (tc-tbf(8)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bandwidth {
    pub rate: Rate,
    /// Bytes that may wait for tokens; what comes beyond is dropped.
    pub limit: u32,
    /// Bytes of the bucket. Not less than the longest frame of the device, since a longer one would
    /// never fit.
    pub buffer: u32,
    /// The fastest that the bucket may be emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peakrate: Option<Rate>,
    /// Bytes of the bucket for `peakrate`, tc's `mtu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minburst: Option<u32>,
}

impl Bandwidth {
    /// Bytes of the smallest bucket that is chosen for somebody: room for a jumbo frame (9000 bytes
    /// with its headers).
    pub const SMALLEST_BUFFER: u32 = 10 << 10;

    /// A rate with the bucket and the queue that go with it where nobody says them.
    ///
    /// The bucket holds 10 ms of the rate, which is the longest jiffy (tc-tbf(8), `burst`: "at
    /// least rate / HZ"), and never less than [`Self::SMALLEST_BUFFER`]. The queue holds what the
    /// bucket does and 50 ms more, as with tc's `latency 50ms`.
    pub fn of(rate: Rate) -> Self {
        const BUFFER_MILLISECONDS: u64 = 10;
        const QUEUE_MILLISECONDS: u64 = 50;
        let bytes = |milliseconds: u64| {
            let bytes = u128::from(rate.bytes_per_second()) * u128::from(milliseconds);
            u32::try_from(bytes / 1000).unwrap_or(u32::MAX)
        };
        let buffer = bytes(BUFFER_MILLISECONDS).max(Self::SMALLEST_BUFFER);
        Self {
            rate,
            limit: bytes(QUEUE_MILLISECONDS).saturating_add(buffer),
            buffer,
            peakrate: None,
            minburst: None,
        }
    }

    /// The same with another rate. What nobody chose goes with it.
    pub fn at(self, rate: Rate) -> Self {
        let old = Self::of(self.rate);
        let chosen = |now, old| (now != old).then_some(now);
        let (limit, buffer) = (
            chosen(self.limit, old.limit),
            chosen(self.buffer, old.buffer),
        );
        Self {
            peakrate: self.peakrate,
            minburst: self.minburst,
            ..Self::of(rate).with(limit, buffer)
        }
    }

    /// The same with what somebody chose.
    pub fn with(self, limit: Option<u32>, buffer: Option<u32>) -> Self {
        Self {
            limit: limit.unwrap_or(self.limit),
            buffer: buffer.unwrap_or(self.buffer),
            ..self
        }
    }
}

impl Loss {
    /// Nothing is ever lost. The chain of a Gilbert-Elliott loss starts in the good state.
    fn is_idle(&self) -> bool {
        match self {
            Self::Random(chance) => chance.percent.is_zero(),
            Self::GilbertElliott(chain) => {
                chain.good.is_zero() && (chain.worsen.is_zero() || chain.bad.is_zero())
            }
        }
    }
}

fn all() -> Percent {
    Percent::ALL
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Fault {
    /// Nothing happens at all.
    pub fn is_empty(&self) -> bool {
        let Self {
            delay,
            reorder,
            loss,
            duplicate,
            corrupt,
            rate,
            bandwidth,
            partition,
            seed: _,
            strict_compat: _,
        } = self;
        delay.is_none()
            && reorder.is_none()
            && loss.is_none()
            && duplicate.is_none()
            && corrupt.is_none()
            && rate.is_none()
            && bandwidth.is_none()
            && !partition
    }

    /// Without the parts that would do nothing, which are those of 0 percent.
    pub fn without_idle(self) -> Self {
        let busy = |chance: &Chance| !chance.percent.is_zero();
        Self {
            reorder: self.reorder.filter(|reorder| !reorder.percent.is_zero()),
            loss: self.loss.filter(|loss| !loss.is_idle()),
            duplicate: self.duplicate.filter(busy),
            corrupt: self.corrupt.filter(busy),
            ..self
        }
    }
}
