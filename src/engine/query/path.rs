//! Field paths: `address.city`, `items.0.price`.

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

    /// Whether an index on a field with this text has the documents that a condition on the path can match: a position in
    /// an array means nothing to an index.
    pub fn is_indexable(&self) -> bool {
        !self.names.iter().any(|name| position(name).is_some())
    }

    /// Visits each value at the path, `None` where an object on the way lacks the name or a scalar ends it. An array on the
    /// way stands for its elements that are objects, and, where the name is a number, for the element at that position.
    pub fn visit<'a>(&self, document: &'a [u8], visit: &mut dyn FnMut(Option<&'a [u8]>)) {
        walk(document, &self.names, visit);
    }
}

fn position(name: &str) -> Option<usize> {
    let canonical = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { name.parse().ok() } else { None }
}

/// The depth of the recursion is bounded by `json::MAX_DEPTH` of the document.
fn walk<'a>(value: &'a [u8], names: &[Box<str>], visit: &mut dyn FnMut(Option<&'a [u8]>)) {
    let Some((name, rest)) = names.split_first() else { return visit(Some(value)) };
    match value.first() {
        Some(b'{') => match json::get(value, name) {
            Some(member) => walk(member, rest, visit),
            None => visit(None),
        },
        Some(b'[') => {
            let elements = json::elements(value).unwrap_or_default();
            let position = position(name);
            if let Some(element) = position.and_then(|at| elements.get(at)) {
                walk(element, rest, visit);
            }
            for element in elements.into_iter().filter(|element| json::is_object(element)) {
                match json::get(element, name) {
                    Some(member) => walk(member, rest, visit),
                    None if position.is_none() => visit(None),
                    None => {}
                }
            }
        }
        _ => visit(None),
    }
}
