//! What a group of writes changed so far, laid over the published state.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::CollectionSpec;
use super::document_file::DocumentFile;
use crate::engine::document::{Document, DocumentId};
use crate::engine::error::Result;
use crate::engine::index::{Entries, Index, extract_all};

/// The changes of all requests of a group that ran so far, laid over the published state.
#[derive(Default)]
pub struct Group {
    pub collections: BTreeMap<Arc<str>, Overlay>,
    /// Paths that its batches remove.
    pub removed_paths: Vec<String>,
    /// How many of its requests changed something.
    pub batches: u64,
    /// Collections whose files somebody wrote over while they were open: they are loaded again once the group is published.
    pub written_over: BTreeSet<Arc<str>>,
}

pub struct Overlay {
    pub spec: Arc<CollectionSpec>,
    /// The collection was dropped: nothing of the published state shows through.
    pub dropped: bool,
    pub documents: BTreeMap<DocumentId, Pending>,
    /// Holds the documents of this overlay only.
    pub indexes: Vec<Index>,
}

/// A document that a batch puts.
#[derive(Clone)]
pub enum Put {
    /// Its text goes into the line.
    Text(Document),
    File(Arc<DocumentFile>),
}

impl From<Document> for Put {
    fn from(document: Document) -> Put {
        Put::Text(document)
    }
}

impl Put {
    pub fn hash(&self) -> u64 {
        match self {
            Put::Text(document) => document.hash,
            Put::File(file) => file.hash(),
        }
    }

    /// Bytes of the text.
    pub fn len(&self) -> u64 {
        match self {
            Put::Text(document) => document.text.len() as u64,
            Put::File(file) => file.size().into(),
        }
    }

    /// The document without its large field, as an object of its own.
    pub fn head_object(&self) -> Vec<u8> {
        match self {
            Put::Text(document) => document.head_object(),
            Put::File(file) => file.head_object(),
        }
    }

    /// Whether these bytes lie `at` bytes behind the beginning of the text.
    pub fn has_at(&self, at: usize, piece: &[u8]) -> Result<bool> {
        match self {
            Put::Text(document) => Ok(document.text.get(at..at + piece.len()) == Some(piece)),
            Put::File(file) => file.has_at(at, piece),
        }
    }

    /// Whether the other document has the same text. Nothing is read unless the hashes are equal, which is no proof.
    pub fn is_same(&self, other: &Put) -> Result<bool> {
        if (self.hash(), self.len()) != (other.hash(), other.len()) {
            return Ok(false);
        }
        match (self, other) {
            (Put::Text(document), other) | (other, Put::Text(document)) => other.has_at(0, &document.text),
            (Put::File(one), Put::File(other)) => one.is_same(other),
        }
    }

    /// The document in memory, however large it is.
    pub fn whole(&self) -> Result<Document> {
        match self {
            Put::Text(document) => Ok(document.clone()),
            Put::File(file) => file.whole(),
        }
    }
}

#[derive(Clone)]
pub struct Pending {
    /// What the published document, if there is one, has in the indexes.
    pub old: Vec<Entries>,
    pub new: Option<Put>,
    pub entries: Vec<Entries>,
}

impl Overlay {
    pub fn new(spec: &Arc<CollectionSpec>, dropped: bool) -> Overlay {
        let indexes = spec.indexes.iter().map(|index| Index::new(Arc::clone(index))).collect();
        Overlay { spec: Arc::clone(spec), dropped, documents: BTreeMap::new(), indexes }
    }

    /// What a document with this head (an object) has in the indexes; nothing, where there is none.
    pub fn entries_of(&self, head: Option<&[u8]>) -> Vec<Entries> {
        head.map_or_else(|| no_entries(&self.spec), |head| extract_all(&self.indexes, head))
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
