//! Tar archives that say nothing of who made them, when, and on what file system.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};
use walkdir::WalkDir;

/// A tar archive in the making. All entries are root's and of the start of 1970.
pub struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When tar cannot hold the path.
    pub fn file(&mut self, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let mut header = header(EntryType::Regular, mode);
        header.set_size(bytes.len() as u64);
        self.0
            .append_data(&mut header, path, bytes)
            .with_context(|| format!("cannot archive {path}"))
    }

    /// Adds an empty folder.
    ///
    /// # Errors
    /// When tar cannot hold the path.
    pub fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        let mut header = header(EntryType::Directory, mode);
        self.0
            .append_data(&mut header, path, std::io::empty())
            .with_context(|| format!("cannot archive {path}"))
    }

    /// Adds a symbolic link to `target`.
    ///
    /// # Errors
    /// When tar cannot hold one of the paths.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let mut header = header(EntryType::Symlink, 0o777);
        self.0
            .append_link(&mut header, path, target)
            .with_context(|| format!("cannot archive {path}"))
    }

    /// Adds the files of `root`/`name`, a file or a folder, in the order of their names, under `top`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn tree(&mut self, root: &Path, name: &str, top: &str) -> Result<()> {
        for entry in WalkDir::new(root.join(name)).sort_by_file_name() {
            let entry = entry?;
            if entry.file_type().is_dir() {
                continue;
            }
            let path = entry.path().strip_prefix(root)?.display();
            let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
            self.file(&format!("{top}/{path}"), &bytes, 0o644)?;
        }
        Ok(())
    }

    /// The archive's bytes.
    ///
    /// # Errors
    /// None that writing to memory has.
    pub fn finish(self) -> Result<Vec<u8>> {
        Ok(self.0.into_inner()?)
    }
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// The SHA-256 sum in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
