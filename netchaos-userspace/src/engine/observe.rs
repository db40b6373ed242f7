//! What is there: netchaos' own things in a namespace, put together from netlink alone.

use std::{collections::BTreeMap, sync::Arc};

use netchaos_common::abi::{ABI_VERSION, MAGIC, OLDEST_ABI, SLOTS, State};

use super::{
    attach,
    error::Error,
    ours::{Clsact, Own, Role, Seat, Seats, is_own_filter},
};
use crate::{
    experiment::Direction,
    kernel::{
        bpf::{self, Entry as _, Maps, OlderMaps, Records},
        netlink::{Filter, Hook, Link, Netlink, Qdisc},
    },
    plan::{Band, CLEAN, Laid, PRIO, PRIO_HANDLE},
    qdisc::{Chain, ClassId},
};

/// A namespace as netchaos sees it.
pub struct Observed {
    pub links: Vec<Link>,
    pub sites: Vec<Site>,
    /// Names of devices at whose tcx there are programs that cannot be opened, and so are taken for
    /// somebody else's, with the kernel's words.
    pub unseen: Vec<(String, bpf::Error)>,
}

/// Everything of ours that is about one device.
pub struct Site {
    pub ifindex: u32,
    /// None where the device is gone; its pairs stay behind.
    pub device: Option<Link>,
    pub pairs: BTreeMap<u8, Pair>,
    /// Our programs on the device.
    pub seats: Seats,
    pub clsact: Clsact,
    pub state: Known,
    /// Its programs use maps that differ: a call died while it put new ones in their places.
    pub is_mixed: bool,
}

/// A private pair of devices.
pub struct Pair {
    pub lower: Link,
    pub upper: Option<Link>,
    /// Our filter on the lower device; its program holds the maps.
    pub filter: Option<Filter>,
    pub has_prio: bool,
    /// What is in its bands.
    pub bands: BTreeMap<Band, Filled>,
}

/// The qdiscs of a band.
#[derive(Clone, Debug)]
pub struct Filled {
    pub top: Qdisc,
    /// What hangs on it.
    pub inner: Option<Qdisc>,
}

impl Filled {
    /// Those of a band of the device with the given index.
    pub fn find(qdiscs: &[Qdisc], upper: u32, band: Band) -> Option<Self> {
        let at = |parent: ClassId| {
            let mut all = qdiscs.iter().filter(|qdisc| qdisc.ifindex == upper);
            // What the kernel puts into a class by itself (a pfifo, say) has no handle.
            all.find(|qdisc| qdisc.parent == parent && qdisc.handle.0 != 0)
        };
        let top = at(band.class())?.clone();
        let inner = at(ClassId(top.handle.0 | 1)).cloned();
        Some(Self { top, inner })
    }

    /// Their parameters, as the kernel tells them.
    pub fn chain(&self) -> Chain {
        let inner = self.inner.as_ref();
        Chain {
            netem: self.top.netem(),
            tbf: self.top.tbf().or_else(|| inner?.tbf()),
        }
    }
}

/// What is known of a site's experiments.
#[expect(
    clippy::large_enum_variant,
    reason = "one per device, and mostly the large one"
)]
pub enum Known {
    /// There is no program that holds maps: remains of a call that died early.
    Nothing,
    /// A netchaos whose layout of the maps is not known.
    OtherAbi(u32),
    /// A netchaos before this one. The next change puts this one's programs and maps in their places.
    Older {
        maps: OlderMaps,
        laid: Vec<Laid>,
        dirty: bool,
    },
    /// The maps cannot be opened.
    Closed(Arc<bpf::Error>),
    Open {
        maps: Maps,
        laid: Vec<Laid>,
        /// The last writer died on the way.
        dirty: bool,
    },
}

impl Observed {
    pub async fn take(netlink: &Netlink) -> Result<Self, Error> {
        let mut observed = Self::take_without_maps(netlink).await?;
        for site in &mut observed.sites {
            let Some(device) = &site.device else { continue };
            match attach::seats(netlink, device.as_device()).await {
                Ok(seats) => site.seats = seats,
                // Which program it is can be seen only by opening it, as can the maps.
                Err(Error::Bpf(error)) => site.state = Known::Closed(Arc::new(error)),
                Err(error) => return Err(error),
            }
        }
        observed.find_lone_programs(netlink).await?;
        let is_closed = |site: &Site| matches!(site.state, Known::Closed(_));
        for site in observed.sites.iter_mut().filter(|site| !is_closed(site)) {
            site.state = Known::read(site);
            match site.has_one_set_of_maps() {
                Ok(is_one) => site.is_mixed = !is_one,
                Err(error) => site.state = Known::Closed(Arc::new(error)),
            }
        }
        let sites = observed.sites.iter();
        bpf::keep_only(&sites.flat_map(Site::programs).collect::<Vec<_>>());
        Ok(observed)
    }

