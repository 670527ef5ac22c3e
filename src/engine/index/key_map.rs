//! Maps from keys to documents, which hash and btree indexes consist of.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::dispatch::{Change, Ids};
use super::key::IndexKey;
use super::posting::{Posting, Removal};
use crate::engine::document::DocumentId;

/// A map from keys to the ids of their documents. Every key has at least one id.
pub(super) trait KeyMap {
    fn ids_mut(&mut self, key: &IndexKey) -> Option<&mut Ids>;
    fn put(&mut self, key: IndexKey, ids: Ids);
    fn take(&mut self, key: &IndexKey);

    /// Costs what finding a key costs, plus O(log n) in the number of documents that share it.
    fn insert_id(&mut self, key: IndexKey, id: &DocumentId) -> Change {
        match self.ids_mut(&key) {
            Some(ids) => Change::entry(ids.insert(id.clone(), ())),
            None => {
                self.put(key, Posting::One(id.clone(), ()));
                Change::EntryAndKey
            }
        }
    }

    /// As [`KeyMap::insert_id`].
    fn remove_id(&mut self, key: &IndexKey, id: &DocumentId) -> Change {
        match self.ids_mut(key).map(|ids| ids.remove(id)) {
            Some(Removal::Emptied) => {
                self.take(key);
                Change::EntryAndKey
            }
            removal => Change::entry(removal == Some(Removal::Removed)),
        }
    }
}

impl KeyMap for HashMap<IndexKey, Ids> {
    fn ids_mut(&mut self, key: &IndexKey) -> Option<&mut Ids> {
        self.get_mut(key)
    }

    fn put(&mut self, key: IndexKey, ids: Ids) {
        self.insert(key, ids);
    }

    fn take(&mut self, key: &IndexKey) {
        self.remove(key);
    }
}

impl KeyMap for BTreeMap<IndexKey, Ids> {
    fn ids_mut(&mut self, key: &IndexKey) -> Option<&mut Ids> {
        self.get_mut(key)
    }

    fn put(&mut self, key: IndexKey, ids: Ids) {
        self.insert(key, ids);
    }

    fn take(&mut self, key: &IndexKey) {
        self.remove(key);
    }
}

/// The keys within the bounds, ascending, with their ids. O(log n) to start, O(1) for each step.
pub(super) fn range<'a>(
    keys: &'a BTreeMap<IndexKey, Ids>,
    start: Bound<&IndexKey>,
    end: Bound<&IndexKey>,
) -> impl DoubleEndedIterator<Item = (&'a IndexKey, &'a Ids)> {
    // `BTreeMap::range` panics if nothing can be between the bounds.
    let ordered = match (start, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
        (Bound::Included(start), Bound::Included(end)) => start <= end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start < end
        }
    };
    let found = ordered.then(|| keys.range::<IndexKey, _>((start, end)));
    found.into_iter().flatten()
}
