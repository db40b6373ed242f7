use std::collections::HashMap;

use super::*;
use crate::abi::{IPV4, IPV6, PREFIX_BITS_BEFORE_ADDRESS};

#[derive(Default)]
struct Maps {
    hosts: HashMap<HostKey, Wants>,
    prefixes: Vec<(u32, PrefixKey, Wants)>,
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
}

const PEER: [u8; 16] = [10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn packet(port: Option<u16>) -> Packet {
    Packet {
        peer: PEER,
        family: IPV4,
        has_port: port.is_some(),
        port: port.unwrap_or(0),
        vital: false,
    }
}

fn commit() -> Commit {
    Commit {
        live: u64::MAX,
        lookups: Commit::HOSTS | Commit::HOST_PORTS | Commit::PREFIXES | Commit::PREFIX_PORTS,
        ..Commit::default()
    }
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
    commit.live = 0b10;
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
fn what_is_vital_is_touched_only_where_its_port_is_named() {
    let mut commit = commit();
    commit.all.want = 0b1000;
    let maps = Maps::default()
        .host(0, 0b0001, 0)
        .prefix(IPV4, 8, 0, 0b0010, 0)
        .host(67, 0b0100, 0);
    let mut packet = packet(Some(67));
    packet.vital = true;
    assert_eq!(wanted(&maps, &commit, &packet), 0b0100);
    packet.vital = false;
    assert_eq!(wanted(&maps, &commit, &packet), 0b1111);
}
