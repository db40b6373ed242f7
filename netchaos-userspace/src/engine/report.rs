//! What is there, for people and programs to read.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use netchaos_common::abi::Counter;
use serde::{Deserialize, Serialize};

use super::{
    Planned, Session,
    error::Error,
    identity::meant,
    ledger::Ledger,
    observe::{Filled, Known, Observed, Site},
};
use crate::{
    experiment::{Direction, Experiment},
    kernel::{
        bpf::Maps,
        clock,
        netns::{Lock, Patience},
    },
    plan::{self, Band, Laid},
    qdisc::Chain,
};

/// An experiment as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub device: String,
    pub state: Standing,
    /// What was taken away from under it, where its state is `lost`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Seconds since 1970, UTC.
    pub created: f64,
    /// Seconds until it ends; none where it lasts until it is removed, or as long as a lease is
    /// renewed.
    pub ends_in: Option<f64>,
    /// Who answers for it; none where it was laid by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// Seconds until it ends unless its holder renews the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ends_in: Option<f64>,
    /// Both directions together: packets, a GSO packet counting once, and their bytes.
    pub packets: u64,
    pub bytes: u64,
    /// Seconds since the first and the last of them.
    pub first_packet_ago: Option<f64>,
    pub last_packet_ago: Option<f64>,
    /// What went to the targets, and what came from them; none where the direction is not asked
    /// for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Hits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Hits>,
    pub spec: Experiment,
    /// What the names among the targets stand for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// The packets of one direction that an experiment has matched so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hits {
    /// A GSO packet counting once.
    pub packets: u64,
    pub bytes: u64,
    /// The packets that they are on the wire.
    pub segments: u64,
    /// Of them, those that were dropped as asked: loss and partition.
    pub dropped: u64,
    /// Seconds since the first and the last of them.
    pub first_packet_ago: Option<f64>,
    pub last_packet_ago: Option<f64>,
}

impl Hits {
    fn of(counter: Counter, now: u64) -> Self {
        let ago = |moment: u64| (moment != 0).then(|| seconds(now.saturating_sub(moment)));
        Self {
            packets: counter.packets,
            bytes: counter.bytes,
            segments: counter.segments,
            dropped: counter.dropped,
            first_packet_ago: ago(counter.first),
            last_packet_ago: ago(counter.last),
        }
    }
}

impl Listed {
    /// The directions that are asked for, in words, and what was hit there.
    pub fn hits(&self) -> impl Iterator<Item = (&'static str, &Hits)> {
        [("to", &self.to), ("from", &self.from)]
            .into_iter()
            .filter_map(|(name, hits)| Some((name, hits.as_ref()?)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Active,
    Paused,
    /// Its end has passed; the next call that writes takes it away.
    Ended,
    /// A call died while it laid or removed it; the next call that writes finishes that.
    Unfinished,
    /// Somebody took something away from under it.
    Lost,
}

/// An experiment with what the kernel holds for it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    #[serde(flatten)]
    pub listed: Listed,
    pub queue: Option<QueueReport>,
    /// The band of what comes in, where what goes out has another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_from: Option<QueueReport>,
    /// Where the packets of each direction are; none where nothing is known of them.
    pub ledger: Ledgers,
    /// Differences between what the kernel should hold and what it holds.
    pub drift: Vec<String>,
    #[serde(skip)]
    pub slot: u8,
    #[serde(skip)]
    pub uppers: BTreeSet<String>,
}

/// The ledger of each direction that is asked for.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledgers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Ledger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Ledger>,
}

/// The band and its qdiscs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueReport {
    /// The device whose prio has the band.
    pub device: String,
    /// The band's class and the first qdisc's handle, as tc writes them.
    pub class: String,
    pub handle: String,
    /// The first qdisc.
    pub kind: String,
    /// Most that it holds at a time: packets of a netem, bytes of a tbf alone.
    pub limit: u32,
    /// The qdiscs near to how tc writes them, each the parent of the next one.
    pub qdiscs: String,
    /// Packets that they hold now, and have let through and dropped so far. With `strictCompat`
    /// what was dropped as asked is among them, since netem does not tell.
    pub queued: u32,
    pub sent: u64,
    pub dropped: u64,
}

