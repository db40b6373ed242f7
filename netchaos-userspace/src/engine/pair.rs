//! A pair of devices: making it, filling its bands, taking it away.

use super::{
    attach::NO_CLSACT,
    error::{Error, lacks},
    observe::{Pair, Site},
    ours::{Clsact, Own, Role},
};
use crate::{
    kernel::netlink::{self, Device, Link, Netlink, NewLink},
    plan::{Band, PRIO, PRIO_HANDLE, chain::fits_in_place},
    qdisc::{Chain, ClassId},
};

/// The kernel's largest for a device; smaller than the faults' device would lose packets silently.
const MTU: u32 = 65_535;
/// What a device takes in one packet by default (GSO_MAX_SEGS, linux/netdevice.h).
const MOST_SEGMENTS: u32 = 65_535;
/// Packets that a band may hold which has no qdisc of ours.
const QUEUE: u32 = 1000;

const NO_NETEM: &str = "without it packets cannot be delayed";
const NO_TBF: &str = "without it a bandwidth cannot be kept";
const NO_PRIO: &str = "without it experiments cannot have bands of their own";
const NO_MACVLAN: &str = "without it there is no device for the private tree";
const NO_VETH: &str = "without it, and without dummy, there is no device under the private tree";

impl Site {
    /// Makes a pair, up and with its prio, but with no filter: nothing is steered into it yet.
    pub(super) async fn make_pair(&mut self, netlink: &Netlink, pair: u8) -> Result<(), Error> {
        let own = |role| Own {
            device: self.ifindex,
            pair,
            role,
        };
        let (lower, upper) = (own(Role::Lower), own(Role::Upper));
        let (lower_name, upper_name) = (lower.name(), upper.name());
        let far = own(Role::FarEnd);
        make_lower(netlink, lower, far).await?;
        let alias = self.clsact.alias(&self.device_name());
        netlink.set_link_alias(&lower_name, &alias).await?;
        let mut lower_link = link_named(netlink, &lower_name).await?;
        let macvlan = NewLink::Macvlan {
            lower: lower_link.index,
        };
        netlink
            .add_link(&upper_name, macvlan, upper.address(), MTU, QUEUE)
            .await
            .map_err(is_taken(&upper_name, lacks("macvlan", NO_MACVLAN)))?;
        let mut upper_link = link_named(netlink, &upper_name).await?;
        // Before anything can wait in it: a root that comes later flushes the queue.
        let has_prio = match netlink
            .add_qdisc(upper_link.as_device(), ClassId::ROOT, PRIO_HANDLE, &PRIO)
            .await
        {
            Ok(()) => true,
            // Experiments that the program does alone need none.
            Err(error) if error.is_unknown_kind() => false,
            Err(error) => return Err(error.into()),
        };
        // While they are down: on a device that is up it would empty the queues.
        for link in [&lower_link, &upper_link] {
            netlink
                .add_clsact(link.as_device())
                .await
                .map_err(lacks("sch_ingress", NO_CLSACT))?;
        }
        for link in [&mut lower_link, &mut upper_link] {
            netlink.set_link_up(&link.name).await?;
            // Or else the next look at the pair would take it for broken, and make it anew.
            link.is_up = true;
        }
        let made = Pair {
            lower: lower_link,
            upper: Some(upper_link),
            filter: None,
            has_prio,
            bands: Default::default(),
        };
        self.pairs.insert(pair, made);
        Ok(())
    }

    /// Gives a pair its prio, where it has none.
    pub(super) async fn add_prio(&mut self, netlink: &Netlink, pair: u8) -> Result<(), Error> {
        netlink
            .add_qdisc(self.upper(pair)?, ClassId::ROOT, PRIO_HANDLE, &PRIO)
            .await
            .map_err(lacks("sch_prio", NO_PRIO))?;
        if let Some(pair) = self.pairs.get_mut(&pair) {
            pair.has_prio = true;
        }
        Ok(())
    }

    /// Makes a pair's upper device take one segment at a time, or whole packets again.
    pub(super) async fn cut_segments(
        &mut self,
        netlink: &Netlink,
        pair: u8,
        cuts: bool,
    ) -> Result<(), Error> {
        let upper = self
            .pairs
            .get_mut(&pair)
            .and_then(|pair| pair.upper.as_mut());
        let Some(upper) = upper else { return Ok(()) };
        if cuts != (upper.gso_max_segs == 1) {
            let most = if cuts { 1 } else { MOST_SEGMENTS };
            netlink.set_gso_max_segs(upper.as_device(), most).await?;
            upper.gso_max_segs = most;
        }
        Ok(())
    }

