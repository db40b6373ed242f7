//! Which packets between a place and its targets: by protocol and by ports.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::problem::Invalid;

/// The conditions of an experiment beside its targets. All of them have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Any of them; none is every protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<Protocol>,
    /// The peer's port.
    #[serde(default, skip_serializing_if = "Ports::are_any")]
    pub ports: Ports,
    /// The port at the place.
    #[serde(default, skip_serializing_if = "Ports::are_any")]
    pub local_ports: Ports,
    /// What is spared otherwise, and is named here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Vital>,
}

impl Rule {
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }
}

/// What a network needs to work at all: never touched by a fault that does not name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vital {
    /// RFC 826.
    Arp,
    /// IPv6 neighbour discovery, RFC 4861.
    Nd,
    /// RFC 2131, RFC 8415.
    Dhcp,
}

/// A protocol of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp,
    /// By number (IANA, Protocol Numbers).
    Number(u8),
}

impl Protocol {
    const NAMES: [(&str, Self); 4] = [
        ("icmp", Self::Icmp),
        ("tcp", Self::Number(6)),
        ("udp", Self::Number(17)),
        ("sctp", Self::Number(132)),
    ];
    const ALLOWED: &str = "tcp, udp, sctp, icmp, any, or a number from 0 to 255";

    /// Its numbers.
    pub fn numbers(self) -> Vec<u8> {
        match self {
            Self::Icmp => vec![1, 58],
            Self::Number(number) => vec![number],
        }
    }
}

impl FromStr for Protocol {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let named = Self::NAMES.iter().find(|(name, _)| *name == text);
        match (named, text.parse()) {
            (Some((_, protocol)), _) => Ok(*protocol),
            (None, Ok(number)) => Ok(Self::Number(number)),
            (None, Err(_)) => Err(Invalid::value(text, "is not a protocol", Self::ALLOWED)),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (Self::NAMES.iter().find(|(_, named)| named == self), self) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Self::Number(number)) => write!(f, "{number}"),
            (None, Self::Icmp) => f.write_str("icmp"),
        }
    }
}

impl TryFrom<String> for Protocol {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.to_string()
    }
}

/// A set of ports, written `443`, `80,443` or `22,8000-8100`. The empty set stands for every port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports(
    /// First and last, sorted, apart from each other by more than one.
    Vec<(u16, u16)>,
);

impl Ports {
    pub(super) const ALLOWED: &str =
        "ports from 1 to 65535, such as 443, 80,443 or 8000-8100, with commas between them";

    pub fn are_any(&self) -> bool {
        self.0.is_empty()
    }

    /// First and last of each range.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// How many there are; 0 stands for all.
    pub fn count(&self) -> usize {
        let size = |(first, last): &(u16, u16)| usize::from(last - first) + 1;
        self.0.iter().map(size).sum()
    }

    pub fn one(port: u16) -> Self {
        Self(vec![(port, port)])
    }
}

impl FromStr for Ports {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |message: &str| Invalid::value(text, message, Self::ALLOWED);
        let port = |text: &str| match text.parse::<u16>() {
            Ok(0) => Err(refuse("has port 0")),
            Ok(port) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
            _ => Err(refuse("is not a list of ports")),
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (port(first)?, port(last)?),
                None => (port(part)?, port(part)?),
            };
            if first > last {
                return Err(refuse("has a range that ends before it starts"));
            }
            ranges.push((first, last));
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if u32::from(first) <= u32::from(before.1) + 1 => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Ok(Self(merged))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (first, last)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Ports {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> Self {
        ports.to_string()
    }
}
