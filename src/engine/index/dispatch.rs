//! One index of any type: each call goes to the structure that its type requires.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use super::config::{Extractor, IndexSpec, IndexType};
use super::entries::Entries;
use super::extract;
use super::inverted::{Documents, InvertedIndex, NULL_WORD};
use super::joined::JoinedForms;
use super::key::IndexKey;
use super::key_map::{KeyMap, range};
use super::posting::Posting;
use super::stored::Traits;
use crate::engine::document::DocumentId;
use crate::engine::error::{Error, Result};

/// The ids under one key of a hash or btree index.
pub(super) type Ids = Posting<DocumentId, ()>;

/// What inserting or removing one entry changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Entry,
    /// The entry and its key are new, or gone.
    EntryAndKey,
}

impl Change {
    pub fn entry(changed: bool) -> Change {
        if changed { Change::Entry } else { Change::None }
    }
}

/// The keys or words of an index with their documents, ascending, each key or word once.
pub(super) enum Sorted {
    Keys(Vec<(IndexKey, Ids)>),
    Words(Vec<(Box<str>, Documents)>),
}

/// Maps keys or words to the ids of the documents that have them.
#[derive(Debug, Clone)]
pub struct Index {
    spec: Arc<IndexSpec>,
    pub(super) structure: Structure,
    /// Present if the keys are tuples of field values.
    joined: Option<JoinedForms>,
    /// The number of pairs of key and id.
    entries: usize,
    /// What is known of all documents that were ever inserted. If none has several keys, no range contains an id twice.
    traits: Traits,
}

#[derive(Debug, Clone)]
pub(super) enum Structure {
    /// The standard library's hasher is keyed at random, so keys made to collide do not slow it down.
    Hash(HashMap<IndexKey, Ids>),
    Btree(BTreeMap<IndexKey, Ids>),
    Inverted(InvertedIndex),
}

impl Index {
    pub fn new(spec: Arc<IndexSpec>) -> Index {
        let kind = spec.config.kind;
        let declared = matches!(spec.extractor, Extractor::Fields);
        let composite = declared && kind != IndexType::Inverted && spec.paths.len() > 1;
        Index {
            structure: match kind {
                IndexType::Hash => Structure::Hash(HashMap::new()),
                IndexType::Btree => Structure::Btree(BTreeMap::new()),
                IndexType::Inverted => Structure::Inverted(InvertedIndex::default()),
            },
            joined: composite.then(JoinedForms::default),
            spec,
            entries: 0,
            traits: Traits::default(),
        }
    }

    /// Builds an index from `sorted`, which must hold keys or words as the type of the index requires.
    pub(super) fn from_sorted(spec: Arc<IndexSpec>, sorted: Sorted, traits: Traits) -> Index {
        let mut index = Index::new(spec);
        index.traits = traits;
        match sorted {
            Sorted::Keys(keys) => {
                index.entries = keys.iter().map(|(_, ids)| ids.len()).sum();
                if let Some(joined) = &mut index.joined {
                    keys.iter().for_each(|(key, _)| joined.insert(key.clone()));
                }
                index.structure = match index.structure {
                    Structure::Btree(_) => Structure::Btree(keys.into_iter().collect()),
                    _ => Structure::Hash(keys.into_iter().collect()),
                };
            }
            Sorted::Words(words) => {
                index.entries = words.iter().map(|(_, documents)| documents.len()).sum();
                index.structure = Structure::Inverted(InvertedIndex::from_sorted(words));
            }
        }
        index
    }

    pub fn spec(&self) -> &IndexSpec {
        &self.spec
    }

    /// An index with the same spec and no entries.
    pub fn empty_like(&self) -> Index {
        Index::new(Arc::clone(&self.spec))
    }

    /// Returns what a document, given as raw JSON text, has in this index. To read a document once for several indexes, use
    /// [`super::extract_all`].
    ///
    /// A path leads through nested objects. An array, at its end or on the way, stands for its elements. An object at its
    /// end, and an empty array, have no key. Missing and null are [`IndexKey::Null`], or nothing if the index is sparse; a
    /// sparse index leaves out a composite key only if all of it is null. In an inverted index, a document has the null key
    /// if each of its fields has it.
    pub fn extract(&self, document: &[u8]) -> Entries {
        extract::extract_all(std::slice::from_ref(&self.spec), document).pop().unwrap_or_default()
    }

    /// Inserts the entries of a document. O(1) for each key of a hash index, O(log n) for others and for keys that many
    /// documents share. Inserting what is there already changes nothing. The caller checks uniqueness: see [`Index::owner`].
    pub fn insert(&mut self, id: &DocumentId, entries: Entries) {
        if let Structure::Inverted(index) = &mut self.structure {
            for (word, count) in entries.into_words() {
                self.entries += usize::from(index.insert(word, count, id));
            }
            return;
        }
        self.traits.left_out |= !entries.is_complete();
        self.traits.several_keys |= entries.len() > 1;
        for key in entries.into_keys() {
            let tuple = self.joined.as_ref().map(|_| key.clone());
            let change = match &mut self.structure {
                Structure::Hash(keys) => keys.insert_id(key, id),
                Structure::Btree(keys) => keys.insert_id(key, id),
                Structure::Inverted(_) => Change::None,
            };
            self.entries += usize::from(change != Change::None);
            if let (Change::EntryAndKey, Some(joined), Some(tuple)) = (change, &mut self.joined, tuple) {
                joined.insert(tuple);
            }
        }
    }

