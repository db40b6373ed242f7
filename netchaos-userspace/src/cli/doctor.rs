//! `netchaos doctor`.

use super::{
    Failure, args,
    output::{self, line, note},
    write::everywhere,
};
use crate::{
    engine::{self, Ability, Diagnosis, Leftover, Looked},
    kernel::rights::Right,
    place::{self, Place, Where},
};

pub fn doctor(doctor: args::Doctor, held: Vec<Right>) -> Result<(), Failure> {
    let mut diagnosis = Diagnosis::of_kernel(held)?;
    let is_everywhere = doctor.place.wanted() == Where::Here;
    let mut failures = Vec::new();
    let mut some_worked = false;
    for (wanted, opened) in everywhere(&doctor.place, is_everywhere) {
        match look(&wanted, opened, doctor.clean) {
            Ok((looked, failure)) => {
                some_worked = true;
                diagnosis.add(looked, is_everywhere);
                failures.extend(failure.map(|error| (wanted, error)));
            }
            Err(error) => failures.push((wanted, error)),
        }
    }
    if !output::structured(doctor.output.output, &diagnosis)? {
        print(&diagnosis)?;
    }
    if !diagnosis.is_healthy() {
        for (place, error) in &failures {
            note(&format!("{place}: {}", error.with_sources()));
        }
        let lacks = "this kernel or these rights lack something, see above";
        return Err(Failure::lacking(lacks));
    }
    Failure::of_places(failures, some_worked)
}

/// What lies about in a place. Where that is to be cleared up and cannot be, what is there is told all
/// the same.
fn look(
    wanted: &Where,
    opened: Result<Place, place::Error>,
    clean: bool,
) -> Result<(Looked, Option<engine::Error>), engine::Error> {
    let place = opened?;
    engine::inside(&place, async |session| {
        let cleaned = if clean {
            session.clean().await
        } else {
            Ok(Vec::new())
        };
        let mut looked = session.look_around(wanted.to_string()).await?;
        let failure = match cleaned {
            Ok(cleaned) => {
                looked.cleaned = cleaned;
                None
            }
            Err(error) => Some(error),
        };
        Ok((looked, failure))
    })
}

fn print(diagnosis: &Diagnosis) -> Result<(), Failure> {
    let right = |right: &Right| {
        let there = if right.held { "yes" } else { "no" };
        [right.name, there, right.purpose].map(str::to_owned)
    };
    let rows = diagnosis.rights.iter().map(right).collect();
    output::table(&["RIGHT", "THERE", "FOR"], rows, 0)?;
    line("")?;
    if let Some(why) = &diagnosis.not_tried {
        line(&format!("What the kernel can do was not tried: {why}"))?;
    } else {
        let rows = diagnosis.abilities.iter().map(ability).collect();
        output::table(&["NEEDS", "THERE", ""], rows, 0)?;
    }
    line("")?;
    for looked in &diagnosis.places {
        let place = &looked.place;
        for cleaned in &looked.cleaned {
            line(&format!("{place}: {cleaned}"))?;
        }
        for left in &looked.leftovers {
            line(&format!("{place}: {}", words(left)))?;
            line(&format!("    undo: {}", left.undo))?;
        }
        for unseen in &looked.unseen {
            line(&format!("{place}: not looked at: {unseen}"))?;
        }
    }
    if diagnosis
        .places
        .iter()
        .all(|looked| looked.leftovers.is_empty())
    {
        line("nothing is left over")?;
    }
    Ok(())
}

fn ability(ability: &Ability) -> [String; 3] {
    let mark = match (ability.works, ability.is_optional) {
        (true, _) => "yes",
        (false, true) => "no, but can be done without",
        (false, false) => "NO",
    };
    let words = match &ability.why {
        None => String::new(),
        Some(why) => {
            let Ability {
                without, remedy, ..
            } = ability;
            format!("{why}. Without it: {without}. To get it: {remedy}")
        }
    };
    [ability.name.to_owned(), mark.to_owned(), words]
}

fn words(left: &Leftover) -> String {
    match (left.is_own(), left.is_certain) {
        (true, _) => format!("left over: {}", left.words()),
        (false, true) => format!("of {}: {}", left.owner, left.words()),
        (false, false) => format!(
            "looks like {}'s, or somebody's own: {}",
            left.owner,
            left.words()
        ),
    }
}
