//! What netchaos promises about packets, written down a second time and as plainly as possible:
//! no maps, no kernel, nothing of netchaos' own. Where the classifier and this disagree, one of
//! them is wrong.

use std::net::IpAddr;

/// A target as a person gives it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub address: IpAddr,
    /// Bits of the address that count.
    pub length: u8,
    pub port: Option<u16>,
}

/// An experiment: whom it is aimed at (all traffic where the list is none), whom it spares.
#[derive(Clone, Debug)]
pub struct Rule {
    pub to: Option<Vec<Target>>,
    pub except: Vec<Target>,
}

/// Who a packet goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    pub port: Option<u16>,
    /// Neighbour discovery or DHCP.
    pub vital: bool,
}

impl Target {
    fn covers(&self, peer: &Peer) -> bool {
        let same_bits = match (self.address, peer.address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                leading_bits(&own.octets(), &other.octets()) >= self.length.into()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                leading_bits(&own.octets(), &other.octets()) >= self.length.into()
            }
            _ => false,
        };
        same_bits && (self.port.is_none() || self.port == peer.port)
    }
}

/// How many bits are equal from the front.
fn leading_bits(one: &[u8], other: &[u8]) -> u32 {
    let mut equal = 0;
    for (one, other) in one.iter().zip(other) {
        if one != other {
            return equal + (one ^ other).leading_zeros();
        }
        equal += 8;
    }
    equal
}

impl Rule {
    /// Whether a packet to this peer is to be touched. What a network cannot live without is
    /// touched only where its port was asked for.
    pub fn wants(&self, peer: &Peer) -> bool {
        let asked = match &self.to {
            None => !peer.vital,
            Some(targets) => targets
                .iter()
                .any(|target| target.covers(peer) && (!peer.vital || target.port.is_some())),
        };
        asked && !self.except.iter().any(|target| target.covers(peer))
    }
}

/// The peer of an Ethernet frame that goes out; none for what is not IP or is cut off before the
/// end of the fixed IP header.
pub fn peer(frame: &[u8]) -> Option<Peer> {
    let mut rest = frame.get(12..)?;
    // IEEE 802.1Q and 802.1ad: at most two tags are looked through.
    for _ in 0..2 {
        if let [0x81, 0x00, ..] | [0x88, 0xa8, ..] = rest {
            rest = rest.get(4..)?;
        }
    }
    match rest {
        [0x08, 0x00, packet @ ..] => ipv4(packet),
        [0x86, 0xdd, packet @ ..] => ipv6(packet),
        _ => None,
    }
}

/// RFC 791, 3.1.
fn ipv4(packet: &[u8]) -> Option<Peer> {
    if packet.len() < 20 || packet[0] >> 4 != 4 {
        return None;
    }
    let address = IpAddr::from([packet[16], packet[17], packet[18], packet[19]]);
    let header = usize::from(packet[0] & 15) * 4;
    let is_later_fragment = packet[6] & 0x1f != 0 || packet[7] != 0;
    if header < 20 || is_later_fragment {
        return Some(without_port(address));
    }
    let payload = packet.get(header..).unwrap_or(&[]);
    Some(transport(address, packet[9], payload))
}

/// RFC 8200, 4: up to eight extension headers are looked through.
fn ipv6(packet: &[u8]) -> Option<Peer> {
    if packet.len() < 40 || packet[0] >> 4 != 6 {
        return None;
    }
    let destination: [u8; 16] = packet[24..40].try_into().ok()?;
    let address = IpAddr::from(destination);
    let mut next = packet[6];
    let mut rest = &packet[40..];
    let mut seen = 0;
    while let 0 | 43 | 44 | 51 | 60 = next {
        if seen == 8 || rest.len() < 4 {
            return Some(without_port(address));
        }
        let length = match next {
            // RFC 8200, 4.5; all but its first three bits of the offset word are the offset.
            44 if rest[2] != 0 || rest[3] & 0xf8 != 0 => return Some(without_port(address)),
            44 => 8,
            // RFC 4302, 2.2: in words of four bytes, minus two.
            51 => (usize::from(rest[1]) + 2) * 4,
            _ => (usize::from(rest[1]) + 1) * 8,
        };
        next = rest[0];
        rest = rest.get(length..).unwrap_or(&[]);
        seen += 1;
    }
    Some(transport(address, next, rest))
}

fn transport(address: IpAddr, protocol: u8, payload: &[u8]) -> Peer {
    let ports = payload
        .get(..4)
        .map(|ports| [(0, 1), (2, 3)].map(|(a, b)| u16::from_be_bytes([ports[a], ports[b]])));
    let mut peer = without_port(address);
    match (protocol, ports) {
        // TCP, UDP, SCTP.
        (6 | 17 | 132, Some([source, destination])) => {
            peer.port = Some(destination);
            let dhcp = if address.is_ipv4() {
                67..=68
            } else {
                546..=547
            };
            peer.vital = protocol == 17 && (dhcp.contains(&source) || dhcp.contains(&destination));
        }
        // Router solicitation to redirect (RFC 4861, 4).
        (58, _) if address.is_ipv6() => {
            peer.vital = payload
                .first()
                .is_some_and(|kind| (133..=137).contains(kind));
        }
        _ => {}
    }
    peer
}

fn without_port(address: IpAddr) -> Peer {
    Peer {
        address,
        port: None,
        vital: false,
    }
}