    /// Removes the entries of a document, at the cost of [`Index::insert`]. Removing what is not there changes nothing.
    pub fn remove(&mut self, id: &DocumentId, entries: &Entries) {
        if let Structure::Inverted(index) = &mut self.structure {
            for (word, _) in entries.words() {
                self.entries -= usize::from(index.remove(word, id));
            }
            return;
        }
        for key in entries.keys() {
            let change = match &mut self.structure {
                Structure::Hash(keys) => keys.remove_id(key, id),
                Structure::Btree(keys) => keys.remove_id(key, id),
                Structure::Inverted(_) => Change::None,
            };
            self.entries -= usize::from(change != Change::None);
            if let (Change::EntryAndKey, Some(joined)) = (change, &mut self.joined) {
                joined.remove(key);
            }
        }
    }

    /// The ids of the documents with this key, ascending.
    ///
    /// An index of several fields also takes a text, the joined form of its keys (`electronics:active`, as
    /// `values.join(':')` in JavaScript), which may stand for several keys, and null, for the key that is null in every
    /// field. An inverted index returns what [`Index::search`] finds for a text, what a hash index of the same fields finds
    /// for null, and nothing for other keys.
    pub fn find(&self, key: &IndexKey) -> Vec<DocumentId> {
        match (&self.structure, &self.joined, key) {
            (Structure::Inverted(index), _, IndexKey::Text(text)) => {
                let found = index.search(&String::from_utf8_lossy(text));
                let mut ids: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
                ids.sort_unstable();
                ids
            }
            (Structure::Inverted(index), _, IndexKey::Null) => {
                index.get(NULL_WORD).map_or_else(Vec::new, |documents| documents.ids().cloned().collect())
            }
            (_, Some(joined), IndexKey::Text(text)) => {
                let lists: Vec<_> = joined.find(text).filter_map(|tuple| self.ids(tuple)).collect();
                let mut ids: Vec<_> = lists.iter().flat_map(|ids| ids.ids().cloned()).collect();
                if lists.len() > 1 {
                    ids.sort_unstable();
                    ids.dedup();
                }
                ids
            }
            (_, Some(_), IndexKey::Null) => {
                collect(self.ids(&IndexKey::tuple(vec![IndexKey::Null; self.spec.paths.len()])))
            }
            _ => collect(self.ids(key)),
        }
    }

    /// The ids of the documents with exactly this key, ascending: no joined forms, no words.
    pub fn find_exact(&self, key: &IndexKey) -> Vec<DocumentId> {
        collect(self.ids(key))
    }

    /// The greatest id of a document with exactly this key. O(1) in a hash index, O(log n) in a btree.
    pub fn last(&self, key: &IndexKey) -> Option<DocumentId> {
        self.ids(key)?.last().cloned()
    }

    /// The number of documents with exactly this key. O(log n).
    pub fn count(&self, key: &IndexKey) -> usize {
        self.ids(key).map_or(0, Ids::len)
    }

    /// The number of pairs of key and document within the bounds; counting stops at `most`. Only a btree index has ranges.
    pub fn count_range(&self, start: Bound<&IndexKey>, end: Bound<&IndexKey>, most: usize) -> Result<usize> {
        let mut count = 0;
        for (_, ids) in range(self.ordered()?, start, end) {
            count += ids.len();
            if count >= most {
                break;
            }
        }
        Ok(count)
    }

    /// The keys within the bounds, ascending, each with the ids of its documents, ascending. O(log n) to start at either end.
    /// Only a btree index has ranges.
    pub fn keys_within(
        &self,
        start: Bound<&IndexKey>,
        end: Bound<&IndexKey>,
    ) -> Result<impl DoubleEndedIterator<Item = (&IndexKey, impl Iterator<Item = &DocumentId>)>> {
        Ok(range(self.ordered()?, start, end).map(|(key, ids)| (key, ids.ids())))
    }

    /// Whether some document may have several keys.
    pub fn has_several_keys(&self) -> bool {
        self.traits.several_keys
    }

    /// Whether every document that has keys is found under all of them.
    pub fn is_complete(&self) -> bool {
        !self.traits.left_out
    }

    /// Returns one of the keys in `entries` that a document for which `counts` is true already has, and that document. Null
    /// never clashes, and neither does a composite key with a null in it, as in SQL. O(keys · log n), plus the documents
    /// with these keys for which `counts` is false.
    pub fn owner(
        &self,
        entries: &Entries,
        counts: impl Fn(&DocumentId) -> bool,
    ) -> Option<(IndexKey, DocumentId)> {
        entries.keys().iter().filter(|key| !key.has_null()).find_map(|key| {
            let owner = self.ids(key)?.ids().find(|id| counts(id))?;
            Some((key.clone(), owner.clone()))
        })
    }

