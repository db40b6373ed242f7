use std::collections::HashMap;

use super::*;
use crate::abi::{IPV4, IPV6, Limited, PREFIX_BITS_BEFORE_ADDRESS};

#[derive(Default)]
struct Maps {
    hosts: HashMap<HostKey, Wants>,
    prefixes: Vec<(u32, PrefixKey, Wants)>,
    remote: HashMap<u16, u64>,
    local: HashMap<u16, u64>,
    protocols: HashMap<u8, u64>,
}

impl Tables for Maps {
    fn host(&self, key: &HostKey) -> Option<&Wants> {
        self.hosts.get(key)
    }

    fn prefix(&self, key: &PrefixKey) -> Option<&Wants> {
        let bits = |key: &PrefixKey| -> Vec<bool> {
            let bytes = key.family.iter().chain(&key.port).chain(&key.address);
            bytes
                .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 != 0))
                .collect()
        };
        let wanted = bits(key);
        self.prefixes
            .iter()
            .filter(|(length, key, _)| bits(key)[..*length as usize] == wanted[..*length as usize])
            .max_by_key(|(length, ..)| *length)
            .map(|(.., wants)| wants)
    }

    fn remote_port(&self, port: u16) -> u64 {
        self.remote.get(&port).copied().unwrap_or(0)
    }

    fn local_port(&self, port: u16) -> u64 {
        self.local.get(&port).copied().unwrap_or(0)
    }

    fn protocol(&self, number: u8) -> u64 {
        self.protocols.get(&number).copied().unwrap_or(0)
    }
}

