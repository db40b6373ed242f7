//! Whose turn it is: the next experiment that wants a packet, and what it does to it.

use aya_ebpf::{
    bindings::bpf_fib_lookup as FibLookup,
    helpers::{bpf_fib_lookup, bpf_get_prandom_u32, bpf_ktime_get_boot_ns},
};
use netchaos_common::{
    abi::{Commit, Counter, Loss, Mark, SLOTS, Steer},
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
}

impl Round {
    #[inline(always)]
    pub const fn first(way: Way) -> Self {
        Self {
            way,
            left: u64::MAX,
            cut_for: None,
            at_device: true,
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
        }
    }
}

/// An experiment's turn.
pub struct Next {
    pub slot: u32,
    pub steer: &'static Steer,
    pub turn: Turn,
}

pub enum Turn {
    /// A lap through its band.
    Lap,
    /// A lap that cuts the packet into the segments of the wire, before anything else.
    Cut,
    Drop,
}

/// The first of the experiments that are left which does more than let the packet pass.
#[inline(always)]
pub fn next(skb: &Skb<'_>, start: Start, round: &Round) -> Option<Next> {
    let current = *CURRENT.get(0)? & 1;
    let commit: &Commit = COMMITS.get(current)?;
    if commit.out | commit.into == 0 {
        return None;
    }
    let packet = packet::parse(skb, start, round.way)?;
    let mut slots = matching::wanted(&Maps, commit, &packet, round.way) & round.left;
    // Counted, since the verifier must see an end.
    for _ in 0..SLOTS {
        if slots == 0 {
            break;
        }
        let slot = slots.trailing_zeros();
        slots &= slots - 1;
        let steer = STEERS.get(current * SLOTS as u32 + slot)?;
        if let Some(turn) = turn(skb, round, slot, steer) {
            return Some(Next { slot, steer, turn });
        }
    }
    None
}

/// What the experiment in a slot does to the packet; none where it does nothing.
#[inline(always)]
fn turn(skb: &Skb<'_>, round: &Round, slot: u32, steer: &Steer) -> Option<Turn> {
    // SAFETY: takes nothing, gives a number.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if steer.ends != 0 && now >= steer.ends {
        return None;
    }
    let index = Counter::index(slot, matches!(round.way, Way::In));
    let segments = skb.segments();
    let was_cut = round.cut_for == Some(slot);
    let cut = steer.flags & Steer::SEGMENT != 0 && segments > 1 && !was_cut;
    let lost = !cut && is_lost(&steer.loss, index);
    let has_lap = cut || steer.flags & Steer::BAND != 0;
    let way = match (lost, round.at_device) {
        (true, true) => steer.lower,
        (false, _) if has_lap => steer.upper,
        _ => 0,
    };
    if way != 0 && !exists(skb, way) {
        return None;
    }
    count(
        index,
        now,
        if was_cut { None } else { Some(skb.length()) },
        segments,
        lost,
    );
    match (lost, cut, has_lap) {
        (true, ..) => Some(Turn::Drop),
        (_, true, _) => Some(Turn::Cut),
        (_, _, true) => Some(Turn::Lap),
        _ => None,
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

/// Counts a packet for its experiment; one that was counted when it was cut has no length.
#[inline(always)]
fn count(index: u32, now: u64, length: Option<u32>, segments: u32, lost: bool) {
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
        if lost {
            (*counter).dropped += segments as u64;
        }
        (*counter).last = now;
        if (*counter).first == 0 {
            (*counter).first = now;
        }
    }
}
