//! Indexes that callers declare of their collections.

use std::sync::Arc;

use super::{CollectionSpec, Database, ReadOptions};
use crate::engine::error::{Error, Result};
use crate::engine::index::Index;

impl Database {
    /// Records that a caller wants these indexes of the collection.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if somebody else in this process declares an index of the same name differently.
    pub fn attach(&self, spec: &Arc<CollectionSpec>) -> Result<()> {
        let mut writer = self.writer.lock();
        let known = self.state.read().collections.get(&spec.path).and_then(|known| known.spec.clone());
        let own = known.iter().flat_map(|known| &known.indexes);
        for (own, wanted) in own.flat_map(|own| spec.indexes.iter().map(move |wanted| (own, wanted))) {
            if own.config.name == wanted.config.name && own != wanted {
                return Err(Error::InvalidArgument(format!(
                    "index {} of {} is declared as {} and as {}; give one of them another name, or close the storage that has the other",
                    wanted.config.name, spec.path, own.config, wanted.config
                )));
            }
        }
        self.declare(&mut writer, spec);
        Ok(())
    }

    /// Rebuilds the indexes of a collection from its documents, and its index checkpoint.
    ///
    /// # Errors
    /// `UNIQUE_VIOLATION` if documents share a key of a unique index, as they may if they already did when it was
    /// declared. The index and the documents are there all the same.
    pub fn rebuild_indexes(&self, spec: &Arc<CollectionSpec>, options: ReadOptions) -> Result<()> {
        {
            // Only a writer changes what is loaded.
            let mut writer = self.writer.lock();
            self.catch_up(&mut writer)?;
            self.state.write().collection(&spec.path).unload();
            self.load_documents(&mut writer, spec)?;
        }
        let clash = self.with_loaded(spec, options, |_, loaded| {
            let clash = |index: &Index| index.clash().map(|clash| (index.spec().config.name.clone(), clash));
            loaded.indexes.iter().find_map(clash)
        })?;
        self.try_persist_indexes(spec);
        clash.map_or(Ok(()), |(index, (key, owner, other))| {
            let key = format!("{key} of document {other}");
            Err(Error::UniqueViolation { index, key, owner: owner.to_string() })
        })
    }
}
