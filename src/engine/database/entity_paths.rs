//! Paths that belong to documents: a file or directory of the caller's that is removed together with its document.

use std::collections::BTreeSet;

use super::batch::Removal;
use super::paths::{check_path, collection_file, holds_database, passes_symlink};
use super::transaction::Transaction;
use crate::engine::error::{Error, Result};

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
        if let Some(collection) = self.collections_at(path).first() {
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
        self.batch.removed_paths.insert(path.to_owned(), Removal::OfEntity);
        Ok(())
    }

    /// Records that paths belong to documents again. Earlier removals of them are made durable and never repeated,
    /// because somebody may keep something there from now on.
    pub fn keep_entity_paths<'p>(&mut self, paths: impl Iterator<Item = &'p str> + Clone) -> Result<()> {
        paths.clone().try_for_each(|path| check_path(&self.database.directory, path))?;
        let earlier: BTreeSet<String> = {
            let state = self.database.state.read();
            paths.clone().flat_map(|path| state.removals.overlapping(path)).map(str::to_owned).collect()
        };
        self.database.remove_for_good(&earlier)?;
        // What the group removes is still there; it is removed when the group is committed, before anybody is answered.
        let state = self.database.state.read();
        let is_removed = |path: &&str| {
            state.removals.overlaps(path)
                || self.group.removed_paths.overlaps(path)
                || self.batch.removed_paths.overlaps(path)
        };
        self.batch.kept_paths.extend(paths.filter(is_removed).map(str::to_owned));
        Ok(())
    }
}
