//! The classifier in the kernel, by BPF_PROG_TEST_RUN, against a plain reference: packets of
//! every shape, and the same answer to whether an experiment wants them.

mod kernel;
mod reference;
mod shapes;

use std::net::IpAddr;

use kernel::{Kernel, Outcome, steer};
use netchaos::kernel::bpf::Entry as _;
use netchaos_common::abi::{Commit, SLOTS, Steer};
use netchaos_tests::random::Random;
use reference::{Rule, Target};
use shapes::Subjects;

/// The kernel runs no program on a frame without a byte behind its Ethernet header
/// (net/bpf/test_run.c, `convert___skb_to_skb`).
const SHORTEST: usize = 15;

fn target(text: &str) -> Target {
    let (text, port) = match text.split_once(" port ") {
        Some((text, port)) => (text, Some(port.parse().unwrap())),
        None => (text, None),
    };
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().unwrap();
    let whole = if address.is_ipv4() { 32 } else { 128 };
    Target {
        address,
        length: length.parse().unwrap_or(whole),
        port,
    }
}

fn rule(to: &[&str], except: &[&str]) -> Rule {
    let list = |texts: &[&str]| texts.iter().copied().map(target).collect();
    Rule {
        to: (!to.is_empty()).then(|| list(to)),
        except: list(except),
    }
}

/// Every kind of rule, so that they overlap in every way.
fn rules() -> Vec<Rule> {
    let all = &[][..];
    vec![
        rule(&["10.1.2.3"], &[]),
        rule(&["2001:db8::3"], &[]),
        rule(&["10.1.2.3 port 443"], &[]),
        rule(&["2001:db8::3 port 443"], &[]),
        rule(&["10.1.0.0/16"], &[]),
        rule(&["10.1.2.0/24", "2001:db8::/64"], &[]),
        rule(&["10.1.2.0/29 port 443", "10.1.2.2/31 port 53"], &[]),
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
        rule(&["10.1.2.0/24 port 67"], &["10.1.2.3"]),
        rule(&["128.0.0.0/1", "8000::/1"], &[]),
        rule(&["10.1.2.2/31", "10.1.2.3", "10.1.2.3 port 53"], &[]),
        // What "2.3" at the end of the address would be if it were taken for a port.
        rule(&["10.1.2.0/24 port 515"], &[]),
    ]
}

fn subjects() -> Subjects {
    let addresses = [
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
    Subjects {
        addresses: addresses.map(|address| address.parse().unwrap()).to_vec(),
        ports: vec![443, 53, 67, 68, 546, 547, 80, 515],
    }
}

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
fn compare(frames: Vec<Vec<u8>>) -> Vec<usize> {
    let frames: Vec<Vec<u8>> = frames.into_iter().map(runnable).collect();
    let rules = rules();
    let mut kernel = Kernel::new(&rules);
    let wanting = kernel.wanting(rules.len(), &frames);
    let mut counts = vec![0; rules.len()];
    for (frame, wanting) in frames.iter().zip(wanting) {
        let peer = reference::peer(frame);
        let expected: Vec<usize> = (0..rules.len())
            .filter(|slot| peer.is_some_and(|peer| rules[*slot].wants(&peer)))
            .collect();
        assert_eq!(
            wanting,
            expected,
            "the kernel's slots and the reference's, for {peer:?}, {} bytes: {frame:02x?}",
            frame.len()
        );
        for slot in expected {
            counts[slot] += 1;
        }
    }
    counts
}

#[test]
fn packets_of_every_shape_are_wanted_by_whom_they_should() {
    let (mut random, subjects) = (Random(1), subjects());
    let mut frames: Vec<Vec<u8>> = (0..60_000)
        .map(|_| shapes::frame(&mut random, &subjects))
        .collect();
    frames.retain(|frame| frame.len() >= SHORTEST);
    let peers = || frames.iter().filter_map(|frame| reference::peer(frame));
    // The shapes are worth something only if they reach everything.
    assert!(peers().filter(|peer| peer.port.is_some()).count() > 10_000);
    assert!(
        peers()
            .filter(|peer| peer.vital && peer.port.is_some())
            .count()
            > 1000
    );
    assert!(
        peers()
            .filter(|peer| peer.vital && peer.port.is_none())
            .count()
            > 100
    );
    assert!(peers().filter(|peer| peer.port.is_none()).count() > 5000);
    assert!(
        frames.len() - peers().count() > 5000,
        "frames without a peer"
    );
    for (slot, count) in compare(frames).into_iter().enumerate() {
        assert!(count > 50, "rule {slot} wanted {count} frames");
    }
}

#[test]
fn packets_cut_at_every_byte_are_wanted_by_their_address_or_not_at_all() {
    let (mut random, subjects) = (Random(2), subjects());
    let mut frames = Vec::new();
    while frames.len() < 20_000 {
        let whole = shapes::frame(&mut random, &subjects);
        frames.extend((SHORTEST..=whole.len()).map(|length| whole[..length].to_vec()));
    }
    compare(frames);
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
    compare(frames);
}

/// An IPv4 UDP frame to 10.1.2.3, port 443.
fn plain_frame() -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([192, 0, 2, 1, 10, 1, 2, 3, 0x12, 0x34, 1, 187, 0, 12, 0, 0]);
    frame.extend([0x55; 4]);
    frame
}

