//! Ranges of keys and of ids.

use std::ops::Bound;

pub type Range<T> = (Bound<T>, Bound<T>);

/// Returns the range of what is in both.
pub fn narrower<T: Ord>(one: Range<T>, other: Range<T>) -> Range<T> {
    (higher(one.0, other.0), lower(one.1, other.1))
}

/// Returns the value of a bound and whether it is excluded.
fn parts<T>(bound: &Bound<T>) -> Option<(&T, bool)> {
    match bound {
        Bound::Unbounded => None,
        Bound::Included(value) => Some((value, false)),
        Bound::Excluded(value) => Some((value, true)),
    }
}

fn higher<T: Ord>(one: Bound<T>, other: Bound<T>) -> Bound<T> {
    if parts(&one) >= parts(&other) { one } else { other }
}

fn lower<T: Ord>(one: Bound<T>, other: Bound<T>) -> Bound<T> {
    let one_is_lower = match (parts(&one), parts(&other)) {
        (_, None) => true,
        (None, _) => false,
        (Some((one, excluded)), Some((other, other_excluded))) => {
            (one, !excluded) <= (other, !other_excluded)
        }
    };
    if one_is_lower { one } else { other }
}
