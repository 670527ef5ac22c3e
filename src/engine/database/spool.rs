//! Spools: files in the reserved folder that take in what a caller sends piece by piece, until it is complete.

use std::path::PathBuf;
use std::sync::Arc;

use super::Database;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{File, Fs, OpenMode, read_exact_at};
use crate::engine::id::generate_id;

/// How names of spools begin. The sole opener of a database removes what processes that died left of them.
pub const SPOOL: &str = "spool-";

/// Whether a file of this name is a spool of this process.
pub fn is_of_this_process(name: &str) -> bool {
    name.strip_prefix(SPOOL)
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(pid, _)| pid == std::process::id().to_string())
}

/// More than this makes no document.
const MAX_BYTES: u64 = 1 << 30;

/// A spool. Its file goes when it is dropped; nothing in it is durable.
pub struct Spool {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    file: Arc<dyn File>,
    len: u64,
}

impl Database {
    /// # Errors
    /// `IO_ERROR`.
    pub fn spool(&self) -> Result<Spool> {
        let path = self.reserved(&format!("{SPOOL}{}-{}", std::process::id(), generate_id()));
        let file = self.fs.open(&path, OpenMode::CreateNew).at("create", &path)?;
        Ok(Spool { fs: Arc::clone(&self.fs), path, file, len: 0 })
    }
}

impl Spool {
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.len + bytes.len() as u64 > MAX_BYTES {
            return Err(Error::InvalidArgument("a document must not be larger than 1 GiB".into()));
        }
        self.file.write_at(bytes, self.len).at("write", &self.path)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends all that was taken in to a text.
    pub fn read_into(&self, text: &mut Vec<u8>) -> Result<()> {
        let start = text.len();
        text.resize(start + self.len(), 0);
        read_exact_at(&*self.file, &mut text[start..], 0).at("read", &self.path)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // One that stays is removed by the next sole opener.
        let _ = self.fs.remove_file(&self.path);
    }
}
