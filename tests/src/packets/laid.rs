//! The rules of a [`super::reference`] as experiments, and what the maps and the commit in force say
//! of them.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use netchaos::{
    experiment::{Delay, Direction, Experiment, Fault, Ports, Rule as Conditions, Targets, Vital},
    plan::{Laid, Tables},
};
use netchaos_common::abi::Commit;

use super::reference::{self, Rule, Target, Way};

/// What is in force where each rule has the slot of its place in the list.
pub fn commit(rules: &[Rule], tables: &Tables) -> Commit {
    let live = |way| {
        let slots = rules.iter().enumerate();
        let bits = slots.filter(|(_, rule)| rule.ways.contains(&way));
        bits.fold(0, |live, (slot, _)| live | 1 << slot)
    };
    Commit {
        out: live(Way::Out),
        into: live(Way::In),
        all: tables.all,
        limited: tables.limited,
        vital: tables.vital,
        lookups: tables.lookups(),
        reserved: 0,
    }
}

/// An experiment for a rule.
///
/// # Panics
/// When netchaos refuses it.
pub fn laid(slot: usize, rule: &Rule) -> Laid {
    let direction = match rule.ways.as_slice() {
        [Way::In] => Direction::From,
        [Way::Out] => Direction::To,
        _ => Direction::Both,
    };
    Laid {
        slot: slot as u8,
        going: false,
        created: 0,
        pair: slot as u8,
        band: 2,
        into: None,
        ends: None,
        experiment: Experiment {
            name: format!("e{slot}"),
            namespace: None,
            device: None,
            direction,
            fault: Fault {
                delay: Some(Delay {
                    latency: Duration::from_millis(1),
                    ..Delay::default()
                }),
                ..Fault::default()
            },
            targets: match &rule.to {
                Some(targets) => Targets::List(targets.iter().map(target).collect()),
                None => Targets::AllTraffic,
            },
            except: rule.except.iter().map(target).collect(),
            rule: conditions(rule),
            duration: None,
            paused: false,
        },
        addresses: BTreeMap::new(),
        held: None,
    }
}

fn conditions(rule: &Rule) -> Conditions {
    let protocols = rule.protocols.iter();
    let include = rule.include.iter().map(|vital| match vital {
        reference::Vital::AddressResolution => Vital::Arp,
        reference::Vital::NeighbourDiscovery => Vital::Nd,
        reference::Vital::Dhcp => Vital::Dhcp,
    });
    Conditions {
        protocols: protocols
            .map(|number| number.to_string().parse().unwrap())
            .collect(),
        ports: ports(&rule.ports),
        local_ports: ports(&rule.local_ports),
        include: include.collect(),
    }
}

fn ports(list: &[u16]) -> Ports {
    if list.is_empty() {
        return Ports::default();
    }
    list_of(list).parse().unwrap()
}

fn list_of(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join(",")
}

fn target(target: &Target) -> netchaos::experiment::Target {
    let Target {
        address,
        length,
        ports,
    } = target;
    let text = match (ports.as_slice(), address) {
        ([], _) => format!("{address}/{length}"),
        (ports, IpAddr::V4(_)) => format!("{address}/{length}:{}", list_of(ports)),
        (ports, IpAddr::V6(_)) => format!("[{address}/{length}]:{}", list_of(ports)),
    };
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error:?}"))
}
