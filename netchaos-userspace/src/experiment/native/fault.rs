//! `fault` of a native manifest.

use super::{parsed, parsed_or_default};
use crate::experiment::{
    Bandwidth, Chance, Delay, Fault, GilbertElliott, Loss, Percent, Rate, Reorder,
    problem::Invalid,
    units::{self, parse_size},
    yaml::Fields,
};

/// None if it is not there or has problems.
pub(super) fn read(fields: &Fields) -> Option<Fault> {
    let fault = fields
        .require(
            "fault",
            "a mapping with one or more of delay, loss and so on",
        )?
        .fields()?;
    let delay = fault.part("delay", read_delay);
    let reorder = fault.part("reorder", read_reorder);
    let loss = fault.part("loss", read_loss);
    let duplicate = fault.part("duplicate", read_chance);
    let corrupt = fault.part("corrupt", read_chance);
    let rate = optional(&fault, "rate", str::parse::<Rate>);
    let bandwidth = fault.part("bandwidth", read_bandwidth);
    let partition = flag(&fault, "partition");
    let seed = optional(&fault, "seed", read_seed);
    let strict_compat = flag(&fault, "strictCompat");
    fault.finish();
    let fault = Fault {
        delay: delay?,
        reorder: reorder?,
        loss: loss?,
        duplicate: duplicate?,
        corrupt: corrupt?,
        rate: rate?,
        bandwidth: bandwidth?,
        partition: partition?,
        seed: seed?,
        strict_compat: strict_compat?,
    };
    Some(fault.without_idle())
}

/// A single value. The outer option is none if it is refused, the inner one if it is not there.
fn optional<T>(
    fields: &Fields,
    name: &'static str,
    parse: fn(&str) -> Result<T, Invalid>,
) -> Option<Option<T>> {
    match fields.get(name) {
        Some(field) => parsed(&field, parse).map(Some),
        None => Some(None),
    }
}

fn flag(fields: &Fields, name: &'static str) -> Option<bool> {
    fields
        .get(name)
        .map_or(Some(false), |field| field.boolean())
}

fn required<T>(
    fields: &Fields,
    name: &'static str,
    allowed: &str,
    parse: fn(&str) -> Result<T, Invalid>,
) -> Option<T> {
    parsed(&fields.require(name, allowed)?, parse)
}

fn read_seed(text: &str) -> Result<u64, Invalid> {
    units::parse_whole(text, u64::MAX)
}

fn read_delay(delay: &Fields) -> Option<Delay> {
    let allowed = "a duration such as 50ms";
    let latency = required(delay, "latency", allowed, units::parse_latency);
    let jitter = parsed_or_default(delay, "jitter", units::parse_jitter);
    let correlation = parsed_or_default(delay, "correlation", str::parse);
    let distribution = parsed_or_default(delay, "distribution", str::parse);
    let order = parsed_or_default(delay, "order", str::parse);
    Some(Delay {
        latency: latency?,
        jitter: jitter?,
        correlation: correlation?,
        distribution: distribution?,
        order: order?,
    })
}

const PERCENT: &str = "a share of the packets, such as 5%";

fn read_reorder(reorder: &Fields) -> Option<Reorder> {
    let percent = required(reorder, "percent", PERCENT, str::parse);
    let correlation = parsed_or_default(reorder, "correlation", str::parse);
    let gap = parsed_or_default(reorder, "gap", units::parse_gap);
    Some(Reorder {
        percent: percent?,
        correlation: correlation?,
        gap: gap?,
    })
}

fn read_chance(chance: &Fields) -> Option<Chance> {
    let percent = required(chance, "percent", PERCENT, str::parse);
    let correlation = parsed_or_default(chance, "correlation", str::parse);
    Some(Chance {
        percent: percent?,
        correlation: correlation?,
    })
}

/// By a share of all packets, or by a chain, of which one field is enough to know it.
fn read_loss(loss: &Fields) -> Option<Loss> {
    let chain = ["worsen", "recover", "bad", "good"];
    if !chain.iter().any(|name| loss.has(name)) {
        // A slip of the pen in them shall find them.
        let random = read_chance(loss).map(Loss::Random);
        loss.ignore(&chain);
        return random;
    }
    for name in ["percent", "correlation"] {
        if let Some(field) = loss.get(name) {
            let message = "does not go with the chances of two states";
            let allowed = "either percent and correlation, or worsen, recover, bad and good";
            field.refuse(Invalid::field(message, Some(allowed.to_owned())));
        }
    }
    let chance = "a chance for each packet, such as 1%";
    let worsen = required(loss, "worsen", chance, str::parse);
    let recover = required(loss, "recover", chance, str::parse);
    let bad = optional(loss, "bad", str::parse::<Percent>);
    let good = parsed_or_default(loss, "good", str::parse);
    Some(Loss::GilbertElliott(GilbertElliott {
        worsen: worsen?,
        recover: recover?,
        bad: bad?.unwrap_or(Percent::ALL),
        good: good?,
    }))
}

fn read_bandwidth(bandwidth: &Fields) -> Option<Bandwidth> {
    let rate = required(bandwidth, "rate", "a rate such as 10mbit", str::parse);
    let limit = optional(bandwidth, "limit", parse_size);
    let buffer = optional(bandwidth, "buffer", parse_size);
    let peakrate = optional(bandwidth, "peakrate", str::parse);
    let minburst = optional(bandwidth, "minburst", parse_size);
    Some(Bandwidth {
        peakrate: peakrate?,
        minburst: minburst?,
        ..Bandwidth::of(rate?).with(limit?, buffer?)
    })
}
