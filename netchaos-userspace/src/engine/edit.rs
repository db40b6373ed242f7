//! What a caller can ask to be written, each turned into "this is what each device shall hold".

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{Session, draft::Draft, error::Error, targets::names_in};
use crate::{
    experiment::{Experiment, Fault, Problems},
    plan::Laid,
};

/// What became of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Created,
    Changed,
    /// It was so already.
    Unchanged,
    Removed,
}

/// What a call has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// What became of each experiment, by its id.
    pub effects: Vec<(String, Effect)>,
    /// Packets that waited in queues and went down with them.
    pub flushed: u32,
    /// Those of them that somebody holds and will put back, by id, and who.
    pub held: Vec<(String, String)>,
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
        self.write(draft, effects, false).await
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
        self.write(draft, effects, false).await
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
        let effects = wanted.into_iter().map(|id| (id, Effect::Removed));
        self.write(draft, effects.collect(), at_once).await
    }

    async fn write(
        &self,
        draft: Draft,
        effects: Vec<(String, Effect)>,
        at_once: bool,
    ) -> Result<Written, Error> {
        let held = draft.holders_of(&effects);
        let flushed = self.carry_out(draft, at_once).await?;
        Ok(Written {
            effects,
            flushed,
            held,
        })
    }

    pub(super) async fn edit(
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
        self.write(draft, vec![(id, effect)], false).await
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
            let device = self.device_for(draft, &id, asked).await?;
            let mut addresses = addresses.clone();
            addresses.retain(|name, _| names_in(experiment).any(|used| used == name));
            let effect = draft.place(experiment, device, addresses, laying.may_change)?;
            effects.push((id, effect));
        }
        Ok(effects)
    }

    /// The device that an experiment goes on.
    pub(super) async fn device_for(
        &self,
        draft: &Draft,
        id: &str,
        asked: Option<&str>,
    ) -> Result<u32, Error> {
        match draft.device_of(id) {
            // It stays where it is, whatever the default device has become.
            Some(ifindex) if asked.is_none() => Ok(ifindex),
            _ => Ok(self.device(&draft.observed.links, asked).await?.index),
        }
    }
}
