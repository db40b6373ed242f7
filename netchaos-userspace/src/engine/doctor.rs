//! What this kernel and these rights can do, found out by trying in a namespace of its own that
//! goes away with the thread that made it.

use serde::Serialize;

use super::{
    Session, attach,
    error::Error,
    observe::{Known, Observed},
    on_this_thread,
    ours::{Own, Role, Seats},
};
use crate::{
    kernel::{
        bpf::{self, Capacity, Classifier},
        netlink::{Device, Hook, Netlink, NewLink},
        netns,
    },
    plan::{Band, PRIO, PRIO_HANDLE},
    qdisc::{ClassId, Netem, Tbf},
};

/// One thing that netchaos needs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ability {
    pub name: &'static str,
    pub works: bool,
    /// netchaos can do without it.
    pub is_optional: bool,
    /// The kernel's words where it does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What is lost without it, and how to get it.
    pub without: &'static str,
}

/// What `doctor` found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    pub abilities: Vec<Ability>,
    /// Remains of calls that died, and faults that somebody else took something away from.
    pub remains: Vec<String>,
}

impl Diagnosis {
    /// Whether faults can be laid.
    pub fn is_healthy(&self) -> bool {
        self.abilities
            .iter()
            .all(|ability| ability.works || ability.is_optional)
    }
}

const LAYING: &str = "no fault can be laid";

/// Tries everything that netchaos needs.
///
/// # Errors
/// There can be no namespace to try in: it takes CAP_SYS_ADMIN.
pub fn diagnose() -> Result<Vec<Ability>, Error> {
    netns::in_scratch(|| {
        on_this_thread(async {
            let netlink = Netlink::connect().map_err(Error::Start)?;
            let abilities = Vec::new();
            Ok(Probe { netlink, abilities }.run().await)
        })
    })?
}

struct Probe {
    netlink: Netlink,
    abilities: Vec<Ability>,
}

/// The pair to try with: its device's index is one that there is not.
const fn own(role: Role) -> Own {
    Own {
        device: u32::MAX >> 1,
        pair: 0,
        role,
    }
}

impl Probe {
    async fn run(mut self) -> Vec<Ability> {
        let (lower, upper, far) = (own(Role::Lower), own(Role::Upper), own(Role::FarEnd));
        let far_name = far.name();
        let veth = NewLink::Veth {
            peer: &far_name,
            peer_address: far.address(),
        };
        let made = self.add(&lower.name(), veth, lower.address()).await;
        let without = "where dummy is missing too there is no device under the private tree";
        self.note("veth", made, true, without);
        self.delete(&lower.name()).await;
        let made = self
            .add(&lower.name(), NewLink::Dummy, lower.address())
            .await;
        let has_dummy = made.is_ok();
        self.note("dummy", made, true, "a veth takes its place");
        if !has_dummy {
            let _ = self.add(&lower.name(), veth, lower.address()).await;
        }
        let below = self.index(&lower.name()).await;
        let macvlan = NewLink::Macvlan { lower: below };
        let made = self.add(&upper.name(), macvlan, upper.address()).await;
        self.note("macvlan", made, false, LAYING);
        let index = self.index(&upper.name()).await;
        self.try_qdiscs(Device {
            index,
            name: &upper.name(),
        })
        .await;
        self.try_tcx(Device {
            index: below,
            name: &lower.name(),
        });
        self.try_classifier(Device {
            index: below,
            name: &lower.name(),
        })
        .await;
        self.abilities
    }

    async fn try_qdiscs(&mut self, upper: Device<'_>) {
        const ONLY: &str = "no fault but loss and partition can be laid; modprobe sch_prio and \
                            sch_netem, or install the kernel's extra modules";
        let made = self
            .netlink
            .add_qdisc(upper, ClassId::ROOT, PRIO_HANDLE, &PRIO)
            .await;
        let has_prio = made.is_ok();
        self.note("sch_prio", made.map_err(Error::from), true, ONLY);
        // Not the others' fault where there is no prio to put them under.
        let place = |number| {
            let band = Band {
                pair: 0,
                band: number,
            };
            let parent = if has_prio {
                band.class()
            } else {
                ClassId::ROOT
            };
            (parent, band.handle())
        };
        let netem = Netem {
            latency: 1_000_001,
            limit: 1000,
            ..Default::default()
        };
        let (parent, handle) = place(2);
        let made = self.netlink.add_qdisc(upper, parent, handle, &netem).await;
        let has_netem = made.is_ok();
        self.note("sch_netem", made.map_err(Error::from), true, ONLY);
        if has_prio && has_netem {
            let duplicating = Netem {
                duplicate: u32::MAX / 100,
                ..netem
            };
            let (parent, handle) = place(3);
            let made = self
                .netlink
                .add_qdisc(upper, parent, handle, &duplicating)
                .await;
            let without = "experiments that duplicate get a pair of devices of their own";
            self.note(
                "netem duplicate beside others",
                made.map_err(Error::from),
                true,
                without,
            );
        }
        let tbf = Tbf {
            rate: 125_000,
            limit: 100_000,
            burst: 100_000,
            ..Default::default()
        };
        let (mut parent, handle) = place(4);
        if parent == ClassId::ROOT && has_netem {
            parent = ClassId(place(2).1.0 | 1);
        }
        let made = self.netlink.add_qdisc(upper, parent, handle, &tbf).await;
        let without = "no bandwidth can be kept; `--rate` needs sch_netem alone";
        self.note("sch_tbf", made.map_err(Error::from), true, without);
    }

