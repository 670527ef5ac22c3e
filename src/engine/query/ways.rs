//! The ways to the documents that meet a condition: one for each index that helps.

use std::ops::Bound;

use super::access::Access;
use super::condition::{Comparison, Condition, Test};
use super::ids::{self, Ids};
use super::key_range::KeyRange;
use super::range::{Range, narrower};
use super::value::Value;
use crate::engine::index::{Extractor, Index, IndexKey, IndexType, Keys, Number};
use crate::engine::order;

/// Counting the documents in a range stops here: all larger ranges are equally bad, unless every other way finds even more.
pub const COUNTED: usize = 10_000;
/// A second way is also used only if the first returns more documents than this …
const INTERSECT_FROM: usize = 32;
/// … and the second returns at most this many times as many.
const INTERSECT_FACTOR: usize = 8;

/// An index on several values is not searched for more combinations of them than this.
const COMBINATIONS: usize = 1000;

/// A way to a superset of the documents that meet a condition.
#[derive(Debug, Clone)]
pub struct Way {
    pub access: Access,
    /// About how many documents it returns.
    pub estimated: usize,
    /// The fields whose conditions it takes into account.
    fields: Vec<String>,
}

/// Returns the ways, that with the fewest documents first, and of two with equally many that of unique keys. O(indexes ×
/// conditions). Documents in ranges are counted up to `counted`.
pub fn ways(condition: &Condition, indexes: &[&Index], ids: &dyn Ids, counted: usize) -> Vec<Way> {
    let required = required(condition);
    let mut ways: Vec<Way> = through_ids(&required, ids).into_iter().collect();
    let mut asked: Vec<Asked> = asked(&required, indexes, ids.count()).collect();
    // What is in ranges must be counted, but only as far as it may be fewer than what keys return.
    let has_ranges = |asked: &Asked| !asked.ranges.is_empty();
    order::sort_by(&mut asked, |one, other| has_ranges(one).cmp(&has_ranges(other)));
    for one in asked {
        let most = match ways.iter().map(|way| way.estimated).min() {
            Some(fewest) => fewest.saturating_mul(INTERSECT_FACTOR).min(counted).max(fewest) + 1,
            None => counted,
        };
        ways.extend(one.way(most));
    }
    for condition in &required {
        if let Condition::Any(any) = condition {
            ways.extend(through_branches(any, indexes, ids, counted));
        }
    }
    let unique = |access: &Access| match access {
        Access::Ids(_) => true,
        Access::Keys { index, .. } => indexes[*index].spec().config.unique,
        _ => false,
    };
    let rank = |way: &Way| (way.estimated, !unique(&way.access));
    order::sort_by(&mut ways, |one, other| rank(one).cmp(&rank(other)));
    ways
}

/// Returns how many documents meet the condition if an index knows that without looking at them. O(indexes × conditions), and
/// the number of keys in a range.
pub fn count(condition: &Condition, indexes: &[&Index], ids: &dyn Ids) -> Option<usize> {
    let required = required(condition);
    let exact = asked(&required, indexes, ids.count()).find(|asked| asked.is_exact)?;
    exact.way(usize::MAX).map(|way| way.estimated)
}

/// Returns the best access that consists of these ways, and the number of documents it returns.
pub fn best(ways: &[Way], documents: usize) -> (Access, usize) {
    let Some((first, others)) = ways.split_first() else { return (Access::Scan, documents) };
    let Way { access, estimated, fields } = first;
    if *estimated > documents && !matches!(access, Access::Range { .. } | Access::Ids(_)) {
        return (Access::Scan, documents);
    }
    let narrows = |way: &&Way| way.fields.iter().any(|field| !fields.contains(field));
    if *estimated > INTERSECT_FROM
        && let Some(second) = others.iter().find(narrows)
        && second.estimated <= estimated.saturating_mul(INTERSECT_FACTOR)
        && second.estimated < COUNTED
    {
        return (Access::Intersection(vec![access.clone(), second.access.clone()]), *estimated);
    }
    (access.clone(), *estimated)
}

/// Returns the conditions that must hold for the whole to hold.
pub fn required(condition: &Condition) -> Vec<&Condition> {
    let mut required = Vec::new();
    condition.each_required(&mut |condition| required.push(condition));
    required
}

/// Returns the tests of one field that must hold.
pub fn tests_on<'a>(required: &'a [&'a Condition], field: &'a str) -> impl Iterator<Item = &'a Test> {
    required.iter().filter_map(move |condition| match condition {
        Condition::Field(path, test) if path.text == field && path.is_indexable() => Some(test),
        _ => None,
    })
}

/// Whether every one of so many documents has exactly one key in the index.
pub fn has_one_key_each(index: &Index, documents: usize) -> bool {
    !index.has_several_keys() && index.total_entries() == documents
}

/// Returns what each index that helps is asked.
fn asked<'a>(
    required: &'a [&'a Condition],
    indexes: &'a [&'a Index],
    documents: usize,
) -> impl Iterator<Item = Asked<'a>> {
    let through = move |(at, &index)| Through { at, index, required }.asked(documents);
    indexes.iter().enumerate().filter_map(through)
}