    /// Puts qdiscs into a band, or changes those that are there in place.
    pub(super) async fn fill_band(
        &mut self,
        netlink: &Netlink,
        band: Band,
        chain: &Chain,
    ) -> Result<(), Error> {
        let upper = self.upper(band.pair)?;
        let found = self.pairs[&band.pair].bands.get(&band);
        let is_in_place = found.is_some_and(|found| fits_in_place(&found.chain(), chain));
        if let Some(found) = found {
            if chain.reads_as(&found.chain()) {
                return Ok(());
            }
            if !is_in_place {
                netlink.delete_qdisc(upper, &found.top).await?;
            }
        }
        let mut parent = band.class();
        let mut handle = band.handle();
        if let Some(netem) = &chain.netem {
            let put = if is_in_place {
                netlink.change_qdisc(upper, parent, handle, netem).await
            } else {
                netlink.add_qdisc(upper, parent, handle, netem).await
            };
            put.map_err(lacks("sch_netem", NO_NETEM))?;
            // netem has one class, 1, for what has waited its time.
            parent = ClassId(handle.0 | 1);
            handle = band.inner_handle();
        }
        if let Some(tbf) = &chain.tbf {
            let put = if is_in_place {
                netlink.change_qdisc(upper, parent, handle, tbf).await
            } else {
                netlink.add_qdisc(upper, parent, handle, tbf).await
            };
            put.map_err(lacks("sch_tbf", NO_TBF))?;
        }
        Ok(())
    }

    pub(super) async fn delete_pair(&mut self, netlink: &Netlink, pair: u8) -> Result<(), Error> {
        if let Some(gone) = self.pairs.get(&pair) {
            // The macvlan on it goes with it, so do the qdiscs and the filter.
            netlink.delete_link(&gone.lower).await?;
        }
        self.pairs.remove(&pair);
        Ok(())
    }

    /// The device below it.
    pub(super) fn lower(&self, pair: u8) -> Result<Device<'_>, Error> {
        match self.pairs.get(&pair) {
            Some(pair) => Ok(pair.lower.as_device()),
            None => Err(self.has_lost(pair)),
        }
    }

    fn has_lost(&self, pair: u8) -> Error {
        Error::ReadBack(format!("pair {pair} of {} has gone", self.device_name()))
    }

    /// The device whose prio has the pair's bands.
    pub(super) fn upper(&self, pair: u8) -> Result<Device<'_>, Error> {
        self.pairs
            .get(&pair)
            .and_then(|pair| pair.upper.as_ref())
            .map(Link::as_device)
            .ok_or_else(|| self.has_lost(pair))
    }

    /// Remembers in every pair whose clsact the device has.
    pub(super) async fn remember_clsact(
        &mut self,
        netlink: &Netlink,
        clsact: Clsact,
    ) -> Result<(), Error> {
        let alias = clsact.alias(&self.device_name());
        for pair in self.pairs.values() {
            netlink.set_link_alias(&pair.lower.name, &alias).await?;
        }
        self.clsact = clsact;
        Ok(())
    }
}

impl Pair {
    /// Sees to it that its lower device has clsact, which somebody may have deleted.
    pub(super) async fn has_clsact(&self, netlink: &Netlink) -> Result<(), Error> {
        if self.filter.is_none() {
            netlink.add_clsact(self.lower.as_device()).await?;
        }
        Ok(())
    }
}

/// A dummy, or one end of a veth where the kernel has no dummy.
async fn make_lower(netlink: &Netlink, lower: Own, far: Own) -> Result<(), Error> {
    let name = lower.name();
    let dummy = netlink
        .add_link(&name, NewLink::Dummy, lower.address(), MTU, QUEUE)
        .await;
    match dummy {
        Err(error) if error.is_unknown_kind() => {}
        other => return other.map_err(is_taken(&name, Error::Netlink)),
    }
    let far_name = far.name();
    let veth = NewLink::Veth {
        peer: &far_name,
        peer_address: far.address(),
    };
    netlink
        .add_link(&name, veth, lower.address(), MTU, QUEUE)
        .await
        .map_err(is_taken(&far_name, lacks("dummy and no veth", NO_VETH)))?;
    // Without its other end up it has no carrier, and without one the macvlan sends nothing.
    netlink.set_link_up(&far_name).await?;
    Ok(())
}

/// Of a device that cannot be made: somebody else's has its name, or `otherwise`.
fn is_taken(
    name: &str,
    otherwise: impl FnOnce(netlink::Error) -> Error,
) -> impl FnOnce(netlink::Error) -> Error {
    move |error| match error.errno() {
        libc::EEXIST => Error::Refused(format!(
            "a device of somebody else's is named {name}, as one of netchaos' own has to be: \
             rename it or delete it; `netchaos heal` deletes it where it has netchaos' hardware \
             address and kind"
        )),
        _ => otherwise(error),
    }
}

async fn link_named(netlink: &Netlink, name: &str) -> Result<Link, Error> {
    netlink
        .links()
        .await?
        .into_iter()
        .find(|link| link.name == name)
        .ok_or_else(|| Error::ReadBack(format!("the device {name} has gone")))
}
