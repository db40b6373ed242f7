//! netem and tbf by netlink: what was sent is what the kernel holds, as tc(8) sees it too, and is
//! changed in place.

mod packets;
mod parameters;

use netchaos::{
    kernel::netlink::{Link, Netlink, NewLink, Qdisc},
    qdisc::{ClassId, Prio},
};
use netchaos_tests::netns::Netns;
use serde_json::Value;

const PRIO: ClassId = ClassId::new(0x4e43, 0);
const BAND: ClassId = ClassId::new(0x4e43, 1);
const NETEM: ClassId = ClassId::new(0x101, 0);
/// Where a child of the netem is.
const UNDER: ClassId = ClassId::new(0x101, 1);
const TBF: ClassId = ClassId::new(0x201, 0);

/// Runs `work` in a namespace, with a netlink connection of there.
fn inside<T: Send>(netns: &Netns, work: impl AsyncFnOnce(&Netlink) -> T + Send) -> T {
    netns.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { work(&Netlink::connect().unwrap()).await })
    })
}

async fn link(netlink: &Netlink, name: &str) -> Link {
    let links = netlink.links().await.unwrap();
    links.into_iter().find(|link| link.name == name).unwrap()
}

/// A prio as root, for netems to be put into.
async fn add_prio(netlink: &Netlink, link: &Link) {
    let prio = Prio {
        bands: 3,
        priomap: [0; 16],
    };
    netlink
        .add_qdisc(link.as_device(), ClassId::ROOT, PRIO, &prio)
        .await
        .unwrap();
}

async fn add_dummy(netlink: &Netlink, name: &str) -> Link {
    netlink
        .add_link(name, NewLink::Dummy, [2, 0, 0, 0, 0, 1], 1500, 1000)
        .await
        .unwrap();
    link(netlink, name).await
}

async fn qdisc(netlink: &Netlink, handle: ClassId) -> Qdisc {
    let qdiscs = netlink.qdiscs().await.unwrap();
    let found = qdiscs.into_iter().find(|qdisc| qdisc.handle == handle);
    found.unwrap_or_else(|| panic!("no qdisc {handle}"))
}

/// A qdisc as tc shows it.
fn tc(netns: &Netns, handle: ClassId) -> Value {
    let qdiscs = netns.tc_json("qdisc show");
    let mut qdiscs = qdiscs.as_array().unwrap().iter();
    let found = qdiscs.find(|qdisc| qdisc["handle"] == handle.to_string());
    found.unwrap_or_else(|| panic!("no qdisc {handle}")).clone()
}

const fn percent(percent: u32) -> u32 {
    (u32::MAX as u64 * percent as u64 / 100) as u32
}
