//! Any frame and any experiments: what user space works out of both is what the reference says.

use netchaos::plan::Tables;
use netchaos_common::{
    abi::{HostKey, PREFIX_BITS_BEFORE_ADDRESS, PrefixKey, Wants},
    matching,
    packet::{self, Start},
};

use crate::{
    packets::{
        laid::{commit, laid},
        reference::{self, Rule, Way},
        rules::{random_rule, subjects},
        shapes,
    },
    random::Random,
};

/// Bytes before the frame: which experiments there are, how many, and how the frame starts.
const HEADER: usize = 4;

pub fn run(input: &[u8]) {
    let Some((&[seed, other, count, start], frame)) = input.split_first_chunk::<HEADER>() else {
        return;
    };
    let mut random = Random(u64::from(seed) << 8 | u64::from(other));
    let count = 1 + usize::from(count) % 8;
    let rules: Vec<Rule> = (0..count).map(|_| random_rule(&mut random)).collect();
    let laid: Vec<_> = rules
        .iter()
        .enumerate()
        .map(|(slot, rule)| laid(slot, rule))
        .collect();
    let tables = Tables::of(laid.iter());
    let commit = commit(&rules, &tables);
    // A frame of a device without Ethernet is the reference's with some Ethernet before it.
    let (start, whole) = match [0, 0x0800_u16, 0x86dd, 0x0806][usize::from(start) % 4] {
        0 => (Start::Ethernet, frame.to_vec()),
        kind => {
            let ethernet = [&[0; 12][..], &kind.to_be_bytes()].concat();
            (Start::Network(kind.to_be()), [&ethernet, frame].concat())
        }
    };
    for (way, of_reference) in [(packet::Way::Out, Way::Out), (packet::Way::In, Way::In)] {
        let expected = reference::packet(&whole, of_reference);
        let found = packet::parse(frame, start, way);
        assert_eq!(
            found.is_some(),
            expected.is_some(),
            "{found:?} {expected:?}"
        );
        let (Some(found), Some(expected)) = (found, expected) else {
            continue;
        };
        let ports = found.has_port.then_some((found.port, found.local_port));
        assert_eq!(ports, expected.ports, "{found:?}");
        let wanted = matching::wanted(&Maps(&tables), &commit, &found, way);
        for (slot, rule) in rules.iter().enumerate() {
            assert_eq!(
                wanted >> slot & 1 != 0,
                rule.wants(&expected, of_reference),
                "slot {slot}, {way:?}: {expected:?} and {rule:?}"
            );
        }
        assert_eq!(wanted >> rules.len(), 0, "slots that there are not");
    }
}

/// The maps as the kernel would look into them.
struct Maps<'a>(&'a Tables);

impl matching::Tables for Maps<'_> {
    fn host(&self, key: &HostKey) -> Option<&Wants> {
        self.0.hosts.get(key)
    }

    fn prefix(&self, key: &PrefixKey) -> Option<&Wants> {
        let covers = |bits: u32, prefix: &PrefixKey| {
            let differ = u128::from_be_bytes(prefix.address) ^ u128::from_be_bytes(key.address);
            (prefix.family, prefix.port) == (key.family, key.port)
                && differ.leading_zeros() >= bits - PREFIX_BITS_BEFORE_ADDRESS
        };
        // The last one is the longest.
        let mut found = self.0.prefixes.iter().rev();
        found
            .find(|((bits, prefix), _)| covers(*bits, prefix))
            .map(|(_, wants)| wants)
    }

    fn remote_port(&self, port: u16) -> u64 {
        self.0.remote.get(&port).copied().unwrap_or(0)
    }

    fn local_port(&self, port: u16) -> u64 {
        self.0.local.get(&port).copied().unwrap_or(0)
    }

    fn protocol(&self, number: u8) -> u64 {
        self.0.protocols.get(&number).copied().unwrap_or(0)
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (mut random, subjects) = (Random(1), subjects());
    let mut seed = |number: u8| {
        let frame = shapes::frame(&mut random, &subjects);
        match (number % 4, frame.get(14..)) {
            (1, Some(packet)) => [&[number, 0, number, 1 + number / 4 % 3], packet].concat(),
            _ => [&[number, 0, number, 0], &frame[..]].concat(),
        }
    };
    (0..48).map(&mut seed).collect()
}
