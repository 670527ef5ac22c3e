//! Collections that belong to documents of another one. A person who removes such a document by hand gives up its
//! collection too, so it is no damage if the file of that collection is gone.

use std::path::Path;
use std::sync::Arc;

use super::{CollectionSpec, Database, ReadOptions, collection_file};
use crate::engine::document::DocumentId;
use crate::engine::error::{IoContext, Result};

/// Which collections belong to which documents.
#[derive(Clone)]
pub struct Owners {
    /// The collection whose documents own others.
    pub spec: Arc<CollectionSpec>,
    /// Returns the document that owns the collection in this file, if there should be one.
    pub owner: fn(&str) -> Option<DocumentId>,
}

/// Returns the owners in the database of a directory, if there are any.
pub type FindOwners = fn(&Path) -> Option<Owners>;

/// A collection whose file is gone, and the document that it belongs to.
pub(super) type Missing = (String, DocumentId);

impl Database {
    pub(super) fn owners(&self) -> Option<Owners> {
        self.options.owners.and_then(|find| find(&self.directory))
    }

    /// Adopts an edit of the owners before anybody asks for what belongs to them, if the file of an owned collection is
    /// gone: the edit may have given that collection up. Errors are reported to whoever asks for the owners. Looks at
    /// each owned file once.
    pub(in crate::engine) fn take_in_owners(&self) {
        let Some(owners) = self.owners() else { return };
        if self.missing_of(&owners).is_ok_and(|missing| !missing.is_empty()) {
            let options = ReadOptions { cached: false, lock_timeout: self.options.lock_timeout };
            let _ = self.make_ready(&owners.spec, options);
        }
    }

    /// Returns the collections that belong to documents of this one and whose files are gone. Collections with changes
    /// in the journals that are newer than their files are left out: they are damaged, whatever becomes of their
    /// owners.
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
