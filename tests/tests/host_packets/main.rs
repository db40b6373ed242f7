//! The classifiers in the kernel, by BPF_PROG_TEST_RUN, against a plain reference: packets of every
//! shape and experiments of every kind, and the same answer to what becomes of each packet.

mod arbitrary;
mod kernel;
mod laps;
mod switch;
mod trampoline;

use kernel::Kernel;
use netchaos_tests::{
    packets::{reference, rules, shapes},
    random::Random,
};
use reference::{Hits, Rule, Stop, Way};
use rules::{random_rule, rules, subjects};

/// The kernel runs no program on a frame without a byte behind its Ethernet header
/// (net/bpf/test_run.c, `convert___skb_to_skb`).
const SHORTEST: usize = 15;

const WAYS: [Way; 2] = [Way::Out, Way::In];

/// The frame, or where newer kernels refuse to run it (an IP header cut short right behind
/// Ethernet, net/bpf/test_run.c), the same behind a VLAN tag, which they do not look behind.
fn runnable(mut frame: Vec<u8>) -> Vec<u8> {
    let header = match frame[12..14] {
        [0x08, 0x00] => 20,
        [0x86, 0xdd] => 40,
        _ => 0,
    };
    if frame.len() < 14 + header {
        frame.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    }
    frame
}

/// Compares kernel and reference, and counts how many frames each rule wanted.
fn compare(rules: &[Rule], frames: &[Vec<u8>], way: Way, segments: u32) -> Vec<u64> {
    let kernel = Kernel::new(rules);
    let mut expected_hits = vec![Hits::default(); rules.len()];
    for frame in frames {
        let frame = runnable(frame.clone());
        let packet = reference::packet(&frame, way);
        let (expected, hits) = reference::walk(
            rules,
            packet.as_ref(),
            way,
            frame.len() as u64,
            segments.max(1).into(),
        );
        assert_eq!(
            kernel.walk(&frame, way, segments),
            expected,
            "the kernel's way and the reference's, {way:?}, for {packet:?}, {} bytes: {frame:02x?}",
            frame.len()
        );
        for (sum, hits) in expected_hits.iter_mut().zip(hits) {
            sum.packets += hits.packets;
            sum.bytes += hits.bytes;
            sum.segments += hits.segments;
            sum.dropped += hits.dropped;
        }
    }
    assert_eq!(kernel.hits(way), expected_hits, "{way:?}");
    let other = if way == Way::Out { Way::In } else { Way::Out };
    assert_eq!(
        kernel.hits(other),
        vec![Hits::default(); rules.len()],
        "{other:?}"
    );
    expected_hits.into_iter().map(|hits| hits.packets).collect()
}

fn frames(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let (mut random, subjects) = (Random(seed), subjects());
    let mut frames: Vec<Vec<u8>> = (0..count)
        .map(|_| shapes::frame(&mut random, &subjects))
        .collect();
    frames.retain(|frame| frame.len() >= SHORTEST);
    frames
}

#[test]
fn packets_of_every_shape_are_wanted_by_whom_they_should() {
    let frames = frames(1, 60_000);
    for way in WAYS {
        let packets = || {
            frames
                .iter()
                .filter_map(|frame| reference::packet(frame, way))
        };
        // The shapes are worth something only if they reach everything.
        assert!(packets().filter(|packet| packet.ports.is_some()).count() > 10_000);
        assert!(packets().filter(|packet| packet.ports.is_none()).count() > 3000);
        assert!(frames.len() - packets().count() > 3000, "no packets");
        for vital in [
            reference::Vital::AddressResolution,
            reference::Vital::NeighbourDiscovery,
            reference::Vital::Dhcp,
        ] {
            let count = packets()
                .filter(|packet| packet.vital == Some(vital))
                .count();
            assert!(count > 100, "{count} of {vital:?}");
        }
        for (slot, count) in compare(&rules(), &frames, way, 0).into_iter().enumerate() {
            assert!(count > 30, "rule {slot} wanted {count} frames, {way:?}");
        }
    }
}

#[test]
fn packets_cut_at_every_byte_are_wanted_by_their_address_or_not_at_all() {
    let (mut random, subjects) = (Random(2), subjects());
    let mut frames = Vec::new();
    while frames.len() < 10_000 {
        let whole = shapes::frame(&mut random, &subjects);
        frames.extend((SHORTEST..=whole.len()).map(|length| whole[..length].to_vec()));
    }
    for way in WAYS {
        compare(&rules(), &frames, way, 0);
    }
}

#[test]
fn random_bytes_are_wanted_by_nobody_who_should_not() {
    let mut random = Random(3);
    let frames: Vec<Vec<u8>> = (0..10_000)
        .map(|_| {
            let length = SHORTEST + random.below(200);
            let mut frame: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            // Else hardly one would be taken for IP.
            if random.once_in(2) {
                let (ether_type, version) = random.pick(&[([8, 0], 0x45), ([0x86, 0xdd], 0x60)]);
                frame[12..14].copy_from_slice(&ether_type);
                frame[14] = version;
            }
            frame
        })
        .collect();
    for way in WAYS {
        compare(&rules(), &frames, way, 0);
    }
}

/// Random experiments with random overlap and random faults: the way of every packet through them
/// is the reference's, lap by lap.
#[test]
fn whatever_the_experiments_every_packet_goes_their_way() {
    let mut random = Random(4);
    let mut lap_counts = vec![0; 6];
    for round in 0..60 {
        let count = 1 + random.below(if round % 10 == 0 { 64 } else { 24 });
        let rules: Vec<Rule> = (0..count).map(|_| random_rule(&mut random)).collect();
        let frames = frames(random.next(), 300);
        for way in WAYS {
            let segments = random.pick(&[0, 1, 3, 44]);
            compare(&rules, &frames, way, segments);
            for frame in &frames {
                let packet = reference::packet(frame, way);
                let (stops, _) = reference::walk(&rules, packet.as_ref(), way, 0, 1);
                let laps = stops.iter().filter(|stop| matches!(stop, Stop::Lap(_)));
                let most = lap_counts.len() - 1;
                lap_counts[laps.count().min(most)] += 1;
            }
        }
    }
    // The experiments are worth something only if they overlap.
    for (laps, count) in lap_counts.into_iter().enumerate() {
        assert!(count > 100, "{count} packets with {laps} laps");
    }
}
