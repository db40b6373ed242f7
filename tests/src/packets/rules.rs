//! Experiments, and what the frames are about.

use std::net::IpAddr;

use super::{
    reference::{Fault, Rule, Target, Vital, Way},
    shapes::Subjects,
};
use crate::random::Random;

/// What a band alone does: a lap.
pub const BAND: Fault = Fault {
    has_band: true,
    cuts: false,
    loses: false,
};

fn target(text: &str) -> Target {
    let (text, ports) = match text.split_once(" port ") {
        Some((text, ports)) => (text, numbers(ports)),
        None => (text, Vec::new()),
    };
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().unwrap();
    let whole = if address.is_ipv4() { 32 } else { 128 };
    Target {
        address,
        length: length.parse().unwrap_or(whole),
        ports,
    }
}

fn numbers(list: &str) -> Vec<u16> {
    list.split(',')
        .map(|number| number.parse().unwrap())
        .collect()
}

/// Aimed at these, all traffic where there are none, both ways.
pub fn rule(to: &[&str], except: &[&str]) -> Rule {
    let list = |texts: &[&str]| texts.iter().copied().map(target).collect();
    Rule {
        to: (!to.is_empty()).then(|| list(to)),
        except: list(except),
        ways: vec![Way::Out, Way::In],
        fault: BAND,
        ..Rule::default()
    }
}

impl Rule {
    fn protocols(mut self, protocols: &[u8]) -> Self {
        self.protocols = protocols.to_vec();
        self
    }

    fn ports(mut self, ports: &[u16]) -> Self {
        self.ports = ports.to_vec();
        self
    }

    fn local_ports(mut self, ports: &[u16]) -> Self {
        self.local_ports = ports.to_vec();
        self
    }

    fn include(mut self, include: &[Vital]) -> Self {
        self.include = include.to_vec();
        self
    }
}

/// Every kind of rule, so that they overlap in every way.
pub fn rules() -> Vec<Rule> {
    let all = &[][..];
    let vital = [
        Vital::AddressResolution,
        Vital::NeighbourDiscovery,
        Vital::Dhcp,
    ];
    vec![
        rule(&["10.1.2.3"], &[]),
        rule(&["2001:db8::3"], &[]),
        rule(&["10.1.2.3 port 443"], &[]),
        rule(&["2001:db8::3 port 443"], &[]),
        rule(&["10.1.0.0/16"], &[]),
        rule(&["10.1.2.0/24", "2001:db8::/64"], &[]),
        rule(&["10.1.2.0/29 port 443,80", "10.1.2.2/31 port 53"], &[]),
        rule(&["2001:db8::/32 port 67", "2001:db8::/126 port 443"], &[]),
        rule(&["10.0.0.0/8"], &["10.1.2.3"]),
        rule(&["10.1.2.0/24"], &["10.1.2.0/30 port 443", "10.1.2.9"]),
        rule(
            &["2001:db8::/48"],
            &["2001:db8::/127", "2001:db8::8 port 53"],
        ),
        rule(all, &[]),
        rule(all, &["10.1.0.0/16", "2001:db8::3"]),
        rule(all, &["10.1.2.3 port 443", "2001:db8::/64 port 53"]),
        rule(&["10.1.2.0/24 port 67", "2001:db8::/64 port 547"], &[]),
        rule(&["10.1.2.0/24 port 67,68"], &["10.1.2.3"]),
        rule(&["128.0.0.0/1", "8000::/1"], &[]),
        rule(&["10.1.2.2/31", "10.1.2.3", "10.1.2.3 port 53"], &[]),
        // What "2.3" at the end of the address would be if it were taken for a port.
        rule(&["10.1.2.0/24 port 515"], &[]),
        rule(all, &[]).ports(&[443, 53]),
        rule(all, &[]).local_ports(&[443, 80]),
        rule(all, &[]).ports(&[443, 80]).local_ports(&[53, 67, 515]),
        rule(&["10.1.2.0/24 port 443,80"], &[]).ports(&[80, 53]),
        rule(all, &[]).protocols(&[6]),
        rule(all, &[]).protocols(&[1, 58]),
        rule(all, &[]).protocols(&[17, 132, 0]).ports(&[53]),
        rule(&["10.0.0.0/8", "2001:db8::/32"], &["10.1.2.3"])
            .protocols(&[17])
            .local_ports(&[53, 443, 68]),
        rule(all, &[]).include(&vital),
        rule(all, &["10.0.0.0/8"]).include(&[Vital::Dhcp]),
        rule(&["10.1.2.0/24", "2001:db8::3"], &[]).include(&vital),
        rule(all, &[])
            .include(&[Vital::NeighbourDiscovery])
            .protocols(&[58]),
        rule(all, &[])
            .include(&vital)
            .protocols(&[17])
            .ports(&[67, 547]),
        // Hop-by-hop options have number 0, which ARP has not.
        rule(all, &[]).include(&vital).protocols(&[0, 44, 59]),
    ]
}

