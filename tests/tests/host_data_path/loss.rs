//! What the program drops, and GSO packets that are cut first.

use std::{
    io::{ErrorKind, IoSlice},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use netchaos_common::abi::Steer;
use netchaos_tests::{
    lab::{DEVICE, Lab, peer},
    netns::Netns,
    probe::{tcp_transfer, udp_round_trips},
    statistics::{Chain, assert_share},
};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt};

use super::rig::{Experiment, LOWER, lay, loses, slow, udp_to};

const SEGMENTS: u64 = 40;
/// Bytes of each.
const SIZE: u16 = 1400;

#[test]
fn what_is_lost_on_the_way_out_is_lost_silently_and_without_a_lap() {
    let lab = Lab::new();
    let experiments = [loses(&["10.77.0.3", "fd77::3"], u32::MAX)];
    let rig = lay(&lab.client, DEVICE, &experiments);
    for target in ["10.77.0.3:7001", "[fd77::3]:7001"] {
        let (sent, answers) = lab.client.run(|| {
            let socket = udp_to(peer(target));
            socket
                .set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            let send = |_| socket.send(b"lost").map(|_| socket.recv(&mut [0; 16]));
            let results: Vec<_> = (0..20).map(send).collect();
            let sent = results.iter().filter(|result| result.is_ok()).count();
            (sent, results.into_iter().flatten().flatten().count())
        });
        // No ENOBUFS and no EPERM for the sender.
        assert_eq!((sent, answers), (20, 0), "{target}");
    }
    let hits = rig.hits(0, false);
    assert_eq!((hits.packets, hits.dropped), (40, 40));
    assert_eq!((rig.band_packets(0), rig.clean_packets()), (0, 0));
    let trips = lab.client.run(|| udp_round_trips(peer("10.77.0.2"), 9));
    trips.assert_prompt("another peer");
    // A connection finds nobody there, as over a cut cable.
    let refused = lab.client.run(|| {
        let to = peer("10.77.0.3");
        std::net::TcpStream::connect_timeout(&to, Duration::from_millis(300)).unwrap_err()
    });
    assert_eq!(refused.kind(), ErrorKind::TimedOut);
    // Without the pair nobody could take the fault away again, so it must not go on.
    lab.client.ip(&format!("link del {LOWER}"));
    let trips = lab.client.run(|| udp_round_trips(peer("10.77.0.3"), 9));
    trips.assert_prompt("without the pair");
}

#[test]
fn what_is_lost_after_a_lap_is_lost_silently_too() {
    let lab = Lab::new();
    let band = Experiment {
        is_slow: false,
        ..slow(&["10.77.0.3"])
    };
    let rig = lay(
        &lab.client,
        DEVICE,
        &[band, loses(&["10.77.0.3"], u32::MAX)],
    );
    let sent = lab.client.run(|| {
        let socket = udp_to(peer("10.77.0.3"));
        (0..20).filter(|_| socket.send(b"lost").is_ok()).count()
    });
    assert_eq!(sent, 20);
    assert_eq!(rig.band_packets(0), 20);
    assert_eq!(
        (rig.hits(0, false).dropped, rig.hits(1, false).dropped),
        (0, 20)
    );
}

#[test]
fn a_loss_of_some_goes_no_lap_and_leaves_the_others_alone() {
    let lab = Lab::new();
    let rig = lay(&lab.client, DEVICE, &[loses(&["10.77.0.3"], u32::MAX / 4)]);
    let (receiver, to) = receiver(&lab.peer, "10.77.0.3:0");
    lab.client.run(|| {
        let socket = udp_to(to);
        for number in 0..2000_u32 {
            socket.send(&number.to_be_bytes()).unwrap();
        }
    });
    let arrived = arrived(&receiver);
    let hits = rig.hits(0, false);
    assert_eq!((hits.packets, hits.dropped), (2000, 2000 - arrived));
    assert_share("lost", hits.dropped, 2000, &Chain::random(0.25));
    assert_eq!((rig.band_packets(0), rig.clean_packets()), (0, 0));
}

