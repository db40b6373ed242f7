//! Two namespaces that send to each other again and again, for a test that waits for a moment.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use crate::netns::Netns;

/// On a bridge of veth pairs a datagram arrives within some microseconds.
const WAY: Duration = Duration::from_millis(20);

/// A socket at each end.
pub struct Line {
    ends: [UdpSocket; 2],
    /// Where the first one sends to, and where the second one.
    to: [SocketAddr; 2],
}

impl Line {
    /// # Panics
    /// When there is no socket to be had.
    #[track_caller]
    pub fn between(one: (&Netns, Ipv4Addr), other: (&Netns, Ipv4Addr)) -> Self {
        let open = |(netns, address): (&Netns, Ipv4Addr)| {
            let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
            let socket = netns.run(|| UdpSocket::bind(any));
            let socket = socket.unwrap_or_else(|error| panic!("{address}: {error}"));
            socket.set_read_timeout(Some(WAY)).expect("it is not zero");
            let port = socket.local_addr().expect("it is bound").port();
            (socket, SocketAddr::new(IpAddr::V4(address), port))
        };
        let ((one, at_one), (other, at_other)) = (open(one), open(other));
        Self {
            ends: [one, other],
            to: [at_other, at_one],
        }
    }

    /// Whether one datagram from the first to the second arrives, and one back.
    ///
    /// # Panics
    /// When one cannot be sent.
    #[track_caller]
    pub fn passes(&self) -> [bool; 2] {
        [0, 1].map(|from| {
            let (sender, receiver) = (&self.ends[from], &self.ends[1 - from]);
            sender
                .send_to(&[from as u8; 64], self.to[from])
                .unwrap_or_else(|error| panic!("to {}: {error}", self.to[from]));
            receiver.recv(&mut [0; 64]).is_ok()
        })
    }

    /// Sends until it is as wanted, and gives back how long that took.
    ///
    /// # Panics
    /// When it does not get so in time.
    #[track_caller]
    pub fn wait_until(&self, wanted: [bool; 2], bound: Duration, what: &str) -> Duration {
        let begin = Instant::now();
        loop {
            let is = self.passes();
            if is == wanted {
                return begin.elapsed();
            }
            let took = begin.elapsed();
            assert!(
                took < bound,
                "{what}: {is:?} after {took:?}, not {wanted:?}"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends for so long, and looks that it is as wanted all the time.
    ///
    /// # Panics
    /// When it is otherwise.
    #[track_caller]
    pub fn assert_for(&self, wanted: [bool; 2], time: Duration, what: &str) {
        let begin = Instant::now();
        while begin.elapsed() < time {
            assert_eq!(self.passes(), wanted, "{what}, after {:?}", begin.elapsed());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ten datagrams each way.
    ///
    /// # Panics
    /// When one of them has another fate than wanted.
    #[track_caller]
    pub fn assert(&self, wanted: [bool; 2], what: &str) {
        for number in 0..10 {
            assert_eq!(self.passes(), wanted, "{what}, datagram {number}");
        }
    }
}
