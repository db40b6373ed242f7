//! The maps' contents. Everything is `repr(C)` without hidden padding and lives in the kernel for
//! as long as an experiment does, so another netchaos may have written it: whoever changes a type
//! or its meaning raises [`ABI_VERSION`].
//!
//! [`Meta`], [`State`], [`TextKey`], [`Chunk`] and [`Mark`] never change, so that each netchaos
//! reads what the ones before it have laid, from [`OLDEST_ABI`] on, and puts its own programs and
//! maps in the places of theirs.

/// Raised with every change of a type here, of a map, or of what they mean.
pub const ABI_VERSION: u32 = 3;

/// The oldest version whose experiments are still understood.
pub const OLDEST_ABI: u32 = 2;

/// First word of the state map: "NETC".
pub const MAGIC: u32 = 0x4e45_5443;

/// Experiments of one device. An experiment's slot is its bit in [`Commit::live`] and its turn
/// among the laps of a packet.
pub const SLOTS: usize = 64;

/// Address family as the keys hold it.
pub const IPV4: u16 = 4;
/// See [`IPV4`].
pub const IPV6: u16 = 6;

/// Bits of [`PrefixKey`] before the address.
pub const PREFIX_BITS_BEFORE_ADDRESS: u32 = 32;

/// What a key of the maps says to the experiments, a bit each.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// They are aimed at it.
    pub want: u64,
    /// They spare it, whatever else wants it.
    pub except: u64,
}

/// Key of `HOSTS`: a single address, and the peer's port or 0 for every port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey {
    /// Network order; an IPv4 address fills the first four bytes, the rest is zero.
    pub address: [u8; 16],
    /// Host order. A port stands for TCP, UDP and SCTP alike.
    pub port: u16,
    pub family: u16,
}

/// Data of `PREFIXES`, behind the `u32` of bits that count.
///
/// Family and port stand first and are always matched whole: so `::/0` never covers an IPv4
/// address, and prefixes with a port are a trie of their own.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixKey {
    /// Network order, as is the port.
    pub family: [u8; 2],
    /// As in [`HostKey::port`].
    pub port: [u8; 2],
    pub address: [u8; 16],
}

/// What is in force. There are two in `COMMITS`, and two halves of `STEERS`; the word in `CURRENT`
/// says which one counts, so that one write switches every packet from the old state to the new
/// one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Slots that steer packets on their way out (egress).
    pub out: u64,
    /// Slots that steer packets on their way in (ingress).
    pub into: u64,
    /// What holds for every address.
    pub all: Wants,
    pub limited: Limited,
    /// Slots that may touch address resolution (ARP), neighbour discovery and DHCP, in this order.
    pub vital: [u64; 3],
    /// What has to be looked up at all: [`Commit::HOSTS`] and so on.
    pub lookups: u32,
    pub reserved: u32,
}

impl Commit {
    pub const HOSTS: u32 = 1;
    pub const HOST_PORTS: u32 = 2;
    pub const PREFIXES: u32 = 4;
    pub const PREFIX_PORTS: u32 = 8;
    pub const REMOTE_PORTS: u32 = 16;
    pub const LOCAL_PORTS: u32 = 32;
    pub const PROTOCOLS: u32 = 64;
}

/// Slots that want only what `REMOTE_PORTS`, `LOCAL_PORTS` and `PROTOCOLS` say, a bit each.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    pub remote: u64,
    pub local: u64,
    pub protocol: u64,
}

/// What happens to an experiment's packets. `STEERS` has [`SLOTS`] of them for each of the two
/// commits: commit `c`, slot `s` is entry `c * SLOTS + s`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steer {
    /// CLOCK_BOOTTIME in nanoseconds from which on the experiment wants nothing; 0 is never.
    pub ends: u64,
    /// Where its packets go on their way out.
    pub out: Lane,
    /// And on their way in.
    pub into: Lane,
    /// Index of a pair's lower device (ncB), where packets are dropped.
    pub lower: u32,
    /// [`Steer::BAND`] and [`Steer::SEGMENT`].
    pub flags: u32,
    pub loss: Loss,
}

/// A band of a pair.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Its class under the pair's prio, as `skb->priority` takes it.
    pub classid: u32,
    /// Index of the pair's upper device (ncA).
    pub upper: u32,
}

