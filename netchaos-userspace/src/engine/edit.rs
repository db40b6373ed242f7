//! What a caller can ask to be written, each turned into "this is what each device shall hold".

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Session, draft::Draft, error::Error};
use crate::{
    experiment::{Experiment, Fault, Peer, Problems, Target, Targets},
    names,
    plan::Laid,
};

/// What became of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Created,
    Changed,
    /// It was so already.
    Unchanged,
    Removed,
}

/// What a call has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What became of each experiment, by its id.
    pub effects: Vec<(String, Effect)>,
    /// Packets that waited in queues and went down with them.
    pub flushed: u32,
}

/// Experiments to be laid.
#[derive(Clone, Debug)]
pub struct Laying {
    pub experiments: Vec<Experiment>,
    /// Wins over the experiments' own.
    pub device: Option<String>,
    /// An experiment that is there is changed into the new one; otherwise it is an error.
    pub may_change: bool,
}

/// What a device would hold.
#[derive(Clone, Debug)]
pub struct Planned {
    pub device: String,
    pub ifindex: u32,
    pub laid: Vec<Laid>,
}

impl Session<'_> {
    /// Lays experiments, all or none of them.
    ///
    /// # Errors
    /// As the module says; nothing has changed then, or the error is [`Error::Partly`].
    pub async fn lay(&self, laying: Laying) -> Result<Written, Error> {
        let addresses = self.addresses_of(&laying.experiments).await?;
        let _lock = self.lock()?;
        let mut draft = self.draft().await?;
        let effects = self.place_all(&mut draft, &laying, &addresses).await?;
        let flushed = self.carry_out(draft, false).await?;
        Ok(Written { effects, flushed })
    }

    /// What [`Session::lay`] would make the devices hold. Changes nothing, and waits for nobody.
    ///
    /// # Errors
    /// What would keep `lay` from starting.
    pub async fn plan(&self, laying: Laying) -> Result<Vec<Planned>, Error> {
        let addresses = self.addresses_of(&laying.experiments).await?;
        let mut draft = self.draft().await?;
        self.place_all(&mut draft, &laying, &addresses).await?;
        let planned = draft.new.iter().map(|(ifindex, laid)| Planned {
            device: draft.name_of(*ifindex),
            ifindex: *ifindex,
            laid: laid.iter().filter(|laid| !laid.going).cloned().collect(),
        });
        Ok(planned.collect())
    }

    /// Changes an experiment's fault, in place where that is one moment for every packet. Gives back what is worth a word about the new one.
    ///
    /// # Errors
    /// There is no such experiment, the change does not fit its fault, or as the module says.
    pub async fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Fault) -> Result<(), Problems>,
    ) -> Result<(Written, Vec<String>), Error> {
        let mut notes = Vec::new();
        let written = self
            .edit(name, |laid| {
                change(&mut laid.experiment.fault)
                    .map_err(|problems| Error::Refused(problems.to_string()))?;
                notes = laid.experiment.notes();
                Ok(())
            })
            .await?;
        Ok((written, notes))
    }

    /// Aims an experiment at more peers. They count from the next packet on.
    ///
    /// # Errors
    /// As [`Session::change`], and where a name has no address.
    pub async fn add_targets(&self, name: &str, targets: &[Target]) -> Result<Written, Error> {
        let addresses = self.addresses(targets.iter()).await?;
        self.edit(name, |laid| {
            let list = target_list(laid)?;
            let known: BTreeSet<Target> = list.iter().cloned().collect();
            let mut new: Vec<&Target> = targets.iter().filter(|new| !known.contains(new)).collect();
            let mut seen = BTreeSet::new();
            new.retain(|target| seen.insert(*target));
            list.extend(new.into_iter().cloned());
            for (name, found) in addresses {
                add_known(laid, name, found);
            }
            Ok(())
        })
        .await
    }

    /// Aims an experiment at further addresses of a name among its targets.
    ///
    /// # Errors
    /// As [`Session::change`].
    pub(super) async fn add_addresses(
        &self,
        experiment: &str,
        name: &str,
        addresses: &[IpAddr],
    ) -> Result<Effect, Error> {
        let edited = self.edit(experiment, |laid| {
            let is_it = laid.experiment.id() == experiment;
            if is_it && names_in(&laid.experiment).any(|used| used == name) {
                add_known(laid, name.to_owned(), addresses.to_vec());
            }
            Ok(())
        });
        match edited.await {
            // It has ended, or somebody has taken it away.
            Err(Error::Refused(_)) => Ok(Effect::Unchanged),
            other => Ok(other?.effects[0].1),
        }
    }

    /// Takes peers away from an experiment.
    ///
    /// # Errors
    /// As [`Session::change`]; where it is not aimed at one of them, or at nothing else.
    pub async fn remove_targets(&self, name: &str, targets: &[Target]) -> Result<Written, Error> {
        self.edit(name, |laid| {
            let list = target_list(laid)?;
            let known: BTreeSet<&Target> = list.iter().collect();
            let unknown: Vec<String> = targets
                .iter()
                .filter(|target| !known.contains(target))
                .map(ToString::to_string)
                .collect();
            if !unknown.is_empty() {
                return Err(Error::Refused(format!(
                    "{name} is not aimed at {}; `netchaos target list {name}` shows its targets",
                    unknown.join(", ")
                )));
            }
            let gone: BTreeSet<&Target> = targets.iter().collect();
            list.retain(|target| !gone.contains(target));
            if list.is_empty() {
                return Err(Error::Refused(format!(
                    "{name} would have no target left; `netchaos pause {name}` or \
                     `netchaos remove {name}` says what is meant"
                )));
            }
            drop_unused_addresses(laid);
            Ok(())
        })
        .await
    }

    /// Stops experiments from steering, or lets them steer again; what they are stays.
    ///
    /// # Errors
    /// As [`Session::change`].
    pub async fn pause(&self, names: &[String], pause: bool) -> Result<Written, Error> {
        let _lock = self.lock()?;
        let mut draft = self.draft().await?;
        let mut effects = Vec::new();
        for name in names {
            let laid = draft.find(name)?;
            let id = laid.experiment.id();
            let effect = if laid.experiment.paused == pause {
                Effect::Unchanged
            } else {
                Effect::Changed
            };
            laid.experiment.paused = pause;
            effects.push((id, effect));
        }
        let flushed = self.carry_out(draft, false).await?;
        Ok(Written { effects, flushed })
    }

    /// Takes experiments away, all of the place where no names are given. `at_once` does not wait
    /// for the packets in them.
    ///
    /// # Errors
    /// As [`Session::change`].
    pub async fn remove(
        &self,
        names: Option<&[String]>,
        device: Option<&str>,
        at_once: bool,
    ) -> Result<Written, Error> {
        let _lock = self.lock()?;
        let mut draft = self.draft().await?;
        let wanted: Vec<String> = match names {
            Some(names) => {
                let ids = names.iter().map(|name| draft.meant(name));
                ids.collect::<Result<_, _>>()?
            }
            None => draft.ids_on(device)?,
        };
        for id in &wanted {
            // One that has ended goes anyway.
            if !draft.has_ended(id) {
                draft.find(id)?.going = true;
            }
        }
        let flushed = self.carry_out(draft, at_once).await?;
        let effects = wanted.into_iter().map(|id| (id, Effect::Removed));
        Ok(Written {
            effects: effects.collect(),
            flushed,
        })
    }

    async fn edit(
        &self,
        name: &str,
        edit: impl FnOnce(&mut Laid) -> Result<(), Error>,
    ) -> Result<Written, Error> {
        let _lock = self.lock()?;
        let mut draft = self.draft().await?;
        let before = draft.find(name)?.clone();
        let mut after = before.clone();
        edit(&mut after)?;
        let id = before.experiment.id();
        let device = draft.device_of(&id).unwrap_or_default();
        let effect = draft.settle(device, &before, after)?;
        let flushed = self.carry_out(draft, false).await?;
        Ok(Written {
            effects: vec![(id, effect)],
            flushed,
        })
    }

    async fn place_all(
        &self,
        draft: &mut Draft,
        laying: &Laying,
        addresses: &BTreeMap<String, Vec<IpAddr>>,
    ) -> Result<Vec<(String, Effect)>, Error> {
        let mut effects = Vec::new();
        for experiment in &laying.experiments {
            let asked = laying.device.as_deref().or(experiment.device.as_deref());
            let id = experiment.id();
            let device = match draft.device_of(&id) {
                // It stays where it is, whatever the default device has become.
                Some(ifindex) if asked.is_none() => ifindex,
                _ => self.device(&draft.observed.links, asked).await?.index,
            };
            let mut addresses = addresses.clone();
            addresses.retain(|name, _| names_in(experiment).any(|used| used == name));
            let effect = draft.place(experiment, device, addresses, laying.may_change)?;
            effects.push((id, effect));
        }
        Ok(effects)
    }

    async fn addresses_of(
        &self,
        experiments: &[Experiment],
    ) -> Result<BTreeMap<String, Vec<IpAddr>>, Error> {
        let targets = experiments.iter().flat_map(|experiment| {
            let list = match &experiment.targets {
                Targets::List(list) => list.as_slice(),
                Targets::AllTraffic => &[],
            };
            list.iter().chain(&experiment.except)
        });
        self.addresses(targets).await
    }

    /// The addresses of all names among the targets, as the place sees them.
    async fn addresses(
        &self,
        targets: impl Iterator<Item = &Target>,
    ) -> Result<BTreeMap<String, Vec<IpAddr>>, Error> {
        let names: BTreeSet<&str> = targets.filter_map(name_of).collect();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let view = self.place.view()?;
        let resolved = names::resolve_all(&view, names)
            .await
            .map_err(Error::Names)?;
        let addresses = resolved
            .into_iter()
            .map(|(name, found)| (name, found.addresses));
        Ok(addresses.collect())
    }
}

