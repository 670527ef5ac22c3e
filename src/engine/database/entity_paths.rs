//! Paths that belong to documents: a file or directory of the caller's that is removed together with its document.

use std::path::Path;

use super::paths::{check_path, collection_file, passes_symlink};
use super::removals::{removal_target, sync_absence};
use super::transaction::Transaction;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{FileKind, Fs};
use crate::engine::journal::RESERVED;
use crate::engine::normal_path::is_at_or_below;

impl Transaction<'_> {
    /// Removes a path that belongs to a document, as part of the batch. The path must be in its canonical form, see
    /// `check_path`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a path that holds a collection or a database, or that is reached through a symlink.
    pub fn remove_entity_path(&mut self, path: &str) -> Result<()> {
        check_path(&self.database.directory, path)?;
        let refuse =
            |why: String| Err(Error::InvalidArgument(format!("the path {path:?} of an entity {why}")));
        if let Some(collection) = self.collection_at(path) {
            return refuse(format!("holds the file {collection} of this database"));
        }
        let fs = &*self.database.fs;
        if passes_symlink(fs, &self.database.directory, path)? {
            return refuse("is reached through a symlink".into());
        }
        let target = collection_file(&self.database.directory, path);
        if holds_database(fs, &target)? {
            return refuse("holds a database".into());
        }
        self.batch.removed_paths.push(path.to_owned());
        Ok(())
    }

    /// Records that a path belongs to a document again. An earlier removal of it is made durable and never repeated,
    /// because somebody may keep something there from now on.
    pub fn keep_entity_path(&mut self, path: &str) -> Result<()> {
        check_path(&self.database.directory, path)?;
        let earlier = {
            let state = self.database.state.read();
            let earlier = state.removals.iter().map(|(_, removed)| removed);
            earlier.filter(|removed| overlap(removed, path)).cloned().collect::<Vec<String>>()
        };
        let fs = &*self.database.fs;
        for removed in &earlier {
            // The removal may have failed, or been left to the next checkpoint.
            self.database.remove_now(removed, false)?;
            if let Some(target) = removal_target(fs, &self.database.directory, removed)? {
                sync_above(fs, &target)?;
            }
        }
        // What the group removes is still there; it is removed when the group is committed, before anybody is answered.
        let mut pending = self.group.removed_paths.iter().chain(&self.batch.removed_paths);
        if earlier.is_empty() && !pending.any(|removed| overlap(removed, path)) {
            return Ok(());
        }
        self.batch.kept_paths.push(path.to_owned());
        Ok(())
    }

    /// Returns a collection whose file is at the path or below it.
    fn collection_at(&self, path: &str) -> Option<String> {
        let state = self.database.state.read();
        let catalog =
            state.catalog.iter().filter(|(_, record)| record.dropped.is_none()).map(|(name, _)| &**name);
        let known = catalog.chain(state.collections.keys().map(|name| &**name));
        let group =
            self.group.collections.iter().filter(|(_, overlay)| !overlay.dropped).map(|(name, _)| &**name);
        known.chain(group).find(|name| is_at_or_below(name, path)).map(str::to_owned)
    }
}

/// Whether the paths are the same or one lies below the other.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    is_at_or_below(one, other) || is_at_or_below(other, one)
}

fn holds_database(fs: &dyn Fs, path: &Path) -> Result<bool> {
    let is_directory = |path: &Path| -> Result<bool> {
        let found = fs.symlink_metadata(path).at("look up", path)?;
        Ok(found.is_some_and(|found| found.kind == FileKind::Directory))
    };
    if !is_directory(path)? {
        return Ok(false);
    }
    for name in fs.list_dir(path).at("list", path)? {
        if name == RESERVED || holds_database(fs, &path.join(name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the absence of a path durable.
fn sync_above(fs: &dyn Fs, path: &Path) -> Result<()> {
    for (below, above) in path.ancestors().zip(path.ancestors().skip(1)) {
        if fs.metadata(above).at("look up", above)?.is_some() {
            return sync_absence(fs, below, above);
        }
    }
    Ok(())
}
