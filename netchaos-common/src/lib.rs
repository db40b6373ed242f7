//! What the kernel side and user space of netchaos must agree on.
//!
//! - [`abi`]: what lies in the maps, byte for byte.
//! - [`packet`]: a packet's bytes -> the peer, its port, and whether it may be touched at all.
//! - [`matching`]: peer and maps -> which experiments want the packet.
//!
//! Pure and `no_std`: the eBPF program and a unit test run the very same lines. Everything here
//! that the program calls is `#[inline(always)]`, since a call with more than five arguments, or
//! one that returns a struct, does not exist in BPF.
#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod matching;
pub mod packet;
