//! `action` and the parameters of the faults, merged as Chaos Mesh does it.
//!
//! All actions but `partition` and `bandwidth` are one: whatever is there of delay, loss,
//! duplicate, corrupt and rate goes into one netem, and the name of the action says nothing. What
//! an action does not use is read all the same, since Chaos Mesh refuses what is wrong in it.

use super::values::{DURATION_ALLOWED, number, one_number, read_percent, string};
use crate::experiment::{
    Bandwidth, Chance, Delay, Fault, Loss, Percent, Rate, Reorder, problem::Invalid, units,
    yaml::Fields,
};

/// The faults of one netem, in the order of `spec`.
const NETEM: [&str; 5] = ["delay", "loss", "duplicate", "corrupt", "rate"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Netem,
    Partition,
    Bandwidth,
}

/// What `spec` does to packets.
pub(super) struct Faults {
    pub fault: Fault,
    pub action: Action,
    pub notes: Vec<String>,
}

pub(super) fn read(spec: &Fields) -> Option<Faults> {
    const ACTIONS: &str = "netem, delay, loss, duplicate, corrupt, partition or bandwidth";
    let action = spec.require("action", ACTIONS).and_then(|field| {
        let name = field.string()?;
        let action = match name {
            "netem" | "delay" | "loss" | "duplicate" | "corrupt" => Action::Netem,
            "partition" => Action::Partition,
            "bandwidth" => Action::Bandwidth,
            _ => return field.accept(Err(Invalid::value(name, "is not an action", ACTIONS))),
        };
        Some((name, action))
    });
    let mut notes = Vec::new();
    let netem = read_netem(spec, &mut notes);
    let bandwidth = spec.part("bandwidth", |fields| read_bandwidth(fields, &mut notes));
    let behavior = read_partition_behavior(spec);
    let (name, action) = action?;
    let there: Vec<&str> = NETEM.into_iter().filter(|name| spec.has(name)).collect();
    let required = match action {
        Action::Netem if there.is_empty() => {
            let own = NETEM.iter().find(|own| **own == name).unwrap_or(&NETEM[0]);
            Some((
                *own,
                "one or more of delay, loss, duplicate, corrupt and rate",
            ))
        }
        Action::Bandwidth if !spec.has("bandwidth") => Some((
            "bandwidth",
            "a mapping with the fields rate, limit and buffer",
        )),
        _ => None,
    };
    if let Some((field, allowed)) = required {
        spec.missing(field, "missing", allowed);
        return None;
    }
    notes.extend(note_of_action(name, action, &there, spec.has("bandwidth")));
    let (netem, bandwidth) = (netem?, bandwidth?);
    behavior?;
    let fault = match action {
        Action::Netem => netem.without_idle(),
        Action::Partition => Fault {
            partition: true,
            ..Fault::default()
        },
        Action::Bandwidth => Fault {
            bandwidth,
            ..Fault::default()
        },
    };
    let wrong = fault.wrong();
    for (part, invalid) in wrong.iter().cloned() {
        // A fault that is empty: everything in it is zero.
        match part.path() {
            [_] => spec.refuse_at(&there[..1], invalid),
            [_, path @ ..] => spec.refuse_at(path, invalid),
            [] => {}
        }
    }
    wrong.is_empty().then_some(Faults {
        fault,
        action,
        notes,
    })
}

/// What is there and says something else than the name of the action.
fn note_of_action(name: &str, action: Action, there: &[&str], bandwidth: bool) -> Option<String> {
    let mut ignored = match action {
        Action::Netem => Vec::new(),
        Action::Partition | Action::Bandwidth => there.to_vec(),
    };
    if bandwidth && action != Action::Bandwidth {
        ignored.push("bandwidth");
    }
    if !ignored.is_empty() {
        let ignored = ignored.join(", ");
        return Some(format!(
            "action {name} makes no use of {ignored}, as in Chaos Mesh"
        ));
    }
    (action == Action::Netem && name != "netem" && there != [name]).then(|| {
        let there = there.join(", ");
        format!("action {name} does what is given, here {there}, as in Chaos Mesh")
    })
}

fn read_netem(spec: &Fields, notes: &mut Vec<String>) -> Option<Fault> {
    let delay = spec.part("delay", |fields| read_delay(fields, notes));
    let loss = spec.part("loss", |fields| read_chance(fields, "loss"));
    let duplicate = spec.part("duplicate", |fields| read_chance(fields, "duplicate"));
    let corrupt = spec.part("corrupt", |fields| read_chance(fields, "corrupt"));
    let rate = spec.part("rate", |fields| {
        let rate = fields.require("rate", "a rate such as 10mbps");
        rate.and_then(|field| string(&field, Rate::parse_or_none))
    });
    let (delay, reorder) = delay?.unwrap_or_default();
    Some(Fault {
        delay,
        reorder,
        loss: loss?.map(Loss::Random),
        duplicate: duplicate?,
        corrupt: corrupt?,
        rate: rate?.flatten(),
        ..Fault::default()
    })
}

