//! What a namespace prints: equal before and after, or something was left behind.

use crate::netns::Netns;

/// Everything that iproute2 shows of a namespace, without statistics.
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
        let text = netns.ip_batch("-d", &ip.map(str::to_owned)) + &netns.tc_batch(&tc);
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
