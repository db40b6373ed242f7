//! Packets of any protocol of IP, one way.

use std::{io::Read as _, net::SocketAddr, thread, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};

use super::realtime;
use crate::netns::Netns;

/// How long `count` packets of this protocol (IANA, Protocol Numbers) are under way. Where the
/// protocol has ports, they are at the front of the payload: 5000 to that of `to`. IPv4.
///
/// # Panics
/// When one is lost.
#[track_caller]
pub fn raw_delays(
    sender: &Netns,
    receiver: &Netns,
    protocol: i32,
    to: SocketAddr,
    count: usize,
) -> Vec<Duration> {
    let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(protocol)));
    let out = sender.run(open).expect("root can have a raw socket");
    let mut into = receiver.run(open).expect("root can have a raw socket");
    into.set_read_timeout(Some(Duration::from_secs(3)))
        .expect("it is not zero");
    let ports = [5000_u16.to_be_bytes(), to.port().to_be_bytes()].concat();
    for _ in 0..count {
        let packet = [&*ports, &[0; 8], &realtime().to_be_bytes()].concat();
        out.send_to(&packet, &SocketAddr::new(to.ip(), 0).into())
            .unwrap_or_else(|error| panic!("protocol {protocol} to {to}: {error}"));
        thread::sleep(Duration::from_millis(2));
    }
    let receive = || {
        let mut bytes = [0; 200];
        let length = into
            .read(&mut bytes)
            .unwrap_or_else(|error| panic!("protocol {protocol} to {to}: {error}"));
        let sent = bytes[length - 8..length].try_into().expect("eight bytes");
        Duration::from_nanos(realtime().saturating_sub(u64::from_be_bytes(sent)))
    };
    std::iter::repeat_with(receive).take(count).collect()
}
