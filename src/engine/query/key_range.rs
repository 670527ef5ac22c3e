//! Ranges of the keys of an index.

use std::ops::Bound;

use super::range::Range;
use crate::engine::index::IndexKey;

#[derive(Debug, Clone)]
pub enum KeyRange {
    /// Of an index on one field.
    Of(Range<IndexKey>),
    /// Of an index on several fields: keys whose first parts are those of the prefix, and whose next part lies in a range.
    Tuples {
        /// Shorter than the keys.
        prefix: Vec<IndexKey>,
        next: Range<IndexKey>,
    },
}

impl KeyRange {
    /// Returns the range of all keys of an index on so many fields.
    pub fn all(fields: usize) -> KeyRange {
        match fields {
            1 => KeyRange::Of((Bound::Unbounded, Bound::Unbounded)),
            _ => KeyRange::Tuples { prefix: Vec::new(), next: (Bound::Unbounded, Bound::Unbounded) },
        }
    }

    /// Whether the keys have a part for each of several fields. A key of one field may be a tuple, too: an array in an array.
    pub fn is_of_tuples(&self) -> bool {
        matches!(self, KeyRange::Tuples { .. })
    }

    /// Returns how many fields equal something in all of the range.
    pub fn prefix_len(&self) -> usize {
        match self {
            KeyRange::Of(_) => 0,
            KeyRange::Tuples { prefix, .. } => prefix.len(),
        }
    }

    /// Returns the keys between which the range lies.
    pub fn bounds(&self) -> Range<IndexKey> {
        match self {
            KeyRange::Of(range) => range.clone(),
            KeyRange::Tuples { prefix, next: (start, end) } => {
                (first_tuple(prefix, start), end_of_tuples(prefix, end))
            }
        }
    }
}

/// A tuple comes right before those that it begins, so the first one that begins with certain parts is that of only these.
fn first_tuple(prefix: &[IndexKey], start: &Bound<IndexKey>) -> Bound<IndexKey> {
    match start {
        Bound::Unbounded if prefix.is_empty() => Bound::Unbounded,
        Bound::Unbounded => Bound::Included(IndexKey::tuple(prefix)),
        Bound::Included(start) => Bound::Included(tuple(prefix, start.clone())),
        Bound::Excluded(start) => Bound::Included(tuple(prefix, start.successor())),
    }
}

fn end_of_tuples(prefix: &[IndexKey], end: &Bound<IndexKey>) -> Bound<IndexKey> {
    match (end, prefix) {
        (Bound::Unbounded, []) => Bound::Unbounded,
        (Bound::Unbounded, [first @ .., last]) => Bound::Excluded(tuple(first, last.successor())),
        (Bound::Included(end), _) => Bound::Excluded(tuple(prefix, end.successor())),
        (Bound::Excluded(end), _) => Bound::Excluded(tuple(prefix, end.clone())),
    }
}

fn tuple(prefix: &[IndexKey], last: IndexKey) -> IndexKey {
    IndexKey::tuple([prefix, &[last]].concat())
}

#[cfg(test)]
mod tests {
    use std::ops::RangeBounds;

    use super::*;
    use proptest::prelude::*;

    fn part() -> impl Strategy<Value = IndexKey> {
        let part = proptest::sample::select(vec![
            "null", "false", "true", "-1", "0", "1", "\"\"", "\"a\"", "[]", "[1]",
        ]);
        part.prop_map(|json| IndexKey::from_json(json.as_bytes()).expect("a key"))
    }

    fn bound() -> impl Strategy<Value = Bound<IndexKey>> {
        prop_oneof![
            Just(Bound::Unbounded),
            part().prop_map(Bound::Included),
            part().prop_map(Bound::Excluded)
        ]
    }

    proptest! {
        #[test]
        fn the_tuples_between_the_bounds_are_those_of_the_range(
            prefix in proptest::collection::vec(part(), 0..2),
            next in (bound(), bound()),
            parts in proptest::collection::vec(part(), 3),
        ) {
            let within = parts.starts_with(&prefix) && next.contains(&parts[prefix.len()]);
            let range = KeyRange::Tuples { prefix, next };
            prop_assert_eq!(range.bounds().contains(&IndexKey::tuple(parts)), within);
        }
    }
}
