//! Questions that are answered from memory: by ids and indexes, without the text of a document.

use std::sync::Arc;

use super::read::{Peek, ReadOptions};
use super::state::{IndexTimes, Loaded, State};
use super::transaction::index_position;
use super::{CollectionSpec, Database};
use crate::engine::document::DocumentId;
use crate::engine::document_map::DocumentMap;
use crate::engine::error::Result;
use crate::engine::index::Index;

/// What a query may look at: ids and indexes of a collection, all as of one moment.
pub struct Queryable<'a> {
    state: &'a State,
    loaded: &'a Loaded,
}

impl<'a> Queryable<'a> {
    pub(super) fn new(state: &'a State, loaded: &'a Loaded) -> Queryable<'a> {
        Queryable { state, loaded }
    }

    pub fn documents(&self) -> &DocumentMap {
        &self.loaded.documents
    }

    pub fn index(&self, name: &str) -> Result<&Index> {
        Ok(&self.loaded.indexes[index_position(&self.loaded.spec, name)?])
    }

    /// Returns when an index was first built and last changed.
    pub fn times(&self, name: &str) -> Result<IndexTimes> {
        Ok(self.loaded.times[index_position(&self.loaded.spec, name)?])
    }

    /// Returns the hash of a document of another collection at the same moment; `None` if there is none, or if that
    /// collection is not in memory.
    pub fn hash_in(&self, other: &CollectionSpec, id: &DocumentId) -> Option<u64> {
        Some(self.state.loaded(&other.path)?.documents.get(id)?.hash)
    }
}

impl Database {
    /// Returns what `look` finds, if the collection is in memory and up to date with every process.
    pub fn peek_query<T>(
        &self,
        spec: &Arc<CollectionSpec>,
        look: impl FnOnce(&Queryable<'_>) -> T,
    ) -> Peek<T> {
        let state = self.state.read();
        match self.current(&state, spec).filter(|loaded| self.is_fresh(loaded)) {
            Some(loaded) => Peek::Ready(look(&Queryable::new(&state, loaded))),
            None => Peek::Wait,
        }
    }

    /// Returns the hash of a document as of the last commit of any process, if the collection is in memory. Does not
    /// check whether somebody has edited its file.
    pub fn peek_hash(&self, spec: &Arc<CollectionSpec>, id: &DocumentId) -> Option<u64> {
        let state = self.state.read();
        Some(self.current(&state, spec)?.documents.get(id)?.hash)
    }

    /// Returns what `look` finds, after loading the collection if need be.
    ///
    /// # Errors
    /// `CORRUPT_DATA` if the collection's file is damaged, `IO_ERROR`, `LOCK_TIMEOUT`.
    pub fn query<T>(
        &self,
        spec: &Arc<CollectionSpec>,
        options: ReadOptions,
        mut look: impl FnMut(&Queryable<'_>) -> T,
    ) -> Result<T> {
        self.with_loaded(spec, options, |state, loaded| look(&Queryable::new(state, loaded)))
    }
}
