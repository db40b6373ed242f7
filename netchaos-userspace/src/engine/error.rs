//! Why a call did not do what it was asked for, and what that means for its exit code.

use std::{io, sync::Arc};

use crate::{
    experiment::Problems,
    kernel::{
        bpf, netlink, netns,
        rights::{self, Capability},
    },
    names, place,
    plan::tables::TooManyKeys,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Said no before anything was changed.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Problems(#[from] Problems),
    #[error(transparent)]
    TooManyKeys(#[from] TooManyKeys),
    #[error("{}", each(.0))]
    Names(Vec<names::Error>),
    #[error(transparent)]
    View(#[from] names::Error),
    #[error(transparent)]
    Place(#[from] place::Error),
    #[error(transparent)]
    Namespace(#[from] netns::Error),
    #[error("cannot talk to the kernel")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    #[error(transparent)]
    Bpf(#[from] bpf::Error),
    /// Faults lie there whose maps cannot be opened.
    #[error("cannot read the faults on {device}{}; `netchaos heal` takes them away", lacking(.source))]
    Closed {
        device: String,
        source: Arc<bpf::Error>,
    },
    #[error("{}", words_for(.0))]
    Rights(Vec<Capability>),
    #[error(
        "in a user namespace other than the host's no BPF program can be loaded, whatever the \
         capabilities"
    )]
    UserNamespace,
    /// A module that the kernel does not have.
    #[error("the running kernel has no {module}: {lost}. {help}")]
    Lacks {
        module: &'static str,
        lost: &'static str,
        help: &'static str,
        source: netlink::Error,
    },
    /// What was read back is not what was written.
    #[error("the kernel does not hold what it was told to hold: {0}")]
    ReadBack(String),
    /// It failed, and taking it back failed too.
    #[error(
        "{failure}; taking it back failed as well: {undo}; `netchaos heal` takes away all that is left"
    )]
    Partly {
        #[source]
        failure: Box<Error>,
        undo: Box<Error>,
    },
}

fn each(errors: &[names::Error]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// What is missing to find them by their ids.
fn lacking(source: &bpf::Error) -> String {
    match rights::missing_to_find() {
        missing if source.is_about_rights() && !missing.is_empty() => {
            format!(": {}", are_missing(&missing))
        }
        _ => String::new(),
    }
}

fn words_for(missing: &[Capability]) -> String {
    format!("{}; nothing was changed", are_missing(missing))
}

fn are_missing(missing: &[Capability]) -> String {
    let each = missing.iter().map(|capability| {
        let Capability { name, purpose, .. } = capability;
        format!("{name} ({purpose})")
    });
    let each: Vec<_> = each.collect();
    let verb = if each.len() == 1 { "is" } else { "are" };
    format!("{} {verb} missing", each.join(", "))
}

/// What a caller needs to know first; the codes are the command line's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Refused or failed, and nothing has changed.
    Refused = 1,
    /// The kernel or the rights lack something, and nothing has changed.
    Lacking = 3,
    /// Something is neither as it was nor as it was asked for.
    Partly = 4,
}

impl Error {
    pub(super) fn no_such_experiment(name: &str, there: &[&str]) -> Self {
        let there = if there.is_empty() {
            "there is none here".to_owned()
        } else {
            format!("there is {}", there.join(", "))
        };
        Self::Refused(format!("there is no experiment {name:?}; {there}"))
    }

    /// The error and what it came from, on one line.
    pub fn with_sources(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(source) = next {
            let words = source.to_string();
            // Some errors repeat their source in their own words.
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            next = source.source();
        }
        text
    }

    pub fn outcome(&self) -> Outcome {
        let is_about_rights = match self {
            Self::Partly { .. } => return Outcome::Partly,
            Self::Lacks { .. } | Self::Rights(_) | Self::UserNamespace => {
                return Outcome::Lacking;
            }
            Self::Netlink(error) => error.is_about_rights(),
            Self::Bpf(error) => error.is_about_rights(),
            Self::Closed { source, .. } => source.is_about_rights(),
            Self::Namespace(error) => error.is_about_rights(),
            Self::Place(error) => error.is_about_rights(),
            _ => false,
        };
        if is_about_rights {
            Outcome::Lacking
        } else {
            Outcome::Refused
        }
    }
}

/// What the missing kind of device or qdisc means, in a user's words.
pub(super) fn lacks(
    module: &'static str,
    lost: &'static str,
) -> impl FnOnce(netlink::Error) -> Error {
    move |source| {
        if source.is_unknown_kind() {
            Error::Lacks {
                module,
                lost,
                help: "Load or install it (on Debian it is in linux-image-*, on RHEL in \
                       kernel-modules-extra); `netchaos doctor` says what this kernel can do",
                source,
            }
        } else {
            Error::Netlink(source)
        }
    }
}
