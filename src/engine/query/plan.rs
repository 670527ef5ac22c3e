//! Which index answers a query best.

use std::collections::BTreeSet;
use std::ops::{Bound, RangeBounds};

use serde_json::json;

use super::condition::{Comparison, Condition, Test};
use super::ids::{self, Ids};
use super::path::FieldPath;
use super::range::{Range, narrower};
use super::value::Value;
use super::{Direction, Query};
use crate::engine::document::DocumentId;
use crate::engine::error::Result;
use crate::engine::index::{Extractor, Index, IndexKey, IndexType, Keys, Number};
use crate::engine::order;

/// Counting the documents in a range stops here: all larger ranges are equally bad.
const COUNTED: usize = 10_000;
/// A second index is also used only if the first returns more documents than this …
const INTERSECT_FROM: usize = 32;
/// … and the second returns at most this many times as many.
const INTERSECT_FACTOR: usize = 8;

/// A computed index is not searched for more combinations of values than this.
const COMBINATIONS: usize = 1000;

/// How the documents that may meet a condition are found.
#[derive(Debug, Clone)]
enum Access {
    /// Every document.
    Scan,
    Keys {
        index: usize,
        keys: Vec<IndexKey>,
    },
    Range {
        index: usize,
        range: Range<IndexKey>,
    },
    /// Documents with these ids.
    Ids(Vec<DocumentId>),
    IdRange(Range<DocumentId>),
    /// The documents that all of them return.
    Intersection(Vec<Access>),
    /// The documents that any of them returns.
    Union(Vec<Access>),
}

/// How a query is answered, given the current content of its collection's indexes.
#[derive(Debug)]
pub struct Plan {
    access: Access,
    estimated: usize,
    /// What the candidates are ordered by, if they come in the order of the answer.
    order: Option<(OrderedBy, Direction)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderedBy {
    /// The index of the range.
    Index,
    Id,
}

/// The documents that may meet a query's condition: in the order of the answer if the plan is ordered, else ids ascending.
pub enum Candidates {
    /// Those with ids in a range.
    Range {
        range: Range<DocumentId>,
        descending: bool,
    },
    Some(Vec<DocumentId>),
}

impl Plan {
    /// Picks the index that returns the fewest documents, and prefers one with unique keys if two return equally many. With
    /// `in_order`, an index may also be picked for its order. O(indexes × conditions).
    pub fn of(query: &Query, indexes: &[&Index], ids: &dyn Ids, in_order: bool) -> Plan {
        let (access, estimated) = access(&query.condition, indexes, ids);
        let mut plan = Plan { access, estimated, order: None };
        if in_order {
            plan.find_order(query, indexes, ids);
        }
        plan
    }

    fn find_order(&mut self, query: &Query, indexes: &[&Index], ids: &dyn Ids) {
        let Some(first) = query.order.first() else { return };
        // No two documents have the same id, so nothing more can matter.
        if ids::is_id(&first.path) && orders_ids(&query.condition, ids) {
            self.order = Some((OrderedBy::Id, first.direction));
        } else if query.order.len() == 1 && (!ids::is_id(&first.path) || ids::are_texts(ids)) {
            self.order_by_index(&first.path, first.direction, indexes, ids.count());
        }
    }

    fn order_by_index(
        &mut self,
        path: &FieldPath,
        direction: Direction,
        indexes: &[&Index],
        documents: usize,
    ) {
        let serves = |at: usize| {
            indexes.get(at).is_some_and(|index| {
                let config = &index.spec().config;
                // A sparse index has no nulls, not even nulls among other elements of an array, and nulls come first.
                let whole = config.kind == IndexType::Btree && !config.sparse && !index.has_several_keys();
                whole && is_on(index, path)
            })
        };
        match &self.access {
            Access::Range { index, .. } if serves(*index) => self.order = Some((OrderedBy::Index, direction)),
            Access::Scan => {
                // An index that lacks a document because it has no key cannot return all documents.
                let complete = |at: &usize| serves(*at) && indexes[*at].total_entries() == documents;
                if let Some(index) = (0..indexes.len()).find(complete) {
                    self.access = Access::Range { index, range: (Bound::Unbounded, Bound::Unbounded) };
                    self.order = Some((OrderedBy::Index, direction));
                }
            }
            _ => {}
        }
    }

