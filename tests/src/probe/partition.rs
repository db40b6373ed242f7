//! What an application sees of a peer that is cut off: nothing, as from behind a cut cable.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt},
};

use super::udp_to;
use crate::command::run;

/// Datagrams, a handshake and pings to `to` from the calling thread's namespace, which all have to
/// vanish without a word: no error at once, none later, no answer.
///
/// # Panics
/// When something is heard.
#[track_caller]
pub fn assert_silent(to: SocketAddr) {
    let socket = udp_to(to);
    if to.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true).expect("Linux has it");
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true).expect("Linux has it");
    }
    for number in 0..200 {
        socket
            .send(&[0x55; 100])
            .unwrap_or_else(|error| panic!("datagram {number} to {to}: {error}"));
    }
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("it is not zero");
    assert_eq!(
        kind(socket.recv(&mut [0; 200])),
        Some(ErrorKind::WouldBlock),
        "UDP from {to}"
    );
    // Errors that came for a datagram wait here (ip(7), IP_RECVERR).
    let errors = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut [],
        None,
        MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
    );
    assert_eq!(errors.err(), Some(Errno::EAGAIN), "an error queue for {to}");

    let handshake = TcpStream::connect_timeout(&to, Duration::from_millis(1300));
    assert_eq!(kind(handshake), Some(ErrorKind::TimedOut), "TCP to {to}");

    assert_no_ping(to.ip());
}

/// Whether one of five datagrams to `to` is answered within a second: for a test that looks often
/// which of its peers are cut off. [`assert_silent`] looks closer.
///
/// # Panics
/// When they cannot be sent.
pub fn answers(to: SocketAddr) -> bool {
    let socket = udp_to(to);
    for number in 0..5 {
        socket
            .send(&[0x55; 100])
            .unwrap_or_else(|error| panic!("datagram {number} to {to}: {error}"));
    }
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .expect("it is not zero");
    socket.recv(&mut [0; 200]).is_ok()
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[track_caller]
fn assert_no_ping(to: IpAddr) {
    let to = to.to_string();
    let done = run("ping", &["-n", "-c", "3", "-i", "0.2", "-W", "1", &to]);
    // ping(8): 1 is no answer, 2 another error.
    assert_eq!(done.status.code(), Some(1), "{done}");
    assert!(done.stdout.contains("100% packet loss"), "{done}");
    assert!(done.stderr.is_empty(), "{done}");
    for word in ["sendmsg", "ermitted", "nreachable", "errors"] {
        assert!(!done.stdout.contains(word), "{done}");
    }
}
