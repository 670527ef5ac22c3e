//! The members of a document that an answer contains.

use std::collections::BTreeMap;

use super::path::FieldPath;
use crate::engine::json;

/// A tree of names; a leaf selects everything below it.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    names: BTreeMap<Box<str>, Option<Selection>>,
}

impl Selection {
    /// Selects the given paths and `id`.
    pub fn of(paths: &[FieldPath]) -> Selection {
        let mut selection = Selection::default();
        selection.names.insert("id".into(), None);
        paths.iter().for_each(|path| selection.add(&path.names));
        selection
    }

    fn add(&mut self, names: &[Box<str>]) {
        match names {
            [] => {}
            [name] => drop(self.names.insert(name.clone(), None)),
            [name, rest @ ..] => {
                if let Some(below) =
                    self.names.entry(name.clone()).or_insert_with(|| Some(Selection::default()))
                {
                    below.add(rest);
                }
            }
        }
    }

    pub fn first_names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// Returns the selected members of a document, in the document's order. An array on the way to a name stands for its
    /// elements that are objects or arrays of such.
    pub fn apply(&self, document: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.push_object(document, &mut out);
        out
    }

    fn push_object(&self, object: &[u8], out: &mut Vec<u8>) {
        out.push(b'{');
        let start = out.len();
        for member in json::members(object).map_while(Result::ok) {
            let Some((_, below)) = self.names.iter().find(|(name, _)| json::key_is(member.key, name)) else {
                continue;
            };
            let before = out.len();
            if before > start {
                out.push(b',');
            }
            out.extend_from_slice(member.key);
            out.push(b':');
            let pushed = match below {
                None => {
                    out.extend_from_slice(member.value);
                    true
                }
                Some(below) => below.push_below(member.value, out),
            };
            if !pushed {
                out.truncate(before);
            }
        }
        out.push(b'}');
    }

    /// Returns false for a value that has no members.
    fn push_below(&self, value: &[u8], out: &mut Vec<u8>) -> bool {
        match value.first() {
            Some(b'{') => self.push_object(value, out),
            Some(b'[') => {
                out.push(b'[');
                let start = out.len();
                for element in json::elements(value).unwrap_or_default() {
                    let before = out.len();
                    if before > start {
                        out.push(b',');
                    }
                    if !self.push_below(element, out) {
                        out.truncate(before);
                    }
                }
                out.push(b']');
            }
            _ => return false,
        }
        true
    }
}
