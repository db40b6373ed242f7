//! What this kernel and these rights can do, and what lies about.
//!
//! What can be done is found out by trying, in a namespace of its own that goes away with the thread
//! that made it. What lies about is looked for by names, handles and shapes.

mod foreign;
mod leftover;
mod netem;
mod own;
mod trial;

use serde::Serialize;

pub use self::leftover::{Leftover, Looked};
use super::{error::Error, on_this_thread};
use crate::kernel::{netlink::Netlink, netns, rights::Right};

/// One thing that netchaos needs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ability {
    pub name: &'static str,
    pub works: bool,
    /// netchaos can do without it.
    pub is_optional: bool,
    /// The kernel's words where it does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What is lost without it.
    pub without: &'static str,
    /// How to get it.
    pub remedy: &'static str,
}

/// What `doctor` found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    pub rights: Vec<Right>,
    /// Empty where there can be no namespace to try in.
    pub abilities: Vec<Ability>,
    /// Why there can be none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_tried: Option<String>,
    /// Remains of calls that died, and faults that somebody else took something away from.
    pub remains: Vec<String>,
    pub places: Vec<Looked>,
}

impl Diagnosis {
    /// Tries everything that netchaos needs.
    ///
    /// # Errors
    /// A kernel that gives no netlink socket.
    pub fn of_kernel(rights: Vec<Right>) -> Result<Self, Error> {
        let (abilities, not_tried) = match abilities() {
            Ok(abilities) => (abilities, None),
            Err(error @ Error::Namespace(_)) => (Vec::new(), Some(error.with_sources())),
            Err(error) => return Err(error),
        };
        Ok(Self {
            rights,
            abilities,
            not_tried,
            remains: Vec::new(),
            places: Vec::new(),
        })
    }

    /// Adds what was found in a place.
    pub fn add(&mut self, looked: Looked, is_one_of_many: bool) {
        let place = if is_one_of_many {
            format!("{}: ", looked.place)
        } else {
            String::new()
        };
        let own = looked.leftovers.iter().filter(|left| left.is_own());
        let words = own.map(|left| format!("{place}{}", left.words()));
        self.remains.extend(words);
        self.places.push(looked);
    }

    /// Whether faults can be laid.
    pub fn is_healthy(&self) -> bool {
        let is_fine = |ability: &Ability| ability.works || ability.is_optional;
        self.not_tried.is_none() && self.abilities.iter().all(is_fine)
    }
}

fn abilities() -> Result<Vec<Ability>, Error> {
    netns::in_scratch(|| {
        on_this_thread(async {
            let netlink = Netlink::connect().map_err(Error::Start)?;
            Ok(trial::Probe::new(netlink).run().await)
        })
    })?
}
