//! The commands that change something.

use std::{fs, io::Read as _};

use serde::Serialize;

use super::{
    Failure, args, door, flags,
    output::{self, counted, note},
    tree::Plan,
};
use crate::{
    engine::{self, Effect, Healed, Laying, Repaired, Written},
    experiment::{
        Experiment, Invalid, Problem, Problems,
        manifest::{self, Document, Reading},
    },
    place::{self, Place, Where},
};

/// What became of an experiment, for programs.
#[derive(Serialize)]
struct Done {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    effect: &'static str,
}

impl Done {
    fn new(id: &str, effect: Effect) -> Self {
        let (namespace, name) = match id.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, id),
        };
        Self {
            name: name.to_owned(),
            namespace,
            effect: word(effect),
        }
    }
}

const fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Created => "created",
        Effect::Changed => "changed",
        Effect::Unchanged => "unchanged",
        Effect::Removed => "removed",
    }
}

/// Says what was written; where somebody holds it, that it does not last.
fn say(format: args::Format, written: Written) -> Result<(), Failure> {
    for (id, holder) in &written.held {
        note(&format!(
            "{id} is held by {holder}, which will put it back as it was; change it there"
        ));
    }
    say_targets(format, written)
}

/// The same of targets, which no holder puts back.
fn say_targets(format: args::Format, written: Written) -> Result<(), Failure> {
    say_flushed(written.flushed);
    let effects = || written.effects.iter().map(|(id, effect)| (id, *effect));
    let done: Vec<Done> = effects()
        .map(|(id, effect)| Done::new(id, effect))
        .collect();
    if !output::structured(format, &done)? {
        for (id, effect) in effects() {
            output::line(&format!("{id} {}", word(effect)))?;
        }
    }
    Ok(())
}

pub fn apply(apply: args::Apply) -> Result<(), Failure> {
    let experiments = read_with_notes(&apply.files, apply.strict_compat)?;
    let laying = Laying {
        experiments,
        device: apply.device.device,
        may_change: true,
    };
    lay(&apply.place, laying, apply.dry_run, apply.output.output)
}

/// The experiments of manifests; what is worth a word is said.
fn read_with_notes(files: &[String], strict_compat: bool) -> Result<Vec<Experiment>, Failure> {
    let mut experiments = Vec::new();
    let reading = Reading {
        strict_compat,
        keeps_pods: false,
    };
    for document in read_all(files, reading)? {
        for text in &document.notes {
            note(&format!("{}: {text}", document.experiment.id()));
        }
        experiments.push(document.experiment);
    }
    Ok(experiments)
}

/// The documents of manifests, or all that is wrong with them.
pub fn read_all(files: &[String], reading: Reading) -> Result<Vec<Document>, Failure> {
    let mut all: Vec<Document> = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        let read = read(file);
        match read.and_then(|text| manifest::read(name_of(file), &text, reading)) {
            Ok(documents) => {
                for document in documents {
                    let id = document.experiment.id();
                    if all.iter().any(|other| other.experiment.id() == id) {
                        problems.push(Problem {
                            file: Some(name_of(file).into()),
                            line: None,
                            field: "name".into(),
                            invalid: Invalid::value(
                                &id,
                                "stands in another file too",
                                "a name of its own for each experiment",
                            ),
                        });
                    }
                    all.push(document);
                }
            }
            Err(Problems(more)) => problems.extend(more),
        }
    }
    if problems.is_empty() {
        Ok(all)
    } else {
        Err(Failure::manifest(Problems(problems)))
    }
}

fn name_of(file: &str) -> &str {
    if file == "-" { "stdin" } else { file }
}

/// The longest manifest that is read: a hundred thousand targets are a few megabytes.
const LONGEST_FILE: u64 = 64 << 20;

fn read(file: &str) -> Result<String, Problems> {
    let mut text = String::new();
    let result = match args::path_of(file) {
        Some(path) => {
            fs::File::open(path).and_then(|file| file.take(LONGEST_FILE).read_to_string(&mut text))
        }
        None => std::io::stdin()
            .lock()
            .take(LONGEST_FILE)
            .read_to_string(&mut text),
    };
    match result {
        Ok(_) => Ok(text),
        Err(error) => Err(Problem {
            file: Some(name_of(file).into()),
            line: None,
            field: String::new(),
            invalid: Invalid::field(format!("cannot be read: {error}"), None),
        }
        .into()),
    }
}

