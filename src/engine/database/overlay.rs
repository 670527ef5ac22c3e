//! What a group of writes changed so far, laid over the published state.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::CollectionSpec;
use crate::engine::document::{Document, DocumentId};
use crate::engine::index::{Entries, Index, extract_all};

/// The changes of all requests of a group that ran so far, laid over the published state.
#[derive(Default)]
pub struct Group {
    pub collections: BTreeMap<Arc<str>, Overlay>,
    /// Paths that its batches remove.
    pub removed_paths: Vec<String>,
}

pub struct Overlay {
    pub spec: Arc<CollectionSpec>,
    /// The collection was dropped: nothing of the published state shows through.
    pub dropped: bool,
    pub documents: BTreeMap<DocumentId, Pending>,
    /// Holds the documents of this overlay only.
    pub indexes: Vec<Index>,
}

#[derive(Clone)]
pub struct Pending {
    /// What the published document, if there is one, has in the indexes.
    pub old: Vec<Entries>,
    pub new: Option<Document>,
    pub entries: Vec<Entries>,
}

impl Overlay {
    pub fn new(spec: &Arc<CollectionSpec>, dropped: bool) -> Overlay {
        let indexes = spec.indexes.iter().map(|index| Index::new(Arc::clone(index))).collect();
        Overlay { spec: Arc::clone(spec), dropped, documents: BTreeMap::new(), indexes }
    }

    /// What a document that a batch puts has in the indexes; nothing, where it deletes one.
    pub fn entries_of(&self, document: Option<&Document>) -> Vec<Entries> {
        match document {
            Some(document) => extract_all(&self.indexes, &document.head_object()),
            None => no_entries(&self.spec),
        }
    }

    pub fn set(&mut self, id: DocumentId, pending: Option<Pending>) {
        let slot = self.documents.entry(id.clone());
        if let Entry::Occupied(before) = &slot {
            for (index, entries) in self.indexes.iter_mut().zip(&before.get().entries) {
                index.remove(&id, entries);
            }
        }
        if let Some(pending) = &pending {
            for (index, entries) in self.indexes.iter_mut().zip(&pending.entries) {
                index.insert(&id, entries);
            }
        }
        match (slot, pending) {
            (Entry::Occupied(mut before), Some(pending)) => drop(before.insert(pending)),
            (Entry::Occupied(before), None) => drop(before.remove()),
            (Entry::Vacant(free), Some(pending)) => drop(free.insert(pending)),
            (Entry::Vacant(_), None) => {}
        }
    }
}

/// One empty element per index.
pub fn no_entries(spec: &CollectionSpec) -> Vec<Entries> {
    vec![Entries::default(); spec.indexes.len()]
}
