//! Which index answers a query best.

use std::collections::BTreeSet;
use std::ops::Bound;

use serde_json::json;

use super::condition::{Comparison, Condition, Test};
use super::path::FieldPath;
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

/// Bounds of a range of keys.
type Range = (Bound<IndexKey>, Bound<IndexKey>);

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
        range: Range,
    },
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
    /// The direction, if the candidates come in the order of the answer.
    ordered: Option<Direction>,
}

/// The documents that may meet a query's condition.
pub enum Candidates {
    All,
    /// In the order of the answer if the plan is ordered, else ids ascending.
    Some(Vec<DocumentId>),
}

impl Plan {
    /// Picks the index that returns the fewest documents, and prefers one with unique keys if two return equally many. With
    /// `in_order`, an index may also be picked for its order. O(indexes × conditions).
    pub fn of(query: &Query, indexes: &[&Index], documents: usize, in_order: bool) -> Plan {
        let (access, estimated) = access(&query.condition, indexes, documents);
        let mut plan = Plan { access, estimated, ordered: None };
        if in_order && let [order] = query.order.as_slice() {
            plan.order_by_index(&order.path, order.direction, indexes, documents);
        }
        plan
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
            Access::Range { index, .. } if serves(*index) => self.ordered = Some(direction),
            Access::Scan => {
                // An index that lacks a document because it has no key cannot return all documents.
                let complete = |at: &usize| serves(*at) && indexes[*at].total_entries() == documents;
                if let Some(index) = (0..indexes.len()).find(complete) {
                    self.access = Access::Range { index, range: (Bound::Unbounded, Bound::Unbounded) };
                    self.ordered = Some(direction);
                }
            }
            _ => {}
        }
    }

    pub fn is_ordered(&self) -> bool {
        self.ordered.is_some()
    }

    /// O(documents found · log n).
    pub fn candidates(&self, indexes: &[&Index]) -> Result<Candidates> {
        let Some(direction) = self.ordered else { return candidates(&self.access, indexes) };
        let Access::Range { index, range } = &self.access else { return candidates(&self.access, indexes) };
        let mut groups = indexes[*index].groups(range.0.as_ref(), range.1.as_ref())?;
        // Documents with the same key are in the order of their ids, whatever the direction of the keys.
        if direction == Direction::Descending {
            groups.reverse();
        }
        Ok(Candidates::Some(groups.into_iter().flatten().collect()))
    }

    /// Returns the plan as data: `{ kind, index?, keys?, range?, of?, sort, estimated }`.
    pub fn describe(&self, query: &Query, indexes: &[&Index]) -> serde_json::Value {
        let mut described = describe(&self.access, indexes);
        let sort = match (query.has_order(), self.ordered) {
            (true, Some(_)) => "index",
            (true, None) => "memory",
            (false, _) => "id",
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

fn describe(access: &Access, indexes: &[&Index]) -> serde_json::Value {
    let name = |at: &usize| indexes.get(*at).map(|index| index.spec().config.name.clone());
    let bound = |bound: &Bound<IndexKey>| match bound {
        Bound::Unbounded => None,
        Bound::Included(key) => Some((true, key.to_string())),
        Bound::Excluded(key) => Some((false, key.to_string())),
    };
    let key = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_else(|_| text.into());
    match access {
        Access::Scan => json!({ "kind": "scan", "index": null }),
        Access::Keys { index, keys } => {
            let keys: Vec<_> = keys.iter().map(|found| key(&found.to_string())).collect();
            json!({ "kind": "keys", "index": name(index), "keys": keys })
        }
        Access::Range { index, range } => {
            let mut bounds = serde_json::Map::new();
            if let Some((included, text)) = bound(&range.0) {
                bounds.insert(if included { "$gte" } else { "$gt" }.into(), key(&text));
            }
            if let Some((included, text)) = bound(&range.1) {
                bounds.insert(if included { "$lte" } else { "$lt" }.into(), key(&text));
            }
            json!({ "kind": "range", "index": name(index), "range": bounds })
        }
        Access::Intersection(of) | Access::Union(of) => {
            let kind = if matches!(access, Access::Union(_)) { "union" } else { "intersection" };
            let of: Vec<_> = of.iter().map(|access| describe(access, indexes)).collect();
            json!({ "kind": kind, "index": null, "of": of })
        }
    }
}

fn candidates(access: &Access, indexes: &[&Index]) -> Result<Candidates> {
    let sets = |of: &[Access]| -> Result<Option<Vec<BTreeSet<DocumentId>>>> {
        let mut sets = Vec::with_capacity(of.len());
        for access in of {
            match candidates(access, indexes)? {
                Candidates::All => return Ok(None),
                Candidates::Some(ids) => sets.push(ids.into_iter().collect()),
            }
        }
        Ok(Some(sets))
    };
    let sorted = |mut ids: Vec<DocumentId>| {
        ids.sort_unstable();
        ids.dedup();
        Candidates::Some(ids)
    };
    Ok(match access {
        Access::Scan => Candidates::All,
        Access::Keys { index, keys } => {
            sorted(keys.iter().flat_map(|key| indexes[*index].find_exact(key)).collect())
        }
        Access::Range { index, range } => sorted(indexes[*index].range(range.0.as_ref(), range.1.as_ref())?),
        Access::Union(of) => match sets(of)? {
            None => Candidates::All,
            Some(sets) => {
                Candidates::Some(sets.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect())
            }
        },
        Access::Intersection(of) => {
            let Some(sets) = sets(of)? else { return Ok(Candidates::All) };
            let common = sets.into_iter().reduce(|one, other| one.intersection(&other).cloned().collect());
            Candidates::Some(common.unwrap_or_default().into_iter().collect())
        }
    })
}

/// Returns the best way to find a superset of the documents that meet the condition, and the number of documents it returns.
fn access(condition: &Condition, indexes: &[&Index], documents: usize) -> (Access, usize) {
    let mut required = Vec::new();
    condition.each_required(&mut |condition| required.push(condition));
    let mut ways: Vec<(Access, usize)> = Vec::new();
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
            let branches: Vec<_> =
                any.iter().map(|condition| access(condition, indexes, documents)).collect();
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
        Access::Keys { index, .. } => indexes[*index].spec().config.unique,
        _ => false,
    };
    let rank = |(access, estimated): &(Access, usize)| (*estimated, !unique(access));
    order::sort_by(&mut ways, |one, other| rank(one).cmp(&rank(other)));
    let mut ways = ways.into_iter();
    let Some((first, estimated)) = ways.next() else { return (Access::Scan, documents) };
    if estimated > documents && !matches!(first, Access::Range { .. }) {
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
    let mut range: Option<Range> = None;
    for test in tests_on(required, field) {
        let Test::Compare(comparison, operand) = test else { continue };
        let wanted = range_of(*comparison, operand)?;
        range = Some(match range {
            None => wanted,
            // An array may meet two bounds with two different elements, so only one bound may narrow the search.
            Some(range) if index.has_several_keys() => range,
            Some(range) => (higher(range.0, wanted.0), lower(range.1, wanted.1)),
        });
    }
    let range = range?;
    let estimated = index.count_range(range.0.as_ref(), range.1.as_ref(), COUNTED).ok()?;
    Some((Access::Range { index: at, range }, estimated))
}

/// Returns the range of keys that meet a comparison: those of the operand's type on one side of it.
fn range_of(comparison: Comparison, operand: &Value) -> Option<Range> {
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

fn higher(one: Bound<IndexKey>, other: Bound<IndexKey>) -> Bound<IndexKey> {
    let place = |bound: &Bound<IndexKey>| match bound {
        Bound::Unbounded => None,
        Bound::Included(key) => Some((key.clone(), false)),
        Bound::Excluded(key) => Some((key.clone(), true)),
    };
    if place(&one) >= place(&other) { one } else { other }
}

fn lower(one: Bound<IndexKey>, other: Bound<IndexKey>) -> Bound<IndexKey> {
    let place = |bound: &Bound<IndexKey>| match bound {
        Bound::Unbounded => (true, None),
        Bound::Included(key) => (false, Some((key.clone(), true))),
        Bound::Excluded(key) => (false, Some((key.clone(), false))),
    };
    if place(&one) <= place(&other) { one } else { other }
}