    /// Returns all documents among which [`Index::owner`] looks.
    pub fn owners(&self, entries: &Entries) -> Vec<DocumentId> {
        let keys = entries.keys().iter().filter(|key| !key.has_null());
        keys.filter_map(|key| self.ids(key)).flat_map(Ids::ids).cloned().collect()
    }

    /// Returns a key that two documents have although the index is unique, because they had it before the index was declared
    /// so. O(keys).
    pub fn clash(&self) -> Option<(IndexKey, DocumentId, DocumentId)> {
        let two = |(key, ids): (&IndexKey, &Ids)| {
            let mut ids = ids.ids();
            let (one, other) = (ids.next()?, ids.next()?);
            (!key.has_null()).then(|| (key.clone(), one.clone(), other.clone()))
        };
        match &self.structure {
            _ if !self.spec.config.unique => None,
            Structure::Hash(keys) => keys.iter().find_map(two),
            Structure::Btree(keys) => keys.iter().find_map(two),
            Structure::Inverted(_) => None,
        }
    }

    /// The ids of the documents with a key within the bounds, in key order, ids ascending within one key; a document with
    /// several such keys is placed at the first of them. Bounds in the wrong order find nothing. O(log n) plus what is
    /// found. Only a btree index has ranges.
    pub fn range(&self, start: Bound<&IndexKey>, end: Bound<&IndexKey>) -> Result<Vec<DocumentId>> {
        let ids = range(self.ordered()?, start, end).flat_map(|(_, ids)| ids.ids());
        if !self.traits.several_keys {
            return Ok(ids.cloned().collect());
        }
        let mut seen = HashSet::new();
        Ok(ids.filter(|id| seen.insert(*id)).cloned().collect())
    }

    /// The documents that have every word of the query, as a word or as the start of one, with their
    /// scores; best first, ties by id. Only an inverted index has words.
    ///
    /// A score is the sum over the query's words of `c / (c + 1)`, where `c` is how often the word occurs in
    /// the document, plus 1 if it occurs as a whole (then only such occurrences count). So for each word a
    /// whole word beats any number of prefixes, and more occurrences beat fewer.
    pub fn search(&self, query: &str) -> Result<Vec<(DocumentId, f64)>> {
        match &self.structure {
            Structure::Inverted(index) => Ok(index.search(query)),
            _ => Err(self.wrong_type("text search", IndexType::Inverted)),
        }
    }

    /// The number of distinct keys or words.
    pub fn unique_keys(&self) -> usize {
        match &self.structure {
            Structure::Hash(keys) => keys.len(),
            Structure::Btree(keys) => keys.len(),
            Structure::Inverted(index) => index.unique_keys(),
        }
    }

    /// The number of pairs of key (or word) and document.
    pub fn total_entries(&self) -> usize {
        self.entries
    }

    fn ids(&self, key: &IndexKey) -> Option<&Ids> {
        match &self.structure {
            Structure::Hash(keys) => keys.get(key),
            Structure::Btree(keys) => keys.get(key),
            Structure::Inverted(_) => None,
        }
    }

    fn ordered(&self) -> Result<&BTreeMap<IndexKey, Ids>> {
        match &self.structure {
            Structure::Btree(keys) => Ok(keys),
            _ => Err(self.wrong_type("range queries", IndexType::Btree)),
        }
    }

    fn wrong_type(&self, call: &str, needed: IndexType) -> Error {
        let config = &self.spec.config;
        Error::IndexType(format!(
            "index {} is of type {}, but {call} need{} type {}; create an index of that type on the same fields",
            config.name,
            config.kind.name(),
            if call.ends_with('s') { "" } else { "s" },
            needed.name(),
        ))
    }
}

fn collect(ids: Option<&Ids>) -> Vec<DocumentId> {
    ids.map_or_else(Vec::new, |ids| ids.ids().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::index::IndexConfig;

    #[test]
    fn a_joined_form_is_removed_with_its_last_document() {
        let fields = vec!["a".into(), "b".into()];
        let config =
            IndexConfig { name: "test".into(), kind: IndexType::Hash, fields, unique: false, sparse: false };
        let mut index = Index::new(Arc::new(IndexSpec::new(config, Extractor::Fields)));
        let entries = index.extract(br#"{"a":1,"b":2}"#);
        let empty = |index: &Index| index.joined.as_ref().is_some_and(JoinedForms::is_empty);
        for id in [1, 2] {
            index.insert(&DocumentId::Number(id), entries.clone());
        }
        index.remove(&DocumentId::Number(1), &entries);
        assert!(!empty(&index));
        index.remove(&DocumentId::Number(2), &entries);
        assert!(empty(&index));
    }
}
