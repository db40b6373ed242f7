//! Laps of what comes in, and devices without a link layer.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
    time::Duration,
};

use netchaos_common::abi::{Loss, Steer};
use netchaos_tests::{
    command::run,
    lab::{DEVICE, Lab, peer},
    netns::Netns,
    probe::{tcp_transfer, udp_round_trips, udp_round_trips_of},
};

use super::rig::{BYTES, Experiment, SLOWLY, lay, loses, slow, slow_trips, udp_to};

fn into<'a>(experiment: Experiment<'a>) -> Experiment<'a> {
    Experiment {
        out: false,
        into: true,
        ..experiment
    }
}

#[test]
fn what_comes_in_from_a_target_is_slow_and_what_goes_there_is_not() {
    let lab = Lab::new();
    let rig = lay(
        &lab.client,
        DEVICE,
        &[into(slow(&["10.77.0.3", "fd77::3"]))],
    );
    for target in ["10.77.0.3:7001", "[fd77::3]:7001"] {
        slow_trips(&lab.client, peer(target));
    }
    let trips = lab
        .client
        .run(|| udp_round_trips_of(peer("10.77.0.2"), 4, BYTES));
    trips.assert_prompt("another peer");
    assert_eq!(rig.band_packets(0), 8, "each answer once");
    assert_eq!(
        (rig.hits(0, false).packets, rig.hits(0, true).packets),
        (0, 8)
    );
}

#[test]
fn both_ways_are_two_laps_per_round_trip_and_experiments_add_up() {
    let lab = Lab::new();
    let both = Experiment {
        into: true,
        is_slow: false,
        ..slow(&["10.77.0.3", "fd77::3"])
    };
    let rig = lay(&lab.client, DEVICE, &[both, both, into(both)]);
    for target in ["10.77.0.3", "fd77::3"] {
        let trips = lab.client.run(|| udp_round_trips(peer(target), 5));
        trips.assert_prompt(target);
    }
    for (slot, out, into) in [(0, 10, 10), (1, 10, 10), (2, 0, 10)] {
        assert_eq!(rig.band_packets(slot), out + into);
        assert_eq!(rig.hits(slot, false).packets, out);
        assert_eq!(rig.hits(slot, true).packets, into);
    }
}

#[test]
fn large_packets_come_in_whole_and_in_order_cut_or_not() {
    let lab = Lab::new();
    let band = Experiment {
        is_slow: false,
        ..slow(&["10.77.0.3"])
    };
    let cuts = Experiment {
        flags: Steer::SEGMENT,
        ..band
    };
    let rig = lay(&lab.client, DEVICE, &[into(cuts), into(band)]);
    lab.client.run(|| tcp_transfer(peer("10.77.0.3"), 4 << 20));
    let (first, second) = (rig.hits(0, true), rig.hits(1, true));
    assert!(first.segments > 2 * first.packets, "{first:?}");
    assert_eq!(second.packets, second.segments, "{second:?}");
}

#[test]
fn what_is_lost_on_the_way_in_never_came() {
    let lab = Lab::new();
    let rig = lay(
        &lab.client,
        DEVICE,
        &[into(loses(&["10.77.0.3"], u32::MAX))],
    );
    let answers = lab.client.run(|| {
        let socket = udp_to(peer("10.77.0.3"));
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        (0..10)
            .filter(|_| socket.send(b"x").is_ok() && socket.recv(&mut [0; 16]).is_ok())
            .count()
    });
    assert_eq!(answers, 0);
    let hits = rig.hits(0, true);
    assert_eq!((hits.packets, hits.dropped), (10, 10));
    let trips = lab.client.run(|| udp_round_trips(peer("10.77.0.2"), 9));
    trips.assert_prompt("another peer");
}

/// A program that looks at what comes in would let a packet with a mark of ours pass, and leave
/// alone one with any other.
#[test]
fn nothing_of_ours_is_on_a_packet_that_leaves() {
    let lab = Lab::new();
    let band = Experiment {
        is_slow: false,
        ..slow(&["10.77.0.3", "10.77.0.1"])
    };
    let _rig = lay(&lab.client, DEVICE, &[band]);
    let watch = Experiment {
        flags: 0,
        loss: Loss::default(),
        ..into(band)
    };
    let other = lay(&lab.peer, DEVICE, &[watch]);
    let trips = lab.client.run(|| udp_round_trips(peer("10.77.0.3"), 7));
    trips.assert_prompt("both labs");
    assert_eq!(other.hits(0, true).packets, 7);
}