#[test]
fn the_oldest_experiment_that_is_live_and_has_not_ended_comes_first() {
    let rules = vec![rule(&["10.1.2.3"], &[]); SLOTS];
    let mut kernel = Kernel::new(&rules);
    let frame = plain_frame();
    for first in [0, 1, 31, 32, 62, 63] {
        kernel.set_live(u64::MAX << first);
        assert_eq!(kernel.run(&frame), Outcome::Steered(first));
    }
    kernel.set_live(0);
    assert_eq!(kernel.run(&frame), Outcome::Untouched);

    kernel.set_live(0b111 << 10);
    let mut end = |slot, ends| {
        let steer = steer(slot, ends);
        kernel.classifier.maps.steers.write(slot, steer).unwrap();
        kernel.run(&frame)
    };
    // 1 ns after the boot has passed, and the end of the clock has not.
    assert_eq!(end(10, 1), Outcome::Steered(11));
    assert_eq!(end(11, u64::MAX), Outcome::Steered(11));
    assert_eq!(end(11, 1), Outcome::Steered(12));
    assert_eq!(end(12, 1), Outcome::Untouched);
    assert_eq!(end(10, 0), Outcome::Steered(10));
}

#[test]
fn a_pair_that_is_gone_is_left_out_and_without_any_the_packet_passes_untouched() {
    let mut kernel = Kernel::new(&[rule(&["10.1.2.3"], &[]), rule(&["10.1.2.3"], &[])]);
    let frame = plain_frame();
    assert_eq!(kernel.run(&frame), Outcome::Steered(0));
    for (slot, then) in [(0, Outcome::Steered(1)), (1, Outcome::Untouched)] {
        let gone = Steer {
            ifindex: i32::MAX.unsigned_abs(),
            ..steer(slot, 0)
        };
        kernel.classifier.maps.steers.write(slot, gone).unwrap();
        assert_eq!(kernel.run(&frame), then);
    }
}

#[test]
fn the_one_word_that_switches_commits_switches_every_packet() {
    let mut kernel = Kernel::new(&[rule(&["10.1.2.3"], &[]), rule(&["10.1.2.0/24"], &[])]);
    let frame = plain_frame();
    let only_the_second = Commit {
        live: 0b10,
        ..kernel.commit
    };
    let maps = &mut kernel.classifier.maps;
    maps.commits.write(1, only_the_second).unwrap();
    assert_eq!(kernel.run(&frame), Outcome::Steered(0));
    kernel.classifier.maps.current.write(0, 1).unwrap();
    assert_eq!(kernel.run(&frame), Outcome::Steered(1));
    kernel.classifier.maps.current.write(0, 0).unwrap();
    assert_eq!(kernel.run(&frame), Outcome::Steered(0));
}

#[test]
fn counters_count_packets_and_bytes_of_whom_they_were_steered_for() {
    let mut kernel = Kernel::new(&[rule(&["10.9.9.9"], &[]), rule(&["10.1.2.0/24"], &[])]);
    let frame = plain_frame();
    for _ in 0..5 {
        assert_eq!(kernel.run(&frame), Outcome::Steered(1));
    }
    let counter = |slot| kernel.classifier.maps.counter(slot).unwrap();
    assert_eq!((counter(0).packets, counter(0).last), (0, 0));
    let one = counter(1);
    assert_eq!((one.packets, one.bytes), (5, 5 * frame.len() as u64));
    assert!(one.first > 0 && one.last >= one.first, "{one:?}");
}
