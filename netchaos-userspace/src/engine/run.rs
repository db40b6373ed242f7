//! Experiments that last as long as this process: laid, kept up with the names of their targets,
//! and taken away at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{Effect, Laying, Session, Written, error::Error, stop::Stop, targets::names_in};
use crate::{kernel::netns, names, plan::Laid};

/// Name servers are not asked more often than this, however short a record's time to live is.
const SHORTEST_TTL: Duration = Duration::from_secs(1);
/// A name is looked up again after this, however long its time to live: what the cluster's DNS
/// says of a service can change at any time.
const LONGEST_TTL: Duration = Duration::from_secs(60);

impl Session<'_> {
    /// Lays experiments, follows the names among their targets, and takes all of them away at
    /// SIGINT, SIGTERM, SIGHUP, or when the last one has ended. `began` hears what was laid, `note`
    /// what is worth a word on the way. Gives back how many packets were thrown away at the end.
    ///
    /// # Errors
    /// As [`Session::lay`] and [`Session::remove`].
    pub async fn run(
        &self,
        laying: Laying,
        began: impl FnOnce(Written),
        note: impl Fn(&str),
    ) -> Result<u32, Error> {
        // Before anything is laid: whoever stops us in the middle finds it taken away.
        let mut stop = Stop::listen()?;
        let experiments = laying.experiments.clone();
        let written = self.lay(laying).await?;
        let made = self.made(&written.effects).await?;
        began(written);
        let durations: Option<Vec<Duration>> = experiments.iter().map(|e| e.duration).collect();
        let longest = durations.and_then(|all| all.into_iter().max());
        let end = longest.map(|longest| Instant::now() + longest);
        let mut watched = Watched::default();
        for experiment in &experiments {
            for name in names_in(experiment) {
                let users = watched.users.entry(name.to_owned()).or_default();
                users.push(experiment.id());
            }
        }
        tokio::select! {
            () = stop.wait() => {}
            () = until(end) => {}
            () = self.keep_up(&mut watched, &note) => {}
        }
        // Whoever holds the lock may need it for as long as packets take: without an end of their
        // own our faults would stay if we gave up.
        let mut lock = self.lock();
        for _ in 0..2 {
            if let Err(error @ netns::Error::Locked { .. }) = &lock {
                note(&format!("{error}; trying again"));
                lock = self.lock();
            }
        }
        let _lock = match lock {
            Ok(lock) => Some(lock),
            Err(error) => {
                note(&format!("{error}; going on without the lock"));
                None
            }
        };
        self.remove_those(&made).await
    }

    /// The experiments of these ids as they are now.
    async fn made(&self, effects: &[(String, Effect)]) -> Result<Vec<Laid>, Error> {
        let draft = self.draft().await?;
        let mut all: Vec<Laid> = draft.new.into_values().flatten().collect();
        let ids: BTreeSet<&str> = effects.iter().map(|(id, _)| id.as_str()).collect();
        all.retain(|laid| !laid.going && ids.contains(laid.experiment.id().as_str()));
        Ok(all)
    }

    /// Takes away what is left of these, and nothing that somebody else has made under their ids.
    async fn remove_those(&self, made: &[Laid]) -> Result<u32, Error> {
        let mut draft = self.draft().await?;
        for laid in draft.new.values_mut().flatten() {
            laid.going |= made.iter().any(|ours| ours.is_the_same(laid));
        }
        self.carry_out(draft, false).await
    }

    /// Looks the names up again and again, and aims the experiments at what they have come to
    /// stand for. What they stood for before stays a target: connections to it live on.
    async fn keep_up(&self, watched: &mut Watched, note: &impl Fn(&str)) {
        let mut pause = SHORTEST_TTL;
        loop {
            if watched.users.is_empty() {
                return std::future::pending().await;
            }
            tokio::time::sleep(pause).await;
            pause = self.look_up_again(watched, note).await;
        }
    }

    /// Gives back when to ask the next time.
    async fn look_up_again(&self, watched: &mut Watched, note: &impl Fn(&str)) -> Duration {
        let mut shortest = LONGEST_TTL;
        let view = match self.place.view() {
            Ok(view) => view,
            Err(error) => {
                watched.complain("", &error.to_string(), note);
                return shortest;
            }
        };
        for (name, users) in watched.users.clone() {
            match names::resolve(&view, &name).await {
                Ok(resolved) => {
                    watched.complaints.remove(&name);
                    // A name of the hosts file has none; the file may change.
                    shortest = shortest.min(resolved.ttl.unwrap_or(LONGEST_TTL));
                    let known = watched.known.entry(name.clone()).or_default();
                    if resolved.addresses.iter().all(|new| known.contains(new)) {
                        continue;
                    }
                    match self.aim_at(&name, &users, &resolved.addresses, note).await {
                        Ok(()) => known.extend(resolved.addresses),
                        Err(error) => watched.complain(&name, &error.with_sources(), note),
                    }
                }
                // Perhaps it is our own fault that keeps the answer from coming.
                Err(error) => {
                    watched.complain(&name, &error.to_string(), note);
                    shortest = shortest.min(5 * SHORTEST_TTL);
                }
            }
        }
        shortest.max(SHORTEST_TTL)
    }

    async fn aim_at(
        &self,
        name: &str,
        users: &[String],
        addresses: &[IpAddr],
        note: &impl Fn(&str),
    ) -> Result<(), Error> {
        let mut first_error = None;
        for user in users {
            match self.add_addresses(user, name, addresses).await {
                Ok(Effect::Changed) => {
                    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                    note(&format!("{user}: {name} is now {}", addresses.join(", ")));
                }
                Ok(_) => {}
                // The others want the addresses all the same.
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// Names and the ids of the experiments that are aimed at them.
#[derive(Default)]
struct Watched {
    users: BTreeMap<String, Vec<String>>,
    known: BTreeMap<String, BTreeSet<IpAddr>>,
    /// What was said last of a name that could not be looked up.
    complaints: BTreeMap<String, String>,
}

impl Watched {
    /// Says once what went wrong with a name, until something else does.
    fn complain(&mut self, name: &str, what: &str, note: &impl Fn(&str)) {
        let last = self.complaints.insert(name.to_owned(), what.to_owned());
        if last.as_deref() != Some(what) {
            note(&format!("{what}; the last answer is kept"));
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
