use super::*;

const SOURCE: [u8; 4] = [192, 0, 2, 1];
const DESTINATION: [u8; 4] = [198, 51, 100, 7];

fn ethernet(tags: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xaa; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 5]);
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An IPv4 header with `options` bytes of options and the given flags-and-offset field.
fn ipv4_packet(protocol: u8, options: usize, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x40 | (5 + options / 4) as u8, 0, 0, 0, 0, 0];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(SOURCE);
    packet.extend(DESTINATION);
    packet.extend(vec![1; options]);
    packet.extend(payload);
    packet
}

fn ipv6_packet(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    packet.extend([0xfd; 16]);
    packet.extend([0xfe; 16]);
    packet.extend(payload);
    packet
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    let mut bytes = source.to_be_bytes().to_vec();
    bytes.extend(destination.to_be_bytes());
    bytes.extend([0; 4]);
    bytes
}

fn out(frame: &[u8]) -> Option<Packet> {
    parse(frame, Start::Ethernet, Way::Out)
}

fn port(packet: Packet) -> Option<u16> {
    packet.has_port.then_some(packet.port)
}

fn peer(address: [u8; 4]) -> [u8; 16] {
    let mut peer = [0; 16];
    peer[..4].copy_from_slice(&address);
    peer
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

#[test]
fn the_peer_is_where_the_packet_goes_or_where_it_comes_from() {
    let frame = ethernet(&[], 0x0800, &ipv4_packet(TCP, 0, 0, &ports(1000, 443)));
    let packet = out(&frame).unwrap();
    assert_eq!((packet.peer, port(packet)), (peer(DESTINATION), Some(443)));
    assert_eq!(packet.local_port, 1000);
    let packet = parse(frame.as_slice(), Start::Ethernet, Way::In).unwrap();
    assert_eq!((packet.peer, port(packet)), (peer(SOURCE), Some(1000)));
    assert_eq!(packet.local_port, 443);
    let frame = ethernet(&[], 0x86dd, &ipv6_packet(UDP, &ports(1000, 53)));
    assert_eq!(out(&frame).unwrap().peer, [0xfe; 16]);
    let packet = parse(frame.as_slice(), Start::Ethernet, Way::In).unwrap();
    assert_eq!(packet.peer, [0xfd; 16]);
}

#[test]
fn tcp_udp_and_sctp_have_ports_and_others_do_not() {
    for protocol in 0..=u8::MAX {
        let frame = ethernet(&[], 0x0800, &ipv4_packet(protocol, 0, 0, &ports(1000, 443)));
        let expected = [TCP, UDP, SCTP].contains(&protocol).then_some(443);
        let packet = out(&frame).unwrap();
        assert_eq!(port(packet), expected, "protocol {protocol}");
        assert_eq!(packet.protocol, protocol);
    }
}

#[test]
fn up_to_two_tags_are_seen_through() {
    let inner = ipv4_packet(UDP, 0, 0, &ports(1, 2));
    for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100], &[0x8100, 0x8100]] {
        assert_eq!(port(out(&ethernet(tags, 0x0800, &inner)).unwrap()), Some(2));
    }
    assert_eq!(
        out(&ethernet(&[0x88a8, 0x8100, 0x8100], 0x0800, &inner)),
        None
    );
}

#[test]
fn without_ethernet_the_packet_starts_with_ip() {
    let packet = ipv4_packet(UDP, 0, 0, &ports(1, 2));
    let start = |ether_type: u16| Start::Network(ether_type.to_be());
    let parsed = parse(packet.as_slice(), start(0x0800), Way::Out).unwrap();
    assert_eq!(port(parsed), Some(2));
    assert_eq!(parse(packet.as_slice(), start(0x86dd), Way::Out), None);
}

#[test]
fn options_are_skipped_and_later_fragments_have_no_ports() {
    for options in (0..=40).step_by(4) {
        let frame = ethernet(&[], 0x0800, &ipv4_packet(UDP, options, 0, &ports(1, 2)));
        assert_eq!(port(out(&frame).unwrap()), Some(2), "{options} bytes");
    }
    let more = 0x2000;
    for (fragment, expected) in [
        (more, Some(2)),
        (more | 1, None),
        (1, None),
        (0x4000, Some(2)),
    ] {
        let frame = ethernet(&[], 0x0800, &ipv4_packet(UDP, 0, fragment, &ports(1, 2)));
        let packet = out(&frame).unwrap();
        assert_eq!(port(packet), expected, "{fragment:#x}");
        assert_eq!(packet.protocol, UDP, "{fragment:#x}");
    }
}

