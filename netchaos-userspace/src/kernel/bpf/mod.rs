//! The classifiers and their maps in the kernel. The only user of aya.

mod attach;
mod follow;
mod load;
mod maps;
pub mod tcx;

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError, sys::SyscallError};

pub use self::{
    attach::{BACK, EGRESS, HANDLE, HANDLE_WITH_CLSACT, PREFERENCE, attach, replace},
    follow::{FOLLOW, Follow, Steered},
    load::{
        Classifier, PROGRAMS, Programs, abi_of_program, load_each, maps_of_program, program_by_id,
    },
    maps::{Capacity, Entry, Maps, Prefix},
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
}

impl Error {
    fn new(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self {
            what: what.into(),
            source: Box::new(source.into()),
        }
    }

    fn unexpected(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(what, Source::Unexpected(why.into()))
    }

    /// What was read is not what it should be.
    pub fn unreadable(what: &str, why: &dyn std::error::Error) -> Self {
        Self::unexpected(format!("read {what}"), why.to_string())
    }

    /// Whether the caller's rights were not enough.
    pub fn is_about_rights(&self) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self.source.as_ref());
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return error.kind() == io::ErrorKind::PermissionDenied;
            }
            if let Some(SyscallError { io_error, .. }) = error.downcast_ref::<SyscallError>() {
                return io_error.kind() == io::ErrorKind::PermissionDenied;
            }
            next = error.source();
        }
        false
    }
}
