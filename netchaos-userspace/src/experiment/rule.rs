//! Which packets between a place and its targets: by protocol and by ports.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::problem::Invalid;

#[cfg(test)]
mod tests;

/// The conditions of an experiment beside its targets. All of them have to hold. In a native
/// manifest they are fields of the experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Any of them; none is every protocol.
    pub protocols: Vec<Protocol>,
    /// The peer's port.
    pub ports: Ports,
    /// The port at the place.
    pub local_ports: Ports,
    /// What is spared otherwise, and is named here.
    pub include: Vec<Vital>,
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

impl Vital {
    /// Those of a [`Rule`], each once.
    pub fn list(mut words: Vec<Self>) -> Vec<Self> {
        words.sort_unstable();
        words.dedup();
        words
    }
}

impl FromStr for Vital {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let words = [("arp", Self::Arp), ("nd", Self::Nd), ("dhcp", Self::Dhcp)];
        Invalid::unless_word(text, &words, "is nothing that is spared")
    }
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
    pub const TCP: Self = Self::Number(6);

    const NAMES: [(&str, Self); 4] = [
        ("icmp", Self::Icmp),
        ("tcp", Self::Number(6)),
        ("udp", Self::Number(17)),
        ("sctp", Self::Number(132)),
    ];
    const ALLOWED: &str = "tcp, udp, sctp, icmp, any, or a number from 0 to 255";

    /// Reads one word of a list of protocols; none is any protocol.
    ///
    /// # Errors
    /// It is neither a protocol nor `any`.
    pub fn parse_or_any(text: &str) -> Result<Option<Self>, Invalid> {
        match text {
            "any" => Ok(None),
            _ => text.parse().map(Some),
        }
    }

    /// The protocols of a [`Rule`] from the words of a list: where one is any, all the others are
    /// in it.
    pub fn list(words: Vec<Option<Self>>) -> Vec<Self> {
        let mut all: Vec<Self> = words.into_iter().collect::<Option<_>>().unwrap_or_default();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Its packets have ports that netchaos reads: TCP, UDP and SCTP.
    pub fn has_ports(self) -> bool {
        matches!(self, Self::Number(6 | 17 | 132))
    }

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
        let is_number = text.bytes().all(|b| b.is_ascii_digit());
        match (named, text.parse()) {
            (Some((_, protocol)), _) => Ok(*protocol),
            (None, Ok(number)) if is_number => Ok(Self::Number(number)),
            _ => Err(Invalid::value(text, "is not a protocol", Self::ALLOWED)),
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

as_text!(Protocol);

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

    fn merged(mut ranges: Vec<(u16, u16)>) -> Self {
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
        Self(merged)
    }

    pub fn one(port: u16) -> Self {
        Self(vec![(port, port)])
    }

    /// A port is in both of them.
    pub fn overlap(&self, other: &Self) -> bool {
        let meet = |a: &(u16, u16), b: &(u16, u16)| a.0 <= b.1 && b.0 <= a.1;
        self.are_any()
            || other.are_any()
            || self.0.iter().any(|a| other.0.iter().any(|b| meet(a, b)))
    }
}

impl FromStr for Ports {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |message: &str| Invalid::value(text, message, Self::ALLOWED);
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let range = part.split_once('-').unwrap_or((part, part));
            let (first, last) = match range {
                _ if text.is_empty() => return Err(refuse("is empty")),
                ("", "") if part.is_empty() => {
                    return Err(refuse("has a comma without a port beside it"));
                }
                ("", _) => return Err(refuse("has a range without a start")),
                (_, "") => return Err(refuse("has a range without an end")),
                (first, last) => (port(first).map_err(refuse)?, port(last).map_err(refuse)?),
            };
            if first > last {
                return Err(refuse("has a range that ends before it starts"));
            }
            ranges.push((first, last));
        }
        Ok(Self::merged(ranges))
    }
}

/// All ports of all sets. Of no set it is the empty one, which stands for every port.
impl FromIterator<Ports> for Ports {
    fn from_iter<I: IntoIterator<Item = Ports>>(sets: I) -> Self {
        Self::merged(sets.into_iter().flat_map(|set| set.0).collect())
    }
}

/// One port; what is wrong with it otherwise.
fn port(text: &str) -> Result<u16, &'static str> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("has a port that is not a number");
    }
    match text.parse() {
        Ok(0) => Err("has port 0"),
        Ok(port) => Ok(port),
        Err(_) => Err("has a port that is out of range"),
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

as_text!(Ports);