/// Without a latency Chaos Mesh emits neither jitter nor reorder.
fn read_delay(delay: &Fields, notes: &mut Vec<String>) -> Option<(Option<Delay>, Option<Reorder>)> {
    let latency = delay
        .require("latency", DURATION_ALLOWED)
        .and_then(|field| {
            string(&field, |text| match one_number(text)? {
                latency if latency.is_zero() => Ok(latency),
                _ => units::parse_latency(text),
            })
        });
    let jitter = optional(delay, "jitter", |text| {
        one_number(text)?;
        units::parse_jitter(text)
    });
    let correlation = optional(delay, "correlation", read_percent);
    let reorder = delay.part("reorder", read_reorder);
    let (latency, jitter, reorder) = (latency?, jitter?, reorder?);
    let correlation = correlation?;
    if !latency.is_zero() {
        let delay = Delay {
            latency,
            jitter,
            correlation,
            ..Delay::default()
        };
        return Some((Some(delay), reorder));
    }
    if !jitter.is_zero() || reorder.is_some() {
        notes.push(
            "delay.latency is 0, so delay.jitter and delay.reorder do nothing, as in Chaos Mesh"
                .into(),
        );
    }
    Some((None, None))
}

fn read_reorder(reorder: &Fields) -> Option<Reorder> {
    const GAP: &str = "a whole number from 0 to 4294967295, without quotes";
    let percent = required_percent(reorder, "reorder");
    let correlation = optional(reorder, "correlation", read_percent);
    let gap = reorder.require("gap", GAP);
    let gap = gap.and_then(|field| number(&field, 0..=u32::MAX.into(), GAP));
    Some(Reorder {
        percent: percent?,
        correlation: correlation?,
        // What is accepted fits.
        gap: gap? as u32,
    })
}

fn read_chance(chance: &Fields, name: &'static str) -> Option<Chance> {
    let percent = required_percent(chance, name);
    let correlation = optional(chance, "correlation", read_percent);
    Some(Chance {
        percent: percent?,
        correlation: correlation?,
    })
}

fn required_percent(fields: &Fields, name: &'static str) -> Option<Percent> {
    let field = fields.require(name, "a percentage in quotes, such as \"25\"")?;
    string(&field, read_percent)
}

fn optional<T: Default>(
    fields: &Fields,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Option<T> {
    fields
        .get(name)
        .map_or_else(|| Some(T::default()), |field| string(&field, parse))
}

fn read_bandwidth(fields: &Fields, notes: &mut Vec<String>) -> Option<Bandwidth> {
    const BYTES: &str = "bytes as a whole number from 1 to 4294967295, without quotes";
    const OPTIONAL_BYTES: &str = "bytes as a whole number from 0 to 4294967295, without quotes";
    const BITS: &str = "bits per second as a whole number, without quotes";
    let rate = fields.require("rate", "a rate such as 10mbps");
    let rate = rate.and_then(|field| string(&field, str::parse::<Rate>));
    let size = |name| {
        let field = fields.require(name, BYTES);
        // What is accepted fits.
        field.and_then(|field| number(&field, 1..=u32::MAX.into(), BYTES).map(|n| n as u32))
    };
    let (limit, buffer) = (size("limit"), size("buffer"));
    let optional = |name, most, allowed| match fields.get(name) {
        Some(field) => number(&field, 0..=most, allowed),
        None => Some(0),
    };
    let peakrate = optional("peakrate", u64::MAX, BITS);
    let minburst = optional("minburst", u32::MAX.into(), OPTIONAL_BYTES);
    let (peakrate, minburst) = (peakrate?, minburst? as u32);
    if (peakrate == 0) != (minburst == 0) {
        notes.push(
            "bandwidth.peakrate and bandwidth.minburst count only together, as in Chaos Mesh"
                .into(),
        );
    }
    let both = peakrate != 0 && minburst != 0;
    let peakrate = both.then(|| Rate::from_bits_per_second(peakrate));
    if peakrate == Some(None) {
        let message = "is less than a byte per second";
        fields.refuse_at(
            &["peakrate"],
            Invalid::field(message, Some(BITS.to_owned())),
        );
        return None;
    }
    Some(Bandwidth {
        rate: rate?,
        limit: limit?,
        buffer: buffer?,
        peakrate: peakrate.flatten(),
        minburst: both.then_some(minburst),
    })
}

/// A later Chaos Mesh can answer instead of dropping.
fn read_partition_behavior(spec: &Fields) -> Option<()> {
    let Some(field) = spec.get("partitionBehavior") else {
        return Some(());
    };
    match field.string()? {
        "" | "drop" => Some(()),
        text => field.accept(Err(Invalid::value(
            text,
            "is not supported by netchaos, whose partition is silent like a cut cable",
            "drop",
        ))),
    }
}
