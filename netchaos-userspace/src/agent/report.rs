//! What the status says of an object: records, conditions, one word and one sentence, and what of
//! it is news. Pure.

use super::{
    chaos::Chaos,
    cluster::{Cluster, Id},
    decide::{Draft, Now, Tiding},
    status::{Condition, Desired, InPod, PLACE, Phase, Record, RecordEvent, State, Status, TARGET},
};

/// A record keeps this many events, the latest ones.
const EVENTS: usize = 5;
/// An event's note may have 1024 bytes (events.k8s.io/v1), and a sentence in a table fewer.
const LONGEST_NOTE: usize = 400;

/// The whole status that follows from a draft, and what is news in it.
pub(super) fn told(
    draft: Draft,
    chaos: &Chaos,
    cluster: &Cluster,
    now: &Now,
) -> (Status, Vec<Tiding>) {
    let old = &chaos.status;
    let mut tidings = Vec::new();
    let places: Vec<Seen> = draft
        .places
        .iter()
        .map(|id| seen(id, old, cluster))
        .collect();
    let there = || places.iter().filter(|seen| seen.is_there);
    let (injected, all) = (
        there().filter(|seen| seen.injected).count(),
        there().count(),
    );
    let is_whole = draft.rest.is_none() && all > 0 && injected == all;
    let mut records = Vec::new();
    for (id, seen) in draft.places.iter().zip(&places) {
        records.push(record(PLACE, id, seen, old, now, &mut tidings));
    }
    for id in &draft.peers {
        let seen = Seen {
            injected: is_whole,
            ..Seen::default()
        };
        records.push(record(TARGET, id, &seen, old, now, &mut tidings));
    }
    let failures: Vec<String> = draft
        .places
        .iter()
        .zip(&places)
        .filter(|(_, seen)| seen.is_there && !seen.injected && !seen.message.is_empty())
        .map(|(id, seen)| format!("{id}: {}", seen.message))
        .collect();
    let state = match draft.rest {
        Some(State::Ended | State::Paused) if injected > 0 => State::Recovering,
        Some(rest) => rest,
        None if is_whole => State::Injected,
        None if failures.is_empty() => State::Injecting,
        None if injected == 0 => State::Failed,
        None => State::Partly,
    };
    let message = match failures.first() {
        _ if !draft.message.is_empty() => draft.message.clone(),
        Some(first) if draft.rest.is_none() => match failures.len() {
            1 => first.clone(),
            count => format!("{first}; and {} more", count - 1),
        },
        _ => String::new(),
    };
    let mut status = old.clone();
    status.experiment.desired_phase = draft.desired;
    status.experiment.container_records = records;
    status.netchaos.state = state;
    status.netchaos.injected = format!("{injected}/{all}");
    status.netchaos.message = short(&message);
    status.netchaos.targets = draft.targets.clone();
    status.netchaos.chosen = draft.chosen.clone();
    let nodes = &mut status.netchaos.nodes;
    nodes.retain(|node, _| cluster.node(node).is_some());
    status.conditions = conditions(&draft, chaos, &status, is_whole, now);
    tidings.extend(news(old, &status));
    if status.is("Selected") && !old.is("Selected") {
        let notes = chaos.asked.iter().flat_map(|asked| &asked.notes);
        tidings.extend(notes.map(|note| Tiding {
            is_warning: false,
            reason: "Note",
            note: short(note),
        }));
    }
    (status, tidings)
}

/// A chosen pod as its node's agent sees it.
#[derive(Default)]
struct Seen {
    is_there: bool,
    injected: bool,
    message: String,
}

fn seen(id: &Id, old: &Status, cluster: &Cluster) -> Seen {
    let Some(pod) = cluster.pods.get(id).filter(|pod| pod.lives()) else {
        return Seen::default();
    };
    let node = pod.node.as_deref().unwrap_or_default();
    let of_this_one = |in_pod: &&InPod| in_pod.uid == pod.uid;
    let in_pod = old.in_pod(node, &id.to_string()).filter(of_this_one);
    Seen {
        is_there: true,
        injected: in_pod.is_some_and(|in_pod| in_pod.injected),
        message: in_pod.map_or_else(String::new, |in_pod| in_pod.message.clone()),
    }
}

