//! A write in the making, and carrying it out on all devices or on none.

use std::{collections::BTreeMap, net::IpAddr};

use netchaos_common::abi::{ABI_VERSION, OLDEST_ABI};

use super::{
    Session,
    edit::Effect,
    error::Error,
    identity::meant,
    observe::{Known, Observed, Site},
    ours::Seats,
};
use crate::{
    experiment::{Experiment, Problems},
    kernel::{clock, rights},
    plan::{self, Held, Laid, Room},
};

/// A write in the making: what is there, and what each device shall hold.
pub(super) struct Draft {
    pub(super) observed: Observed,
    pub(super) new: BTreeMap<u32, Vec<Laid>>,
    /// CLOCK_BOOTTIME in nanoseconds.
    pub(super) now: u64,
}

impl Session<'_> {
    /// Looks at what is there. What has ended goes with whatever is written next.
    pub(super) async fn draft(&self) -> Result<Draft, Error> {
        let observed = Observed::take(&self.netlink).await?;
        let now = clock::boot_nanoseconds().map_err(Error::Start)?;
        let mut new = BTreeMap::new();
        for site in &observed.sites {
            site.is_understood()?;
            let mut laid = site.laid().to_vec();
            for laid in &mut laid {
                laid.going |= site.is_over(laid, now);
            }
            new.insert(site.ifindex, laid);
        }
        Ok(Draft { observed, new, now })
    }

    /// Makes every device hold its part of the draft, or none of them.
    pub(super) async fn carry_out(&self, draft: Draft, at_once: bool) -> Result<u32, Error> {
        let Draft {
            mut observed, new, ..
        } = draft;
        for laid in new.values() {
            plan::tables::check_size(laid.iter().filter(|laid| !laid.going))?;
        }
        let mut done: Vec<(u32, Vec<Laid>)> = Vec::new();
        let mut flushed = 0;
        for (ifindex, laid) in new {
            let mut site = observed.site(ifindex);
            let before = site.laid().to_vec();
            if site.is_settled() && laid == before {
                continue;
            }
            if done.is_empty() {
                has_the_right()?;
            }
            done.push((ifindex, before));
            match site.turn_into(&self.netlink, laid, at_once).await {
                Ok(packets) => flushed += packets,
                Err(failure) => return Err(self.take_back(done, failure).await),
            }
        }
        Ok(flushed)
    }

    /// Puts back what devices held before, the last one first.
    async fn take_back(&self, done: Vec<(u32, Vec<Laid>)>, failure: Error) -> Error {
        for (ifindex, before) in done.into_iter().rev() {
            let undo = async {
                let mut site = Observed::take(&self.netlink).await?.site(ifindex);
                let mut laid = before;
                for half_made in site.laid() {
                    if laid.iter().all(|laid| laid.slot != half_made.slot) {
                        let mut going = half_made.clone();
                        going.going = true;
                        laid.push(going);
                    }
                }
                site.turn_into(&self.netlink, laid, false).await
            };
            if let Err(undo) = undo.await {
                return Error::Partly {
                    failure: Box::new(failure),
                    undo: Box::new(undo),
                };
            }
        }
        failure
    }
}

impl Draft {
    /// The device that the experiment of that id stays on.
    pub(super) fn device_of(&self, id: &str) -> Option<u32> {
        let holds = |laid: &&Laid| !laid.going && laid.experiment.id() == id;
        self.new
            .iter()
            .find(|(_, laid)| laid.iter().any(|laid| holds(&laid)))
            .map(|(ifindex, _)| *ifindex)
    }

    /// The name of a device, empty where it is gone.
    pub(super) fn name_of(&self, ifindex: u32) -> String {
        let mut links = self.observed.links.iter();
        let link = links.find(|link| link.index == ifindex);
        link.map_or_else(String::new, |link| link.name.clone())
    }

    /// The id of the experiment that somebody means, whether it stays or has ended.
    pub(super) fn meant(&self, asked: &str) -> Result<String, Error> {
        meant(self.new.values().flatten(), asked)
    }

