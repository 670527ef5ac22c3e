//! What a write can look up in a collection as a whole: ids, and documents by index.

use std::sync::Arc;

use super::CollectionSpec;
use super::transaction::{Transaction, index_position};
use crate::engine::document::DocumentId;
use crate::engine::error::Result;
use crate::engine::index::{Index, IndexKey};

impl Transaction<'_> {
    /// Returns all ids, ascending. O(n).
    pub fn ids(&mut self, spec: &Arc<CollectionSpec>) -> Result<Vec<DocumentId>> {
        let spec = &self.declare(spec)?;
        self.load_whole(spec)?;
        let overlay = self.group.collections.get(&spec.path);
        let state = self.database.state.read();
        let published = state.loaded(&spec.path).filter(|_| !overlay.is_some_and(|overlay| overlay.dropped));
        let mut ids: Vec<DocumentId> = published
            .into_iter()
            .flat_map(|loaded| loaded.documents.iter())
            .map(|(id, _)| id.clone())
            .collect();
        drop(state);
        if let Some(overlay) = overlay {
            ids.retain(|id| !overlay.documents.contains_key(id));
            let added = overlay.documents.iter().filter(|(_, pending)| pending.new.is_some());
            ids.extend(added.map(|(id, _)| id.clone()));
            ids.sort();
        }
        Ok(ids)
    }

    /// Returns the ids under `key` in one of the collection's indexes, ascending.
    pub fn find(
        &mut self,
        spec: &Arc<CollectionSpec>,
        index: &str,
        key: &IndexKey,
    ) -> Result<Vec<DocumentId>> {
        self.query(spec, index, |index| Ok(index.find(key)))
    }

    /// Returns the ids that `query` finds in one of the collection's indexes, ascending.
    pub fn query(
        &mut self,
        spec: &Arc<CollectionSpec>,
        index: &str,
        query: impl Fn(&Index) -> Result<Vec<DocumentId>>,
    ) -> Result<Vec<DocumentId>> {
        let (mut ids, changed) = self.query_parts(spec, index, query)?;
        ids.extend(changed);
        ids.sort();
        Ok(ids)
    }

    /// Returns, of what `query` finds in the order of the index, the last of the published documents and the last of
    /// those that this group changed. One of the two is the last of all.
    pub fn query_last(
        &mut self,
        spec: &Arc<CollectionSpec>,
        index: &str,
        query: impl Fn(&Index) -> Result<Vec<DocumentId>>,
    ) -> Result<Vec<DocumentId>> {
        let (mut published, mut changed) = self.query_parts(spec, index, query)?;
        Ok(published.pop().into_iter().chain(changed.pop()).collect())
    }

    fn query_parts(
        &mut self,
        spec: &Arc<CollectionSpec>,
        index: &str,
        query: impl Fn(&Index) -> Result<Vec<DocumentId>>,
    ) -> Result<(Vec<DocumentId>, Vec<DocumentId>)> {
        let spec = &self.declare(spec)?;
        self.load_whole(spec)?;
        let at = index_position(spec, index)?;
        let overlay = self.group.collections.get(&spec.path);
        let mut published = Vec::new();
        if !overlay.is_some_and(|overlay| overlay.dropped) {
            let state = self.database.state.read();
            if let Some(loaded) = state.loaded(&spec.path) {
                published = query(&loaded.indexes[at])?;
            }
        }
        let Some(overlay) = overlay else { return Ok((published, Vec::new())) };
        published.retain(|id| !overlay.documents.contains_key(id));
        Ok((published, query(overlay.index(at))?))
    }
}