impl Session<'_> {
    /// The experiments of the place, in the order in which packets meet them, and what else of
    /// netchaos lies about there, in words.
    ///
    /// # Errors
    /// The maps cannot be opened, or were laid out by another netchaos.
    pub async fn list(&self) -> Result<(Vec<Listed>, Vec<String>), Error> {
        let (_lock, observed, now) = self.look().await?;
        let mut all = Vec::new();
        let mut remains = Vec::new();
        for site in &observed.sites {
            site.is_understood()?;
            if matches!(site.state, Known::Nothing) {
                remains.push(site.remains());
            }
            for laid in site.told() {
                all.push(site.listed(laid, now)?);
            }
        }
        Ok((all, remains))
    }

    /// Looks at what is there, when no other call is writing; those that take long are not waited
    /// for: then it is looked at again and again, until nothing is half done.
    async fn look(&self) -> Result<(Option<Lock>, Observed, u64), Error> {
        const PATIENCE: Patience = Patience::of(Duration::from_secs(2));
        const LOOKS: u32 = 40;
        const PAUSE: Duration = Duration::from_millis(10);
        let lock = self.place.namespace.lock(PATIENCE).ok();
        let mut looks = if lock.is_some() { 1 } else { LOOKS };
        let observed = loop {
            looks -= 1;
            match Observed::take(&self.netlink).await {
                Ok(observed) if looks == 0 || observed.sites.iter().all(Site::is_settled) => {
                    break observed;
                }
                Err(error) if looks == 0 => return Err(error),
                _ => tokio::time::sleep(PAUSE).await,
            }
        };
        let now = clock::boot_nanoseconds().map_err(Error::Start)?;
        Ok((lock, observed, now))
    }

    /// One experiment as it is planned, for who wants it explained.
    ///
    /// # Errors
    /// As [`Session::show`].
    pub async fn planned(&self, name: &str) -> Result<Planned, Error> {
        let mut draft = self.draft().await?;
        let laid = draft.find(name)?.clone();
        let id = laid.experiment.id();
        let ifindex = draft.device_of(&id).unwrap_or_default();
        Ok(Planned {
            device: draft.name_of(ifindex),
            ifindex,
            laid: vec![laid],
        })
    }

    /// One experiment with what the kernel holds for it.
    ///
    /// # Errors
    /// As [`Session::list`], and where there is none of that name or id, or several.
    pub async fn show(&self, name: &str) -> Result<Shown, Error> {
        let (_lock, observed, now) = self.look().await?;
        let mut all = Vec::new();
        for site in &observed.sites {
            site.is_understood()?;
            all.extend(site.told().map(|laid| (site, laid)));
        }
        let id = meant(all.iter().map(|(_, laid)| *laid), name)?;
        let found = all.into_iter().find(|(_, laid)| laid.experiment.id() == id);
        let (site, laid) = found.ok_or_else(|| Error::no_such_experiment(&id, &[]))?;
        site.shown(laid, now)
    }
}

impl Site {
    /// What lies about where no program says which faults they are.
    pub(super) fn remains(&self) -> String {
        format!(
            "{}: {}. `netchaos heal` takes them away",
            self.device_name(),
            self.what_remains()
        )
    }

