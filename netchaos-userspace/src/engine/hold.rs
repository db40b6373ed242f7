//! Experiments that somebody else answers for, such as an object of a cluster: laid, kept as they
//! shall be, and taken away.
//!
//! Whoever holds an experiment says again and again what it shall be. Nothing of that is kept
//! anywhere but in the experiment itself ([`Held`]): a holder that was away goes on with what is
//! there, and what was laid by hand is never touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Session,
    draft::Draft,
    edit::Effect,
    error::Error,
    targets::{add_known, drop_unused_addresses, name_of, names_in},
};
pub use crate::plan::Until;
use crate::{
    experiment::{Experiment, Target, Targets},
    kernel::clock,
    names, place,
    plan::{Held, Laid, Room},
};

/// An experiment that somebody else answers for.
#[derive(Clone, Debug)]
pub struct Holding {
    /// Its duration says nothing here: `until` does.
    pub experiment: Experiment,
    /// Whoever that is, in a word that nobody else has: the uid of the object.
    pub holder: String,
    pub until: Until,
}

impl Session<'_> {
    /// Lays an experiment, or makes the one that is there what it shall be. Its names are looked
    /// up, and what they have stood for before stays a target. Targets that the command line has
    /// added since stay, and those that it has removed stay away; where none is left it steers
    /// nothing. One of the same id that another holder has laid is another experiment, whose place
    /// this one takes. One that has ended is laid again.
    ///
    /// A lease is renewed when a third of it is gone. That alone is [`Effect::Unchanged`], as is
    /// what costs no write at all.
    ///
    /// # Errors
    /// One of the same id was laid by hand, or as [`Session::lay`]. Where a name has no address and
    /// never had one, all the rest of an experiment that is there is done before that is said;
    /// unless it is an exception, without which more would be hit than was asked for.
    pub async fn hold(&self, holding: &Holding) -> Result<Effect, Error> {
        let asked = clock::boot_nanoseconds().map_err(Error::Start)?;
        let mut names = LookedUp::default();
        names.ask(self, names_of(&holding.experiment)).await;
        loop {
            let lock = self.lock()?;
            let mut draft = self.draft().await?;
            let now = match holding.until {
                Until::Lease(_) => draft.now,
                // It is counted from the call, however long it took to get here.
                Until::In(_) => asked,
            };
            let device = self.device_of_holding(&draft, holding).await?;
            let before = take_over(&mut draft, holding, device)?;
            let after = wanted(holding, before.as_ref(), &names, now)?;
            let more = names_of(&after.experiment);
            if !more.is_subset(&names.asked) {
                // The command line has added some. Nobody waits for a name server.
                drop(lock);
                names.ask(self, more).await;
                continue;
            }
            match names.failure(&after) {
                Some(failure) if before.is_none() || lacks_exceptions(&after) => {
                    return Err(failure);
                }
                failure => {
                    let effect = put(&mut draft, device, before, after)?;
                    self.carry_out(draft, false).await?;
                    return failure.map_or(Ok(effect), Err);
                }
            }
        }
    }

    /// Takes away the held experiments whose holder is none of these, and what has ended. Others
    /// stay. Gives back the ids of those that had not ended.
    ///
    /// # Errors
    /// As [`Session::remove`].
    pub async fn release_but(&self, holders: &BTreeSet<String>) -> Result<Vec<String>, Error> {
        let _lock = self.lock()?;
        let mut draft = self.draft().await?;
        let mut released = Vec::new();
        for laid in draft.new.values_mut().flatten().filter(|laid| !laid.going) {
            let held = laid.held.as_ref();
            if held.is_some_and(|held| !holders.contains(&held.holder)) {
                laid.going = true;
                released.push(laid.experiment.id());
            }
        }
        self.carry_out(draft, false).await?;
        Ok(released)
    }

    async fn device_of_holding(&self, draft: &Draft, holding: &Holding) -> Result<u32, Error> {
        let experiment = &holding.experiment;
        let asked = experiment.device.as_deref();
        self.device_for(draft, &experiment.id(), asked).await
    }
}

/// The experiment that is there, if it is the holder's and on the right device. One that is not
/// goes: it only has the same id.
fn take_over(draft: &mut Draft, holding: &Holding, device: u32) -> Result<Option<Laid>, Error> {
    let id = holding.experiment.id();
    let Some((on, laid)) = draft.staying(&id) else {
        return Ok(None);
    };
    match &laid.held {
        None => Err(Error::Refused(format!(
            "{id} is there already and was laid by hand; `netchaos remove {id}` makes room for it"
        ))),
        Some(held) if held.holder == holding.holder && on == device => Ok(Some(laid.clone())),
        Some(_) => {
            laid.going = true;
            Ok(None)
        }
    }
}

