//! The commands that only look.

use serde::Serialize;

use super::{
    Failure, args, door,
    output::{self, counted, note},
    words::{ends, fault, hit_lines, hits, ledger_lines, state, targets},
    write::{everywhere, open},
};
use crate::{
    engine::{self, Diagnosis, Listed, Shown},
    experiment::{Peer, Targets},
    kernel::bpf::Steered,
};

/// An experiment and where it is.
#[derive(Serialize)]
struct ListedPlace {
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    #[serde(flatten)]
    listed: Listed,
}

pub fn list(list: args::List) -> Result<(), Failure> {
    if let Some(found) = door::list(&list.place) {
        let (found, remains) = found?;
        remains.iter().for_each(|remains| note(remains));
        let here = |listed| ListedPlace {
            place: None,
            listed,
        };
        let all = found.into_iter().map(here).collect();
        return print_list(list, all);
    }
    let mut all = Vec::new();
    let mut failures = Vec::new();
    for (wanted, opened) in everywhere(&list.place, list.all) {
        let found = opened
            .map_err(engine::Error::from)
            .and_then(|place| engine::inside(&place, async |session| session.list().await));
        let place = list.all.then(|| wanted.to_string());
        match found {
            Ok((found, remains)) => {
                remains.iter().for_each(|remains| note(remains));
                all.extend(found.into_iter().map(|listed| ListedPlace {
                    place: place.clone(),
                    listed,
                }));
            }
            Err(error) if list.all => failures.push((wanted, error)),
            Err(error) => return Err(error.into()),
        }
    }
    print_list(list, all)?;
    Failure::of_places(failures, true)
}

fn print_list(list: args::List, all: Vec<ListedPlace>) -> Result<(), Failure> {
    if output::structured(list.output.output, &all)? {
        return Ok(());
    }
    if all.is_empty() {
        return Ok(output::line("no experiments")?);
    }
    let row = |ListedPlace { place, listed }: ListedPlace| {
        [
            place.unwrap_or_default(),
            listed.spec.id(),
            listed.device.clone(),
            state(&listed),
            fault(&listed.spec),
            targets(&listed.spec),
            ends(&listed),
            hits(&listed),
        ]
    };
    let rows = all.into_iter().map(row).collect();
    let header = [
        "PLACE", "NAME", "DEVICE", "STATE", "FAULT", "TARGETS", "ENDS", "HIT",
    ];
    // Without --all all are of one place, which was asked for.
    Ok(output::table(&header, rows, usize::from(!list.all))?)
}

pub fn target_list(one: args::OneName) -> Result<(), Failure> {
    /// A target and what its name stands for.
    #[derive(Serialize)]
    struct ListedTarget {
        target: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        addresses: Vec<std::net::IpAddr>,
    }
    let place = open(&one.place)?;
    let shown = engine::inside(&place, async |session| session.show(&one.name).await)?;
    let Targets::List(list) = &shown.listed.spec.targets else {
        if !output::structured(one.output.output, &["all traffic"])? {
            output::line("all traffic")?;
        }
        return Ok(());
    };
    let rows: Vec<ListedTarget> = list
        .iter()
        .map(|target| ListedTarget {
            target: target.to_string(),
            addresses: match &target.peer {
                Peer::Name(name) => shown
                    .listed
                    .addresses
                    .get(name.as_str())
                    .cloned()
                    .unwrap_or_default(),
                Peer::Prefix(_) => Vec::new(),
            },
        })
        .collect();
    if !output::structured(one.output.output, &rows)? {
        for row in rows {
            let addresses: Vec<_> = row.addresses.iter().map(ToString::to_string).collect();
            output::line(format!("{}  {}", row.target, addresses.join(", ")).trim_end())?;
        }
    }
    Ok(())
}

pub fn show(show: args::Show) -> Result<(), Failure> {
    let place = open(&show.place)?;
    let shown = engine::inside(&place, async |session| session.show(&show.name).await)?;
    if !output::structured(show.output.output, &shown)? {
        output::line(&picture(&shown))?;
    }
    if show.follow {
        let format = show.output.output;
        engine::inside(&place, async |session| {
            session
                .follow(&show.name, |packet| steered(format, packet))
                .await
        })?;
    }
    Ok(())
}

/// One packet, one line; for programs a JSON object each, or a YAML document.
fn steered(format: args::Format, packet: &Steered) {
    let Steered {
        ingress,
        peer,
        port,
        length,
        ..
    } = packet;
    let way = if *ingress { "from" } else { "to" };
    let port = if *port == 0 {
        String::new()
    } else {
        format!(" port {port}")
    };
    let line = match format {
        args::Format::Table => {
            format!(
                "steered: {} {way} {peer}{port}",
                counted((*length).into(), "byte")
            )
        }
        args::Format::Json | args::Format::Yaml => {
            serde_json::to_string(packet).unwrap_or_default()
        }
    };
    // Whoever closes the pipe ends the following at the next Ctrl-C.
    let _ = output::line(&line);
}

fn picture(shown: &Shown) -> String {
    let Shown {
        listed,
        queue,
        queue_from,
        ledger,
        drift,
        ..
    } = shown;
    let mut lines = vec![
        format!(
            "experiment  {} on {}: {}",
            listed.spec.id(),
            listed.device,
            state(listed)
        ),
        format!("fault       {}", fault(&listed.spec)),
        format!(
            "{:<12}{}",
            listed.spec.direction.to_string(),
            targets(&listed.spec)
        ),
    ];
    if !listed.spec.except.is_empty() {
        let except: Vec<_> = listed.spec.except.iter().map(ToString::to_string).collect();
        lines.push(format!("except      {}", except.join(", ")));
    }
    for (name, addresses) in &listed.addresses {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        lines.push(format!("name        {name} is {}", addresses.join(", ")));
    }
    lines.push(format!("ends        {}", ends(listed)));
    lines.extend(
        listed
            .held_by
            .iter()
            .map(|holder| format!("held by     {holder}")),
    );
    lines.extend(hit_lines(listed, &[queue, queue_from]));
    lines.extend(ledger_lines(ledger));
    lines.extend(drift.iter().map(|drift| format!("drift       {drift}")));
    lines.join("\n")
}

pub fn doctor(doctor: args::Doctor) -> Result<(), Failure> {
    let abilities = engine::diagnose()?;
    let place = open(&doctor.place)?;
    let remains = engine::inside(&place, async |session| session.remains().await)?;
    let diagnosis = Diagnosis { abilities, remains };
    if !output::structured(doctor.output.output, &diagnosis)? {
        let row = |ability: &engine::Ability| {
            let mark = match (ability.works, ability.is_optional) {
                (true, _) => "yes",
                (false, true) => "no, but can be done without",
                (false, false) => "NO",
            };
            let words = match &ability.why {
                None => String::new(),
                Some(why) => format!("{why}. Without it {}", ability.without),
            };
            [ability.name.to_owned(), mark.to_owned(), words]
        };
        let rows = diagnosis.abilities.iter().map(row).collect();
        output::table(&["NEEDS", "THERE", ""], rows, 0)?;
        for remains in &diagnosis.remains {
            output::line(&format!("left over: {remains}"))?;
        }
    }
    if diagnosis.is_healthy() {
        Ok(())
    } else {
        Err(Failure::lacking(
            "this kernel or these rights lack something, see above",
        ))
    }
}
