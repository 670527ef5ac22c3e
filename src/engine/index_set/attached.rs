//! Indexes that a storage keeps of its own documents.

use std::sync::Arc;

use super::{IndexStats, Listed};
use crate::engine::database::{CollectionSpec, Database, Queryable, ReadOptions};
use crate::engine::document::DocumentId;
use crate::engine::error::{Error, Result};
use crate::engine::index::{IndexConfig, IndexKey, IndexSpec};
use crate::engine::index_query::IndexQuery;

/// An index that follows the documents of a collection by itself.
pub struct Attached {
    /// As callers know it: its name is unique in the database.
    pub config: IndexConfig,
    pub collection: Arc<CollectionSpec>,
    /// As the collection knows it.
    pub index: Arc<IndexSpec>,
    /// Makes of a key that a caller gives the one under which documents are found.
    pub key: fn(IndexKey) -> IndexKey,
}

/// What a storage tells of its indexes.
pub trait AttachedIndexes: Send + Sync {
    /// The index that has this name, or would have it if its documents existed. Touches no file.
    fn find(&self, name: &str) -> Option<Attached>;

    /// Whether the documents of an index that was found exist.
    fn exists(&self, database: &Database, options: ReadOptions, index: &Attached) -> Result<bool>;

    /// All of them, in a stable order.
    fn list(&self, database: &Database, options: ReadOptions) -> Result<Vec<Attached>>;
}

impl Attached {
    pub(super) fn answer(&self, documents: &Queryable<'_>, query: &IndexQuery) -> Result<Vec<DocumentId>> {
        let index = documents.index(&self.index.config.name)?;
        query.map_keys(self.key).answer(index).map_err(|error| self.with_name(error))
    }

    /// An error about the type of the index names it as callers know it.
    fn with_name(&self, error: Error) -> Error {
        match error {
            Error::IndexType(message) => {
                Error::IndexType(message.replacen(self.index.config.name.as_str(), &self.config.name, 1))
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

    /// The error of a call that would change it.
    pub(super) fn refusal(&self) -> Error {
        Error::InvalidArgument(format!(
            "index {} is kept by the storage of {} and follows its documents by itself; change the documents, or use \
             storage.rebuildIndexes() to build it anew",
            self.config.name, self.collection.path
        ))
    }
}
