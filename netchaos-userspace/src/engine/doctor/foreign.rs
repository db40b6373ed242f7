//! What other tools that harm networks leave behind, by the shape in which they make it.
//!
//! Pure: plain data in, words out. What only looks like one of them, since anybody's hand can have
//! made it so, is told as that. Nothing here is ever taken away by netchaos.

use crate::qdisc::{ClassId, Prio};

/// A qdisc of a device, as far as it tells whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: String,
    pub(super) handle: ClassId,
    pub(super) parent: ClassId,
    pub(super) prio: Option<Prio>,
}

/// Who has made something, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) owner: &'static str,
    /// Nobody else makes it so.
    pub(super) is_certain: bool,
    pub(super) what: String,
}

pub(super) const CHAOS_MESH: &str = "Chaos Mesh";
const PUMBA: &str = "Pumba";
const TCCONFIG: &str = "tcconfig";
const CHAOSBLADE: &str = "ChaosBlade";
const LITMUS: &str = "Litmus";
/// A netem in a shape that any of them, or a hand, can have made.
const PLAIN: &str = "Pumba, Litmus or ChaosBlade";
const UNKNOWN: &str = "somebody unknown";

/// What tc(8) gives to a prio that nobody gives another one.
const DEFAULT_PRIOMAP: [u8; 16] = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];
/// Handles from here on are the kernel's choice, for who asked for none (`qdisc_alloc_handle()`,
/// net/sched/sch_api.c).
const CHOSEN_BY_KERNEL: u16 = 0x8000;

impl Node {
    const fn major(&self) -> u16 {
        (self.handle.0 >> 16) as u16
    }

    fn is(&self, kind: &str, major: u16) -> bool {
        self.kind == kind && self.major() == major
    }

    /// A prio that is as tc(8) makes it, and so many bands.
    fn has_bands(&self, bands: u32) -> bool {
        let prio = self.prio.as_ref();
        prio.is_some_and(|prio| prio.bands == bands && prio.priomap == DEFAULT_PRIOMAP)
    }

    fn is_shaper(&self) -> bool {
        matches!(self.kind.as_str(), "netem" | "tbf")
    }
}

/// The qdiscs of one device.
struct Tree<'a>(&'a [Node]);

impl<'a> Tree<'a> {
    /// What was put there: what the kernel puts into a class by itself has no handle.
    fn at(&self, parent: ClassId) -> Option<&'a Node> {
        let mut all = self.0.iter();
        all.find(|node| node.parent == parent && node.handle.0 != 0)
    }

    fn holds(&self, parent: ClassId, kind: &str, major: u16) -> bool {
        self.at(parent).is_some_and(|node| node.is(kind, major))
    }

    fn kind_at(&self, parent: ClassId, kind: &str) -> bool {
        self.at(parent).is_some_and(|node| node.kind == kind)
    }
}

/// Whose the qdiscs of a device are; none where nothing of them harms a network.
pub(super) fn of_qdiscs(nodes: &[Node]) -> Option<Finding> {
    let tree = Tree(nodes);
    let root = tree.at(ClassId::ROOT);
    let known = root.and_then(|root| {
        chaos_mesh(&tree)
            .or_else(|| pumba(&tree, root))
            .or_else(|| chaosblade(&tree, root))
            .or_else(|| tcconfig(&tree, root))
            .or_else(|| litmus(&tree, root))
            .or_else(|| plain(root))
    });
    known.or_else(|| {
        let netem = nodes.iter().find(|node| node.kind == "netem")?;
        Some(Finding {
            owner: UNKNOWN,
            is_certain: false,
            what: format!("netem {} at {}", netem.handle, netem.parent),
        })
    })
}

