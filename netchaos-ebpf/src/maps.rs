//! The maps. Their contents are `netchaos_common::abi`; user space finds them by these names.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LpmTrie, PerCpuArray, lpm_trie::Key},
};
use netchaos_common::{
    abi::{
        Chunk, Commit, Counter, Device, HostKey, Meta, PREFIX_BITS_BEFORE_ADDRESS,
        PRIORITY_OF_SOCKET, Past, PrefixKey, SLOTS, State, Steer, TextKey, Wants,
    },
    matching::Tables,
};

/// Which of `COMMITS` counts: the one word that switches from the old state to the new one.
#[map]
pub static CURRENT: Array<u32> = Array::with_max_entries(1, 0);
#[map]
pub static COMMITS: Array<Commit> = Array::with_max_entries(2, 0);
/// Single addresses, each holding what it wants itself. User space sizes it.
#[map]
static HOSTS: HashMap<HostKey, Wants> = HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);
/// Prefixes, each holding also what the prefixes around it want. User space sizes it.
#[map]
static PREFIXES: LpmTrie<PrefixKey, Wants> = LpmTrie::with_max_entries(1, 0);
/// Slots that want a port at the peer, a bit each. User space sizes both: an entry for every port,
/// or one that nobody reads.
#[map]
static REMOTE_PORTS: Array<u64> = Array::with_max_entries(1, 0);
/// The same for the port at the place.
#[map]
static LOCAL_PORTS: Array<u64> = Array::with_max_entries(1, 0);
/// Slots that want a protocol of IP.
#[map]
static PROTOCOLS: Array<u64> = Array::with_max_entries(256, 0);
/// A half for each of the two commits.
#[map]
pub static STEERS: Array<Steer> = Array::with_max_entries(2 * SLOTS as u32, 0);
#[map]
pub static DEVICE: Array<Device> = Array::with_max_entries(1, 0);
#[map]
pub static COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(2 * SLOTS as u32, 0);
/// State of each chain of losses, indexed as `COUNTERS`: 0 good, 1 bad.
#[map]
pub static LOSS_STATES: PerCpuArray<u32> = PerCpuArray::with_max_entries(2 * SLOTS as u32, 0);
/// Large priorities met so far: code in `skb->tc_index` -> priority.
#[map]
pub static PRIORITIES: HashMap<u32, u32> = HashMap::with_max_entries(PRIORITY_OF_SOCKET, 0);

// The programs never read these four. They hang on each of them so that user space finds the
// experiments again from any program that is left.
#[map]
pub static META: Array<Meta> = Array::with_max_entries(1, 0);
#[map]
pub static STATES: Array<State> = Array::with_max_entries(SLOTS as u32, 0);
#[map]
pub static TEXTS: HashMap<TextKey, Chunk> = HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);

#[map]
pub static PAST: Array<Past> = Array::with_max_entries(2 * SLOTS as u32, 0);

pub struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn host(&self, key: &HostKey) -> Option<&Wants> {
        // SAFETY: the map is not preallocated, so an entry stays what it is until all programs
        // that saw it have ended.
        unsafe { HOSTS.get(key) }
    }

    #[inline(always)]
    fn prefix(&self, key: &PrefixKey) -> Option<&Wants> {
        PREFIXES.get(Key::new(PREFIX_BITS_BEFORE_ADDRESS + 128, *key))
    }

    #[inline(always)]
    fn remote_port(&self, port: u16) -> u64 {
        REMOTE_PORTS.get(port.into()).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn local_port(&self, port: u16) -> u64 {
        LOCAL_PORTS.get(port.into()).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn protocol(&self, number: u8) -> u64 {
        PROTOCOLS.get(number.into()).copied().unwrap_or(0)
    }
}

/// Ties the maps that only user space reads to the calling program: a program holds the maps that
/// its code mentions. Called where no packet that matters comes along.
#[inline(always)]
pub fn hold_state() {
    let text = TextKey { text: 0, chunk: 0 };
    META.get(0);
    STATES.get(0);
    TEXTS.get_ptr(text);
    PAST.get(0);
}
