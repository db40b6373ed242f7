//! What an experiment means for the packets and for those who wait for them, in words.

use std::time::Duration;

use serde::Serialize;

use super::chain;
use crate::experiment::{
    Chance, Delay, Direction, Distribution, Experiment, Fault, JitterOrder, Loss, Mode, Pods,
    Ports, Rule, Selection, Selector, Targets, Vital, units::format_duration,
};

/// An experiment in words, a sentence each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Which packets it is about.
    pub packets: Vec<String>,
    /// What happens to each of them.
    pub each: Vec<String>,
    /// What that means for a connection and a request.
    pub meaning: Vec<String>,
    /// Where Chaos Mesh would do something else.
    pub differences: Vec<String>,
}

/// Explains an experiment on `device`, which may be aimed at pods, too.
pub fn explain(experiment: &Experiment, device: &str, pods: Option<&Pods>) -> Explanation {
    let peers = pods.and_then(|pods| pods.target.as_ref());
    let mut differences = differences(experiment);
    if peers.is_some() && experiment.direction != Direction::To {
        differences.push(
            "Between pods Chaos Mesh makes `from` on the target's side, of what the target sends. \
             Here the selected pods alone do it all, to the same packets when they come in; \
             targetDevice has nothing to say."
                .to_owned(),
        );
    }
    Explanation {
        packets: packets(experiment, device, peers),
        each: each(&experiment.fault),
        meaning: meaning(experiment),
        differences,
    }
}

/// The pods of a selection, in words.
fn pods_in_words(selection: &Selection) -> String {
    let Selector {
        namespaces,
        label_selectors,
        ..
    } = &selection.selector;
    let how_many = match selection.mode {
        Mode::One => "one of the pods".to_owned(),
        Mode::All => "all pods".to_owned(),
        Mode::Fixed(count) => format!("{count} of the pods"),
        Mode::FixedPercent(percent) => format!("{percent}% of the pods"),
        Mode::RandomMaxPercent(percent) => format!("at most {percent}% of the pods"),
    };
    let mut words = format!("{how_many} that target selects");
    if !namespaces.is_empty() {
        words.push_str(&format!(" in {}", listed(namespaces)));
    }
    let label = |(key, value): (&String, &String)| format!("{key}={value}");
    let labels: Vec<String> = label_selectors.iter().map(label).collect();
    if !labels.is_empty() {
        words.push_str(&format!(" with {}", listed(&labels)));
    }
    words
}

/// Longer lists are counted.
const LONGEST_LIST: usize = 8;

fn listed<T: ToString>(all: &[T]) -> String {
    let mut words: Vec<String> = all.iter().take(LONGEST_LIST).map(T::to_string).collect();
    if all.len() > LONGEST_LIST {
        words.push(format!("and {} more", all.len() - LONGEST_LIST));
    }
    words.join(", ")
}

fn packets(experiment: &Experiment, device: &str, peers: Option<&Selection>) -> Vec<String> {
    let Rule {
        protocols,
        ports,
        local_ports,
        include,
    } = &experiment.rule;
    let kind = if protocols.is_empty() {
        "Packets".to_owned()
    } else {
        format!("Packets of {}", listed(protocols))
    };
    let mut whom: Vec<String> = peers.map(pods_in_words).into_iter().collect();
    match &experiment.targets {
        Targets::AllTraffic => whom.push("anybody".to_owned()),
        Targets::List(list) if list.is_empty() => {}
        Targets::List(list) => whom.push(listed(list)),
    }
    let whom = whom.join(" and ");
    let mut all = Vec::new();
    for (direction, verb, hook) in [
        (Direction::To, "to", "leave through"),
        (Direction::From, "from", "come in through"),
    ] {
        if experiment.direction == direction || experiment.direction == Direction::Both {
            all.push(format!("{kind} {verb} {whom} that {hook} {device}."));
        }
    }
    let port = |ports: &Ports, whose: &str| format!("Only those whose port {whose} is {ports}.");
    if !ports.are_any() {
        all.push(port(ports, "at the peer"));
    }
    if !local_ports.are_any() {
        all.push(port(local_ports, "on this side"));
    }
    if !experiment.except.is_empty() {
        all.push(format!("Never those of {}.", listed(&experiment.except)));
    }
    let spared: Vec<&str> = [
        (Vital::Arp, "ARP"),
        (Vital::Nd, "IPv6 neighbour discovery"),
        (Vital::Dhcp, "DHCP"),
    ]
    .into_iter()
    .filter(|(vital, _)| !include.contains(vital))
    .map(|(_, name)| name)
    .collect();
    if experiment.targets == Targets::AllTraffic && !spared.is_empty() {
        all.push(format!("{} pass untouched.", spared.join(", ")));
    }
    if experiment.paused {
        all.push("It is paused: none of them for now.".to_owned());
    }
    all
}

