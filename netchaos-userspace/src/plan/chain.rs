//! A fault -> what the program does of it, and the qdiscs that do the rest.

use std::time::Duration;

use netchaos_common::abi;

use crate::{
    experiment::{
        self, Bandwidth, Chance, Delay, Fault, Invalid, JitterOrder, Loss, Problem, Reorder,
    },
    qdisc::{Chain, Distribution, Netem, Tbf},
};

/// The rate that a band has to take without losing a packet: a 10-Gbit/s link full of 1500-byte
/// packets has 0.8 million a second.
const PACKETS_PER_SECOND: u64 = 1_000_000;

/// Room for packets that come at once, whatever the delay.
const BURST: u64 = 20_000;

/// The queue before a link with a `rate`, in packets: tc's default. A slower link has to drop in
/// the end.
const BOTTLENECK: u64 = 1000;

/// Memory of the node that the packets of one experiment may take.
const BUDGET: u64 = 1 << 30;

/// What a packet of 1500 bytes takes of it (`skb->truesize`).
const TRUESIZE: u64 = 2304;

/// Bytes of the largest GSO packet (GSO_LEGACY_MAX_SIZE, linux/netdevice.h) with its Ethernet header.
const LARGEST_PACKET: u32 = 65_536 + LINK_HEADER;

/// Bytes of the shortest frame, without its check sequence, and of a full one.
const SHORTEST_FRAME: u64 = 60;
const FULL_FRAME: u64 = 1514;

/// What comes on top of the MTU: the Ethernet header, which a pair's packets always have, and a
/// VLAN tag.
const LINK_HEADER: u32 = 14 + 4;

/// Where a table of netem's ends, in standard deviations: `i16::MIN` / NETEM_DIST_SCALE.
const LONGEST_TAIL: u32 = 4;

/// The qdiscs of a fault; none where the program does it all. A partition wins over everything
/// else.
pub fn of(fault: &Fault) -> Option<Chain> {
    if fault.partition {
        return None;
    }
    let netem = has_netem(fault).then(|| netem(fault));
    let tbf = fault.bandwidth.as_ref().map(tbf);
    (netem.is_some() || tbf.is_some()).then_some(Chain { netem, tbf })
}

/// What the program drops of a fault's packets.
///
/// Without correlation the chain stays in its good state. With it, the chain is in its bad state
/// as often as was asked: `worsen / (worsen + recover)` is the percentage, and a packet's fate is
/// correlated with the next one's by 1 - worsen - recover, which is the correlation.
pub fn loss(fault: &Fault) -> abi::Loss {
    let everything = abi::Loss {
        good: u32::MAX,
        ..abi::Loss::default()
    };
    match &fault.loss {
        _ if fault.partition => everything,
        Some(Loss::Random(_)) if fault.strict_compat => abi::Loss::default(),
        Some(Loss::Random(chance)) if chance.correlation.is_zero() => abi::Loss {
            good: chance.percent.as_probability_u32(),
            ..abi::Loss::default()
        },
        Some(Loss::Random(chance)) if chance.percent.get() == 100.0 => everything,
        Some(Loss::Random(chance)) => {
            let percent = chance.percent.get() / 100.0;
            let changes = 1.0 - correlation(chance);
            abi::Loss {
                worsen: share(percent * changes),
                recover: share((1.0 - percent) * changes),
                bad: u32::MAX,
                good: 0,
            }
        }
        Some(Loss::GilbertElliott(model)) => abi::Loss {
            worsen: model.worsen.as_probability_u32(),
            recover: model.recover.as_probability_u32(),
            bad: model.bad.as_probability_u32(),
            good: model.good.as_probability_u32(),
        },
        None => abi::Loss::default(),
    }
}

