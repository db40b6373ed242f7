//! How far a count may lie from what was asked before chance is no excuse any more.
//!
//! Every test of a rate goes through [`Chain::accepted`], so that one number, [`FALSE_ALARM`], says
//! how often the suite refuses a fault that is right.

use std::ops::RangeInclusive;

/// The chance that one check refuses a fault that does what was asked. A run of the whole suite
/// makes fewer than 500 checks, on two kernels: less than one false alarm in a million runs.
pub const FALSE_ALARM: f64 = 1e-9;

/// Loss (or another fate) by a chain of two states, as Gilbert and Elliott have it and
/// tc-netem(8) names it. All are shares, from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// From the good state to the bad one, for each packet.
    pub worsen: f64,
    /// From the bad state to the good one.
    pub recover: f64,
    /// Packets that are hit in the bad state.
    pub bad: f64,
    /// Packets that are hit in the good state.
    pub good: f64,
}

impl Chain {
    /// Each packet for itself: a chain that forgets at once.
    pub const fn random(share: f64) -> Self {
        Self::correlated(share, 0.0)
    }

    /// The asked share of hits, and `correlation` more of them behind a hit.
    pub const fn correlated(share: f64, correlation: f64) -> Self {
        Self {
            worsen: share * (1.0 - correlation),
            recover: (1.0 - share) * (1.0 - correlation),
            bad: 1.0,
            good: 0.0,
        }
    }

    /// The share of packets that are hit in the long run.
    pub fn share(&self) -> f64 {
        let bad = self.worsen / (self.worsen + self.recover);
        bad * self.bad + (1.0 - bad) * self.good
    }

    /// How many of `count` packets may be hit: what is outside has less than [`FALSE_ALARM`].
    ///
    /// By Chernoff's bound with the exact moment generating function. With `S` the number of hits,
    /// `P(S >= k) <= E[exp(t S)] / exp(t k)` for every `t > 0`, and the same below for `t < 0`. For
    /// a chain `E[exp(t S)]` is a product of `count` matrices (two by two), so that memory from
    /// packet to packet is part of the bound and not assumed away. Every `t` gives a true bound;
    /// the best of some hundred accepts less than a fifth more than the exact tails would.
    /// The chain may begin in either state.
    pub fn accepted(&self, count: u64) -> RangeInclusive<u64> {
        // Half of it for each side.
        let surprise = (2.0 / FALSE_ALARM).ln();
        let steps = (0..400).map(|step| 1e-4 * 1.0335_f64.powi(step));
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for tilt in steps {
            let above = self.log_moment(tilt, count);
            high = high.min((above + surprise) / tilt);
            let below = self.log_moment(-tilt, count);
            low = low.max(-(below + surprise) / tilt);
        }
        // `high` and `low` themselves are refused. Casts of what is below zero give zero.
        let first = if low < 0.0 { 0 } else { low.floor() as u64 + 1 };
        let last = (high.ceil() as u64).saturating_sub(1).min(count);
        first..=last
    }

    /// `ln E[exp(tilt * hits)]` among `count` packets, from the worse of the two first states.
    fn log_moment(&self, tilt: f64, count: u64) -> f64 {
        let weight = |hit: f64| 1.0 - hit + hit * tilt.exp();
        let (good, bad) = (weight(self.good), weight(self.bad));
        let step = [
            [good * (1.0 - self.worsen), good * self.worsen],
            [bad * self.recover, bad * (1.0 - self.recover)],
        ];
        let (power, logarithm) = power(step, count);
        let sums = power.map(|row| row[0] + row[1]);
        sums[0].max(sums[1]).ln() + logarithm
    }
}

type Matrix = [[f64; 2]; 2];

/// A power of a matrix, and the logarithm of the factor that was taken out of it.
fn power(mut base: Matrix, mut exponent: u64) -> (Matrix, f64) {
    let mut result = [[1.0, 0.0], [0.0, 1.0]];
    let (mut result_log, mut base_log) = (0.0, 0.0);
    while exponent > 0 {
        if exponent & 1 == 1 {
            let (product, logarithm) = product(&result, &base);
            result = product;
            result_log += base_log + logarithm;
        }
        let (square, logarithm) = product(&base, &base);
        base = square;
        base_log = 2.0 * base_log + logarithm;
        exponent >>= 1;
    }
    (result, result_log)
}

/// Scaled so that its largest entry is 1, with the logarithm of the scale.
fn product(one: &Matrix, other: &Matrix) -> (Matrix, f64) {
    let entry =
        |row: usize, column: usize| one[row][0] * other[0][column] + one[row][1] * other[1][column];
    let matrix = [[entry(0, 0), entry(0, 1)], [entry(1, 0), entry(1, 1)]];
    let scale = matrix.as_flattened().iter().copied().fold(0.0, f64::max);
    (matrix.map(|row| row.map(|entry| entry / scale)), scale.ln())
}

/// # Panics
/// When so many hits among so many packets are no accident.
#[track_caller]
pub fn assert_share(what: &str, hits: u64, count: u64, chain: &Chain) {
    let accepted = chain.accepted(count);
    println!("{what}: {hits} of {count}, {accepted:?} accepted");
    assert!(
        accepted.contains(&hits),
        "{what}: {hits} of {count}, but {accepted:?} would be right, {:.0} on average",
        chain.share() * count as f64
    );
}

/// Asserts that hits stand together as in a chain whose bad state hits every packet and whose good
/// state none, and not as at random. `hit` are the numbers of the packets that were hit, sorted.
///
/// A hit is followed by another one with the chance `1 - recover`, whatever was before. The
/// successors of the first `m` hits are so many independent trials if `m` is fixed beforehand;
/// [`Chain::accepted`] says how many hits there are at least.
///
/// # Panics
/// When they do not, or `count` is too small to tell.
#[track_caller]
pub fn assert_bursts(what: &str, hit: &[u64], count: u64, chain: &Chain) {
    let trials = chain.accepted(count).start().saturating_sub(1);
    let first = usize::try_from(trials).expect("fewer than memory has");
    assert!(hit.len() > first, "{what}: only {} hits", hit.len());
    let followed = hit
        .windows(2)
        .take(first)
        .filter(|two| two[1] == two[0] + 1)
        .count() as u64;
    assert_share(
        &format!("{what}: hits behind hits"),
        followed,
        trials,
        &Chain::random(1.0 - chain.recover),
    );
    let at_random = Chain::random(chain.share()).accepted(trials);
    assert!(
        !at_random.contains(&followed),
        "{what}: {followed} of {trials} hits stand behind another, as at random ({at_random:?})"
    );
}

/// How far the share of a sample may lie above a distribution function, or below it, at any point
/// at all: the bound of Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990).
pub fn deviation(sample: usize) -> f64 {
    ((1.0 / FALSE_ALARM).ln() / (2.0 * sample as f64)).sqrt()
}
