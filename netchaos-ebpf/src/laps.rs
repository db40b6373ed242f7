//! The laps: device egress -> ncA (prio, netem) -> ncB egress -> next lap, or back to the device.

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC, bpf_fib_lookup as FibLookup},
    helpers::{bpf_fib_lookup, bpf_ktime_get_boot_ns, bpf_redirect, bpf_skb_change_head},
    macros::classifier,
    programs::TcContext,
};
use netchaos_common::{
    abi::{Commit, Mark, SLOTS, Steer},
    matching,
    packet::{self, Start, Way},
};
use network_types::eth::EthHdr;

use crate::{
    maps::{self, COMMITS, COUNTERS, CURRENT, DEVICE, Maps, STEERS},
    priority,
    skb::Skb,
};

const UNTOUCHED: i32 = TC_ACT_UNSPEC;
const AF_INET: u8 = 2;

/// clsact egress of the device that the faults are on.
#[classifier]
pub fn netchaos_egress(ctx: TcContext) -> i32 {
    let skb = Skb(&ctx);
    let mark = skb.mark();
    if mark.is_ours() {
        // Its laps are done: to the wire, with nothing of ours on it.
        skb.set_mark(Mark(0));
        return UNTOUCHED;
    }
    if mark.0 != 0 {
        // Somebody else keeps something there.
        return UNTOUCHED;
    }
    depart(&skb).unwrap_or(UNTOUCHED)
}

/// Steers the packet into its first lap; none where no experiment wants it.
#[inline(always)]
fn depart(skb: &Skb<'_>) -> Option<i32> {
    let device = DEVICE.get(0)?;
    let start = if device.layer3 != 0 {
        Start::Network(skb.protocol())
    } else {
        Start::Ethernet
    };
    let slots = wanted(skb, start, Way::Out)?;
    let (slot, steer) = first_of(skb, slots)?;
    if device.layer3 != 0 && !put_on_ethernet(skb) {
        return None;
    }
    let mark = Mark::new(false, slot, priority::encode(skb.priority()));
    Some(lap(skb, mark, slot, steer))
}

/// clsact egress of ncB: the packet has done a lap.
#[classifier]
pub fn netchaos_back(ctx: TcContext) -> i32 {
    let skb = Skb(&ctx);
    let mark = skb.mark();
    if !mark.is_ours() {
        // The pair's own packets (IPv6 chatter) are nobody's.
        maps::hold_state();
        return TC_ACT_SHOT;
    }
    if let Some(verdict) = next_lap(&skb, mark) {
        return verdict;
    }
    let Some(device) = DEVICE.get(0) else {
        return TC_ACT_SHOT;
    };
    skb.set_priority(priority::decode(&skb, mark.priority_code()));
    let flags = if mark.is_ingress() { BPF_F_INGRESS } else { 0 };
    // SAFETY: plain numbers.
    unsafe { bpf_redirect(device.ifindex, flags.into()) as i32 }
}

/// Steers the packet into the lap of the next experiment that wants it.
#[inline(always)]
fn next_lap(skb: &Skb<'_>, mark: Mark) -> Option<i32> {
    let way = if mark.is_ingress() { Way::In } else { Way::Out };
    let done = u64::MAX >> (63 - mark.slot());
    let slots = wanted(skb, Start::Ethernet, way)? & !done;
    let (slot, steer) = first_of(skb, slots)?;
    let mark = Mark::new(mark.is_ingress(), slot, mark.priority_code());
    Some(lap(skb, mark, slot, steer))
}

#[inline(always)]
fn wanted(skb: &Skb<'_>, start: Start, way: Way) -> Option<u64> {
    let commit: &Commit = COMMITS.get(*CURRENT.get(0)? & 1)?;
    if commit.live == 0 {
        return None;
    }
    let packet = packet::parse(skb, start, way)?;
    Some(matching::wanted(&Maps, commit, &packet))
}

/// The first of `slots` whose end has not passed and whose pair is there.
#[inline(always)]
fn first_of(skb: &Skb<'_>, mut slots: u64) -> Option<(u32, &'static Steer)> {
    // Counted, since the verifier must see an end.
    for _ in 0..SLOTS {
        if slots == 0 {
            break;
        }
        let slot = slots.trailing_zeros();
        slots &= slots - 1;
        let steer = STEERS.get(slot)?;
        // SAFETY: takes nothing, gives a number.
        let has_ended = steer.ends != 0 && unsafe { bpf_ktime_get_boot_ns() } >= steer.ends;
        if !has_ended && exists(skb, steer.ifindex) {
            return Some((slot, steer));
        }
    }
    None
}

/// Whether ncA is there: a redirect to a device that is gone would be a black hole. The lookup
/// is for that answer only, and an old kernel can give it (5.10).
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

/// Gives a packet without link-layer header an Ethernet one, which ncA needs. The kernel takes it
/// off again on the way back to such a device.
#[inline(always)]
fn put_on_ethernet(skb: &Skb<'_>) -> bool {
    let protocol = skb.protocol();
    // SAFETY: the context and plain numbers.
    if unsafe { bpf_skb_change_head(skb.0.skb.skb, EthHdr::LEN as u32, 0) } != 0 {
        return false;
    }
    let header = EthHdr {
        dst_addr: [0; 6],
        src_addr: [0; 6],
        ether_type: protocol,
    };
    skb.0.store(0, &header, 0).is_ok()
}

/// One lap through the band of `slot`.
#[inline(always)]
fn lap(skb: &Skb<'_>, mark: Mark, slot: u32, steer: &Steer) -> i32 {
    count(slot, skb.length());
    skb.set_mark(mark);
    skb.set_priority(steer.classid);
    // SAFETY: plain numbers.
    unsafe { bpf_redirect(steer.ifindex, 0) as i32 }
}

#[inline(always)]
fn count(slot: u32, bytes: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(slot) {
        // SAFETY: takes nothing, gives a number.
        let now = unsafe { bpf_ktime_get_boot_ns() };
        // SAFETY: the entry is this CPU's own.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += bytes as u64;
            (*counter).last = now;
            if (*counter).first == 0 {
                (*counter).first = now;
            }
        }
    }
}
