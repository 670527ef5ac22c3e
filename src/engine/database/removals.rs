//! Removing the files that a batch gave up, until that is durable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::paths::{collection_file, leads_out, passes_symlink};
use crate::engine::checksum::hash_of_file;
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::{self, Fs, OpenMode};
use crate::engine::journal::CollectionRecord;

/// Removals belong to their batch: a crash or an error may have come between the two. Afterwards they are durable.
pub fn repeat_removals(
    fs: &dyn Fs,
    directory: &Path,
    catalog: &BTreeMap<String, CollectionRecord>,
    removed: u64,
    removals: &[(u64, String)],
) -> Result<()> {
    let mut touched = Vec::new();
    let mut foreign = Vec::new();
    for (path, record) in catalog.iter().filter(|(_, record)| record.dropped.is_some()) {
        let file = collection_file(directory, path);
        match is_own_file(fs, &file, record)? {
            Some(false) => foreign.push(file),
            _ => touched.push(file),
        }
    }
    for (seq, path) in removals {
        // A collection that was written again under this path after its removal has its own snapshot by now, or none.
        let revived = catalog.iter().any(|(collection, record)| {
            let below = collection == path
                || collection.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'));
            below && record.snapshots.iter().any(|snapshot| snapshot.covers >= *seq)
        });
        if *seq > removed && !revived {
            touched.extend(removal_target(fs, directory, path)?);
        }
    }
    for path in touched {
        fs::remove_tree_except(fs, &path, &foreign).at("remove", &path)?;
        if let Some(parent) = path.parent()
            && fs.metadata(parent).at("look up", parent)?.is_some()
        {
            fs.sync_dir(parent).at("sync directory", parent)?;
        }
    }
    Ok(())
}

/// The file or directory that a removal is about. Nothing, if somebody put a symlink on the way out of the database's
/// directory since: what it leads to is not ours to remove.
pub fn removal_target(fs: &dyn Fs, directory: &Path, path: &str) -> Result<Option<PathBuf>> {
    if leads_out(path) && passes_symlink(fs, directory, path)? {
        return Ok(None);
    }
    Ok(Some(collection_file(directory, path)))
}

/// Whether a file, if there is one, is what the catalog knew before the collection was dropped, not one that a person
/// put there. O(bytes).
pub fn is_own_file(fs: &dyn Fs, path: &Path, record: &CollectionRecord) -> Result<Option<bool>> {
    use std::io::ErrorKind;
    let file = match fs.open(path, OpenMode::Read) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        other => other.at("open", path)?,
    };
    let hash = hash_of_file(&*file).at("read", path)?;
    Ok(Some(super::state::matching(Some(record), hash).is_some()))
}
