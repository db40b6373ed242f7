//! One log line per steered packet, for `netchaos show NAME --follow`.
//!
//! It tells of laps through an experiment's band: what the program drops, or only counts, never
//! comes here.
//!
//! It sits on clsact egress of ncA, in front of the prio, only while somebody follows. So a fault
//! that nobody follows has no logging in its way at all, not even a test whether it is on.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, macros::classifier, programs::TcContext};
use aya_log_ebpf::debug;
use netchaos_common::packet::{self, Start, Way};

use crate::skb::Skb;

#[classifier]
pub fn netchaos_follow(ctx: TcContext) -> i32 {
    let skb = Skb(&ctx);
    let mark = skb.mark();
    if mark.is_ours() && !mark.is_segmenting() {
        let way = if mark.is_ingress() { Way::In } else { Way::Out };
        if let Some(packet) = packet::parse(&skb, Start::Ethernet, way) {
            // 0 where there is none.
            let port = packet.port;
            let ingress = mark.is_ingress() as u32;
            if packet.family == netchaos_common::abi::IPV4 {
                let [a, b, c, d, ..] = packet.peer;
                let peer = u32::from_be_bytes([a, b, c, d]);
                debug!(
                    &ctx,
                    "{} {} {:i} {} {}",
                    mark.slot(),
                    ingress,
                    peer,
                    port,
                    skb.length()
                );
            } else {
                debug!(
                    &ctx,
                    "{} {} {:i} {} {}",
                    mark.slot(),
                    ingress,
                    packet.peer,
                    port,
                    skb.length()
                );
            }
        }
    }
    TC_ACT_UNSPEC
}