/// Whether GSO packets have to be cut into the packets of the wire first.
///
/// What counts packets then counts those. And a tbf that is the child of a netem gets nothing to
/// cut: kernels before December 2024 (6.12.6, 6.6.67, 6.1.121, 5.15.175, 5.10.232) take its pieces
/// for packets that the netem holds for ever, until its limit lets nothing through (CVE-2024-56770).
/// A tbf cuts what does not fit into its bucket anyway (net/sched/sch_tbf.c, `tbf_segment`): cut
/// before, the packets that go in and those that come out are the same.
pub fn counts_segments(fault: &Fault) -> bool {
    let chances = fault.loss.is_some() || fault.duplicate.is_some() || fault.corrupt.is_some();
    let bandwidth = fault.bandwidth.as_ref();
    let both = has_netem(fault) && bandwidth.is_some();
    let is_small = bandwidth
        .map(tbf)
        .is_some_and(|tbf| tbf.largest() < LARGEST_PACKET);
    !fault.partition && (both || is_small || chances && !fault.strict_compat)
}

/// How long a packet may be under way in a fault's qdiscs; a GSO packet where they are not cut
/// may take longer in a `rate` or `bandwidth`.
pub fn longest_wait(fault: &Fault) -> Duration {
    let Some(chain) = of(fault) else {
        return Duration::ZERO;
    };
    let in_netem = chain.netem.map_or(Duration::ZERO, |netem| {
        let queue = match &fault.rate {
            Some(rate) => time(u64::from(netem.limit) * FULL_FRAME, rate.bytes_per_second()),
            None => Duration::ZERO,
        };
        longest_delay(&netem) + queue
    });
    let in_tbf = chain
        .tbf
        .map_or(Duration::ZERO, |tbf| time(tbf.limit.into(), tbf.rate));
    in_netem + in_tbf
}

/// Whether `old` can be changed into `new` as it stands. It cannot where a qdisc comes or goes,
/// where a distribution goes, which netem never forgets, and where duplicates come or go, since the
/// band may have to be another one for that.
pub fn fits_in_place(old: &Chain, new: &Chain) -> bool {
    let netems = match (&old.netem, &new.netem) {
        (Some(old), Some(new)) => {
            (old.duplicate > 0) == (new.duplicate > 0)
                && (old.distribution.is_none() || new.distribution.is_some())
        }
        (None, None) => true,
        _ => false,
    };
    netems && old.tbf.is_some() == new.tbf.is_some()
}

/// What is wrong with a fault on a device of this MTU: a bucket that the longest frame does not fit
/// into lets nothing of that length through.
pub fn check_mtu(fault: &Fault, mtu: u32) -> Vec<Problem> {
    let Some(bandwidth) = fault.bandwidth.as_ref().filter(|_| !fault.partition) else {
        return Vec::new();
    };
    let frame = mtu.saturating_add(LINK_HEADER);
    let minburst = bandwidth.peakrate.and(bandwidth.minburst);
    let buckets = [
        ("bandwidth.buffer", Some(bandwidth.buffer)),
        // What waits for tokens does so in a fifo of so many bytes.
        ("bandwidth.limit", Some(bandwidth.limit)),
        ("bandwidth.minburst", minburst),
    ];
    buckets
        .into_iter()
        .filter_map(|(field, bucket)| Some((field, bucket.filter(|bytes| *bytes < frame)?)))
        .map(|(field, bytes)| {
            let message = "is less than the longest frame of the device, which would always be \
                           dropped";
            let allowed = format!(
                "{frame} bytes or more (MTU {mtu}, {LINK_HEADER} for the Ethernet header and a \
                 VLAN tag)"
            );
            Problem::of(field, Invalid::value(bytes.to_string(), message, allowed))
        })
        .collect()
}

/// The correlation that a loss gets, from 0 to 0.99: a chain that never changes its state would lose
/// all or nothing.
pub fn correlation(chance: &Chance) -> f64 {
    (chance.correlation.get() / 100.0).min(0.99)
}

const fn has_netem(fault: &Fault) -> bool {
    let lossy = fault.strict_compat && matches!(fault.loss, Some(Loss::Random(_)));
    fault.delay.is_some()
        || fault.duplicate.is_some()
        || fault.corrupt.is_some()
        || fault.rate.is_some()
        || lossy
}

