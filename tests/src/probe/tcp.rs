//! TCP: how long a connection takes, and whether all bytes come through.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, poll},
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt,
        socket, sockopt,
    },
};

use super::RoundTrips;
use crate::netns::Netns;

/// Sends back what each connection brings, once it has brought everything. Ends when dropped.
pub struct TcpServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TcpServer {
    /// Accepts on `ports` ports from `first` on, on every address of the namespace.
    ///
    /// # Panics
    /// When a port is taken.
    pub fn start(netns: &Netns, first: u16, ports: u16) -> Self {
        let listeners: Vec<TcpListener> = netns.run(|| {
            (first..first + ports)
                .flat_map(|port| both_families(port).map(open))
                .collect()
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = netns.start(move || serve(&listeners, &stopped));
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked: the test has seen connections fail.
            let _ = thread.join();
        }
    }
}

fn open(address: SocketAddr) -> TcpListener {
    let socket = bound(&address, SockType::Stream);
    listen(&socket, Backlog::new(64).expect("64 is allowed")).expect("a bound socket");
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true).expect("Linux has it");
    listener
}

fn serve(listeners: &[TcpListener], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut waiting: Vec<PollFd> = listeners
            .iter()
            .map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN))
            .collect();
        match poll(&mut waiting, 20_u8) {
            Ok(0) | Err(Errno::EINTR) => continue,
            ready => ready.expect("the sockets are open"),
        };
        for (listener, state) in listeners.iter().zip(&waiting) {
            if state.any() == Some(true)
                && let Ok((connection, _)) = listener.accept()
            {
                thread::spawn(move || echo(connection));
            }
        }
    }
}

/// What fails here, the other side notices.
fn echo(mut connection: TcpStream) {
    let mut bytes = Vec::new();
    let _ = connection.set_nonblocking(false);
    let _ = connection.set_read_timeout(Some(LONGEST));
    if connection.read_to_end(&mut bytes).is_ok() {
        let _ = connection.write_all(&bytes);
    }
}

/// How long a connection may stay without a byte.
const LONGEST: Duration = Duration::from_secs(20);

/// Times `count` handshakes from the calling thread's namespace. One that fails is lost.
pub fn tcp_connects(to: SocketAddr, count: usize) -> RoundTrips {
    RoundTrips::measure(count, || {
        let before = Instant::now();
        let connection = TcpStream::connect_timeout(&to, Duration::from_secs(3)).ok()?;
        let took = before.elapsed();
        drop(connection);
        Some(took)
    })
}

/// Sends `length` bytes, gets them back, and says how long that took.
///
/// # Panics
/// When the connection fails or other bytes come back.
pub fn tcp_transfer(to: SocketAddr, length: usize) -> Duration {
    let bytes: Vec<u8> = (0..length).map(|place| (place * 31 % 251) as u8).collect();
    let before = Instant::now();
    let mut connection = TcpStream::connect(to).expect("the peer accepts");
    connection
        .set_read_timeout(Some(LONGEST))
        .expect("not zero");
    connection.write_all(&bytes).expect("the peer reads");
    connection.shutdown(Shutdown::Write).expect("connected");
    let mut back = Vec::new();
    connection.read_to_end(&mut back).expect("the peer writes");
    assert_eq!(back.len(), bytes.len(), "bytes that came back from {to}");
    assert!(back == bytes, "other bytes came back from {to}");
    before.elapsed()
}

/// Sends `length` bytes one way, and says how long that took until the other side had them all.
///
/// # Panics
/// When they do not arrive.
pub fn tcp_push(sender: &Netns, receiver: &Netns, to: SocketAddr, length: usize) -> Duration {
    let listener = receiver.run(|| TcpListener::bind(to));
    let listener = listener.expect("the port is free");
    let receiving = thread::spawn(move || {
        let (mut connection, _) = listener.accept()?;
        connection.set_read_timeout(Some(LONGEST))?;
        std::io::copy(&mut connection, &mut std::io::sink())
    });
    let before = Instant::now();
    let connection = sender.run(|| TcpStream::connect(to));
    let mut connection = connection.expect("the peer accepts");
    connection
        .set_write_timeout(Some(LONGEST))
        .expect("not zero");
    let bytes = vec![0x55; 1 << 20];
    let mut left = length;
    while left > 0 {
        let now = left.min(bytes.len());
        connection.write_all(&bytes[..now]).expect("the peer reads");
        left -= now;
    }
    connection.shutdown(Shutdown::Write).expect("connected");
    let received = receiving.join().expect("no panic").expect("connected");
    assert_eq!(received, length as u64, "bytes that arrived at {to}");
    before.elapsed()
}

/// The wildcard address of each family, with a port.
pub(super) fn both_families(port: u16) -> [SocketAddr; 2] {
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    any.map(|ip| SocketAddr::new(ip, port))
}

/// A bound socket; one of IPv6 leaves the port of IPv4 to another.
pub(super) fn bound(address: &SocketAddr, kind: SockType) -> OwnedFd {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true).expect("Linux has it");
    }
    setsockopt(&socket, sockopt::ReuseAddr, &true).expect("Linux has it");
    bind(socket.as_raw_fd(), &SockaddrStorage::from(*address))
        .unwrap_or_else(|error| panic!("{address}: {error}"));
    socket
}
