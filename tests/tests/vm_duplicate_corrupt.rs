//! Datagrams that come twice or with a wrong bit: how many, and the same ones for the same seed.

use std::collections::BTreeMap;

use netchaos_tests::{
    lab::{DEVICE, Lab, ms, peer},
    probe::{Capture, Flow, Options, leave_checksums_out, udp_to},
    requires::kernel_version,
    statistics::{Chain, assert_share},
};

#[test]
fn duplicates_come_at_the_rate_that_was_asked_for() {
    Lab::test(&[], |lab| {
        lab.netchaos("add some --duplicate 10% --to 10.77.0.3").ok();
        lab.netchaos("add all --duplicate 100% --to fd77::4").ok();
        let flow = |to| {
            let options = Options {
                copies: 2,
                ..Options::new(4000, Some(2000))
            };
            Flow::start(&lab.client, &lab.peer, peer(to), options)
        };
        let flows = ["10.77.0.3:6000", "[fd77::4]:6000", "10.77.0.2:6000"].map(flow);
        let [some, all, none] = flows.map(|flow| flow.finish(ms(1500)));
        let copies = some.copies();
        assert!(
            copies.iter().all(|copies| matches!(copies, 1 | 2)),
            "{some}"
        );
        let doubled = copies.iter().filter(|copies| **copies == 2).count();
        assert_share("duplicates", doubled as u64, 4000, &Chain::random(0.1));
        assert!(all.copies().iter().all(|copies| *copies == 2), "{all}");
        none.assert_whole("another's");
    });
}

/// A frame of [`corrupt_frames`]: Ethernet, IPv4, UDP, payload.
const HEADERS: usize = 14 + 20 + 8;
const PAYLOAD: usize = 958;

/// Sends numbered datagrams without a checksum of UDP, so that each byte of their frames is known,
/// and says which came with a wrong one.
fn corrupt_frames(lab: &Lab, to: &str, count: u64) -> Vec<u64> {
    let to = peer(to);
    // Known to the neighbour table before; a socket that takes them keeps ICMP errors away.
    assert_eq!(lab.round_trips("10.77.0.2", 1).lost, 0);
    let _sink = lab
        .peer
        .run(|| std::net::UdpSocket::bind(to))
        .expect("a free port");
    let capture = Capture::start(&lab.peer, DEVICE, HEADERS + PAYLOAD);
    lab.client.run(|| {
        let socket = udp_to(to);
        leave_checksums_out(&socket).expect("Linux has it");
        for number in 0..count {
            let number = u32::try_from(number).expect("a small number");
            // So often that one wrong bit leaves most of them right.
            let payload = number.to_be_bytes().repeat(PAYLOAD / 4 + 1);
            socket.send(&payload[..PAYLOAD]).expect("it can be sent");
            if number % 50 == 0 {
                std::thread::sleep(ms(2));
            }
        }
    });
    std::thread::sleep(ms(300));
    let frames = capture.finish();
    let frames: Vec<&Vec<u8>> = frames
        .iter()
        .filter(|frame| frame.len() == HEADERS + PAYLOAD)
        .collect();
    assert_eq!(frames.len() as u64, count, "frames at the peer");
    // What is the same in all frames is known by the majority.
    let mut constants = BTreeMap::new();
    for frame in &frames {
        *constants.entry((&frame[..14], &frame[34..42])).or_insert(0) += 1;
    }
    let right = constants.into_iter().max_by_key(|(_, count)| *count);
    let (right, _) = right.expect("frames came");
    let wrong = (0..)
        .zip(&frames)
        .filter(|(_, frame)| !is_whole(frame, right));
    wrong.map(|(number, _)| number).collect()
}

/// Whether a frame has no wrong bit, given the headers of Ethernet and UDP as they should be.
fn is_whole(frame: &[u8], right: (&[u8], &[u8])) -> bool {
    let (ethernet, rest) = frame.split_at(14);
    let (ip, rest) = rest.split_at(20);
    let (udp, payload) = rest.split_at(8);
    let number = &payload[40..44];
    let sum: u32 = ip
        .chunks(2)
        .map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])))
        .sum();
    // RFC 1071: the one's complement sum over a right header is all ones.
    let is_ip = (sum & 0xffff) + (sum >> 16) == 0xffff;
    let is_payload = payload.chunks(4).all(|chunk| number.starts_with(chunk));
    is_ip && is_payload && (ethernet, udp) == right
}

#[test]
fn corrupt_frames_come_at_the_rate_that_was_asked_for_with_one_wrong_bit() {
    Lab::test(&[], |lab| {
        lab.netchaos("add some --corrupt 10% --to 10.77.0.3").ok();
        let wrong = corrupt_frames(lab, "10.77.0.3:6000", 3000);
        assert_share("corrupt", wrong.len() as u64, 3000, &Chain::random(0.1));
        assert_eq!(corrupt_frames(lab, "10.77.0.2:6000", 500), [0_u64; 0]);
    });
}

#[test]
fn the_same_seed_gives_the_same_fates_where_the_kernel_has_seeds() {
    Lab::test(&[], |lab| {
        let has_seeds = kernel_version() >= (6, 6);
        let mut port = 6000;
        let mut fates = |fault: &str| {
            port += 1;
            lab.netchaos(&format!("add fated {fault} --to 10.77.0.3"))
                .ok();
            let to = peer(&format!("10.77.0.3:{port}"));
            let options = Options {
                copies: 2,
                ..Options::new(400, Some(1000))
            };
            let flow = Flow::start(&lab.client, &lab.peer, to, options);
            let flow = flow.finish(ms(600));
            lab.netchaos("remove fated").ok();
            flow.copies()
        };
        let duplicate = "--duplicate 30% --seed";
        let first = fates(&format!("{duplicate} 42"));
        let second = fates(&format!("{duplicate} 42"));
        let other = fates(&format!("{duplicate} 43"));
        // That 400 fates are the same by chance is as likely as nothing at all.
        assert_eq!(first == second, has_seeds, "the same seed");
        assert_ne!(first, other, "another seed");
    });
}

#[test]
fn correlated_duplicates_keep_their_rate_unless_chaos_meshs_is_asked_for() {
    Lab::test(&[], |lab| {
        let correlated = "--duplicate 10% --duplicate-correlation 25%";
        // What is not passed on is told.
        lab.netchaos(&format!("add some {correlated} --to 10.77.0.3"))
            .ok()
            .says(&["correlation"]);
        lab.netchaos(&format!(
            "add few {correlated} --strict-compat --to fd77::4"
        ))
        .ok()
        .says(&["correlation", "1.8%"]);
        let flow = |to| {
            let options = Options {
                copies: 2,
                ..Options::new(6000, Some(2000))
            };
            Flow::start(&lab.client, &lab.peer, peer(to), options)
        };
        let flows = ["10.77.0.3:6000", "[fd77::4]:6000"].map(flow);
        let [some, few] = flows.map(|flow| {
            let copies = flow.finish(ms(1500)).copies();
            copies.iter().filter(|copies| **copies == 2).count() as u64
        });
        let asked = Chain::random(0.1);
        assert_share("correlated", some, 6000, &asked);
        assert!(
            few > 0 && few < *asked.accepted(6000).start(),
            "{few} of 6000"
        );
    });
}
