//! Devices, qdiscs and programs, tried one after the other.

use super::{Ability, netem};
use crate::{
    engine::{
        error::Error,
        ours::{Own, Role},
    },
    kernel::{
        bpf::{self, Capacity, Classifier, Loaded, tcx},
        netlink::{Device, Hook, Netlink, NewLink, Qdisc},
    },
    plan::{PRIO, PRIO_HANDLE},
    qdisc::{ClassId, Tbf},
};

const LAYING: &str = "no fault can be laid";
const CLSACT: &str = "modprobe sch_ingress (CONFIG_NET_SCH_INGRESS)";
/// Where distributions keep what a small installation leaves out.
macro_rules! module {
    ($module:literal, $option:literal) => {
        concat!(
            "modprobe ",
            $module,
            " (",
            $option,
            "); it is in the package linux-modules-extra-* of Ubuntu's cloud kernels, \
             kernel-modules-extra of RHEL and Fedora, linux-image-* of Debian"
        )
    };
}
pub(super) use module;

/// The pair to try with: its device's index is one that there is not.
const fn own(role: Role) -> Own {
    Own {
        device: u32::MAX >> 1,
        pair: 0,
        role,
    }
}

/// Words around a trial.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) name: &'static str,
    pub(super) without: &'static str,
    pub(super) remedy: &'static str,
}

pub(super) struct Probe {
    pub(super) netlink: Netlink,
    abilities: Vec<Ability>,
}