    /// Whether there is an experiment of that id whose end has passed.
    pub(super) fn has_ended(&self, id: &str) -> bool {
        let mut all = self.new.values().flatten();
        self.device_of(id).is_none() && all.any(|laid| laid.experiment.id() == id)
    }

    /// The experiment that somebody means, and that stays.
    pub(super) fn find(&mut self, asked: &str) -> Result<&mut Laid, Error> {
        let id = self.meant(asked)?;
        let staying = self.staying(&id).map(|(_, laid)| laid);
        staying
            .ok_or_else(|| Error::Refused(format!("{id} has ended; lay it again to have it back")))
    }

    /// The experiment of that id that stays, and its device.
    pub(super) fn staying(&mut self, id: &str) -> Option<(u32, &mut Laid)> {
        let is_it = |laid: &&mut Laid| !laid.going && laid.experiment.id() == id;
        let mut all = self.new.iter_mut();
        all.find_map(|(ifindex, laid)| Some((*ifindex, laid.iter_mut().find(is_it)?)))
    }

    /// Those whom somebody holds of the experiments that were there and are not as they were.
    pub(super) fn holders_of(&self, effects: &[(String, Effect)]) -> Vec<(String, String)> {
        let is_changed = |effect| matches!(effect, Effect::Changed | Effect::Removed);
        let changed = effects.iter().filter(|(_, effect)| is_changed(*effect));
        let held = changed.filter_map(|(id, _)| {
            let mut all = self.new.values().flatten();
            let laid = all.find(|laid| laid.experiment.id() == *id)?;
            Some((id.clone(), laid.held.as_ref()?.holder.clone()))
        });
        held.collect()
    }

    /// Ids of the experiments on a device, of all devices where none is given.
    pub(super) fn ids_on(&self, device: Option<&str>) -> Result<Vec<String>, Error> {
        let link = |name: &str| {
            let link = self.observed.links.iter().find(|link| link.name == name);
            link.map(|link| link.index)
                .ok_or_else(|| Error::Refused(format!("there is no device {name:?}")))
        };
        let only = device.map(link).transpose()?;
        let on_device = |ifindex: &u32| only.is_none_or(|only| only == *ifindex);
        let laid = self
            .new
            .iter()
            .filter(|(ifindex, _)| on_device(ifindex))
            .flat_map(|(_, laid)| laid);
        Ok(laid.map(|laid| laid.experiment.id()).collect())
    }

    /// Adds an experiment to what a device shall hold, or changes the one of its id.
    pub(super) fn place(
        &mut self,
        experiment: &Experiment,
        ifindex: u32,
        addresses: BTreeMap<String, Vec<IpAddr>>,
        may_change: bool,
    ) -> Result<Effect, Error> {
        let id = &experiment.id();
        let end = |now: u64| {
            experiment
                .duration
                .map(|duration| now.saturating_add(duration.as_nanos() as u64))
        };
        if let Some(other) = self.device_of(id) {
            if !may_change {
                return Err(Error::Refused(format!(
                    "{id} is there already; `netchaos change`, `netchaos target` or `netchaos \
                     apply` change it, `netchaos remove {id}` takes it away"
                )));
            }
            if other != ifindex {
                return Err(Error::Refused(format!(
                    "{id} is on another device; `netchaos remove {id}` first"
                )));
            }
            let now = self.now;
            let before = self.find(id)?.clone();
            let mut after = before.clone();
            if before.experiment.duration != experiment.duration {
                after.ends = end(now);
            }
            after.experiment = experiment.clone();
            after.addresses = addresses;
            return self.settle(ifindex, &before, after);
        }
        let ends = end(self.now);
        self.add(ifindex, experiment.clone(), addresses, ends, None)
    }

