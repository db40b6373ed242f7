//! A model of netchaos that is small enough to be right: which experiments there are, and which
//! peers are cut off by them. For the tests with random sequences of calls.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::probe::Reached;

/// A bit for each peer that may be a target: 10.77.0.2 to 10.77.0.8. The next one is a bystander.
pub const TARGETS: u32 = 0x1fc;
pub const DIRECTIONS: [&str; 3] = ["to", "from", "both"];

/// An experiment that cuts off its targets, or does nothing to speak of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    pub to: u32,
    pub direction: &'static str,
    pub partition: bool,
    /// Loses everything (true), or one packet in a million.
    pub loss: Option<bool>,
    pub paused: bool,
}

/// What there is, by name.
pub type Model = BTreeMap<String, Cut>;

/// Loss in percent: of everything, and of next to nothing.
const fn percent(all: bool) -> &'static str {
    if all { "100%" } else { "0.0001%" }
}

fn addresses(bits: u32) -> Vec<String> {
    let hosts = (0..32).filter(|host| bits >> host & 1 == 1);
    hosts.map(|host| format!("10.77.0.{host}")).collect()
}

impl Cut {
    fn flags(&self) -> String {
        let mut flags = format!("--direction {}", self.direction);
        if self.partition {
            flags += " --partition";
        }
        if let Some(all) = self.loss {
            flags += &format!(" --loss {}", percent(all));
        }
        format!("{flags} --to {}", addresses(self.to).join(" "))
    }

    fn manifest(&self, name: &str) -> Value {
        let mut fault = json!({});
        if self.partition {
            fault["partition"] = true.into();
        }
        if let Some(all) = self.loss {
            fault["loss"] = json!({ "percent": percent(all) });
        }
        json!({
            "apiVersion": "netchaos/v1", "kind": "Experiment", "name": name,
            "direction": self.direction, "fault": fault, "to": addresses(self.to),
        })
    }

    /// As `list -o json` tells it.
    ///
    /// # Panics
    /// When that is something that the model does not know.
    fn of_listed(item: &Value) -> Self {
        let spec = &item["spec"];
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let host = |to: &Value| -> u32 {
            let address = text(to);
            let last = address.rsplit('.').next().expect("an address");
            last.parse().expect("a host")
        };
        let direction = text(&spec["direction"]);
        let loss = spec["fault"]["loss"]["percent"].as_str();
        Self {
            to: spec["to"]
                .as_array()
                .expect("a list")
                .iter()
                .map(host)
                .fold(0, |bits, host| bits | 1 << host),
            direction: DIRECTIONS
                .into_iter()
                .find(|known| *known == direction)
                .expect("a direction"),
            partition: spec["fault"]["partition"] == true,
            loss: loss.map(|loss| loss == "100%"),
            paused: spec["paused"] == true,
        }
    }
}

/// The experiments of `list -o json`.
///
/// # Panics
/// When one is there twice, or of a kind that the model does not know.
pub fn listed(list: &Value) -> Model {
    let mut model = Model::new();
    for item in list.as_array().expect("an array") {
        let name = item["name"].as_str().expect("a name").to_owned();
        let before = model.insert(name, Cut::of_listed(item));
        assert!(before.is_none(), "listed twice: {list:#}");
    }
    model
}

/// Who is reached where these are at work, of the targets.
pub fn reached(model: &Model) -> Reached {
    let mut reached = Reached {
        to: TARGETS,
        from: TARGETS,
    };
    for cut in model.values() {
        let cuts = !cut.paused && (cut.partition || cut.loss == Some(true));
        if cuts && cut.direction != "from" {
            reached.to &= !cut.to;
        }
        if cuts && cut.direction != "to" {
            reached.from &= !cut.to;
        }
    }
    reached
}

/// A call of netchaos.
#[derive(Clone, Debug)]
pub enum Call {
    Add(String, Cut),
    Apply(Vec<(String, Cut)>),
    Change(String, bool),
    AddTargets(String, u32),
    RemoveTargets(String, u32),
    Pause(Vec<String>, bool),
    Remove(Vec<String>),
    RemoveAll,
    Repair,
    Heal,
}

