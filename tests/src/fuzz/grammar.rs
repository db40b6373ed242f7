//! One value each: targets, rates, sizes, durations, shares, ports and other words.

use std::{fmt::Display, str::FromStr, time::Duration};

use netchaos::experiment::{
    Direction, HostName, Invalid, Peer, Percent, Ports, Protocol, Rate, Target, Vital,
    check_device, check_name,
    units::{self, LONGEST_DELAY, LONGEST_JITTER},
};

use super::check_words;

pub const TARGETS: &str = "\
1.2.3.4
10.0.0.0/8
2001:db8::1
2001:db8::/32
[2001:db8::1]:443
[2001:db8::/32]:80,443,8000-8100
1.2.3.4:1-65535
10.0.0.0/8:80,22,1000-2000
db.example.com:5432
_srv._tcp.example.com.
::ffff:10.1.2.3
::ffff:10.1.2.3/120
::ffff:0.0.0.0/96
0.0.0.0/0
::/0
fe80::1%eth0
http://example.com/
xn--bcher-kva.example:443
300.1.1.1
1.2.3.4:0
[::1]:
010.0.0.1";

pub const RATES: &str = "\
10mbit
1.5gbit
8bit
7bit
1kbps
  10   mbPs
18446744073709551615bps
99999999999999999999999999tbit
0.000000000000000000000001tbps
0mbit
1514b
32kb
1.5kb
8kbit
4294967295
4gb
-5mbit
1e3mbit";

pub const DURATIONS: &str = "\
50ms
1m30s
1h2m3.004005006s
1.5µs
0.3333333333333333333333333333333h
9223372036854775807ns
9223372036854775808ns
2147483647ns
1h
61m
0
10
.5s
1.2.3s
-1ms
99999999999999999999999999999999999999999999h";

pub const WORDS: &str = "\
25
25%
0.5
-0
1e2
NaN
inf
1e-320
99.99999999999999999%
443
80,443
22,8000-8100
1-65535
65535,1,2,3
5-3
tcp
132
any
both
arp
slow-db.v1
eth0.100
4294967295
007";

/// The text, where it is one.
fn text(input: &[u8]) -> Option<&str> {
    str::from_utf8(input).ok()
}

/// A refusal names what was written and what would have been taken.
fn check_refusal(invalid: &Invalid, text: &str) {
    check_words(&invalid.to_string(), &text);
    assert_eq!(invalid.value.as_deref(), Some(text), "{invalid:?}");
    let allowed = invalid.allowed.as_deref().unwrap_or_default();
    assert!(!allowed.is_empty(), "{invalid:?} says not what is allowed");
}

/// What is read is written so that the same is read again.
fn check_value<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = Invalid> + Display + PartialEq + std::fmt::Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            assert_eq!(
                shown.parse::<T>().as_ref(),
                Ok(&value),
                "{text:?} {shown:?}"
            );
            Some(value)
        }
        Err(invalid) => {
            check_refusal(&invalid, text);
            None
        }
    }
}

pub fn target(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Some(target) = check_value::<Target>(text) {
        check_target(&target);
        let json = serde_json::to_string(&target).expect("it is a text");
        assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), target);
    }
    if let Some(peer) = check_value::<Peer>(text) {
        check_peer(&peer);
    }
    check_value::<HostName>(text);
}

/// A target is never everything, whatever was written.
pub fn check_target(target: &Target) {
    check_peer(&target.peer);
    check_ports(&target.ports);
}

fn check_peer(peer: &Peer) {
    match peer {
        Peer::Prefix(prefix) => {
            assert!(prefix.prefix_len() > 0, "{prefix} is all traffic");
            assert_eq!(prefix.trunc(), *prefix, "host bits");
            if let std::net::IpAddr::V6(address) = prefix.addr() {
                let is_mapped = address.to_ipv4_mapped().is_some() && prefix.prefix_len() >= 96;
                assert!(!is_mapped, "{prefix} is on no wire");
            }
        }
        Peer::Name(name) => {
            let length = name.as_str().len();
            assert!((1..=254).contains(&length), "{name}");
            assert!(name.as_str().parse::<std::net::IpAddr>().is_err(), "{name}");
        }
    }
}

