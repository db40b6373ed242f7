//! Whom experiments are aimed at: changes of their targets, and the addresses of names.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Session,
    edit::{Effect, Written},
    error::Error,
};
use crate::{
    experiment::{Experiment, Peer, Target, Targets},
    names,
    plan::Laid,
};

impl Session<'_> {
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
            let new: Vec<Target> = new.into_iter().cloned().collect();
            list.extend(new.iter().cloned());
            if let Some(held) = &mut laid.held {
                held.add(&new);
            }
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
            if let Some(held) = &mut laid.held {
                held.remove(targets);
            }
            drop_unused_addresses(laid);
            Ok(())
        })
        .await
    }

    pub(super) async fn addresses_of(
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
pub(super) fn add_known(laid: &mut Laid, name: String, addresses: Vec<IpAddr>) {
    let kept = laid.addresses.entry(name).or_default();
    kept.extend(addresses);
    kept.sort_unstable();
    kept.dedup();
}

pub(super) fn name_of(target: &Target) -> Option<&str> {
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

pub(super) fn drop_unused_addresses(laid: &mut Laid) {
    let used: BTreeSet<&str> = names_in(&laid.experiment).collect();
    laid.addresses
        .retain(|name, _| used.contains(name.as_str()));
}
