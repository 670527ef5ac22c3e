//! Field paths: `address.city`, `items.0.price`.

use std::collections::HashSet;

use crate::engine::index::{IndexKey, keys_at, keys_of};
use crate::engine::json;

/// A path of member names, outermost first; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    /// As the caller wrote it.
    pub text: String,
    pub names: Vec<Box<str>>,
}

impl FieldPath {
    /// `None` for a path with an empty name.
    pub fn parse(text: &str) -> Option<FieldPath> {
        let names: Vec<Box<str>> = text.split('.').map(Box::from).collect();
        let fine = names.iter().all(|name| !name.is_empty());
        fine.then(|| FieldPath { text: text.to_owned(), names })
    }

    /// Returns whether an index on a field with this text contains every document that a condition on the path can match.
    /// Indexes do not understand positions in arrays.
    pub fn is_indexable(&self) -> bool {
        !self.names.iter().any(|name| position(name).is_some())
    }

    /// Returns the keys of the values at the path, by which documents are ordered: those of an index, if an index can have
    /// them.
    pub fn keys(&self, document: &[u8]) -> Vec<IndexKey> {
        if self.is_indexable() {
            return keys_at(document, &self.names);
        }
        let mut keys = Vec::new();
        self.any(document, &mut |value| {
            keys.extend(keys_of(value));
            false
        });
        keys
    }

    /// Visits each value at the path until `visit` returns true, and returns whether it did. The value is `None` if an
    /// object on the way lacks the name or a scalar ends the way. An array on the way stands for its elements that are
    /// objects and, if the name is a number, for the element at that position.
    pub fn any<'a>(&self, document: &'a [u8], visit: &mut dyn FnMut(Option<&'a [u8]>) -> bool) -> bool {
        Walk { visit, seen: HashSet::new() }.any(document, &self.names)
    }
}

fn position(name: &str) -> Option<usize> {
    let canonical = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { name.parse().ok() } else { None }
}

/// A walk through one document.
struct Walk<'v, 'a> {
    visit: &'v mut dyn FnMut(Option<&'a [u8]>) -> bool,
    /// The arrays reached with a number as the next name, each with the number of names left. A number may lead from an
    /// array to one value in two ways, and again from that value, so without this the ways would multiply.
    seen: HashSet<(*const u8, usize)>,
}

impl<'a> Walk<'_, 'a> {
    /// The depth of the recursion is bounded by `json::MAX_DEPTH` of the document.
    fn any(&mut self, value: &'a [u8], names: &[Box<str>]) -> bool {
        let Some((name, rest)) = names.split_first() else { return (self.visit)(Some(value)) };
        match value.first() {
            Some(b'{') => match json::get(value, name) {
                Some(member) => self.any(member, rest),
                None => (self.visit)(None),
            },
            Some(b'[') => {
                let position = position(name);
                if position.is_some() && !self.seen.insert((value.as_ptr(), names.len())) {
                    return false;
                }
                let elements = json::elements(value).unwrap_or_default();
                if let Some(element) = position.and_then(|at| elements.get(at))
                    && self.any(element, rest)
                {
                    return true;
                }
                elements.into_iter().filter(|element| json::is_object(element)).any(
                    |element| match json::get(element, name) {
                        Some(member) => self.any(member, rest),
                        None => position.is_none() && (self.visit)(None),
                    },
                )
            }
            _ => (self.visit)(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_reachable_in_many_ways_are_visited_a_bounded_number_of_times() {
        let (open, close) = ("[{\"0\":".repeat(40), "}]".repeat(40));
        let document = format!("{{\"a\":{open}1{close}}}");
        let path = FieldPath::parse(&format!("a{}", ".0".repeat(40))).expect("a path");
        let mut visits = 0;
        let found = path.any(document.as_bytes(), &mut |_| {
            visits += 1;
            false
        });
        assert!(!found && (1..=1000).contains(&visits), "{visits} visits");
    }

    #[test]
    fn a_visit_that_returns_true_ends_the_search() {
        let path = FieldPath::parse("a.b").expect("a path");
        let mut visits = 0;
        assert!(path.any(br#"{"a":[{"b":1},{"b":2},{"b":3}]}"#, &mut |value| {
            visits += 1;
            value == Some(b"2".as_slice())
        }));
        assert_eq!(visits, 2);
    }
}
