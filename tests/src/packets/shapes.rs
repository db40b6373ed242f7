//! Frames of every shape, by numbers that come out the same every time.

use std::net::IpAddr;

use crate::random::Random;

/// What the frames are about: addresses and ports that the rules know, and their neighbours.
pub struct Subjects {
    pub addresses: Vec<IpAddr>,
    pub ports: Vec<u16>,
}

const TAGS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
const TRANSPORTS: [u8; 3] = [6, 17, 132];
const EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];

/// A frame, mostly a sound one, sometimes cut short, sometimes with bytes turned over.
pub fn frame(random: &mut Random, subjects: &Subjects) -> Vec<u8> {
    let mut frame = sound_frame(random, subjects);
    if random.once_in(4) {
        let length = random.below(frame.len() + 1);
        frame.truncate(length);
    }
    if random.once_in(4) && !frame.is_empty() {
        for _ in 0..=random.below(3) {
            let place = random.below(frame.len());
            frame[place] ^= 1 << random.below(8);
        }
    }
    if random.once_in(16) {
        let count = random.below(120);
        frame.extend(random.bytes(count));
    }
    frame
}

fn sound_frame(random: &mut Random, subjects: &Subjects) -> Vec<u8> {
    let mut frame = random.bytes(12);
    let tags = random.pick(&[0, 0, 0, 1, 1, 2, 2, 3]);
    for _ in 0..tags {
        let tag = random.pick(&TAGS);
        frame.extend(tag);
        frame.extend(random.bytes(2));
    }
    if random.once_in(20) {
        // ARP, LLDP, or whatever.
        let other = random.pick(&[[0x08, 0x06], [0x08, 0x06], [0x88, 0xcc], [0x12, 0x34]]);
        frame.extend(other);
        frame.extend(random.bytes(60));
        return frame;
    }
    match random.pick(&subjects.addresses) {
        IpAddr::V4(address) => {
            frame.extend([0x08, 0x00]);
            frame.extend(ipv4(random, subjects, address.octets()));
        }
        IpAddr::V6(address) => {
            frame.extend([0x86, 0xdd]);
            frame.extend(ipv6(random, subjects, address.octets()));
        }
    }
    frame
}

fn ipv4(random: &mut Random, subjects: &Subjects, destination: [u8; 4]) -> Vec<u8> {
    // Five words are a header without options; fewer are nonsense.
    let words = random.pick(&[5, 5, 5, 5, 6, 8, 11, 15, 4, 0]);
    let fragment = random.pick(&[
        [0; 2],
        [0; 2],
        [0; 2],
        [0x40, 0],
        [0x20, 0],
        [0x20, 1],
        [0, 185],
    ]);
    let (protocol, payload) = transport(random, subjects, false);
    let mut packet = vec![0x40 | words, random.next() as u8];
    packet.extend(random.bytes(4));
    packet.extend(fragment);
    packet.extend([64, protocol]);
    packet.extend(random.bytes(2));
    packet.extend(match random.pick(&subjects.addresses) {
        IpAddr::V4(source) => source.octets(),
        IpAddr::V6(_) => [192, 0, 2, 7],
    });
    packet.extend(destination);
    let options = usize::from(words).saturating_sub(5) * 4;
    packet.extend(random.bytes(options));
    packet.extend(payload);
    packet
}

fn ipv6(random: &mut Random, subjects: &Subjects, destination: [u8; 16]) -> Vec<u8> {
    let count = random.pick(&[0, 0, 0, 1, 1, 2, 3, 5, 7, 8, 9, 11]);
    let kinds: Vec<u8> = (0..count).map(|_| random.pick(&EXTENSIONS)).collect();
    let (protocol, payload) = transport(random, subjects, true);
    let mut packet = vec![0x60];
    packet.extend(random.bytes(5));
    packet.push(kinds.first().copied().unwrap_or(protocol));
    packet.push(64);
    packet.extend(match random.pick(&subjects.addresses) {
        IpAddr::V4(source) => source.to_ipv6_mapped().octets(),
        IpAddr::V6(source) => source.octets(),
    });
    packet.extend(destination);
    for (place, kind) in kinds.iter().enumerate() {
        let next = kinds.get(place + 1).copied().unwrap_or(protocol);
        packet.extend(extension(random, *kind, next));
    }
    packet.extend(payload);
    packet
}

fn extension(random: &mut Random, kind: u8, next: u8) -> Vec<u8> {
    let (second, length) = match kind {
        44 => (0, 8),
        // A real one has three words at least and a multiple of two; the length says any number.
        51 => {
            let length = random.below(8) as u8;
            (length, (usize::from(length) + 2) * 4)
        }
        _ => {
            let length = random.pick(&[0, 0, 0, 1, 3]);
            (length, (usize::from(length) + 1) * 8)
        }
    };
    let mut header = vec![next, second];
    header.extend(random.bytes(length - 2));
    if kind == 44 {
        // First fragment, whole packet, later fragments of offset 1 and 32.
        let offset = random.pick(&[[0, 1], [0, 0], [0, 0], [0, 8], [1, 1]]);
        header[2..4].copy_from_slice(&offset);
    }
    header
}

fn transport(random: &mut Random, subjects: &Subjects, is_ipv6: bool) -> (u8, Vec<u8>) {
    let count = random.below(40);
    if random.once_in(6) {
        // ICMP, neighbour discovery among it, ESP, no next header, and whatever.
        let icmp = if is_ipv6 { 58 } else { 1 };
        let any = random.next() as u8;
        let protocol = random.pick(&[icmp, icmp, 50, 59, 58, any]);
        let kind = random.pick(&[128, 129, 132, 133, 135, 136, 137, 138]);
        return (protocol, [vec![kind], random.bytes(count)].concat());
    }
    let mut port = || match random.below(3) {
        0 => random.next() as u16,
        _ => random.pick(&subjects.ports),
    };
    let (source, destination) = (port(), port());
    let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    let protocol = random.pick(&TRANSPORTS);
    (protocol, [ports, random.bytes(count)].concat())
}
