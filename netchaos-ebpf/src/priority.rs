//! The original `skb->priority` through the laps: a code in the mark says what it was.

use netchaos_common::abi::{FIRST_LEARNT_PRIORITY, PRIORITY_OF_SOCKET};

use crate::{maps::PRIORITIES, skb::Skb};

/// Codes tried for one priority before its socket has to be asked instead.
const TRIES: u32 = 8;
/// bpf(2): insert only where there is none.
const BPF_NOEXIST: u64 = 1;

/// The code of a priority. Small ones are their own code; others (a class of the device's own
/// htb, say) are learnt.
#[inline(always)]
pub fn encode(priority: u32) -> u32 {
    if priority < FIRST_LEARNT_PRIORITY {
        return priority;
    }
    let codes = PRIORITY_OF_SOCKET - FIRST_LEARNT_PRIORITY;
    // Fibonacci hashing, so that neighbouring classes get codes of their own.
    let start = priority.wrapping_mul(0x9e37_79b1) >> 8;
    for step in 0..TRIES {
        let code = FIRST_LEARNT_PRIORITY + (start + step) % codes;
        // Whoever comes first owns the code; on both CPUs the look-up then tells who that was.
        let _ = PRIORITIES.insert(code, priority, BPF_NOEXIST);
        // SAFETY: entries are never changed or deleted.
        if let Some(owner) = unsafe { PRIORITIES.get(code) }
            && *owner == priority
        {
            return code;
        }
    }
    PRIORITY_OF_SOCKET
}

/// What the priority was when `code` was given.
#[inline(always)]
pub fn decode(skb: &Skb<'_>, code: u32) -> u32 {
    if code < FIRST_LEARNT_PRIORITY {
        return code;
    }
    if code == PRIORITY_OF_SOCKET {
        return skb.priority_of_socket().unwrap_or(0);
    }
    // SAFETY: entries are never changed or deleted.
    unsafe { PRIORITIES.get(code) }.copied().unwrap_or(0)
}
