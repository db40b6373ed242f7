//! A one-way flow of numbered datagrams.

use std::{
    io::IoSliceMut,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    cmsg_space,
    errno::Errno,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, SockType, SockaddrStorage, recvmsg, setsockopt, sockopt,
        },
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

use super::{
    flowed::{Arrival, Flowed},
    round_trip::{udp_between, udp_to},
    tcp::bound,
};
use crate::netns::Netns;

/// Room for 10,000s of datagrams in a socket: what the kernel counts for one is about 1 KB.
const BUFFER: usize = 256 << 20;

/// A number and a time.
const SHORTEST: usize = 16;
/// As much as fits into a frame of IPv6.
const LONGEST: usize = 1440;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many, unless it is stopped before.
    pub count: u64,
    /// Datagrams per second; none sends as fast as it goes.
    pub rate: Option<u32>,
    /// SO_PRIORITY, where it is to be set.
    pub priority: Option<i32>,
    /// SO_MARK, where it is to be set.
    pub mark: Option<u32>,
    /// The IPv4 TOS or IPv6 traffic class byte.
    pub tos: u8,
    /// The sender stays on this one of the CPUs, counted around.
    pub cpu: usize,
    /// Payload of each datagram, from 16 on to [`LONGEST`].
    pub bytes: usize,
    /// Where they come from; none leaves it to the kernel.
    pub source: Option<SocketAddr>,
    /// How often each may come, so that nobody stops listening before.
    pub copies: u64,
}

impl Options {
    /// `count` datagrams at `rate` a second, with nothing else special.
    pub const fn new(count: u64, rate: Option<u32>) -> Self {
        Self {
            count,
            rate,
            priority: None,
            mark: None,
            tos: 0,
            cpu: 0,
            bytes: SHORTEST,
            source: None,
            copies: 1,
        }
    }
}

/// Receives numbered datagrams at one port of a namespace.
pub struct Sink {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Arrival>>,
}

/// A flow on its way: a thread sends, another receives.
pub struct Flow {
    copies: u64,
    sink: Sink,
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Vec<u64>>,
}

impl Sink {
    /// Opens the port and begins to receive.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn start(netns: &Netns, at: SocketAddr) -> Self {
        let socket = netns.run(|| UdpSocket::from(bound(&at, SockType::Datagram)));
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).expect("root can set it");
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("Linux has it");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("it is not zero");
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let (stopped, counted) = (stop.clone(), count.clone());
        let thread = netns.start(move || receive(&socket, &stopped, &counted));
        Self {
            stop,
            count,
            thread,
        }
    }

    /// Waits until `expected` have come or nothing has come for `patience`.
    fn finish(self, expected: u64, patience: Duration) -> Vec<Arrival> {
        let mut seen = (0, Instant::now());
        while seen.0 < expected && seen.1.elapsed() < patience {
            thread::sleep(Duration::from_millis(10));
            let count = self.count.load(Ordering::Relaxed);
            if count != seen.0 {
                seen = (count, Instant::now());
            }
        }
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the receiver does not panic")
    }
}

impl Flow {
    /// Begins to receive at `to` in `receiver` and to send to it from `sender`.
    ///
    /// # Panics
    /// When a socket cannot be opened.
    pub fn start(sender: &Netns, receiver: &Netns, to: SocketAddr, options: Options) -> Self {
        let sink = Sink::start(receiver, to);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        Self {
            copies: options.copies,
            sink,
            stop,
            sender: sender.start(move || send(to, options, &stopped)),
        }
    }

    /// Ends it before all of [`Options::count`] is sent.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until all is sent, and then until all has arrived, each as often as it may, or nothing
    /// has for `patience`.
    ///
    /// # Panics
    /// When something could not be sent.
    #[track_caller]
    pub fn finish(self, patience: Duration) -> Flowed {
        let sent = self.sender.join().expect("everything can be sent");
        let expected = sent.len() as u64 * self.copies;
        let arrived = self.sink.finish(expected, patience);
        Flowed { sent, arrived }
    }
}