    pub(super) fn what_remains(&self) -> &'static str {
        if self.pairs.is_empty() {
            "a classifier without its pair: it lets all pass"
        } else {
            "devices of netchaos without their program, so that nobody knows their faults; packets to \
             their targets may be lost"
        }
    }

    fn listed(&self, laid: &Laid, now: u64) -> Result<Listed, Error> {
        let missing = self.missing(laid);
        let direction = laid.experiment.direction;
        let hits = |unasked, ingress| {
            let past = self.counted(laid, ingress)?;
            let past = past.filter(|_| direction != unasked);
            Ok::<_, Error>(past.map(|past| Hits::of(past.counter, now)))
        };
        let (to, from) = (hits(Direction::From, false)?, hits(Direction::To, true)?);
        let both = || [&to, &from].into_iter().flatten();
        let left = laid.ends.map(|end| seconds(end.saturating_sub(now)));
        let held = laid.held.as_ref();
        let is_lease = held.is_some_and(|held| held.lease.is_some());
        Ok(Listed {
            packets: both().map(|hits| hits.packets).sum(),
            bytes: both().map(|hits| hits.bytes).sum(),
            first_packet_ago: both()
                .filter_map(|hits| hits.first_packet_ago)
                .reduce(f64::max),
            last_packet_ago: both()
                .filter_map(|hits| hits.last_packet_ago)
                .reduce(f64::min),
            name: laid.experiment.name.clone(),
            namespace: laid.experiment.namespace.clone(),
            device: self.device_name(),
            state: self.standing(laid, now, &missing),
            missing,
            created: seconds(laid.created),
            ends_in: left.filter(|_| !is_lease),
            held_by: held.map(|held| held.holder.clone()),
            lease_ends_in: left.filter(|_| is_lease),
            to,
            from,
            spec: laid.experiment.clone(),
            addresses: laid.addresses.clone(),
        })
    }

    fn standing(&self, laid: &Laid, now: u64, missing: &[String]) -> Standing {
        if laid.has_expired(now) {
            Standing::Ended
        } else if self.is_dirty() || laid.going {
            Standing::Unfinished
        } else if !missing.is_empty() {
            Standing::Lost
        } else if laid.experiment.paused {
            Standing::Paused
        } else {
            Standing::Active
        }
    }

    fn shown(&self, laid: &Laid, now: u64) -> Result<Shown, Error> {
        let listed = self.listed(laid, now)?;
        let mut drift = listed.missing.clone();
        drift.extend(self.drift_of_bands(laid));
        if let Known::Open { maps, .. } = &self.state {
            drift.extend(drift_of_tables(maps, self.laid())?);
        }
        let direction = laid.experiment.direction;
        let ledger = |ingress, unasked| match direction == unasked {
            true => Ok(None),
            false => self.ledger(laid, ingress),
        };
        Ok(Shown {
            listed,
            queue: self.queue(laid, laid.band()),
            queue_from: laid.into.and_then(|band| self.queue(laid, band)),
            ledger: Ledgers {
                to: ledger(false, Direction::From)?,
                from: ledger(true, Direction::To)?,
            },
            drift,
            slot: laid.slot,
            uppers: laid
                .bands()
                .filter_map(|band| Some(self.upper(band.pair).ok()?.name.to_owned()))
                .collect(),
        })
    }

    pub(super) fn filled(&self, band: Band) -> Option<&Filled> {
        self.pairs.get(&band.pair)?.bands.get(&band)
    }

    fn queue(&self, laid: &Laid, band: Band) -> Option<QueueReport> {
        let filled = self.filled(band)?;
        Some(QueueReport {
            device: self.upper(band.pair).ok()?.name.to_owned(),
            class: band.class().to_string(),
            handle: filled.top.handle.to_string(),
            kind: filled.top.kind.clone(),
            limit: match filled.chain() {
                Chain {
                    netem: Some(netem), ..
                } => netem.limit,
                Chain { tbf, .. } => tbf.map_or(0, |tbf| tbf.limit),
            },
            qdiscs: shown_chain(filled, laid).to_string(),
            queued: filled.top.statistics.queued,
            sent: filled.top.statistics.packets,
            dropped: filled.top.statistics.drops,
        })
    }

    /// What its bands hold differently from what they should, in words.
    pub(super) fn drift_of_bands(&self, laid: &Laid) -> Vec<String> {
        let Some(wanted) = laid.chain() else {
            return Vec::new();
        };
        let found = laid
            .bands()
            .filter_map(|band| Some(self.filled(band)?.chain()));
        found
            .filter(|found| !wanted.reads_as(found))
            .map(|found| format!("the band should hold {wanted} and holds {found}"))
            .collect()
    }

    /// The experiments as people count them: one that is moving is there twice, and so is one that goes where a new
    /// one has its name already.
    pub(super) fn told(&self) -> impl Iterator<Item = &Laid> {
        let is_followed = |laid: &&Laid| {
            let is_next = |other: &Laid| !other.going || other.slot > laid.slot;
            let mut others = self.laid().iter().filter(|other| is_next(other));
            laid.going && others.any(|other| other.experiment.id() == laid.experiment.id())
        };
        self.laid().iter().filter(move |laid| !is_followed(laid))
    }
}

/// What the maps hold differently from what they should, in words.
pub(super) fn drift_of_tables(maps: &Maps, laid: &[Laid]) -> Result<Option<String>, Error> {
    let held = super::tables::read(maps)?;
    let wanted = plan::desired(laid).tables;
    let differing = held.changes_to(&wanted).len() + usize::from(held.all != wanted.all);
    Ok((differing != 0)
        .then(|| format!("{differing} entries of the maps are not as they should be")))
}

/// What is in a band, without the seed that the kernel has chosen itself.
fn shown_chain(filled: &Filled, laid: &Laid) -> Chain {
    let mut chain = filled.chain();
    if let (Some(netem), None) = (&mut chain.netem, laid.experiment.fault.seed) {
        netem.seed = None;
    }
    chain
}

fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}