fn check_ports(ports: &Ports) {
    let mut last = 0_u32;
    for (first, end) in ports.ranges() {
        assert!(first <= end && *first > 0, "{ports}");
        // Those that touch are one.
        assert!(last == 0 || u32::from(*first) > last + 1, "{ports}");
        last = (*end).into();
    }
    assert_eq!(ports.iter().count(), ports.count());
}

pub fn rate(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Some(rate) = check_value::<Rate>(text) {
        let bytes = rate.bytes_per_second();
        assert!(bytes > 0 && bytes <= u64::MAX / 8, "{text:?} is {bytes}");
        check_near(text, bytes as f64, rate_as_float(text));
    }
    match units::parse_size(text) {
        Ok(size) => assert!(size > 0, "{text:?}"),
        Err(invalid) => check_refusal(&invalid, text),
    }
}

/// Bytes per second by floating point, as a person with a calculator would have them.
fn rate_as_float(text: &str) -> f64 {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = lower.split_at(end.expect("a rate has a unit"));
    let unit = match unit.trim() {
        "bit" => 0.125,
        "kbit" => 125.0,
        "mbit" => 125e3,
        "gbit" => 125e6,
        "tbit" => 125e9,
        "bps" => 1.0,
        "kbps" => 1e3,
        "mbps" => 1e6,
        "gbps" => 1e9,
        "tbps" => 1e12,
        other => panic!("{other:?} is no unit"),
    };
    number.parse::<f64>().expect("a number") * unit
}

/// What is less than one is cut off.
fn check_near(text: &str, found: f64, expected: f64) {
    let slack = 1.0 + expected * 1e-9;
    assert!(
        (found - expected).abs() <= slack,
        "{text:?} is {found}, not {expected}"
    );
}

pub fn duration(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let in_range =
        |parse: fn(&str) -> Result<Duration, Invalid>, from: u64, to: Duration| match parse(text) {
            Ok(found) => {
                let range = Duration::from_nanos(from)..=to;
                assert!(range.contains(&found), "{text:?} is {found:?}");
                let shown = units::format_duration(found);
                assert_eq!(parse(&shown), Ok(found), "{text:?} {shown:?}");
                Some(found)
            }
            Err(invalid) => {
                check_refusal(&invalid, text);
                None
            }
        };
    let longest = Duration::from_nanos(i64::MAX as u64);
    let any = in_range(units::parse_duration, 0, longest);
    let latency = in_range(units::parse_latency, 1, LONGEST_DELAY);
    let jitter = in_range(units::parse_jitter, 0, LONGEST_JITTER);
    let lifetime = in_range(units::parse_lifetime, 1, longest);
    for narrower in [latency, jitter, lifetime].into_iter().flatten() {
        assert_eq!(any, Some(narrower), "{text:?}");
    }
    let mut parts = text.split_inclusive(|c: char| c.is_alphabetic());
    if let (Some(found), Some(only), None) = (any, parts.next(), parts.next())
        && let Some(number) = only.strip_suffix(['s', 'm', 'h'])
    {
        let unit = match only.chars().last() {
            Some('h') => 3600e9,
            Some('m') => 60e9,
            _ => 1e9,
        };
        let number: f64 = number.parse().expect("a number");
        check_near(text, found.as_nanos() as f64, number * unit);
    }
}

pub fn words(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Some(percent) = check_value::<Percent>(text) {
        assert!((0.0..=100.0).contains(&percent.get()), "{text:?}");
        let share = percent.as_probability_u32();
        let is_all = percent.get() == 100.0;
        assert!(share < u32::MAX || percent.get() > 99.999_999, "{text:?}");
        assert!(share == u32::MAX || !is_all, "{text:?}");
        assert!(share > 0 || percent.get() < 0.000_000_02, "{text:?}");
    }
    if let Some(ports) = check_value::<Ports>(text) {
        check_ports(&ports);
        assert!(!ports.are_any(), "{text:?} is every port");
    }
    if let Some(protocol) = check_value::<Protocol>(text) {
        assert!(!protocol.numbers().is_empty());
    }
    check_value::<Direction>(text);
    for result in [
        text.parse::<Vital>().map(drop),
        Protocol::parse_or_any(text).map(drop),
        check_name(text),
        check_device(text),
        units::parse_gap(text).map(drop),
    ] {
        if let Err(invalid) = result {
            check_refusal(&invalid, text);
        }
    }
}