    fn try_tcx(&mut self, lower: Device<'_>) {
        let there = match bpf::tcx::programs(lower.index, Hook::Egress) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Error::Refused("the kernel does not know it".into())),
            Err(error) => Err(Error::from(error)),
        };
        let without = "clsact is used; making it on a device that has none, and deleting it again, \
                       loses everybody's packets for a moment. Linux 6.6 has it";
        self.note("tcx", there, true, without);
    }

    async fn try_classifier(&mut self, lower: Device<'_>) {
        let made = self.netlink.add_clsact(lower).await.map(drop);
        self.note(
            "sch_ingress (clsact)",
            made.map_err(Error::from),
            false,
            LAYING,
        );
        let capacity = Capacity {
            hosts: 1,
            prefixes: 2,
            chunks: 1,
            ports: true,
        };
        let loaded = Classifier::load(&capacity);
        let (classifier, result) = match loaded {
            Ok(classifier) => (Some(classifier), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let without = "no fault can be laid; it takes CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON";
        self.note(
            "BPF classifier",
            result.map_err(Error::from),
            false,
            without,
        );
        let Some(mut classifier) = classifier else {
            return;
        };
        let attached = classifier
            .programs
            .back()
            .and_then(|back| bpf::attach(back, lower.name, Hook::Egress, bpf::HANDLE));
        self.note("cls_bpf", attached.map_err(Error::from), false, LAYING);
        let found = self.find_maps_again(lower).await;
        let without = "faults that lie cannot be listed, changed or removed one by one (heal \
                       works); it takes CAP_SYS_ADMIN";
        self.note("BPF maps by id", found, false, without);
    }

    async fn find_maps_again(&self, lower: Device<'_>) -> Result<(), Error> {
        let filters = self.netlink.filters(lower).await?;
        let program = filters.into_iter().find_map(|filter| filter.program);
        let (_, id) = program.ok_or_else(|| Error::ReadBack("the filter has gone".into()))?;
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

    fn note(
        &mut self,
        name: &'static str,
        result: Result<(), Error>,
        is_optional: bool,
        without: &'static str,
    ) {
        self.abilities.push(Ability {
            name,
            works: result.is_ok(),
            is_optional,
            why: result.err().map(|error| error.with_sources()),
            without,
        });
    }
}

impl Session<'_> {
    /// What lies about in the place that no longer works.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub async fn remains(&self) -> Result<Vec<String>, Error> {
        let observed = Observed::take(&self.netlink).await?;
        let mut remains = Vec::new();
        for link in &observed.links {
            let has_site = observed.sites.iter().any(|site| site.ifindex == link.index);
            if !has_site && Own::recognise(link).is_none() {
                let seats = attach::seats(&self.netlink, link.as_device()).await?;
                if seats != Seats::default() {
                    remains.push(format!("{}: a classifier without its pair", link.name));
                }
            }
        }
        for site in &observed.sites {
            let device = site.device_name();
            match &site.state {
                Known::Nothing => remains.push(site.remains()),
                Known::OtherAbi(abi) => {
                    remains.push(format!("{device}: faults of another netchaos (ABI {abi})"));
                }
                Known::Closed(error) => remains.push(format!("{device}: {error}")),
                _ if site.is_dirty() => {
                    remains.push(format!("{device}: a call died half-way"));
                }
                Known::Open { laid, .. } | Known::Older { laid, .. } => {
                    for laid in laid {
                        for missing in site.missing(laid) {
                            remains.push(format!("{device}: {}: {missing}", laid.experiment.id()));
                        }
                    }
                }
            }
        }
        Ok(remains)
    }
}
