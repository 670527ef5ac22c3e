//! Bytes that are cut from a journal, and kept aside in case a person wants to see them.

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{File, Fs, OpenMode, read_exact_at};
use crate::engine::journal::{BLANK, without_room};

use super::{Database, WarningCode};

/// Keeps a copy of bytes that are about to be cut. They are not needed, so the copy is not synced. If this fails,
/// nothing is left.
pub fn keep_cut(fs: &dyn Fs, journal: &Path, generation: u64, offset: u64, bytes: &[u8]) -> Result<()> {
    let copy = cut_path(fs, journal, generation, offset)?;
    let file = fs.open(&copy, OpenMode::CreateNew).at("create", &copy)?;
    file.write_at(bytes, 0).at("write", &copy).inspect_err(|_| {
        // If there is no room for the whole, there is none to spare for a part.
        let _ = fs.remove_file(&copy);
    })
}

/// Returns a path for bytes that are cut, at which nothing exists.
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

/// Whether the bytes are only room, or zeros as a file system fills files with.
pub fn says_nothing(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0 || byte == BLANK)
}

/// Whether a call failed for lack of room.
pub fn is_full(error: &Error) -> bool {
    matches!(error, Error::Io { kind: io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, .. })
}

impl Database {
    /// Keeps a copy of bytes behind the tip if possible: they were acknowledged to nobody.
    pub(super) fn keep_stray_bytes(
        &self,
        journal: &dyn File,
        path: &Path,
        generation: u64,
        from: u64,
        to: u64,
    ) {
        let mut bytes = vec![0; (to - from) as usize];
        let kept = read_exact_at(journal, &mut bytes, from)
            .at("read", path)
            .and_then(|()| keep_cut(&*self.fs, path, generation, from, without_room(&bytes)));
        if let Err(error) = kept {
            let message = format!(
                "bytes that were never acknowledged were cut from the end of {}; no copy was kept: {error}",
                path.display()
            );
            self.warn(WarningCode::TailCut, message);
        }
    }
}