impl Probe {
    pub(super) const fn new(netlink: Netlink) -> Self {
        Self {
            netlink,
            abilities: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) -> Vec<Ability> {
        let (lower, upper) = (own(Role::Lower).name(), own(Role::Upper).name());
        self.try_devices().await;
        let (below, above) = (self.index(&lower).await, self.index(&upper).await);
        let upper = Device {
            index: above,
            name: &upper,
        };
        self.try_segments(upper).await;
        self.try_qdiscs(upper).await;
        let lower = Device {
            index: below,
            name: &lower,
        };
        self.try_programs(lower).await;
        self.abilities
    }

    async fn try_devices(&mut self) {
        let (lower, upper, far) = (own(Role::Lower), own(Role::Upper), own(Role::FarEnd));
        let far_name = far.name();
        let veth = NewLink::Veth {
            peer: &far_name,
            peer_address: far.address(),
        };
        let made = self.add(&lower.name(), veth, lower.address()).await;
        let words = Words {
            name: "veth",
            without: "where dummy is missing too there is no device under the private tree",
            remedy: "modprobe veth (CONFIG_VETH)",
        };
        self.note(words, made, true);
        self.delete(&lower.name()).await;
        let made = self
            .add(&lower.name(), NewLink::Dummy, lower.address())
            .await;
        let has_dummy = made.is_ok();
        let words = Words {
            name: "dummy",
            without: "a veth takes its place",
            remedy: "modprobe dummy (CONFIG_DUMMY), or do without",
        };
        self.note(words, made, true);
        if !has_dummy {
            let _ = self.add(&lower.name(), veth, lower.address()).await;
        }
        let lower = self.index(&lower.name()).await;
        let macvlan = NewLink::Macvlan { lower };
        let made = self.add(&upper.name(), macvlan, upper.address()).await;
        let words = Words {
            name: "macvlan",
            without: LAYING,
            remedy: module!("macvlan", "CONFIG_MACVLAN"),
        };
        self.note(words, made, false);
    }

    async fn try_segments(&mut self, upper: Device<'_>) {
        let set = async {
            self.netlink.set_gso_max_segs(upper, 1).await?;
            let links = self.netlink.links().await?;
            let link = links.iter().find(|link| link.index == upper.index);
            match link.map(|link| link.gso_max_segs) {
                Some(1) => Ok(()),
                other => Err(Error::ReadBack(format!("gso_max_segs is {other:?}, not 1"))),
            }
        };
        let set = set.await;
        let words = Words {
            name: "gso_max_segs of macvlan",
            without: "no loss, duplicate or corrupt that counts packets of the wire; \
                      `--strict-compat` counts what the stack makes, and partition needs none",
            remedy: "Linux 5.10 and newer have it, as far as was tried",
        };
        self.note(words, set, true);
    }

    async fn try_qdiscs(&mut self, upper: Device<'_>) {
        let made = self
            .netlink
            .add_qdisc(upper, ClassId::ROOT, PRIO_HANDLE, &PRIO);
        let made = match made.await {
            Ok(()) => self.expect(upper, PRIO_HANDLE, |found| found.prio() == Some(PRIO)),
            Err(error) => return self.without_prio(upper, error.into()).await,
        };
        let made = made.await;
        self.note(PRIO_WORDS, made, true);
        netem::try_all(self, upper, true).await;
        self.try_tbf(upper, ClassId(PRIO_HANDLE.0 | 4)).await;
    }

    /// The other qdiscs are tried all the same: prio may be all that is missing.
    async fn without_prio(&mut self, upper: Device<'_>, error: Error) {
        self.note(PRIO_WORDS, Err(error), true);
        netem::try_all(self, upper, false).await;
        self.try_tbf(upper, ClassId::ROOT).await;
    }

    async fn try_tbf(&mut self, upper: Device<'_>, parent: ClassId) {
        const HANDLE: ClassId = ClassId::new(0x104, 0);
        let slow = Tbf {
            rate: 125_000,
            limit: 100_000,
            burst: 100_000,
            peakrate: 250_000,
            mtu: 2000,
        };
        let fast = Tbf {
            rate: u64::from(u32::MAX) + 1,
            burst: 10_000_000,
            limit: 10_000_000,
            ..Tbf::default()
        };
        const SLOW: Words = Words {
            name: "sch_tbf",
            without: "no bandwidth can be kept; `--rate` needs sch_netem alone",
            remedy: module!("sch_tbf", "CONFIG_NET_SCH_TBF"),
        };
        const FAST: Words = Words {
            name: "tbf rate above 34 Gbit/s",
            without: "`--bandwidth` ends there",
            remedy: "Linux 3.13 or newer",
        };
        for (words, tbf) in [(SLOW, slow), (FAST, fast)] {
            let made = match self.netlink.add_qdisc(upper, parent, HANDLE, &tbf).await {
                Ok(()) => {
                    let reads = |found: &Qdisc| found.tbf().is_some_and(|read| tbf.reads_as(&read));
                    self.expect(upper, HANDLE, reads).await
                }
                Err(error) => Err(error.into()),
            };
            self.note(words, made, true);
            self.delete_qdisc(upper, HANDLE).await;
        }
    }

    async fn try_programs(&mut self, lower: Device<'_>) {
        let made = self.netlink.add_clsact(lower).await.map(drop);
        let words = Words {
            name: "sch_ingress (clsact)",
            without: LAYING,
            remedy: CLSACT,
        };
        self.note(words, made.map_err(Error::from), false);
        let capacity = Capacity {
            hosts: 1,
            prefixes: 2,
            chunks: 1,
            ports: true,
        };
        let loaded = Classifier::load(&capacity).and_then(|loaded| bpf::keep(loaded.programs));
        let (loaded, result) = match loaded {
            Ok(loaded) => (Some(loaded), Ok(())),
            Err(error) => (None, Err(error.into())),
        };
        let words = Words {
            name: "BPF classifier",
            without: LAYING,
            remedy: "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (or CAP_SYS_ADMIN for the first and the \
                     last) over the host's user namespace; before Linux 5.11 also locked memory \
                     (CAP_SYS_RESOURCE, or `ulimit -l`); CONFIG_BPF_SYSCALL; kernel.lockdown lets it be",
        };
        self.note(words, result, false);
        let Some(loaded) = loaded else { return };
        self.try_tcx(lower, loaded);
        self.try_filter(lower, loaded).await;
    }

    fn try_tcx(&mut self, lower: Device<'_>, loaded: Loaded) {
        let sits = || {
            if tcx::programs(lower.index, Hook::Egress)?.is_none() {
                return Err(Error::Refused("the kernel does not know it".into()));
            }
            tcx::attach(loaded.egress, lower.index, Hook::Egress)?;
            let found = tcx::programs(lower.index, Hook::Egress)?.unwrap_or_default();
            tcx::detach(loaded.egress, lower.index, Hook::Egress)?;
            if found == [loaded.egress] {
                Ok(())
            } else {
                Err(Error::ReadBack("the program is not there".into()))
            }
        };
        let words = Words {
            name: "tcx",
            without: "clsact is used; making it on a device that has none, and deleting it again, \
                      loses everybody's packets for a moment",
            remedy: "Linux 6.6 or newer; before, add clsact to the device beforehand: \
                     tc qdisc add dev DEVICE clsact",
        };
        self.note(words, sits(), true);
    }

    async fn try_filter(&mut self, lower: Device<'_>, loaded: Loaded) {
        let attached = bpf::with_program(loaded.back, |back| {
            bpf::attach(back, lower.name, Hook::Egress, bpf::HANDLE)
        });
        let words = Words {
            name: "cls_bpf",
            without: LAYING,
            remedy: "modprobe cls_bpf (CONFIG_NET_CLS_BPF); before Linux 6.10 it does not always \
                     load by itself",
        };
        self.note(words, attached.map_err(Error::from), false);
        let found = self.find_maps_again(lower).await;
        let words = Words {
            name: "BPF maps by id",
            without: "faults that lie cannot be listed, changed or removed one by one, but by the \
                      `run` that has laid them (heal works)",
            remedy: "CAP_SYS_ADMIN",
        };
        self.note(words, found, false);
    }

    async fn find_maps_again(&self, lower: Device<'_>) -> Result<(), Error> {
        let filters = self.netlink.filters(lower).await?;
        let program = filters.into_iter().find_map(|filter| filter.program);
        let (_, id) = program.ok_or_else(|| Error::ReadBack("the filter has gone".into()))?;
        // By their ids, as a later call has to: what this thread keeps open does not count.
        bpf::keep_only(&[]);
        bpf::maps_of_program(id)?;
        Ok(())
    }

    async fn add(&self, name: &str, kind: NewLink<'_>, address: [u8; 6]) -> Result<(), Error> {
        Ok(self
            .netlink
            .add_link(name, kind, address, 1500, 1000)
            .await?)
    }

    async fn delete(&self, name: &str) {
        let links = self.netlink.links().await.unwrap_or_default();
        if let Some(link) = links.iter().find(|link| link.name == name) {
            // What stays is gone with the namespace.
            let _ = self.netlink.delete_link(link).await;
        }
    }

    async fn index(&self, name: &str) -> u32 {
        let links = self.netlink.links().await.unwrap_or_default();
        links
            .iter()
            .find(|link| link.name == name)
            .map_or(0, |link| link.index)
    }

    pub(super) async fn qdisc(&self, upper: Device<'_>, handle: ClassId) -> Option<Qdisc> {
        let qdiscs = self.netlink.qdiscs().await.unwrap_or_default();
        let mut all = qdiscs.into_iter();
        all.find(|qdisc| (qdisc.ifindex, qdisc.handle) == (upper.index, handle))
    }

    pub(super) async fn delete_qdisc(&self, upper: Device<'_>, handle: ClassId) {
        if let Some(qdisc) = self.qdisc(upper, handle).await {
            let _ = self.netlink.delete_qdisc(upper, &qdisc).await;
        }
    }

    /// Reads back: a kernel passes over in silence what it does not know.
    async fn expect(
        &self,
        upper: Device<'_>,
        handle: ClassId,
        is_it: impl FnOnce(&Qdisc) -> bool,
    ) -> Result<(), Error> {
        match self.qdisc(upper, handle).await {
            Some(found) if is_it(&found) => Ok(()),
            found => Err(Error::ReadBack(format!("it holds {found:?}"))),
        }
    }

    pub(super) fn note(&mut self, words: Words, result: Result<(), Error>, is_optional: bool) {
        self.abilities.push(Ability {
            name: words.name,
            works: result.is_ok(),
            is_optional,
            why: result.err().map(|error| error.with_sources()),
            without: words.without,
            remedy: words.remedy,
        });
    }
}

const PRIO_WORDS: Words = Words {
    name: "sch_prio",
    without: "no fault but loss and partition can be laid",
    remedy: module!("sch_prio", "CONFIG_NET_SCH_PRIO"),
};
