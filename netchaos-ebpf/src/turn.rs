//! Whose turn it is: the next experiment that wants a packet, and what it does to it.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_fib_lookup as FibLookup},
    helpers::{bpf_fib_lookup, bpf_get_prandom_u32, bpf_ktime_get_boot_ns},
    programs::TcContext,
};
use netchaos_common::{
    abi::{Counter, Loss, Mark, SLOTS, Steer},
    matching,
    packet::{self, Start, Way},
};

use crate::{
    maps::{COMMITS, COUNTERS, CURRENT, LOSS_STATES, Maps, STEERS},
    skb::Skb,
};

const AF_INET: u8 = 2;

/// How far a packet is.
pub struct Round {
    way: Way,
    /// Slots that are still to come.
    left: u64,
    /// The slot for which the packet has just been cut into segments.
    cut_for: Option<u32>,
    at_device: bool,
    /// EtherType (network order) of a packet that starts with it; 0 where it starts with Ethernet.
    network: u32,
}

impl Round {
    #[inline(always)]
    pub const fn first(way: Way, network: u32) -> Self {
        Self {
            way,
            left: u64::MAX,
            cut_for: None,
            at_device: true,
            network,
        }
    }

    #[inline(always)]
    pub fn after(mark: Mark) -> Self {
        let from_here = u64::MAX << mark.slot();
        Self {
            way: if mark.is_ingress() { Way::In } else { Way::Out },
            left: if mark.is_segmenting() {
                from_here
            } else {
                from_here << 1
            },
            cut_for: mark.is_segmenting().then(|| mark.slot()),
            at_device: false,
            network: 0,
        }
    }

    #[inline(always)]
    fn flags(&self, slot: Option<u32>) -> u32 {
        let mut flags = 0;
        if let Way::In = self.way {
            flags |= INGRESS;
        }
        if self.at_device {
            flags |= AT_DEVICE;
        }
        if slot.is_some() && self.cut_for == slot {
            flags |= WAS_CUT;
        }
        flags
    }
}

/// An experiment's turn.
pub struct Next {
    pub slot: u32,
    pub steer: &'static Steer,
    /// [`LAP`], [`CUT`] or [`DROP`].
    pub turn: u32,
}

/// The packet passes.
const PASS: u32 = 0;
/// A lap through the experiment's band.
pub const LAP: u32 = 1;
/// A lap that cuts the packet into the segments of the wire, before anything else.
pub const CUT: u32 = 2;
pub const DROP: u32 = 3;

/// Flags of [`netchaos_wanted`] and [`netchaos_turn`].
const INGRESS: u32 = 1;
const AT_DEVICE: u32 = 2;
/// The packet has just been cut for this slot.
const WAS_CUT: u32 = 4;

/// The first of the experiments that are left which does more than let the packet pass.
#[inline(always)]
pub fn next(skb: &Skb<'_>, round: &Round) -> Option<Next> {
    let current = *CURRENT.get(0)? & 1;
    let mut slots =
        netchaos_wanted(skb.raw(), current, round.network, round.flags(None)) & round.left;
    // Counted, since the verifier must see an end.
    for _ in 0..SLOTS {
        if slots == 0 {
            break;
        }
        let slot = slots.trailing_zeros();
        slots &= slots - 1;
        let index = current * SLOTS as u32 + slot;
        let turn = netchaos_turn(skb.raw(), index, round.flags(Some(slot)));
        if turn != PASS {
            let steer = STEERS.get(index)?;
            return Some(Next { slot, steer, turn });
        }
    }
    None
}

/// The slots that want the packet by the given commit, a bit each. `network` is [`Round::network`].
///
/// A global function, as is [`netchaos_turn`]: the verifier looks at it once by itself (Linux 5.6),
/// and not once for each slot and each way to get there.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn netchaos_wanted(
    ctx: *mut __sk_buff,
    commit: u32,
    network: u32,
    flags: u32,
) -> u64 {
    let Some(commit) = COMMITS.get(commit) else {
        return 0;
    };
    if commit.out | commit.into == 0 {
        return 0;
    }
    let start = match network {
        0 => Start::Ethernet,
        ether_type => Start::Network(ether_type as u16),
    };
    let way = if flags & INGRESS != 0 {
        Way::In
    } else {
        Way::Out
    };
    let context = TcContext::new(ctx);
    match packet::parse(&Skb(&context), start, way) {
        Some(packet) => matching::wanted(&Maps, commit, &packet, way),
        None => 0,
    }
}

