//! Who is reached, looked at often: a datagram to each peer and one from each, by sockets that stay
//! open.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use crate::{lab::CLIENT, netns::Netns};

const PORT: u16 = 7800;
/// A datagram of a bystander is there by then, on a busy machine too.
const LONGEST: Duration = Duration::from_secs(3);

/// A bit for each peer, by the last part of its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// What is sent to it arrives.
    pub to: u32,
    /// What it sends arrives.
    pub from: u32,
}

/// Sockets at both ends of a [`Lab`](crate::lab::Lab).
pub struct Reach {
    client: UdpSocket,
    peers: Vec<(u8, UdpSocket)>,
}

impl Reach {
    /// From 10.77.0.1 to the peers 10.77.0.`hosts`. The last of them is the bystander that no
    /// fault is ever aimed at.
    ///
    /// # Panics
    /// When a socket cannot be had.
    pub fn between(client: &Netns, peer: &Netns, hosts: impl Iterator<Item = u8>) -> Self {
        let open = |netns: &Netns, address: Ipv4Addr| {
            let socket = netns.run(|| UdpSocket::bind(SocketAddr::new(address.into(), PORT)));
            let socket = socket.unwrap_or_else(|error| panic!("{address}: {error}"));
            socket.set_nonblocking(true).expect("Linux has it");
            socket
        };
        Self {
            client: open(client, CLIENT),
            peers: hosts
                .map(|host| (host, open(peer, address(host))))
                .collect(),
        }
    }

    /// Who is reached right now. What was sent before a datagram to the bystander, which has
    /// arrived, has arrived too or never will.
    ///
    /// # Panics
    /// When the bystander is not reached.
    #[track_caller]
    pub fn look(&self) -> Reached {
        self.look_as_long_as(Duration::from_micros(300))
    }

    /// As [`Self::look`], where somebody has just come to a surprising result: with more time for
    /// what is late.
    ///
    /// # Panics
    /// As [`Self::look`].
    #[track_caller]
    pub fn look_again(&self) -> Reached {
        self.look_as_long_as(Duration::from_millis(60))
    }

    /// Waits until the bystander is reached again after somebody else has taken the devices down: when
    /// they are up, the kernel lets their queues send a moment later (net/core/link_watch.c).
    ///
    /// # Panics
    /// When there is none, or it takes longer than any kernel needs.
    #[track_caller]
    pub fn wait_until_links_are_back(&self) {
        let bystander = self.peers.last().expect("there is one");
        let begin = Instant::now();
        let mut reached = Reached::default();
        while reached.to & reached.from & self.bystander() == 0 {
            assert!(begin.elapsed() < LONGEST, "no way: {reached:?}");
            self.send_both_ways(bystander);
            // Not so often that what waits for a neighbour fills the socket.
            thread::sleep(Duration::from_millis(20));
            self.received(&mut reached);
        }
    }

    #[track_caller]
    fn look_as_long_as(&self, pause: Duration) -> Reached {
        // What came too late for the look before.
        self.received(&mut Reached::default());
        self.peers.iter().for_each(|peer| self.send_both_ways(peer));
        let mut reached = Reached::default();
        let begin = Instant::now();
        while reached.to & reached.from & self.bystander() == 0 {
            self.received(&mut reached);
            assert!(
                begin.elapsed() < LONGEST,
                "the bystander is cut off: {reached:?}"
            );
            if begin.elapsed() > Duration::from_millis(1) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        thread::sleep(pause);
        self.received(&mut reached);
        reached
    }

    fn bystander(&self) -> u32 {
        self.peers.last().map_or(0, |(host, _)| 1 << host)
    }

    fn send_both_ways(&self, (host, socket): &(u8, UdpSocket)) {
        let to = SocketAddr::new(address(*host).into(), PORT);
        send(&self.client, to, *host);
        send(socket, SocketAddr::new(CLIENT.into(), PORT), *host);
    }

    fn received(&self, reached: &mut Reached) {
        while let Some(host) = receive(&self.client) {
            reached.from |= 1 << host;
        }
        for (host, socket) in &self.peers {
            while receive(socket).is_some() {
                reached.to |= 1 << host;
            }
        }
    }
}

fn address(host: u8) -> Ipv4Addr {
    let [a, b, c, _] = CLIENT.octets();
    Ipv4Addr::new(a, b, c, host)
}

fn send(socket: &UdpSocket, to: SocketAddr, host: u8) {
    match socket.send_to(&[host], to) {
        Ok(_) => {}
        // The device is down, or the route is not back yet: it is not reached.
        Err(error) if error.kind() == ErrorKind::NetworkUnreachable => {}
        Err(error) => panic!("to {to}: {error}"),
    }
}

fn receive(socket: &UdpSocket) -> Option<u8> {
    let mut bytes = [0];
    match socket.recv(&mut bytes) {
        Ok(_) => Some(bytes[0]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        // An ICMP error for an earlier datagram.
        Err(_) => None,
    }
}
