//! Giving up files in a batch, and removing them until the removal is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{Batch, Removal};
use super::kept_bytes::is_full;
use super::overlay::Overlay;
use super::path_map::{self, PathMap};
use super::paths::{check_path, collection_file, holds_database, leads_out, passes_symlink};
use super::transaction::Transaction;
use super::{CollectionSpec, Database, WarningCode};
use crate::engine::checksum::hash_of_file;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, FileKind, Fs};
use crate::engine::journal::CollectionRecord;
use crate::engine::ownership::{at_or_below, files_of_others};

/// Repeats removals: a crash or an error may have come between a batch and its removals. Afterwards they are durable. What
/// another database has begun to keep at a removed path stays. `most_above` is that of the options.
pub fn repeat_removals(
    file_system: &Arc<dyn Fs>,
    directory: &Path,
    most_above: usize,
    catalog: &BTreeMap<String, CollectionRecord>,
    removed: u64,
    removals: &PathMap<u64>,
) -> Result<()> {
    let fs = &**file_system;
    let mut touched = Vec::new();
    let mut foreign = Vec::new();
    for (path, record) in catalog.iter().filter(|(_, record)| record.dropped.is_some()) {
        let file = collection_file(directory, path);
        match is_own_file(fs, &file, record)? {
            Some(false) => foreign.push(file),
            _ => touched.push(file),
        }
    }
    let mut given_up = Vec::new();
    for (path, seq) in removals.iter() {
        // A collection that was written at this path again after its removal has a newer snapshot by now, or no file.
        let revived = path_map::at_or_below(catalog, path)
            .any(|(_, record)| record.snapshots.iter().any(|snapshot| snapshot.covers >= *seq));
        if *seq > removed && !revived {
            given_up.extend(removed_target(fs, directory, path)?);
        }
    }
    match kept_by_others(file_system, directory, most_above, &given_up) {
        Ok(kept) => foreign.extend(kept),
        Err(error @ (Error::Io { .. } | Error::Aborted(_))) => return Err(error),
        // It is unknown whose files these are, so they stay. The database must open all the same.
        Err(_) => given_up.retain(|path| matches!(fs.symlink_metadata(path), Ok(None))),
    }
    touched.append(&mut given_up);
    // Redoing the removal of a directory may have left a file in its place.
    let is_directory = |path: &Path| -> Result<bool> {
        let found = fs.metadata(path).at("look up", path)?;
        Ok(found.is_some_and(|found| found.kind == FileKind::Directory))
    };
    let mut parents = BTreeSet::new();
    for path in &touched {
        let is_there = fs.symlink_metadata(path).at("look up", path)?.is_some();
        fs::remove_tree_except(fs, path, &foreign).at("remove", path)?;
        let Some(parent) = path.parent() else { continue };
        if !is_there && is_directory(parent)? {
            redo_removal(fs, path)?;
        }
        parents.insert(parent);
    }
    // One sync for all that was removed from a directory: it takes longer than many removals.
    for parent in parents {
        if is_directory(parent)? {
            fs.sync_dir(parent).at("sync directory", parent)?;
        }
    }
    Ok(())
}

impl Database {
    /// Removes the files that a committed batch gave up. If that fails, the next checkpoint or recovery repeats it.
    /// While somebody copies the files, the removal is left to the next checkpoint, except for files that would be
    /// taken for damage if they stayed. Paths in `kept`, which belong to documents of the same group again, are removed
    /// here, durably, or never: afterwards somebody may keep something there.
    pub(super) fn remove_from_disk(&self, batch: &Batch, kept: &PathMap<()>) {
        let dropped = batch.collections.iter().filter(|(_, changes)| changes.dropped);
        let files = dropped.map(|(path, changes)| (path.as_ref(), changes.removed_durably));
        let paths = batch.removed_paths.iter().map(|(path, _)| (path, false));
        let targets: Vec<(&str, bool)> = files.chain(paths).collect();
        if targets.is_empty() {
            return;
        }
        let copied = self.is_being_copied();
        for (path, durably) in targets {
            let is_kept = kept.overlaps(path);
            let removed = if copied && !is_kept && !(durably && self.is_unknown_file(path)) {
                Ok(())
            } else {
                self.remove_now(path, durably || is_kept)
            };
            if let Err(error) = removed {
                let then = if is_kept { "what is there stays" } else { "the next checkpoint tries again" };
                self.warn(WarningCode::CheckpointFailed, format!("{error}; {then}"));
            }
        }
    }

    /// Whether there is a file of a dropped collection that the catalog does not know. A file that cannot be read is
    /// not known.
    fn is_unknown_file(&self, path: &str) -> bool {
        let record = self.state.read().catalog.get(path).cloned().unwrap_or_default();
        let known = is_own_file(&*self.fs, &collection_file(&self.directory, path), &record);
        matches!(known, Ok(Some(false)) | Err(_))
    }

    pub(super) fn remove_now(&self, path: &str, durably: bool) -> Result<()> {
        let Some(target) = removal_target(&*self.fs, &self.directory, path)? else { return Ok(()) };
        fs::remove_tree(&*self.fs, &target).at("remove", &target)?;
        match target.parent().filter(|_| durably) {
            Some(parent) if self.fs.metadata(parent).at("look up", parent)?.is_some() => {
                self.fs.sync_dir(parent).at("sync directory", parent)
            }
            _ => Ok(()),
        }
    }