    pub fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    /// O(documents found · log n), or O(1) if they are a range of ids.
    pub fn candidates(&self, indexes: &[&Index], ids: &dyn Ids) -> Result<Candidates> {
        match (self.order, &self.access) {
            (Some((OrderedBy::Index, direction)), Access::Range { index, range }) => {
                let mut groups = indexes[*index].groups(range.0.as_ref(), range.1.as_ref())?;
                // Documents with the same key are in the order of their ids, whatever the direction of the keys.
                if direction == Direction::Descending {
                    groups.reverse();
                }
                Ok(Candidates::Some(groups.into_iter().flatten().collect()))
            }
            (Some((OrderedBy::Id, Direction::Descending)), access) => {
                Ok(match candidates(access, indexes, ids)? {
                    Candidates::Range { range, .. } => Candidates::Range { range, descending: true },
                    Candidates::Some(mut ids) => {
                        ids.reverse();
                        Candidates::Some(ids)
                    }
                })
            }
            (_, access) => candidates(access, indexes, ids),
        }
    }

    /// Returns the plan as data: `{ kind, index?, keys?, range?, of?, sort, estimated }`.
    pub fn describe(&self, query: &Query, indexes: &[&Index]) -> serde_json::Value {
        let mut described = describe(&self.access, indexes);
        let sort = match self.order {
            Some((OrderedBy::Index, _)) => "index",
            None if query.has_order() => "memory",
            Some((OrderedBy::Id, _)) | None => "id",
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

fn describe(access: &Access, indexes: &[&Index]) -> serde_json::Value {
    let name = |at: &usize| indexes.get(*at).map(|index| index.spec().config.name.clone());
    let key = |key: &IndexKey| {
        let text = key.to_string();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|_| text.into())
    };
    let id = |id: &DocumentId| match id {
        DocumentId::Number(number) => json!(number),
        DocumentId::Text(text) => json!(text),
    };
    match access {
        Access::Scan => json!({ "kind": "scan", "index": null }),
        Access::Keys { index, keys } => {
            let keys: Vec<_> = keys.iter().map(key).collect();
            json!({ "kind": "keys", "index": name(index), "keys": keys })
        }
        Access::Range { index, range } => {
            json!({ "kind": "range", "index": name(index), "range": bounds(range, key) })
        }
        Access::Ids(ids) => {
            let keys: Vec<_> = ids.iter().map(id).collect();
            json!({ "kind": "ids", "index": null, "keys": keys })
        }
        Access::IdRange(range) => json!({ "kind": "ids", "index": null, "range": bounds(range, id) }),
        Access::Intersection(of) | Access::Union(of) => {
            let kind = if matches!(access, Access::Union(_)) { "union" } else { "intersection" };
            let of: Vec<_> = of.iter().map(|access| describe(access, indexes)).collect();
            json!({ "kind": kind, "index": null, "of": of })
        }
    }
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

/// Ids ascending.
fn candidates(access: &Access, indexes: &[&Index], ids: &dyn Ids) -> Result<Candidates> {
    let sorted = |mut ids: Vec<DocumentId>| {
        ids.sort_unstable();
        ids.dedup();
        Candidates::Some(ids)
    };
    let range = |range: Range<DocumentId>| Candidates::Range { range, descending: false };
    Ok(match access {
        Access::Scan => range(ids::ALL),
        Access::Ids(ids) => Candidates::Some(ids.clone()),
        Access::IdRange(wanted) => range(wanted.clone()),
        Access::Keys { index, keys } => {
            sorted(keys.iter().flat_map(|key| indexes[*index].find_exact(key)).collect())
        }
        Access::Range { index, range } => sorted(indexes[*index].range(range.0.as_ref(), range.1.as_ref())?),
        Access::Union(of) => {
            let mut all = BTreeSet::new();
            for access in of {
                match candidates(access, indexes, ids)? {
                    Candidates::Range { range, .. } => all.extend(ids.within(&range).cloned()),
                    Candidates::Some(ids) => all.extend(ids),
                }
            }
            Candidates::Some(all.into_iter().collect())
        }
        Access::Intersection(of) => {
            let (mut within, mut common): (_, Option<BTreeSet<DocumentId>>) = (ids::ALL, None);
            for access in of {
                match candidates(access, indexes, ids)? {
                    Candidates::Range { range, .. } => within = narrower(within, range),
                    Candidates::Some(ids) => {
                        common = Some(match common {
                            None => ids.into_iter().collect(),
                            Some(common) => ids.into_iter().filter(|id| common.contains(id)).collect(),
                        });
                    }
                }
            }
            match common {
                None => range(within),
                Some(common) => {
                    Candidates::Some(common.into_iter().filter(|id| within.contains(id)).collect())
                }
            }
        }
    })
}

/// Returns the best way to find a superset of the documents that meet the condition, and the number of documents it returns.
fn access(condition: &Condition, indexes: &[&Index], ids: &dyn Ids) -> (Access, usize) {
    let documents = ids.count();
    let required = required(condition);
    let mut ways: Vec<(Access, usize)> = through_ids(&required, ids).into_iter().collect();
    for (at, &index) in indexes.iter().enumerate() {
        let way = match index.spec().extractor {
            _ if !is_usable(index) => None,
            Extractor::Fields => through_index(at, index, &required),
            Extractor::Computed { .. } => through_rule(at, index, &required),
        };
        if let Some(way) = way {
            ways.push(way);
        }
    }
    for condition in &required {
        if let Condition::Any(any) = condition {
            let branches: Vec<_> = any.iter().map(|condition| access(condition, indexes, ids)).collect();
            if branches.iter().all(|(access, _)| !matches!(access, Access::Scan)) {
                let estimated = branches.iter().map(|(_, estimated)| estimated).sum();
                ways.push((
                    Access::Union(branches.into_iter().map(|(access, _)| access).collect()),
                    estimated,
                ));
            }
        }
    }
    let unique = |access: &Access| match access {
        Access::Ids(_) => true,
        Access::Keys { index, .. } => indexes[*index].spec().config.unique,
        _ => false,
    };
    let rank = |(access, estimated): &(Access, usize)| (*estimated, !unique(access));
    order::sort_by(&mut ways, |one, other| rank(one).cmp(&rank(other)));
    let mut ways = ways.into_iter();
    let Some((first, estimated)) = ways.next() else { return (Access::Scan, documents) };
    if estimated > documents && !matches!(first, Access::Range { .. } | Access::Ids(_)) {
        return (Access::Scan, documents);
    }
    if estimated > INTERSECT_FROM
        && let Some((second, more)) = ways.next()
        && more <= estimated.saturating_mul(INTERSECT_FACTOR)
        && more < COUNTED
    {
        return (Access::Intersection(vec![first, second]), estimated);
    }
    (first, estimated)
}

/// Returns the conditions that must hold for the whole to hold.
fn required(condition: &Condition) -> Vec<&Condition> {
    let mut required = Vec::new();
    condition.each_required(&mut |condition| required.push(condition));
    required
}

/// Returns whether the index has every document that has a key in it.
fn is_usable(index: &Index) -> bool {
    index.spec().config.kind != IndexType::Inverted && index.is_complete()
}

fn is_on(index: &Index, path: &FieldPath) -> bool {
    index.spec().extractor == Extractor::Fields
        && is_usable(index)
        && path.is_indexable()
        && *index.spec().config.fields == [path.text.clone()]
}

/// Returns the tests of one field that must hold.
fn tests_on<'a>(required: &'a [&'a Condition], field: &'a str) -> impl Iterator<Item = &'a Test> {
    required.iter().filter_map(move |condition| match condition {
        Condition::Field(path, test) if path.text == field && path.is_indexable() => Some(test),
        _ => None,
    })
}

/// Returns the keys of which a value must have one to pass the test.
fn keys_of(test: &Test) -> Option<Vec<IndexKey>> {
    match test {
        Test::Equal(value) => value.key().map(|key| vec![key]),
        Test::In(values) => values.iter().map(Value::key).collect(),
        _ => None,
    }
}

fn through_ids(required: &[&Condition], of: &dyn Ids) -> Option<(Access, usize)> {
    let tests = || tests_on(required, ids::NAME);
    if let Some(found) = tests().find_map(ids::of_test) {
        let count = found.len();
        return Some((Access::Ids(found), count));
    }
    let range = ids::range(of, tests())?;
    let estimated = of.estimate(&range);
    Some((Access::IdRange(range), estimated))
}

/// Uses an index whose keys are computed: its lookup tells where documents with certain values are.
fn through_rule(at: usize, index: &Index, required: &[&Condition]) -> Option<(Access, usize)> {
    let Extractor::Computed { of, lookup: Some(lookup), .. } = index.spec().extractor else { return None };
    let choices: Vec<Option<Vec<IndexKey>>> =
        of.iter().map(|field| tests_on(required, field).find_map(keys_of)).collect();
    let counts = choices.iter().flatten().map(Vec::len);
    let count = counts.fold(1, |count: usize, choices| count.saturating_mul(choices));
    if choices.iter().all(Option::is_none) || count > COMBINATIONS {
        return None;
    }
    let (mut keys, mut ranges) = (Vec::new(), Vec::new());
    for number in 0..count {
        // The number of a combination, with the numbers of choices as the bases of its digits, picks one value for each
        // field.
        let mut digits = number;
        let values: Vec<Option<&IndexKey>> = choices
            .iter()
            .map(|choices| {
                let choices = choices.as_ref()?;
                let value = choices.get(digits % choices.len());
                digits /= choices.len();
                value
            })
            .collect();
        let equal = |field: &str| {
            let place = of.iter().position(|known| *known == field)?;
            values[place].cloned()
        };
        match lookup(&equal)? {
            Keys::These(found) => keys.extend(found),
            Keys::Between(first, end) => ranges.push((Bound::Included(first), Bound::Excluded(end))),
        }
    }
    let mut estimated: usize = keys.iter().map(|key| index.count(key)).sum();
    let mut ways = Vec::new();
    if !keys.is_empty() || ranges.is_empty() {
        ways.push(Access::Keys { index: at, keys });
    }
    for range in ranges {
        estimated += index.count_range(range.0.as_ref(), range.1.as_ref(), COUNTED).ok()?;
        ways.push(Access::Range { index: at, range });
    }
    let access = if ways.len() > 1 { Access::Union(ways) } else { ways.pop()? };
    Some((access, estimated))
}

fn through_index(at: usize, index: &Index, required: &[&Condition]) -> Option<(Access, usize)> {
    let config = &index.spec().config;
    let found = |key: &IndexKey| !(config.sparse && *key == IndexKey::Null);
    let fields = config.fields.as_slice();
    let [field] = fields else {
        let equal = |field: &String| {
            tests_on(required, field).find_map(|test| match test {
                Test::Equal(value) => value.key(),
                _ => None,
            })
        };
        let parts: Vec<IndexKey> = fields.iter().map(equal).collect::<Option<_>>()?;
        if config.sparse && parts.iter().all(|part| *part == IndexKey::Null) {
            return None;
        }
        let keys = vec![IndexKey::tuple(parts)];
        let estimated = keys.iter().map(|key| index.count(key)).sum();
        return Some((Access::Keys { index: at, keys }, estimated));
    };
    let mut best: Option<(Access, usize)> = None;
    for keys in tests_on(required, field).filter_map(keys_of).filter(|keys| keys.iter().all(found)) {
        let estimated = keys.iter().map(|key| index.count(key)).sum();
        if best.as_ref().is_none_or(|(_, fewer)| estimated < *fewer) {
            best = Some((Access::Keys { index: at, keys }, estimated));
        }
    }
    if best.is_some() || config.kind != IndexType::Btree {
        return best;
    }
    let mut range: Option<Range<IndexKey>> = None;
    for test in tests_on(required, field) {
        let Test::Compare(comparison, operand) = test else { continue };
        let wanted = range_of(*comparison, operand)?;
        range = Some(match range {
            None => wanted,
            // An array may meet two bounds with two different elements, so only one bound may narrow the search.
            Some(range) if index.has_several_keys() => range,
            Some(range) => narrower(range, wanted),
        });
    }
    let range = range?;
    let estimated = index.count_range(range.0.as_ref(), range.1.as_ref(), COUNTED).ok()?;
    Some((Access::Range { index: at, range }, estimated))
}

/// Returns the range of keys that meet a comparison: those of the operand's type on one side of it.
fn range_of(comparison: Comparison, operand: &Value) -> Option<Range<IndexKey>> {
    let key = operand.key()?;
    let (first, last) = match operand {
        Value::Bool(_) => (IndexKey::Bool(false), Bound::Included(IndexKey::Bool(true))),
        Value::Number(_) => (
            IndexKey::Number(Number::new(f64::NEG_INFINITY)?),
            Bound::Included(IndexKey::Number(Number::new(f64::INFINITY)?)),
        ),
        // Tuples come right after texts.
        Value::Text(_) => (IndexKey::text(""), Bound::Excluded(IndexKey::tuple(Vec::new()))),
        _ => return None,
    };
    Some(match comparison {
        Comparison::Greater => (Bound::Excluded(key), last),
        Comparison::GreaterOrEqual => (Bound::Included(key), last),
        Comparison::Less => (Bound::Included(first), Bound::Excluded(key)),
        Comparison::LessOrEqual => (Bound::Included(first), Bound::Included(key)),
    })
}
