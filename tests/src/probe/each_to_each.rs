//! Datagrams from everybody to everybody.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};

use crate::netns::Netns;

const PORT: u16 = 7700;
/// Between two rounds, so that no queue on the way is filled.
const PAUSE: Duration = Duration::from_micros(500);
/// Nothing comes any more when nothing has for so long.
const PATIENCE: Duration = Duration::from_millis(300);

/// Sends `count` datagrams from each of the namespaces to the address of each other one. Gives back how many arrived:
/// by sender, then by receiver.
///
/// # Panics
/// When a datagram cannot be sent.
#[track_caller]
pub fn each_to_each(all: &[(&Netns, Ipv4Addr)], count: u64) -> Vec<Vec<u64>> {
    let open = |(netns, address): &(&Netns, Ipv4Addr)| {
        let socket = netns.run(|| UdpSocket::bind(SocketAddr::new(IpAddr::V4(*address), PORT)));
        let socket = socket.unwrap_or_else(|error| panic!("{address}: {error}"));
        setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20)).expect("root can set it");
        socket.set_nonblocking(true).expect("Linux has it");
        socket
    };
    let sockets: Vec<UdpSocket> = all.iter().map(open).collect();
    for _ in 0..count {
        for (from, socket) in sockets.iter().enumerate() {
            for (to, (_, address)) in all.iter().enumerate().filter(|(to, _)| *to != from) {
                let sent = socket.send_to(
                    &[from as u8; 64],
                    SocketAddr::new(IpAddr::V4(*address), PORT),
                );
                sent.unwrap_or_else(|error| panic!("from {from} to {to}: {error}"));
            }
        }
        thread::sleep(PAUSE);
    }
    let mut arrived = vec![vec![0; all.len()]; all.len()];
    let mut last = Instant::now();
    while last.elapsed() < PATIENCE {
        for (to, socket) in sockets.iter().enumerate() {
            while let Some(from) = received(socket) {
                arrived[from][to] += 1;
                last = Instant::now();
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    arrived
}

/// Who sent the next datagram that waits.
fn received(socket: &UdpSocket) -> Option<usize> {
    let mut bytes = [0; 64];
    match socket.recv(&mut bytes) {
        Ok(_) => Some(usize::from(bytes[0])),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("receiving: {error}"),
    }
}
