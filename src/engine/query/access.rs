//! Ways to documents that may meet a condition.

use std::collections::BTreeSet;
use std::ops::{Bound, RangeBounds};

use serde_json::json;

use super::ids::{self, Ids};
use super::key_range::KeyRange;
use super::range::{Range, narrower};
use crate::engine::document::DocumentId;
use crate::engine::error::Result;
use crate::engine::index::{Index, IndexKey};

/// How documents are found. Indexes are known by their positions.
#[derive(Debug, Clone)]
pub enum Access {
    /// Every document.
    Scan,
    Keys {
        index: usize,
        keys: Vec<IndexKey>,
    },
    Range {
        index: usize,
        keys: KeyRange,
    },
    /// Documents with these ids.
    Ids(Vec<DocumentId>),
    IdRange(Range<DocumentId>),
    /// The documents that all of them return.
    Intersection(Vec<Access>),
    /// The documents that any of them returns.
    Union(Vec<Access>),
}

/// The documents that may meet a query's condition: in the order of the answer if the plan is ordered, else ids ascending.
pub enum Candidates {
    /// Those with ids in a range.
    Range { range: Range<DocumentId>, descending: bool },
    Some {
        ids: Vec<DocumentId>,
        /// Otherwise these are the first ones.
        are_all: bool,
    },
}

impl Access {
    /// Returns the documents, ids ascending. O(documents found · log n), or O(1) if they are a range of ids.
    pub fn candidates(&self, indexes: &[&Index], ids: &dyn Ids) -> Result<Candidates> {
        let all = |ids: Vec<DocumentId>| Candidates::Some { ids, are_all: true };
        let sorted = |mut ids: Vec<DocumentId>| {
            ids.sort_unstable();
            ids.dedup();
            all(ids)
        };
        let range = |range: Range<DocumentId>| Candidates::Range { range, descending: false };
        Ok(match self {
            Access::Scan => range(ids::ALL),
            Access::Ids(ids) => all(ids.clone()),
            Access::IdRange(wanted) => range(wanted.clone()),
            Access::Keys { index, keys } => {
                sorted(keys.iter().flat_map(|key| indexes[*index].find_exact(key)).collect())
            }
            Access::Range { index, keys } => {
                let (start, end) = keys.bounds();
                sorted(indexes[*index].range(start.as_ref(), end.as_ref())?)
            }
            Access::Union(of) => {
                let mut found = BTreeSet::new();
                for access in of {
                    match access.candidates(indexes, ids)? {
                        Candidates::Range { range, .. } => found.extend(ids.within(&range).cloned()),
                        Candidates::Some { ids, .. } => found.extend(ids),
                    }
                }
                all(found.into_iter().collect())
            }
            Access::Intersection(of) => {
                let (mut within, mut common): (_, Option<BTreeSet<DocumentId>>) = (ids::ALL, None);
                for access in of {
                    match access.candidates(indexes, ids)? {
                        Candidates::Range { range, .. } => within = narrower(within, range),
                        Candidates::Some { ids, .. } => {
                            common = Some(match common {
                                None => ids.into_iter().collect(),
                                Some(common) => ids.into_iter().filter(|id| common.contains(id)).collect(),
                            });
                        }
                    }
                }
                match common {
                    None => range(within),
                    Some(common) => all(common.into_iter().filter(|id| within.contains(id)).collect()),
                }
            }
        })
    }

    /// Returns the access as data: `{ kind, index?, keys?, prefix?, range?, of? }`.
    pub fn describe(&self, indexes: &[&Index]) -> serde_json::Value {
        let name = |at: &usize| indexes.get(*at).map(|index| index.spec().config.name.clone());
        match self {
            Access::Scan => json!({ "kind": "scan", "index": null }),
            Access::Keys { index, keys } => {
                json!({ "kind": "keys", "index": name(index), "keys": list(keys, key_data) })
            }
            Access::Range { index, keys: KeyRange::Of(range) } => {
                json!({ "kind": "range", "index": name(index), "range": key_bounds(range) })
            }
            Access::Range { index, keys: KeyRange::Tuples { prefix, next } } => {
                let (prefix, next) = (list(prefix, key_data), key_bounds(next));
                json!({ "kind": "range", "index": name(index), "prefix": prefix, "range": next })
            }
            Access::Ids(ids) => json!({ "kind": "ids", "index": null, "keys": list(ids, id_data) }),
            Access::IdRange(range) => {
                json!({ "kind": "ids", "index": null, "range": bounds(range, id_data) })
            }
            Access::Intersection(of) | Access::Union(of) => {
                let kind = if matches!(self, Access::Union(_)) { "union" } else { "intersection" };
                json!({ "kind": kind, "index": null, "of": list(of, |access| access.describe(indexes)) })
            }
        }
    }
}

fn list<T>(of: &[T], data: impl Fn(&T) -> serde_json::Value) -> Vec<serde_json::Value> {
    of.iter().map(data).collect()
}

fn key_data(key: &IndexKey) -> serde_json::Value {
    let text = key.to_string();
    serde_json::from_str(&text).unwrap_or_else(|_| text.into())
}

fn id_data(id: &DocumentId) -> serde_json::Value {
    match id {
        DocumentId::Number(number) => json!(number),
        DocumentId::Text(text) => json!(text),
    }
}

/// As [`bounds`], without those that only keep to the values of one type.
fn key_bounds((start, end): &Range<IndexKey>) -> serde_json::Value {
    let infinite = |key: &IndexKey| matches!(key, IndexKey::Number(number) if number.get().is_infinite());
    let is_first = |key: &IndexKey| infinite(key) || *key == IndexKey::text("");
    let is_after_last = |key: &IndexKey| infinite(key) || *key == IndexKey::tuple([]);
    let start = match start {
        Bound::Included(key) if is_first(key) => Bound::Unbounded,
        start => start.as_ref(),
    };
    let end = match end {
        Bound::Included(key) | Bound::Excluded(key) if is_after_last(key) => Bound::Unbounded,
        end => end.as_ref(),
    };
    bounds(&(start, end), |key| key_data(key))
}

/// Returns a range as the operators that a query would have.
fn bounds<T>(range: &Range<T>, data: impl Fn(&T) -> serde_json::Value) -> serde_json::Value {
    let mut bounds = serde_json::Map::new();
    for (bound, included, excluded) in [(&range.0, "$gte", "$gt"), (&range.1, "$lte", "$lt")] {
        match bound {
            Bound::Unbounded => {}
            Bound::Included(value) => drop(bounds.insert(included.into(), data(value))),
            Bound::Excluded(value) => drop(bounds.insert(excluded.into(), data(value))),
        }
    }
    bounds.into()
}