fn netem(fault: &Fault) -> Netem {
    let mut netem = Netem {
        seed: fault.seed,
        ..Netem::default()
    };
    // With a rate of its own netem keeps the order anyway.
    if let Some(delay) = &fault.delay {
        set_delay(&mut netem, delay);
        if let Some(reorder) = &fault.reorder {
            set_reorder(&mut netem, reorder);
        }
    }
    // netem's correlation changes the rate: 10 % with 25 % is 1.8 %.
    let chance = |chance: &Option<Chance>| {
        let Chance {
            percent,
            correlation,
        } = chance.clone().unwrap_or_default();
        let correlation = correlation.as_probability_u32();
        let correlation = if fault.strict_compat { correlation } else { 0 };
        (percent.as_probability_u32(), correlation)
    };
    (netem.duplicate, netem.duplicate_correlation) = chance(&fault.duplicate);
    (netem.corrupt, netem.corrupt_correlation) = chance(&fault.corrupt);
    if let (Some(Loss::Random(loss)), true) = (&fault.loss, fault.strict_compat) {
        netem.loss = loss.percent.as_probability_u32();
        netem.loss_correlation = loss.correlation.as_probability_u32();
    }
    let waiting = match &fault.rate {
        Some(rate) => {
            netem.rate = rate.bytes_per_second();
            let per_second = (netem.rate / SHORTEST_FRAME).clamp(1, PACKETS_PER_SECOND);
            packets(per_second, longest_delay(&netem)) + u128::from(BOTTLENECK)
        }
        None => packets(PACKETS_PER_SECOND, longest_delay(&netem)) + u128::from(BURST),
    };
    netem.limit = limit(waiting, fault.bandwidth.as_ref());
    netem
}

fn set_delay(netem: &mut Netem, delay: &Delay) {
    netem.latency = nanoseconds(delay.latency);
    netem.jitter = nanoseconds(delay.jitter);
    netem.delay_correlation = delay.correlation.as_probability_u32();
    netem.distribution = match delay.distribution {
        experiment::Distribution::Uniform => None,
        experiment::Distribution::Normal => Some(Distribution::Normal),
        experiment::Distribution::Pareto => Some(Distribution::Pareto),
        experiment::Distribution::ParetoNormal => Some(Distribution::ParetoNormal),
    };
    netem.rate = match delay.order {
        JitterOrder::Reorder => 0,
        JitterOrder::Keep => Netem::IN_ORDER,
    };
}

fn set_reorder(netem: &mut Netem, reorder: &Reorder) {
    if !reorder.percent.is_zero() {
        netem.reorder = reorder.percent.as_probability_u32();
        netem.reorder_correlation = reorder.correlation.as_probability_u32();
        netem.gap = reorder.gap.max(1);
    }
}

fn tbf(bandwidth: &Bandwidth) -> Tbf {
    // Both or none, as Chaos Mesh has it: a peak rate needs a bucket.
    let (peakrate, mtu) = match (bandwidth.peakrate, bandwidth.minburst) {
        (Some(peakrate), Some(minburst)) => (peakrate.bytes_per_second(), minburst),
        _ => (0, 0),
    };
    Tbf {
        rate: bandwidth.rate.bytes_per_second(),
        limit: bandwidth.limit,
        burst: bandwidth.buffer,
        peakrate,
        mtu,
    }
}

/// netem drops what goes beyond its limit, and its default of 1000 packets turns every delay of a
/// busy link into loss. Most kernels count what waits in its child too.
fn limit(waiting: u128, child: Option<&Bandwidth>) -> u32 {
    let in_child = child.map_or(0, |tbf| u64::from(tbf.limit) / SHORTEST_FRAME);
    (waiting + u128::from(in_child)).min(u128::from(BUDGET / TRUESIZE)) as u32
}

/// How many packets come while one waits.
fn packets(per_second: u64, time: Duration) -> u128 {
    time.as_nanos() * u128::from(per_second) / 1_000_000_000
}

/// A table has no entry beyond [`LONGEST_TAIL`], and without one the jitter is the bound itself.
fn longest_delay(netem: &Netem) -> Duration {
    let tail = if netem.distribution.is_some() {
        LONGEST_TAIL
    } else {
        1
    };
    Duration::from_nanos(netem.latency) + Duration::from_nanos(netem.jitter) * tail
}

/// How long so many bytes take.
fn time(bytes: u64, bytes_per_second: u64) -> Duration {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// As the program takes probabilities.
fn share(share: f64) -> u32 {
    (share * f64::from(u32::MAX)).round_ties_even() as u32
}

#[cfg(test)]
mod tests;
