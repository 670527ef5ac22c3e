//! What a transaction sees of the published state. Its collections must be loaded.

use std::sync::Arc;

use super::file_table::FileTable;
use super::overlay::Put;
use super::texts::{Part, ReadFailure, read_pieces, read_text};
use super::{CollectionSpec, Database};
use crate::engine::cache::CacheKey;
use crate::engine::document::{Document, DocumentId};
use crate::engine::document_map::{Location, Stamp};
use crate::engine::error::Result;
use crate::engine::index::Entries;

impl Database {
    /// Returns where the published document is.
    fn place(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
    ) -> Result<Option<(Location, Arc<FileTable>)>> {
        let state = self.state.read();
        let location = self.loaded_or_error(&state, spec)?.documents.get(id).copied();
        Ok(location.map(|location| (location, Arc::clone(&state.files))))
    }

    pub(super) fn published_stamp(&self, spec: &CollectionSpec, id: &DocumentId) -> Result<Option<Stamp>> {
        let state = self.state.read();
        Ok(self.loaded_or_error(&state, spec)?.documents.get(id).map(Location::stamp))
    }

    /// Returns the published document and its stamp.
    pub(super) fn published(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
    ) -> Result<Option<(Stamp, Document)>> {
        let Some((location, files)) = self.place(spec, id)? else { return Ok(None) };
        let key = CacheKey::Document(Arc::clone(&spec.path), id.clone());
        let text = match self.cache.get(&key, location.stamp()) {
            Some(text) => text,
            None => read_text(&files, &location, Part::Whole)
                .map_err(|failure| self.read_error(spec, &location, failure))?
                .into(),
        };
        let document = Document { text, head: location.head as usize, hash: location.hash };
        Ok(Some((location.stamp(), document)))
    }

    /// Returns the stamp of the published document, and its head as an object.
    pub(super) fn published_head(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
    ) -> Result<Option<(Stamp, Vec<u8>)>> {
        let Some((location, files)) = self.place(spec, id)? else { return Ok(None) };
        let head = read_text(&files, &location, Part::Head)
            .map_err(|failure| self.read_error(spec, &location, failure))?;
        Ok(Some((location.stamp(), head)))
    }

    /// Whether the published document has exactly this text. Reads the document, so it is only worth asking if the
    /// hashes are equal.
    pub(super) fn publishes(&self, spec: &Arc<CollectionSpec>, id: &DocumentId, put: &Put) -> Result<bool> {
        let Some((location, files)) = self.place(spec, id)? else { return Ok(false) };
        if u64::from(location.len) != put.len() {
            return Ok(false);
        }
        let key = CacheKey::Document(Arc::clone(&spec.path), id.clone());
        if let Some(text) = self.cache.get(&key, location.stamp()) {
            return put.has_at(0, &text);
        }
        let (mut at, mut same) = (0, Ok(true));
        let read = read_pieces(&files, &location, |piece| {
            if matches!(same, Ok(true)) {
                same = put.has_at(at, piece);
            }
            at += piece.len();
            Ok(())
        });
        match read {
            Ok(()) => same,
            // A document whose bytes are no longer those that were written is replaced like a different one.
            Err(ReadFailure::Changed) => Ok(false),
            Err(failure) => Err(self.read_error(spec, &location, failure)),
        }
    }

    /// Returns what the published document has in the indexes. The document is not read if it is the `known` one.
    pub(super) fn published_entries(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        known: Option<(Stamp, &Document)>,
    ) -> Result<Vec<Entries>> {
        let stamp = {
            let state = self.state.read();
            self.loaded_or_error(&state, spec)?.documents.get(id).map(Location::stamp)
        };
        let head = match known.filter(|(known, _)| Some(*known) == stamp) {
            Some((_, known)) => known.head_object(),
            None => match self.published_head(spec, id)? {
                Some((_, head)) => head,
                None => return Ok(spec.no_entries()),
            },
        };
        Ok(spec.entries(&head))
    }
}