const ADDRESSES: [&str; 16] = [
    "10.1.2.3",
    "10.1.2.2",
    "10.1.2.9",
    "10.1.3.3",
    "10.2.2.3",
    "192.0.2.1",
    "11.1.2.3",
    "255.255.255.255",
    "2001:db8::3",
    "2001:db8::1",
    "2001:db8::8",
    "2001:db8:0:1::3",
    "2001:db9::3",
    "ff02::1:ff00:3",
    "::ffff:10.1.2.3",
    "a01:203::",
];

const PORTS: [u16; 8] = [443, 53, 67, 68, 546, 547, 80, 515];

/// Addresses and ports that the rules know, and their neighbours.
pub fn subjects() -> Subjects {
    Subjects {
        addresses: ADDRESSES.map(|address| address.parse().unwrap()).to_vec(),
        ports: PORTS.to_vec(),
    }
}

/// Some experiment.
pub fn random_rule(random: &mut Random) -> Rule {
    let mut vital = vec![
        Vital::AddressResolution,
        Vital::NeighbourDiscovery,
        Vital::Dhcp,
    ];
    vital.retain(|_| random.once_in(4));
    let some = |random: &mut Random, times| match random.once_in(times) {
        true => (0..=random.below(3)).map(|_| random.pick(&PORTS)).collect(),
        false => Vec::new(),
    };
    let (targets, spared) = (1 + random.below(4), random.pick(&[0, 0, 1, 2]));
    Rule {
        to: (!random.once_in(4)).then(|| (0..targets).map(|_| random_target(random)).collect()),
        except: (0..spared).map(|_| random_target(random)).collect(),
        protocols: match random.below(6) {
            0 => vec![random.pick(&[6, 17, 132, 1, 58, 0])],
            1 => vec![6, 17],
            _ => Vec::new(),
        },
        ports: some(random, 6),
        local_ports: some(random, 6),
        include: vital,
        ways: random
            .pick(&[&[Way::Out][..], &[Way::In], &[Way::Out, Way::In]])
            .to_vec(),
        fault: Fault {
            has_band: !random.once_in(4),
            cuts: random.once_in(3),
            loses: random.once_in(24),
        },
    }
}

fn random_target(random: &mut Random) -> Target {
    // An IPv4 address in IPv6 is the IPv4 one for netchaos, and here it is not.
    let address: IpAddr = random.pick(&ADDRESSES[..14]).parse().unwrap();
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let length = match random.below(3) {
        0 => whole,
        1 => whole - random.pick(&[1, 2, 8, 16, 24]),
        // Never none, which would be all traffic without saying so.
        _ => 1 + random.below(usize::from(whole)) as u8,
    };
    let ports = match random.once_in(3) {
        true => (0..=random.below(2)).map(|_| random.pick(&PORTS)).collect(),
        false => Vec::new(),
    };
    Target {
        address,
        length,
        ports,
    }
}
