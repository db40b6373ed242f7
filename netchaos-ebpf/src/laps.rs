//! The entry points, and the laps: device -> ncA (prio, netem) -> ncB egress -> next lap, or back to
//! the device.

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::{bpf_redirect, bpf_skb_change_head},
    macros::classifier,
    programs::TcContext,
};
use netchaos_common::{abi::Mark, packet::Way};
use network_types::eth::EthHdr;

use crate::{
    maps::{self, DEVICE},
    priority,
    skb::Skb,
    turn::{self, CUT, DROP, Next, Round},
};

const UNTOUCHED: i32 = TC_ACT_UNSPEC;

/// Egress of the device that the faults are on, at tcx or clsact.
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
        maps::hold_state();
        return UNTOUCHED;
    }
    depart(&skb, Way::Out).unwrap_or(UNTOUCHED)
}

/// Ingress of the device.
#[classifier]
pub fn netchaos_in(ctx: TcContext) -> i32 {
    let skb = Skb(&ctx);
    let mark = skb.mark();
    if mark.is_ours() {
        skb.set_mark(Mark(0));
        // A redirect to ingress takes it away (include/linux/netdevice.h, `____dev_forward_skb`).
        skb.set_priority(priority::decode(&skb, mark.priority_code()));
        return UNTOUCHED;
    }
    if mark.0 != 0 {
        maps::hold_state();
        return UNTOUCHED;
    }
    depart(&skb, Way::In).unwrap_or(UNTOUCHED)
}

/// Egress of ncB: the packet has done a lap.
#[classifier]
pub fn netchaos_back(ctx: TcContext) -> i32 {
    let skb = Skb(&ctx);
    let mark = skb.mark();
    if !mark.is_ours() {
        // What is dropped at the device, and the pair's own packets (IPv6 chatter), which are
        // nobody's.
        maps::hold_state();
        return TC_ACT_SHOT;
    }
    turn::count_back(mark);
    match turn::next(&skb, &Round::after(mark)) {
        // The senders' calls have ended, or see nothing: a redirect is a success, whatever comes
        // behind it (net/core/dev.c, `sch_handle_egress`), and so is a drop to a macvlan's queue
        // (include/linux/netdevice.h, `dev_xmit_complete`).
        Some(Next { turn: DROP, .. }) => TC_ACT_SHOT,
        Some(next) => {
            let mark = Mark::new(mark.is_ingress(), next.slot, mark.priority_code());
            lap(&skb, mark, &next)
        }
        None => home(&skb, mark),
    }
}

/// Steers the packet into its first lap, or drops it; none where no experiment wants it.
#[inline(always)]
fn depart(skb: &Skb<'_>, way: Way) -> Option<i32> {
    let device = DEVICE.get(0)?;
    let network = match device.layer3 {
        0 => 0,
        _ => skb.protocol().into(),
    };
    let next = turn::next(skb, &Round::first(way, network))?;
    if next.turn == DROP {
        return Some(match way {
            Way::In => TC_ACT_SHOT,
            // The local sender would see TC_ACT_SHOT, and tcx takes TC_ACT_STOLEN for "go on"
            // (include/net/tcx.h, `tcx_action_code`). ncB drops what has no mark.
            Way::Out => redirect(next.steer.lower, 0),
        });
    }
    if device.layer3 != 0 && !put_on_ethernet(skb) {
        return None;
    }
    let ingress = matches!(way, Way::In);
    let mark = Mark::new(ingress, next.slot, priority::encode(skb.priority()));
    Some(lap(skb, mark, &next))
}

/// One lap through the band of the slot, or through the clean one that cuts the packet.
#[inline(always)]
fn lap(skb: &Skb<'_>, mark: Mark, next: &Next) -> i32 {
    let lane = next.steer.lane(mark.is_ingress());
    if next.turn == CUT {
        skb.set_mark(mark.segmenting());
        skb.set_priority(lane.clean());
    } else {
        skb.set_mark(mark);
        skb.set_priority(lane.classid);
    }
    redirect(lane.upper, 0)
}

/// Back to the device, which lets a packet with our mark pass.
#[inline(always)]
fn home(skb: &Skb<'_>, mark: Mark) -> i32 {
    let Some(device) = DEVICE.get(0) else {
        return TC_ACT_SHOT;
    };
    skb.set_priority(priority::decode(skb, mark.priority_code()));
    let flags = if mark.is_ingress() { BPF_F_INGRESS } else { 0 };
    redirect(device.ifindex, flags)
}

#[inline(always)]
fn redirect(ifindex: u32, flags: u32) -> i32 {
    // SAFETY: plain numbers.
    unsafe { bpf_redirect(ifindex, flags.into()) as i32 }
}

/// Gives a packet without link-layer header an Ethernet one, which ncA needs. The kernel takes it
/// off again on the way back to such a device (net/core/filter.c, `__bpf_redirect_no_mac`).
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
