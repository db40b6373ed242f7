//! The classifiers and their maps in the kernel. The only user of aya.

mod attach;
mod follow;
mod kept;
mod load;
mod maps;
mod older;
mod records;
pub mod tcx;

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError, sys::SyscallError};

pub use self::{
    attach::{
        BACK, EGRESS, HANDLE, HANDLE_WITH_CLSACT, INGRESS, PREFERENCE, attach, name_at, replace,
    },
    follow::{FOLLOW, Follow, Steered},
    kept::{Loaded, describe, keep, keep_only, with_program},
    load::{
        Classifier, PROGRAMS, Programs, abi_of_program, load_each, maps_of_program,
        older_maps_of_program, share_maps, unlock_memory,
    },
    maps::{Capacity, Earlier, Entry, Maps, Prefix},
    older::OlderMaps,
    records::Records,
};

/// What failed, with the kernel's words as the source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub struct Error {
    what: String,
    /// In a box: aya's errors are large, and this one is in every result.
    source: Box<Source>,
}

#[derive(Debug, thiserror::Error)]
enum Source {
    #[error(transparent)]
    Load(#[from] EbpfError),
    #[error(transparent)]
    Map(#[from] MapError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Unexpected(String),
    /// The verifier's refusal; the whole log is thousands of lines, its end says why.
    #[error("{io}; the verifier's last words: {words}")]
    Rejected { io: io::Error, words: String },
}

impl Error {
    fn new(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self {
            what: what.into(),
            source: Box::new(source.into()),
        }
    }

    /// What failed for something that is found by its id.
    fn by_id(what: impl Into<String>, source: impl Into<Source>) -> Self {
        let mut error = Self::new(what, source);
        if error.is_about_rights() {
            error.what.push_str(" (needs CAP_SYS_ADMIN)");
        }
        error
    }

    fn unexpected(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(what, Source::Unexpected(why.into()))
    }

    fn rejected(program: &str, io: io::Error, log: &str) -> Self {
        const LAST_LINES: usize = 4;
        let lines: Vec<&str> = log
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let words = lines[lines.len().saturating_sub(LAST_LINES)..].join("; ");
        Self::new(
            format!("load the classifier {program}"),
            Source::Rejected { io, words },
        )
    }

    /// What was read is not what it should be.
    pub fn unreadable(what: &str, why: &dyn std::error::Error) -> Self {
        Self::unexpected(format!("read {what}"), why.to_string())
    }

    /// Whether the caller's rights were not enough.
    pub fn is_about_rights(&self) -> bool {
        self.refusal()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether what it was about has gone: a program, or the device that it is on.
    fn is_about_absence(&self) -> bool {
        self.refusal().is_some_and(|error| {
            error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
        })
    }

    /// The kernel's words.
    fn refusal(&self) -> Option<&io::Error> {
        // Each would be passed over below: what is transparent gives its own source as the next.
        if let Source::Rejected { io, .. } | Source::Io(io) = self.source.as_ref() {
            return Some(io);
        }
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self.source.as_ref());
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(error);
            }
            if let Some(SyscallError { io_error, .. }) = error.downcast_ref::<SyscallError>() {
                return Some(io_error);
            }
            next = error.source();
        }
        None
    }
}
