//! `explain`: what an experiment does, or would do, in words and as the tree.

use serde::Serialize;

use super::{Failure, args, output, tree::Plan, write};
use crate::{
    engine::{self, Planned},
    experiment::{Experiment, Pods, manifest::Reading},
    plan::{self, Laid, explain::Explanation},
};

/// An explained experiment, for programs.
#[derive(Serialize)]
struct Explained {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// For people.
    #[serde(skip)]
    id: String,
    #[serde(flatten)]
    explanation: Explanation,
    /// Worth a word, but no fault of the experiment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    plan: Plan,
}

pub fn explain(explain: args::Explain) -> Result<(), Failure> {
    let all = match &explain.name {
        Some(name) => vec![of_place(&explain.place, name)?],
        None => of_files(&explain)?,
    };
    if output::structured(explain.output.output, &all)? {
        return Ok(());
    }
    for (number, explained) in all.iter().enumerate() {
        if number != 0 {
            output::line("")?;
        }
        output::line(&picture(explained))?;
    }
    Ok(())
}

/// An experiment that is there.
fn of_place(place: &args::Place, name: &str) -> Result<Explained, Failure> {
    let place = write::open(place)?;
    let planned = engine::inside(&place, async |session| session.planned(name).await)?;
    let notes = planned.laid[0].experiment.notes();
    Ok(explained(planned, notes, None))
}

/// Experiments as they would be on a device that has no others: nothing is looked at, so this
/// takes no rights.
fn of_files(explain: &args::Explain) -> Result<Vec<Explained>, Failure> {
    let reading = Reading {
        strict_compat: explain.strict_compat,
        keeps_pods: true,
    };
    let documents = write::read_all(&explain.files, reading)?;
    let all = documents.into_iter().map(|document| {
        let experiment = document.experiment;
        let device = explain.device.device.clone();
        let device = device.or_else(|| experiment.device.clone());
        let planned = alone(device, experiment);
        explained(planned, document.notes, document.pods.as_ref())
    });
    Ok(all.collect())
}

fn alone(device: Option<String>, experiment: Experiment) -> Planned {
    /// Stands for a device that is not known; pairs bear the number in their names.
    const SOME_DEVICE: u32 = 0;
    let room = plan::room(&[], &experiment).unwrap_or_default();
    Planned {
        device: device.unwrap_or_else(|| "the device of the default route".into()),
        ifindex: SOME_DEVICE,
        laid: vec![Laid::new(experiment, room)],
    }
}

fn explained(planned: Planned, notes: Vec<String>, pods: Option<&Pods>) -> Explained {
    let experiment = &planned.laid[0].experiment;
    Explained {
        name: experiment.name.clone(),
        namespace: experiment.namespace.clone(),
        id: experiment.id(),
        explanation: plan::explain::explain(experiment, &planned.device, pods),
        notes,
        plan: Plan::of(planned),
    }
}

fn picture(explained: &Explained) -> String {
    let Explanation {
        packets,
        each,
        meaning,
        differences,
    } = &explained.explanation;
    let mut lines = vec![explained.id.clone()];
    let mut part = |title: &str, sentences: &[String]| {
        if sentences.is_empty() {
            return;
        }
        lines.push(format!("{title}:"));
        lines.extend(sentences.iter().map(|sentence| format!("  {sentence}")));
    };
    part("Which packets", packets);
    part("What happens to each", each);
    part("What that means", meaning);
    part("Where Chaos Mesh differs", differences);
    part("Notes", &explained.notes);
    lines.push("The tree:".to_owned());
    let tree = explained.plan.picture();
    lines.extend(tree.lines().map(|line| format!("  {line}")));
    lines.join("\n")
}
