//! Flags -> what is asked. All that is wrong is told at once.

use std::{
    fs,
    io::{self, BufRead},
    str::FromStr,
};

use super::args;
use crate::experiment::{
    Direction, Experiment, Fault, Invalid, Ports, Problem, Problems, Protocol, Rule, Target,
    Targets, Vital, units,
};

mod patch;
#[cfg(test)]
mod tests;

pub use self::patch::Patch;

/// Gathers what is wrong.
#[derive(Default)]
struct Sink(Vec<Problem>);

impl Sink {
    fn add(&mut self, flag: &str, invalid: Invalid) {
        self.0.push(Problem::of(flag, invalid));
    }

    /// The value of a flag that is there and right.
    fn take<T>(
        &mut self,
        flag: &str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        match text.map(parse)? {
            Ok(value) => Some(value),
            Err(invalid) => {
                self.add(flag, invalid);
                None
            }
        }
    }

    /// The values of a flag that can be there more than once; those that are right.
    fn all<T>(
        &mut self,
        flag: &str,
        texts: &[String],
        parse: fn(&str) -> Result<T, Invalid>,
    ) -> Vec<T> {
        let take = |text: &String| self.take(flag, Some(text), parse);
        texts.iter().filter_map(take).collect()
    }

    fn targets(&mut self, flag: &str, texts: &[String]) -> Vec<Target> {
        let mut targets = Vec::new();
        for text in texts {
            match text.strip_prefix('@') {
                _ if text == "-" => {
                    self.targets_of(flag, "stdin", io::stdin().lock(), &mut targets);
                }
                Some(path) => match fs::File::open(path) {
                    Ok(file) => {
                        self.targets_of(flag, path, io::BufReader::new(file), &mut targets);
                    }
                    Err(error) => self.add(flag, unreadable(path, &error)),
                },
                None => targets.extend(self.take(flag, Some(text), Target::from_str)),
            }
        }
        targets
    }

    /// One target per line; empty lines and what follows a "#" do not count.
    fn targets_of(
        &mut self,
        flag: &str,
        file: &str,
        lines: impl BufRead,
        targets: &mut Vec<Target>,
    ) {
        for (number, line) in lines.lines().enumerate() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return self.add(flag, unreadable(file, &error)),
            };
            let text = line.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            match text.parse() {
                Ok(target) => targets.push(target),
                Err(invalid) => self.0.push(Problem {
                    file: Some(file.into()),
                    line: Some(number as u32 + 1),
                    field: flag.into(),
                    invalid,
                }),
            }
        }
    }

    fn end<T>(self, value: T) -> Result<T, Problems> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(Problems(self.0))
        }
    }
}

fn unreadable(file: &str, error: &io::Error) -> Invalid {
    Invalid::field(format!("{file} cannot be read: {error}"), None)
}

/// Whether the flags of a fault beside manifests ask for strict compatibility, which is all that
/// they can ask for there.
pub fn of_files(fault: &args::Fault) -> Result<bool, Problems> {
    let strict_compat = fault.strict_compat.clone();
    let alone = args::Fault {
        strict_compat: strict_compat.clone(),
        ..Default::default()
    };
    if *fault != alone {
        let message = "flags of a fault do not go with manifests, which have their own";
        let allowed = "--strict-compat".to_owned();
        return Err(Problem::of("--file", Invalid::field(message, Some(allowed))).into());
    }
    Ok(strict_compat.is_some_and(|value| value != "none"))
}

/// The experiment that `add` or `run` asks for.
pub fn experiment(
    name: &str,
    what: &args::What,
    device: Option<&str>,
) -> Result<Experiment, Problems> {
    let mut sink = Sink::default();
    let mut fault = Fault::default();
    let built = patch(&what.fault).and_then(|patch| patch.apply(&mut fault));
    if let Err(Problems(problems)) = built {
        sink.0.extend(problems);
    }
    let aim = &what.aim;
    let targets = if aim.all_traffic {
        Targets::AllTraffic
    } else {
        Targets::List(sink.targets("--to", &aim.to))
    };
    let direction = sink.take("--direction", Some(&aim.direction), Direction::from_str);
    let experiment = Experiment {
        name: name.to_owned(),
        namespace: None,
        device: device.map(str::to_owned),
        direction: direction.unwrap_or_default(),
        fault,
        targets,
        except: sink.targets("--except", &aim.except),
        rule: rule(aim, &mut sink),
        duration: sink.take("--for", what.duration.as_deref(), units::parse_lifetime),
        paused: false,
    };
    // What could not be read has been told already. An experiment that a flag is missing from may
    // have other problems than the one that was asked for.
    let told: Vec<String> = sink.0.iter().map(|problem| problem.field.clone()).collect();
    let is_new = |problem: &Problem| match problem.field.starts_with("--") {
        true => !told.contains(&problem.field),
        false => problem.field == "NAME" || told.is_empty(),
    };
    sink.0.extend(experiment.check().into_iter().filter(is_new));
    sink.end(experiment)
}

fn rule(aim: &args::Aim, sink: &mut Sink) -> Rule {
    let ports = |sink: &mut Sink, flag, texts| -> Ports {
        sink.all(flag, texts, Ports::from_str).into_iter().collect()
    };
    Rule {
        protocols: Protocol::list(sink.all("--protocol", &aim.protocol, Protocol::parse_or_any)),
        ports: ports(sink, "--port", &aim.port),
        local_ports: ports(sink, "--local-port", &aim.local_port),
        include: Vital::list(sink.all("--include", &aim.include, Vital::from_str)),
    }
}

/// What `change` asks for, or what `add` makes a fault of.
pub fn patch(fault: &args::Fault) -> Result<Patch, Problems> {
    let mut sink = Sink::default();
    let patch = Patch::read(fault, &mut sink);
    if patch == Patch::default() && sink.0.is_empty() {
        let allowed = "one or more of --delay, --loss, --duplicate, --corrupt, --rate, --bandwidth, \
             --partition and their details";
        let invalid = Invalid::field("no fault is given", Some(allowed.into()));
        sink.add("FAULT", invalid);
    }
    sink.end(patch)
}

/// The targets of `target add` and `target remove`.
pub fn targets(texts: &[String]) -> Result<Vec<Target>, Problems> {
    let mut sink = Sink::default();
    let targets = sink.targets("TARGET", texts);
    if targets.is_empty() && sink.0.is_empty() {
        sink.add("TARGET", Invalid::field("no target is given", None));
    }
    sink.end(targets)
}
