//! Which experiments want a packet.

use crate::{
    abi::{Commit, HostKey, Limited, PrefixKey, Wants},
    packet::{Packet, Vital, Way},
};

/// The maps, as matching reads them.
pub trait Tables {
    fn host(&self, key: &HostKey) -> Option<&Wants>;
    /// Value of the longest prefix that covers the address.
    fn prefix(&self, key: &PrefixKey) -> Option<&Wants>;
    /// Slots that want packets of this port at the peer, a bit each.
    fn remote_port(&self, port: u16) -> u64;
    /// Slots that want packets of this port at the place.
    fn local_port(&self, port: u16) -> u64;
    /// Slots that want packets of this protocol of IP.
    fn protocol(&self, number: u8) -> u64;
}

/// The slots that want a packet on its `way`, a bit each. Excludes win, whatever the order.
///
/// Every key says for itself what all experiments want, so there is no loop here: a packet costs
/// the look-ups that the commit says are needed, however many experiments there are.
#[inline(always)]
pub fn wanted<T: Tables>(tables: &T, commit: &Commit, packet: &Packet, way: Way) -> u64 {
    let live = match way {
        Way::Out => commit.out,
        Way::In => commit.into,
    };
    let wants = aimed(tables, commit, packet) & live;
    if wants == 0 {
        return 0;
    }
    wants & within_limits(tables, commit, packet)
}

/// The slots whose targets the packet's peer is among.
#[inline(always)]
fn aimed<T: Tables>(tables: &T, commit: &Commit, packet: &Packet) -> u64 {
    let mut sum = commit.all;
    let key = |port| HostKey {
        address: packet.peer,
        port,
        family: packet.family,
    };
    let prefix = |port: u16| PrefixKey {
        family: packet.family.to_be_bytes(),
        port: port.to_be_bytes(),
        address: packet.peer,
    };
    let needed = |lookup| commit.lookups & lookup != 0;
    if needed(Commit::HOSTS) {
        add(&mut sum, tables.host(&key(0)));
    }
    if needed(Commit::PREFIXES) {
        add(&mut sum, tables.prefix(&prefix(0)));
    }
    // Whoever names the port of a DHCP server means DHCP; nobody else touches what is vital
    // without naming it.
    sum.want &= match packet.vital {
        Vital::No => u64::MAX,
        Vital::Arp => commit.vital[0],
        Vital::Nd => commit.vital[1],
        Vital::Dhcp => commit.vital[2],
    };
    if packet.has_port && needed(Commit::HOST_PORTS) {
        add(&mut sum, tables.host(&key(packet.port)));
    }
    if packet.has_port && needed(Commit::PREFIX_PORTS) {
        add(&mut sum, tables.prefix(&prefix(packet.port)));
    }
    sum.want & !sum.except
}

/// The slots whose protocol and ports are the packet's, or that take any.
#[inline(always)]
fn within_limits<T: Tables>(tables: &T, commit: &Commit, packet: &Packet) -> u64 {
    let Limited {
        remote,
        local,
        protocol,
    } = commit.limited;
    let needed = |lookup| commit.lookups & lookup != 0;
    let (mut of_remote, mut of_local, mut of_protocol) = (0, 0, 0);
    if packet.has_port && needed(Commit::REMOTE_PORTS) {
        of_remote = tables.remote_port(packet.port);
    }
    if packet.has_port && needed(Commit::LOCAL_PORTS) {
        of_local = tables.local_port(packet.local_port);
    }
    // What has no address (ARP) is no IP and has none of its protocols.
    if packet.family != 0 && needed(Commit::PROTOCOLS) {
        of_protocol = tables.protocol(packet.protocol);
    }
    (!remote | of_remote) & (!local | of_local) & (!protocol | of_protocol)
}

#[inline(always)]
fn add(sum: &mut Wants, hit: Option<&Wants>) {
    if let Some(hit) = hit {
        sum.want |= hit.want;
        sum.except |= hit.except;
    }
}

#[cfg(test)]
mod tests;
