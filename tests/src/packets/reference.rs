//! What netchaos promises about packets, written down a second time and as plainly as possible:
//! no maps, no kernel, nothing of netchaos' own. Where the classifier and this disagree, one of
//! them is wrong.

use std::net::IpAddr;

/// A target as a person gives it.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: IpAddr,
    /// Bits of the address that count.
    pub length: u8,
    /// None are all.
    pub ports: Vec<u16>,
}

/// An experiment: whom it is aimed at (all traffic where the list is none), whom it spares, and
/// which of those packets; an empty list is no condition.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub to: Option<Vec<Target>>,
    pub except: Vec<Target>,
    pub protocols: Vec<u8>,
    pub ports: Vec<u16>,
    pub local_ports: Vec<u16>,
    pub include: Vec<Vital>,
    pub ways: Vec<Way>,
    pub fault: Fault,
}

/// What happens to its packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fault {
    /// They go a lap.
    pub has_band: bool,
    /// GSO packets are cut first.
    pub cuts: bool,
    /// All of them are lost; otherwise none is.
    pub loses: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Out,
    In,
}

/// What a network cannot live without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vital {
    AddressResolution,
    NeighbourDiscovery,
    Dhcp,
}

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The peer: where it goes to or comes from. ARP has none.
    pub address: Option<IpAddr>,
    pub protocol: Option<u8>,
    /// The peer's and the place's.
    pub ports: Option<(u16, u16)>,
    pub vital: Option<Vital>,
}

/// A stop on a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A lap through the band of a slot.
    Lap(usize),
    /// A lap that cuts the packet, for a slot.
    Cut(usize),
    /// The end: it is dropped, or goes on as if nothing had been.
    Dropped,
    Passes,
}

/// What an experiment has hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    pub packets: u64,
    pub bytes: u64,
    pub segments: u64,
    pub dropped: u64,
}

