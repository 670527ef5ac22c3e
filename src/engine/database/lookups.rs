//! What a write can look up in a collection as a whole: ids, and documents by index.

use std::sync::Arc;

use super::CollectionSpec;
use super::read_set::IndexLookup;
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
        let published = state.loaded(&spec.path).filter(|_| !self.has_dropped(spec));
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
        let key = key.clone();
        self.query(spec, index, move |index| Ok(index.find(&key)))
    }

    /// Returns the ids that `query` finds in one of the collection's indexes, ascending.
    pub fn query(
        &mut self,
        spec: &Arc<CollectionSpec>,
        index: &str,
        query: impl Fn(&Index) -> Result<Vec<DocumentId>> + Send + Sync + 'static,
    ) -> Result<Vec<DocumentId>> {
        let (mut ids, changed) = self.query_parts(spec, index, Arc::new(query))?;
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
        query: impl Fn(&Index) -> Result<Vec<DocumentId>> + Send + Sync + 'static,
    ) -> Result<Vec<DocumentId>> {
        let (mut published, mut changed) = self.query_parts(spec, index, Arc::new(query))?;
        Ok(published.pop().into_iter().chain(changed.pop()).collect())
    }

    fn query_parts(
        &mut self,
        spec: &Arc<CollectionSpec>,
        index: &str,
        query: IndexLookup,
    ) -> Result<(Vec<DocumentId>, Vec<DocumentId>)> {
        let spec = &self.prepare(spec)?;
        let (published, changed) = self.looked_up(spec, index, &query)?;
        self.note_lookup(spec, index, query, &published);
        let overlay = self.group.collections.get(&spec.path);
        let is_published =
            |id: &DocumentId| overlay.is_none_or(|overlay| !overlay.documents.contains_key(id));
        Ok((published.into_iter().filter(is_published).collect(), changed))
    }

    /// Whether a look-up that found these published documents would find the same, counting the changes of the group.
    pub(super) fn finds_just(
        &mut self,
        spec: &Arc<CollectionSpec>,
        index: &str,
        query: &IndexLookup,
        found: &[DocumentId],
    ) -> Result<bool> {
        let spec = &self.prepare(spec)?;
        let (published, changed) = self.looked_up(spec, index, query)?;
        let overlay = self.group.collections.get(&spec.path);
        let is_changed = |id: &DocumentId| overlay.is_some_and(|overlay| overlay.documents.contains_key(id));
        Ok(changed.is_empty() && !published.iter().any(is_changed) && published == found)
    }

    /// Returns what a look-up finds among the published documents, and among those that the group put.
    fn looked_up(
        &self,
        spec: &Arc<CollectionSpec>,
        index: &str,
        query: &IndexLookup,
    ) -> Result<(Vec<DocumentId>, Vec<DocumentId>)> {
        let at = index_position(spec, index)?;
        let changed = self.group.collections.get(&spec.path).map(|overlay| query(overlay.index(at)));
        let state = self.database.state.read();
        let published = state.loaded(&spec.path).filter(|_| !self.has_dropped(spec));
        let published = published.map(|loaded| query(&loaded.indexes[at]));
        Ok((published.transpose()?.unwrap_or_default(), changed.transpose()?.unwrap_or_default()))
    }
}
