//! Flags -> what is asked. All that is wrong is told at once.

use std::{
    io::{self, BufRead as _},
    str::FromStr,
};

use super::args;
use crate::experiment::{
    Delay, Direction, Experiment, Fault, Invalid, Percent, Problem, Problems, Rule, Target,
    Targets, units,
};

/// Gathers what is wrong.
#[derive(Default)]
struct Sink(Vec<Problem>);

impl Sink {
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
                self.0.push(Problem::of(flag, invalid));
                None
            }
        }
    }

    fn targets(&mut self, flag: &str, texts: &[String]) -> Vec<Target> {
        let mut targets = Vec::new();
        for text in texts {
            if text == "-" {
                self.targets_of_stdin(flag, &mut targets);
            } else {
                targets.extend(self.take(flag, Some(text), Target::from_str));
            }
        }
        targets
    }

    /// One target per line; empty lines and what follows a "#" do not count.
    fn targets_of_stdin(&mut self, flag: &str, targets: &mut Vec<Target>) {
        for (number, line) in io::stdin().lock().lines().enumerate() {
            let line = match line {
                Ok(line) => line,
                Err(error) => {
                    self.0.push(Problem::of(
                        flag,
                        Invalid::field(format!("stdin: {error}"), None),
                    ));
                    return;
                }
            };
            let text = line.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            match text.parse() {
                Ok(target) => targets.push(target),
                Err(invalid) => self.0.push(Problem {
                    file: Some("stdin".into()),
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

/// The experiment that `add` asks for.
pub fn experiment(add: &args::Add) -> Result<Experiment, Problems> {
    let mut sink = Sink::default();
    let patch = patch_of(&add.fault, &mut sink);
    if add.fault.delay.is_none() {
        sink.0.push(Problem::of(
            "--delay",
            Invalid::field("no fault is given", Some("--delay 50ms".into())),
        ));
    }
    sink.take("--direction", Some(&add.direction), direction);
    let targets = if add.all_traffic {
        Targets::AllTraffic
    } else {
        Targets::List(sink.targets("--to", &add.to))
    };
    let experiment = Experiment {
        name: add.name.clone(),
        namespace: None,
        device: None,
        direction: Direction::To,
        fault: Fault {
            delay: patch.latency.map(|latency| Delay {
                latency,
                jitter: patch.jitter.unwrap_or_default(),
                correlation: patch.correlation.unwrap_or_default(),
                ..Delay::default()
            }),
            ..Fault::default()
        },
        targets,
        except: sink.targets("--except", &add.except),
        rule: Rule::default(),
        duration: sink.take("--for", add.duration.as_deref(), units::parse_lifetime),
        paused: false,
    };
    // What could not be read has been told already.
    let told: Vec<String> = sink.0.iter().map(|problem| problem.field.clone()).collect();
    sink.0.extend(
        experiment
            .check()
            .into_iter()
            .filter(|problem| !told.contains(&problem.field)),
    );
    sink.end(experiment)
}

fn direction(text: &str) -> Result<(), Invalid> {
    match text {
        "to" => Ok(()),
        "from" | "both" => Err(Invalid::value(text, "is not supported yet", "to")),
        _ => Err(Invalid::value(text, "is not a direction", "to")),
    }
}

/// Parameters of a fault that are mentioned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patch {
    latency: Option<std::time::Duration>,
    jitter: Option<std::time::Duration>,
    correlation: Option<Percent>,
}

impl Patch {
    pub fn apply(&self, fault: &mut Fault) {
        let delay = fault.delay.get_or_insert_default();
        delay.latency = self.latency.unwrap_or(delay.latency);
        delay.jitter = self.jitter.unwrap_or(delay.jitter);
        delay.correlation = self.correlation.unwrap_or(delay.correlation);
    }
}

/// What `change` asks for.
pub fn patch(fault: &args::Fault) -> Result<Patch, Problems> {
    let mut sink = Sink::default();
    let patch = patch_of(fault, &mut sink);
    if [&fault.delay, &fault.jitter, &fault.correlation]
        .iter()
        .all(|flag| flag.is_none())
    {
        let allowed = "--delay, --jitter and --correlation";
        sink.0.push(Problem::of(
            "FAULT",
            Invalid::field("nothing is to be changed", Some(allowed.into())),
        ));
    }
    sink.end(patch)
}

fn patch_of(fault: &args::Fault, sink: &mut Sink) -> Patch {
    Patch {
        latency: sink.take("--delay", fault.delay.as_deref(), units::parse_latency),
        jitter: sink.take("--jitter", fault.jitter.as_deref(), units::parse_jitter),
        correlation: sink.take(
            "--correlation",
            fault.correlation.as_deref(),
            Percent::from_str,
        ),
    }
}

/// The targets of `target add` and `target remove`.
pub fn targets(texts: &[String]) -> Result<Vec<Target>, Problems> {
    let mut sink = Sink::default();
    let targets = sink.targets("TARGET", texts);
    if targets.is_empty() && sink.0.is_empty() {
        sink.0.push(Problem::of(
            "TARGET",
            Invalid::field("no target is given", None),
        ));
    }
    sink.end(targets)
}