const PEER: [u8; 16] = [10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

const TCP: u8 = 6;
const LOCAL_PORT: u16 = 50_000;

fn packet(port: Option<u16>) -> Packet {
    Packet {
        peer: PEER,
        family: IPV4,
        protocol: TCP,
        has_port: port.is_some(),
        port: port.unwrap_or(0),
        local_port: port.map_or(0, |_| LOCAL_PORT),
        vital: Vital::No,
    }
}

fn arp() -> Packet {
    Packet {
        peer: [0; 16],
        family: 0,
        protocol: 0,
        vital: Vital::Arp,
        ..packet(None)
    }
}

fn commit() -> Commit {
    Commit {
        out: u64::MAX,
        lookups: u32::MAX,
        ..Commit::default()
    }
}

fn wanted(maps: &Maps, commit: &Commit, packet: &Packet) -> u64 {
    super::wanted(maps, commit, packet, Way::Out)
}

impl Maps {
    fn host(mut self, port: u16, want: u64, except: u64) -> Self {
        let key = HostKey {
            address: PEER,
            port,
            family: IPV4,
        };
        self.hosts.insert(key, Wants { want, except });
        self
    }

    fn prefix(mut self, family: u16, length: u32, port: u16, want: u64, except: u64) -> Self {
        let mut address = [0; 16];
        let bytes = length as usize / 8;
        address[..bytes].copy_from_slice(&PEER[..bytes]);
        let key = PrefixKey {
            family: family.to_be_bytes(),
            port: port.to_be_bytes(),
            address,
        };
        let bits = PREFIX_BITS_BEFORE_ADDRESS + length;
        self.prefixes.push((bits, key, Wants { want, except }));
        self
    }
}

#[test]
fn what_every_key_wants_adds_up() {
    let maps = Maps::default()
        .host(0, 0b0001, 0)
        .host(443, 0b0010, 0)
        .prefix(IPV4, 8, 0, 0b0100, 0)
        .prefix(IPV4, 16, 443, 0b1000, 0);
    assert_eq!(wanted(&maps, &commit(), &packet(Some(443))), 0b1111);
    assert_eq!(wanted(&maps, &commit(), &packet(Some(80))), 0b0101);
    assert_eq!(wanted(&maps, &commit(), &packet(None)), 0b0101);
}

#[test]
fn the_longest_prefix_counts_alone() {
    let maps = Maps::default()
        .prefix(IPV4, 8, 0, 0b01, 0)
        .prefix(IPV4, 24, 0, 0b10, 0);
    assert_eq!(wanted(&maps, &commit(), &packet(None)), 0b10);
}

#[test]
fn an_exclude_wins_whichever_key_it_comes_by() {
    for maps in [
        Maps::default().host(0, 1, 0).prefix(IPV4, 8, 0, 0, 1),
        Maps::default().host(0, 0, 1).prefix(IPV4, 8, 0, 1, 0),
        Maps::default().host(0, 1, 0).host(443, 0, 1),
        Maps::default().host(443, 1, 0).prefix(IPV4, 8, 443, 0, 1),
        Maps::default().host(0, 1, 1),
    ] {
        assert_eq!(wanted(&maps, &commit(), &packet(Some(443))), 0);
    }
}

#[test]
fn an_exclude_is_its_own_experiments_alone() {
    let maps = Maps::default().host(0, 0b11, 0b01);
    assert_eq!(wanted(&maps, &commit(), &packet(None)), 0b10);
}

#[test]
fn what_is_not_live_wants_nothing_and_what_is_not_needed_is_not_looked_up() {
    let maps = Maps::default().host(0, 0b11, 0);
    let mut commit = commit();
    commit.out = 0b10;
    assert_eq!(wanted(&maps, &commit, &packet(None)), 0b10);
    commit.lookups = Commit::PREFIXES;
    assert_eq!(wanted(&maps, &commit, &packet(None)), 0);
}

#[test]
fn a_prefix_of_one_family_never_covers_the_other() {
    let maps = Maps::default().prefix(IPV6, 0, 0, 1, 0);
    assert_eq!(wanted(&maps, &commit(), &packet(None)), 0);
    let maps = Maps::default().prefix(IPV4, 0, 0, 1, 0);
    assert_eq!(wanted(&maps, &commit(), &packet(None)), 1);
}

#[test]
fn each_way_has_slots_of_its_own() {
    let maps = Maps::default().host(0, 0b111, 0);
    let commit = Commit {
        out: 0b011,
        into: 0b110,
        ..commit()
    };
    for (way, expected) in [(Way::Out, 0b011), (Way::In, 0b110)] {
        assert_eq!(
            super::wanted(&maps, &commit, &packet(None), way),
            expected,
            "{way:?}"
        );
    }
}

#[test]
fn who_is_limited_wants_its_own_ports_and_protocols_and_all_limits_must_hold() {
    let mut maps = Maps::default().host(0, 0b1111, 0);
    maps.remote.extend([(443, 0b0111), (80, 0b1111)]);
    maps.local.extend([(LOCAL_PORT, 0b0110)]);
    maps.protocols.extend([(TCP, 0b0100), (17, 0b1110)]);
    let limited = |remote, local, protocol| Commit {
        limited: Limited {
            remote,
            local,
            protocol,
        },
        ..commit()
    };
    let to = |port| packet(Some(port));
    // Bits of who is not limited mean nothing.
    assert_eq!(wanted(&maps, &commit(), &to(22)), 0b1111);
    assert_eq!(wanted(&maps, &limited(0b1100, 0, 0), &to(443)), 0b0111);
    assert_eq!(wanted(&maps, &limited(0b1100, 0, 0), &to(22)), 0b0011);
    assert_eq!(wanted(&maps, &limited(0, 0b1100, 0), &to(22)), 0b0111);
    assert_eq!(wanted(&maps, &limited(0, 0, 0b1100), &to(22)), 0b0111);
    let all = limited(0b1111, 0b1111, 0b1111);
    assert_eq!(wanted(&maps, &all, &to(443)), 0b0100);
    let udp = Packet {
        protocol: 17,
        ..to(80)
    };
    assert_eq!(wanted(&maps, &all, &udp), 0b0110);
    // Without a port there is none that fits, not even one that is named 0.
    maps.remote.insert(0, 0b1111);
    maps.local.insert(0, 0b1111);
    assert_eq!(wanted(&maps, &limited(0b0001, 0, 0), &packet(None)), 0b1110);
    assert_eq!(wanted(&maps, &limited(0, 0b0001, 0), &packet(None)), 0b1110);
    assert_eq!(wanted(&maps, &limited(0, 0, 0b1111), &packet(None)), 0b0100);
    let not_needed = Commit {
        lookups: Commit::HOSTS,
        ..all
    };
    assert_eq!(wanted(&maps, &not_needed, &to(443)), 0, "nothing is found");
}

#[test]
fn a_limit_takes_from_targets_with_a_port_as_well_and_an_exclude_is_not_limited() {
    let mut maps = Maps::default()
        .host(443, 0b11, 0)
        .prefix(IPV4, 8, 0, 0, 0b10);
    maps.remote.insert(443, 0b10);
    let mut commit = commit();
    commit.limited.remote = 0b11;
    assert_eq!(wanted(&maps, &commit, &packet(Some(443))), 0);
}

#[test]
fn what_is_vital_is_touched_only_by_whom_named_it() {
    let maps = Maps::default()
        .host(0, 0b0001, 0)
        .prefix(IPV4, 8, 0, 0b0010, 0)
        .host(67, 0b0100, 0);
    let kinds = [Vital::Arp, Vital::Nd, Vital::Dhcp];
    for (kind, vital) in kinds.into_iter().enumerate() {
        let mut commit = commit();
        commit.all.want = 0b1000;
        let packet = Packet {
            vital,
            ..packet(Some(67))
        };
        // A port is named by its key.
        assert_eq!(wanted(&maps, &commit, &packet), 0b0100, "{vital:?}");
        commit.vital[kind] = 0b1011;
        assert_eq!(wanted(&maps, &commit, &packet), 0b1111, "{vital:?}");
        commit.vital = [0b1011; 3];
        commit.vital[kind] = 0b0010;
        assert_eq!(wanted(&maps, &commit, &packet), 0b0110, "{vital:?}");
    }
}

#[test]
fn address_resolution_is_wanted_by_all_alone_and_has_no_protocol() {
    let mut maps = Maps::default().host(0, 0b01, 0);
    let mut commit = commit();
    commit.vital[0] = u64::MAX;
    assert_eq!(wanted(&maps, &commit, &arp()), 0);
    commit.all.want = 0b11;
    assert_eq!(wanted(&maps, &commit, &arp()), 0b11);
    // 0 is a protocol of IP (hop-by-hop options), and ARP is not of IP.
    maps.protocols.insert(0, 0b10);
    commit.limited.protocol = 0b10;
    assert_eq!(wanted(&maps, &commit, &arp()), 0b01);
}
