//! Frames as a device receives them, before anything is thrown away.

use std::{
    io::IoSliceMut,
    net::UdpSocket,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        socket::{LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt},
        time::TimeVal,
    },
};

use self::no_check::NoCheck;
use super::neighbour::packet_socket;
use crate::netns::Netns;

mod no_check {
    use nix::{libc, setsockopt_impl, sockopt_impl};

    sockopt_impl!(
        /// nix has no name for it.
        NoCheck,
        SetOnly,
        libc::SOL_SOCKET,
        libc::SO_NO_CHECK,
        bool
    );
}

/// Datagrams of the socket have a checksum of zero, which says that there is none (RFC 768), so
/// that every byte of a frame is known. IPv4 only.
///
/// # Errors
/// The kernel's.
pub fn leave_checksums_out(socket: &UdpSocket) -> nix::Result<()> {
    setsockopt(socket, NoCheck, &true)
}

/// Longer than any GSO packet of IPv4.
const LONGEST: usize = 70_000;

/// Records what a device receives, whoever it is for.
pub struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

impl Capture {
    /// Begins to record frames that are `longest` bytes or shorter, to their last byte, and of
    /// longer ones the length alone (zeros).
    ///
    /// # Panics
    /// When there is no such device.
    pub fn start(netns: &Netns, device: &str, longest: usize) -> Self {
        let socket = netns.run(|| packet_socket(device, libc::ETH_P_ALL));
        let socket = socket.expect("root can have a packet socket");
        setsockopt(&socket, sockopt::RcvBufForce, &(256 << 20)).expect("root can set it");
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 20_000))
            .expect("it is not zero");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || record(&socket, longest, &stopped));
        Self { stop, thread }
    }

    /// What came until now, once nothing has come for a moment.
    ///
    /// # Panics
    /// When the socket failed.
    pub fn finish(self) -> Vec<Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the socket works")
    }
}

fn record(socket: &OwnedFd, longest: usize, stop: &AtomicBool) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut bytes = vec![0; LONGEST];
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, None, MsgFlags::empty());
        let message = match received {
            Ok(message) => message,
            Err(Errno::EAGAIN) if stop.load(Ordering::Relaxed) => return frames,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(errno) => panic!("receiving frames: {errno}"),
        };
        let length = message.bytes;
        // packet(7): a packet socket sees what the device sends as well.
        let sent = message
            .address
            .is_some_and(|address| address.as_ref().sll_pkttype == libc::PACKET_OUTGOING);
        if !sent {
            frames.push(if length <= longest {
                bytes[..length].to_vec()
            } else {
                vec![0; length]
            });
        }
    }
    panic!("more frames came than a test has")
}
