//! Times from a packet to its answer.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use crate::{command::run, lab::PROMPT};

/// How far above the asked delay the median may lie: two emulated processors that others use too.
/// Below the delay nothing is allowed at all.
pub const SLACK: Duration = Duration::from_millis(45);

/// An answer that takes longer is lost.
const LONGEST: Duration = Duration::from_secs(3);

/// Between two round trips, so that they do not share one moment's load.
const PAUSE: Duration = Duration::from_millis(5);

/// Before a measurement that was slow is repeated.
pub(crate) const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Some measured round trips.
#[derive(Clone, Debug)]
pub struct RoundTrips {
    /// Shortest first.
    pub times: Vec<Duration>,
    pub lost: usize,
}

impl RoundTrips {
    /// Runs `probe` `count` times; none is a loss.
    pub fn measure(count: usize, mut probe: impl FnMut() -> Option<Duration>) -> Self {
        let mut times = Vec::new();
        for _ in 0..count {
            times.extend(probe());
            std::thread::sleep(PAUSE);
        }
        times.sort();
        Self {
            lost: count - times.len(),
            times,
        }
    }

    /// # Panics
    /// When all were lost.
    #[track_caller]
    pub fn shortest(&self) -> Duration {
        *self.times.first().expect("all round trips were lost")
    }

    /// # Panics
    /// When all were lost.
    #[track_caller]
    pub fn longest(&self) -> Duration {
        *self.times.last().expect("all round trips were lost")
    }

    /// # Panics
    /// When all were lost.
    #[track_caller]
    pub fn median(&self) -> Duration {
        assert!(!self.times.is_empty(), "all round trips were lost");
        self.times[self.times.len() / 2]
    }

    /// # Panics
    /// When one was lost or shorter than `delay`.
    #[track_caller]
    pub fn assert_at_least(&self, what: &str, delay: Duration) {
        assert_eq!(self.lost, 0, "{what}: lost round trips: {self}");
        assert!(
            self.shortest() >= delay,
            "{what}: less than {delay:?}: {self}"
        );
    }

    /// # Panics
    /// As [`Self::assert_at_least`], and when the median is longer by more than [`SLACK`].
    #[track_caller]
    pub fn assert_delayed(&self, what: &str, delay: Duration) {
        self.assert_at_least(what, delay);
        assert!(
            self.median() < delay + SLACK,
            "{what}: far more than {delay:?}: {self}"
        );
    }

    /// # Panics
    /// When one was lost or the median is longer than [`PROMPT`].
    #[track_caller]
    pub fn assert_prompt(&self, what: &str) {
        assert_eq!(self.lost, 0, "{what}: lost round trips: {self}");
        assert!(self.median() < PROMPT, "{what} is delayed: {self}");
    }
}

/// Asserts that what `measure` measures is delayed. Where it is delayed by too much, it is
/// measured again: a machine with more to do than it can makes everything slow, a fault does so
/// every time. No measurement may be below the delay.
///
/// # Panics
/// As [`RoundTrips::assert_delayed`], the last time.
#[track_caller]
pub fn assert_delayed(what: &str, delay: Duration, measure: impl Fn() -> RoundTrips) {
    let mut round_trips = measure();
    for pause in PAUSES {
        round_trips.assert_at_least(what, delay);
        if round_trips.median() < delay + SLACK {
            return;
        }
        std::thread::sleep(pause);
        round_trips = measure();
    }
    round_trips.assert_delayed(what, delay);
}

/// Asserts that what `measure` measures is not delayed, as patiently as [`assert_delayed`].
///
/// # Panics
/// As [`RoundTrips::assert_prompt`], the last time.
#[track_caller]
pub fn assert_prompt(what: &str, measure: impl Fn() -> RoundTrips) {
    let mut round_trips = measure();
    for pause in PAUSES {
        assert_eq!(
            round_trips.lost, 0,
            "{what}: lost round trips: {round_trips}"
        );
        if round_trips.median() < PROMPT {
            return;
        }
        std::thread::sleep(pause);
        round_trips = measure();
    }
    round_trips.assert_prompt(what);
}

impl fmt::Display for RoundTrips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lost, took {:.1?}", self.lost, self.times)
    }
}

/// Sends numbered datagrams to an [`EchoServer`](super::EchoServer), each after the answer to the
/// one before.
///
/// # Panics
/// When there is no way to the address.
#[track_caller]
pub fn udp_round_trips(to: SocketAddr, count: usize) -> RoundTrips {
    udp_round_trips_of(to, count, 8)
}

/// As [`udp_round_trips`], with datagrams of so many bytes, eight or more.
///
/// # Panics
/// When there is no way to the address.
#[track_caller]
pub fn udp_round_trips_of(to: SocketAddr, count: usize, bytes: usize) -> RoundTrips {
    udp_round_trips_by(&udp_to(to), count, bytes)
}

/// As [`udp_round_trips_of`], by a socket that is connected to the server.
pub fn udp_round_trips_by(socket: &UdpSocket, count: usize, bytes: usize) -> RoundTrips {
    let mut number = 0_u64;
    RoundTrips::measure(count, || {
        number += 1;
        let mut datagram = vec![0x55; bytes];
        datagram[..8].copy_from_slice(&number.to_be_bytes());
        udp_round_trip(socket, &datagram)
    })
}

/// An unbound UDP socket that is connected to an address.
///
/// # Panics
/// When there is no way to the address.
#[track_caller]
pub fn udp_to(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    udp_between(SocketAddr::new(any, 0), to)
}

/// A UDP socket between two addresses; port 0 is any free one.
///
/// # Panics
/// When the first one is not to be had, or there is no way between them.
#[track_caller]
pub fn udp_between(from: SocketAddr, to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(from).unwrap_or_else(|error| panic!("{from}: {error}"));
    socket
        .connect(to)
        .unwrap_or_else(|error| panic!("{to}: {error}"));
    socket
        .set_read_timeout(Some(LONGEST))
        .expect("it is not zero");
    socket
}

/// None when no answer with these bytes comes.
fn udp_round_trip(socket: &UdpSocket, bytes: &[u8]) -> Option<Duration> {
    let before = Instant::now();
    socket.send(bytes).ok()?;
    let mut answer = [0; 65536];
    // An answer to an earlier datagram, given up as lost, may still come.
    while before.elapsed() < LONGEST {
        let length = socket.recv(&mut answer).ok()?;
        if &answer[..length] == bytes {
            return Some(before.elapsed());
        }
    }
    None
}

/// Round trips of ICMP or ICMPv6 echo, as ping(8) measures them.
///
/// # Panics
/// When ping cannot run.
#[track_caller]
pub fn ping_round_trips(to: IpAddr, count: usize) -> RoundTrips {
    let (to, number) = (to.to_string(), count.to_string());
    let output = run("ping", &["-n", "-c", &number, "-i", "0.2", "-W", "3", &to]);
    let mut times: Vec<Duration> = output
        .stdout
        .lines()
        .filter_map(|line| line.split_once(" time=")?.1.strip_suffix(" ms"))
        .map(|time| time.parse::<f64>().expect("ping prints milliseconds"))
        .map(|time| Duration::from_secs_f64(time / 1000.0))
        .collect();
    assert!(times.len() <= count, "ping saw too much: {output}");
    times.sort();
    RoundTrips {
        lost: count - times.len(),
        times,
    }
}
