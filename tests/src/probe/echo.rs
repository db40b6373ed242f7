//! A server that sends UDP datagrams back.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, poll},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockType, SockaddrStorage, recvmsg, sendmsg,
        setsockopt, sockopt,
    },
};

use super::tcp::{both_families, bound};
use crate::netns::Netns;

/// Sends every datagram back to where it came from, from the address that it was sent to. Ends
/// when dropped.
pub struct EchoServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EchoServer {
    /// Answers on `ports` ports from `first` on, on every address of the namespace.
    ///
    /// # Panics
    /// When a port is taken.
    pub fn start(netns: &Netns, first: u16, ports: u16) -> Self {
        let sockets: Vec<UdpSocket> = netns.run(|| {
            (first..first + ports)
                .flat_map(|port| both_families(port).map(open))
                .collect()
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = netns.start(move || serve(&sockets, &stopped));
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked: the test has seen lost packets.
            let _ = thread.join();
        }
    }
}

fn open(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::from(bound(&address, SockType::Datagram));
    if address.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).expect("Linux has it");
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true).expect("Linux has it");
    }
    socket.set_nonblocking(true).expect("Linux has it");
    socket
}

fn serve(sockets: &[UdpSocket], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut waiting: Vec<PollFd> = sockets
            .iter()
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        match poll(&mut waiting, 20_u8) {
            Ok(0) | Err(Errno::EINTR) => continue,
            ready => ready.expect("the sockets are open"),
        };
        for (socket, state) in sockets.iter().zip(&waiting) {
            if state.any() == Some(true) {
                while answer(socket) {}
            }
        }
    }
}

/// False when nothing is left to answer.
fn answer(socket: &UdpSocket) -> bool {
    let mut bytes = [0; 65536];
    let mut space = cmsg_space!(nix::libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::empty(),
    );
    let message = match received {
        Ok(message) => message,
        Err(Errno::EAGAIN) => return false,
        // ICMP errors for earlier answers are reported here.
        Err(_) => return true,
    };
    let (from, length) = (message.address, message.bytes);
    let mut sent_to = None;
    for part in message.cmsgs().expect("there is space for one") {
        sent_to = match part {
            ControlMessageOwned::Ipv4PacketInfo(mut info) => {
                info.ipi_spec_dst = info.ipi_addr;
                info.ipi_ifindex = 0;
                Some(Ok(info))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Err(info)),
            _ => sent_to,
        };
    }
    let source = match &sent_to {
        Some(Ok(info)) => vec![ControlMessage::Ipv4PacketInfo(info)],
        Some(Err(info)) => vec![ControlMessage::Ipv6PacketInfo(info)],
        None => vec![],
    };
    // What cannot be sent back is a loss that the test sees.
    let _ = sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(&bytes[..length])],
        &source,
        MsgFlags::empty(),
        from.as_ref(),
    );
    true
}
