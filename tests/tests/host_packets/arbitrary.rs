//! Arbitrary bytes: what nobody wants comes out as it went in, and what becomes of the rest is what the
//! reference says. NETCHAOS_PACKETS says how many, NETCHAOS_SEED which.

use netchaos_tests::{
    fuzz::mutated,
    packets::{
        reference::{self, Rule, Stop, Way},
        rules::{random_rule, subjects},
        shapes,
    },
    random::Random,
    settings::setting,
};

use super::{
    SHORTEST, WAYS, compare,
    kernel::{Kernel, PRIORITY},
};

/// Inputs of every test here, unless NETCHAOS_PACKETS says something else.
const PACKETS: usize = 4_000;
/// Frames that meet the same experiments.
const ROUND: usize = 1_000;
/// A program is run on no more than what a page holds beside the kernel's own headers
/// (net/bpf/test_run.c, `bpf_test_init`).
const LONGEST: usize = 3_400;
/// IPv4, IPv6, ARP, and what nobody reads.
const KINDS: [[u8; 2]; 4] = [[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06], [0x88, 0xcc]];

/// Calls `test` with rounds of frames until all have had their turn. It says how many were wanted by
/// somebody: the inputs are worth something only if some are, and some are not.
fn rounds(name: &str, test: impl Fn(&mut Random, Vec<Vec<u8>>) -> usize) {
    let seed = setting("NETCHAOS_SEED", 7);
    let (mut random, subjects) = (Random(seed), subjects());
    let shaped = |random: &mut Random| shapes::frame(random, &subjects);
    let seeds: Vec<Vec<u8>> = (0..500).map(|_| shaped(&mut random)).collect();
    let packets = setting("NETCHAOS_PACKETS", PACKETS);
    let (mut left, mut wanted) = (packets, 0);
    println!("{name}: {packets} inputs of NETCHAOS_SEED={seed}");
    while left > 0 {
        let count = left.min(ROUND);
        let frames = (0..count).map(|_| arbitrary(&mut random, &seeds));
        let frames = frames.collect();
        wanted += test(&mut random, frames);
        left -= count;
    }
    println!("{name}: {wanted} of them wanted");
    let share = packets / 20..packets - packets / 20;
    assert!(share.contains(&wanted), "{wanted} of {packets}");
}

fn arbitrary(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = match random.below(8) {
        0 => {
            let length = random.below(LONGEST);
            random.bytes(length)
        }
        // Tags on tags.
        1 => {
            let mut frame = mutated(random, seeds);
            for _ in 0..random.below(6) {
                let tag = random.pick(&[[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]]);
                let at = frame.len().min(12);
                frame.splice(at..at, [tag, [0, 5]].concat());
            }
            frame
        }
        _ => mutated(random, seeds),
    };
    if random.once_in(8) {
        let length = random.below(LONGEST);
        frame.resize(length.max(frame.len()), 0x5a);
    }
    if frame.len() < SHORTEST {
        let missing = SHORTEST - frame.len();
        frame.extend(random.bytes(missing));
    }
    frame.truncate(LONGEST);
    frame
}

fn random_rules(random: &mut Random) -> Vec<Rule> {
    let count = 1 + random.below(24);
    (0..count).map(|_| random_rule(random)).collect()
}

#[test]
fn arbitrary_frames_go_the_way_of_the_reference_or_stay_as_they_are() {
    rounds("frames", |random, frames| {
        let rules = random_rules(random);
        let segments = random.pick(&[0, 1, 2, 44, 65_535]);
        let way = random.pick(&WAYS);
        let is_wanted = |frame: &&Vec<u8>| {
            let packet = reference::packet(&super::runnable((*frame).clone()), way);
            packet.is_some_and(|packet| rules.iter().any(|rule| rule.wants(&packet, way)))
        };
        compare(&rules, &frames, way, segments);
        frames.iter().filter(is_wanted).count()
    });
}

/// Where packets start with the IP header, its EtherType is told beside. The kernel reads that off the
/// place where Ethernet would have it, here the address that a packet comes from.
#[test]
fn arbitrary_packets_without_ethernet_go_the_way_of_the_reference_or_stay_as_they_are() {
    rounds("packets without Ethernet", |random, frames| {
        let rules = random_rules(random);
        let mut kernel = Kernel::new(&rules);
        kernel.take_off_ethernet();
        let mut wanted = 0;
        for mut frame in frames {
            while frame.len() > 60 && is_tag(&frame) {
                frame.drain(12..16);
            }
            // What is told mostly fits.
            let kind = match random.once_in(8) || is_tag(&frame) {
                true => random.pick(&KINDS),
                false => [frame[12], frame[13]],
            };
            let mut packet = frame[14..].to_vec();
            packet.resize(packet.len().max(60), 0);
            packet[12..14].copy_from_slice(&kind);
            let ethernet = [&[0; 12][..], &kind].concat();
            let whole = [&ethernet[..], &packet].concat();
            let way = random.pick(&WAYS);
            let read = reference::packet(&whole, way);
            let (stops, _) = reference::walk(&rules, read.as_ref(), way, 0, 1);
            let after = match stops[0] {
                Stop::Lap(_) => &whole,
                _ => &packet,
            };
            wanted += usize::from(stops[0] != Stop::Passes);
            assert_eq!(
                kernel.first_stop(&packet, way),
                (stops[0], after.clone()),
                "{way:?} {read:?}: {packet:02x?}"
            );
        }
        wanted
    });
}

fn is_tag(frame: &[u8]) -> bool {
    [[0x81, 0x00], [0x88, 0xa8]].contains(&[frame[12], frame[13]])
}

#[test]
fn arbitrary_frames_with_any_mark_come_to_a_known_end() {
    rounds("frames with marks", |random, frames| {
        let kernel = Kernel::new(&random_rules(random));
        let mut wanted = 0;
        for frame in frames {
            let frame = super::runnable(frame);
            let mark = random.next() as u16;
            let way = random.pick(&WAYS);
            let is_ours = mark >> 15 != 0;
            let done = kernel.run_at_device(&frame, way, mark, PRIORITY);
            if mark != 0 {
                assert_eq!(done.verdict, -1, "{mark:#x} {way:?}: {frame:02x?}");
            }
            if !is_ours && mark != 0 || is_ours && way == Way::Out {
                assert_eq!(done.priority, PRIORITY, "{mark:#x} {way:?}: {frame:02x?}");
            }
            let back = kernel.run_back(&frame, mark, PRIORITY);
            if is_ours {
                // A drop, or a redirect on the next lap or home.
                let is_known = [2, 7].contains(&back.verdict);
                assert!(is_known, "{back:?} {mark:#x}: {frame:02x?}");
                wanted += 1;
            } else {
                assert_eq!((back.verdict, back.priority), (2, PRIORITY), "{mark:#x}");
            }
        }
        wanted
    });
}