fn each(fault: &Fault) -> Vec<String> {
    if fault.partition {
        return vec![
            "It is dropped without a word, as by a cut cable: no error reaches the sender."
                .to_owned(),
        ];
    }
    let mut all = Vec::new();
    all.extend(
        fault
            .loss
            .as_ref()
            .map(|loss| lost(loss, fault.strict_compat)),
    );
    all.extend(fault.delay.as_ref().map(delayed));
    if let Some(reorder) = &fault.reorder {
        let which = match reorder.gap {
            0 | 1 => String::new(),
            gap => format!(" of every {gap}th packet"),
        };
        all.push(format!(
            "With a chance of {}{which} it is not delayed and overtakes the others.",
            reorder.percent
        ));
    }
    let chance = |chance: &Chance, what: &str| {
        let correlated = if chance.correlation.is_zero() {
            ""
        } else if fault.strict_compat {
            "; the correlation goes to netem, which makes it far rarer than that"
        } else {
            "; the correlation is left out, since netem's would make it far rarer than that"
        };
        format!("With a chance of {} {what}{correlated}.", chance.percent)
    };
    let duplicate = fault.duplicate.as_ref();
    all.extend(duplicate.map(|c| chance(c, "it comes twice")));
    let corrupt = fault.corrupt.as_ref();
    all.extend(corrupt.map(|c| chance(c, "one of its bits is wrong")));
    if let Some(rate) = fault.rate {
        all.push(format!("It waits as on a link of {rate}."));
    }
    if let Some(bandwidth) = &fault.bandwidth {
        all.push(format!(
            "It waits for tokens: {} at most, bursts of {} bytes free, and what goes beyond {} \
             waiting bytes is dropped.",
            bandwidth.rate, bandwidth.buffer, bandwidth.limit
        ));
    }
    all
}

fn lost(loss: &Loss, strict: bool) -> String {
    match loss {
        Loss::Random(chance) => {
            let Chance {
                percent,
                correlation,
            } = chance;
            let how = if correlation.is_zero() {
                "each for itself".to_owned()
            } else if strict {
                format!("by netem with its correlation {correlation}, which loses far less")
            } else {
                // The mean stay in the bad state of the chain, in packets.
                let recover = (1.0 - percent.get() / 100.0) * (1.0 - chain::correlation(chance));
                format!(
                    "in runs of {:.1} packets on average",
                    1.0 / recover.max(0.001)
                )
            };
            format!("{percent} are lost without a word, {how}.")
        }
        Loss::GilbertElliott(chain) => format!(
            "In bad times {} are lost, in good ones {}; a packet turns good times bad with a \
             chance of {} and bad ones good with {}.",
            chain.bad, chain.good, chain.worsen, chain.recover
        ),
    }
}

/// Packets lost in the long run, in percent.
fn mean(loss: &Loss) -> f64 {
    match loss {
        Loss::Random(chance) => chance.percent.get(),
        Loss::GilbertElliott(chain) => {
            let (worsen, recover) = (chain.worsen.get(), chain.recover.get());
            let bad = if worsen == 0.0 {
                0.0
            } else {
                worsen / (worsen + recover)
            };
            bad * chain.bad.get() + (1.0 - bad) * chain.good.get()
        }
    }
}

fn delayed(delay: &Delay) -> String {
    let latency = format_duration(delay.latency);
    if delay.jitter.is_zero() {
        return format!("It is delayed by {latency}.");
    }
    let jitter = format_duration(delay.jitter);
    let spread = match delay.distribution {
        Distribution::Uniform => format!("{latency} ± {jitter}, evenly spread"),
        Distribution::Normal => format!("{latency}, normally spread with a deviation of {jitter}"),
        Distribution::Pareto => format!("{latency} with a pareto tail of {jitter}"),
        Distribution::ParetoNormal => {
            format!("{latency} with a spread of {jitter} between normal and pareto")
        }
    };
    let order = match delay.order {
        JitterOrder::Keep => "the order is kept, so a late packet holds up those behind it",
        JitterOrder::Reorder => "one with less may overtake one with more",
    };
    format!("It is delayed by {spread}; {order}.")
}

/// The longest latency that the sentences below count with.
fn one_way(experiment: &Experiment) -> Duration {
    let delay = experiment.fault.delay.as_ref();
    delay.map_or(Duration::ZERO, |delay| delay.latency)
}

