//! Experiments that last as long as this process: laid, kept up with the names of their targets,
//! and taken away at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{Effect, Laying, Session, edit::names_in, error::Error};
use crate::names;

/// Name servers are not asked more often than this, however short a record's time to live is.
const SHORTEST_TTL: Duration = Duration::from_secs(1);
/// A name is looked up again after this, however long its time to live: what the cluster's DNS
/// says of a service can change at any time.
const LONGEST_TTL: Duration = Duration::from_secs(60);

/// The signals that end a run.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Start);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

impl Session<'_> {
    /// Lays experiments, follows the names among their targets, and takes all of them away at
    /// SIGINT, SIGTERM, or when the last one has ended. `began` hears what was laid, `note` what is
    /// worth a word on the way. Gives back how many packets were thrown away at the end.
    ///
    /// # Errors
    /// As [`Session::lay`] and [`Session::remove`].
    pub async fn run(
        &self,
        laying: Laying,
        began: impl FnOnce(&[(String, Effect)]),
        note: impl Fn(&str),
    ) -> Result<u32, Error> {
        // Before anything is laid: whoever stops us in the middle finds it taken away.
        let mut stop = Stop::listen()?;
        let experiments = laying.experiments.clone();
        let effects = self.lay(laying).await?;
        began(&effects);
        let durations: Option<Vec<Duration>> = experiments.iter().map(|e| e.duration).collect();
        let longest = durations.and_then(|all| all.into_iter().max());
        let end = longest.map(|longest| Instant::now() + longest);
        let mut watched = Watched::default();
        for experiment in &experiments {
            for name in names_in(experiment) {
                let users = watched.users.entry(name.to_owned()).or_default();
                users.push(experiment.name.clone());
            }
        }
        tokio::select! {
            () = stop.wait() => {}
            () = until(end) => {}
            () = self.keep_up(&mut watched, &note) => {}
        }
        let mut left = self.list().await?.0;
        left.retain(|listed| effects.iter().any(|(name, _)| *name == listed.name));
        let left: Vec<String> = left.into_iter().map(|listed| listed.name).collect();
        Ok(self.remove(Some(&left), None, false).await?.1)
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
        for user in users {
            if self.add_addresses(user, name, addresses).await? == Effect::Changed {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                note(&format!("{user}: {name} is now {}", addresses.join(", ")));
            }
        }
        Ok(())
    }
}

/// Names and the experiments that are aimed at them.
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
