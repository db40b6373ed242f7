//! The programs and the hooks that they sit on.

use super::{
    error::{Error, lacks},
    observe::Site,
    ours::{Clsact, Seat, Seats, is_own_filter},
};
use crate::{
    kernel::{
        bpf::{self, tcx},
        netlink::{Device, Filter, Hook, Link, Netlink},
    },
    plan::Desired,
};

/// Programs that have just been loaded with new maps.
pub(super) type Fresh = bpf::Loaded;

pub(super) const NO_CLSACT: &str = "without it no program sees the packets";

impl Site {
    /// Puts the program that is at work behind pairs that are new: before anybody is steered there.
    pub(super) async fn attach_to_new_pairs(&mut self, netlink: &Netlink) -> Result<(), Error> {
        let programs = self.pairs.values().filter_map(|pair| pair.filter.as_ref());
        let Some((_, id)) = programs.filter_map(|filter| filter.program.clone()).next() else {
            return Ok(());
        };
        for pair in self.pairs.values_mut().filter(|pair| pair.filter.is_none()) {
            let name = &pair.lower.name;
            pair.has_clsact(netlink).await?;
            bpf::with_program(id, |back| {
                bpf::attach(back, name, Hook::Egress, bpf::HANDLE)
            })?;
            let filters = netlink.filters(pair.lower.as_device()).await?;
            pair.filter = filters.into_iter().find(is_own_filter);
        }
        Ok(())
    }

    /// Attaches programs that have just been loaded in place of those that use other maps: first
    /// behind the pairs, last on the device.
    pub(super) async fn attach(
        &mut self,
        netlink: &Netlink,
        desired: &Desired,
        fresh: Option<Fresh>,
    ) -> Result<(), Error> {
        if let Some(fresh) = fresh {
            for pair in self.pairs.values() {
                let name = &pair.lower.name;
                pair.has_clsact(netlink).await?;
                bpf::with_program(fresh.back, |back| match &pair.filter {
                    Some(filter) => bpf::replace(back, name, Hook::Egress, filter.handle),
                    None => bpf::attach(back, name, Hook::Egress, bpf::HANDLE),
                })?;
            }
            for (hook, is_needed) in hooks(desired) {
                // Where it is not needed any more the old one would go on steering by the old maps.
                if is_needed || self.seats.at(hook).is_some() {
                    let seat = self.attach_to_device(netlink, fresh, hook).await?;
                    self.seats.set(hook, Some(seat));
                }
            }
            self.seats.before.clear();
        }
        self.is_mixed = false;
        self.observe_programs(netlink, desired).await
    }

    /// Takes our programs from the hooks that nothing needs any more. Only when no packet is on its
    /// way that has to get rid of its mark there.
    pub(super) async fn leave_unneeded(
        &mut self,
        netlink: &Netlink,
        desired: &Desired,
    ) -> Result<(), Error> {
        for (hook, _) in hooks(desired).into_iter().filter(|(_, needed)| !*needed) {
            self.leave(netlink, hook).await?;
        }
        Ok(())
    }

