//! netem's tables for the spread of the jitter: the inverse distribution function at evenly spaced
//! points, in 1/8192 (NETEM_DIST_SCALE, linux/pkt_sched.h) of a standard deviation. netem draws one
//! entry for each packet.
//!
//! The curves are those of iproute2's normal.dist, pareto.dist and paretonormal.dist, so that a
//! name means the same here and there.

use std::{f64::consts::SQRT_2, iter};

use crate::qdisc::Distribution;

/// The kernel takes up to 16384 (NETEM_DIST_MAX).
const ENTRIES: u32 = 4096;
/// NETEM_DIST_SCALE.
const SCALE: f64 = 8192.0;

pub(super) fn table(distribution: Distribution) -> Vec<i16> {
    match distribution {
        Distribution::Normal => normal().map(entry).collect(),
        Distribution::Pareto => pareto().map(entry).collect(),
        Distribution::ParetoNormal => iter::zip(normal(), pareto())
            .map(|(normal, pareto)| entry(((normal + 3.0 * pareto) / 4.0).trunc()))
            .collect(),
    }
}

/// A cast that keeps to the bounds: about 4 standard deviations.
fn entry(value: f64) -> i16 {
    value as i16
}

/// The normal distribution, mean 0 and deviation 1. iproute2 has 16384 points, the half of a step
/// off, and takes each fourth.
fn normal() -> impl Iterator<Item = f64> {
    (0..ENTRIES).scan(-5.0, |from, index| {
        let share = (f64::from(4 * index) + 0.5) / f64::from(4 * ENTRIES);
        *from = normal_quantile(share, *from);
        Some((*from * SCALE).round_ties_even())
    })
}

/// Where the normal distribution reaches `share`, which is not below `from`: by halves, since
/// neither std nor libm has the inverse.
fn normal_quantile(share: f64, from: f64) -> f64 {
    let (mut low, mut high) = (from, 5.0);
    // 10 / 2^40 is finer than any entry.
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if 0.5 + 0.5 * libm::erf(middle / SQRT_2) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The Pareto distribution of exponent 3, moved to mean 0 and scaled, and cut where an entry ends.
fn pareto() -> impl Iterator<Item = f64> {
    (0..ENTRIES).map(|index| {
        let above = 1.0 - f64::from(index) / f64::from(ENTRIES);
        let value = (above.powf(-1.0 / 3.0) - 1.5) * 4.0 / 3.0;
        (value * SCALE).round_ties_even().min(i16::MAX.into())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ALL: [Distribution; 3] = [
        Distribution::Normal,
        Distribution::Pareto,
        Distribution::ParetoNormal,
    ];

    /// Single entries of iproute2's files (iproute2 6.1), so that the curves are checked without
    /// it too: index and value.
    #[test]
    fn entries_are_those_of_iproute2() {
        let expected = [
            [(0, -32768), (1, -28307), (31, -19887), (4095, 28858)],
            [(0, -5461), (1, -5460), (31, -5434), (4095, 32767)],
            [(0, -12305), (1, -11171), (31, -9047), (4095, 31789)],
        ];
        for (distribution, expected) in iter::zip(ALL, expected) {
            let table = table(distribution);
            for (index, value) in expected {
                let found = i32::from(table[index]);
                assert!(
                    found.abs_diff(value) <= 1,
                    "{distribution} {index}: {found} instead of {value}"
                );
            }
        }
    }

    /// All entries, where iproute2 is installed (Debian has its files under the architecture).
    #[test]
    fn tables_are_those_of_iproute2() {
        let folders = [
            "/usr/lib/tc",
            "/usr/lib/x86_64-linux-gnu/tc",
            "/usr/share/tc",
        ];
        for distribution in ALL {
            let file = folders.iter().find_map(|folder| {
                fs::read_to_string(format!("{folder}/{distribution}.dist")).ok()
            });
            let Some(file) = file else {
                println!("{distribution}: iproute2 has no table here");
                continue;
            };
            let theirs: Vec<i32> = file
                .lines()
                .filter(|line| !line.starts_with('#'))
                .flat_map(str::split_whitespace)
                .map(|entry| entry.parse().unwrap())
                .collect();
            let ours = table(distribution);
            assert_eq!(ours.len(), theirs.len(), "{distribution}");
            for (index, (ours, theirs)) in iter::zip(&ours, &theirs).enumerate() {
                let off = i32::from(*ours).abs_diff(*theirs);
                assert!(off <= 1, "{distribution} {index}: {ours} and {theirs}");
            }
        }
    }
}
