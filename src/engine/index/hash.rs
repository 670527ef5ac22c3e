//! The hash index: exact keys in constant time.

use std::collections::HashMap;

use super::dispatch::{Change, Ids};
use super::key::IndexKey;
use super::key_map::KeyMap;
use crate::engine::document::DocumentId;

/// The standard library's hasher is keyed at random, so keys made to collide do not slow it down.
#[derive(Debug, Clone, Default)]
pub(super) struct HashIndex {
    keys: HashMap<IndexKey, Ids>,
}

impl HashIndex {
    /// O(n) for keys that are each there once.
    pub fn from_sorted(keys: Vec<(IndexKey, Ids)>) -> HashIndex {
        HashIndex { keys: keys.into_iter().collect() }
    }

    /// O(1), and O(log n) in the number of documents that share the key.
    pub fn insert(&mut self, key: IndexKey, id: &DocumentId) -> Change {
        self.keys.insert_id(key, id)
    }

    /// As [`HashIndex::insert`].
    pub fn remove(&mut self, key: &IndexKey, id: &DocumentId) -> Change {
        self.keys.remove_id(key, id)
    }

    pub fn get(&self, key: &IndexKey) -> Option<&Ids> {
        self.keys.get(key)
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (&IndexKey, &Ids)> {
        self.keys.iter()
    }

    pub fn unique_keys(&self) -> usize {
        self.keys.len()
    }
}