/// What the experiment shall be.
fn wanted(
    holding: &Holding,
    before: Option<&Laid>,
    names: &LookedUp,
    now: u64,
) -> Result<Laid, Error> {
    let asked = &holding.experiment;
    let laid = before.cloned();
    let mut laid = laid.unwrap_or_else(|| Laid::new(asked.clone(), Room::default()));
    let held = laid.held.take();
    let mut held = held.unwrap_or_else(|| Held::by(&holding.holder));
    laid.ends = Some(
        holding
            .until
            .end(now, laid.ends.map(|end| (end, held.lease))),
    );
    held.lease = holding.until.lease();
    let aimed = held.aim(&asked.targets);
    let is_aimed = aimed.is_some();
    let targets = match (aimed, before) {
        (Some(targets), Some(before)) if are_the_same(&targets, &before.experiment.targets) => {
            before.experiment.targets.clone()
        }
        (Some(targets), _) => targets,
        // An experiment without a target cannot be said, but one that steers nothing can.
        (None, Some(before)) => before.experiment.targets.clone(),
        (None, None) => {
            return Err(Error::Refused(format!("{} has no target", asked.id())));
        }
    };
    laid.experiment = Experiment {
        targets,
        paused: asked.paused || !is_aimed,
        ..asked.clone()
    };
    laid.held = Some(held);
    for name in names_of(&laid.experiment) {
        if let Some(addresses) = names.addresses.get(&name) {
            add_known(&mut laid, name, addresses.clone());
        }
    }
    drop_unused_addresses(&mut laid);
    Ok(laid)
}

/// Whether two lists are the same but for their order, which means nothing.
fn are_the_same(one: &Targets, other: &Targets) -> bool {
    match (one, other) {
        (Targets::List(one), Targets::List(other)) => {
            let set = |list: &[Target]| list.iter().cloned().collect::<BTreeSet<_>>();
            set(one) == set(other)
        }
        _ => one == other,
    }
}

fn put(draft: &mut Draft, device: u32, before: Option<Laid>, after: Laid) -> Result<Effect, Error> {
    let Some(before) = before else {
        let Laid {
            experiment,
            addresses,
            ends,
            held,
            ..
        } = after;
        return draft.add(device, experiment, addresses, ends, held);
    };
    let is_lease = after.held.as_ref().is_some_and(|held| held.lease.is_some());
    let ends_alike = Laid {
        ends: before.ends,
        ..after.clone()
    };
    let is_only_renewed = is_lease && ends_alike == before;
    let effect = draft.settle(device, &before, after)?;
    Ok(if is_only_renewed {
        Effect::Unchanged
    } else {
        effect
    })
}

fn names_of(experiment: &Experiment) -> BTreeSet<String> {
    names_in(experiment).map(str::to_owned).collect()
}

/// Whether one of its exceptions is a name without any address.
fn lacks_exceptions(laid: &Laid) -> bool {
    let mut names = laid.experiment.except.iter().filter_map(name_of);
    names.any(|name| !laid.addresses.contains_key(name))
}

/// What names have been found to stand for.
#[derive(Default)]
struct LookedUp {
    asked: BTreeSet<String>,
    addresses: BTreeMap<String, Vec<IpAddr>>,
    errors: Vec<names::Error>,
    no_view: Option<place::Error>,
}

impl LookedUp {
    /// Looks up those of the names that have not been asked for yet.
    async fn ask(&mut self, session: &Session<'_>, mut names: BTreeSet<String>) {
        names.retain(|name| !self.asked.contains(name));
        if names.is_empty() {
            return;
        }
        match session.place.view() {
            Ok(view) => {
                let names = names.iter().map(String::as_str);
                for (name, answer) in names::resolve_each(&view, names).await {
                    match answer {
                        Ok(found) => drop(self.addresses.insert(name, found.addresses)),
                        Err(error) => self.errors.push(error),
                    }
                }
            }
            Err(error) => self.no_view = Some(error),
        }
        self.asked.extend(names);
    }

    /// Why some of an experiment's names have no address at all; none where all have.
    fn failure(&mut self, laid: &Laid) -> Option<Error> {
        if names_in(&laid.experiment).all(|name| laid.addresses.contains_key(name)) {
            return None;
        }
        let errors = std::mem::take(&mut self.errors);
        let no_view = self.no_view.take().map(Error::from);
        no_view.or(Some(Error::Names(errors)))
    }
}
