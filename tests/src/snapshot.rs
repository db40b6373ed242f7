//! What a namespace prints: equal before and after, or something was left behind.

use std::fmt::Write as _;

use crate::netns::Netns;

/// Everything that iproute2 shows of a namespace, without statistics.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(String);

impl Snapshot {
    /// # Panics
    /// When something cannot be listed.
    pub fn of(netns: &Netns) -> Self {
        let mut text = String::new();
        let mut add = |title: &str, output: String| {
            writeln!(text, "# {title}\n{output}").expect("writing to a string");
        };
        for args in [
            "-d link show",
            "addr show",
            "-4 route show table all",
            "-6 route show table all",
            "rule show",
        ] {
            add(args, netns.ip(args));
        }
        add("qdisc show", netns.tc("qdisc show"));
        for device in netns.devices().iter().map(String::as_str).chain(["lo"]) {
            add(device, netns.tc(&format!("class show dev {device}")));
            for hook in ["ingress", "egress", "root"] {
                let args = format!("filter show dev {device} {hook}");
                add(&args, netns.tc(&args));
            }
        }
        Self(text)
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
