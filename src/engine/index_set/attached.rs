//! Indexes that storages keep of their own documents.

use std::collections::HashMap;
use std::sync::Arc;

use super::entity_id::key_of_document;
use super::{IndexStats, Listed};
use crate::engine::database::{CollectionSpec, Database, Peek, Queryable, ReadOptions};
use crate::engine::document::DocumentId;
use crate::engine::error::{Error, Result};
use crate::engine::index::{IndexConfig, IndexKey, IndexSpec};
use crate::engine::index_query::IndexQuery;
use crate::engine::order;

/// An index that follows the documents of a collection by itself.
pub struct Attached {
    /// The config as callers know it: its name is unique in the database.
    pub config: IndexConfig,
    pub collection: Arc<CollectionSpec>,
    /// The index as the collection knows it.
    pub index: Arc<IndexSpec>,
    /// Turns a key that a caller gives into the one under which documents are found.
    pub key: fn(IndexKey) -> IndexKey,
}

/// What a storage says about the indexes that it keeps.
pub trait AttachedIndexes: Send + Sync {
    /// Returns the index that has this name, or would have it if its documents existed. Touches no file.
    fn find(&self, name: &str) -> Option<Attached>;

    /// Whether the documents of an index that [`AttachedIndexes::find`] returned exist.
    fn exists(&self, database: &Database, options: ReadOptions, index: &Attached) -> Result<bool>;

    /// Returns all indexes, in a stable order.
    fn list(&self, database: &Database, options: ReadOptions) -> Result<Vec<Attached>>;

    /// Whether the indexes of this collection are among those reported here. Touches no file.
    fn covers(&self, collection: &str) -> bool;
}

/// The indexes that storages declared on these collections. One whose name no other index has is known by that name, any
/// other as `name@<file of the collection>`.
pub(super) fn declared(
    collections: &[Arc<CollectionSpec>],
    is_taken: impl Fn(&str) -> bool,
) -> Vec<Attached> {
    let pairs = || collections.iter().flat_map(|spec| spec.indexes.iter().map(move |index| (spec, index)));
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for (_, index) in pairs() {
        *owners.entry(&index.config.name).or_default() += 1;
    }
    let mut found: Vec<Attached> = pairs()
        .map(|(spec, index)| {
            let own = index.config.name.as_str();
            let is_alone = owners.get(own) == Some(&1) && !is_taken(own);
            let name = if is_alone { own.to_owned() } else { format!("{own}@{}", spec.path) };
            Attached {
                config: IndexConfig { name, ..index.config.clone() },
                collection: Arc::clone(spec),
                index: Arc::clone(index),
                key: |key| key,
            }
        })
        .collect();
    order::sort_by(&mut found, |a, b| {
        (&a.collection.path, &a.config.name).cmp(&(&b.collection.path, &b.config.name))
    });
    found
}

impl Attached {
    /// Returns the documents found, as keys of entities.
    pub(super) fn answer(&self, documents: &Queryable<'_>, query: &IndexQuery) -> Result<Vec<DocumentId>> {
        let index = documents.index(&self.index.config.name)?;
        let found = query.map_keys(self.key).answer(index).map_err(|error| self.with_name(error))?;
        Ok(found.into_iter().map(key_of_document).collect())
    }

    /// Returns what the index answers, if memory knows it.
    pub(super) fn peek(
        &self,
        database: &Database,
        query: &IndexQuery,
    ) -> Result<Peek<Option<Vec<DocumentId>>>> {
        match database.peek_query(&self.collection, |documents| self.answer(documents, query)) {
            Peek::Ready(answer) => answer.map(|ids| Peek::Ready(Some(ids))),
            Peek::Wait => Ok(Peek::Wait),
        }
    }

    /// Turns an error about the documents into one about the index.
    pub(super) fn explained(&self, error: Error) -> Error {
        match error {
            Error::Unadopted { path } => Error::InvalidArgument(format!(
                "index {} cannot be asked yet: another program wrote {}; read it with its own storage first, whose schema \
                 judges each record",
                self.config.name,
                path.display()
            )),
            other => other,
        }
    }

    /// Makes an error about the type of the index name the index as callers know it.
    fn with_name(&self, error: Error) -> Error {
        match error {
            Error::IndexType(message) => {
                let [own, known] =
                    [&self.index.config, &self.config].map(|config| format!("index {}", config.name));
                Error::IndexType(message.replacen(&own, &known, 1))
            }
            other => other,
        }
    }

    pub(super) fn stats(&self, documents: &Queryable<'_>) -> Result<IndexStats> {
        let index = documents.index(&self.index.config.name)?;
        let times = documents.times(&self.index.config.name)?;
        Ok(IndexStats {
            index: Listed {
                config: self.config.clone(),
                collection: Some(Arc::clone(&self.collection.path)),
            },
            unique_keys: index.unique_keys(),
            total_entries: index.total_entries(),
            created: times.first_built,
            updated: times.last_changed,
        })
    }

    pub(super) fn listed(self) -> Listed {
        Listed { config: self.config, collection: Some(Arc::clone(&self.collection.path)) }
    }

    /// The error of a call that would change the index.
    pub(super) fn refusal(&self) -> Error {
        Error::InvalidArgument(format!(
            "index {} is kept by the storage of {} and follows its documents by itself; change the documents, or use \
             storage.rebuildIndexes() to build it anew",
            self.config.name, self.collection.path
        ))
    }
}
