//! What a caller can ask to be written, each turned into "this is what each device shall hold".

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Session,
    error::Error,
    observe::{Known, Observed, Site},
};
use crate::{
    experiment::{Experiment, Fault, Peer, Target, Targets},
    kernel::clock,
    names,
    plan::{self, Laid},
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

/// A write in the making: what is there, and what each device shall hold.
struct Draft {
    observed: Observed,
    new: BTreeMap<u32, Vec<Laid>>,
    now: u64,
}

impl Session<'_> {
    /// Lays experiments, all or none of them.
    ///
    /// # Errors
    /// As the module says; nothing has changed then, or the error is [`Error::Partly`].
    pub async fn lay(&self, laying: Laying) -> Result<Vec<(String, Effect)>, Error> {
        let addresses = self.addresses_of(&laying.experiments).await?;
        let _lock = self.lock()?;
        let mut draft = self.draft().await?;
        let effects = self.place_all(&mut draft, &laying, &addresses).await?;
        self.carry_out(draft, false).await?;
        Ok(effects)
    }

    /// What [`Session::lay`] would make the devices hold. Changes nothing, and waits for nobody.
    ///
    /// # Errors
    /// What would keep `lay` from starting.
    pub async fn plan(&self, laying: Laying) -> Result<Vec<Planned>, Error> {
        let addresses = self.addresses_of(&laying.experiments).await?;
        let mut draft = self.draft().await?;
        self.place_all(&mut draft, &laying, &addresses).await?;
        let name = |ifindex| {
            let link = draft
                .observed
                .links
                .iter()
                .find(|link| link.index == ifindex);
            link.map_or_else(String::new, |link| link.name.clone())
        };
        let planned = draft.new.iter().map(|(ifindex, laid)| Planned {
            device: name(*ifindex),
            ifindex: *ifindex,
            laid: laid.iter().filter(|laid| !laid.going).cloned().collect(),
        });
        Ok(planned.collect())
    }

    /// Changes an experiment's fault in place. Gives back what is worth a word about the new one.
    ///
    /// # Errors
    /// There is no such experiment, or as the module says.
    pub async fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Fault),
    ) -> Result<(Effect, Vec<String>), Error> {
        let mut notes = Vec::new();
        let effect = self
            .edit(name, |laid| {
                change(&mut laid.experiment.fault);
                notes = laid.experiment.notes();
                Ok(())
            })
            .await?;
        Ok((effect, notes))
    }

    /// Aims an experiment at more peers. They count from the next packet on.
    ///
    /// # Errors
    /// As [`Session::change`], and where a name has no address.
    pub async fn add_targets(&self, name: &str, targets: &[Target]) -> Result<Effect, Error> {
        let addresses = self.addresses(targets.iter()).await?;
        self.edit(name, |laid| {
            let list = target_list(laid)?;
            let known: BTreeSet<Target> = list.iter().cloned().collect();
            let mut new: Vec<&Target> = targets.iter().filter(|new| !known.contains(new)).collect();
            let mut seen = BTreeSet::new();
            new.retain(|target| seen.insert(*target));
            list.extend(new.into_iter().cloned());
            for (name, found) in addresses {
                let kept = laid.addresses.entry(name).or_default();
                kept.extend(found);
                kept.sort_unstable();
                kept.dedup();
            }
            Ok(())
        })
        .await
    }

    /// Takes peers away from an experiment.
    ///
    /// # Errors
    /// As [`Session::change`]; where it is not aimed at one of them, or at nothing else.
    pub async fn remove_targets(&self, name: &str, targets: &[Target]) -> Result<Effect, Error> {
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
    pub async fn pause(
        &self,
        names: &[String],
        pause: bool,
    ) -> Result<Vec<(String, Effect)>, Error> {
        let _lock = self.lock()?;
        let mut draft = self.draft().await?;
        let mut effects = Vec::new();
        for name in names {
            let laid = draft.find(name)?;
            let effect = if laid.experiment.paused == pause {
                Effect::Unchanged
            } else {
                Effect::Changed
            };
            laid.experiment.paused = pause;
            effects.push((name.clone(), effect));
        }
        self.carry_out(draft, false).await?;
        Ok(effects)
    }

    /// Takes experiments away, all of the place where no names are given. `at_once` does not wait
    /// for the packets in them. Gives back what went and how many packets were thrown away.
    ///
    /// # Errors
    /// As [`Session::change`].
    pub async fn remove(
        &self,
        names: Option<&[String]>,
        device: Option<&str>,
        at_once: bool,
    ) -> Result<(Vec<(String, Effect)>, u32), Error> {
        let _lock = self.lock()?;
        let mut draft = self.draft().await?;
        let wanted = match names {
            Some(names) => names.to_vec(),
            None => draft.names_on(device)?,
        };
        for name in &wanted {
            // One that has ended goes anyway.
            if !draft.has_ended(name) {
                draft.find(name)?.going = true;
            }
        }
        let flushed = self.carry_out(draft, at_once).await?;
        let effects = wanted.into_iter().map(|name| (name, Effect::Removed));
        Ok((effects.collect(), flushed))
    }

    async fn edit(
        &self,
        name: &str,
        edit: impl FnOnce(&mut Laid) -> Result<(), Error>,
    ) -> Result<Effect, Error> {
        let _lock = self.lock()?;
        let mut draft = self.draft().await?;
        let laid = draft.find(name)?;
        let before = laid.clone();
        edit(laid)?;
        let effect = if *laid == before {
            Effect::Unchanged
        } else {
            Effect::Changed
        };
        self.carry_out(draft, false).await?;
        Ok(effect)
    }

    /// Looks at what is there. What has ended goes with whatever is written next.
    async fn draft(&self) -> Result<Draft, Error> {
        let observed = Observed::take(&self.netlink).await?;
        let now = clock::boot_nanoseconds().map_err(Error::Start)?;
        let mut new = BTreeMap::new();
        for site in &observed.sites {
            site.is_understood()?;
            let mut laid = site.laid().to_vec();
            for laid in &mut laid {
                // With its device a fault is gone: nothing steers any more.
                laid.going |= laid.has_expired(now) || site.device.is_none();
            }
            new.insert(site.ifindex, laid);
        }
        Ok(Draft { observed, new, now })
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
            let device = match draft.device_of(&experiment.name) {
                // It stays where it is, whatever the default device has become.
                Some(ifindex) if asked.is_none() => ifindex,
                _ => self.device(&draft.observed.links, asked).await?.index,
            };
            let mut addresses = addresses.clone();
            addresses.retain(|name, _| names_in(experiment).any(|used| used == name));
            let effect = draft.place(experiment, device, addresses, laying.may_change)?;
            effects.push((experiment.name.clone(), effect));
        }
        Ok(effects)
    }

    /// Makes every device hold its part of the draft, or none of them.
    async fn carry_out(&self, draft: Draft, at_once: bool) -> Result<u32, Error> {
        let Draft {
            mut observed, new, ..
        } = draft;
        let mut done: Vec<(u32, Vec<Laid>)> = Vec::new();
        let mut flushed = 0;
        for (ifindex, laid) in new {
            let mut site = observed.site(ifindex);
            let before = site.laid().to_vec();
            if site.is_settled() && laid == before {
                continue;
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

impl Draft {
    fn device_of(&self, name: &str) -> Option<u32> {
        let holds = |laid: &&Laid| !laid.going && laid.experiment.name == name;
        self.new
            .iter()
            .find(|(_, laid)| laid.iter().any(|laid| holds(&laid)))
            .map(|(ifindex, _)| *ifindex)
    }

    /// Whether there is an experiment of that name whose end has passed.
    fn has_ended(&self, name: &str) -> bool {
        let mut all = self.new.values().flatten();
        self.device_of(name).is_none() && all.any(|laid| laid.experiment.name == name)
    }

    /// The experiment of that name that stays.
    fn find(&mut self, name: &str) -> Result<&mut Laid, Error> {
        if self.has_ended(name) {
            return Err(Error::Refused(format!(
                "{name} has ended; lay it again to have it back"
            )));
        }
        let all = self.names_on(None)?;
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.new
            .values_mut()
            .flatten()
            .find(|laid| !laid.going && laid.experiment.name == name)
            .ok_or_else(|| Error::no_such_experiment(name, &all))
    }

    /// Names of the experiments on a device, of all devices where none is given.
    fn names_on(&self, device: Option<&str>) -> Result<Vec<String>, Error> {
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
        Ok(laid.map(|laid| laid.experiment.name.clone()).collect())
    }

    /// Adds an experiment to what a device shall hold, or changes the one of its name.
    fn place(
        &mut self,
        experiment: &Experiment,
        ifindex: u32,
        addresses: BTreeMap<String, Vec<IpAddr>>,
        may_change: bool,
    ) -> Result<Effect, Error> {
        let name = &experiment.name;
        let end = |now: u64| {
            experiment
                .duration
                .map(|duration| now.saturating_add(duration.as_nanos() as u64))
        };
        if let Some(other) = self.device_of(name) {
            if !may_change {
                return Err(Error::Refused(format!(
                    "{name} is there already; `netchaos change`, `netchaos target` or `netchaos \
                     apply` change it, `netchaos remove {name}` takes it away"
                )));
            }
            if other != ifindex {
                return Err(Error::Refused(format!(
                    "{name} is on another device; `netchaos remove {name}` first"
                )));
            }
            let now = self.now;
            let laid = self.find(name)?;
            if laid.experiment.namespace != experiment.namespace {
                return Err(Error::Refused(format!(
                    "{name} is there already, of another Kubernetes namespace; experiments of a \
                     place need names of their own"
                )));
            }
            let before = laid.clone();
            if laid.experiment.duration != experiment.duration {
                laid.ends = end(now);
            }
            laid.experiment = experiment.clone();
            laid.addresses = addresses;
            return Ok(if *laid == before {
                Effect::Unchanged
            } else {
                Effect::Changed
            });
        }
        let end = end(self.now);
        let laid = self.new.entry(ifindex).or_default();
        let Some((slot, band)) = plan::room(laid) else {
            return Err(Error::Refused(format!(
                "{name} does not fit: {} experiments is what a device can have",
                netchaos_common::abi::SLOTS
            )));
        };
        laid.push(Laid {
            slot,
            going: false,
            created: clock::unix_nanoseconds(),
            pair: band.pair,
            band: band.band,
            ends: end,
            experiment: experiment.clone(),
            addresses,
        });
        Ok(Effect::Created)
    }
}

impl Site {
    /// # Errors
    /// The maps are there and cannot be opened, or another netchaos laid them out.
    pub(super) fn is_understood(&self) -> Result<(), Error> {
        match &self.state {
            Known::Nothing | Known::Open { .. } => Ok(()),
            Known::OtherAbi(abi) => Err(Error::Refused(format!(
                "the faults on {} were laid by another version of netchaos (ABI {abi}, this one \
                 has {}); use that version, or `netchaos heal` to take them away",
                self.device_name(),
                netchaos_common::abi::ABI_VERSION
            ))),
            Known::Closed(error) => Err(Error::Closed {
                device: self.device_name(),
                source: error.clone(),
            }),
        }
    }

    /// Nothing is half done: whatever is there was brought to its end.
    fn is_settled(&self) -> bool {
        let whole = |laid: &Laid| !laid.going && self.missing(laid).is_empty();
        match &self.state {
            Known::Open { dirty, laid, .. } => !dirty && laid.iter().all(whole),
            _ => self.pairs.is_empty(),
        }
    }
}

fn target_list(laid: &mut Laid) -> Result<&mut Vec<Target>, Error> {
    let name = &laid.experiment.name;
    match &mut laid.experiment.targets {
        Targets::List(list) => Ok(list),
        Targets::AllTraffic => Err(Error::Refused(format!(
            "{name} is aimed at all traffic and has no list of targets"
        ))),
    }
}

fn name_of(target: &Target) -> Option<&str> {
    match &target.peer {
        Peer::Name(name) => Some(name.as_str()),
        Peer::Prefix(_) => None,
    }
}

fn names_in(experiment: &Experiment) -> impl Iterator<Item = &str> {
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
