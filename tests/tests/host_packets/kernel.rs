//! The classifier with maps that hold what some rules say, run on frames lap by lap.

use netchaos::{
    kernel::bpf::{Capacity, Classifier, Entry as _},
    plan::{Laid, Tables},
};
use netchaos_common::abi::{Commit, Device, Lane, Loss, Mark, SLOTS, Steer};
use netchaos_tests::packets::laid::{commit, laid};

use super::{
    reference::{self, Hits, Rule, Stop, Way},
    trampoline::{Done, Fields, Trampoline},
};

/// include/uapi/linux/pkt_cls.h.
const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_SHOT: i32 = 2;
const TC_ACT_REDIRECT: i32 = 7;
/// Loopback: there in every namespace.
const IFINDEX: u32 = 1;
/// A priority that a sender may have set, which is its own code in the mark.
pub const PRIORITY: u32 = 5;

/// The programs of a classifier.
pub struct Programs {
    egress: Trampoline,
    ingress: Trampoline,
    back: Trampoline,
}

/// The classifier with the maps of some rules, the slot of each being its place in the list.
pub struct Kernel {
    pub classifier: Classifier,
    pub commit: Commit,
    programs: Programs,
    slots: usize,
}

impl Kernel {
    pub fn new(rules: &[Rule]) -> Self {
        let laid: Vec<Laid> = rules
            .iter()
            .enumerate()
            .map(|(slot, rule)| laid(slot, rule))
            .collect();
        let tables = Tables::of(laid.iter());
        let capacity = Capacity {
            hosts: 4096,
            prefixes: 4096,
            chunks: 1,
            ports: tables.need_ports(),
        };
        let mut classifier = Classifier::load(&capacity).expect("root can load the classifier");
        let programs = Programs::of(&mut classifier);
        let mut kernel = Self {
            classifier,
            commit: commit(rules, &tables),
            programs,
            slots: rules.len(),
        };
        kernel.fill(&tables);
        for (slot, rule) in rules.iter().enumerate() {
            kernel.set_steer(slot, steer(slot, rule.fault));
        }
        kernel.put_in_force(0, kernel.commit);
        kernel
    }

    fn fill(&mut self, tables: &Tables) {
        let maps = &mut self.classifier.maps;
        for (key, wants) in &tables.hosts {
            maps.put_host(key, wants).unwrap();
        }
        for (key, wants) in &tables.prefixes {
            maps.put_prefix(key, wants).unwrap();
        }
        for (port, slots) in &tables.remote {
            maps.put_remote_port(*port, *slots).unwrap();
        }
        for (port, slots) in &tables.local {
            maps.put_local_port(*port, *slots).unwrap();
        }
        for (number, slots) in &tables.protocols {
            maps.put_protocol(*number, *slots).unwrap();
        }
    }

    /// Of the first of the two commits.
    pub fn set_steer(&mut self, slot: usize, steer: Steer) {
        let maps = &mut self.classifier.maps;
        maps.steers.write(slot as u32, steer).unwrap();
    }

    pub fn put_in_force(&mut self, number: u32, commit: Commit) {
        let maps = &mut self.classifier.maps;
        maps.commits.write(number, commit).unwrap();
        maps.current.write(0, number).unwrap();
    }

    /// As [`Programs::walk`].
    pub fn walk(&self, frame: &[u8], way: Way, gso_segments: u32) -> Vec<Stop> {
        self.programs.walk(frame, way, gso_segments)
    }

    /// As [`Programs::run_at_device`].
    pub fn run_at_device(&self, frame: &[u8], way: Way, tc_index: u16, priority: u32) -> Done {
        let programs = &self.programs;
        programs.run_at_device(frame, way, tc_index, priority)
    }

    /// A packet with this mark as the program behind a lap sees it.
    pub fn run_back(&self, frame: &[u8], tc_index: u16, priority: u32) -> Done {
        let fields = Fields {
            tc_index,
            priority,
            ..Fields::default()
        };
        self.programs.back.run(frame, fields)
    }

    /// From now on packets start with the IP header.
    pub fn take_off_ethernet(&mut self) {
        let device = Device {
            ifindex: IFINDEX,
            layer3: 1,
        };
        self.classifier.maps.device.write(0, device).unwrap();
    }

    /// Where a packet goes first, and its bytes then.
    pub fn first_stop(&self, packet: &[u8], way: Way) -> (Stop, Vec<u8>) {
        let at_device = self.programs.at_device(way);
        let fields = Fields {
            priority: PRIORITY,
            ..Fields::default()
        };
        let (done, after) = at_device.run_and_show(packet, fields);
        let stop = match done.verdict {
            TC_ACT_UNSPEC => {
                assert_eq!(done.priority, PRIORITY, "of an untouched packet");
                Stop::Passes
            }
            _ => lap(done).unwrap_or_else(|| end(done, way, true)),
        };
        (stop, after)
    }