    /// Devices whose pairs somebody has deleted: the programs there still hold the maps.
    async fn find_lone_programs(&mut self, netlink: &Netlink) -> Result<(), Error> {
        for link in &self.links {
            let is_known = self.sites.iter().any(|site| site.ifindex == link.index);
            if is_known || Own::recognise(link).is_some() {
                continue;
            }
            match attach::seats(netlink, link.as_device()).await {
                Ok(seats) if seats == Seats::default() => {}
                Ok(seats) => self.sites.push(Site {
                    seats,
                    ..Site::empty(link.index, &self.links)
                }),
                Err(Error::Bpf(error)) if error.is_about_rights() => {
                    self.unseen.push((link.name.clone(), error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Devices, qdiscs and the pairs' filters alone: what can be seen whatever the rights.
    pub async fn take_without_maps(netlink: &Netlink) -> Result<Self, Error> {
        let links = netlink.links().await?;
        let qdiscs = netlink.qdiscs().await?;
        let mut sites: BTreeMap<u32, Site> = BTreeMap::new();
        for link in &links {
            let Some(own) = Own::recognise(link) else {
                continue;
            };
            let site = sites
                .entry(own.device)
                .or_insert_with(|| Site::empty(own.device, &links));
            if own.role == Role::Lower {
                let pair = Pair::observe(netlink, &links, &qdiscs, own, link).await?;
                site.clsact = Clsact::of_alias(link.alias.as_deref());
                site.pairs.insert(own.pair, pair);
            }
        }
        let sites = sites.into_values().collect();
        Ok(Self {
            links,
            sites,
            unseen: Vec::new(),
        })
    }

    /// Whose clsact a device has, as far as a pair remembers.
    pub fn clsact_of(&self, ifindex: u32) -> Clsact {
        let site = self.sites.iter().find(|site| site.ifindex == ifindex);
        site.map_or(Clsact::Found, |site| site.clsact)
    }

    /// The site of a device, taken out, or a new one.
    pub fn site(&mut self, ifindex: u32) -> Site {
        match self.sites.iter().position(|site| site.ifindex == ifindex) {
            Some(found) => self.sites.swap_remove(found),
            None => Site::empty(ifindex, &self.links),
        }
    }
}

impl Site {
    fn empty(ifindex: u32, links: &[Link]) -> Self {
        Self {
            ifindex,
            device: links.iter().find(|link| link.index == ifindex).cloned(),
            pairs: BTreeMap::new(),
            seats: Seats::default(),
            clsact: Clsact::Found,
            state: Known::Nothing,
            is_mixed: false,
        }
    }

    /// Ids of its programs.
    fn programs(&self) -> impl Iterator<Item = u32> {
        let filters = self.pairs.values().filter_map(|pair| pair.filter.as_ref());
        let behind = filters.filter_map(|filter| Some(filter.program.as_ref()?.1));
        let seats = [&self.seats.egress, &self.seats.ingress];
        let on_device = seats.into_iter().flatten().filter_map(Seat::program);
        behind.chain(on_device)
    }

    fn has_one_set_of_maps(&self) -> Result<bool, bpf::Error> {
        let mut programs = self.programs();
        let Some(first) = programs.next() else {
            return Ok(true);
        };
        for other in programs {
            if !bpf::share_maps(first, other)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The device's name, as far as it is still known.
    pub fn device_name(&self) -> String {
        match &self.device {
            Some(device) => device.name.clone(),
            None => format!("device {}, which is gone", self.ifindex),
        }
    }

    pub fn laid(&self) -> &[Laid] {
        match &self.state {
            Known::Open { laid, .. } | Known::Older { laid, .. } => laid,
            _ => &[],
        }
    }

    /// Whether the last writer died on the way.
    pub const fn is_dirty(&self) -> bool {
        matches!(
            self.state,
            Known::Open { dirty: true, .. } | Known::Older { dirty: true, .. }
        )
    }

    /// Whether an experiment has nothing to do here any more: with its device it is gone, since
    /// nothing steers.
    pub fn is_over(&self, laid: &Laid, boot_nanoseconds: u64) -> bool {
        laid.has_expired(boot_nanoseconds) || self.device.is_none()
    }

    /// What has been taken away from under an experiment, in words.
    pub fn missing(&self, laid: &Laid) -> Vec<String> {
        let mut missing = Vec::new();
        let name = self.device_name();
        if self.device.is_none() {
            missing.push("its device is gone".into());
        } else {
            let direction = laid.experiment.direction;
            for (hook, unasked) in [
                (Hook::Egress, Direction::From),
                (Hook::Ingress, Direction::To),
            ] {
                if direction == unasked {
                    continue;
                }
                match self.seats.at(hook) {
                    None => missing.push(format!("no classifier at {hook} of {name}")),
                    Some(_) => missing.extend(self.seats.in_front(hook, &name)),
                }
            }
        }
        for band in laid.bands() {
            match self.pairs.get(&band.pair) {
                None => missing.push("its pair of devices is gone".into()),
                Some(pair) => pair.missing(band, &mut missing),
            }
        }
        missing
    }
}

impl Pair {
    async fn observe(
        netlink: &Netlink,
        links: &[Link],
        qdiscs: &[Qdisc],
        own: Own,
        lower: &Link,
    ) -> Result<Self, Error> {
        let upper_name = Own {
            role: Role::Upper,
            ..own
        };
        let upper = links
            .iter()
            .find(|link| Own::recognise(link) == Some(upper_name))
            .cloned();
        let on_upper =
            |qdisc: &&Qdisc| Some(qdisc.ifindex) == upper.as_ref().map(|link| link.index);
        let classes = (CLEAN + 1..=PRIO.bands as u8).map(|band| Band {
            pair: own.pair,
            band,
        });
        let index = upper.as_ref().map_or(0, |link| link.index);
        let bands = classes
            .filter_map(|band| Some((band, Filled::find(qdiscs, index, band)?)))
            .collect();
        Ok(Self {
            has_prio: qdiscs
                .iter()
                .filter(on_upper)
                .any(|qdisc| qdisc.kind == "prio" && qdisc.handle == PRIO_HANDLE),
            bands,
            filter: netlink
                .filters(lower.as_device())
                .await?
                .into_iter()
                .find(is_own_filter),
            lower: lower.clone(),
            upper,
        })
    }

    fn missing(&self, band: Band, missing: &mut Vec<String>) {
        let lower = &self.lower.name;
        match &self.upper {
            None => missing.push(format!("the device above {lower} is gone")),
            Some(upper) if !upper.is_up => missing.push(format!("{} is down", upper.name)),
            Some(_) if band.band == CLEAN => {}
            Some(upper) if !self.has_prio => missing.push(format!("{} has no prio", upper.name)),
            Some(upper) if !self.bands.contains_key(&band) => {
                missing.push(format!("no qdisc in {} of {}", band.class(), upper.name));
            }
            Some(_) => {}
        }
        if self.filter.is_none() {
            missing.push(format!("no classifier on {lower}"));
        }
    }
}

impl Known {
    fn read(site: &Site) -> Self {
        // Those behind the pairs come first: a writer who puts new maps there begins with them.
        for id in site.programs() {
            match Self::of_program(id) {
                Ok(None) => {}
                Ok(Some(known)) => return known,
                Err(error) => return Self::Closed(Arc::new(error)),
            }
        }
        Self::Nothing
    }

    /// None where the program does not hold the experiments.
    fn of_program(id: u32) -> Result<Option<Self>, bpf::Error> {
        let Some((magic, abi)) = bpf::abi_of_program(id)? else {
            return Ok(None);
        };
        Ok(Some(match abi {
            ABI_VERSION if magic == MAGIC => {
                let maps = bpf::maps_of_program(id)?;
                let (laid, dirty) = read(&maps.records)?;
                Self::Open { maps, laid, dirty }
            }
            OLDEST_ABI..ABI_VERSION if magic == MAGIC => {
                let maps = bpf::older_maps_of_program(id)?;
                let (laid, dirty) = read(&maps.records)?;
                Self::Older { maps, laid, dirty }
            }
            _ => Self::OtherAbi(abi),
        }))
    }
}

/// The experiments, and whether a writer died on the way.
fn read(records: &Records) -> Result<(Vec<Laid>, bool), bpf::Error> {
    Ok((laid(records)?, records.meta.read(0)?.dirty != 0))
}

/// The experiments that a state map holds.
fn laid(records: &Records) -> Result<Vec<Laid>, bpf::Error> {
    let mut all = Vec::new();
    for slot in 0..SLOTS as u32 {
        let state = records.states.read(slot)?;
        if state.text == 0 {
            continue;
        }
        let text = records.text(state.text, state.length)?;
        let mut laid: Laid = serde_json::from_str(&text)
            .map_err(|error| bpf::Error::unreadable("the state map", &error))?;
        laid.slot = slot as u8;
        laid.created = state.created;
        laid.going = state.phase == State::GOES;
        all.push(laid);
    }
    leave_one_of_each(&mut all);
    Ok(all)
}

/// An experiment that stays in two slots was moving when its call died, before the old slot was
/// marked as going. Either one is whole; slots go up, so the higher one is mostly the new.
fn leave_one_of_each(all: &mut [Laid]) {
    for index in 0..all.len() {
        let (until, after) = all.split_at_mut(index + 1);
        let laid = &mut until[index];
        let mut others = after.iter();
        laid.going |= others.any(|other| !other.going && other.is_the_same(laid));
    }
}
