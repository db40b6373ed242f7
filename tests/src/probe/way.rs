//! Many delays at once: a table of what each way should take.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
    thread,
    time::Duration,
};

use super::{
    arp_round_trips, neighbour_discovery_round_trips, ping_round_trips,
    round_trip::{PAUSES, RoundTrips, SLACK, udp_between, udp_round_trips_by, udp_to},
    tcp_connects,
};
use crate::lab::{CLIENT, DEVICE, PROMPT, peer};

/// Round trips per way and measurement. The shortest counts, so few are enough.
const TRIES: usize = 3;

/// A kind of round trip to a peer, written
/// - `10.77.0.3:7002`: UDP; without a port to the first that answers,
/// - `10.77.0.3:7002 from 5001`: UDP from a local port,
/// - `tcp 10.77.0.3:7002`: a handshake,
/// - `ping fd77::3`, `arp 10.77.0.3`, `nd fd77::3`.
#[derive(Clone, Copy, Debug)]
enum Way {
    Udp { to: SocketAddr, from: u16 },
    Tcp(SocketAddr),
    Ping(IpAddr),
    Arp(IpAddr),
    Discovery(IpAddr),
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let port = |text: &str| {
            text.parse::<u16>()
                .map_err(|error| format!("{text}: {error}"))
        };
        Ok(match words[..] {
            [to] => Self::Udp {
                to: peer(to),
                from: 0,
            },
            [to, "from", from] => Self::Udp {
                to: peer(to),
                from: port(from)?,
            },
            ["tcp", to] => Self::Tcp(peer(to)),
            ["ping", to] => Self::Ping(peer(to).ip()),
            ["arp", to] => Self::Arp(peer(to).ip()),
            ["nd", to] => Self::Discovery(peer(to).ip()),
            _ => return Err(format!("{text:?} is no way")),
        })
    }
}

impl Way {
    fn measure(self) -> RoundTrips {
        match self {
            Self::Udp { to, from: 0 } => udp_round_trips_by(&udp_to(to), TRIES, 8),
            Self::Udp { to, from } => {
                let any: IpAddr = match to {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = udp_between(SocketAddr::new(any, from), to);
                udp_round_trips_by(&socket, TRIES, 8)
            }
            Self::Tcp(to) => tcp_connects(to, TRIES),
            Self::Ping(to) => ping_round_trips(to, TRIES),
            Self::Arp(IpAddr::V4(to)) => arp_round_trips(DEVICE, CLIENT, to, TRIES),
            Self::Discovery(IpAddr::V6(to)) => neighbour_discovery_round_trips(DEVICE, to, TRIES),
            Self::Arp(_) | Self::Discovery(_) => panic!("ARP is IPv4's, ND is IPv6's"),
        }
    }
}

/// Asserts how many milliseconds longer each way takes than without a fault. All are measured at
/// the same time, from the calling thread's namespace. None may ever be shorter or lose anything;
/// where one is longer, all are measured again, as [`super::assert_delayed`] does.
///
/// # Panics
/// When a text is no way, and with all ways that are not as expected.
#[track_caller]
pub fn assert_delays(what: &str, expected: &[(impl AsRef<str> + Sync, u64)]) {
    let ways: Vec<Way> = expected
        .iter()
        .map(|(text, _)| {
            text.as_ref()
                .parse()
                .unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();
    for pause in PAUSES.into_iter().map(Some).chain([None]) {
        let measured = measure_all(&ways);
        let (mut wrong, mut slow) = (String::new(), String::new());
        for ((text, milliseconds), times) in expected.iter().zip(&measured) {
            let asked = Duration::from_millis(*milliseconds);
            let line = format!("\n  {}: {asked:?} expected: {times}", text.as_ref());
            let longest = if asked.is_zero() {
                PROMPT
            } else {
                asked + SLACK
            };
            match times.times.first() {
                Some(shortest) if times.lost == 0 && *shortest >= asked => {
                    if *shortest >= longest {
                        slow += &line;
                    }
                }
                _ => wrong += &line,
            }
        }
        assert!(wrong.is_empty(), "{what}: too early or lost:{wrong}{slow}");
        match pause {
            _ if slow.is_empty() => return,
            Some(pause) => thread::sleep(pause),
            None => panic!("{what}: too late:{slow}"),
        }
    }
}

/// Threads inherit the namespace of the thread that starts them.
fn measure_all(ways: &[Way]) -> Vec<RoundTrips> {
    thread::scope(|scope| {
        let threads: Vec<_> = ways
            .iter()
            .map(|way| scope.spawn(|| way.measure()))
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, RoundTrips>| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}