    /// What each slot has hit.
    pub fn hits(&self, way: Way) -> Vec<Hits> {
        let hits = |slot| {
            let counter = self.classifier.maps.counter(slot as u32, way == Way::In);
            let counter = counter.unwrap();
            Hits {
                packets: counter.packets,
                bytes: counter.bytes,
                segments: counter.segments,
                dropped: counter.dropped,
            }
        };
        (0..self.slots).map(hits).collect()
    }
}

impl Programs {
    pub fn of(classifier: &mut Classifier) -> Self {
        let programs = &mut classifier.programs;
        Self {
            egress: Trampoline::to(programs.egress().expect("it is loaded")),
            ingress: Trampoline::to(programs.ingress().expect("it is loaded")),
            back: Trampoline::to(programs.back().expect("it is loaded")),
        }
    }

    /// The way of a frame through the programs, from its device to its end.
    pub fn walk(&self, frame: &[u8], way: Way, gso_segments: u32) -> Vec<Stop> {
        let mut gso = gso_segments;
        let fields = Fields {
            tc_index: 0,
            priority: PRIORITY,
            gso_segments: gso,
            gso_size: gso.min(1) * 1448,
        };
        let mut done = self.at_device(way).run(frame, fields);
        if done.verdict == TC_ACT_UNSPEC {
            assert_eq!(done.priority, PRIORITY, "of an untouched packet");
            return vec![Stop::Passes];
        }
        let mut stops = Vec::new();
        loop {
            let Some(stop) = lap(done) else {
                stops.push(end(done, way, stops.is_empty()));
                return stops;
            };
            let (slot, is_cut) = match stop {
                Stop::Cut(slot) => (slot, true),
                Stop::Lap(slot) => (slot, false),
                Stop::Dropped | Stop::Passes => unreachable!("these are no laps"),
            };
            stops.push(stop);
            assert!(
                stops.len() <= 2 * SLOTS,
                "a packet that never ends: {stops:?}"
            );
            let mut mark = Mark::new(way == Way::In, slot as u32, PRIORITY);
            if is_cut {
                mark = mark.segmenting();
                gso = 0;
            }
            done = self.back.run(
                frame,
                Fields {
                    tc_index: mark.0,
                    priority: done.priority,
                    gso_segments: gso,
                    gso_size: gso.min(1) * 1448,
                },
            );
        }
    }

    /// A packet with this mark as the device's program at `way` sees it.
    pub fn run_at_device(&self, frame: &[u8], way: Way, tc_index: u16, priority: u32) -> Done {
        let fields = Fields {
            tc_index,
            priority,
            ..Fields::default()
        };
        self.at_device(way).run(frame, fields)
    }

    const fn at_device(&self, way: Way) -> &Trampoline {
        match way {
            Way::Out => &self.egress,
            Way::In => &self.ingress,
        }
    }
}

/// The lap that a packet is sent on.
fn lap(done: Done) -> Option<Stop> {
    if done.verdict != TC_ACT_REDIRECT {
        return None;
    }
    (0..SLOTS).find_map(|slot| match done.priority {
        priority if priority == class(slot) => Some(Stop::Lap(slot)),
        // Every slot has a pair of its own here, so that its clean class says which one it is.
        priority if priority == class(slot) & 0xffff_0000 | 1 => Some(Stop::Cut(slot)),
        _ => None,
    })
}

/// What becomes of a packet that is sent on no lap any more.
fn end(done: Done, way: Way, at_device: bool) -> Stop {
    match (done.verdict, way, at_device) {
        // To ncB, which drops what has no mark.
        (TC_ACT_REDIRECT, Way::Out, true) => {
            assert_eq!(done.priority, PRIORITY, "of a packet that is dropped");
            Stop::Dropped
        }
        (TC_ACT_SHOT, Way::In, true) | (TC_ACT_SHOT, _, false) => Stop::Dropped,
        (TC_ACT_REDIRECT, _, false) => {
            assert_eq!(done.priority, PRIORITY, "of a packet that goes home");
            Stop::Passes
        }
        other => panic!("verdict and way {other:?}, {done:?}"),
    }
}

const fn class(slot: usize) -> u32 {
    (0x4e43 + slot as u32) << 16 | 2
}

pub fn steer(slot: usize, fault: reference::Fault) -> Steer {
    let mut flags = 0;
    if fault.has_band {
        flags |= Steer::BAND;
    }
    if fault.cuts {
        flags |= Steer::SEGMENT;
    }
    let lane = Lane {
        classid: class(slot),
        upper: IFINDEX,
    };
    Steer {
        ends: 0,
        out: lane,
        into: lane,
        lower: IFINDEX,
        flags,
        loss: Loss {
            good: if fault.loses { u32::MAX } else { 0 },
            ..Loss::default()
        },
    }
}
