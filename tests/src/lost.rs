//! What somebody in the namespace can take away from netchaos.

use netchaos::kernel::{bpf::tcx, netlink::Hook};
use nix::net::if_::if_nametoindex;

use crate::lab::{DEVICE, Lab};

/// Something that is taken away, and what `list` says is missing then.
#[derive(Clone, Copy)]
pub struct Breakage {
    pub what: &'static str,
    pub says: &'static str,
    pub act: fn(&Lab),
}

pub const UPPER: Breakage = Breakage {
    what: "the upper device is deleted",
    says: "the device above",
    act: |lab| drop(lab.client.ip(&format!("link del {}", upper(lab)))),
};

pub const LOWER: Breakage = Breakage {
    what: "the lower device is deleted, and the upper one with it",
    says: "its pair of devices is gone",
    act: |lab| drop(lab.client.ip(&format!("link del {}", lab.lower_device()))),
};

pub const UPPER_DOWN: Breakage = Breakage {
    what: "the upper device is set down",
    says: "is down",
    act: |lab| drop(lab.client.ip(&format!("link set {} down", upper(lab)))),
};

pub const CLSACT_OF_LOWER: Breakage = Breakage {
    what: "the lower device's clsact is deleted",
    says: "no classifier on",
    act: |lab| {
        drop(
            lab.client
                .tc(&format!("qdisc del dev {} clsact", lab.lower_device())),
        )
    },
};

pub const PROGRAM: Breakage = Breakage {
    what: "the program at egress is detached",
    says: "no classifier at egress",
    act: |lab| detach(lab, Hook::Egress),
};

pub const INGRESS_PROGRAM: Breakage = Breakage {
    what: "the program at ingress is detached",
    says: "no classifier at ingress",
    act: |lab| detach(lab, Hook::Ingress),
};

pub const TREE: Breakage = Breakage {
    what: "the tree is deleted",
    says: "has no prio",
    act: |lab| drop(lab.client.tc(&format!("qdisc del dev {} root", upper(lab)))),
};

pub const BAND: Breakage = Breakage {
    what: "the band's qdisc is deleted",
    says: "no qdisc in",
    act: |lab| {
        let line = format!("qdisc del dev {} parent 4e43:2", upper(lab));
        lab.client.tc(&line);
    },
};

/// Takes netchaos' program from tcx of the device in the calling thread's namespace; false where there is none.
///
/// # Panics
/// When it cannot be taken away.
pub fn detach_from_tcx(hook: Hook) -> bool {
    let index = if_nametoindex(DEVICE).expect("the device is there");
    let own = tcx::own(index, hook).expect("root can ask");
    let own = own.map(|own| tcx::detach(own.id, index, hook).expect("root can detach it"));
    own.is_some()
}

/// Takes netchaos' program from a hook of the device: from tcx, or else its filter.
fn detach(lab: &Lab, hook: Hook) {
    if !lab.client.run(|| detach_from_tcx(hook)) {
        lab.client
            .tc(&format!("filter del dev {DEVICE} {hook} pref 1"));
    }
}

/// The upper device of the only pair.
///
/// # Panics
/// When there is none.
pub fn upper(lab: &Lab) -> String {
    lab.lower_device().replacen("ncb", "nca", 1)
}
