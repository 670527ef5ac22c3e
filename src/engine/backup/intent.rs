//! Intents: files that say what must be done if the process that is doing it dies.
//!
//! An intent is ended by one byte in it, which is written in place and synced: a power loss may undo the removal of the
//! file, but not that byte.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sealed::{Sealing, read_sealed, write_sealed};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, Fs, OpenMode};

/// The state of an intent on disk.
pub enum Found<T> {
    Nothing,
    /// It has ended, but perhaps not durably.
    Done,
    Open(T),
}

/// Reads the intent.
///
/// # Errors
/// `CORRUPT_DATA` if it is damaged, `UNSUPPORTED_FORMAT`, `IO_ERROR`.
pub fn find<T: DeserializeOwned>(fs: &dyn Fs, path: &Path) -> Result<Found<T>> {
    let found = read_sealed(fs, path).map_err(|error| match error {
        Error::Corrupt { path, offset, problem } => {
            let what_to_do = "what was under way cannot be finished; restore a backup";
            Error::Corrupt { path, offset, problem: format!("{problem}; {what_to_do}") }
        }
        other => other,
    })?;
    Ok(match found {
        None => Found::Nothing,
        Some((_, Sealing::Done)) => Found::Done,
        Some((content, _)) => Found::Open(content),
    })
}

/// Writes the intent durably, replacing one that is there already.
pub fn declare(fs: &dyn Fs, path: &Path, content: &impl Serialize) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dirs(fs, directory).at("create", directory)?;
    }
    write_sealed(fs, path, content, Sealing::Open)?;
    // A process that was killed may have created the directories without syncing them.
    fs::sync_dirs_above(fs, path).at("sync the directories above", path)
}

/// Takes back an intent whose declaration failed.
pub fn withdraw(fs: &dyn Fs, path: &Path) -> Result<()> {
    fs::remove_tree(fs, path).at("remove", path)?;
    match path.parent() {
        Some(directory) if fs.metadata(directory).at("look up", directory)?.is_some() => {
            fs.sync_dir(directory).at("sync directory", directory)
        }
        _ => Ok(()),
    }
}

/// Ends the intent, if there is one, so that it is never followed again. May be repeated.
pub fn end(fs: &dyn Fs, path: &Path) -> Result<()> {
    let file = match fs.open(path, OpenMode::ReadWrite) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.at("open", path)?,
    };
    // The sync of an earlier attempt may have failed.
    file.forget_cached();
    file.write_at(&[Sealing::DONE], Sealing::OFFSET).at("write", path)?;
    file.sync_data().at("sync", path)?;
    // The file has no effect any more: if it stays or comes back, the next opening removes it.
    let _ = fs.remove_file(path);
    Ok(())
}
