//! What of netchaos' own lies about and no longer works, and taking that away.

use std::{collections::BTreeMap, time::Duration};

use netchaos_common::abi::ABI_VERSION;

use super::leftover::{Leftover, Looked, NETCHAOS};
use crate::{
    engine::{
        Session,
        draft::Draft,
        error::Error,
        observe::{Known, Observed, Site},
        ours::Own,
    },
    kernel::{clock, netns::Patience},
};

/// How long a call that is at work is waited for, so as not to take its work for remains.
const PATIENCE: Patience = Patience::of(Duration::from_secs(2));

impl Session<'_> {
    pub(super) async fn own_leftovers(&self, looked: &mut Looked) -> Result<(), Error> {
        let lock = self.place.namespace.lock(PATIENCE);
        if let Err(error) = &lock {
            let words = format!("netchaos: a call may be at work: {error}");
            looked.unseen.push(words);
        }
        let observed = Observed::take(&self.netlink).await?;
        let now = clock::boot_nanoseconds().map_err(Error::Start)?;
        let enter = self.enter();
        for (device, error) in observed.unseen {
            let error = Error::from(error).with_sources();
            looked.unseen.push(format!("{device}: {error}"));
        }
        for site in &observed.sites {
            let found = site.leftovers(now, &enter);
            looked.leftovers.extend(found);
        }
        Ok(())
    }

    /// Takes away what of netchaos is dead and finishes what was left half done. What is at work
    /// stays as it is, and so does all that others have left.
    ///
    /// # Errors
    /// A call is at work, or the kernel's refusal.
    pub async fn clean(&self) -> Result<Vec<String>, Error> {
        let _lock = self.lock()?;
        let observed = Observed::take(&self.netlink).await?;
        let now = clock::boot_nanoseconds().map_err(Error::Start)?;
        let dead = dead(&observed, now);
        let mut new = BTreeMap::new();
        for site in &observed.sites {
            if dead.iter().all(|(ifindex, _)| *ifindex != site.ifindex) {
                continue;
            }
            let mut laid = site.laid().to_vec();
            for laid in &mut laid {
                laid.going |= site.is_over(laid, now);
            }
            new.insert(site.ifindex, laid);
        }
        let draft = Draft { observed, new, now };
        self.carry_out(draft, false).await?;
        self.delete_nobodys_devices().await?;
        // What is there still has not been cleared up, whatever nobody refused.
        let still = self::dead(&Observed::take(&self.netlink).await?, now);
        let gone = dead.into_iter().filter(|one| !still.contains(one));
        let gone = gone.map(|(_, left)| format!("cleared up {}", left.words()));
        Ok(gone.collect())
    }

    /// Devices of a pair that has lost its other ones.
    async fn delete_nobodys_devices(&self) -> Result<(), Error> {
        let observed = Observed::take(&self.netlink).await?;
        let is_nobodys = |own: Own| {
            let mut sites = observed.sites.iter();
            let site = sites.find(|site| site.ifindex == own.device);
            site.is_some_and(|site| matches!(site.state, Known::Nothing))
        };
        for link in &observed.links {
            if Own::recognise(link).is_some_and(is_nobodys) {
                self.netlink.delete_link(link).await?;
            }
        }
        Ok(())
    }
}

/// What is dead, by the device that it is about.
fn dead(observed: &Observed, now: u64) -> Vec<(u32, Leftover)> {
    let all = observed.sites.iter().flat_map(|site| {
        let left = site.leftovers(now, "").into_iter();
        left.map(move |left| (site.ifindex, left))
    });
    all.filter(|(_, left)| left.is_dead).collect()
}

fn own(device: &str, what: String, is_dead: bool, undo: String) -> Leftover {
    Leftover {
        owner: NETCHAOS,
        is_certain: true,
        device: Some(device.into()),
        what,
        is_dead,
        undo,
    }
}

impl Site {
    fn leftovers(&self, now: u64, enter: &str) -> Vec<Leftover> {
        let device = self.device_name();
        let heal = format!("{enter}netchaos heal");
        let clean = format!("{enter}netchaos doctor --clean");
        let (laid, dirty) = match &self.state {
            Known::Nothing => {
                return vec![own(&device, self.what_remains().into(), true, heal)];
            }
            Known::OtherAbi(abi) => {
                let what = format!(
                    "faults of another netchaos (ABI {abi}, this one has {ABI_VERSION}), at work"
                );
                let undo = format!("`remove` of that version, or {heal}");
                return vec![own(&device, what, false, undo)];
            }
            Known::Closed(error) => {
                let error = Error::Closed {
                    device: device.clone(),
                    source: error.clone(),
                };
                let what = format!("faults that cannot be looked at: {}", error.with_sources());
                return vec![own(&device, what, false, heal)];
            }
            Known::Open { laid, dirty, .. } | Known::Older { laid, dirty, .. } => (laid, *dirty),
        };
        let mut found = Vec::new();
        if dirty || self.is_mixed {
            let what = "a call died half-way".into();
            found.push(own(&device, what, true, clean.clone()));
        }
        for laid in laid {
            let id = laid.experiment.id();
            if self.is_over(laid, now) {
                let why = if laid.has_expired(now) {
                    "has ended"
                } else {
                    "has lost its device"
                };
                found.push(own(&device, format!("{id}: {why}"), true, clean.clone()));
            } else if laid.going {
                let what = format!("{id}: a call died while it took it away");
                found.push(own(&device, what, true, clean.clone()));
            } else {
                let missing = self.missing(laid).into_iter();
                let undo = format!("{enter}netchaos repair, or netchaos remove {id}");
                found.extend(
                    missing.map(|missing| {
                        own(&device, format!("{id}: {missing}"), false, undo.clone())
                    }),
                );
            }
        }
        found
    }
}