fn target_list(laid: &mut Laid) -> Result<&mut Vec<Target>, Error> {
    let id = laid.experiment.id();
    match &mut laid.experiment.targets {
        Targets::List(list) => Ok(list),
        Targets::AllTraffic => Err(Error::Refused(format!(
            "{id} is aimed at all traffic and has no list of targets"
        ))),
    }
}

/// What a name has stood for stays, since connections to it live on.
fn add_known(laid: &mut Laid, name: String, addresses: Vec<IpAddr>) {
    let kept = laid.addresses.entry(name).or_default();
    kept.extend(addresses);
    kept.sort_unstable();
    kept.dedup();
}

fn name_of(target: &Target) -> Option<&str> {
    match &target.peer {
        Peer::Name(name) => Some(name.as_str()),
        Peer::Prefix(_) => None,
    }
}

pub(super) fn names_in(experiment: &Experiment) -> impl Iterator<Item = &str> {
    let list = match &experiment.targets {
        Targets::List(list) => list.as_slice(),
        Targets::AllTraffic => &[],
    };
    list.iter().chain(&experiment.except).filter_map(name_of)
}

fn drop_unused_addresses(laid: &mut Laid) {
    let used: BTreeSet<&str> = names_in(&laid.experiment).collect();
    laid.addresses
        .retain(|name, _| used.contains(name.as_str()));
}