    /// Removes paths that batches removed before, durably: a removal may have failed, or been left to the next
    /// checkpoint. One sync for all that was in a directory.
    pub(super) fn remove_for_good(&self, removed: &BTreeSet<String>) -> Result<()> {
        if removed.is_empty() {
            return Ok(());
        }
        let fs = &*self.fs;
        let mut targets = Vec::new();
        for path in removed {
            targets.extend(removed_target(fs, &self.directory, path)?);
        }
        let kept = kept_by_others(&self.fs, &self.directory, self.options.most_above, &targets)?;
        let mut parents = BTreeSet::new();
        for target in &targets {
            fs::remove_tree_except(fs, target, &kept).at("remove", target)?;
            for (below, above) in target.ancestors().zip(target.ancestors().skip(1)) {
                if fs.metadata(above).at("look up", above)?.is_some() {
                    redo_removal(fs, below)?;
                    parents.insert(above.to_owned());
                    break;
                }
            }
        }
        parents.iter().try_for_each(|parent| fs.sync_dir(parent).at("sync directory", parent))
    }
}

impl Transaction<'_> {
    /// Removes a path with all it holds, as part of the batch. Collections whose files are there are dropped.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a path that is not in its canonical form, that leads into a reserved folder, that is the
    /// database's own directory or above it, or that holds another database.
    pub fn remove_path(&mut self, path: &str) -> Result<()> {
        check_path(&self.database.directory, path)?;
        let target = collection_file(&self.database.directory, path);
        if holds_database(&*self.database.fs, &target)? {
            let target = target.display();
            return Err(Error::InvalidArgument(format!(
                "{target} cannot be removed, because it holds a database"
            )));
        }
        for collection in self.collections_at(path) {
            let known =
                self.database.state.read().collections.get(&*collection).and_then(|known| known.spec.clone());
            self.drop_collection(&known.unwrap_or_else(|| Arc::new(CollectionSpec::plain(&collection))))?;
        }
        self.batch.removed_paths.insert(path.to_owned(), Removal::WithCollections);
        Ok(())
    }

    /// Returns the paths that the batch removes.
    pub fn removed_paths(&self) -> impl Iterator<Item = &str> {
        self.batch.removed_paths.iter().map(|(path, _)| path)
    }

    /// Returns the collections whose files are at the path or below it, without those that the group has dropped.
    pub(super) fn collections_at(&self, path: &str) -> BTreeSet<String> {
        let state = self.database.state.read();
        let catalog = path_map::at_or_below(&state.catalog, path)
            .filter(|(_, record)| record.dropped.is_none())
            .map(|(name, _)| &**name);
        let known = path_map::at_or_below(&state.collections, path).map(|(name, _)| &**name);
        let group = path_map::at_or_below(&self.group.collections, path).map(|(name, _)| &**name);
        let is_gone = |name: &&str| self.group.collections.get(*name).is_some_and(Overlay::is_gone);
        catalog.chain(known).chain(group).filter(|name| !is_gone(name)).map(str::to_owned).collect()
    }
}

/// Makes a sync of the directory make it durable that nothing is at `path`: whoever removed it may have failed to sync that.
fn redo_removal(fs: &dyn Fs, path: &Path) -> Result<()> {
    match fs::redo_removal(fs, path).at("remove", path) {
        // A full disk must not keep anybody from recovering the database, so the sync alone is trusted then.
        Err(error) if is_full(&error) => Ok(()),
        other => other,
    }
}

/// Returns the file or directory that a removal is about; `None` if it is outside the database's directory and somebody
/// has put a symlink on the way there since: what that leads to is not ours to remove.
pub fn removal_target(fs: &dyn Fs, directory: &Path, path: &str) -> Result<Option<PathBuf>> {
    if leads_out(path) && passes_symlink(fs, directory, path)? {
        return Ok(None);
    }
    Ok(Some(collection_file(directory, path)))
}

/// Like [`removal_target`], for a path that was removed before; also `None` if there is a database now, which was created
/// since: no path that holds one is removed.
fn removed_target(fs: &dyn Fs, directory: &Path, path: &str) -> Result<Option<PathBuf>> {
    match removal_target(fs, directory, path)? {
        Some(target) if holds_database(fs, &target)? => Ok(None),
        target => Ok(target),
    }
}

/// Returns the files of other databases under the same base path that are at these paths or below them.
fn kept_by_others(
    fs: &Arc<dyn Fs>,
    directory: &Path,
    most_above: usize,
    targets: &[PathBuf],
) -> Result<Vec<PathBuf>> {
    let mut there = Vec::new();
    for target in targets {
        if fs.symlink_metadata(target).at("look up", target)?.is_some() {
            there.push(target.clone());
        }
    }
    let (Some(base), false) = (directory.ancestors().nth(most_above), there.is_empty()) else {
        return Ok(Vec::new());
    };
    let files = files_of_others(fs, base, directory, &there)?;
    Ok(there.iter().flat_map(|target| at_or_below(&files, target)).cloned().collect())
}

/// Returns whether a file is the one that the catalog knew before the collection was dropped, or what redoing its
/// removal left, and not something that a person put there; `None` if nothing is there. O(bytes).
fn is_own_file(fs: &dyn Fs, path: &Path, record: &CollectionRecord) -> Result<Option<bool>> {
    let Some(found) = fs.metadata(path).at("look up", path)? else { return Ok(None) };
    if found.kind != FileKind::File {
        return Ok(Some(false));
    }
    let Some(file) = fs::open_if_there(fs, path).at("open", path)? else { return Ok(None) };
    let is_empty = file.metadata().at("look up", path)?.len == 0;
    let hash = hash_of_file(&*file).at("read", path)?;
    Ok(Some(is_empty || super::state::matching(Some(record), hash).is_some()))
}