/// The record of a pod with what has happened to it since.
fn record(
    key: &str,
    id: &Id,
    seen: &Seen,
    old: &Status,
    now: &Now,
    tidings: &mut Vec<Tiding>,
) -> Record {
    let id = id.to_string();
    let before = old.records(key).find(|record| record.id == id).cloned();
    let mut record = before.unwrap_or_else(|| Record {
        id: id.clone(),
        selector_key: key.to_owned(),
        ..Record::default()
    });
    let phase = if seen.injected {
        Phase::Injected
    } else {
        Phase::NotInjected
    };
    let last = record.events.last();
    let is_told = last.is_some_and(|event| event.kind == "Failed" && event.message == seen.message);
    if record.phase != phase {
        let (operation, count) = if seen.injected {
            ("Apply", &mut record.injected_count)
        } else {
            ("Recover", &mut record.recovered_count)
        };
        *count += 1;
        note(&mut record, "Succeeded", operation, "", now);
    }
    if !seen.injected && !seen.message.is_empty() && !is_told {
        note(&mut record, "Failed", "Apply", &seen.message, now);
        tidings.push(Tiding {
            is_warning: true,
            reason: "Failed",
            note: short(&format!("{id}: {}", seen.message)),
        });
    }
    record.phase = phase;
    record
}

fn note(record: &mut Record, kind: &str, operation: &str, message: &str, now: &Now) {
    record.events.push(RecordEvent {
        kind: kind.to_owned(),
        operation: operation.to_owned(),
        message: message.to_owned(),
        timestamp: now.stamp.clone(),
    });
    let surplus = record.events.len().saturating_sub(EVENTS);
    record.events.drain(..surplus);
}

/// Chaos Mesh's conditions with its meaning: `AllRecovered` says that no pod has the fault, so it
/// holds before the first one has it, too.
fn conditions(
    draft: &Draft,
    chaos: &Chaos,
    status: &Status,
    is_whole: bool,
    now: &Now,
) -> Vec<Condition> {
    let has_fault = |record: &Record| record.phase == Phase::Injected;
    let selected = !draft.places.is_empty() && !draft.targets.is_empty();
    let recovered = !status.records(PLACE).any(has_fault);
    let waits = draft.rest == Some(State::Waiting) || draft.rest == Some(State::Refused);
    let reason = if waits {
        status.netchaos.message.as_str()
    } else {
        ""
    };
    let condition = |kind: &str, holds: bool, reason: &str| {
        let status = if holds { "True" } else { "False" };
        let before = chaos.status.condition(kind);
        let same = before.filter(|before| before.status == status);
        let since = same.and_then(|same| same.last_transition_time.clone());
        Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            last_transition_time: Some(since.unwrap_or_else(|| now.stamp.clone())),
        }
    };
    vec![
        condition("Selected", selected, reason),
        condition("AllInjected", is_whole, ""),
        condition("AllRecovered", recovered, ""),
        condition(
            "Paused",
            chaos.is_paused && draft.desired == Desired::Stop,
            "",
        ),
    ]
}

/// What a new state of the whole is worth saying.
fn news(old: &Status, new: &Status) -> Vec<Tiding> {
    let mut tidings = Vec::new();
    let mut tell = |is_warning, reason, note: String| {
        tidings.push(Tiding {
            is_warning,
            reason,
            note: short(&note),
        });
    };
    let names = |key: &str| {
        let names: Vec<&str> = new.records(key).map(|record| record.id.as_str()).collect();
        names.join(", ")
    };
    if new.is("Selected") && !old.is("Selected") {
        tell(
            false,
            "Selected",
            format!("the fault goes on {}", names(PLACE)),
        );
    }
    let is_new = old.netchaos.state != new.netchaos.state
        || (old.netchaos.message != new.netchaos.message)
        // The default of what nobody has written yet.
        || old.conditions.is_empty();
    if is_new {
        let message = new.netchaos.message.clone();
        let count = &new.netchaos.injected;
        match new.netchaos.state {
            State::Injected => tell(false, "Injected", format!("in {count} pods")),
            State::Paused => tell(false, "Paused", "no pod has the fault".to_owned()),
            State::Ended => {
                tell(
                    false,
                    "Ended",
                    "its time is over; no pod has the fault".to_owned(),
                );
            }
            State::Waiting => tell(true, "Waiting", message),
            State::Refused => tell(true, "Refused", message),
            State::Injecting | State::Partly | State::Failed | State::Recovering => {}
        }
    }
    tidings
}

/// A text cut to what a note can hold.
fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST_NOTE) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