/// Faults for all packets are a chain from the root on, `1:`, `2:` and so on; below it (or at the
/// root) comes a prio with three sfq and a band for each set of targets
/// (`setGlobalTcs`, `setFilterTcs` in its pkg/chaosdaemon/tc_server.go).
fn chaos_mesh(tree: &Tree<'_>) -> Option<Finding> {
    let mut parent = ClassId::ROOT;
    let mut chain = 0;
    let is_next =
        |node: &&Node, chain: u16| node.is_shaper() && node.handle == ClassId::new(chain + 1, 0);
    while tree.at(parent).is_some_and(|node| is_next(&node, chain)) {
        chain += 1;
        parent = ClassId::new(chain, 0);
    }
    let major = chain + 1;
    let is_prio = |node: &&Node| {
        let bands = node.prio.as_ref().map_or(0, |prio| prio.bands);
        node.is("prio", major) && bands > 3 && node.has_bands(bands)
    };
    let has_queues = || {
        let queue = |band| tree.holds(ClassId::new(major, band), "sfq", major + band);
        (1..=3).all(queue)
    };
    if tree.at(parent).as_ref().is_some_and(is_prio) && has_queues() {
        return Some(Finding {
            owner: CHAOS_MESH,
            is_certain: true,
            what: format!(
                "a prio {major:x}: with three sfq and the faults of its targets behind them"
            ),
        });
    }
    (chain > 0).then(|| Finding {
        owner: CHAOS_MESH,
        is_certain: false,
        what: format!("{chain} of netem and tbf from the root 1: on, for all packets"),
    })
}

/// pkg/runtime/docker/netem.go: `sfq 10:`, `sfq 20:`, `netem 30:` in a prio of three bands.
fn pumba(tree: &Tree<'_>, root: &Node) -> Option<Finding> {
    let is_it = root.is("prio", 1)
        && root.has_bands(3)
        && tree.holds(ClassId::new(1, 1), "sfq", 0x10)
        && tree.holds(ClassId::new(1, 2), "sfq", 0x20)
        && tree.holds(ClassId::new(1, 3), "netem", 0x30);
    is_it.then(|| Finding {
        owner: PUMBA,
        is_certain: true,
        what: "a prio 1: with sfq 10: and 20:, and netem 30: for its targets".into(),
    })
}

/// exec/network/tc/network_tc.go: a prio of four bands; the fault is `40:` in the fourth, or in the
/// other three where the fourth is what is spared.
fn chaosblade(tree: &Tree<'_>, root: &Node) -> Option<Finding> {
    let targets = || tree.holds(ClassId::new(1, 4), "netem", 0x40);
    let all_but = || {
        tree.holds(ClassId::new(1, 4), "prio", 0x40)
            && (1..=3).all(|band| tree.kind_at(ClassId::new(1, band), "netem"))
    };
    let is_it = root.is("prio", 1) && root.has_bands(4) && (targets() || all_but());
    is_it.then(|| Finding {
        owner: CHAOSBLADE,
        is_certain: true,
        what: "a prio 1: of four bands with netem and 40: in them".into(),
    })
}

/// tcconfig/shaper/htb.py: the root is `1` and three digits of the device's hash, netem comes 0x80
/// after it, and more of them after that one.
fn tcconfig(tree: &Tree<'_>, root: &Node) -> Option<Finding> {
    const MOST_RULES: u16 = 0x100;
    let major = root.major();
    if root.kind != "htb" || !is_of_tcconfig(major.into()) {
        return None;
    }
    let is_its = |node: &&Node| {
        let after = node.major().wrapping_sub(major + 0x80);
        node.kind == "netem" && node.parent.0 >> 16 == u32::from(major) && after < MOST_RULES
    };
    tree.0.iter().find(is_its).map(|netem| Finding {
        owner: TCCONFIG,
        is_certain: true,
        what: format!("an htb {} with netem {}", root.handle, netem.handle),
    })
}

const fn is_of_tcconfig(major: u32) -> bool {
    major >> 12 == 1
}