#[test]
fn extension_headers_are_walked() {
    let header = |next: u8, length: u8, bytes: usize| {
        let mut header = vec![next, length];
        header.resize(bytes, 0);
        header
    };
    // Hop-by-hop, routing, destination options, authentication, then UDP.
    let mut chain = header(43, 0, 8);
    chain.extend(header(60, 1, 16));
    chain.extend(header(51, 0, 8));
    chain.extend(header(UDP, 4, 24));
    chain.extend(ports(1, 2));
    let frame = ethernet(&[], 0x86dd, &ipv6_packet(0, &chain));
    let packet = out(&frame).unwrap();
    assert_eq!((port(packet), packet.protocol), (Some(2), UDP));
    for (offset, expected) in [(0_u16, Some(2)), (1, Some(2)), (8, None), (0xfff8, None)] {
        let mut fragment = vec![UDP, 0];
        fragment.extend(offset.to_be_bytes());
        fragment.extend([0; 4]);
        fragment.extend(ports(1, 2));
        let frame = ethernet(&[], 0x86dd, &ipv6_packet(44, &fragment));
        let packet = out(&frame).unwrap();
        assert_eq!(port(packet), expected, "offset field {offset:#x}");
        assert_eq!(packet.protocol, UDP, "offset field {offset:#x}");
    }
    let mut long = Vec::new();
    for _ in 0..9 {
        long.extend(header(60, 0, 8));
    }
    long.extend(header(UDP, 0, 8));
    long.extend(ports(1, 2));
    let frame = ethernet(&[], 0x86dd, &ipv6_packet(60, &long));
    let packet = out(&frame).unwrap();
    assert_eq!(
        (packet.peer, port(packet)),
        ([0xfe; 16], None),
        "address alone"
    );
    assert_eq!(packet.protocol, 60, "the last one read");
}

#[test]
fn neighbour_discovery_and_dhcp_are_vital_and_look_alikes_are_not() {
    let icmp = |kind: u8| {
        out(&ethernet(
            &[],
            0x86dd,
            &ipv6_packet(ICMPV6, &[kind, 0, 0, 0]),
        ))
    };
    for kind in 0..=u8::MAX {
        let is_vital = icmp(kind).unwrap().vital == Vital::Nd;
        assert_eq!(is_vital, (133..=137).contains(&kind), "type {kind}");
    }
    let v4 = |protocol, source, destination| {
        out(&ethernet(
            &[],
            0x0800,
            &ipv4_packet(protocol, 0, 0, &ports(source, destination)),
        ))
    };
    assert_eq!(v4(UDP, 68, 67).unwrap().vital, Vital::Dhcp);
    assert_eq!(v4(UDP, 67, 68).unwrap().vital, Vital::Dhcp);
    assert_eq!(v4(TCP, 68, 67).unwrap().vital, Vital::No);
    assert_eq!(v4(UDP, 546, 547).unwrap().vital, Vital::No);
    let v6 = out(&ethernet(&[], 0x86dd, &ipv6_packet(UDP, &ports(546, 547))));
    assert_eq!(v6.unwrap().vital, Vital::Dhcp);
    // An IPv4 packet with ICMPv6's number is not neighbour discovery.
    let frame = ethernet(&[], 0x0800, &ipv4_packet(ICMPV6, 0, 0, &[135, 0, 0, 0]));
    assert_eq!(out(&frame).unwrap().vital, Vital::No);
}

#[test]
fn address_resolution_is_vital_and_has_no_peer() {
    let packet = out(&ethernet(&[0x8100], 0x0806, &[])).unwrap();
    assert_eq!((packet.vital, packet.family), (Vital::Arp, 0));
    assert_eq!((packet.peer, port(packet)), ([0; 16], None));
}

#[test]
fn what_is_no_ip_has_no_peer() {
    for ether_type in [0x8847, 0x0000, 0xffff] {
        assert_eq!(
            out(&ethernet(&[], ether_type, &[0; 60])),
            None,
            "{ether_type:#x}"
        );
    }
    let mut packet = ipv4_packet(UDP, 0, 0, &ports(1, 2));
    packet[0] = 0x65;
    assert_eq!(
        out(&ethernet(&[], 0x0800, &packet)),
        None,
        "version 6 in an IPv4 frame"
    );
}

#[test]
fn a_broken_header_length_leaves_the_address() {
    let mut packet = ipv4_packet(UDP, 0, 0, &ports(1, 2));
    packet[0] = 0x44;
    let parsed = out(&ethernet(&[], 0x0800, &packet)).unwrap();
    assert_eq!((parsed.peer, port(parsed)), (peer(DESTINATION), None));
}

#[test]
fn a_packet_cut_short_has_what_is_there() {
    let v4 = ethernet(&[], 0x0800, &ipv4_packet(UDP, 4, 0, &ports(1, 2)));
    let v6 = ethernet(&[], 0x86dd, &ipv6_packet(UDP, &ports(1, 2)));
    // (frame, where its addresses end, where its ports end)
    for (frame, addresses, ends) in [(v4, 14 + 20, 14 + 24 + 4), (v6, 14 + 40, 14 + 40 + 4)] {
        for length in 0..=frame.len() {
            let packet = out(&frame[..length]);
            assert_eq!(packet.is_some(), length >= addresses, "{length} bytes");
            assert_eq!(
                packet.and_then(port),
                (length >= ends).then_some(2),
                "{length} bytes"
            );
        }
    }
}