fn send(to: SocketAddr, options: Options, stop: &AtomicBool) -> Vec<u64> {
    stay_on_one_cpu(options.cpu);
    let socket = match options.source {
        Some(source) => udp_between(source, to),
        None => udp_to(to),
    };
    // Packets that wait in a queue count against their sender.
    setsockopt(&socket, sockopt::SndBufForce, &BUFFER).expect("root can set it");
    set_options(&socket, to, options);
    let begin = Instant::now();
    let mut sent = Vec::new();
    for number in (0..options.count).take_while(|_| !stop.load(Ordering::Relaxed)) {
        if let Some(rate) = options.rate {
            let due = Duration::from_secs(number) / rate;
            if let Some(early) = due.checked_sub(begin.elapsed()) {
                thread::sleep(early);
            }
        }
        let now = realtime();
        let mut bytes = vec![0x55; options.bytes];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes[8..16].copy_from_slice(&now.to_be_bytes());
        socket
            .send(&bytes)
            .unwrap_or_else(|error| panic!("datagram {number} to {to}: {error}"));
        sent.push(now);
    }
    sent
}

/// Each CPU has a queue of its own for packets that come out of a veth (`netif_rx`), so that a
/// sender which moves, or a qdisc that is run here and there, can be overtaken by itself.
fn stay_on_one_cpu(number: usize) {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).expect("Linux has it");
    let cpus: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu) == Ok(true))
        .collect();
    let mut one = CpuSet::new();
    one.set(cpus[number % cpus.len()])
        .expect("it is one that there is");
    sched_setaffinity(this, &one).expect("it is one of those allowed");
}

fn set_options(socket: &UdpSocket, to: SocketAddr, options: Options) {
    let tos = i32::from(options.tos);
    if to.is_ipv4() {
        // It sets the priority as well (ip(7)), so that comes after.
        setsockopt(socket, sockopt::Ipv4Tos, &tos).expect("any byte is allowed");
    } else {
        setsockopt(socket, sockopt::Ipv6TClass, &tos).expect("any byte is allowed");
    }
    if let Some(priority) = options.priority {
        setsockopt(socket, sockopt::Priority, &priority).expect("root can set it");
    }
    if let Some(mark) = options.mark {
        setsockopt(socket, sockopt::Mark, &mark).expect("root can set it");
    }
}

fn receive(socket: &UdpSocket, stop: &AtomicBool, count: &AtomicU64) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    loop {
        match receive_one(socket) {
            Ok(arrival) => {
                arrivals.push(arrival);
                count.fetch_add(1, Ordering::Relaxed);
            }
            // Only when nothing waits, so that nothing which came in time is missed.
            Err(Errno::EAGAIN) if stop.load(Ordering::Relaxed) => return arrivals,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => panic!("receiving: {errno}"),
        }
    }
}

fn receive_one(socket: &UdpSocket) -> Result<Arrival, Errno> {
    let mut bytes = [0; LONGEST];
    let mut space = cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::empty(),
    )?;
    assert!(message.bytes >= SHORTEST, "a datagram of the test's own");
    let mut received = None;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmTimestampns(time) = part {
            received = Some(nanoseconds(time));
        }
    }
    let word = |place: usize| {
        let eight = bytes[place..place + 8].try_into().expect("eight bytes");
        u64::from_be_bytes(eight)
    };
    Ok(Arrival {
        number: word(0),
        sent: word(8),
        received: received.expect("a timestamp was asked for"),
    })
}

/// CLOCK_REALTIME in nanoseconds, the clock of the kernel's timestamps.
///
/// # Panics
/// Never: every kernel has it.
pub fn realtime() -> u64 {
    nanoseconds(clock_gettime(ClockId::CLOCK_REALTIME).expect("every kernel has it"))
}

fn nanoseconds(time: TimeSpec) -> u64 {
    time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs()
}
