//! What the kernel has counted, hop by hop: where a packet was lost, if one was.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::netns::Netns;

/// A device's counters (proc_pid_net(5), `/proc/net/dev`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub received: u64,
    pub sent: u64,
    pub receive_drops: u64,
    pub send_drops: u64,
}

/// UDP's counters, both families together (`/proc/net/snmp`, `/proc/net/snmp6`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Udp {
    pub received: u64,
    pub sent: u64,
    pub receive_buffer_errors: u64,
}

/// # Panics
/// When there is no such device.
#[track_caller]
pub fn device(netns: &Netns, name: &str) -> Device {
    let text = read(netns, "dev");
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no device {name} in:\n{text}"));
    let numbers: Vec<u64> = line.split_whitespace().map(number).collect();
    Device {
        received: numbers[1],
        receive_drops: numbers[3],
        sent: numbers[9],
        send_drops: numbers[11],
    }
}

/// # Panics
/// When the kernel does not count.
pub fn udp(netns: &Netns) -> Udp {
    let mut counters = BTreeMap::new();
    // IPv4: a line of names above a line of numbers. IPv6: a name and a number per line.
    let v4 = read(netns, "snmp");
    let mut lines = v4.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, numbers) = (lines.next(), lines.next());
    let pairs = names
        .unwrap_or("")
        .split_whitespace()
        .zip(numbers.unwrap_or("").split_whitespace());
    let v6 = read(netns, "snmp6");
    let v6_pairs = v6.lines().filter_map(|line| {
        let (name, value) = line.split_once(char::is_whitespace)?;
        Some((name.strip_prefix("Udp6")?, value.trim()))
    });
    for (name, value) in pairs.chain(v6_pairs) {
        *counters.entry(name.to_owned()).or_insert(0) += number(value);
    }
    Udp {
        received: counters["InDatagrams"],
        sent: counters["OutDatagrams"],
        receive_buffer_errors: counters["RcvbufErrors"],
    }
}

fn read(netns: &Netns, file: &str) -> String {
    // Of this thread: /proc/net is the namespace of the process' first one.
    let path = format!("/proc/thread-self/net/{file}");
    netns
        .run(|| fs::read_to_string(&path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn number(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} should be a number"))
}

/// Packets that the action of the filter with this preference (`pref`) at a hook, such as
/// `ingress` or `egress`, has counted.
///
/// # Panics
/// When there is no such filter.
#[track_caller]
pub fn filter_packets(netns: &Netns, device: &str, hook: &str, pref: u64) -> u64 {
    let filters = netns.tc_json(&format!("filter show dev {device} {hook}"));
    let found = filters
        .as_array()
        .into_iter()
        .flatten()
        .filter(|filter| filter["pref"] == pref)
        .find_map(|filter| filter["options"]["actions"][0]["stats"]["packets"].as_u64());
    found.unwrap_or_else(|| panic!("no counting filter with pref {pref} in {filters:#}"))
}

/// Packets that a class of the device's root qdisc, such as `1:10`, has sent.
///
/// # Panics
/// When there is no such class.
#[track_caller]
pub fn class_packets(netns: &Netns, device: &str, class: &str) -> u64 {
    // Not in JSON: iproute2 6.1 has none for classes.
    let text = netns.tc(&format!("-s class show dev {device}"));
    let mut lines = text.lines().skip_while(|line| {
        let mut words = line.split_whitespace();
        words.next() != Some("class") || words.nth(1) != Some(class)
    });
    lines
        .nth(1)
        .and_then(|line| line.trim().strip_prefix("Sent "))
        .and_then(|line| line.split_whitespace().nth(2))
        .map_or_else(|| panic!("no class {class} in:\n{text}"), number)
}

/// Packets that wait in all the netem qdiscs of a namespace together.
///
/// # Panics
/// When qdiscs cannot be listed.
#[track_caller]
pub fn netem_queue(netns: &Netns) -> u64 {
    let qdiscs = netns.tc_json("qdisc show");
    let netems = qdiscs.as_array().into_iter().flatten();
    netems
        .filter(|qdisc| qdisc["kind"] == "netem")
        .filter_map(|qdisc| qdisc["qlen"].as_u64())
        .sum()
}

/// The value under a key, wherever in a JSON document it is.
pub fn find<'a>(document: &'a Value, key: &str) -> Option<&'a Value> {
    match document {
        Value::Object(fields) => fields
            .get(key)
            .or_else(|| fields.values().find_map(|value| find(value, key))),
        Value::Array(values) => values.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}
