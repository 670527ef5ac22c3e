//! Putting documents: one, one that comes as a stream, many at once.

use std::sync::Arc;

use super::CollectionSpec;
use super::document_file::DocumentFile;
use super::overlay::Put;
use super::transaction::Transaction;
use crate::engine::document::{Document, DocumentId};
use crate::engine::error::{Error, Result};
use crate::engine::index::Entries;
use crate::engine::journal::FIRST_WITH_LARGE_DOCUMENTS;
use crate::engine::json;
use crate::engine::parallel;

impl Transaction<'_> {
    /// Puts a document in place of what is under `id`. `text` must be one JSON object; white space between its
    /// tokens is dropped. Writing what is already there writes nothing.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a text that is no JSON object or too large, `UNIQUE_VIOLATION` for a key of a unique
    /// index that belongs to another document, `VALIDATION_ERROR` for more keys than an index takes.
    pub fn put(&mut self, spec: &Arc<CollectionSpec>, id: DocumentId, text: Vec<u8>) -> Result<()> {
        check_document(&text)?;
        self.put_document(spec, id, Document::new(json::compacted(text).into(), spec.large_field))
    }

    /// Like [`Transaction::put`], for a text that is known to be one JSON object without white space between its
    /// tokens.
    pub fn put_document(
        &mut self,
        spec: &Arc<CollectionSpec>,
        id: DocumentId,
        document: Document,
    ) -> Result<()> {
        self.put_if_changed(spec, id, document.into(), true).map(drop)
    }

    /// Like [`Transaction::put_document`], for a document with a file of its own that was made for this collection in
    /// this database.
    ///
    /// # Errors
    /// `UNIQUE_VIOLATION`, `IO_ERROR`.
    pub fn put_file(&mut self, spec: &Arc<CollectionSpec>, id: DocumentId, file: DocumentFile) -> Result<()> {
        let put = if self.database.state.read().format < FIRST_WITH_LARGE_DOCUMENTS {
            // Lines of this generation may be read by a version that would pass over the document.
            Put::Text(file.whole()?)
        } else {
            Put::File(Arc::new(file))
        };
        self.put_if_changed(spec, id, put, true).map(drop)
    }

    /// Like [`Transaction::put_document`], but does not check unique indexes: the caller does that with
    /// [`Transaction::check_put`] once all documents that change are put. Returns whether this document differs from
    /// the one before.
    pub fn put_unchecked(
        &mut self,
        spec: &Arc<CollectionSpec>,
        id: DocumentId,
        document: impl Into<Put>,
    ) -> Result<bool> {
        self.put_if_changed(spec, id, document.into(), false)
    }

    fn put_if_changed(
        &mut self,
        spec: &Arc<CollectionSpec>,
        id: DocumentId,
        put: Put,
        unique: bool,
    ) -> Result<bool> {
        if let Put::Text(document) = &put {
            self.database.options.sizes.check_in_line(spec, &document.text)?;
        }
        let spec = &self.prepare(spec)?;
        let Some(existed) = self.replaces(spec, &id, &put)? else { return Ok(false) };
        let entries = spec.entries(&put.head_object());
        self.put_with(spec, id, put, entries, existed, unique).map(|()| true)
    }

    /// Returns whether a document would take the place of another one; `None` if it is stored already.
    fn replaces(&mut self, spec: &Arc<CollectionSpec>, id: &DocumentId, put: &Put) -> Result<Option<bool>> {
        let before = self.hash_of(spec, id)?;
        let is_there = before == Some(put.hash()) && self.holds(spec, id, put)?;
        Ok((!is_there).then_some(before.is_some()))
    }

    /// Whether exactly this document is stored. The bytes are compared: hashes only show that two documents differ.
    pub fn is_stored(
        &mut self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        document: &Document,
    ) -> Result<bool> {
        let spec = &self.prepare(spec)?;
        self.replaces(spec, id, &document.clone().into()).map(|replaces| replaces.is_none())
    }

    /// Like [`Transaction::is_stored`], for a document that has the same hash.
    fn holds(&self, spec: &Arc<CollectionSpec>, id: &DocumentId, put: &Put) -> Result<bool> {
        match self.group.put(&spec.path, id) {
            Some(pending) => pending.map_or(Ok(false), |pending| pending.is_same(put)),
            None => self.database.publishes(spec, id, put),
        }
    }

    /// Puts a document that has these `entries` in the indexes.
    fn put_with(
        &mut self,
        spec: &Arc<CollectionSpec>,
        id: DocumentId,
        put: Put,
        entries: Vec<Entries>,
        existed: bool,
        unique: bool,
    ) -> Result<()> {
        if unique {
            self.check_entries(spec, &id, &entries)?;
        }
        self.change(spec, id, Some(put), entries, existed)
    }

    /// Like [`Transaction::put_document`], for many documents, no two of which have the same id.
    pub fn put_documents(
        &mut self,
        spec: &Arc<CollectionSpec>,
        documents: &[(DocumentId, Document)],
    ) -> Result<()> {
        self.put_changed(spec, documents, true).map(drop)
    }

    /// Like [`Transaction::put_unchecked`], for many documents, no two of which have the same id. Returns the positions
    /// of those that differ from the ones before.
    pub fn put_documents_unchecked(
        &mut self,
        spec: &Arc<CollectionSpec>,
        documents: &[(DocumentId, Document)],
    ) -> Result<Vec<usize>> {
        self.put_changed(spec, documents, false)
    }

    /// Puts the documents that are not stored already. If there are many, several threads compute their index entries.
    fn put_changed(
        &mut self,
        spec: &Arc<CollectionSpec>,
        documents: &[(DocumentId, Document)],
        unique: bool,
    ) -> Result<Vec<usize>> {
        let sizes = self.database.options.sizes;
        documents.iter().try_for_each(|(_, document)| sizes.check_in_line(spec, &document.text))?;
        let spec = &self.prepare(spec)?;
        let mut changed = Vec::with_capacity(documents.len());
        for (at, (id, document)) in documents.iter().enumerate() {
            changed.extend(self.replaces(spec, id, &document.clone().into())?.map(|existed| (at, existed)));
        }
        let bytes = changed.iter().map(|&(at, _)| documents[at].1.head).sum();
        let entries = parallel::map(&changed, bytes, |&(at, _)| spec.entries(&documents[at].1.head_object()));
        for (&(at, existed), entries) in changed.iter().zip(entries) {
            let (id, document) = documents[at].clone();
            self.put_with(spec, id, document.into(), entries, existed, unique)?;
        }
        Ok(changed.into_iter().map(|(at, _)| at).collect())
    }
}

pub(super) fn check_document(text: &[u8]) -> Result<()> {
    let refuse =
        |problem: &str| Err(Error::InvalidArgument(format!("a document must be a JSON object: {problem}")));
    if let Err(error) = json::check(text) {
        return refuse(&format!("{} at byte {}", error.problem, error.offset));
    }
    if json::Scanner::new(text).peek() == Some(b'{') {
        Ok(())
    } else {
        refuse("this is another kind of value")
    }
}
