//! Reading a place's files without being led astray by them.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::stat::{Mode, SFlag, fstat},
};

use super::Error;

/// Of one file no more than this is read. The largest hosts files in the wild, lists of blocked
/// advertisers, have some 5 MB.
pub(super) const LONGEST_FILE: u64 = 16 << 20;

/// A root directory that no path opened through it can leave.
pub(super) struct Root {
    directory: OwnedFd,
    /// What stands before a path in messages: empty for the host, else `/proc/PID/root`.
    shown: PathBuf,
}

impl Root {
    pub(super) fn host() -> Result<Self, Error> {
        let path = Path::new("/");
        Self::at(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })
    }

    pub(super) fn of_process(pid: u32) -> Result<Self, Error> {
        Self::at(Path::new(&format!("/proc/{pid}/root")))
            .map_err(|source| Error::Process { pid, source })
    }

    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            directory: open(path, flags, Mode::empty())?,
            shown: path.to_owned(),
        })
    }

    /// The text and the full path of the first of `FOLDER/file` that is there. Where none is, an
    /// empty text and the path of the last.
    pub(super) fn first_text(
        &self,
        folders: &[&str],
        file: &str,
    ) -> Result<(Vec<u8>, PathBuf), Error> {
        let mut shown = PathBuf::new();
        for folder in folders {
            let path = Path::new(folder).join(file);
            shown = self.shown.join(&path);
            if let Some(text) = self.text(&path)? {
                return Ok((text, shown));
            }
        }
        Ok((Vec::new(), shown))
    }

    /// The bytes of a regular file, or none where there is no such file.
    ///
    /// Whoever is inside can make the path anything: a symbolic link (followed, but within the
    /// root only, openat2(2)), a fifo that would hang an open, a device whose open has effects.
    /// So the file is found by `O_PATH`, which opens nothing, looked at, and only then opened.
    pub(super) fn text(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        let shown = || self.shown.join(path);
        let failed = |source: io::Error| Error::Read {
            path: shown(),
            source,
        };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let found = match openat2(&self.directory, path, how) {
            Ok(found) => found,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno.into())),
        };
        let mode = fstat(&found).map_err(|errno| failed(errno.into()))?.st_mode;
        if SFlag::from_bits_truncate(mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err(Error::NotAFile { path: shown() });
        }
        // This name leads to the very file that was looked at, whatever the path means by now.
        let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).map_err(failed)?;
        let mut text = Vec::new();
        file.take(LONGEST_FILE + 1)
            .read_to_end(&mut text)
            .map_err(failed)?;
        if text.len() as u64 > LONGEST_FILE {
            return Err(Error::TooLong {
                path: shown(),
                limit: LONGEST_FILE,
            });
        }
        Ok(Some(text))
    }
}
