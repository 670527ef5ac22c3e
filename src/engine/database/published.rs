//! What a transaction sees of the published state. Its collections are loaded.

use std::sync::Arc;

use super::overlay::no_entries;
use super::state::FileTable;
use super::texts::{Part, read_text};
use super::{CollectionSpec, Database};
use crate::engine::cache::CacheKey;
use crate::engine::document::{Document, DocumentId};
use crate::engine::document_map::Location;
use crate::engine::error::Result;
use crate::engine::index::{Entries, Index, extract_all};

impl Database {
    /// Where the published document lies.
    fn place(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
    ) -> Result<Option<(Location, Arc<FileTable>)>> {
        let state = self.state.read();
        let location = self.loaded_or_error(&state, spec)?.documents.get(id).copied();
        Ok(location.map(|location| (location, Arc::clone(&state.files))))
    }

    /// The published document.
    pub(super) fn published(&self, spec: &Arc<CollectionSpec>, id: &DocumentId) -> Result<Option<Document>> {
        let Some((location, files)) = self.place(spec, id)? else { return Ok(None) };
        let key = CacheKey::Document(Arc::clone(&spec.path), id.clone());
        let text = match self.cache.get(&key, location.hash) {
            Some(text) => text,
            None => read_text(&files, &location, Part::Whole)
                .map_err(|failure| self.read_error(spec, &location, failure))?
                .into(),
        };
        Ok(Some(Document { text, head: location.head as usize, hash: location.hash }))
    }

    /// The hash of the published document and its head as an object.
    pub(super) fn published_head(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
    ) -> Result<Option<(u64, Vec<u8>)>> {
        let Some((location, files)) = self.place(spec, id)? else { return Ok(None) };
        let head = read_text(&files, &location, Part::Head)
            .map_err(|failure| self.read_error(spec, &location, failure))?;
        Ok(Some((location.hash, head)))
    }

    /// What the published document has in the indexes. It is not read if it is the `known` one.
    pub(super) fn published_entries(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        known: Option<&Document>,
    ) -> Result<Vec<Entries>> {
        let (hash, indexes) = {
            let state = self.state.read();
            let loaded = self.loaded_or_error(&state, spec)?;
            let indexes: Vec<Index> = loaded.indexes.iter().map(Index::empty_like).collect();
            (loaded.documents.get(id).map(|location| location.hash), indexes)
        };
        let head = match known.filter(|known| Some(known.hash) == hash) {
            Some(known) => known.head_object(),
            None => match self.published_head(spec, id)? {
                Some((_, head)) => head,
                None => return Ok(no_entries(spec)),
            },
        };
        Ok(extract_all(&indexes, &head))
    }
}