pub fn add(add: args::Add) -> Result<(), Failure> {
    let laying = Laying {
        experiments: vec![experiment(&add.name, &add.what, &add.device)?],
        device: add.device.device,
        may_change: false,
    };
    lay(&add.place, laying, add.dry_run, add.output.output)
}

/// The experiment that flags ask for; what is worth a word is said.
fn experiment(name: &str, what: &args::What, device: &args::Device) -> Result<Experiment, Failure> {
    let experiment = flags::experiment(name, what, device.device.as_deref());
    let experiment = experiment.map_err(Failure::usage)?;
    for text in experiment.notes() {
        note(&text);
    }
    Ok(experiment)
}

pub fn run(run: args::Run) -> Result<(), Failure> {
    let format = run.output.output;
    let experiments = match &run.name {
        None => {
            let strict_compat = flags::of_files(&run.what.fault).map_err(Failure::usage)?;
            read_with_notes(&run.files, strict_compat)?
        }
        Some(name) => vec![experiment(name, &run.what, &run.device)?],
    };
    let laying = Laying {
        experiments,
        device: run.device.device,
        may_change: false,
    };
    let place = open(&run.place)?;
    let began = |written: Written| {
        // Whoever closes the pipe ends the run with a signal all the same.
        let _ = say(format, written);
    };
    let flushed = engine::inside(&place, async |session| {
        if run.heal {
            heal_first(&session).await;
        }
        session.run(laying, began, note).await
    })?;
    say_flushed(flushed);
    Ok(())
}

/// What cannot be taken away keeps nothing from being laid beside it: it steers no packet any more.
async fn heal_first(session: &engine::Session<'_>) {
    match session.heal().await {
        Ok(healed) if healed.devices.is_empty() && healed.filters.is_empty() => {}
        Ok(healed) => {
            let things: Vec<String> = healed.filters.into_iter().chain(healed.devices).collect();
            note(&format!("took away {}", things.join(", ")));
        }
        Err(error) => note(&format!("{}; going on", error.with_sources())),
    }
}

fn say_flushed(packets: u32) {
    if packets != 0 {
        note(&format!(
            "{} that waited in the queues went down with them",
            counted(packets.into(), "packet")
        ));
    }
}

fn lay(
    place: &args::Place,
    laying: Laying,
    dry_run: bool,
    format: args::Format,
) -> Result<(), Failure> {
    let place = open(place)?;
    if !dry_run {
        let written = engine::inside(&place, async |session| session.lay(laying).await)?;
        return say(format, written);
    }
    let planned = engine::inside(&place, async |session| session.plan(laying).await)?;
    let plans: Vec<Plan> = planned.into_iter().map(Plan::of).collect();
    if !output::structured(format, &plans)? {
        for plan in plans {
            output::line(&plan.picture())?;
        }
    }
    Ok(())
}

pub fn change(change: args::Change) -> Result<(), Failure> {
    let patch = flags::patch(&change.fault).map_err(Failure::usage)?;
    let place = open(&change.place)?;
    let name = change.name;
    let (written, notes) = engine::inside(&place, async |session| {
        session.change(&name, |fault| patch.apply(fault)).await
    })?;
    notes.iter().for_each(|text| note(text));
    say(change.output.output, written)
}

pub fn target(targets: args::Targets, adds: bool) -> Result<(), Failure> {
    let list = flags::targets(&targets.targets).map_err(Failure::usage)?;
    let name = targets.name;
    if let Some(written) = door::target(&targets.place, &name, &list, adds) {
        return say_targets(targets.output.output, written?);
    }
    let place = open(&targets.place)?;
    let written = engine::inside(&place, async |session| {
        if adds {
            session.add_targets(&name, &list).await
        } else {
            session.remove_targets(&name, &list).await
        }
    })?;
    say_targets(targets.output.output, written)
}

