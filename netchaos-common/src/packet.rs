//! Bytes -> [`Packet`].
//!
//! The rule for whatever looks odd: it is matched by its address alone where there is one, and is
//! left alone where there is none. Nothing here can fail in another way.

use core::mem::offset_of;

use network_types::{
    eth::{EthHdr, EtherType},
    icmp::Icmpv6Hdr,
    ip::{IpProto, Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
    vlan::VlanHdr,
};

use crate::abi::{IPV4, IPV6};

/// How far a chain of IPv6 extension headers is followed.
const LONGEST_CHAIN: usize = 8;
/// VLAN tags in the data; a tag that the hardware took off is not there.
const MOST_TAGS: usize = 2;

/// A packet's bytes from where the device's headers start.
pub trait Bytes {
    /// `N` bytes at `offset`; none where the packet is shorter.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

impl Bytes for [u8] {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..offset.checked_add(N)?)?.try_into().ok()
    }
}

/// What a packet starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Ethernet,
    /// No link-layer header: the IP header, with its EtherType (network order, as
    /// `__sk_buff.protocol` has it).
    Network(u16),
}

/// Which end of a packet is the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Going out: the destination.
    Out,
    /// Coming in: the source.
    In,
}

/// What matching needs to know of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The peer's address, network order; IPv4 in the first four bytes.
    pub peer: [u8; 16],
    /// [`IPV4`] or [`IPV6`]; 0 for ARP, which has no address that could be matched.
    pub family: u16,
    /// Protocol of IP (IANA), in IPv6 the last next-header that could be read; later fragments
    /// have it as well.
    pub protocol: u8,
    /// Whether there is a port: in TCP, UDP and SCTP, apart from later fragments. No `Option`,
    /// whose value is not written where there is none: a verifier before 6.12 refuses to copy it.
    pub has_port: bool,
    /// The peer's port, host order.
    pub port: u16,
    /// The other end's, at the place.
    pub local_port: u16,
    pub vital: Vital,
}

/// What a network cannot live without: touched only by experiments that name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vital {
    No,
    /// Address resolution, RFC 826.
    Arp,
    /// Neighbour discovery, RFC 4861.
    Nd,
    /// RFC 2131, RFC 8415.
    Dhcp,
}

impl Packet {
    const fn new(peer: [u8; 16], family: u16, protocol: u8) -> Self {
        Self {
            peer,
            family,
            protocol,
            has_port: false,
            port: 0,
            local_port: 0,
            vital: Vital::No,
        }
    }
}

/// None where the packet is neither IP nor ARP, or too short to have an address.
#[inline(always)]
pub fn parse<B: Bytes + ?Sized>(bytes: &B, start: Start, way: Way) -> Option<Packet> {
    let (offset, ether_type) = match start {
        Start::Network(ether_type) => (0, ether_type),
        Start::Ethernet => behind_ethernet(bytes)?,
    };
    if ether_type == EtherType::Ipv4 as u16 {
        ipv4(bytes, offset, way)
    } else if ether_type == EtherType::Ipv6 as u16 {
        ipv6(bytes, offset, way)
    } else if ether_type == EtherType::Arp as u16 {
        Some(Packet {
            vital: Vital::Arp,
            ..Packet::new([0; 16], 0, 0)
        })
    } else {
        None
    }
}

/// Offset and EtherType of what the frame carries.
#[inline(always)]
fn behind_ethernet<B: Bytes + ?Sized>(bytes: &B) -> Option<(usize, u16)> {
    let mut offset = EthHdr::LEN;
    let mut ether_type = u16::from_ne_bytes(bytes.load(offset_of!(EthHdr, ether_type))?);
    for _ in 0..MOST_TAGS {
        if ether_type != EtherType::Ieee8021q as u16 && ether_type != EtherType::Ieee8021ad as u16 {
            break;
        }
        ether_type = u16::from_ne_bytes(bytes.load(offset + offset_of!(VlanHdr, ether_type))?);
        offset += VlanHdr::LEN;
    }
    Some((offset, ether_type))
}