/// TUNSETIFF (linux/if_tun.h).
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TUN: i16 = 1;
const IFF_NO_PI: i16 = 0x1000;

/// A tun device `tun0`, 10.78.0.1/24, whose other end sends UDP datagrams back.
fn make_tun(netns: &Netns) -> std::thread::JoinHandle<()> {
    let tun = netns.run(open_tun);
    netns.ip("addr add 10.78.0.1/24 dev tun0");
    netns.ip("addr add fd78::1/64 dev tun0 nodad");
    netns.ip("link set tun0 up");
    std::thread::spawn(move || echo(tun))
}

fn open_tun() -> File {
    const CONTROL: &str = "/dev/net/tun";
    if !Path::new(CONTROL).exists() {
        // Nothing else loads it where nobody has made the node (modprobe(8), static nodes).
        run("modprobe", &["tun"]).ok();
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(CONTROL);
    let file = file.expect("the kernel has tun");
    let mut request = [0_u8; 40];
    request[..4].copy_from_slice(b"tun0");
    request[16..18].copy_from_slice(&(IFF_TUN | IFF_NO_PI).to_ne_bytes());
    // SAFETY: the request is as long as `struct ifreq`.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    file
}

/// Swaps addresses and ports of UDP over IPv4 and IPv6, which leaves the checksums right, until a
/// datagram says that it is enough.
fn echo(mut tun: File) {
    let mut packet = [0; 65536];
    loop {
        let length = tun.read(&mut packet).expect("tun gives packets");
        let packet = &mut packet[..length];
        let (addresses, size, ports, protocol) = match packet[0] >> 4 {
            4 => (12, 4, 20, packet[9]),
            _ => (8, 16, 40, packet[6]),
        };
        if protocol != 17 {
            continue;
        }
        if packet.ends_with(b"enough") {
            return;
        }
        let (source, destination) = packet[addresses..addresses + 2 * size].split_at_mut(size);
        source.swap_with_slice(destination);
        let (source, destination) = packet[ports..ports + 4].split_at_mut(2);
        source.swap_with_slice(destination);
        tun.write_all(packet).expect("tun takes packets");
    }
}

#[test]
fn a_device_without_a_link_layer_has_laps_both_ways() {
    let netns = Netns::new("tun");
    let echo = make_tun(&netns);
    let lap = Experiment {
        into: true,
        is_slow: false,
        ..slow(&["10.78.0.2", "fd78::2", "10.78.0.3"])
    };
    let slow_in = into(slow(&["10.78.0.3"]));
    let lost = loses(&["10.78.0.4"], u32::MAX);
    let rig = lay(&netns, "tun0", &[lap, lap, slow_in, lost]);
    for target in ["10.78.0.2:7001", "[fd78::2]:7001", "10.78.0.5:7001"] {
        let trips = netns.run(|| udp_round_trips_of(target.parse().unwrap(), 5, BYTES));
        trips.assert_prompt(target);
    }
    let trips = netns.run(|| udp_round_trips_of("10.78.0.3:7001".parse().unwrap(), 4, BYTES));
    assert!(trips.median() >= SLOWLY, "{trips}");
    for slot in [0, 1] {
        for ingress in [false, true] {
            assert_eq!(
                rig.hits(slot, ingress).packets,
                5 + 5 + 4,
                "{slot} {ingress}"
            );
        }
        assert_eq!(rig.band_packets(slot), 2 * (5 + 5 + 4));
    }
    assert_eq!(
        (rig.hits(2, false).packets, rig.hits(2, true).packets),
        (0, 4)
    );
    netns.run(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(b"enough", "10.78.0.4:7001").unwrap();
        assert!(!echo.is_finished());
        socket.send_to(b"enough", "10.78.0.5:7001").unwrap();
    });
    assert_eq!(rig.hits(3, false).dropped, 1);
    echo.join().unwrap();
}
