//! The classifier with maps that hold what some rules say, run on frames.

use std::{collections::BTreeMap, net::IpAddr};

use aya::{TestRun as _, TestRunOptions, programs::SchedClassifier};
use netchaos::{
    experiment::Experiment,
    kernel::bpf::{Capacity, Classifier, Entry as _},
    plan::{self, Laid},
};
use netchaos_common::abi::{Commit, SLOTS, Steer};
use serde_json::json;

use super::reference::{Rule, Target};

/// include/uapi/linux/pkt_cls.h.
const TC_ACT_UNSPEC: u32 = u32::MAX;
const TC_ACT_REDIRECT: u32 = 7;
/// Loopback: there in every namespace.
const IFINDEX: u32 = 1;
/// A priority that a sender may have set.
const PRIORITY: u32 = 5;
/// Where `struct __sk_buff` has its priority, and more than its length in any kernel.
const PRIORITY_AT: usize = 32;
const CONTEXT: usize = 512;

/// What the program did with a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Untouched,
    /// Sent into the band of this slot.
    Steered(u32),
}

/// The classifier with the maps of some rules, the slot of each being its place in the list.
pub struct Kernel {
    pub classifier: Classifier,
    pub commit: Commit,
}

impl Kernel {
    pub fn new(rules: &[Rule]) -> Self {
        let laid: Vec<Laid> = rules
            .iter()
            .enumerate()
            .map(|(slot, rule)| laid(slot, rule))
            .collect();
        let tables = plan::desired(&laid).tables;
        let capacity = Capacity {
            hosts: 4096,
            prefixes: 4096,
            chunks: 1,
        };
        let classifier = Classifier::load(&capacity).expect("root can load the classifier");
        let commit = Commit {
            live: u64::MAX,
            all: tables.all,
            lookups: tables.lookups(),
            reserved: 0,
        };
        let mut kernel = Self { classifier, commit };
        let maps = &mut kernel.classifier.maps;
        for (key, wants) in &tables.hosts {
            maps.put_host(key, wants).unwrap();
        }
        for (key, wants) in &tables.prefixes {
            maps.put_prefix(key, wants).unwrap();
        }
        for slot in 0..SLOTS as u32 {
            maps.steers.write(slot, steer(slot, 0)).unwrap();
        }
        kernel.set_live(u64::MAX);
        kernel
    }

    pub fn set_live(&mut self, live: u64) {
        let commit = Commit {
            live,
            ..self.commit
        };
        self.classifier.maps.commits.write(0, commit).unwrap();
    }

    pub fn run(&mut self, frame: &[u8]) -> Outcome {
        let program = self.classifier.programs.egress();
        run(program.expect("it is loaded"), frame)
    }

    /// Every slot that wants the frame, found by asking for each alone.
    pub fn wanting(&mut self, rules: usize, frames: &[Vec<u8>]) -> Vec<Vec<usize>> {
        let mut wanting = vec![Vec::new(); frames.len()];
        for slot in 0..rules {
            self.set_live(1 << slot);
            for (frame, wanting) in frames.iter().zip(&mut wanting) {
                match self.run(frame) {
                    Outcome::Untouched => {}
                    Outcome::Steered(by) if by as usize == slot => wanting.push(slot),
                    Outcome::Steered(by) => panic!("{by} is not live: {frame:02x?}"),
                }
            }
        }
        wanting
    }
}

const fn class(slot: u32) -> u32 {
    0x4e43_0100 + slot
}

pub const fn steer(slot: u32, ends: u64) -> Steer {
    Steer {
        ends,
        classid: class(slot),
        ifindex: IFINDEX,
    }
}

fn run(program: &SchedClassifier, frame: &[u8]) -> Outcome {
    let mut context = [0; CONTEXT];
    context[PRIORITY_AT..PRIORITY_AT + 4].copy_from_slice(&PRIORITY.to_ne_bytes());
    let mut context_out = [0; CONTEXT];
    let mut frame_out = vec![0; frame.len()];
    let result = program.test_run(TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut frame_out),
        ctx_in: Some(&context),
        ctx_out: Some(&mut context_out),
        ..TestRunOptions::new()
    });
    let result = result.unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
    assert_eq!(frame_out, frame, "a packet's bytes were changed");
    assert_eq!(result.data_size_out as usize, frame.len());
    let priority = context_out[PRIORITY_AT..PRIORITY_AT + 4].try_into();
    let priority = u32::from_ne_bytes(priority.expect("four bytes"));
    match result.return_value {
        TC_ACT_UNSPEC => {
            assert_eq!(priority, PRIORITY, "the priority of an untouched packet");
            Outcome::Untouched
        }
        TC_ACT_REDIRECT => Outcome::Steered(priority - class(0)),
        other => panic!("verdict {other} for {frame:02x?}"),
    }
}

fn laid(slot: usize, rule: &Rule) -> Laid {
    let text = |targets: &[Target]| -> Vec<String> {
        let text = |target: &Target| match (target.port, target.address) {
            (None, address) => format!("{address}/{}", target.length),
            (Some(port), IpAddr::V4(address)) => format!("{address}/{}:{port}", target.length),
            (Some(port), IpAddr::V6(address)) => format!("[{address}/{}]:{port}", target.length),
        };
        targets.iter().map(text).collect()
    };
    let mut experiment = json!({
        "apiVersion": "netchaos/v1",
        "kind": "Experiment",
        "name": format!("e{slot}"),
        "fault": { "delay": { "latency": "1ms" } },
        "except": text(&rule.except),
    });
    match &rule.to {
        Some(targets) => experiment["to"] = json!(text(targets)),
        None => experiment["allTraffic"] = json!(true),
    }
    let experiment: Experiment = serde_json::from_value(experiment).expect("a sound experiment");
    Laid {
        slot: slot as u8,
        going: false,
        created: 0,
        pair: 0,
        band: 2,
        ends: None,
        experiment,
        addresses: BTreeMap::new(),
    }
}