fn through_ids(required: &[&Condition], of: &dyn Ids) -> Option<Way> {
    let tests = || tests_on(required, ids::NAME);
    let fields = vec![ids::NAME.to_owned()];
    if let Some(found) = tests().find_map(ids::of_test) {
        return Some(Way { estimated: found.len(), access: Access::Ids(found), fields });
    }
    let range = ids::range(of, tests())?;
    Some(Way { estimated: of.estimate(&range), access: Access::IdRange(range), fields })
}

/// Looks up each branch of an `$or` by itself.
fn through_branches(any: &[Condition], indexes: &[&Index], ids: &dyn Ids, counted: usize) -> Option<Way> {
    let (mut of, mut estimated, mut fields) = (Vec::new(), 0_usize, Vec::new());
    for condition in any {
        let (access, more) = best(&ways(condition, indexes, ids, counted), ids.count());
        if matches!(access, Access::Scan) {
            return None;
        }
        of.push(access);
        estimated = estimated.saturating_add(more);
        condition.each_path(&mut |path| fields.push(path.text.clone()));
    }
    Some(Way { access: Access::Union(of), estimated, fields })
}

/// One index and what is asked of it.
struct Through<'a> {
    /// Its position.
    at: usize,
    index: &'a Index,
    required: &'a [&'a Condition],
}

/// What is looked up in an index: keys, and what lies in ranges.
struct Asked<'a> {
    /// Its position.
    at: usize,
    index: &'a Index,
    keys: Vec<IndexKey>,
    ranges: Vec<KeyRange>,
    fields: Vec<String>,
    /// Whether each pair of such a key and a document is a document that meets the condition.
    is_exact: bool,
}

impl<'a> Through<'a> {
    fn asked(&self, documents: usize) -> Option<Asked<'a>> {
        let spec = self.index.spec();
        if spec.config.kind == IndexType::Inverted || !self.index.is_complete() {
            return None;
        }
        match spec.extractor {
            Extractor::Fields => match &*spec.config.fields {
                [field] => self.field(field),
                fields => self.fields(fields, documents),
            },
            Extractor::Computed { .. } => self.rule(),
        }
    }

    fn field(&self, field: &str) -> Option<Asked<'a>> {
        let config = &self.index.spec().config;
        let found = |key: &IndexKey| !(config.sparse && *key == IndexKey::Null);
        let choices = tests_on(self.required, field).filter_map(keys_of);
        let choices =
            choices.filter(|keys| keys.iter().all(found)).map(|keys| (count_keys(self.index, &keys), keys));
        if let Some((_, keys)) = choices.min_by_key(|(count, _)| *count) {
            let is_exact = self.required.len() == 1 && self.is_exact_for(&keys);
            return Some(self.ask(keys, Vec::new(), [field], is_exact));
        }
        if config.kind != IndexType::Btree {
            return None;
        }
        let range = range_of(tests_on(self.required, field), self.index.has_several_keys())?;
        let is_exact = self.required.len() == self.bounds_of(field) && !self.index.has_several_keys();
        Some(self.ask(Vec::new(), vec![KeyRange::Of(range)], [field], is_exact))
    }

    /// Uses an index on several fields if all of them must equal something, or the first ones, or if the next one after these
    /// must lie in a range.
    fn fields(&self, fields: &[String], documents: usize) -> Option<Asked<'a>> {
        let choices =
            |field: &String| tests_on(self.required, field).filter_map(keys_of).min_by_key(Vec::len);
        let fixed: Vec<Vec<IndexKey>> = fields.iter().map_while(choices).collect();
        let tested = fields.iter().take(fixed.len()).map(String::as_str);
        let prefixes = combinations(&fixed)?;
        let config = &self.index.spec().config;
        let Some(next) = fields.get(fixed.len()) else {
            let is_found = |parts: &Vec<IndexKey>| parts.iter().any(|part| *part != IndexKey::Null);
            if config.sparse && !prefixes.iter().all(is_found) {
                return None;
            }
            let keys: Vec<IndexKey> = prefixes.into_iter().map(IndexKey::tuple).collect();
            let is_exact = self.required.len() == fields.len()
                && self.are_tested_once(fields)
                && self.is_exact_for(&keys);
            return Some(self.ask(keys, Vec::new(), tested, is_exact));
        };
        // A document that has no key because of one of the other fields would be missed.
        if config.kind != IndexType::Btree || !has_one_key_each(self.index, documents) {
            return None;
        }
        let range = range_of(tests_on(self.required, next), false);
        if fixed.is_empty() && range.is_none() {
            return None;
        }
        let fixed = &fields[..fixed.len()];
        let is_exact = self.required.len() == fixed.len() + self.bounds_of(next)
            && self.are_tested_once(fixed)
            && !prefixes.iter().flatten().any(|part| *part == IndexKey::Null);
        let tested = tested.chain(range.as_ref().map(|_| next.as_str()));
        let next = range.unwrap_or((Bound::Unbounded, Bound::Unbounded));
        let ranges = prefixes.into_iter().map(|prefix| KeyRange::Tuples { prefix, next: next.clone() });
        Some(self.ask(Vec::new(), ranges.collect(), tested, is_exact))
    }

    /// Returns how many tests of a field bound a range of keys.
    fn bounds_of(&self, field: &str) -> usize {
        tests_on(self.required, field).filter(|test| bound_by(test).is_some()).count()
    }

    fn are_tested_once(&self, fields: &[String]) -> bool {
        fields.iter().all(|field| tests_on(self.required, field).count() == 1)
    }

    /// Whether the pairs of one of these keys and a document are as many as the documents that have one of these values. Null
    /// is more than a value.
    fn is_exact_for(&self, keys: &[IndexKey]) -> bool {
        let counts_once = keys.len() == 1 || !self.index.has_several_keys();
        counts_once && !keys.iter().any(IndexKey::has_null)
    }

    /// Uses an index whose keys are computed: its lookup tells where documents with certain values are.
    fn rule(&self) -> Option<Asked<'a>> {
        let Extractor::Computed { of, lookup: Some(lookup), .. } = self.index.spec().extractor else {
            return None;
        };
        let (mut tested, mut choices) = (Vec::new(), Vec::new());
        for &field in of {
            if let Some(keys) = tests_on(self.required, field).find_map(keys_of) {
                tested.push(field);
                choices.push(keys);
            }
        }
        if tested.is_empty() {
            return None;
        }
        let (mut keys, mut ranges) = (Vec::new(), Vec::new());
        for values in combinations(&choices)? {
            let equal =
                |field: &str| Some(values[tested.iter().position(|tested| *tested == field)?].clone());
            match lookup(&equal)? {
                Keys::These(found) => keys.extend(found),
                Keys::Between(first, end) => {
                    ranges.push(KeyRange::Of((Bound::Included(first), Bound::Excluded(end))));
                }
            }
        }
        Some(self.ask(keys, ranges, tested, false))
    }

    fn ask<'f>(
        &self,
        keys: Vec<IndexKey>,
        ranges: Vec<KeyRange>,
        fields: impl IntoIterator<Item = &'f str>,
        is_exact: bool,
    ) -> Asked<'a> {
        let fields = fields.into_iter().map(str::to_owned).collect();
        Asked { at: self.at, index: self.index, keys, ranges, fields, is_exact }
    }
}

