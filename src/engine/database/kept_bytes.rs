//! Bytes that are cut from a journal, and kept aside for a person's curiosity.

use std::path::{Path, PathBuf};

use crate::engine::error::{IoContext, Result};
use crate::engine::fs::{File, Fs, OpenMode, read_exact_at};
use crate::engine::journal::{BLANK, without_room};

use super::Database;

/// Keeps bytes that are about to be cut. They are not needed, so they are not synced.
pub fn keep_cut(fs: &dyn Fs, journal: &Path, generation: u64, offset: u64, bytes: &[u8]) -> Result<()> {
    let copy = cut_path(fs, journal, generation, offset)?;
    let file = fs.open(&copy, OpenMode::CreateNew).at("create", &copy)?;
    file.write_at(bytes, 0).at("write", &copy)
}

/// A name for bytes that are cut, which nothing has.
pub fn cut_path(fs: &dyn Fs, journal: &Path, generation: u64, offset: u64) -> Result<PathBuf> {
    let mut time = fs.now_ms();
    loop {
        let path = journal.with_file_name(format!("cut-{generation:012}-{offset}-{time}"));
        if fs.symlink_metadata(&path).at("look up", &path)?.is_none() {
            return Ok(path);
        }
        time += 1;
    }
}

/// Whether the bytes are only what a file system fills files with, or room.
pub fn says_nothing(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0 || byte == BLANK)
}

impl Database {
    pub(super) fn keep_cut_bytes(
        &self,
        journal: &dyn File,
        path: &Path,
        generation: u64,
        from: u64,
        to: u64,
    ) -> Result<()> {
        let mut bytes = vec![0; (to - from) as usize];
        read_exact_at(journal, &mut bytes, from).at("read", path)?;
        keep_cut(&*self.fs, path, generation, from, &without_room(bytes))
    }
}
