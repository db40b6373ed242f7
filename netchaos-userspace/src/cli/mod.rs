//! The command line's face. No logic of the trade in it: it reads flags, calls `engine`, prints.

#[cfg(feature = "agent")]
mod agent;
mod args;
mod door;
mod explain;
mod flags;
mod output;
mod read;
mod tree;
mod words;
mod write;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use serde::Serialize;

use self::args::{Cli, Command, Format};
use crate::{
    engine::{self, Outcome},
    experiment::Problems,
    place::Where,
};

/// What a failure means for whoever called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Refused = 1,
    Usage = 2,
    Lacking = 3,
    Partly = 4,
}

/// Why a command did not do what it was asked for.
#[derive(Debug, Serialize)]
struct Failure {
    #[serde(skip)]
    shape: Shape,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<Problems>,
    /// Nobody reads our output any more, which is no failure.
    #[serde(skip)]
    is_broken_pipe: bool,
}

impl Failure {
    fn new(shape: Shape, message: String) -> Self {
        Self {
            shape,
            message,
            problems: None,
            is_broken_pipe: false,
        }
    }

    /// Wrong flags.
    fn usage(problems: Problems) -> Self {
        Self {
            problems: Some(problems.clone()),
            ..Self::new(Shape::Usage, problems.to_string())
        }
    }

    /// A wrong manifest.
    fn manifest(problems: Problems) -> Self {
        Self {
            shape: Shape::Refused,
            ..Self::usage(problems)
        }
    }

    fn lacking(message: &str) -> Self {
        Self::new(Shape::Lacking, message.into())
    }

    /// What went wrong in several places; `some_worked` in others.
    fn of_places(failures: Vec<(Where, engine::Error)>, some_worked: bool) -> Result<(), Self> {
        let mut failures = failures.into_iter();
        let Some((first, error)) = failures.next() else {
            return Ok(());
        };
        let mut failure = Self::from(error);
        failure.message = format!("{first}: {}", failure.message);
        for (place, error) in failures {
            failure
                .message
                .push_str(&format!("\n{place}: {}", error.with_sources()));
        }
        if some_worked {
            failure.shape = Shape::Partly;
        }
        Err(failure)
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        let shape = match error.outcome() {
            Outcome::Refused => Shape::Refused,
            Outcome::Lacking => Shape::Lacking,
            Outcome::Partly => Shape::Partly,
        };
        Self::new(shape, error.with_sources())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            is_broken_pipe: error.kind() == io::ErrorKind::BrokenPipe,
            ..Self::new(Shape::Refused, format!("cannot print: {error}"))
        }
    }
}

/// Runs the command line and gives back its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = cli.command.format();
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(format);
            ExitCode::from(failure.shape as u8)
        }
    }
}

impl Failure {
    fn print(&self, format: Format) {
        /// Under one key, so that programs tell it from a result.
        #[derive(Serialize)]
        struct Wrapped<'a> {
            error: &'a Failure,
        }
        let json = serde_json::to_string_pretty(&Wrapped { error: self });
        match (format, json) {
            // Where nobody listens it is not said; the exit code is.
            (Format::Json, Ok(json)) => drop(writeln!(io::stderr().lock(), "{json}")),
            _ => {
                for line in self.message.lines() {
                    let _ = writeln!(io::stderr().lock(), "error: {line}");
                }
            }
        }
    }
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Apply(apply) => write::apply(apply),
            Self::Add(add) => write::add(add),
            Self::Change(change) => write::change(change),
            Self::Run(run) => write::run(*run),
            Self::Explain(explain) => explain::explain(explain),
            Self::List(list) => read::list(list),
            Self::Show(show) => read::show(show),
            Self::Target(args::Target::Add(targets)) => write::target(targets, true),
            Self::Target(args::Target::Remove(targets)) => write::target(targets, false),
            Self::Target(args::Target::List(one)) => read::target_list(one),
            Self::Pause(names) => write::pause(names, true),
            Self::Resume(names) => write::pause(names, false),
            Self::Remove(remove) => write::remove(remove),
            Self::Heal(heal) => write::heal(heal),
            Self::Repair(repair) => write::repair(repair),
            Self::Doctor(doctor) => read::doctor(doctor),
            #[cfg(feature = "agent")]
            Self::Agent(agent) => agent::agent(agent),
        }
    }

    const fn format(&self) -> Format {
        let output = match self {
            Self::Apply(apply) => apply.output,
            Self::Add(add) => add.output,
            Self::Change(change) => change.output,
            Self::Run(run) => run.output,
            Self::Explain(explain) => explain.output,
            Self::List(list) => list.output,
            Self::Show(show) => show.output,
            Self::Target(args::Target::Add(targets) | args::Target::Remove(targets)) => {
                targets.output
            }
            Self::Target(args::Target::List(one)) => one.output,
            Self::Pause(names) | Self::Resume(names) => names.output,
            Self::Remove(remove) => remove.output,
            Self::Heal(everywhere) | Self::Repair(everywhere) => everywhere.output,
            Self::Doctor(doctor) => doctor.output,
            #[cfg(feature = "agent")]
            Self::Agent(_) => return Format::Table,
        };
        output.output
    }
}
