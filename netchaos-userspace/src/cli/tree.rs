//! The tree and the maps' contents as a picture.

use std::collections::BTreeMap;

use netchaos_common::abi::{Loss, Wants};
use serde::Serialize;

use crate::{
    engine::{Planned, pair_names},
    experiment::Direction,
    plan::{self, Band, Laid, PRIO, PRIO_HANDLE, chain, tables::Key},
};

/// What a device would hold, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub device: String,
    /// Whether a program is at the device's egress, and at its ingress.
    pub egress: bool,
    pub ingress: bool,
    pub bands: Vec<PlannedBand>,
    pub entries: Vec<PlannedEntry>,
    pub experiments: Vec<Laid>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedBand {
    pub experiment: String,
    /// Whose packets it is for: those to the targets, those from them, or both.
    pub direction: Direction,
    /// The devices of the pair, upper and lower.
    pub pair: (String, String),
    pub class: String,
    /// Near to how tc writes them, each the parent of the next one.
    pub qdiscs: String,
    /// What the program does by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    pub steers: bool,
    /// Its packets are cut into those of the wire first.
    pub cuts: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedEntry {
    /// The map, such as `HOSTS`; `COMMITS` for what holds for every address.
    pub map: &'static str,
    pub key: String,
    pub want: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

impl Plan {
    pub fn of(planned: Planned) -> Self {
        let desired = plan::desired(&planned.laid);
        let ids: BTreeMap<u8, String> = planned
            .laid
            .iter()
            .map(|laid| (laid.slot, laid.experiment.id()))
            .collect();
        let ids_of = |bits: u64| -> Vec<String> {
            let set = ids.iter().filter(|(slot, _)| bits >> *slot & 1 != 0);
            set.map(|(_, id)| id.clone()).collect()
        };
        let entry = |map, key, wants: &Wants| PlannedEntry {
            map,
            key,
            want: ids_of(wants.want),
            except: ids_of(wants.except),
        };
        let mut keys: Vec<(Key, Wants)> = desired
            .tables
            .hosts
            .iter()
            .map(|(key, wants)| (Key::Host(*key), *wants))
            .collect();
        keys.extend(
            desired
                .tables
                .prefixes
                .iter()
                .map(|(key, wants)| (Key::Prefix(*key), *wants)),
        );
        keys.sort_unstable_by_key(|(key, _)| *key);
        let mut entries: Vec<_> = keys
            .iter()
            .map(|(key, wants)| entry(key.map(), key.to_string(), wants))
            .collect();
        entries.extend(conditions(&planned.laid));
        if desired.tables.all != Wants::default() {
            entries.push(entry(
                "COMMITS",
                "every address".into(),
                &desired.tables.all,
            ));
        }
        let bands = planned.laid.iter().flat_map(|laid| {
            laid.bands().map(|band| PlannedBand {
                experiment: laid.experiment.id(),
                direction: direction(laid, band),
                pair: pair_names(planned.ifindex, band.pair),
                class: band.class().to_string(),
                qdiscs: qdiscs(laid),
                program: program(laid),
                steers: !laid.experiment.paused,
                cuts: chain::counts_segments(&laid.experiment.fault),
            })
        });
        Self {
            device: planned.device,
            egress: desired.egress,
            ingress: desired.ingress,
            bands: bands.collect(),
            entries,
            experiments: planned.laid,
        }
    }

    /// The same as a picture.
    pub fn picture(&self) -> String {
        let mut lines = vec![format!("device {}", self.device)];
        for (is_needed, hook, program) in [
            (self.egress, "egress", "netchaos_egress"),
            (self.ingress, "ingress", "netchaos_in"),
        ] {
            if is_needed {
                lines.push(format!("├─ {hook}: {program}, first in line"));
            }
        }
        let mut pairs: BTreeMap<&(String, String), Vec<&PlannedBand>> = BTreeMap::new();
        for band in &self.bands {
            pairs.entry(&band.pair).or_default().push(band);
        }
        for ((upper, lower), bands) in pairs {
            lines.push(format!("├─ pair {upper} (macvlan) on {lower} (dummy)"));
            lines.push(format!(
                "│  └─ prio {PRIO_HANDLE} of {upper}, {} bands",
                PRIO.bands
            ));
            let clean = if bands.iter().any(|band| band.cuts) {
                "cuts packets into those of the wire"
            } else {
                "stays clean"
            };
            lines.push(format!("│     ├─ {PRIO_HANDLE}1 {clean}"));
            for (number, band) in bands.iter().enumerate() {
                let branch = if number + 1 == bands.len() {
                    "└"
                } else {
                    "├"
                };
                let paused = if band.steers { "" } else { ", paused" };
                let mut words = band.qdiscs.clone();
                if let Some(program) = &band.program {
                    let comma = if words.is_empty() { "" } else { ", after " };
                    words.push_str(&format!("{comma}the program: {program}"));
                }
                let class = if band.qdiscs.is_empty() {
                    ""
                } else {
                    &format!("{} ", band.class)
                };
                lines.push(format!(
                    "│     {branch}─ {class}{words} <- {} ({}){paused}",
                    band.experiment, band.direction
                ));
            }
        }
        lines.push("└─ maps".to_owned());
        for (number, entry) in self.entries.iter().enumerate() {
            if number == LONGEST_LIST {
                lines.push(format!("   └─ and {} more", self.entries.len() - number));
                break;
            }
            let branch = if number + 1 == self.entries.len() {
                "└"
            } else {
                "├"
            };
            let mut line = format!("   {branch}─ {} {}", entry.map, entry.key);
            if !entry.want.is_empty() {
                line.push_str(&format!(" -> {}", entry.want.join(", ")));
            }
            if !entry.except.is_empty() {
                line.push_str(&format!(", not {}", entry.except.join(", ")));
            }
            lines.push(line);
        }
        lines.join("\n")
    }
}

/// Entries that a picture shows; programs get all.
const LONGEST_LIST: usize = 40;

/// The direction that a band is for.
fn direction(laid: &Laid, band: Band) -> Direction {
    match laid.into {
        Some(into) if into == band => Direction::From,
        Some(_) => Direction::To,
        None => laid.experiment.direction,
    }
}

/// The qdiscs of an experiment.
fn qdiscs(laid: &Laid) -> String {
    laid.chain()
        .map_or_else(String::new, |chain| chain.to_string())
}

/// What the program does with an experiment's packets before they reach a qdisc.
fn program(laid: &Laid) -> Option<String> {
    let fault = &laid.experiment.fault;
    let Loss {
        worsen,
        recover,
        bad,
        good,
    } = chain::loss(fault);
    let percent = |share: u32| f64::from(share) / f64::from(u32::MAX) * 100.0;
    match (worsen, bad, good) {
        (_, _, u32::MAX) => Some("drops everything".to_owned()),
        (0, _, 0) => None,
        (0, _, good) => Some(format!("drops {:.3}%", percent(good))),
        (worsen, bad, good) => Some(format!(
            "drops by a chain of two states, {:.3}% worsen, {:.3}% recover, {:.3}% lost in the bad \
             one, {:.3}% in the good one",
            percent(worsen),
            percent(recover),
            percent(bad),
            percent(good)
        )),
    }
}

/// What the experiments ask of ports and protocols, an entry per range.
fn conditions(laid: &[Laid]) -> Vec<PlannedEntry> {
    let mut all = Vec::new();
    for laid in laid {
        let mut add = |map, key: String| {
            all.push(PlannedEntry {
                map,
                key,
                want: vec![laid.experiment.id()],
                except: Vec::new(),
            });
        };
        let rule = &laid.experiment.rule;
        if !rule.ports.are_any() {
            add("REMOTE_PORTS", rule.ports.to_string());
        }
        if !rule.local_ports.are_any() {
            add("LOCAL_PORTS", rule.local_ports.to_string());
        }
        for protocol in &rule.protocols {
            add("PROTOCOLS", protocol.to_string());
        }
    }
    all
}
