//! Which experiments want a packet.

use crate::{
    abi::{Commit, HostKey, PrefixKey, Wants},
    packet::Packet,
};

/// The maps, as matching reads them.
pub trait Tables {
    fn host(&self, key: &HostKey) -> Option<&Wants>;
    /// Value of the longest prefix that covers the address.
    fn prefix(&self, key: &PrefixKey) -> Option<&Wants>;
}

/// The slots that want the packet, a bit each. Excludes win, whatever the order.
///
/// Every key says for itself what all experiments want, so there is no loop here: a packet costs
/// the look-ups that the commit says are needed, however many experiments there are.
#[inline(always)]
pub fn wanted<T: Tables>(tables: &T, commit: &Commit, packet: &Packet) -> u64 {
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
    if packet.vital {
        sum.want = 0;
    }
    if packet.has_port && needed(Commit::HOST_PORTS) {
        add(&mut sum, tables.host(&key(packet.port)));
    }
    if packet.has_port && needed(Commit::PREFIX_PORTS) {
        add(&mut sum, tables.prefix(&prefix(packet.port)));
    }
    sum.want & !sum.except & commit.live
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
