//! Which collections have indexes, without loading one.

use std::collections::HashSet;
use std::sync::Arc;

use crate::engine::database::load::is_known;
use crate::engine::database::{CollectionSpec, Database, Foreign, Transaction};
use crate::engine::index::{Extractor, IndexSpec};
use crate::engine::order;

impl Database {
    /// Returns the paths of collections that have a snapshot and pass `wanted`.
    fn on_disk(&self, wanted: &impl Fn(&str) -> bool) -> Vec<String> {
        let state = self.state.read();
        let known = state.catalog.iter().filter(|(path, record)| is_known(Some(record)) && wanted(path));
        known.map(|(path, _)| path.clone()).collect()
    }

    /// Returns the collections that have indexes and pass `wanted`, in the order of their paths. The indexes are those
    /// that this process declared; of a collection that nobody in this process claims, those in its index checkpoint whose
    /// keys come from the fields of documents. Loading a collection with such a spec gives what everybody else sees. Reads a few
    /// hundred bytes for each collection of the second kind.
    pub fn indexed_collections(&self, wanted: impl Fn(&str) -> bool) -> Vec<Arc<CollectionSpec>> {
        let (mut found, undeclared) = self.declared_collections(&wanted);
        found.extend(undeclared.iter().filter_map(|path| self.collection_on_disk(path)).map(Arc::new));
        order::sort_by(&mut found, |a, b| a.path.cmp(&b.path));
        found
    }

    /// Like [`Database::indexed_collections`], but returns `None` if a file would have to be read.
    pub fn peek_indexed_collections(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<Vec<Arc<CollectionSpec>>> {
        let (mut found, undeclared) = self.declared_collections(&wanted);
        order::sort_by(&mut found, |a, b| a.path.cmp(&b.path));
        undeclared.is_empty().then_some(found)
    }

    /// Returns the collections of which this process declared indexes, and the paths of others that have a snapshot. A
    /// caller that claims a collection without indexes says that it has none.
    fn declared_collections(
        &self,
        wanted: &impl Fn(&str) -> bool,
    ) -> (Vec<Arc<CollectionSpec>>, Vec<String>) {
        let mut declared: Vec<Arc<CollectionSpec>> = {
            let state = self.state.read();
            let wanted = state.collections.iter().filter(|(path, _)| wanted(path));
            let specs = wanted
                .filter_map(|(_, collection)| Some((collection.spec.as_ref()?, collection.is_claimed())));
            specs
                .filter(|(spec, claimed)| *claimed || !spec.indexes.is_empty())
                .map(|(spec, _)| Arc::clone(spec))
                .collect()
        };
        let known: HashSet<Arc<str>> = declared.iter().map(|spec| Arc::clone(&spec.path)).collect();
        let others = self.on_disk(&|path| wanted(path) && !known.contains(path));
        declared.retain(|spec| !spec.indexes.is_empty());
        (declared, others)
    }

    /// Returns a collection as its index checkpoint describes it, with the indexes that anybody can build.
    fn collection_on_disk(&self, path: &str) -> Option<CollectionSpec> {
        let header = self.index_checkpoint_header(path)?;
        let of_fields =
            header.indexes.into_iter().filter(|index| index.rule.is_none() && index.config.check().is_ok());
        let indexes: Vec<_> =
            of_fields.map(|index| Arc::new(IndexSpec::new(index.config, Extractor::Fields))).collect();
        (header.large_field.is_none() && !indexes.is_empty()).then(|| CollectionSpec {
            path: path.into(),
            large_field: None,
            indexes,
            foreign: Foreign::Ask,
        })
    }
}

impl Transaction<'_> {
    /// See [`Database::indexed_collections`].
    pub fn indexed_collections(&self, wanted: impl Fn(&str) -> bool) -> Vec<Arc<CollectionSpec>> {
        self.database.indexed_collections(wanted)
    }
}
