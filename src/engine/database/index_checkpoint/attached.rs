//! What the database knows of its indexes without loading a collection.

use std::sync::Arc;

use super::PREFIX;
use super::format::read_header;
use crate::engine::database::Database;
use crate::engine::database::load::is_known;
use crate::engine::database::state::Content;
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::OpenMode;
use crate::engine::index::IndexConfig;
use crate::engine::journal::RESERVED;

/// An index of a collection. Of a collection that nobody loaded, it is what its last index checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedIndex {
    /// The file of the collection, relative to the database's directory.
    pub collection: Arc<str>,
    pub config: IndexConfig,
    pub unique_keys: u64,
    /// The number of pairs of key (or word) and document.
    pub total_entries: u64,
    /// In milliseconds since 1970.
    pub first_built: u64,
    pub last_changed: u64,
}

impl Database {
    /// The indexes of all collections that are loaded or have an index checkpoint, by collection and name. Takes in what
    /// other processes committed. Costs the reading of a few hundred bytes for each collection that is not loaded.
    ///
    /// # Errors
    /// `IO_ERROR`; `CORRUPT_DATA` where acknowledged batches of others are damaged.
    pub fn attached_indexes(&self) -> Result<Vec<AttachedIndex>> {
        self.catch_up(&mut self.writer.lock())?;
        let mut found = self.loaded_indexes();
        let loaded = found.len();
        let reserved = self.directory.join(RESERVED);
        let names = match self.fs.list_dir(&reserved) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            other => other.at("list", &reserved)?,
        };
        for name in names.iter().filter(|name| name.starts_with(PREFIX)) {
            let Ok(file) = self.fs.open(&reserved.join(name), OpenMode::Read) else { continue };
            let Some(header) = read_header(&*file) else { continue };
            let known = {
                let state = self.state.read();
                state.database == header.database && is_known(state.catalog.get(&header.collection))
            };
            let is_loaded = found[..loaded].iter().any(|index| *index.collection == *header.collection);
            if !known || is_loaded {
                continue;
            }
            let collection: Arc<str> = header.collection.into();
            found.extend(header.indexes.into_iter().map(|index| AttachedIndex {
                collection: Arc::clone(&collection),
                config: index.config,
                unique_keys: index.unique_keys,
                total_entries: index.total_entries,
                first_built: index.first_built,
                last_changed: index.last_changed,
            }));
        }
        found.sort_by(|a, b| (&a.collection, &a.config.name).cmp(&(&b.collection, &b.config.name)));
        Ok(found)
    }

    fn loaded_indexes(&self) -> Vec<AttachedIndex> {
        let state = self.state.read();
        let loaded = state.collections.values().filter_map(|collection| match &collection.content {
            Content::Loaded(loaded) => Some(loaded),
            Content::Unloaded(_) => None,
        });
        let indexes = loaded.flat_map(|loaded| {
            loaded.indexes.iter().zip(&loaded.times).map(|(index, times)| AttachedIndex {
                collection: Arc::clone(&loaded.spec.path),
                config: index.spec().config.clone(),
                unique_keys: index.unique_keys() as u64,
                total_entries: index.total_entries() as u64,
                first_built: times.first_built,
                last_changed: times.last_changed,
            })
        });
        indexes.collect()
    }
}