impl Asked<'_> {
    /// Returns the way to these documents, of which those in ranges are counted up to `most`.
    fn way(self, most: usize) -> Option<Way> {
        let Asked { at, index, keys, ranges, fields, .. } = self;
        let mut estimated = count_keys(index, &keys);
        let mut of = Vec::new();
        if !keys.is_empty() || ranges.is_empty() {
            of.push(Access::Keys { index: at, keys });
        }
        for keys in ranges {
            let (start, end) = keys.bounds();
            estimated +=
                index.count_range(start.as_ref(), end.as_ref(), most.saturating_sub(estimated)).ok()?;
            of.push(Access::Range { index: at, keys });
        }
        let access = if of.len() > 1 { Access::Union(of) } else { of.pop()? };
        Some(Way { access, estimated, fields })
    }
}

fn count_keys(index: &Index, keys: &[IndexKey]) -> usize {
    keys.iter().map(|key| index.count(key)).sum()
}

/// Returns every combination of one choice of each list, unless there are too many.
fn combinations(choices: &[Vec<IndexKey>]) -> Option<Vec<Vec<IndexKey>>> {
    let count = choices.iter().fold(1, |count: usize, choices| count.saturating_mul(choices.len()));
    let mut all = vec![Vec::new()];
    for choices in choices.iter().filter(|_| count <= COMBINATIONS) {
        let longer = |one: &Vec<IndexKey>| {
            let one = one.clone();
            choices.iter().map(move |choice| [one.as_slice(), std::slice::from_ref(choice)].concat())
        };
        all = all.iter().flat_map(longer).collect();
    }
    (count <= COMBINATIONS).then_some(all)
}

/// Returns the keys of which a value must have one to pass the test.
fn keys_of(test: &Test) -> Option<Vec<IndexKey>> {
    match test {
        Test::Equal(value) => value.key().map(|key| vec![key]),
        Test::In(values) => values.iter().map(Value::key).collect(),
        _ => None,
    }
}

/// Returns the range of keys that pass these tests. `None` if no test bounds it.
fn range_of<'t>(tests: impl Iterator<Item = &'t Test>, several_keys: bool) -> Option<Range<IndexKey>> {
    let ranges = tests.filter_map(bound_by);
    // An array may meet two bounds with two different elements, so only one bound may narrow the search.
    ranges.reduce(|one, other| if several_keys { one } else { narrower(one, other) })
}

fn bound_by(test: &Test) -> Option<Range<IndexKey>> {
    match test {
        Test::Compare(comparison, operand) => range_beside(*comparison, operand),
        _ => None,
    }
}

/// Returns the range of keys that meet a comparison: those of the operand's type on one side of it.
fn range_beside(comparison: Comparison, operand: &Value) -> Option<Range<IndexKey>> {
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
