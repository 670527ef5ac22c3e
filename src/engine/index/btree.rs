//! The btree index: exact keys and ranges, in key order.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::dispatch::{Change, Ids};
use super::key::IndexKey;
use super::key_map::KeyMap;
use crate::engine::document::DocumentId;

#[derive(Debug, Clone, Default)]
pub(super) struct BtreeIndex {
    keys: BTreeMap<IndexKey, Ids>,
}

impl BtreeIndex {
    /// O(n) for keys that ascend.
    pub fn from_sorted(keys: Vec<(IndexKey, Ids)>) -> BtreeIndex {
        BtreeIndex { keys: keys.into_iter().collect() }
    }

    /// O(log n).
    pub fn insert(&mut self, key: IndexKey, id: &DocumentId) -> Change {
        self.keys.insert_id(key, id)
    }

    /// O(log n).
    pub fn remove(&mut self, key: &IndexKey, id: &DocumentId) -> Change {
        self.keys.remove_id(key, id)
    }

    pub fn get(&self, key: &IndexKey) -> Option<&Ids> {
        self.keys.get(key)
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&IndexKey, &Ids)> {
        self.keys.iter()
    }

    pub fn unique_keys(&self) -> usize {
        self.keys.len()
    }

    /// The keys within the bounds, ascending, with their ids. O(log n) to start, O(1) for each step.
    pub fn range(
        &self,
        start: Bound<&IndexKey>,
        end: Bound<&IndexKey>,
    ) -> impl DoubleEndedIterator<Item = (&IndexKey, &Ids)> {
        // `BTreeMap::range` panics on bounds that nothing can lie between.
        let ordered = match (start, end) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
            (Bound::Included(start), Bound::Included(end)) => start <= end,
            (
                Bound::Included(start) | Bound::Excluded(start),
                Bound::Included(end) | Bound::Excluded(end),
            ) => start < end,
        };
        let found = ordered.then(|| self.keys.range::<IndexKey, _>((start, end)));
        found.into_iter().flatten()
    }
}