/// Its helper gives netem no handle, and leaves the other bands of a prio as they are.
fn litmus(tree: &Tree<'_>, root: &Node) -> Option<Finding> {
    let is_netem = |node: &Node| node.kind == "netem" && node.major() >= CHOSEN_BY_KERNEL;
    let is_it = root.is("prio", 1)
        && root.has_bands(3)
        && tree.at(ClassId::new(1, 3)).is_some_and(is_netem)
        && (1..=2).all(|band| tree.at(ClassId::new(1, band)).is_none());
    is_it.then(|| Finding {
        owner: LITMUS,
        is_certain: false,
        what: "a prio 1: with netem in its third band".into(),
    })
}

/// `tc qdisc add dev eth0 root netem`, which they all run where there are no targets.
fn plain(root: &Node) -> Option<Finding> {
    (root.kind == "netem" && root.major() >= CHOSEN_BY_KERNEL).then(|| Finding {
        owner: PLAIN,
        is_certain: false,
        what: format!("netem {} at the root, for all packets", root.handle),
    })
}

/// The ifb that tcconfig sends what comes in through: its number is the handle of its htb.
pub(super) fn of_ifb(name: &str, kind: &str, nodes: &[Node]) -> Option<Finding> {
    let number = name.strip_prefix("ifb").filter(|_| kind == "ifb")?;
    let number: u32 = number.parse().ok()?;
    let root = Tree(nodes).at(ClassId::ROOT);
    let is_certain = root.is_some_and(|root| root.is("htb", number as u16));
    is_of_tcconfig(number).then(|| Finding {
        owner: TCCONFIG,
        is_certain,
        what: "the device that it sends incoming packets through".into(),
    })
}

/// The chains of a packet filter that Chaos Mesh makes and never takes away
/// (pkg/chaosdaemon/iptables_server.go).
pub(super) fn of_chains<'c>(chains: impl Iterator<Item = &'c str>) -> Option<Finding> {
    let is_its = |chain: &&str| {
        matches!(*chain, "CHAOS-INPUT" | "CHAOS-OUTPUT") || chain.starts_with("TC-TABLES-")
    };
    let mut names: Vec<&str> = chains.filter(is_its).collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| Finding {
        owner: CHAOS_MESH,
        is_certain: names.iter().any(|name| name.starts_with("CHAOS-")),
        what: format!("chains {}", names.join(", ")),
    })
}

/// Whether Chaos Mesh gives a set such a name: the experiment's, or the beginning of a longer one and
/// a hash, then what is in the set (`CompressName` in its controllers/podnetworkchaos/netutils).
pub(super) fn is_set_of_chaos_mesh(name: &str, kind: &str) -> bool {
    /// Of a whole name.
    const LENGTH: usize = 27;
    /// The kinds of sets, by what their names say.
    const KINDS: [(&str, &str); 6] = [
        ("net_", "hash:net"),
        ("net6_", "hash:net"),
        ("netport_", "hash:net,port"),
        ("netport6_", "hash:net,port"),
        ("np6_", "hash:net,port"),
        ("set_", "list:set"),
    ];
    // One that was exchanged for a new one stays.
    let name = name.strip_suffix("old").unwrap_or(name);
    let postfixes = KINDS.iter().filter(|(_, of)| *of == kind);
    let postfixes = postfixes.flat_map(|(what, _)| {
        ["ne", "ba", ""]
            .into_iter()
            .flat_map(move |fault| ["tgt", "src"].map(|whom| format!("{what}{fault}{whom}")))
    });
    let mut postfixes = postfixes;
    postfixes.any(|postfix| {
        let Some(head) = name.strip_suffix(&postfix) else {
            return false;
        };
        let Some(head) = head.strip_suffix('_') else {
            return false;
        };
        match head.split_at_checked(6) {
            None => !head.is_empty() && head.len() < 6,
            Some((beginning, hash)) => {
                beginning.ends_with('_')
                    && name.len() == LENGTH
                    && hash.bytes().all(|digit| digit.is_ascii_hexdigit())
            }
        }
    })
}

#[cfg(test)]
mod tests;
