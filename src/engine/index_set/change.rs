//! Changing indexes: each call is part of one batch, which also reads the definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::IndexSet;
use super::definition::{self, Definition};
use super::entity::{Entity, stored_form};
use super::file_name::check_name;
use crate::engine::database::Transaction;
use crate::engine::document::{Document, DocumentId};
use crate::engine::error::{Error, Result};
use crate::engine::index::IndexConfig;

impl IndexSet {
    /// Creates an empty index.
    ///
    /// # Errors
    /// `ALREADY_EXISTS`; `INVALID_ARGUMENT` for a config that no index can have.
    pub fn create(&self, tx: &mut Transaction<'_>, config: &IndexConfig) -> Result<()> {
        config.check()?;
        if self.definition(tx, &config.name)?.is_some() {
            return Err(Error::AlreadyExists { what: "index", id: config.name.clone() });
        }
        let id = DocumentId::from_key(&config.name);
        let text = definition::text(config, tx.now())?;
        let definition = self.read(&config.name, &self.document(text.clone()))?;
        // Whatever an earlier index of this name left behind does not count.
        tx.drop_collection(&definition.collection)?;
        tx.put(&self.definitions, id, text)
    }

    /// Drops an index with all that is in it, even if it is damaged or its definition cannot be read. Returns whether it was
    /// there.
    pub fn drop_index(&self, tx: &mut Transaction<'_>, name: &str) -> Result<bool> {
        let Some(document) = self.definition_document(tx, name)? else { return Ok(false) };
        let collection = match self.read(name, &document) {
            Ok(definition) => Arc::clone(&definition.collection),
            Err(_) => definition::index_collection(name, Vec::new()),
        };
        tx.drop_collection(&collection)?;
        self.known.lock().remove(name);
        tx.delete(&self.definitions, DocumentId::from_key(name))
    }

    /// Puts an entity, given as JSON, in place of what the index has of it. O(length of the entity), plus the cost of
    /// [`Index::insert`](crate::engine::index::Index::insert) for each of its keys.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such index, `CONFLICT` if the entity lacks members at which the index looks since it was
    /// created anew, `VALIDATION_ERROR` for an entity that the index cannot take, `UNIQUE_VIOLATION`, `CORRUPT_DATA` if the
    /// index is damaged.
    pub fn add(
        &self,
        tx: &mut Transaction<'_>,
        name: &str,
        id: DocumentId,
        entity: Entity<'_>,
    ) -> Result<()> {
        let (definition, stored) = self.definition(tx, name)?.ok_or_else(|| missing(name))?;
        let document = Document::new(stored_form(&definition, entity)?.into(), None);
        if tx.is_stored(&definition.collection, &id, &document)? {
            return Ok(());
        }
        tx.put_document(&definition.collection, id, document)?;
        self.touch(tx, name, &stored)
    }

    /// Takes an entity out of an index. Returns whether it was in it.
    ///
    /// # Errors
    /// `CORRUPT_DATA` if the index is damaged.
    pub fn remove(&self, tx: &mut Transaction<'_>, name: &str, id: DocumentId) -> Result<bool> {
        let Some((definition, stored)) = self.definition(tx, name)? else { return Ok(false) };
        let removed = tx.delete(&definition.collection, id)?;
        if removed {
            self.touch(tx, name, &stored)?;
        }
        Ok(removed)
    }

    /// Puts these entities in place of everything that the index has, even if it is damaged. Of several entities with the
    /// same id the last counts. O(n).
    ///
    /// # Errors
    /// As [`IndexSet::add`].
    pub fn rebuild<'e>(
        &self,
        tx: &mut Transaction<'_>,
        name: &str,
        entities: impl Iterator<Item = (DocumentId, Entity<'e>)>,
    ) -> Result<()> {
        let (definition, stored) = self.definition(tx, name)?.ok_or_else(|| missing(name))?;
        tx.drop_collection(&definition.collection)?;
        // Which of several entities with the same id counts is settled first: the others must not clash with the unique keys
        // of the rest.
        let entities: BTreeMap<DocumentId, Entity<'_>> = entities.collect();
        for (id, entity) in entities {
            let document = Document::new(stored_form(&definition, entity)?.into(), None);
            tx.put_document(&definition.collection, id, document)?;
        }
        self.touch(tx, name, &stored)
    }

    /// Returns the definition of an index that callers fill, with its document. An index that a storage keeps is refused.
    fn definition(
        &self,
        tx: &mut Transaction<'_>,
        name: &str,
    ) -> Result<Option<(Arc<Definition>, Document)>> {
        let document = self.definition_document(tx, name)?;
        document.map(|document| Ok((self.read(name, &document)?, document))).transpose()
    }

    /// Does the same, but returns only the document in which the definition is stored.
    fn definition_document(&self, tx: &mut Transaction<'_>, name: &str) -> Result<Option<Document>> {
        if let Some(attached) = self.attached(name) {
            return Err(attached.refusal());
        }
        let valid = check_name(name);
        if valid.is_ok()
            && let Some(document) = tx.get(&self.definitions, &DocumentId::from_key(name))?
        {
            return Ok(Some(document));
        }
        let taken = tx.ids(&self.definitions)?.iter().map(DocumentId::to_string).collect();
        let collections = tx.indexed_collections(|path| self.may_declare(path));
        match self.declared(&collections, &taken).iter().find(|index| index.config.name == name) {
            Some(attached) => Err(attached.refusal()),
            None => valid.map(|()| None),
        }
    }

    fn touch(&self, tx: &mut Transaction<'_>, name: &str, definition: &Document) -> Result<()> {
        let text = definition::touched(definition, tx.now());
        tx.put_document(&self.definitions, DocumentId::from_key(name), self.document(text))
    }

    fn document(&self, text: Vec<u8>) -> Document {
        Document::new(text.into(), self.definitions.large_field)
    }
}

fn missing(name: &str) -> Error {
    Error::NotFound { what: "index", id: name.to_owned() }
}