/// What the experiment of a steer does to the packet: [`PASS`], [`LAP`], [`CUT`] or [`DROP`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn netchaos_turn(ctx: *mut __sk_buff, index: u32, flags: u32) -> u32 {
    let Some(steer) = STEERS.get(index) else {
        return PASS;
    };
    // SAFETY: takes nothing, gives a number.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if steer.ends != 0 && now >= steer.ends {
        return PASS;
    }
    let context = TcContext::new(ctx);
    let skb = Skb(&context);
    let counter = Counter::index(index % SLOTS as u32, flags & INGRESS != 0);
    let segments = skb.segments();
    let was_cut = flags & WAS_CUT != 0;
    let cut = steer.flags & Steer::SEGMENT != 0 && segments > 1 && !was_cut;
    let lost = !cut && is_lost(&steer.loss, counter);
    let has_lap = cut || steer.flags & Steer::BAND != 0;
    let way = match (lost, flags & AT_DEVICE != 0) {
        (true, true) => steer.lower,
        (false, _) if has_lap => steer.lane(flags & INGRESS != 0).upper,
        _ => 0,
    };
    if way != 0 && !exists(&skb, way) {
        return PASS;
    }
    let length = if was_cut { None } else { Some(skb.length()) };
    let turn = Turn { lost, cut, has_lap };
    count(counter, now, length, segments, &turn);
    match (lost, cut, has_lap) {
        (true, ..) => DROP,
        (_, true, _) => CUT,
        (_, _, true) => LAP,
        _ => PASS,
    }
}

/// Lets the chain of losses go on by one packet, and says whether that is lost. As in netem's
/// Gilbert-Elliott model (net/sched/sch_netem.c, `loss_gilb_ell`) the state before counts.
#[inline(always)]
fn is_lost(loss: &Loss, index: u32) -> bool {
    if loss.worsen == 0 {
        // The chain never leaves its good state.
        return happens(loss.good);
    }
    let Some(state) = LOSS_STATES.get_ptr_mut(index) else {
        return false;
    };
    // SAFETY: the entry is this CPU's own.
    let is_bad = unsafe { *state } != 0;
    let (turns, lost) = if is_bad {
        (loss.recover, loss.bad)
    } else {
        (loss.worsen, loss.good)
    };
    if happens(turns) {
        // SAFETY: as above.
        unsafe { *state = !is_bad as u32 };
    }
    happens(lost)
}

/// True in `share` of all cases.
#[inline(always)]
fn happens(share: u32) -> bool {
    // SAFETY: takes nothing, gives a number.
    share == u32::MAX || share != 0 && unsafe { bpf_get_prandom_u32() } < share
}

/// Whether a device is there: a redirect to one that is gone would be a black hole. The lookup is
/// for that answer only, and an old kernel can give it (5.10).
#[inline(always)]
fn exists(skb: &Skb<'_>, ifindex: u32) -> bool {
    // SAFETY: a plain C struct for which all zeros is a value.
    let mut query: FibLookup = unsafe { core::mem::zeroed() };
    query.family = AF_INET;
    query.ifindex = ifindex;
    let size = core::mem::size_of::<FibLookup>() as i32;
    // SAFETY: the context and a struct of the size given.
    unsafe { bpf_fib_lookup(skb.0.skb.skb.cast(), &mut query, size, 0) >= 0 }
}

/// What becomes of a packet.
struct Turn {
    lost: bool,
    cut: bool,
    has_lap: bool,
}

/// Counts a packet that has done the lap of its slot; one that was only cut has not.
#[inline(always)]
pub fn count_back(mark: Mark) {
    if mark.is_segmenting() {
        return;
    }
    if let Some(counter) = COUNTERS.get_ptr_mut(Counter::index(mark.slot(), mark.is_ingress())) {
        // SAFETY: the entry is this CPU's own.
        unsafe { (*counter).left += 1 };
    }
}

/// Counts a packet for its experiment; one that was counted when it was cut has no length.
#[inline(always)]
fn count(index: u32, now: u64, length: Option<u32>, segments: u32, turn: &Turn) {
    let Some(counter) = COUNTERS.get_ptr_mut(index) else {
        return;
    };
    // SAFETY: the entry is this CPU's own.
    unsafe {
        if let Some(length) = length {
            (*counter).packets += 1;
            (*counter).bytes += length as u64;
            (*counter).segments += segments as u64;
        }
        if turn.lost {
            (*counter).dropped += segments as u64;
            (*counter).sent += segments as u64;
        } else if !turn.cut {
            (*counter).sent += 1;
            if turn.has_lap {
                (*counter).entered += 1;
            }
        }
        (*counter).last = now;
        if (*counter).first == 0 {
            (*counter).first = now;
        }
    }
}
