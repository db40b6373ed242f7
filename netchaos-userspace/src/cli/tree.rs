//! The tree and the maps' contents as a picture.

use std::{collections::BTreeMap, time::Duration};

use netchaos_common::abi::Wants;
use serde::Serialize;

use crate::{
    engine::{Planned, pair_names},
    experiment::units,
    plan::{self, Laid, PRIO, PRIO_HANDLE, tables::Key},
    qdisc::Netem,
};

/// What a device would hold, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub device: String,
    pub bands: Vec<PlannedBand>,
    pub entries: Vec<PlannedEntry>,
    pub experiments: Vec<Laid>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedBand {
    pub experiment: String,
    /// The devices of the pair, upper and lower.
    pub pair: (String, String),
    pub class: String,
    pub qdisc: String,
    pub steers: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedEntry {
    /// The map: `HOSTS`, `PREFIXES`, or `COMMITS` for what holds for every address.
    pub map: &'static str,
    pub key: String,
    pub want: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

impl Plan {
    pub fn of(planned: Planned) -> Self {
        let desired = plan::desired(&planned.laid);
        let names: BTreeMap<u8, &str> = planned
            .laid
            .iter()
            .map(|laid| (laid.slot, laid.experiment.name.as_str()))
            .collect();
        let names_of = |bits: u64| -> Vec<String> {
            let set = names.iter().filter(|(slot, _)| bits >> *slot & 1 != 0);
            set.map(|(_, name)| (*name).to_owned()).collect()
        };
        let entry = |map, key, wants: &Wants| PlannedEntry {
            map,
            key,
            want: names_of(wants.want),
            except: names_of(wants.except),
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
        if desired.tables.all != Wants::default() {
            entries.push(entry(
                "COMMITS",
                "every address".into(),
                &desired.tables.all,
            ));
        }
        let bands = planned.laid.iter().map(|laid| PlannedBand {
            experiment: laid.experiment.name.clone(),
            pair: pair_names(planned.ifindex, laid.pair),
            class: laid.band().class().to_string(),
            qdisc: describe(laid),
            steers: !laid.experiment.paused,
        });
        Self {
            device: planned.device,
            bands: bands.collect(),
            entries,
            experiments: planned.laid,
        }
    }

    /// The same as a picture.
    pub fn picture(&self) -> String {
        let mut lines = vec![
            format!("device {}", self.device),
            "├─ clsact egress: netchaos_egress, direct-action, first in line".to_owned(),
        ];
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
            lines.push(format!("│     ├─ {PRIO_HANDLE}1 stays clean"));
            for (number, band) in bands.iter().enumerate() {
                let branch = if number + 1 == bands.len() {
                    "└"
                } else {
                    "├"
                };
                let paused = if band.steers { "" } else { ", paused" };
                lines.push(format!(
                    "│     {branch}─ {} {} <- {}{paused}",
                    band.class, band.qdisc, band.experiment
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

/// The qdisc of an experiment, near to how tc writes it.
pub fn describe(laid: &Laid) -> String {
    let Netem {
        latency,
        jitter,
        limit,
        ..
    } = plan::netem::of(&laid.experiment.fault);
    let time = |nanoseconds| units::format_duration(Duration::from_nanos(nanoseconds));
    let correlation = laid
        .experiment
        .fault
        .delay
        .clone()
        .unwrap_or_default()
        .correlation;
    let mut text = format!(
        "netem {} limit {limit} delay {}",
        laid.band().handle(),
        time(latency)
    );
    if jitter != 0 {
        text.push_str(&format!(" {}", time(jitter)));
    }
    if jitter != 0 && !correlation.is_zero() {
        text.push_str(&format!(" {correlation}"));
    }
    text
}
