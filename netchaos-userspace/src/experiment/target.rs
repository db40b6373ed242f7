//! Whom a fault is aimed at: an address, a prefix or a host name, and perhaps ports.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::{problem::Invalid, rule::Ports};

#[cfg(test)]
mod tests;

const TARGET_ALLOWED: &str = "an address (1.2.3.4, 2001:db8::1), a prefix (10.0.0.0/8) or a host \
     name, each also with ports (1.2.3.4:443, [2001:db8::1]:80,443, db.example.com:8000-8100)";

/// What an experiment without targets, and a target that covers everything, lack.
pub(super) const ALL_TRAFFIC_IN_WORDS: &str = "for all traffic --all-traffic on the command line, \
     allTraffic: true in a manifest of netchaos, the annotation netchaos.io/all-traffic: \"true\" \
     in a NetworkChaos";

/// A peer, and the ports there if only those are meant (TCP, UDP and SCTP).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    pub peer: Peer,
    pub ports: Ports,
}

/// The other end of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Peer {
    /// Host bits are zero, the length is not, and IPv4-mapped IPv6 addresses are IPv4 ones. A
    /// single address is a prefix of full length.
    Prefix(IpNet),
    Name(HostName),
}

/// A name for the resolver: RFC 1123 §2.1 with the lengths of RFC 1035 §2.3.4, and underscores,
/// which DNS itself allows and service names use. Lower case; a trailing dot is kept, because it
/// switches the resolver's search list off.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

impl HostName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a port of 0 means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ZeroPort {
    Refused,
    /// No port, as in a `NetworkChaos`.
    AnyPort,
}

impl Target {
    pub(super) fn parse(text: &str, zero_port: ZeroPort) -> Result<Self, Invalid> {
        let (peer, port) = split_port(text)?;
        let peer = peer.parse().map_err(|e: Invalid| e.within(text))?;
        let is_zero = |ports: &str| !ports.is_empty() && ports.bytes().all(|b| b == b'0');
        let ports = match port {
            Some(ports) if zero_port == ZeroPort::AnyPort && is_zero(ports) => Ports::default(),
            Some("") => {
                let message = "has a colon and no port after it";
                return Err(Invalid::value(text, message, Ports::ALLOWED));
            }
            Some(ports) => ports.parse().map_err(|e: Invalid| e.within(text))?,
            None => Ports::default(),
        };
        Ok(Self { peer, ports })
    }
}

/// Cuts `text` into the peer, without brackets, and the port.
fn split_port(text: &str) -> Result<(&str, Option<&str>), Invalid> {
    let refuse = |message: &str| Err(Invalid::value(text, message, TARGET_ALLOWED));
    if text.contains("://") {
        return refuse("is a URL");
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some((inside, after)) = rest.split_once(']') else {
            return refuse("has no closing bracket");
        };
        if !inside.contains(':') {
            return refuse("has brackets around something else than an IPv6 address or prefix");
        }
        return match (after, after.strip_prefix(':')) {
            ("", _) => Ok((inside, None)),
            (_, Some(port)) => Ok((inside, Some(port))),
            _ => refuse("has something else than a port after the bracket"),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        // A second colon makes it an IPv6 address without brackets, which has no room for a port.
        Some((_, after)) if after.contains(':') => Ok((text, None)),
        Some((peer, port)) => Ok((peer, Some(port))),
    }
}

impl FromStr for Target {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text, ZeroPort::Refused)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, ports } = self;
        match peer {
            peer if ports.are_any() => peer.fmt(f),
            Peer::Prefix(IpNet::V6(_)) => write!(f, "[{peer}]:{ports}"),
            peer => write!(f, "{peer}:{ports}"),
        }
    }
}

impl FromStr for Peer {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |message: &str| Err(Invalid::value(text, message, TARGET_ALLOWED));
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.contains('%') {
            return refuse("has a zone; the device says already which link is meant");
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Prefix(unmapped(address.into())));
        }
        if text.contains('/') {
            let Ok(prefix) = text.parse::<IpNet>() else {
                return refuse("is not a prefix");
            };
            let prefix = unmapped(prefix.trunc());
            if prefix.prefix_len() == 0 {
                return Err(Invalid::value(
                    text,
                    "means all traffic, which has to be asked for in words",
                    format!("a prefix of length 1 or more; {ALL_TRAFFIC_IN_WORDS}"),
                ));
            }
            return Ok(Self::Prefix(prefix));
        }
        if text.contains(':') {
            return refuse("is not an IPv6 address");
        }
        text.parse().map(Self::Name)
    }
}

/// `::ffff:1.2.3.4` stands for the IPv4 address in IPv6 text (RFC 4291 §2.5.5.2) and is never on
/// the wire, so a rule for it would match nothing.
fn unmapped(prefix: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    if let IpNet::V6(v6) = prefix
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(length) = v6.prefix_len().checked_sub(MAPPED_BITS)
        && let Ok(v4) = Ipv4Net::new(v4, length)
    {
        return IpNet::V4(v4);
    }
    prefix
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) if prefix.prefix_len() == prefix.max_prefix_len() => {
                prefix.addr().fmt(f)
            }
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for HostName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const NAME_LENGTH: usize = 253;
        const LABEL_LENGTH: usize = 63;
        let refuse = |message: &str| Err(Invalid::value(text, message, TARGET_ALLOWED));
        if !text.is_ascii() {
            return refuse("has characters beyond ASCII; write such a name in its xn-- form");
        }
        let labels: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
        // Before the letters are judged: "300.1.1.1" is a broken address and not a strange name.
        if labels.last().is_some_and(|last| is_number(last)) {
            return refuse("is not an address");
        }
        if text.strip_suffix('.').unwrap_or(text).len() > NAME_LENGTH {
            return refuse("is longer than the 253 characters of a host name");
        }
        for label in labels {
            if label.is_empty() || label.len() > LABEL_LENGTH {
                return refuse("has a part that is empty or longer than 63 characters");
            }
            let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if !label.bytes().all(known) || label.starts_with('-') || label.ends_with('-') {
                return refuse("is neither an address nor a host name");
            }
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

fn is_number(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(Target);

as_text!(Peer);