fn meaning(experiment: &Experiment) -> Vec<String> {
    let fault = &experiment.fault;
    if fault.partition {
        return vec![
            "A TCP connection that is open hangs until it times out, a new one gets no answer; \
             UDP is sent and never arrives."
                .to_owned(),
        ];
    }
    let mut all = Vec::new();
    let both = experiment.direction == Direction::Both;
    let latency = one_way(experiment);
    if !latency.is_zero() {
        let ways = if both { 2 } else { 1 };
        let times = |n: u32| format_duration(latency * n);
        all.push(format!(
            "A round trip takes {} more: {}.",
            times(ways),
            if both {
                "both ways are slow"
            } else {
                "the other way is as fast as ever"
            }
        ));
        all.push(format!(
            "A TCP handshake is one round trip: {} more. A request over a new connection, with its \
             answer, is two: {} more. TLS 1.3 adds one, a name looked up on the same way another.",
            times(ways),
            times(2 * ways)
        ));
        if both {
            all.push(format!(
                "So a request takes 4 times the {} asked for: two round trips, each way of them.",
                times(1)
            ));
        }
    }
    let is_netems = |loss: &&Loss| {
        let Loss::Random(chance) = loss else {
            return false;
        };
        fault.strict_compat && !chance.correlation.is_zero()
    };
    if let Some(loss) = fault.loss.as_ref().filter(|loss| !is_netems(loss)) {
        let rate = mean(loss);
        let reached = 100.0 - rate;
        all.push(format!(
            "On average {rate:.3}% of the packets are lost. A TCP handshake whose first packet is \
             lost comes 1 s later, then 3 s, 7 s; {reached:.1}% of them need no second try{}.",
            if both { " each way" } else { "" }
        ));
    }
    let speeds = [
        fault.rate,
        fault.bandwidth.as_ref().map(|bandwidth| bandwidth.rate),
    ];
    if let Some(rate) = speeds.into_iter().flatten().min() {
        let seconds = 1_000_000.0 / rate.bytes_per_second() as f64;
        let time = format_duration(Duration::from_millis((seconds * 1000.0).ceil() as u64));
        all.push(format!("A megabyte takes at least {time}."));
    }
    if fault.duplicate.is_some() || fault.corrupt.is_some() {
        all.push(
            "TCP throws away what comes twice and what is wrong, and sends the latter again; UDP \
             programs see the former."
                .to_owned(),
        );
    }
    all
}

fn differences(experiment: &Experiment) -> Vec<String> {
    let fault = &experiment.fault;
    let mut all = Vec::new();
    let mut differs = |is_so: bool, text: &str| {
        if is_so {
            all.push(text.to_owned());
        }
    };
    differs(
        experiment.direction != Direction::To && !fault.partition,
        "Chaos Mesh makes `from` by shaping what the targets send, which it can for pods alone. \
         Here it is done to what comes in on the selected side, whoever sends it.",
    );
    differs(
        fault.partition,
        "Chaos Mesh drops with iptables: programs see \"Operation not permitted\", and IPv6 passes.",
    );
    let correlated = |chance: &Option<Chance>| {
        let chance = chance.as_ref();
        chance.is_some_and(|chance| !chance.correlation.is_zero())
    };
    let random = match &fault.loss {
        Some(Loss::Random(chance)) => Some(chance.clone()),
        _ => None,
    };
    if !fault.strict_compat {
        differs(
            correlated(&random),
            "Chaos Mesh gives the correlation of a loss to netem, whose rate is then not the one \
             asked for (10% with 25% loses 1.8%). Here the rate is kept.",
        );
        differs(
            correlated(&fault.duplicate) || correlated(&fault.corrupt),
            "Chaos Mesh gives the correlation of duplicate and corrupt to netem, whose rate is then \
             far below the one asked for. Here it is left out.",
        );
        differs(
            fault.loss.is_some() || fault.duplicate.is_some() || fault.corrupt.is_some(),
            "In Chaos Mesh a packet is what the stack hands to the device, up to 64 KB of a TCP \
             stream. Here it is what the wire carries.",
        );
    }
    differs(
        fault.delay.is_some() || fault.rate.is_some(),
        "Chaos Mesh's netem holds 1000 packets and loses the rest. Here the queue is as long as \
         the delay needs.",
    );
    differs(
        experiment.targets != Targets::AllTraffic,
        "IPv6 targets work; a port is meant for TCP, UDP and SCTP; names are looked up from the \
         place and not from the controller.",
    );
    all
}

#[cfg(test)]
mod tests;
