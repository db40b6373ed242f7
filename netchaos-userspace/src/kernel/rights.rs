//! Rights: capabilities(7), over which user namespace they are held, and giving up those that are not
//! needed.

use std::{fs, io, os::unix::fs::MetadataExt as _};

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use serde::Serialize;

/// A capability, its name, and what it is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    bit: CapabilitySet,
    pub name: &'static str,
    pub purpose: &'static str,
}

/// What laying a fault takes. CAP_SYS_ADMIN includes the last two.
const NEEDED: [Capability; 3] = [
    Capability {
        bit: CapabilitySet::NET_ADMIN,
        name: "CAP_NET_ADMIN",
        purpose: "devices, qdiscs, and programs on their hooks",
    },
    Capability {
        bit: CapabilitySet::BPF,
        name: "CAP_BPF",
        purpose: "maps and programs",
    },
    Capability {
        bit: CapabilitySet::PERFMON,
        name: "CAP_PERFMON",
        purpose: "the verifier's and the loader's checks of programs",
    },
];

/// What more there is to do takes more, see docs/troubleshooting.md.
const MORE: [Capability; 5] = [
    Capability {
        bit: CapabilitySet::SYS_ADMIN,
        name: "CAP_SYS_ADMIN",
        purpose: "entering another network namespace, and finding faults that another call has laid",
    },
    Capability {
        bit: CapabilitySet::SYS_PTRACE,
        name: "CAP_SYS_PTRACE",
        purpose: "--pid, --container, --pod, --all: looking into processes",
    },
    Capability {
        bit: CapabilitySet::DAC_OVERRIDE,
        name: "CAP_DAC_OVERRIDE",
        purpose: "--container, --pod: a runtime's socket that belongs to another user",
    },
    Capability {
        bit: CapabilitySet::DAC_READ_SEARCH,
        name: "CAP_DAC_READ_SEARCH",
        purpose: "manifests and lists of targets that belong to another user",
    },
    Capability {
        bit: CapabilitySet::SYS_RESOURCE,
        name: "CAP_SYS_RESOURCE",
        purpose: "before Linux 5.11: locked memory for maps",
    },
];

/// A capability as `doctor` tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Right {
    pub name: &'static str,
    /// By the one who has started this process.
    pub held: bool,
    pub purpose: &'static str,
}

/// What a command may need beside [`NEEDED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Reading files.
    Files,
    /// Working in a namespace that has a name, or in that of the caller.
    Namespace,
    /// Finding a namespace by its processes.
    Processes,
    /// What lasts, opens a socket for a group of users, and listens at a port.
    Agent,
}

impl Scope {
    const fn needs(self) -> CapabilitySet {
        let files = CapabilitySet::DAC_READ_SEARCH;
        let work = files
            .union(CapabilitySet::NET_ADMIN)
            .union(CapabilitySet::BPF)
            .union(CapabilitySet::PERFMON)
            .union(CapabilitySet::SYS_ADMIN);
        let processes = work
            .union(CapabilitySet::SYS_PTRACE)
            .union(CapabilitySet::DAC_OVERRIDE);
        match self {
            Self::Files => files,
            Self::Namespace => work,
            Self::Processes => processes,
            Self::Agent => processes
                .union(CapabilitySet::CHOWN)
                .union(CapabilitySet::NET_BIND_SERVICE),
        }
    }
}

/// The inode of the user namespace that the machine has booted with: PROC_USER_INIT_INO
/// (linux/proc_ns.h).
const OF_THE_HOST: u64 = 0xEFFF_FFFD;

/// Those capabilities that laying a fault takes and the calling thread does not have. None is
/// missing where that cannot be told: then the kernel will say so.
pub fn missing() -> Vec<Capability> {
    capabilities(None).map_or_else(|_| Vec::new(), |sets| missing_of(sets.effective))
}

/// Those that finding the faults of another call takes and the calling thread does not have: asking
/// for programs at their hooks, and opening them by their ids.
pub fn missing_to_find() -> Vec<Capability> {
    let sets = capabilities(None);
    let effective = sets.map_or(CapabilitySet::all(), |sets| sets.effective);
    let all = NEEDED.into_iter().chain(MORE);
    let takes = CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN;
    all.filter(|one| takes.contains(one.bit) && !effective.contains(one.bit))
        .collect()
}

/// What there is of all that netchaos can need. To be asked before anything is given up.
pub fn held() -> Vec<Right> {
    let sets = capabilities(None);
    let effective = sets.map_or(CapabilitySet::empty(), |sets| sets.effective);
    let all = NEEDED.into_iter().chain(MORE);
    all.map(|Capability { bit, name, purpose }| Right {
        name,
        held: effective.contains(bit),
        purpose,
    })
    .collect()
}

