//! Finding documents by their ids, and in the order of their ids.
//!
//! Every collection is sorted by the ids of its documents, so it is an index on the member `id` in all but name: a document's
//! own `id` is a number or a text that reads as its [`DocumentId`]. The two orders differ only where texts are concerned.
//! `"7"` has the id 7, and -1 and 1.5 have ids that are texts.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use super::condition::{Comparison, Test};
use super::path::FieldPath;
use super::range::{Range, narrower};
use super::value::Value;
use crate::engine::document::{DocumentId, MAX_SAFE_INTEGER};
use crate::engine::document_map::DocumentMap;
use crate::engine::index::{IndexKey, Number};

/// The member that holds the id of a document.
pub const NAME: &str = "id";
/// All ids, as a range.
pub const ALL: Range<DocumentId> = (Bound::Unbounded, Bound::Unbounded);

/// The ids of the documents among which a query searches.
pub trait Ids {
    fn count(&self) -> usize;

    /// Returns about how many are in a range.
    fn estimate(&self, range: &Range<DocumentId>) -> usize;

    /// Returns those in a range, ascending.
    fn within<'a>(
        &'a self,
        range: &Range<DocumentId>,
    ) -> Box<dyn DoubleEndedIterator<Item = &'a DocumentId> + 'a>;
}

impl Ids for DocumentMap {
    fn count(&self) -> usize {
        self.len()
    }

    fn estimate(&self, (start, end): &Range<DocumentId>) -> usize {
        self.estimate(start.as_ref(), end.as_ref())
    }

    fn within<'a>(
        &'a self,
        range: &Range<DocumentId>,
    ) -> Box<dyn DoubleEndedIterator<Item = &'a DocumentId> + 'a> {
        Box::new(self.range(range.0.as_ref(), range.1.as_ref()).map(|(id, _)| id))
    }
}

impl<T> Ids for BTreeMap<DocumentId, T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn estimate(&self, range: &Range<DocumentId>) -> usize {
        self.within(range).count()
    }

    fn within<'a>(
        &'a self,
        range: &Range<DocumentId>,
    ) -> Box<dyn DoubleEndedIterator<Item = &'a DocumentId> + 'a> {
        let range = range.clone();
        Box::new(self.keys().filter(move |id| range.contains(*id)))
    }
}

/// Whether all ids are numbers, so that their order is that of [`key`].
pub fn are_numbers(ids: &dyn Ids) -> bool {
    // Texts come after all numbers.
    !matches!(ids.within(&ALL).next_back(), Some(DocumentId::Text(_)))
}

/// Whether no id is a number, so that every document whose own `id` is a text has it in the order of these texts.
pub fn are_texts(ids: &dyn Ids) -> bool {
    !matches!(ids.within(&ALL).next(), Some(DocumentId::Number(_)))
}

/// Whether a path leads to the id of a document.
pub fn is_id(path: &FieldPath) -> bool {
    path.text == NAME
}

/// Returns the key by which a document is ordered if it is ordered by its id, unless the id is a text, whose key is that of the
/// document's own `id`.
pub fn key(id: &DocumentId) -> Option<IndexKey> {
    match id {
        DocumentId::Number(number) => Some(IndexKey::Number(Number::new(*number as f64)?)),
        DocumentId::Text(_) => None,
    }
}

/// Returns the ids of which a document must have one, ascending, if its own `id` passes a test.
pub fn of_test(test: &Test) -> Option<Vec<DocumentId>> {
    let mut ids: Vec<DocumentId> = match test {
        Test::Equal(value) => vec![id_of(value)?],
        Test::In(values) => values.iter().map(id_of).collect::<Option<_>>()?,
        _ => return None,
    };
    ids.sort_unstable();
    ids.dedup();
    Some(ids)
}

fn id_of(value: &Value) -> Option<DocumentId> {
    match value {
        Value::Number(number) => {
            let number = number.get();
            let is_id = number.fract() == 0.0 && (0.0..=MAX_SAFE_INTEGER as f64).contains(&number);
            is_id.then_some(DocumentId::Number(number as u64))
        }
        Value::Text(text) => std::str::from_utf8(text).ok().map(DocumentId::from_key),
        _ => None,
    }
}

/// Returns the range of ids that a document must have if its own `id` passes these tests. `None` if no test bounds it.
pub fn range<'t>(ids: &dyn Ids, tests: impl Iterator<Item = &'t Test>) -> Option<Range<DocumentId>> {
    let (numbers, texts) = (are_numbers(ids), are_texts(ids));
    let bounds = tests.filter_map(|test| match test {
        Test::Compare(comparison, Value::Number(number)) if numbers => {
            Some(range_of_numbers(*comparison, number.get()))
        }
        Test::Compare(comparison, Value::Text(text)) if texts => range_of_texts(*comparison, text),
        _ => None,
    });
    bounds.reduce(narrower)
}

fn range_of_numbers(comparison: Comparison, bound: f64) -> Range<DocumentId> {
    // What is out of range of the type becomes its first or last value.
    let id = |number: f64| DocumentId::Number(number as u64);
    match comparison {
        Comparison::Greater | Comparison::GreaterOrEqual if bound < 0.0 => ALL,
        Comparison::Greater => (Bound::Excluded(id(bound.floor())), Bound::Unbounded),
        Comparison::GreaterOrEqual => (Bound::Included(id(bound.ceil())), Bound::Unbounded),
        Comparison::Less => (Bound::Unbounded, Bound::Excluded(id(bound.ceil()))),
        Comparison::LessOrEqual => (Bound::Unbounded, Bound::Included(id(bound.floor()))),
    }
}

/// Returns `None` for a bound that no id can be.
fn range_of_texts(comparison: Comparison, bound: &[u8]) -> Option<Range<DocumentId>> {
    let id = DocumentId::Text(std::str::from_utf8(bound).ok()?.into());
    Some(match comparison {
        Comparison::Greater => (Bound::Excluded(id), Bound::Unbounded),
        Comparison::GreaterOrEqual => (Bound::Included(id), Bound::Unbounded),
        Comparison::Less => (Bound::Unbounded, Bound::Excluded(id)),
        Comparison::LessOrEqual => (Bound::Unbounded, Bound::Included(id)),
    })
}