impl Target {
    fn covers(&self, packet: &Packet) -> bool {
        let same_bits = match (self.address, packet.address) {
            (IpAddr::V4(own), Some(IpAddr::V4(other))) => {
                leading_bits(&own.octets(), &other.octets()) >= self.length.into()
            }
            (IpAddr::V6(own), Some(IpAddr::V6(other))) => {
                leading_bits(&own.octets(), &other.octets()) >= self.length.into()
            }
            _ => false,
        };
        let port = packet.ports.map(|(peers, _)| peers);
        same_bits && has(&self.ports, port)
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

/// Whether a condition holds; an empty one always does.
fn has<T: PartialEq>(condition: &[T], value: Option<T>) -> bool {
    condition.is_empty() || value.is_some_and(|value| condition.contains(&value))
}

impl Rule {
    /// Whether a packet is to be touched. What is vital is touched only where it was asked for in
    /// words, or by its port in a target.
    pub fn wants(&self, packet: &Packet, way: Way) -> bool {
        let may = packet
            .vital
            .is_none_or(|vital| self.include.contains(&vital));
        let asked = match &self.to {
            None => may,
            Some(targets) => targets
                .iter()
                .any(|target| target.covers(packet) && (may || !target.ports.is_empty())),
        };
        asked
            && self.ways.contains(&way)
            && !self.except.iter().any(|target| target.covers(packet))
            && has(&self.protocols, packet.protocol)
            && has(&self.ports, packet.ports.map(|(peers, _)| peers))
            && has(&self.local_ports, packet.ports.map(|(_, own)| own))
    }
}

/// The way of a packet through its experiments, in their order, and what they count of it. Where
/// it is cut, the way is that of one of its segments.
pub fn walk(
    rules: &[Rule],
    packet: Option<&Packet>,
    way: Way,
    bytes: u64,
    mut segments: u64,
) -> (Vec<Stop>, Vec<Hits>) {
    let mut stops = Vec::new();
    let mut hits = vec![Hits::default(); rules.len()];
    for (slot, rule) in rules.iter().enumerate() {
        if !packet.is_some_and(|packet| rule.wants(packet, way)) {
            continue;
        }
        hits[slot].packets = 1;
        hits[slot].bytes = bytes;
        hits[slot].segments = segments;
        if rule.fault.cuts && segments > 1 {
            stops.push(Stop::Cut(slot));
            segments = 1;
        }
        if rule.fault.loses {
            hits[slot].dropped = segments;
            stops.push(Stop::Dropped);
            return (stops, hits);
        }
        if rule.fault.has_band {
            stops.push(Stop::Lap(slot));
        }
    }
    stops.push(Stop::Passes);
    (stops, hits)
}

/// What an Ethernet frame says; none for what is neither IP nor ARP, or is cut off before the end
/// of the fixed IP header.
pub fn packet(frame: &[u8], way: Way) -> Option<Packet> {
    let mut rest = frame.get(12..)?;
    // IEEE 802.1Q and 802.1ad: at most two tags are looked through.
    for _ in 0..2 {
        if let [0x81, 0x00, ..] | [0x88, 0xa8, ..] = rest {
            rest = rest.get(4..)?;
        }
    }
    match rest {
        [0x08, 0x00, packet @ ..] => ipv4(packet, way),
        [0x86, 0xdd, packet @ ..] => ipv6(packet, way),
        [0x08, 0x06, ..] => Some(Packet {
            address: None,
            protocol: None,
            ports: None,
            vital: Some(Vital::AddressResolution),
        }),
        _ => None,
    }
}

/// RFC 791, 3.1.
fn ipv4(packet: &[u8], way: Way) -> Option<Packet> {
    if packet.len() < 20 || packet[0] >> 4 != 4 {
        return None;
    }
    let at = if way == Way::Out { 16 } else { 12 };
    let address: [u8; 4] = packet[at..at + 4].try_into().ok()?;
    let bare = without_ports(address.into(), packet[9]);
    let header = usize::from(packet[0] & 15) * 4;
    let is_later_fragment = packet[6] & 0x1f != 0 || packet[7] != 0;
    if header < 20 || is_later_fragment {
        return Some(bare);
    }
    Some(transport(bare, way, packet.get(header..).unwrap_or(&[])))
}

/// RFC 8200, 4: up to eight extension headers are looked through.
fn ipv6(packet: &[u8], way: Way) -> Option<Packet> {
    if packet.len() < 40 || packet[0] >> 4 != 6 {
        return None;
    }
    let at = if way == Way::Out { 24 } else { 8 };
    let address: [u8; 16] = packet[at..at + 16].try_into().ok()?;
    let mut next = packet[6];
    let mut rest = &packet[40..];
    let mut seen = 0;
    while let 0 | 43 | 44 | 51 | 60 = next {
        if seen == 9 || rest.len() < 4 {
            return Some(without_ports(address.into(), next));
        }
        let length = match next {
            44 => 8,
            // RFC 4302, 2.2: in words of four bytes, minus two.
            51 => (usize::from(rest[1]) + 2) * 4,
            _ => (usize::from(rest[1]) + 1) * 8,
        };
        // RFC 8200, 4.5; all but its first three bits of the offset word are the offset.
        let is_later_fragment = next == 44 && (rest[2] != 0 || rest[3] & 0xf8 != 0);
        next = rest[0];
        if is_later_fragment {
            return Some(without_ports(address.into(), next));
        }
        rest = rest.get(length..).unwrap_or(&[]);
        seen += 1;
    }
    let bare = without_ports(address.into(), next);
    // The ninth is read for what comes next, and no further.
    Some(if seen == 9 {
        bare
    } else {
        transport(bare, way, rest)
    })
}

fn transport(bare: Packet, way: Way, payload: &[u8]) -> Packet {
    let is_ipv4 = bare.address.is_some_and(|address| address.is_ipv4());
    let ports = payload
        .get(..4)
        .map(|ports| [(0, 1), (2, 3)].map(|(a, b)| u16::from_be_bytes([ports[a], ports[b]])));
    let mut packet = bare;
    match (bare.protocol, ports) {
        // TCP, UDP, SCTP.
        (Some(6 | 17 | 132), Some([source, destination])) => {
            packet.ports = Some(match way {
                Way::Out => (destination, source),
                Way::In => (source, destination),
            });
            let dhcp = if is_ipv4 { 67..=68 } else { 546..=547 };
            let is_dhcp = dhcp.contains(&source) || dhcp.contains(&destination);
            if bare.protocol == Some(17) && is_dhcp {
                packet.vital = Some(Vital::Dhcp);
            }
        }
        // Router solicitation to redirect (RFC 4861, 4).
        (Some(58), _) if !is_ipv4 => {
            if let Some(133..=137) = payload.first() {
                packet.vital = Some(Vital::NeighbourDiscovery);
            }
        }
        _ => {}
    }
    packet
}

fn without_ports(address: IpAddr, protocol: u8) -> Packet {
    Packet {
        address: Some(address),
        protocol: Some(protocol),
        ports: None,
        vital: None,
    }
}
