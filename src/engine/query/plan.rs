//! Which way answers a query best.

use std::collections::BTreeSet;

use serde_json::json;

use super::access::{Access, Candidates};
use super::condition::{Condition, Test};
use super::ids::{self, Ids};
use super::key_range::KeyRange;
use super::value::Value;
use super::ways::{self, Way, best, has_one_key_each, required, tests_on};
use super::{Direction, Query};
use crate::engine::document::DocumentId;
use crate::engine::error::Result;
use crate::engine::index::{Extractor, Index, IndexKey, IndexType};

/// An index that provides the order is tried if every other way returns more documents than so many times those tried.
const TRY_FACTOR: usize = 4;

/// Reading all documents in the order of an index takes longer than in their own order. So an index is searched no further than
/// to this part of them.
const SCAN_FACTOR: usize = 8;

/// How many candidates a search takes if an index orders them.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    pub most: usize,
    /// If these are too few, another plan is made.
    pub is_trial: bool,
}

impl Extent {
    pub const ALL: Extent = Extent { most: usize::MAX, is_trial: false };
}

/// How a query is answered, given the current content of its collection's indexes.
#[derive(Debug)]
pub struct Plan {
    access: Access,
    estimated: usize,
    /// What the candidates are ordered by, if they come in the order of the answer.
    order: Option<OrderedBy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderedBy {
    /// The index of the range, whose keys agree with the order in so many of their parts.
    Index {
        parts: usize,
        direction: Direction,
    },
    Id(Direction),
}

impl Plan {
    /// Picks the index that returns the fewest documents, and prefers one with unique keys if two return equally many.
    /// O(indexes × conditions).
    pub fn of(query: &Query, indexes: &[&Index], ids: &dyn Ids) -> Plan {
        Plan::through(&ways::ways(&query.condition, indexes, ids, ways::COUNTED), ids)
    }

    /// As [`Plan::of`], but may also pick an index for its order; in a trial, one that is worse if most of its documents do not
    /// meet the condition.
    pub fn in_order(query: &Query, indexes: &[&Index], ids: &dyn Ids, extent: Extent) -> Plan {
        let counting = |counted| {
            let ways = ways::ways(&query.condition, indexes, ids, counted);
            let mut plan = Plan::through(&ways, ids);
            plan.find_order(query, ways, indexes, ids, extent);
            plan
        };
        // Whether an index is tried for its order depends on no more than this, and counting takes longer than its first
        // candidates.
        if extent.is_trial && query.has_order() && query.limit.is_some() {
            let plan = counting(extent.most.saturating_mul(TRY_FACTOR).saturating_add(1));
            if matches!(plan.order, Some(OrderedBy::Index { .. })) {
                return plan;
            }
        }
        counting(ways::COUNTED)
    }

    /// Returns how many documents meet the condition of a query if an index knows that without looking at them.
    /// O(indexes × conditions), and the number of keys in a range.
    pub fn count(query: &Query, indexes: &[&Index], ids: &dyn Ids) -> Option<usize> {
        ways::count(&query.condition, indexes, ids)
    }

    fn through(ways: &[Way], ids: &dyn Ids) -> Plan {
        let (access, estimated) = best(ways, ids.count());
        Plan { access, estimated, order: None }
    }

    fn find_order(
        &mut self,
        query: &Query,
        ways: Vec<Way>,
        indexes: &[&Index],
        ids: &dyn Ids,
        extent: Extent,
    ) {
        let Some(first) = query.order.first() else { return };
        // No two documents have the same id, so nothing more can matter.
        if ids::is_id(&first.path) && orders_ids(&query.condition, ids) {
            self.order = Some(OrderedBy::Id(first.direction));
            return;
        }
        // All that is found must be read, which takes longer in the order of an index than sorting it.
        if query.limit.is_none() {
            return;
        }
        let order = |access: &Access| match access {
            Access::Range { index, keys } => order_within(indexes[*index], keys, query, ids),
            _ => None,
        };
        self.order = order(&self.access);
        if self.order.is_some() {
            return;
        }
        let is_tried = match self.access {
            Access::Scan => extent.is_trial || extent.most <= ids.count() / SCAN_FACTOR,
            _ => extent.is_trial && self.estimated > extent.most.saturating_mul(TRY_FACTOR),
        };
        // An order saves more than what an intersection would leave out.
        let serves =
            |way: &Way| (is_tried || way.estimated <= self.estimated) && order(&way.access).is_some();
        let all = |(index, of): (usize, &&Index)| {
            let fields = of.spec().config.fields.len();
            // An index that lacks a document because it has no key cannot return all documents.
            has_one_key_each(of, ids.count()).then(|| Access::Range { index, keys: KeyRange::all(fields) })
        };
        let mut found = ways.into_iter().find(serves).map(|way| way.access);
        if found.is_none() && is_tried {
            found = indexes.iter().enumerate().filter_map(all).find(|access| order(access).is_some());
        }
        if let Some(access) = found {
            self.access = access;
        }
        self.order = order(&self.access);
    }

