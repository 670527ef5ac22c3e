//! What a request has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::overlay::Put;
use super::path_map::PathMap;
use crate::engine::document::DocumentId;

/// What one request changed: the content of its journal line.
#[derive(Default)]
pub struct Batch {
    pub collections: BTreeMap<Arc<str>, BatchChanges>,
    pub removed_paths: PathMap<Removal>,
    /// Paths that belong to documents again, although earlier batches removed them.
    pub kept_paths: Vec<String>,
}

/// What a removed path takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The collections that are there.
    WithCollections,
    /// No collection: the path belongs to a document, and is not removed if somebody has begun to keep a collection there.
    OfEntity,
}

#[derive(Default)]
pub struct BatchChanges {
    pub dropped: bool,
    /// Whether the removal of the file of a dropped collection must be durable before the batch is acknowledged: a damaged
    /// file that came back would hide what the batch wrote.
    pub removed_durably: bool,
    pub documents: BTreeMap<DocumentId, Option<Put>>,
    /// The documents among these that existed before the batch.
    pub existing: BTreeSet<DocumentId>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.collections.is_empty() && self.removed_paths.is_empty()
    }

    /// Whether files are removed once the batch is in the journal.
    pub fn removes_files(&self) -> bool {
        !self.removed_paths.is_empty() || self.collections.values().any(|changes| changes.dropped)
    }
}