pub fn pause(names: args::Names, pause: bool) -> Result<(), Failure> {
    let place = open(&names.place)?;
    let written = engine::inside(&place, async |session| {
        session.pause(&names.names, pause).await
    })?;
    say(names.output.output, written)
}

pub fn remove(remove: args::Remove) -> Result<(), Failure> {
    let place = open(&remove.place)?;
    let names = (!remove.all).then_some(remove.names.as_slice());
    let written = engine::inside(&place, async |session| {
        session
            .remove(names, remove.device.as_deref(), remove.now)
            .await
    })?;
    say(remove.output.output, written)
}

/// What was healed in a place, for programs.
#[derive(Serialize)]
struct HealedPlace {
    place: String,
    #[serde(flatten)]
    healed: Healed,
}

pub fn heal(heal: args::Heal) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut failures = Vec::new();
    for (wanted, opened) in everywhere(&heal.place, heal.all) {
        let healed = opened
            .map_err(engine::Error::from)
            .and_then(|place| engine::inside(&place, async |session| session.heal().await));
        match healed {
            Ok(healed) => all.push(HealedPlace {
                place: wanted.to_string(),
                healed,
            }),
            // The others are healed all the same.
            Err(error) => failures.push((wanted, error)),
        }
    }
    if !output::structured(heal.output.output, &all)? {
        for HealedPlace { place, healed } in &all {
            if let Some(why) = &healed.without_lock {
                note(&format!("{place}: went on without the lock: {why}"));
            }
            let things = healed.filters.iter().chain(&healed.devices);
            let things: Vec<&str> = things.map(String::as_str).collect();
            if things.is_empty() {
                output::line(&format!("{place}: nothing of netchaos here"))?;
            } else {
                output::line(&format!("{place}: took away {}", things.join(", ")))?;
            }
        }
    }
    Failure::of_places(failures, !all.is_empty())
}

/// What was repaired in a place, for programs.
#[derive(Serialize)]
struct RepairedPlace {
    place: String,
    #[serde(flatten)]
    repaired: Repaired,
}

pub fn repair(repair: args::Heal) -> Result<(), Failure> {
    let mut all = Vec::new();
    let mut failures = Vec::new();
    let mut some_worked = false;
    for (wanted, opened) in everywhere(&repair.place, repair.all) {
        let repaired = opened
            .map_err(engine::Error::from)
            .and_then(|place| engine::inside(&place, async |session| session.repair().await));
        match repaired {
            Ok((repaired, flushed)) => {
                some_worked = true;
                say_flushed(flushed);
                all.extend(repaired.into_iter().map(|repaired| RepairedPlace {
                    place: wanted.to_string(),
                    repaired,
                }));
            }
            // The others are repaired all the same.
            Err(error) => failures.push((wanted, error)),
        }
    }
    if !output::structured(repair.output.output, &all)? {
        for RepairedPlace { place, repaired } in &all {
            output::line(&format!("{place}: {}", words_of(repaired)))?;
        }
        if all.is_empty() && failures.is_empty() {
            output::line("nothing to repair")?;
        }
    }
    Failure::of_places(failures, some_worked)
}

fn words_of(repaired: &Repaired) -> String {
    let found = repaired.found.join(", ");
    match (repaired.id(), repaired.is_back) {
        (None, _) => format!("took away {found}"),
        (Some(id), true) => format!("{id} repaired: {found}"),
        (Some(id), false) => format!("{id} removed, which was ending: {found}"),
    }
}

pub fn open(place: &args::Place) -> Result<Place, Failure> {
    let opened = Place::open(&place.wanted());
    let opened = opened.or_else(|error| match door::wanted(place) {
        Some(wanted) => Place::open(&wanted),
        None => Err(error),
    });
    Ok(opened.map_err(engine::Error::from)?)
}

/// The place asked for, or all that can be found, each opened when it is its turn.
pub fn everywhere(
    place: &args::Place,
    all: bool,
) -> Box<dyn Iterator<Item = (Where, Result<Place, place::Error>)>> {
    if all {
        return Box::new(place::everywhere());
    }
    let wanted = place.wanted();
    let opened = Place::open(&wanted);
    Box::new(std::iter::once((wanted, opened)))
}
