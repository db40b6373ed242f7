//! An experiment in a few words, for tables and pictures.

use std::time::Duration;

use super::output::counted;
use crate::{
    engine::{Hits, Ledger, Ledgers, Listed, QueueReport, Standing},
    experiment::{Delay, Experiment, Loss, Rule, Targets, units},
};

pub fn state(listed: &Listed) -> String {
    let state = match listed.state {
        Standing::Active => "active",
        Standing::Paused => "paused",
        Standing::Ended => "ended",
        Standing::Unfinished => "unfinished",
        Standing::Lost => "lost",
    };
    let held = listed.held_by.as_ref().map_or("", |_| ", held");
    if listed.missing.is_empty() {
        format!("{state}{held}")
    } else {
        format!("{state}{held}: {}", listed.missing.join(", "))
    }
}

pub fn fault(spec: &Experiment) -> String {
    let fault = &spec.fault;
    let mut words = Vec::new();
    if fault.partition {
        words.push("partition".to_owned());
    }
    words.extend(fault.delay.as_ref().map(delay));
    let share = |name: &str, percent| format!("{name} {percent}");
    words.extend(fault.reorder.as_ref().map(|r| share("reorder", r.percent)));
    words.extend(fault.loss.as_ref().map(|loss| match loss {
        Loss::Random(chance) => share("loss", chance.percent),
        Loss::GilbertElliott(chain) => {
            format!("loss in runs, {} to {}", chain.worsen, chain.recover)
        }
    }));
    words.extend(
        fault
            .duplicate
            .as_ref()
            .map(|c| share("duplicate", c.percent)),
    );
    words.extend(fault.corrupt.as_ref().map(|c| share("corrupt", c.percent)));
    words.extend(fault.rate.map(|rate| format!("rate {rate}")));
    let bandwidth = fault.bandwidth.as_ref();
    words.extend(bandwidth.map(|bandwidth| format!("bandwidth {}", bandwidth.rate)));
    words.join(", ")
}

fn delay(delay: &Delay) -> String {
    let mut text = format!("delay {}", units::format_duration(delay.latency));
    if !delay.jitter.is_zero() {
        text.push_str(&format!(" ± {}", units::format_duration(delay.jitter)));
    }
    if !delay.correlation.is_zero() {
        text.push_str(&format!(" correlation {}", delay.correlation));
    }
    text
}

/// The first few targets, and what else the packets have to be.
pub fn targets(spec: &Experiment) -> String {
    const FEW: usize = 3;
    let mut words = match &spec.targets {
        Targets::AllTraffic => vec!["all traffic".into()],
        Targets::List(list) => {
            let mut words: Vec<_> = list.iter().take(FEW).map(ToString::to_string).collect();
            if list.len() > FEW {
                words.push(format!("and {} more", list.len() - FEW));
            }
            words
        }
    };
    let Rule {
        protocols,
        ports,
        local_ports,
        include: _,
    } = &spec.rule;
    if !protocols.is_empty() {
        let names: Vec<_> = protocols.iter().map(ToString::to_string).collect();
        words.push(names.join("/"));
    }
    if !ports.are_any() {
        words.push(format!("port {ports}"));
    }
    if !local_ports.are_any() {
        words.push(format!("local port {local_ports}"));
    }
    words.join(", ")
}

pub fn ends(listed: &Listed) -> String {
    let within = |seconds| {
        let whole = Duration::from_secs(seconds as u64);
        format!("in {}", units::format_duration(whole))
    };
    match (listed.ends_in, listed.lease_ends_in) {
        (Some(seconds), _) => within(seconds),
        (None, Some(seconds)) => format!("{} unless renewed", within(seconds)),
        (None, None) => "when removed".into(),
    }
}

pub fn hits(listed: &Listed) -> String {
    match listed.packets {
        0 => "no packet so far".into(),
        packets => counted(packets, "packet"),
    }
}

/// What an experiment has hit in each direction, and what its qdiscs have done with it.
pub fn hit_lines(listed: &Listed, queues: &[&Option<QueueReport>]) -> Vec<String> {
    let mut lines = Vec::new();
    for (direction, hits) in listed.hits() {
        lines.push(format!("{:<12}{}", format!("hit {direction}"), hit(hits)));
    }
    for queue in queues.iter().filter_map(|queue| queue.as_ref()) {
        let dropped = if listed.spec.fault.strict_compat {
            "dropped, as asked or by the queue"
        } else {
            "dropped by the queue"
        };
        lines.push(format!(
            "qdisc       {} at {} of {}: {} let through, {} {dropped}, {} waiting",
            queue.qdiscs, queue.class, queue.device, queue.sent, queue.dropped, queue.queued
        ));
    }
    lines
}

/// Where the packets are, for each direction in which there were some.
pub fn ledger_lines(ledgers: &Ledgers) -> Vec<String> {
    let line = |(direction, ledger): (&str, &Option<Ledger>)| {
        let ledger = ledger.as_ref().filter(|ledger| ledger.sent != 0)?;
        let mut words = format!(
            "{} sent = {} delivered + {} dropped by the fault + {} by the queue + {} in flight",
            ledger.sent,
            ledger.delivered,
            ledger.dropped_by_fault,
            ledger.dropped_by_queue,
            ledger.in_flight
        );
        for (sign, count, what) in [
            ('+', ledger.flushed, "flushed"),
            ('+', ledger.missing, "missing"),
            ('-', ledger.duplicated, "duplicated"),
        ] {
            if count != 0 {
                words.push_str(&format!(" {sign} {count} {what}"));
            }
        }
        Some(format!("{:<12}{words}", format!("ledger {direction}")))
    };
    let both = [("to", &ledgers.to), ("from", &ledgers.from)];
    both.into_iter().filter_map(line).collect()
}

fn hit(hits: &Hits) -> String {
    if hits.packets == 0 {
        return "no packet matched so far; `netchaos explain` says which would".into();
    }
    let ago = |seconds: Option<f64>| {
        let seconds = Duration::from_secs(seconds.unwrap_or_default() as u64);
        format!("{} ago", units::format_duration(seconds))
    };
    format!(
        "{} ({} on the wire, {}), {} dropped as asked; first {}, last {}",
        counted(hits.packets, "packet"),
        hits.segments,
        counted(hits.bytes, "byte"),
        hits.dropped,
        ago(hits.first_packet_ago),
        ago(hits.last_packet_ago)
    )
}
