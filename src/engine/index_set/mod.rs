//! Indexes that callers fill by hand.
//!
//! Their data is in collections of the database, so journal, recovery, checkpoints and uniqueness are those of all
//! documents: `indexes.json` holds the definitions by name, and each index has a collection of its own under `indexes/`,
//! with one document for each entity, which holds what is indexed of the entity and nothing else. The keys are extracted
//! from these documents like those of any other. Both are primary data: a file that is not as it was written is damage.
//!
//! Indexes that storages keep of their own documents ([`Attached`]) can be queried in the same way, but not changed.

mod attached;
mod change;
mod definition;
mod entity;
mod entity_id;
mod file_name;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::database::{CollectionSpec, Database, Peek, Queryable, ReadOptions};
use super::document::{Document, DocumentId};
use super::error::{Error, Result};
use super::index::IndexConfig;
use super::index_query::IndexQuery;

pub(super) use definition::{is_definition, is_definitions};

pub use attached::{Attached, AttachedIndexes};
pub use entity::{Entity, UNREPRESENTABLE};
pub use entity_id::{id_list, push_id};
pub use file_name::check_name;

use definition::Definition;

/// How often a query is repeated because its index was changed in between.
const ATTEMPTS: usize = 100;

/// The indexes of one database.
pub struct IndexSet {
    definitions: Arc<CollectionSpec>,
    attached: Option<Arc<dyn AttachedIndexes>>,
    /// The definitions by name, kept so that they are not read again for each call.
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone)]
struct Known {
    /// The hash of the document from which it was read. That document may never have been committed: this is for comparison
    /// only.
    hash: u64,
    definition: Arc<Definition>,
}

/// An index in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub config: IndexConfig,
    /// The file of the documents that an attached index follows.
    pub collection: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct IndexStats {
    pub index: Listed,
    /// Distinct keys or words.
    pub unique_keys: usize,
    /// Pairs of key or word and entity.
    pub total_entries: usize,
    /// Milliseconds since 1970: when the index was created or, if it is an attached one, first built; and when something in
    /// it last changed.
    pub created: u64,
    pub updated: u64,
}

impl IndexSet {
    /// `attached` are the indexes that a storage keeps in the database, if there are any.
    pub fn new(attached: Option<Arc<dyn AttachedIndexes>>) -> IndexSet {
        IndexSet { definitions: definition::collection(), attached, known: Mutex::default() }
    }

    /// Returns what the index answers, if memory knows it; `Ready(None)` if there is no such index.
    ///
    /// # Errors
    /// `INDEX_TYPE` for a query that an index of this type does not answer.
    pub fn peek(
        &self,
        database: &Database,
        options: ReadOptions,
        name: &str,
        query: &IndexQuery,
    ) -> Result<Peek<Option<Vec<DocumentId>>>> {
        if let Some(attached) = self.attached(name) {
            return attached.peek(database, query);
        }
        match self.peek_own(database, options, name, query)? {
            Peek::Ready(None) => {}
            other => return Ok(other),
        }
        match self.peek_declared(database) {
            Peek::Ready(declared) => match declared.iter().find(|index| index.config.name == name) {
                Some(attached) => attached.peek(database, query),
                None => check_name(name).map(|()| Peek::Ready(None)),
            },
            Peek::Wait => Ok(Peek::Wait),
        }
    }

    fn peek_own(
        &self,
        database: &Database,
        options: ReadOptions,
        name: &str,
        query: &IndexQuery,
    ) -> Result<Peek<Option<Vec<DocumentId>>>> {
        if check_name(name).is_err() {
            return Ok(Peek::Ready(None));
        }
        let id = DocumentId::from_key(name);
        for _ in 0..2 {
            let known = self.known.lock().get(name).cloned();
            if let Some(Known { hash, definition }) = known {
                let answer = database.peek_query(&definition.collection, |index| {
                    self.is_current(index, &id, hash).then(|| definition.answer(index, query))
                });
                if let Peek::Ready(Some(answer)) = answer {
                    return answer.map(|ids| Peek::Ready(Some(ids)));
                }
            }
            match database.peek(&self.definitions, &id, options) {
                Peek::Ready(Some(document)) => drop(self.read(name, &document)?),
                Peek::Ready(None) => return Ok(Peek::Ready(None)),
                Peek::Wait => break,
            }
        }
        Ok(Peek::Wait)
    }