    async fn attach_to_device(
        &mut self,
        netlink: &Netlink,
        fresh: Fresh,
        hook: Hook,
    ) -> Result<Seat, Error> {
        let Some(device) = self.device.clone() else {
            return Err(Error::Refused(format!("{} has gone", self.device_name())));
        };
        let name = &device.name;
        let program = match hook {
            Hook::Egress => fresh.egress,
            Hook::Ingress => fresh.ingress,
        };
        if self.seats.in_front(hook, name).is_some() {
            // A program that is replaced stays where it is in the line: it has to come anew.
            self.leave(netlink, hook).await?;
        }
        if let Some(Seat::Clsact(filter)) = self.seats.at(hook) {
            bpf::with_program(program, |program| {
                bpf::replace(program, name, hook, filter.handle)
            })?;
            return Ok(Seat::Clsact(filter.clone()));
        }
        if tcx::programs(device.index, hook)?.is_some() {
            // One whose pair was taken away may still sit there. Without the right to see that,
            // ours goes in front of it.
            match tcx::own(device.index, hook) {
                Ok(Some(old)) => tcx::replace(program, old.id, device.index, hook)?,
                Ok(None) | Err(_) => tcx::attach(program, device.index, hook)?,
            }
            return Ok(Seat::Tcx(program));
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
        has_room_in_front(netlink, &device, hook).await?;
        let handle = self.clsact.handle();
        bpf::with_program(program, |program| bpf::attach(program, name, hook, handle))?;
        seats(netlink, device.as_device())
            .await?
            .at(hook)
            .cloned()
            .ok_or_else(|| Error::ReadBack(format!("the filter of {name} is not there")))
    }

    /// Takes our program from a hook where nothing is steered any more.
    async fn leave(&mut self, netlink: &Netlink, hook: Hook) -> Result<(), Error> {
        if let (Some(seat), Some(device)) = (self.seats.at(hook), &self.device) {
            match seat {
                Seat::Tcx(id) => tcx::detach(*id, device.index, hook)?,
                Seat::Clsact(filter) => netlink.delete_filter(device.as_device(), filter).await?,
            }
        }
        self.seats.set(hook, None);
        Ok(())
    }

    /// Takes our filters off the device, and clsact where it came from us and nobody else uses it.
    pub(super) async fn detach(&mut self, netlink: &Netlink) -> Result<(), Error> {
        if let Some(device) = &self.device {
            free(netlink, device.as_device(), self.clsact).await?;
        }
        self.seats = Seats::default();
        Ok(())
    }

    /// Reads back where the programs are.
    async fn observe_programs(
        &mut self,
        netlink: &Netlink,
        desired: &Desired,
    ) -> Result<(), Error> {
        for pair in self.pairs.values_mut() {
            let filters = netlink.filters(pair.lower.as_device()).await?;
            pair.filter = filters.into_iter().find(is_own_filter);
        }
        if let Some(pair) = self.pairs.values().find(|pair| pair.filter.is_none()) {
            return Err(not_there(&pair.lower.name));
        }
        for (hook, is_needed) in hooks(desired) {
            let Some(device) = &self.device else { continue };
            let sits = match self.seats.at(hook) {
                Some(Seat::Tcx(id)) => {
                    let programs = tcx::programs(device.index, hook)?.unwrap_or_default();
                    programs.contains(id)
                }
                Some(Seat::Clsact(filter)) => {
                    let filters = netlink.filters(device.as_device()).await?;
                    let is_it =
                        |found: &Filter| (found.hook, found.handle) == (hook, filter.handle);
                    filters.iter().any(is_it)
                }
                None => false,
            };
            if is_needed && !sits {
                return Err(not_there(&device.name));
            }
        }
        Ok(())
    }
}

fn not_there(device: &str) -> Error {
    Error::ReadBack(format!("its program on {device} is not there"))
}

/// The hooks of the device, and whether a program is needed there.
pub(super) const fn hooks(desired: &Desired) -> [(Hook, bool); 2] {
    [
        (Hook::Egress, desired.egress),
        (Hook::Ingress, desired.ingress),
    ]
}

/// Where our programs sit on a device, and who is in front of them.
pub(super) async fn seats(netlink: &Netlink, device: Device<'_>) -> Result<Seats, Error> {
    let mut seats = Seats::default();
    let mut others: Vec<(Hook, String)> = Vec::new();
    // They come in the order in which packets meet them.
    for filter in netlink.filters(device).await? {
        if is_own_filter(&filter) {
            let at_hook = others.iter().filter(|(hook, _)| *hook == filter.hook);
            seats.before.extend(at_hook.cloned());
            seats.set(filter.hook, Some(Seat::Clsact(filter)));
        } else {
            others.push((filter.hook, format!("filter {}", filter.describe())));
        }
    }
    for hook in Hook::BOTH {
        if let Some(own) = tcx::own(device.index, hook)? {
            let before = own.before.iter().map(|id| (hook, bpf::describe(*id)));
            seats.before.extend(before);
            seats.set(hook, Some(Seat::Tcx(own.id)));
        }
    }
    Ok(seats)
}

/// # Errors
/// A filter of somebody else's has the first place in line, and there is none before it. Where it
/// ends the chain no packet would get to ours.
async fn has_room_in_front(netlink: &Netlink, device: &Link, hook: Hook) -> Result<(), Error> {
    let filters = netlink.filters(device.as_device()).await?;
    let is_first = |filter: &&Filter| filter.hook == hook && filter.preference == bpf::PREFERENCE;
    let first = filters.iter().find(is_first);
    match first.filter(|filter| !filter.shares_its_preference()) {
        None => Ok(()),
        Some(filter) => Err(Error::Refused(format!(
            "the filter `{}` at {hook} of {} has the first place in line, which netchaos needs: a \
             packet that it ends would never get here. Give it another pref (2 or more), or use a \
             kernel with tcx (6.6 or newer)",
            filter.describe(),
            device.name
        ))),
    }
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
    for hook in Hook::BOTH {
        // Several, where runs without the right to tell whose they are were killed; somebody may
        // put new ones there all the time, but they are not waited for.
        for id in tcx::all_own(device.index, hook)? {
            tcx::detach(id, device.index, hook)?;
            deleted.push(format!("{} at tcx of {}", bpf::name_at(hook), device.name));
        }
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
