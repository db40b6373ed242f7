//! The programs and the hooks that they sit on.

use super::{
    error::{Error, lacks},
    observe::Site,
    ours::{Clsact, Seat, is_own_filter},
};
use crate::kernel::{
    bpf::{self, tcx},
    netlink::{Device, Hook, Netlink},
};

/// Programs that have just been loaded with new maps.
pub(super) type Fresh = bpf::Programs;

const NO_CLSACT: &str = "without it no program sees the packets";

impl Site {
    /// Attaches the programs where they are not yet, or in place of those that use other maps:
    /// first behind the pairs, last on the device.
    pub(super) async fn attach(
        &mut self,
        netlink: &Netlink,
        mut fresh: Option<Fresh>,
    ) -> Result<(), Error> {
        let holder = self
            .pairs
            .values()
            .find_map(|pair| pair.filter.as_ref()?.program.as_ref())
            .map(|(_, id)| *id);
        for pair in self.pairs.values() {
            let name = &pair.lower.name;
            match (&mut fresh, &pair.filter) {
                (Some(fresh), Some(filter)) => {
                    bpf::replace(fresh.back()?, name, Hook::Egress, filter.handle)?;
                }
                (Some(fresh), None) => {
                    bpf::attach(fresh.back()?, name, Hook::Egress, bpf::HANDLE)?;
                }
                (None, Some(_)) => {}
                (None, None) => {
                    let mut back = bpf::program_by_id(holder.unwrap_or(0), bpf::BACK)?;
                    bpf::attach(&mut back, name, Hook::Egress, bpf::HANDLE)?;
                }
            }
        }
        if let Some(mut fresh) = fresh {
            self.seat = Some(self.attach_to_device(netlink, &mut fresh).await?);
        }
        self.observe_programs(netlink).await
    }

    async fn attach_to_device(
        &mut self,
        netlink: &Netlink,
        fresh: &mut Fresh,
    ) -> Result<Seat, Error> {
        let Some(device) = self.device.clone() else {
            return Err(Error::Refused(format!("{} has gone", self.device_name())));
        };
        let (egress, name) = (fresh.egress()?, &device.name);
        if let Some(Seat::Clsact(filter)) = &self.seat {
            bpf::replace(egress, name, Hook::Egress, filter.handle)?;
            return Ok(Seat::Clsact(filter.clone()));
        }
        if tcx::programs(device.index, Hook::Egress)?.is_some() {
            // One whose pair was taken away may still sit there. Without the right to see that,
            // ours goes in front of it.
            match tcx::own(device.index, Hook::Egress) {
                Ok(Some(old)) => tcx::replace(egress, old, device.index, Hook::Egress)?,
                Ok(None) | Err(_) => tcx::attach(egress, device.index, Hook::Egress)?,
            }
            return Ok(Seat::Tcx(bpf::id_of(egress)?));
        }
        if !has_clsact(netlink, device.as_device()).await? {
            // Remembered before it is made: a call that dies in between leaves nothing behind
            // that nobody takes away.
            self.remember_clsact(netlink, Clsact::Ours).await?;
            let is_new = netlink
                .add_clsact(device.as_device())
                .await
                .map_err(lacks("sch_ingress", NO_CLSACT))?;
            if !is_new {
                self.remember_clsact(netlink, Clsact::Found).await?;
            }
        }
        bpf::attach(egress, name, Hook::Egress, self.clsact.handle())?;
        seat(netlink, device.as_device())
            .await?
            .ok_or_else(|| Error::ReadBack(format!("the filter of {name} is not there")))
    }

    /// Takes our filter off the device, and clsact where it came from us and nobody else uses it.
    pub(super) async fn detach(&mut self, netlink: &Netlink) -> Result<(), Error> {
        if let Some(device) = &self.device {
            free(netlink, device.as_device(), self.clsact).await?;
        }
        self.seat = None;
        Ok(())
    }

    /// Reads back where the programs are.
    async fn observe_programs(&mut self, netlink: &Netlink) -> Result<(), Error> {
        for pair in self.pairs.values_mut() {
            let filters = netlink.filters(pair.lower.as_device()).await?;
            pair.filter = filters.into_iter().find(is_own_filter);
        }
        let sits = match (&self.seat, &self.device) {
            (Some(Seat::Tcx(id)), Some(device)) => {
                let programs = tcx::programs(device.index, Hook::Egress)?.unwrap_or_default();
                programs.contains(id)
            }
            (Some(Seat::Clsact(filter)), Some(device)) => {
                let filters = netlink.filters(device.as_device()).await?;
                filters.iter().any(|found| found.handle == filter.handle)
            }
            _ => false,
        };
        if !sits {
            let device = self.device_name();
            return Err(Error::ReadBack(format!(
                "its program on {device} is not there"
            )));
        }
        match self.pairs.values().find(|pair| pair.filter.is_none()) {
            None => Ok(()),
            Some(pair) => Err(Error::ReadBack(format!(
                "its program on {} is not there",
                pair.lower.name
            ))),
        }
    }
}

/// Where our program sits on a device.
pub(super) async fn seat(netlink: &Netlink, device: Device<'_>) -> Result<Option<Seat>, Error> {
    if let Some(filter) = netlink
        .filters(device)
        .await?
        .into_iter()
        .find(is_own_filter)
    {
        return Ok(Some(Seat::Clsact(filter)));
    }
    Ok(tcx::own(device.index, Hook::Egress)?.map(Seat::Tcx))
}

/// Takes our programs off a device, and clsact where it came from us and nobody else uses it. Gives
/// back what was deleted, in words.
pub(super) async fn free(
    netlink: &Netlink,
    device: Device<'_>,
    mut clsact: Clsact,
) -> Result<Vec<String>, Error> {
    let mut others = 0;
    let mut deleted = Vec::new();
    if let Some(id) = tcx::own(device.index, Hook::Egress)? {
        tcx::detach(id, device.index, Hook::Egress)?;
        deleted.push(format!("{} at tcx of {}", bpf::EGRESS, device.name));
    }
    for filter in netlink.filters(device).await? {
        if !is_own_filter(&filter) {
            others += 1;
            continue;
        }
        if filter.handle == bpf::HANDLE_WITH_CLSACT {
            clsact = Clsact::Ours;
        }
        netlink.delete_filter(device, &filter).await?;
        deleted.push(format!("{} of {}", filter.describe(), device.name));
    }
    if clsact == Clsact::Ours && others == 0 {
        for qdisc in netlink.qdiscs().await? {
            if qdisc.ifindex == device.index && qdisc.kind == "clsact" {
                netlink.delete_qdisc(device, &qdisc).await?;
            }
        }
    }
    Ok(deleted)
}

/// Whether a device has clsact.
///
/// # Errors
/// It has the older ingress qdisc instead, in whose place clsact would go.
async fn has_clsact(netlink: &Netlink, device: Device<'_>) -> Result<bool, Error> {
    for qdisc in netlink.qdiscs().await? {
        if qdisc.ifindex == device.index && qdisc.kind == "clsact" {
            return Ok(true);
        }
        if qdisc.ifindex == device.index && qdisc.kind == "ingress" {
            return Err(Error::Refused(format!(
                "{} has an ingress qdisc, which is somebody else's and leaves no room for clsact",
                device.name
            )));
        }
    }
    Ok(false)
}
