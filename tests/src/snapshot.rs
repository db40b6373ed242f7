//! What a namespace prints: equal before and after, or something was left behind.

use std::{thread, time::Duration};

use aya::programs::{ProgramError, SchedClassifier, TcAttachType};

use crate::netns::Netns;

/// Everything that iproute2 shows of a namespace, without statistics, and the programs at tcx,
/// which it does not know of.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(String);

impl Snapshot {
    /// # Panics
    /// When something cannot be listed.
    pub fn of(netns: &Netns) -> Self {
        let ip = [
            "link show",
            "addr show",
            // Both families, with all tables.
            "route show table all",
            "rule show",
        ];
        let mut tc = vec!["qdisc show".to_owned()];
        for device in netns.devices().iter().map(String::as_str).chain(["lo"]) {
            tc.push(format!("class show dev {device}"));
            for hook in ["ingress", "egress", "root"] {
                tc.push(format!("filter show dev {device} {hook}"));
            }
        }
        let text = [
            netns.ip_batch("-d", &ip.map(str::to_owned)),
            netns.tc_batch(&tc),
            tcx_programs(netns),
        ];
        // The kernel finds out later, on a busy processor much later, that a device which came up is up.
        Self(text.concat().replace(" state UNKNOWN ", " state UP "))
    }

    /// As [`Self::of`], once nothing changes any more: the kernel tells the state of a device that
    /// came up within a second (net/core/link_watch.c).
    ///
    /// # Panics
    /// When something cannot be listed, or goes on changing.
    pub fn at_rest(netns: &Netns) -> Self {
        for _ in 0..10 {
            let before = Self::of(netns);
            thread::sleep(Duration::from_millis(1200));
            if Self::of(netns) == before {
                return before;
            }
        }
        panic!("{} goes on changing", netns.name());
    }

    /// # Panics
    /// When `self` is not what `before` was, with the lines that came and went.
    #[track_caller]
    pub fn assert_same_as(&self, before: &Self) {
        let lines = |text: &str, other: &str, sign: char| -> String {
            let other: Vec<&str> = other.lines().collect();
            text.lines()
                .filter(|line| !other.contains(line))
                .map(|line| format!("{sign} {line}\n"))
                .collect()
        };
        assert!(
            self == before,
            "the namespace has changed:\n{}{}\nnow it prints:\n{}",
            lines(&before.0, &self.0, '-'),
            lines(&self.0, &before.0, '+'),
            self.0
        );
    }
}

/// A line for each program at tcx (Linux 6.6) of a namespace's devices.
fn tcx_programs(netns: &Netns) -> String {
    let hooks = [
        ("ingress", TcAttachType::Ingress),
        ("egress", TcAttachType::Egress),
    ];
    let mut text = String::new();
    for device in netns.devices() {
        for (hook, kind) in hooks {
            let programs = match netns.run(|| SchedClassifier::query_tcx(&device, kind)) {
                Ok((_, programs)) => programs,
                // What an older kernel says to an attach type that it does not know.
                Err(ProgramError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(libc::EINVAL) =>
                {
                    continue;
                }
                Err(error) => panic!("tcx {hook} of {device}: {error}"),
            };
            for program in programs {
                let name = program.name_as_str().unwrap_or_default();
                text += &format!("tcx {hook} of {device}: {name}\n");
            }
        }
    }
    text
}