/// RFC 791.
#[inline(always)]
fn ipv4<B: Bytes + ?Sized>(bytes: &B, offset: usize, way: Way) -> Option<Packet> {
    let header: [u8; Ipv4Hdr::LEN] = bytes.load(offset)?;
    if header[offset_of!(Ipv4Hdr, vihl)] >> 4 != 4 {
        return None;
    }
    let at = match way {
        Way::Out => offset_of!(Ipv4Hdr, dst_addr),
        Way::In => offset_of!(Ipv4Hdr, src_addr),
    };
    let protocol = header[offset_of!(Ipv4Hdr, proto)];
    let mut packet = Packet::new([0; 16], IPV4, protocol);
    packet.peer[0] = header[at];
    packet.peer[1] = header[at + 1];
    packet.peer[2] = header[at + 2];
    packet.peer[3] = header[at + 3];
    let header_length = (header[offset_of!(Ipv4Hdr, vihl)] & 0xf) as usize * 4;
    let frags = offset_of!(Ipv4Hdr, frags);
    let fragment_offset = u16::from_be_bytes([header[frags], header[frags + 1]]) & 0x1fff;
    if header_length >= Ipv4Hdr::LEN && fragment_offset == 0 {
        transport(bytes, offset + header_length, way, &mut packet);
    }
    Some(packet)
}

/// RFC 8200. The chain of extension headers is walked to the transport header.
#[inline(always)]
fn ipv6<B: Bytes + ?Sized>(bytes: &B, offset: usize, way: Way) -> Option<Packet> {
    let first: [u8; 8] = bytes.load(offset)?;
    if first[0] >> 4 != 6 {
        return None;
    }
    // Both addresses must be there, whichever is looked at: a header cut short is no header.
    let destination: [u8; 16] = bytes.load(offset + offset_of!(Ipv6Hdr, dst_addr))?;
    let peer = match way {
        Way::Out => destination,
        Way::In => bytes.load(offset + offset_of!(Ipv6Hdr, src_addr))?,
    };
    let mut packet = Packet::new(peer, IPV6, first[offset_of!(Ipv6Hdr, next_hdr)]);
    let mut at = offset + Ipv6Hdr::LEN;
    for _ in 0..=LONGEST_CHAIN {
        let next = packet.protocol;
        let is_options = next == IpProto::HopOpt as u8
            || next == IpProto::Ipv6Route as u8
            || next == IpProto::Ipv6Opts as u8;
        let is_fragment = next == IpProto::Ipv6Frag as u8;
        let is_authentication = next == IpProto::Ah as u8;
        if !is_options && !is_fragment && !is_authentication {
            transport(bytes, at, way, &mut packet);
            break;
        }
        let Some(extension) = bytes.load::<4>(at) else {
            break;
        };
        packet.protocol = extension[0];
        if is_fragment && u16::from_be_bytes([extension[2], extension[3]]) & !7 != 0 {
            break;
        }
        at += if is_fragment {
            8
        } else if is_authentication {
            (extension[1] as usize + 2) * 4
        } else {
            (extension[1] as usize + 1) * 8
        };
    }
    Some(packet)
}

/// Adds the ports, where the protocol has them, and tells what is vital.
#[inline(always)]
fn transport<B: Bytes + ?Sized>(bytes: &B, at: usize, way: Way, packet: &mut Packet) {
    let protocol = packet.protocol;
    if protocol == IpProto::Ipv6Icmp as u8 {
        // RFC 4861: router and neighbour solicitation and advertisement, redirect.
        if let Some([kind]) = bytes.load::<1>(at + offset_of!(Icmpv6Hdr, type_))
            && packet.family == IPV6
            && (133..=137).contains(&kind)
        {
            packet.vital = Vital::Nd;
        }
        return;
    }
    // Both ports stand first in TCP (RFC 9293), UDP (RFC 768) and SCTP (RFC 9260).
    let is_udp = protocol == IpProto::Udp as u8;
    if is_udp || protocol == IpProto::Tcp as u8 || protocol == IpProto::Sctp as u8 {
        let Some(ports) = bytes.load::<4>(at + offset_of!(UdpHdr, src)) else {
            return;
        };
        let source = u16::from_be_bytes([ports[0], ports[1]]);
        let destination = u16::from_be_bytes([ports[2], ports[3]]);
        packet.has_port = true;
        (packet.local_port, packet.port) = match way {
            Way::Out => (source, destination),
            Way::In => (destination, source),
        };
        if is_udp && (is_dhcp(packet.family, source) || is_dhcp(packet.family, destination)) {
            packet.vital = Vital::Dhcp;
        }
    }
}

/// RFC 2131 and RFC 8415.
#[inline(always)]
fn is_dhcp(family: u16, port: u16) -> bool {
    if family == IPV4 {
        port == 67 || port == 68
    } else {
        port == 546 || port == 547
    }
}

#[cfg(test)]
mod tests;
