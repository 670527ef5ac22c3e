//! Bulk calls: one error with the issues of every part.

use crate::engine::{Error, PathSegment, Result, below};

/// Collects the results of the parts of a bulk call: `Ok` only if all of them are.
pub fn all_valid<T>(
    what: &str,
    parts: impl Iterator<Item = Result<T>>,
    segments: impl Fn(usize) -> Vec<PathSegment>,
) -> Result<Vec<T>> {
    let mut issues = Vec::new();
    let mut valid = Vec::new();
    for (at, part) in parts.enumerate() {
        match part {
            Ok(part) => valid.push(part),
            Err(Error::Validation { issues: found, .. }) => {
                let nested =
                    segments(at).into_iter().rev().fold(found, |found, segment| below(segment, found));
                issues.extend(nested);
            }
            Err(error) => return Err(error),
        }
    }
    if issues.is_empty() { Ok(valid) } else { Err(Error::Validation { what: what.to_owned(), issues }) }
}

/// Returns what a part of a bulk call found under an id.
pub fn found<T>(what: &'static str, id: u64, found: Result<Option<T>>) -> Result<T> {
    found?.ok_or_else(|| Error::NotFound { what, id: id.to_string() })
}