    /// Adds an experiment that is not there.
    pub(super) fn add(
        &mut self,
        ifindex: u32,
        experiment: Experiment,
        addresses: BTreeMap<String, Vec<IpAddr>>,
        ends: Option<u64>,
        held: Option<Held>,
    ) -> Result<Effect, Error> {
        self.fits_device(ifindex, &experiment)?;
        let laid = self.new.entry(ifindex).or_default();
        let room = room(laid, &experiment)?;
        laid.push(Laid {
            created: clock::unix_nanoseconds(),
            ends,
            addresses,
            held,
            ..Laid::new(experiment, room)
        });
        Ok(Effect::Created)
    }

    /// Makes an experiment what it shall be: where it is if it can change there at once for every
    /// packet, else in a slot and a band of its own, beside which the old ones go.
    pub(super) fn settle(
        &mut self,
        ifindex: u32,
        before: &Laid,
        after: Laid,
    ) -> Result<Effect, Error> {
        if after == *before {
            return Ok(Effect::Unchanged);
        }
        match after.experiment.check() {
            wrong if wrong.is_empty() => {}
            wrong => return Err(Problems(wrong).into()),
        }
        if after.experiment.fault != before.experiment.fault {
            self.fits_device(ifindex, &after.experiment)?;
        }
        let all = self.new.entry(ifindex).or_default();
        if let Some(laid) = all.iter_mut().find(|laid| laid.slot == before.slot) {
            if before.changes_in_place(&after) {
                *laid = after;
                return Ok(Effect::Changed);
            }
            laid.going = true;
        }
        let room = room(all, &after.experiment)?;
        all.push(after.moved(room));
        Ok(Effect::Changed)
    }

    /// # Errors
    /// The device's frames are longer than the fault lets through.
    fn fits_device(&self, ifindex: u32, experiment: &Experiment) -> Result<(), Error> {
        let mut links = self.observed.links.iter();
        let mtu = links
            .find(|link| link.index == ifindex)
            .map_or(0, |link| link.mtu);
        match plan::chain::check_mtu(&experiment.fault, mtu) {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Problems(problems).into()),
        }
    }
}

/// Asked before anything is changed: without the right to do a thing it cannot be undone either.
fn has_the_right() -> Result<(), Error> {
    let missing = rights::missing();
    if !missing.is_empty() {
        return Err(Error::Rights(missing));
    }
    if rights::is_in_user_namespace() {
        return Err(Error::UserNamespace);
    }
    Ok(())
}

fn room(laid: &[Laid], experiment: &Experiment) -> Result<Room, Error> {
    plan::room(laid, experiment).ok_or_else(|| {
        Error::Refused(format!(
            "{} does not fit: {} experiments is what a device can have, and one that is being \
             changed needs a place beside its old one",
            experiment.id(),
            netchaos_common::abi::SLOTS
        ))
    })
}

impl Site {
    /// # Errors
    /// The maps are there and cannot be opened, or another netchaos laid them out.
    pub(super) fn is_understood(&self) -> Result<(), Error> {
        match &self.state {
            Known::Nothing | Known::Open { .. } | Known::Older { .. } => Ok(()),
            Known::OtherAbi(abi) => Err(Error::Refused(format!(
                "the faults on {} were laid by another version of netchaos, whose maps have ABI \
                 {abi} (this one knows {OLDEST_ABI} to {ABI_VERSION}); use that version, or \
                 `netchaos heal` to take them away",
                self.device_name(),
            ))),
            Known::Closed(error) => Err(Error::Closed {
                device: self.device_name(),
                source: error.clone(),
            }),
        }
    }

    /// Nothing is half done: whatever is there was brought to its end.
    pub(super) fn is_settled(&self) -> bool {
        let whole = |laid: &Laid| {
            !laid.going && self.missing(laid).is_empty() && self.drift_of_bands(laid).is_empty()
        };
        match &self.state {
            Known::Open { laid, .. } | Known::Older { laid, .. } => {
                !self.is_dirty() && !self.is_mixed && laid.iter().all(whole)
            }
            _ => self.pairs.is_empty() && self.seats == Seats::default(),
        }
    }
}
