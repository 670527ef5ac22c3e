//! Collections that belong to documents of another one. Whoever gives up such a document by hand gives up its collection
//! too: that the file of that is gone then is no damage.

use std::path::Path;
use std::sync::Arc;

use super::{CollectionSpec, Database, ReadOptions, collection_file};
use crate::engine::document::DocumentId;
use crate::engine::error::{IoContext, Result};

/// Which collections belong to documents of which.
#[derive(Clone)]
pub struct Owners {
    /// The collection of the documents that own others.
    pub spec: Arc<CollectionSpec>,
    /// The document that owns the collection in this file, if there should be one.
    pub owner: fn(&str) -> Option<DocumentId>,
}

/// What is known of the owners in the database of a directory.
pub type FindOwners = fn(&Path) -> Option<Owners>;

/// A collection whose file is gone, and the document that it belongs to.
pub(super) type Missing = (String, DocumentId);

impl Database {
    pub(super) fn owners(&self) -> Option<Owners> {
        self.options.owners.and_then(|find| find(&self.directory))
    }

    /// Takes over an edit of the owners before anybody asks for what belongs to them, if a file of that is gone: the edit may
    /// have given it up. What goes wrong is told to whoever asks for the owners. One look at each file that is owned.
    pub(in crate::engine) fn take_in_owners(&self) {
        let Some(owners) = self.owners() else { return };
        if self.missing_of(&owners).is_ok_and(|missing| !missing.is_empty()) {
            let options = ReadOptions { cached: false, lock_timeout: self.options.lock_timeout };
            let _ = self.make_ready(&owners.spec, options);
        }
    }

    /// The collections that belong to documents of this one and whose files are gone. Those of which the journals hold what
    /// their files never did are damaged, whatever becomes of their owners.
    pub(super) fn missing_files(&self, spec: &CollectionSpec) -> Result<Vec<Missing>> {
        match self.owners().filter(|owners| owners.spec.path == spec.path) {
            Some(owners) => self.missing_of(&owners),
            None => Ok(Vec::new()),
        }
    }

    fn missing_of(&self, owners: &Owners) -> Result<Vec<Missing>> {
        let owned: Vec<Missing> = {
            let state = self.state.read();
            let unwritten = |path: &str| {
                let changes = state.changes(path);
                changes.values().any(|change| state.is_newer_than_file(path, change))
            };
            let recorded = state.catalog.iter().filter(|(path, record)| {
                !record.snapshots.is_empty() && !record.absent && record.dropped.is_none() && !unwritten(path)
            });
            recorded.filter_map(|(path, _)| Some((path.clone(), (owners.owner)(path)?))).collect()
        };
        let mut missing = Vec::new();
        for (path, owner) in owned {
            let file = collection_file(&self.directory, &path);
            if self.fs.metadata(&file).at("look up", &file)?.is_none() {
                missing.push((path, owner));
            }
        }
        Ok(missing)
    }
}
