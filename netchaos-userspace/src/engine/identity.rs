//! Which experiment of a place somebody means.

use std::collections::BTreeSet;

use super::error::Error;
use crate::plan::Laid;

/// The id of the experiment that is meant: `asked` is an id itself, or the name of one experiment
/// alone, whatever its namespace.
///
/// # Errors
/// There is none, or the name is that of several.
pub(super) fn meant<'l>(all: impl Iterator<Item = &'l Laid>, asked: &str) -> Result<String, Error> {
    // One that is moving is there twice.
    let all: BTreeSet<(String, &str)> = all
        .map(|laid| (laid.experiment.id(), laid.experiment.name.as_str()))
        .collect();
    if all.iter().any(|(id, _)| id == asked) {
        return Ok(asked.to_owned());
    }
    let named = all.iter().filter(|(_, name)| *name == asked);
    let named: Vec<&str> = named.map(|(id, _)| id.as_str()).collect();
    match named[..] {
        [only] => Ok(only.to_owned()),
        [] => {
            let there: Vec<&str> = all.iter().map(|(id, _)| id.as_str()).collect();
            Err(Error::no_such_experiment(asked, &there))
        }
        _ => Err(Error::Refused(format!(
            "there are several experiments {asked:?}; say which: {}",
            named.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        experiment::{Direction, Experiment, Fault, Rule, Targets},
        plan::Room,
    };

    fn laid(id: &str) -> Laid {
        let (namespace, name) = match id.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, id),
        };
        let experiment = Experiment {
            name: name.to_owned(),
            namespace,
            device: None,
            direction: Direction::To,
            fault: Fault::default(),
            targets: Targets::AllTraffic,
            except: Vec::new(),
            rule: Rule::default(),
            duration: None,
            paused: false,
        };
        Laid::new(experiment, Room::default())
    }

    fn meant_of(ids: &[&str], asked: &str) -> Result<String, String> {
        let all: Vec<Laid> = ids.iter().map(|id| laid(id)).collect();
        meant(all.iter(), asked).map_err(|error| error.to_string())
    }

    #[test]
    fn an_id_is_meant_before_a_name_and_a_name_of_one_alone_will_do() {
        let all = ["slow", "a/slow", "b/slow", "a/cut"];
        for id in all {
            assert_eq!(meant_of(&all, id).unwrap(), id);
        }
        assert_eq!(meant_of(&all, "cut").unwrap(), "a/cut");
        assert_eq!(meant_of(&["a/slow"], "slow").unwrap(), "a/slow");
        // While it moves it is there twice.
        assert_eq!(meant_of(&["a/slow", "a/slow"], "slow").unwrap(), "a/slow");
    }

    #[test]
    fn a_name_of_several_is_refused_with_their_ids_and_so_is_one_of_none() {
        let error = meant_of(&["a/slow", "b/slow", "a/cut"], "slow").unwrap_err();
        assert!(error.ends_with("say which: a/slow, b/slow"), "{error}");
        for asked in ["fast", "b/cut", "/slow", ""] {
            let error = meant_of(&["a/slow", "b/slow", "a/cut"], asked).unwrap_err();
            assert!(
                error.contains(&format!("{asked:?}")) && error.contains("a/cut, a/slow, b/slow"),
                "{error}"
            );
        }
    }
}