    /// Returns the names of the members of an entity at which the index looks, as a JSON array, if memory knows them. A
    /// caller may leave out all other members if it says so to [`IndexSet::add`].
    pub fn peek_members(&self, database: &Database, name: &str) -> Option<Arc<str>> {
        let hash = database.peek_hash(&self.definitions, &DocumentId::from_key(name))?;
        let known = self.known.lock();
        let known = known.get(name)?;
        // The upper half covers everything except the time of the last change.
        (known.hash >> 32 == hash >> 32).then(|| Arc::clone(&known.definition.members))
    }

    /// Returns what the index answers; `None` if there is no such index. Costs what [`IndexQuery::answer`] costs.
    ///
    /// # Errors
    /// As [`IndexSet::peek`]; `CORRUPT_DATA` if the index is damaged, `IO_ERROR`, `LOCK_TIMEOUT`.
    pub fn ask(
        &self,
        database: &Database,
        options: ReadOptions,
        name: &str,
        query: &IndexQuery,
    ) -> Result<Option<Vec<DocumentId>>> {
        let own =
            |index: &Queryable<'_>, definition: &Definition, _: &Document| definition.answer(index, query);
        self.look(database, options, name, own, |attached, documents| attached.answer(documents, query))
    }

    /// Lists all indexes: those that the database's own storage keeps, those that storages declared, by their files, and
    /// those that callers fill, by name.
    pub fn list(&self, database: &Database, options: ReadOptions) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        if let Some(attached) = &self.attached {
            listed.extend(attached.list(database, options)?.into_iter().map(Attached::listed));
        }
        listed.extend(self.declared_in(database, options)?.into_iter().map(Attached::listed));
        let ids = |index: &Queryable<'_>| -> Vec<DocumentId> {
            index.documents().iter().map(|(id, _)| id.clone()).collect()
        };
        for id in database.query(&self.definitions, options, ids)? {
            if let Some(document) = database.get(&self.definitions, &id, options)? {
                let definition = self.read(&id.to_string(), &document)?;
                listed.push(Listed { config: definition.config.clone(), collection: None });
            }
        }
        Ok(listed)
    }

    /// Returns the statistics of an index; `None` if there is no such index. O(1) once it is in memory.
    pub fn stats(&self, database: &Database, options: ReadOptions, name: &str) -> Result<Option<IndexStats>> {
        let own = |index: &Queryable<'_>, definition: &Definition, document: &Document| {
            let keys = index.index(name)?;
            Ok(IndexStats {
                index: Listed { config: definition.config.clone(), collection: None },
                unique_keys: keys.unique_keys(),
                total_entries: keys.total_entries(),
                created: definition.created,
                updated: definition::updated(document).unwrap_or(definition.created),
            })
        };
        self.look(database, options, name, own, |attached, documents| attached.stats(documents))
    }

    /// Looks at an index, whoever fills it. If several have the name, the first counts in this order: those of the
    /// database's own storage, those that callers fill, those that storages declared.
    fn look<T>(
        &self,
        database: &Database,
        options: ReadOptions,
        name: &str,
        own: impl Fn(&Queryable<'_>, &Definition, &Document) -> Result<T>,
        attached: impl Fn(&Attached, &Queryable<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut kept = self.attached_in(database, options, name)?;
        let valid = check_name(name);
        if kept.is_none() {
            if valid.is_ok()
                && let Some(found) = self.look_at_own(database, options, name, own)?
            {
                return Ok(Some(found));
            }
            kept = self.declared_in(database, options)?.into_iter().find(|index| index.config.name == name);
        }
        let Some(kept) = kept else { return valid.map(|()| None) };
        let found = database.query(&kept.collection, options, |documents| attached(&kept, documents));
        found.map_err(|error| kept.explained(error))?.map(Some)
    }

    /// Looks at an index and at its definition as they are at one moment.
    fn look_at_own<T>(
        &self,
        database: &Database,
        options: ReadOptions,
        name: &str,
        look: impl Fn(&Queryable<'_>, &Definition, &Document) -> Result<T>,
    ) -> Result<Option<T>> {
        let id = DocumentId::from_key(name);
        for _ in 0..ATTEMPTS {
            let Some(document) = database.get(&self.definitions, &id, options)? else { return Ok(None) };
            let definition = self.read(name, &document)?;
            let found = database.query(&definition.collection, options, |index| {
                self.is_current(index, &id, document.hash).then(|| look(index, &definition, &document))
            })?;
            if let Some(found) = found {
                return found.map(Some);
            }
        }
        Err(Error::Conflict(format!("index {name} keeps changing")))
    }

    fn is_current(&self, index: &Queryable<'_>, id: &DocumentId, hash: u64) -> bool {
        index.hash_in(&self.definitions, id) == Some(hash)
    }

    /// Returns the definition in a document, which is parsed only if it differs from the known one.
    fn read(&self, name: &str, document: &Document) -> Result<Arc<Definition>> {
        let mut known = self.known.lock();
        if let Some(known) = known.get_mut(name)
            && known.definition.is_in(document)
        {
            known.hash = document.hash;
            return Ok(Arc::clone(&known.definition));
        }
        let definition = Arc::new(Definition::read(name, document)?);
        known.insert(name.to_owned(), Known { hash: document.hash, definition: Arc::clone(&definition) });
        Ok(definition)
    }

    fn attached(&self, name: &str) -> Option<Attached> {
        self.attached.as_ref()?.find(name)
    }

    /// The attached index with this name, if its documents exist.
    fn attached_in(&self, database: &Database, options: ReadOptions, name: &str) -> Result<Option<Attached>> {
        match (&self.attached, self.attached(name)) {
            (Some(indexes), Some(attached)) if indexes.exists(database, options, &attached)? => {
                Ok(Some(attached))
            }
            _ => Ok(None),
        }
    }

    /// The indexes that storages declared, under unique names; the indexes that callers fill have the names `taken`.
    fn declared(&self, collections: &[Arc<CollectionSpec>], taken: &HashSet<String>) -> Vec<Attached> {
        attached::declared(collections, |name| taken.contains(name) || self.attached(name).is_some())
    }

    fn declared_in(&self, database: &Database, options: ReadOptions) -> Result<Vec<Attached>> {
        let taken = database.query(&self.definitions, options, names)?;
        Ok(self.declared(&database.indexed_collections(|path| self.may_declare(path)), &taken))
    }

    fn peek_declared(&self, database: &Database) -> Peek<Vec<Attached>> {
        let Peek::Ready(taken) = database.peek_query(&self.definitions, names) else { return Peek::Wait };
        match database.peek_indexed_collections(|path| self.may_declare(path)) {
            Some(collections) => Peek::Ready(self.declared(&collections, &taken)),
            None => Peek::Wait,
        }
    }

    /// Whether the indexes of a collection count as declared by a storage: not if the collection belongs to the indexes that
    /// callers fill, or if the database's own storage answers for it.
    fn may_declare(&self, collection: &str) -> bool {
        !definition::is_own(collection)
            && !self.attached.as_ref().is_some_and(|indexes| indexes.covers(collection))
    }
}

fn names(definitions: &Queryable<'_>) -> HashSet<String> {
    definitions.documents().iter().map(|(id, _)| id.to_string()).collect()
}