impl Lane {
    /// The class of the pair's prio that does nothing.
    pub const fn clean(&self) -> u32 {
        self.classid & 0xffff_0000 | 1
    }
}

impl Steer {
    /// Packets go a lap through the band.
    pub const BAND: u32 = 1;
    /// A GSO packet is cut into the segments of the wire first, by a lap through the class
    /// [`Lane::clean`], whose device takes one segment at a time.
    pub const SEGMENT: u32 = 2;

    #[inline(always)]
    pub const fn lane(&self, ingress: bool) -> &Lane {
        if ingress { &self.into } else { &self.out }
    }
}

/// Loss by the program: a chain of two states (Gilbert and Elliott), which starts in the good one.
/// All are shares of `u32::MAX`, 0 being never and `u32::MAX` always.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Chance that a packet takes the chain from the good state to the bad one.
    pub worsen: u32,
    /// And from the bad one to the good one.
    pub recover: u32,
    /// Packets lost in the bad state.
    pub bad: u32,
    /// Packets lost in the good state.
    pub good: u32,
}

/// The device that the faults are on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub ifindex: u32,
    /// 1 where packets start with the IP header (tun, WireGuard), 0 where with Ethernet.
    pub layer3: u32,
}

/// What an experiment hit, per CPU: `COUNTERS` has two entries per slot, [`Counter::index`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Packets matched, a GSO packet counting once.
    pub packets: u64,
    /// Their bytes, link-layer header included, as `skb->len` has them.
    pub bytes: u64,
    /// The packets that they are on the wire.
    pub segments: u64,
    /// Of them, those that the program dropped: loss and partition.
    pub dropped: u64,
    /// CLOCK_BOOTTIME in nanoseconds; 0 is never.
    pub first: u64,
    pub last: u64,
    /// Packets as the experiment has handled them: those of the wire where it cuts or drops them,
    /// else as they were sent, a GSO packet counting once. This is the unit of the two below, too.
    pub sent: u64,
    /// Of them, those that went into the experiment's band.
    pub entered: u64,
    /// And those that came out of it, duplicates among them.
    pub left: u64,
}

/// What counts for an experiment beside [`Counter`], in `PAST`, with the same index: written by
/// user space alone, when an experiment moves to another slot or gets other maps.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Counted in other slots and maps.
    pub counter: Counter,
    /// Packets that queues have dropped which are no more.
    pub queue_dropped: u64,
    /// Packets that went down with such queues.
    pub flushed: u64,
}

impl Past {
    /// What counts for two places together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            counter: self.counter.plus(&other.counter),
            queue_dropped: self.queue_dropped + other.queue_dropped,
            flushed: self.flushed + other.flushed,
        }
    }
}

impl Counter {
    /// What was counted in two places.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            segments: self.segments + other.segments,
            dropped: self.dropped + other.dropped,
            first: match (self.first, other.first) {
                (0, first) | (first, 0) => first,
                (one, other) => one.min(other),
            },
            last: self.last.max(other.last),
            sent: self.sent + other.sent,
            entered: self.entered + other.entered,
            left: self.left + other.left,
        }
    }

    /// Entry of a slot's packets on their way out, or in.
    #[inline(always)]
    pub const fn index(slot: u32, ingress: bool) -> u32 {
        slot * 2 + ingress as u32
    }
}

/// [`Counter`] of [`OLDEST_ABI`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter2 {
    pub packets: u64,
    pub bytes: u64,
    pub segments: u64,
    pub dropped: u64,
    pub first: u64,
    pub last: u64,
}

/// The one entry of `META`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub magic: u32,
    pub abi: u32,
    /// 1 while somebody changes the maps. Found at the start of a call, it says that the last
    /// writer died on the way.
    pub dirty: u32,
    pub reserved: u32,
}

/// The experiment in a slot, in `STATES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Which text in `TEXTS` is the experiment; 0 is an empty slot.
    pub text: u32,
    /// Length of that text in bytes.
    pub length: u32,
    /// When the experiment was made, Unix time in nanoseconds.
    pub created: u64,
    /// [`State::STAYS`] or [`State::GOES`].
    pub phase: u32,
    pub reserved: u32,
}