/// Whether capabilities are held over another user namespace than the host's: there they do not
/// count for BPF (kernel/bpf/syscall.c: `capable`, not `ns_capable`).
pub fn is_in_user_namespace() -> bool {
    let namespace = fs::metadata("/proc/thread-self/ns/user");
    namespace.is_ok_and(|namespace| namespace.ino() != OF_THE_HOST)
}

/// Gives up, for good, all capabilities that the scope does not need, and the way to get others by
/// running a program. Of the calling thread: to be called before there are others, which inherit.
///
/// # Errors
/// The kernel's refusal; nothing takes more than that the caller has it.
pub fn keep_only(scope: Scope) -> io::Result<()> {
    set_no_new_privs(true)?;
    let sets = capabilities(None)?;
    let kept = kept_of(scope, sets.effective);
    clear_ambient_capability_set()?;
    // Without CAP_SETPCAP that set stays as it is; nobody can draw on it without a new program.
    if sets.effective.contains(CapabilitySet::SETPCAP) {
        for capability in (!kept).iter() {
            // Above the kernel's last one there is none to take.
            if capability_is_in_bounding_set(capability).unwrap_or(false) {
                remove_capability_from_bounding_set(capability)?;
            }
        }
    }
    set_capabilities(
        None,
        CapabilitySets {
            effective: sets.effective & kept,
            permitted: sets.permitted & kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// Into a process one may look who has all of its capabilities (ptrace(2)), or CAP_SYS_PTRACE. Whoever
/// has to do without the latter keeps all.
fn kept_of(scope: Scope, effective: CapabilitySet) -> CapabilitySet {
    let needs = scope.needs();
    let looks_into_processes = needs.contains(CapabilitySet::SYS_PTRACE);
    if looks_into_processes && !effective.contains(CapabilitySet::SYS_PTRACE) {
        return CapabilitySet::all();
    }
    needs
}

fn missing_of(effective: CapabilitySet) -> Vec<Capability> {
    let is_missing = |needed: &Capability| {
        let is_included =
            needed.bit != CapabilitySet::NET_ADMIN && effective.contains(CapabilitySet::SYS_ADMIN);
        !effective.contains(needed.bit) && !is_included
    };
    NEEDED.into_iter().filter(is_missing).collect()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const NET_ADMIN: CapabilitySet = CapabilitySet::NET_ADMIN;
    const BPF: CapabilitySet = CapabilitySet::BPF;
    const PERFMON: CapabilitySet = CapabilitySet::PERFMON;
    const SYS_ADMIN: CapabilitySet = CapabilitySet::SYS_ADMIN;
    const SYS_PTRACE: CapabilitySet = CapabilitySet::SYS_PTRACE;

    fn names(effective: CapabilitySet) -> Vec<&'static str> {
        let missing = missing_of(effective).into_iter();
        missing.map(|capability| capability.name).collect()
    }

    #[test]
    fn what_is_missing_is_named_and_the_right_to_everything_includes_the_rest() {
        let all = ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"];
        assert_eq!(names(CapabilitySet::empty()), all);
        assert_eq!(names(NET_ADMIN), all[1..]);
        assert_eq!(names(NET_ADMIN | BPF), all[2..]);
        assert!(names(NET_ADMIN | BPF | PERFMON).is_empty());
        assert_eq!(names(SYS_ADMIN), all[..1]);
        assert!(names(SYS_ADMIN | NET_ADMIN).is_empty());
    }

    #[test]
    fn whoever_may_not_look_into_processes_by_right_keeps_what_lets_it() {
        let without = CapabilitySet::all() - SYS_PTRACE;
        assert_eq!(kept_of(Scope::Processes, without), CapabilitySet::all());
        let kept = kept_of(Scope::Processes, CapabilitySet::all());
        assert!(kept.contains(NET_ADMIN | SYS_ADMIN | SYS_PTRACE));
        assert!(!kept.intersects(CapabilitySet::SETUID | CapabilitySet::SYS_MODULE));
        assert!(!kept_of(Scope::Namespace, without).contains(SYS_PTRACE));
        assert_eq!(
            kept_of(Scope::Files, without),
            CapabilitySet::DAC_READ_SEARCH
        );
    }

    #[test]
    fn what_is_given_up_is_gone_from_every_set_and_threads_inherit_that() {
        thread::spawn(|| {
            let before = capabilities(None).unwrap();
            keep_only(Scope::Namespace).unwrap();
            thread::spawn(move || {
                let kept = Scope::Namespace.needs();
                let after = capabilities(None).unwrap();
                assert_eq!(after.effective, before.effective & kept);
                assert_eq!(after.permitted, before.permitted & kept);
                assert!(after.inheritable.is_empty());
                assert!(rustix::thread::no_new_privs().unwrap());
                let is_bound = before.effective.contains(CapabilitySet::SETPCAP);
                let in_bounding = capability_is_in_bounding_set(CapabilitySet::SYS_MODULE);
                assert!(!is_bound || !in_bounding.unwrap());
            })
            .join()
            .unwrap();
        })
        .join()
        .unwrap();
    }
}
