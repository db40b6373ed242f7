//! BPF_PROG_TEST_RUN with a `tc_index`, which the kernel takes from nobody (net/bpf/test_run.c,
//! `convert___skb_to_skb`): a program of a few instructions takes it from `cb` and goes on as the
//! program that is meant.

use std::{
    io, mem,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya::programs::SchedClassifier;

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_MAP_TYPE_PROG_ARRAY: u32 = 3;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;

/// Where `struct __sk_buff` (linux/bpf.h) has its fields, and more than its length in any kernel.
const MARK: usize = 8;
const PRIORITY: usize = 32;
const TC_INDEX: usize = 44;
const CB: usize = 48;
const GSO_SEGS: usize = 164;
const GSO_SIZE: usize = 176;
const CONTEXT: usize = 512;

/// Somebody's mark, which stays on every packet.
const FOREIGN_MARK: u32 = 0x5eed_f00d;
/// Bytes that a program may put before a frame.
const GROWTH: usize = 64;

#[repr(C)]
#[derive(Default)]
struct NewMap {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

#[repr(C)]
#[derive(Default)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct NewProgram {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

#[repr(C)]
#[derive(Default)]
struct Test {
    program: u32,
    verdict: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
}

/// One instruction (linux/bpf.h, `struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    /// Destination in the lower half, source in the upper one.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// What a packet has beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields {
    pub tc_index: u16,
    pub priority: u32,
    /// 0 where it is no GSO packet.
    pub gso_segments: u32,
    pub gso_size: u32,
}

/// What a program did with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    pub verdict: i32,
    pub priority: u32,
}

pub struct Trampoline {
    program: OwnedFd,
    // The program array's entry goes with its last descriptor.
    _target: OwnedFd,
}

impl Trampoline {
    pub fn to(target: &SchedClassifier) -> Self {
        let mut map = NewMap {
            kind: BPF_MAP_TYPE_PROG_ARRAY,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
        };
        let map = descriptor(bpf(BPF_MAP_CREATE, &mut map));
        let target = target.fd().expect("it is loaded").as_fd().as_raw_fd() as u32;
        let key = 0_u32;
        let mut element = Element {
            map: map.as_raw_fd() as u32,
            key: &raw const key as u64,
            value: &raw const target as u64,
            ..Element::default()
        };
        bpf(BPF_MAP_UPDATE_ELEM, &mut element).expect("the array has room");
        let instructions = instructions(map.as_raw_fd());
        let license = c"Dual MIT/GPL";
        let mut program = NewProgram {
            kind: BPF_PROG_TYPE_SCHED_CLS,
            count: instructions.len() as u32,
            instructions: instructions.as_ptr() as u64,
            license: license.as_ptr() as u64,
        };
        Self {
            program: descriptor(bpf(BPF_PROG_LOAD, &mut program)),
            _target: map,
        }
    }

    /// Runs the program on a frame, whose bytes it must not change.
    pub fn run(&self, frame: &[u8], fields: Fields) -> Done {
        let (done, after) = self.run_and_show(frame, fields);
        assert_eq!(after, frame, "a packet's bytes were changed");
        done
    }

    /// Runs the program on a frame, and shows what that is then.
    pub fn run_and_show(&self, frame: &[u8], fields: Fields) -> (Done, Vec<u8>) {
        let mut context = [0_u8; CONTEXT];
        for (at, value) in [
            (MARK, FOREIGN_MARK),
            (CB, fields.tc_index.into()),
            (PRIORITY, fields.priority),
            (GSO_SEGS, fields.gso_segments),
            (GSO_SIZE, fields.gso_size),
        ] {
            context[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        let mut context_out = [0_u8; CONTEXT];
        let mut frame_out = vec![0_u8; frame.len() + GROWTH];
        let mut test = Test {
            program: self.program.as_raw_fd() as u32,
            data_size_in: frame.len() as u32,
            data_size_out: frame_out.len() as u32,
            data_in: frame.as_ptr() as u64,
            data_out: frame_out.as_mut_ptr() as u64,
            context_size_in: CONTEXT as u32,
            context_size_out: CONTEXT as u32,
            context_in: context.as_ptr() as u64,
            context_out: context_out.as_mut_ptr() as u64,
            ..Test::default()
        };
        bpf(BPF_PROG_TEST_RUN, &mut test).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
        frame_out.truncate(test.data_size_out as usize);
        let word = |at: usize| {
            let bytes = context_out[at..at + 4].try_into().expect("four bytes");
            u32::from_ne_bytes(bytes)
        };
        assert_eq!(word(MARK), FOREIGN_MARK, "somebody else's mark");
        assert_eq!(word(CB), 0, "what a filter tells the next one");
        let done = Done {
            verdict: test.verdict as i32,
            priority: word(PRIORITY),
        };
        (done, frame_out)
    }
}

/// tc_index = cb[0], cb[0] = 0, then the tail call.
fn instructions(map: i32) -> [Instruction; 10] {
    const LOAD_WORD: u8 = 0x61;
    const STORE_WORD: u8 = 0x63;
    const LOAD_MAP: u8 = 0x18;
    const SET: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const TAIL_CALL: i32 = 12;
    const PSEUDO_MAP_FD: u8 = 1;
    /// No verdict of any program.
    const NO_TARGET: i32 = 99;
    let instruction = |code, target: u8, source: u8, offset: usize, immediate| Instruction {
        code,
        registers: source << 4 | target,
        offset: offset as i16,
        immediate,
    };
    [
        instruction(LOAD_WORD, 2, 1, CB, 0),
        instruction(STORE_WORD, 1, 2, TC_INDEX, 0),
        instruction(SET, 2, 0, 0, 0),
        instruction(STORE_WORD, 1, 2, CB, 0),
        instruction(LOAD_MAP, 2, PSEUDO_MAP_FD, 0, map),
        instruction(0, 0, 0, 0, 0),
        instruction(SET, 3, 0, 0, 0),
        instruction(CALL, 0, 0, 0, TAIL_CALL),
        instruction(SET, 0, 0, 0, NO_TARGET),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

fn descriptor(result: io::Result<i32>) -> OwnedFd {
    let fd = result.expect("root can make maps and programs");
    // SAFETY: the kernel has just given it to us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// bpf(2).
fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes as many bytes as it is told, and all of them are there;
    // where they hold addresses, they are those of buffers as long as they say.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            mem::size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as i32)
}