/// Sends as a sender does that leaves the cutting to its device, and counts what arrives.
fn send_large(lab: &Lab, sends: u64) -> u64 {
    let (receiver, to) = receiver(&lab.peer, "10.77.0.3:0");
    let mut sum = 0;
    for _ in 0..sends {
        lab.client.run(|| {
            let socket = udp_to(to);
            setsockopt(&socket, sockopt::UdpGsoSegment, &i32::from(SIZE)).unwrap();
            let bytes = vec![0x55; SEGMENTS as usize * usize::from(SIZE)];
            let cut = [ControlMessage::UdpGsoSegments(&SIZE)];
            let data = [IoSlice::new(&bytes)];
            let flags = MsgFlags::empty();
            sendmsg::<()>(socket.as_raw_fd(), &data, &cut, flags, None).unwrap();
        });
        sum += arrived(&receiver);
    }
    sum
}

fn receiver(netns: &Netns, at: &str) -> (UdpSocket, SocketAddr) {
    let socket = netns.run(|| UdpSocket::bind(at).unwrap());
    setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20)).unwrap();
    let to = socket.local_addr().unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    (socket, to)
}

/// Datagrams that have arrived, until none comes any more.
fn arrived(receiver: &UdpSocket) -> u64 {
    let mut buffer = [0; 65536];
    std::iter::from_fn(|| receiver.recv(&mut buffer).ok()).count() as u64
}

#[test]
fn a_gso_packet_is_lost_whole_unless_it_is_cut_first() {
    let lab = Lab::new();
    let rig = lay(
        &lab.client,
        DEVICE,
        &[loses(&["10.77.0.3"], u32::MAX / 10 * 3)],
    );
    let arrived = send_large(&lab, 60);
    let hits = rig.hits(0, false);
    assert_eq!((hits.packets, hits.segments), (60, 60 * SEGMENTS));
    assert_eq!(hits.dropped, 60 * SEGMENTS - arrived);
    assert!(
        hits.dropped > 0 && hits.dropped.is_multiple_of(SEGMENTS),
        "{hits:?}"
    );
    assert_eq!(rig.clean_packets(), 0);
}

#[test]
fn losses_of_a_cut_packet_are_those_of_the_wire() {
    let lab = Lab::new();
    let cuts = Experiment {
        flags: Steer::SEGMENT,
        ..loses(&["10.77.0.3"], u32::MAX / 10 * 3)
    };
    // Whoever comes next sees the pieces.
    let next = loses(&["10.77.0.3"], 0);
    let rig = lay(&lab.client, DEVICE, &[cuts, next]);
    // Losses of whole packets would be a multiple of their segments each time. Those of segments
    // are one by chance, once in 40 times: six times in a row once in four thousand millions.
    let arrived: [u64; 6] = std::array::from_fn(|_| send_large(&lab, 10));
    assert!(
        arrived
            .iter()
            .any(|arrived| !arrived.is_multiple_of(SEGMENTS)),
        "whole packets were lost: {arrived:?}"
    );
    let arrived: u64 = arrived.iter().sum();
    let (hits, next) = (rig.hits(0, false), rig.hits(1, false));
    let segments = 60 * SEGMENTS;
    assert_eq!(
        (hits.packets, hits.segments),
        (60, segments),
        "counted once"
    );
    let headers = 14 + 20 + 8;
    let payload = segments * u64::from(SIZE);
    assert_eq!(hits.bytes, 60 * headers + payload);
    assert_eq!(hits.dropped, segments - arrived);
    assert_share("cut", hits.dropped, segments, &Chain::random(0.3));
    assert_eq!((next.packets, next.segments), (arrived, arrived));
    assert_eq!(rig.clean_packets(), segments, "one lap");
    assert_eq!(rig.band_packets(0), 0);
}

#[test]
fn a_cut_packet_does_its_laps_in_pieces_and_nothing_is_lost() {
    let lab = Lab::new();
    let band = Experiment {
        is_slow: false,
        ..slow(&["10.77.0.3", "fd77::3"])
    };
    let cuts = Experiment {
        flags: Steer::BAND | Steer::SEGMENT,
        ..band
    };
    let rig = lay(&lab.client, DEVICE, &[band, cuts, cuts]);
    for target in ["10.77.0.3", "fd77::3"] {
        lab.client.run(|| tcp_transfer(peer(target), 4 << 20));
    }
    let hits = [0, 1, 2].map(|slot| rig.hits(slot, false));
    // The clean lap cuts, but so does any other of this device, behind the band.
    assert!(hits[0].segments > 2 * hits[0].packets, "{hits:?}");
    assert_eq!(hits[1].packets, hits[1].segments, "{hits:?}");
    assert_eq!(hits[1].segments, hits[2].segments, "{hits:?}");
    assert_eq!(rig.band_packets(1), hits[1].segments);
    assert_eq!(rig.band_packets(2), hits[1].segments);
}
