//! Indexes that callers declare of their collections.

use std::sync::{Arc, Weak};

use super::state::Collection;
use super::{CollectionSpec, Database, ReadOptions};
use crate::engine::error::{Error, Result};
use crate::engine::index::{Extractor, Index, IndexSpec};

/// A caller's claim to the indexes of a collection. It lasts until it is dropped.
pub struct Declaration {
    spec: Arc<CollectionSpec>,
}

impl Database {
    /// Records that a caller wants these indexes of the collection for as long as it holds what this returns. Indexes on
    /// fields that nobody claims, because their callers are gone or because they were only read from disk, give way.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if somebody else in this process declares an index of the same name differently.
    pub fn attach(&self, spec: &Arc<CollectionSpec>) -> Result<Arc<Declaration>> {
        let mut writer = self.writer.lock();
        let (known, claimed) = match self.state.read().collections.get(&spec.path) {
            Some(collection) => (collection.spec.clone(), collection.claimed()),
            None => (None, Vec::new()),
        };
        for (own, wanted) in
            claimed.iter().flat_map(|own| spec.indexes.iter().map(move |wanted| (own, wanted)))
        {
            if own.config.name == wanted.config.name && own != wanted {
                return Err(Error::InvalidArgument(format!(
                    "index {} of {} is declared as {} and as {}; give one of them another name, or close the storage that has the other",
                    wanted.config.name, spec.path, own.config, wanted.config
                )));
            }
        }
        if let Some(known) = known
            && known.indexes.iter().any(|own| !claimed.contains(own) && !spec.indexes.contains(own))
        {
            let mut state = self.state.write();
            let collection = state.collection(&spec.path);
            collection.spec = Some(Arc::new(known.with_indexes(claimed)));
            collection.unload();
        }
        let declaration = Arc::new(Declaration { spec: Arc::clone(spec) });
        {
            let mut state = self.state.write();
            let declarations = &mut state.collection(&spec.path).declarations;
            declarations.retain(|other| other.strong_count() > 0);
            declarations.push(Arc::downgrade(&declaration));
        }
        self.declare(&mut writer, spec);
        Ok(declaration)
    }

    /// Returns the collections of the callers that hold a declaration.
    pub(in crate::engine) fn declared_paths(&self) -> Vec<Arc<str>> {
        let state = self.state.read();
        let held = state.collections.iter().filter(|(_, collection)| collection.is_claimed());
        held.map(|(path, _)| Arc::clone(path)).collect()
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

impl Collection {
    /// Whether somebody claims the collection, with indexes or without.
    pub(super) fn is_claimed(&self) -> bool {
        self.declarations.iter().any(|declaration| declaration.strong_count() > 0)
    }

    /// Returns the indexes of the collection that somebody claims.
    fn claimed(&self) -> Vec<Arc<IndexSpec>> {
        self.spec.as_ref().map(|spec| self.claimed_of(&spec.indexes)).unwrap_or_default()
    }

    /// Returns the spec that a call with this one gets. While somebody claims the collection, a caller that does not may ask
    /// for its documents, but not for indexes that nobody claims: it has prepared its call before those who claim the
    /// collection now did, and an index that it brought back would refuse their keys or stand in the way of their own. The
    /// indexes in `own`, which every database of this kind has, may be asked for at any time.
    pub(super) fn allowed(
        &self,
        wanted: &Arc<CollectionSpec>,
        own: Option<&CollectionSpec>,
    ) -> Arc<CollectionSpec> {
        let claimed = self.claimed_of(&wanted.indexes);
        let is_allowed = |index: &&Arc<IndexSpec>| {
            claimed.contains(index) || own.is_some_and(|own| own.indexes.contains(index))
        };
        let allowed: Vec<_> = wanted.indexes.iter().filter(is_allowed).cloned().collect();
        if !self.is_claimed() || allowed.len() == wanted.indexes.len() {
            return Arc::clone(wanted);
        }
        Arc::new(wanted.with_indexes(allowed))
    }

    /// Returns those of the indexes that somebody claims. Those with rules of their own belong to the storages of this
    /// package, which claim nothing but name them in each call.
    fn claimed_of(&self, indexes: &[Arc<IndexSpec>]) -> Vec<Arc<IndexSpec>> {
        let claims: Vec<Arc<Declaration>> = self.declarations.iter().filter_map(Weak::upgrade).collect();
        let is_claimed = |index: &&Arc<IndexSpec>| {
            !matches!(index.extractor, Extractor::Fields)
                || claims.iter().any(|claim| claim.spec.indexes.contains(index))
        };
        indexes.iter().filter(is_claimed).cloned().collect()
    }
}