impl State {
    /// The experiment is wanted: whoever finds it half made finishes it.
    pub const STAYS: u32 = 1;
    /// The experiment is being removed: whoever finds it half removed finishes that.
    pub const GOES: u32 = 2;
}

/// Key of `TEXTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextKey {
    pub text: u32,
    pub chunk: u32,
}

/// Bytes of a text that one entry of `TEXTS` holds.
pub const CHUNK: usize = 2048;

/// A piece of an experiment's text; the last one is filled up with zeros.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub bytes: [u8; CHUNK],
}

/// `skb->tc_index` of a packet between two passes of ours: who steered it, where to, and what its
/// priority was.
///
/// Bit 15 says that the packet is ours, bit 14 that it came in (ingress), bits 8 to 13 are the
/// slot of this lap, bit 7 says that the lap only cuts the packet into segments, bits 0 to 6 are
/// the code of the original priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub u16);

impl Mark {
    const OURS: u16 = 0x8000;
    const INGRESS: u16 = 0x4000;
    const SEGMENTING: u16 = 0x80;

    #[inline(always)]
    pub const fn new(ingress: bool, slot: u32, priority_code: u32) -> Self {
        let direction = if ingress { Self::INGRESS } else { 0 };
        Self(Self::OURS | direction | ((slot as u16 & 63) << 8) | (priority_code as u16 & 0x7f))
    }

    /// The same for the lap that only cuts the packet, before the one through the slot's band.
    #[inline(always)]
    pub const fn segmenting(self) -> Self {
        Self(self.0 | Self::SEGMENTING)
    }

    #[inline(always)]
    pub const fn is_segmenting(self) -> bool {
        self.0 & Self::SEGMENTING != 0
    }

    #[inline(always)]
    pub const fn is_ours(self) -> bool {
        self.0 & Self::OURS != 0
    }

    #[inline(always)]
    pub const fn is_ingress(self) -> bool {
        self.0 & Self::INGRESS != 0
    }

    #[inline(always)]
    pub const fn slot(self) -> u32 {
        (self.0 >> 8) as u32 & 63
    }

    #[inline(always)]
    pub const fn priority_code(self) -> u32 {
        self.0 as u32 & 0x7f
    }
}

/// Codes below this are the priority itself.
pub const FIRST_LEARNT_PRIORITY: u32 = 16;
/// The code of a priority for which `PRIORITIES` had no room: the socket knows it.
pub const PRIORITY_OF_SOCKET: u32 = 127;

macro_rules! sizes {
    ($($type:ty = $size:literal),* $(,)?) => {
        $(const _: () = assert!(core::mem::size_of::<$type>() == $size);)*
    };
}
sizes! {
    Wants = 16, HostKey = 20, PrefixKey = 20, Limited = 24, Commit = 88, Steer = 48, Lane = 8, Loss = 16,
    Device = 8, Counter = 72, Counter2 = 48, Past = 88, Meta = 16, State = 24, TextKey = 8, Chunk = 2048,
}

#[cfg(feature = "user")]
mod pod {
    use super::*;

    macro_rules! pod {
        ($($type:ty),* $(,)?) => {$(
            // SAFETY: repr(C), made of numbers, and without padding, as `sizes` asserts.
            unsafe impl aya::Pod for $type {}
        )*};
    }
    pod! {
        Wants, HostKey, PrefixKey, Limited, Commit, Steer, Lane, Loss, Device, Counter, Counter2, Past, Meta, State, TextKey,
        Chunk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_gives_back_what_went_in() {
        for ingress in [false, true] {
            for slot in 0..SLOTS as u32 {
                for code in [0, 1, 15, 16, 100, 127] {
                    let mark = Mark::new(ingress, slot, code);
                    assert!(mark.is_ours());
                    assert_eq!(mark.is_ingress(), ingress);
                    assert_eq!(mark.slot(), slot);
                    assert_eq!(mark.priority_code(), code);
                    assert!(!mark.is_segmenting());
                    assert!(mark.segmenting().is_segmenting());
                    assert_eq!(mark.segmenting().priority_code(), code);
                    assert_eq!(mark.segmenting().slot(), slot);
                }
            }
        }
        assert!(!Mark(0).is_ours());
        assert!(!Mark(0x7fff).is_ours(), "low bits are other people's");
    }
}
