//! What a group of writes has changed so far, laid over the published state.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::CollectionSpec;
use super::document_file::DocumentFile;
use super::path_map::PathMap;
use crate::engine::document::{Document, DocumentId};
use crate::engine::error::Result;
use crate::engine::index::{Entries, Index};

/// The changes of all requests of a group that have run so far, laid over the published state.
#[derive(Default)]
pub struct Group {
    pub collections: BTreeMap<Arc<str>, Overlay>,
    /// Paths that its batches remove.
    pub removed_paths: PathMap<()>,
    /// How many of its requests changed something.
    pub batches: u64,
    /// Collections whose open files somebody wrote over: they are loaded again once the group is published.
    pub written_over: BTreeSet<Arc<str>>,
}

impl Group {
    /// Returns what the group put under this id, or that it left nothing there; `None` if the published document counts.
    pub fn put(&self, path: &str, id: &DocumentId) -> Option<Option<&Put>> {
        let overlay = self.collections.get(path)?;
        match overlay.documents.get(id) {
            Some(pending) => Some(pending.new.as_ref()),
            None => overlay.dropped.then_some(None),
        }
    }
}

pub struct Overlay {
    pub spec: Arc<CollectionSpec>,
    /// The collection was dropped: nothing of the published state shows through.
    pub dropped: bool,
    pub documents: BTreeMap<DocumentId, Pending>,
    /// These index the documents of this overlay only. They are built on demand: most overlays are committed before
    /// anybody asks for one.
    indexes: Vec<OnceCell<Index>>,
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

    /// Returns the length of the text in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Put::Text(document) => document.text.len() as u64,
            Put::File(file) => file.size().into(),
        }
    }

    /// Returns the document without its large field, as an object of its own.
    pub fn head_object(&self) -> Vec<u8> {
        match self {
            Put::Text(document) => document.head_object(),
            Put::File(file) => file.head_object(),
        }
    }

    /// Whether the text has these bytes at offset `at`.
    pub fn has_at(&self, at: usize, piece: &[u8]) -> Result<bool> {
        match self {
            Put::Text(document) => Ok(document.text.get(at..at + piece.len()) == Some(piece)),
            Put::File(file) => file.has_at(at, piece),
        }
    }

    /// Whether the other document has the same text. Equal hashes are no proof, so the texts are then compared;
    /// otherwise nothing is read.
    pub fn is_same(&self, other: &Put) -> Result<bool> {
        if (self.hash(), self.len()) != (other.hash(), other.len()) {
            return Ok(false);
        }
        match (self, other) {
            (Put::Text(document), other) | (other, Put::Text(document)) => other.has_at(0, &document.text),
            (Put::File(one), Put::File(other)) => one.is_same(other),
        }
    }

    /// Reads the whole document into memory, however large it is.
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
    /// What the new document will have in them: nothing in any of them if there is none.
    pub entries: Vec<Entries>,
}

impl Overlay {
    pub fn new(spec: &Arc<CollectionSpec>, dropped: bool) -> Overlay {
        let indexes = vec![OnceCell::new(); spec.indexes.len()];
        Overlay { spec: Arc::clone(spec), dropped, documents: BTreeMap::new(), indexes }
    }

    /// Whether the collection was dropped and holds nothing since.
    pub fn is_gone(&self) -> bool {
        self.dropped && self.documents.values().all(|pending| pending.new.is_none())
    }

    /// Returns an index of the documents of this overlay, by its position in the spec. O(n) when it is first asked for.
    pub fn index(&self, at: usize) -> &Index {
        self.indexes[at].get_or_init(|| {
            let mut index = Index::new(Arc::clone(&self.spec.indexes[at]));
            for (id, pending) in &self.documents {
                index.insert(id, pending.entries[at].clone());
            }
            index
        })
    }

    /// Returns all of these indexes, in the order of the spec.
    pub fn indexes(&self) -> Vec<&Index> {
        (0..self.indexes.len()).map(|at| self.index(at)).collect()
    }

    pub fn set(&mut self, id: DocumentId, pending: Option<Pending>) {
        let before = self.documents.get(&id);
        for (at, index) in self.indexes.iter_mut().enumerate() {
            let Some(index) = index.get_mut() else { continue };
            if let Some(before) = before {
                index.remove(&id, &before.entries[at]);
            }
            if let Some(pending) = &pending {
                index.insert(&id, pending.entries[at].clone());
            }
        }
        match pending {
            Some(pending) => drop(self.documents.insert(id, pending)),
            None => drop(self.documents.remove(&id)),
        }
    }
}
