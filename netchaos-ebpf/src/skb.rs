//! The fields of a packet's metadata that netchaos reads and writes.

use aya_ebpf::{
    EbpfContext as _, bindings::__sk_buff, helpers::bpf_sk_fullsock, programs::TcContext,
};
use netchaos_common::{abi::Mark, packet::Bytes};

pub struct Skb<'a>(pub &'a TcContext);

impl Skb<'_> {
    #[inline(always)]
    pub fn raw(&self) -> *mut __sk_buff {
        self.0.as_ptr().cast()
    }

    #[inline(always)]
    pub fn mark(&self) -> Mark {
        // SAFETY: the context is valid for the run of the program; the verifier checks the access.
        Mark(unsafe { (*self.raw()).tc_index } as u16)
    }

    #[inline(always)]
    pub fn set_mark(&self, mark: Mark) {
        // SAFETY: as in `mark`.
        unsafe { (*self.raw()).tc_index = mark.0 as u32 }
    }

    #[inline(always)]
    pub fn priority(&self) -> u32 {
        // SAFETY: as in `mark`.
        unsafe { (*self.raw()).priority }
    }

    #[inline(always)]
    pub fn set_priority(&self, priority: u32) {
        // SAFETY: as in `mark`.
        unsafe { (*self.raw()).priority = priority }
    }

    /// EtherType, network order.
    #[inline(always)]
    pub fn protocol(&self) -> u16 {
        // SAFETY: as in `mark`.
        unsafe { (*self.raw()).protocol as u16 }
    }

    #[inline(always)]
    pub fn length(&self) -> u32 {
        self.0.len()
    }

    /// Packets that it is on the wire.
    #[inline(always)]
    pub fn segments(&self) -> u32 {
        // SAFETY: as in `mark`.
        let (segments, size) = unsafe { ((*self.raw()).gso_segs, (*self.raw()).gso_size) };
        if size == 0 {
            return 1;
        }
        if segments != 0 {
            return segments;
        }
        // From a guest or a packet socket, which leave the count to the kernel.
        self.length().div_ceil(size)
    }

    /// SO_PRIORITY of the socket that sent the packet; none where it is no longer known.
    #[inline(always)]
    pub fn priority_of_socket(&self) -> Option<u32> {
        // SAFETY: as in `mark`; both pointers are tested as the verifier demands.
        unsafe {
            let sk = (*self.raw()).__bindgen_anon_2.sk;
            if sk.is_null() {
                return None;
            }
            let full = bpf_sk_fullsock(sk);
            if full.is_null() {
                return None;
            }
            Some((*full).priority)
        }
    }
}

impl Bytes for Skb<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.load(offset).ok()
    }
}