    pub fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    /// Returns the candidates; where an index orders them, perhaps only the first ones, but at least `most` then.
    /// O(documents found · log n), or O(1) if they are a range of ids.
    pub fn candidates(&self, indexes: &[&Index], ids: &dyn Ids, most: usize) -> Result<Candidates> {
        match (self.order, &self.access) {
            (Some(OrderedBy::Index { parts, direction }), Access::Range { index, keys }) => {
                let parts = keys.is_of_tuples().then_some(parts);
                let (start, end) = keys.bounds();
                let keys = indexes[*index].keys_within(start.as_ref(), end.as_ref())?;
                Ok(match direction {
                    Direction::Ascending => first_of(keys, parts, most),
                    Direction::Descending => first_of(keys.rev(), parts, most),
                })
            }
            (Some(OrderedBy::Id(Direction::Descending)), access) => {
                Ok(match access.candidates(indexes, ids)? {
                    Candidates::Range { range, .. } => Candidates::Range { range, descending: true },
                    Candidates::Some { mut ids, are_all } => {
                        ids.reverse();
                        Candidates::Some { ids, are_all }
                    }
                })
            }
            (_, access) => access.candidates(indexes, ids),
        }
    }

    /// Returns the plan as data: `{ kind, index?, keys?, prefix?, range?, of?, sort, estimated }`.
    pub fn describe(&self, query: &Query, indexes: &[&Index]) -> serde_json::Value {
        let mut described = self.access.describe(indexes);
        let sort = match self.order {
            Some(OrderedBy::Index { .. }) => "index",
            None if query.has_order() => "memory",
            Some(OrderedBy::Id(_)) | None => "id",
        };
        let mut residual = BTreeSet::new();
        query.condition.each_path(&mut |path| {
            residual.insert(path.text.clone());
        });
        described["sort"] = sort.into();
        described["residual"] = json!(residual);
        described["estimated"] = self.estimated.into();
        described
    }
}

/// Whether the order of the ids is that of the answer, for documents that meet the condition.
fn orders_ids(condition: &Condition, of: &dyn Ids) -> bool {
    let required = required(condition);
    let is_text = |test: &Test| matches!(test, Test::Compare(_, Value::Text(_)));
    ids::are_numbers(of) || ids::are_texts(of) && tests_on(&required, ids::NAME).any(is_text)
}

/// Returns how the documents in a range of an index are ordered as the query demands.
fn order_within(index: &Index, keys: &KeyRange, query: &Query, ids: &dyn Ids) -> Option<OrderedBy> {
    let spec = index.spec();
    let (config, fields) = (&spec.config, spec.config.fields.as_slice());
    // A sparse index has no nulls, not even nulls among other elements of an array, and nulls come first.
    let is_whole = config.kind == IndexType::Btree && !config.sparse && !index.has_several_keys();
    if !is_whole || !index.is_complete() || spec.extractor != Extractor::Fields {
        return None;
    }
    let fixed = keys.prefix_len();
    let (mut parts, mut direction) = (fixed, None);
    for order in &query.order {
        let path = &order.path;
        if !path.is_indexable() || ids::is_id(path) && !ids::are_texts(ids) {
            return None;
        }
        // What is equal for all, or was ordered by before, makes no difference.
        if fields[..parts].contains(&path.text) {
            continue;
        }
        let goes_on =
            fields.get(parts) == Some(&path.text) && direction.is_none_or(|one| one == order.direction);
        if !goes_on {
            return None;
        }
        direction = Some(order.direction);
        parts += 1;
    }
    Some(OrderedBy::Index { parts, direction: direction? })
}

/// Returns the first documents with these keys, at least `most` if there are so many. Those whose keys agree, as a whole or in
/// their first `parts`, are in the order of their ids, whatever the order of the keys.
fn first_of<'a>(
    keys: impl Iterator<Item = (&'a IndexKey, impl Iterator<Item = &'a DocumentId>)>,
    parts: Option<usize>,
    most: usize,
) -> Candidates {
    let parts_of = |key: &'a IndexKey| match (parts, key) {
        (Some(parts), IndexKey::Tuple(tuple)) => &tuple[..parts.min(tuple.len())],
        _ => std::slice::from_ref(key),
    };
    let (mut ids, mut are_all) = (Vec::new(), true);
    let (mut group, mut start) = (None, 0);
    for (key, of_key) in keys {
        let key = parts_of(key);
        if group != Some(key) {
            ids[start..].sort_unstable();
            start = ids.len();
            group = Some(key);
            if start >= most {
                are_all = false;
                break;
            }
        }
        ids.extend(of_key.cloned());
    }
    ids[start..].sort_unstable();
    Candidates::Some { ids, are_all }
}
