//! Address resolution: ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861), request and answer.

use std::{
    io,
    mem::{size_of, zeroed},
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV6},
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    libc,
    net::if_::if_nametoindex,
    sys::{
        socket::{
            AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6,
            SockaddrLike, bind, recv, sendto, setsockopt, socket, sockopt,
        },
        time::TimeVal,
    },
};

use super::RoundTrips;

const LONGEST: Duration = Duration::from_secs(3);
const BROADCAST: [u8; 6] = [0xff; 6];

/// Asks the calling thread's network by ARP who has `target`, `count` times.
///
/// # Panics
/// When there is no such device.
pub fn arp_round_trips(
    device: &str,
    source: Ipv4Addr,
    target: Ipv4Addr,
    count: usize,
) -> RoundTrips {
    let own = hardware_address(device);
    let socket = packet_socket(device, libc::ETH_P_ARP).expect("root can have a packet socket");
    set_patience(&socket);
    let request = arp_request(own, source, target);
    RoundTrips::measure(count, || {
        let is_answer = |frame: &[u8]| {
            // To us, ARP, an answer, from the target.
            frame.len() >= 42
                && frame[..6] == own
                && frame[12..14] == [8, 6]
                && frame[20..22] == [0, 2]
                && frame[28..32] == target.octets()
        };
        let before = Instant::now();
        nix::unistd::write(&socket, &request).ok()?;
        wait_for(&socket, before, is_answer)
    })
}

fn arp_request(own: [u8; 6], source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let ethernet: &[&[u8]] = &[&BROADCAST, &own, &[0x08, 0x06]];
    // Ethernet and IPv4, their address lengths, a request.
    let kind: &[u8] = &[0, 1, 0x08, 0x00, 6, 4, 0, 1];
    let (source, target) = (source.octets(), target.octets());
    let arp: &[&[u8]] = &[kind, &own, &source, &[0; 6], &target];
    [ethernet.concat(), arp.concat()].concat()
}

/// Asks by neighbour discovery who has `target`, `count` times: a solicitation to its multicast
/// address, as the kernel itself sends it.
///
/// # Panics
/// When there is no such device.
pub fn neighbour_discovery_round_trips(device: &str, target: Ipv6Addr, count: usize) -> RoundTrips {
    let index = if_nametoindex(device).expect("the device is there");
    let raw = socket(
        AddressFamily::Inet6,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::IcmpV6,
    )
    .expect("root can have a raw socket");
    set_patience(&raw);
    // RFC 4861, 7.1.1: others are not valid. nix has no name for the multicast one.
    setsockopt(&raw, sockopt::Ipv6MulticastHops, &255).expect("Linux has it");
    let to = SockaddrIn6::from(SocketAddrV6::new(solicited_node(target), 0, 0, index));
    let own = hardware_address(device);
    // Solicitation; the kernel fills the checksum in (RFC 3542, 3.1). Then our own address.
    let head: &[u8] = &[135, 0, 0, 0, 0, 0, 0, 0];
    let option: &[u8] = &[1, 1];
    let solicitation = [head, &target.octets(), option, &own].concat();
    RoundTrips::measure(count, || {
        let is_answer = |message: &[u8]| {
            message.len() >= 24 && message[0] == 136 && message[8..24] == target.octets()
        };
        let before = Instant::now();
        sendto(raw.as_raw_fd(), &solicitation, &to, MsgFlags::empty()).ok()?;
        wait_for(&raw, before, is_answer)
    })
}

/// RFC 4291, 2.7.1: ff02::1:ff and the last three bytes.
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let last = address.octets();
    let [.., a, b, c] = last;
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

fn wait_for(
    socket: &OwnedFd,
    before: Instant,
    is_answer: impl Fn(&[u8]) -> bool,
) -> Option<Duration> {
    let mut bytes = [0; 2048];
    while before.elapsed() < LONGEST {
        let length = recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty()).ok()?;
        if is_answer(&bytes[..length]) {
            return Some(before.elapsed());
        }
    }
    None
}

fn set_patience(socket: &OwnedFd) {
    let seconds = TimeVal::new(LONGEST.as_secs().cast_signed(), 0);
    setsockopt(socket, sockopt::ReceiveTimeout, &seconds).expect("it is not zero");
}

/// A packet socket that sends whole frames and sees those with an EtherType, or all (packet(7)).
pub(super) fn packet_socket(device: &str, protocol: i32) -> io::Result<OwnedFd> {
    let protocol = (protocol as u16).to_be();
    // SAFETY: every bit pattern, all zero too, is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = if_nametoindex(device)?.cast_signed();
    // SAFETY: the pointer is to a sockaddr_ll of that length, and the call copies it.
    let address = unsafe {
        LinkAddr::from_raw(
            (&raw const address).cast(),
            Some(size_of::<libc::sockaddr_ll>() as u32),
        )
    };
    let address = address.ok_or(io::ErrorKind::InvalidInput)?;
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    bind(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

/// The calling thread's namespace has it below its own /proc, not below /sys.
fn hardware_address(device: &str) -> [u8; 6] {
    let addresses = nix::ifaddrs::getifaddrs().expect("netlink answers");
    addresses
        .filter(|address| address.interface_name == device)
        .find_map(|address| address.address?.as_link_addr()?.addr())
        .expect("an Ethernet device has an address")
}