impl Call {
    /// Its words; `file` holds [`Self::manifests`] where there are any.
    pub fn line(&self, file: &str) -> String {
        match self {
            Self::Add(name, cut) => format!("add {name} {}", cut.flags()),
            Self::Apply(_) => format!("apply -f {file}"),
            Self::Change(name, all) => format!("change {name} --loss {}", percent(*all)),
            Self::AddTargets(name, to) => format!("target add {name} {}", addresses(*to).join(" ")),
            Self::RemoveTargets(name, to) => {
                format!("target remove {name} {}", addresses(*to).join(" "))
            }
            Self::Pause(names, true) => format!("pause {}", names.join(" ")),
            Self::Pause(names, false) => format!("resume {}", names.join(" ")),
            Self::Remove(names) => format!("remove {}", names.join(" ")),
            Self::RemoveAll => "remove --all".into(),
            Self::Repair => "repair".into(),
            Self::Heal => "heal".into(),
        }
    }

    /// What it reads, several documents.
    pub fn manifests(&self) -> Option<String> {
        let Self::Apply(all) = self else { return None };
        let texts = all.iter().map(|(name, cut)| cut.manifest(name).to_string());
        Some(texts.collect::<Vec<_>>().join("\n---\n"))
    }

    /// What there is after it; none where it is refused and changes nothing.
    pub fn done(&self, model: &Model) -> Option<Model> {
        self.step(model, u32::MAX)
    }

    /// What there may be after it was killed: of each experiment what was or what was asked for.
    pub fn perhaps_done(&self, model: &Model) -> BTreeSet<Model> {
        let parts = match self {
            Self::Apply(all) => all.len(),
            Self::Pause(names, _) | Self::Remove(names) => names.len(),
            Self::RemoveAll => model.len(),
            _ => 1,
        };
        let done = (0..1 << parts).filter_map(|some| self.step(model, some));
        done.chain([model.clone()]).collect()
    }

    /// What is done to those experiments alone whose bits are set, in their order.
    fn step(&self, model: &Model, some: u32) -> Option<Model> {
        let mut after = model.clone();
        let is_meant = |number: usize| some >> number & 1 == 1;
        let there = |names: &[String]| names.iter().all(|name| model.contains_key(name));
        match self {
            Self::Add(name, cut) => {
                if model.contains_key(name) {
                    return None;
                }
                if is_meant(0) {
                    after.insert(name.clone(), cut.clone());
                }
            }
            Self::Apply(all) => {
                for (number, (name, cut)) in all.iter().enumerate() {
                    if is_meant(number) {
                        after.insert(name.clone(), cut.clone());
                    }
                }
            }
            Self::Change(name, all) => {
                let cut = after.get_mut(name)?;
                if is_meant(0) {
                    cut.loss = Some(*all);
                }
            }
            Self::AddTargets(name, to) => {
                let cut = after.get_mut(name)?;
                if is_meant(0) {
                    cut.to |= to;
                }
            }
            Self::RemoveTargets(name, to) => {
                let cut = after.get_mut(name)?;
                if to & !cut.to != 0 || cut.to == *to {
                    return None;
                }
                if is_meant(0) {
                    cut.to &= !to;
                }
            }
            Self::Pause(names, paused) if there(names) => {
                for (_, name) in names
                    .iter()
                    .enumerate()
                    .filter(|(number, _)| is_meant(*number))
                {
                    after.get_mut(name)?.paused = *paused;
                }
            }
            Self::Remove(names) if there(names) => {
                for (_, name) in names
                    .iter()
                    .enumerate()
                    .filter(|(number, _)| is_meant(*number))
                {
                    after.remove(name);
                }
            }
            Self::Pause(..) | Self::Remove(_) => return None,
            Self::RemoveAll => {
                let mut number = 0;
                after.retain(|_, _| {
                    number += 1;
                    !is_meant(number - 1)
                });
            }
            Self::Heal if is_meant(0) => after.clear(),
            Self::Heal | Self::Repair => {}
        }
        Some(after)
    }
}
