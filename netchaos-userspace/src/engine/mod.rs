//! DOING it: the only writer.
//!
//! A call opens the place, takes the lock of the namespace, observes what is there, lets `plan`
//! say what there should be, and carries that out in an order in which every packet sees the old
//! state or the new one. What the kernel then holds is read back and compared; where something
//! fails, the old state is put back.
//!
//! The kernel is the only database: experiments live in maps that hang on the programs of the
//! pairs, so a call needs nothing from the calls before it, and one that died half-way is
//! finished by the next (see [`site`]).

mod attach;
mod counters;
mod doctor;
mod draft;
mod drain;
mod edit;
mod error;
mod follow;
mod heal;
mod hold;
mod identity;
mod journal;
mod ledger;
mod observe;
mod ours;
mod pair;
mod repair;
mod report;
mod run;
mod site;
mod stop;
pub mod tables;
mod targets;

use std::time::Duration;

use crate::{
    kernel::{
        netlink::{Link, Netlink},
        netns::{self, Lock, Patience},
    },
    place::{self, Place},
};

pub use self::{
    doctor::{Ability, Diagnosis, Leftover, Looked},
    edit::{Effect, Laying, Planned, Written},
    error::{Error, Outcome},
    heal::Healed,
    hold::{Holding, Until},
    ledger::Ledger,
    repair::Repaired,
    report::{Hits, Ledgers, Listed, QueueReport, Shown, Standing},
};

/// How long a call waits for others to end: for one that does not, and for however many.
const PATIENCE: Patience = Patience {
    with_one: Duration::from_secs(30),
    in_all: Duration::from_secs(600),
};

/// Work inside a place, on a thread in its namespace.
pub struct Session<'a> {
    place: &'a Place,
    netlink: Netlink,
}

/// Runs `work` inside a place.
///
/// # Errors
/// The place cannot be entered, or what `work` says.
pub fn inside<T: Send>(
    place: &Place,
    work: impl AsyncFnOnce(Session<'_>) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    place.namespace.run(|| {
        on_this_thread(async {
            let netlink = Netlink::connect().map_err(Error::Start)?;
            work(Session { place, netlink }).await
        })
    })?
}

/// Drives `work` on the calling thread: sockets belong to the namespace of the thread that opens
/// them.
fn on_this_thread<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Start)?
        .block_on(work)
}

/// Names of a pair's devices, the upper one and the lower one.
pub fn pair_names(device: u32, pair: u8) -> (String, String) {
    let name = |role| ours::Own { device, pair, role }.name();
    (name(ours::Role::Upper), name(ours::Role::Lower))
}

impl Session<'_> {
    fn lock(&self) -> Result<Lock, netns::Error> {
        self.place.namespace.lock(PATIENCE)
    }

    /// The device that faults go on.
    async fn device<'l>(&self, links: &'l [Link], asked: Option<&str>) -> Result<&'l Link, Error> {
        let routes = self.netlink.default_route_devices().await?;
        let is_own = |link: &Link| ours::Own::recognise(link).is_some();
        Ok(place::choose_device(links, &routes, asked, is_own)?)
    }
}
