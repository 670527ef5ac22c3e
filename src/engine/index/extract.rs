//! From a document's text to its entries, without building a JSON tree.

use std::collections::HashMap;
use std::sync::Arc;

use super::config::{Extractor, IndexConfig, IndexSpec, IndexType};
use super::entries::{Entries, Repr};
use super::inverted::NULL_WORD;
use super::key::IndexKey;
use super::tokenize;
use crate::engine::json;

/// A document whose arrays combine to more composite keys than this is left out of the index: without a
/// bound, two arrays of 100,000 elements would ask for ten billion keys.
pub const MAX_TUPLES: usize = 10_000;

/// A field path, outermost name first; never empty.
pub(super) type Path = Box<[Box<str>]>;

pub(super) fn parse_path(field: &str) -> Path {
    field.split('.').map(Box::from).collect()
}

/// Returns what `document` has in each of `indexes`, in their order. Walks the document's members once for all fields of all
/// indexes: O(length of the document + members × fields).
///
/// Text that is not a JSON object has no entries.
pub fn extract_all(indexes: &[Arc<IndexSpec>], document: &[u8]) -> Vec<Entries> {
    let fields: Vec<&Path> = indexes.iter().flat_map(|index| &index.paths).collect();
    let mut values = vec![None; fields.len()];
    let mut readable = true;
    if !fields.is_empty() {
        for member in json::members(document) {
            let Ok(member) = member else {
                readable = false;
                break;
            };
            for (path, value) in fields.iter().zip(&mut values) {
                // Of members with the same name the last counts, as in `JSON.parse`.
                if json::key_is(member.key, &path[0]) {
                    *value = Some(member.value);
                }
            }
        }
    }
    let mut rest = values.as_slice();
    indexes
        .iter()
        .map(|index| {
            let IndexSpec { config, extractor, paths } = &**index;
            let (own, others) = rest.split_at(paths.len());
            rest = others;
            match extractor {
                _ if !readable => Entries::default(),
                Extractor::Computed { rule, .. } => from_rule(config, rule(own)),
                Extractor::Fields => from_fields(config, paths, own),
            }
        })
        .collect()
}

fn from_rule(config: &IndexConfig, keys: Vec<IndexKey>) -> Entries {
    if config.kind != IndexType::Inverted {
        return Entries::from_keys(keys);
    }
    let mut words = Words::default();
    for key in &keys {
        if let IndexKey::Text(text) = key {
            // A lone surrogate becomes one U+FFFD or more, which are in no word either way.
            words.add(&String::from_utf8_lossy(text));
        }
    }
    words.into_entries()
}

fn from_fields(config: &IndexConfig, paths: &[Path], values: &[Option<&[u8]>]) -> Entries {
    match (config.kind, paths, values) {
        (IndexType::Inverted, ..) => {
            let mut words = Words::default();
            let mut all_null = true;
            for (path, value) in paths.iter().zip(values) {
                let mut null = false;
                each_value(*value, &path[1..], &mut |found| {
                    null |= found.is_none_or(|raw| raw.first() == Some(&b'n'));
                    words.add_value(found);
                });
                all_null &= null;
            }
            if all_null && !config.sparse {
                words.add_null();
            }
            words.into_entries()
        }
        (_, [path], [value]) => single_keys(config, path, *value),
        _ => composite_keys(config, paths, values),
    }
}

fn single_keys(config: &IndexConfig, path: &Path, value: Option<&[u8]>) -> Entries {
    // The usual case needs no vector.
    if path.len() == 1 && value.is_none_or(|raw| raw.first() != Some(&b'[')) {
        let key = key_of(value).filter(|key| !(config.sparse && *key == IndexKey::Null));
        return Entries(key.map_or(Repr::None, Repr::Key));
    }
    let mut keys = field_keys(path, value);
    keys.retain(|key| !(config.sparse && *key == IndexKey::Null));
    Entries::from_keys(keys)
}

/// Every combination of the fields' keys.
fn composite_keys(config: &IndexConfig, paths: &[Path], values: &[Option<&[u8]>]) -> Entries {
    let fields: Vec<Vec<IndexKey>> = paths
        .iter()
        .zip(values)
        .map(|(path, value)| {
            let mut keys = field_keys(path, *value);
            keys.sort_unstable();
            keys.dedup();
            keys
        })
        .collect();
    let count = fields.iter().fold(1, |count: usize, keys| count.saturating_mul(keys.len()));
    if count > MAX_TUPLES {
        return Entries(Repr::TooMany);
    }
    let mut tuples = Vec::with_capacity(count);
    for number in 0..count {
        // The digits of a combination's number, with the fields' counts as bases, pick one key of each field.
        let mut digits = number;
        let tuple: Box<[IndexKey]> = fields
            .iter()
            .map(|keys| {
                let key = keys[digits % keys.len()].clone();
                digits /= keys.len();
                key
            })
            .collect();
        if !(config.sparse && tuple.iter().all(|key| *key == IndexKey::Null)) {
            tuples.push(IndexKey::Tuple(tuple));
        }
    }
    Entries::from_keys(tuples)
}

fn field_keys(path: &Path, value: Option<&[u8]>) -> Vec<IndexKey> {
    let mut keys = Vec::new();
    each_value(value, &path[1..], &mut |found| keys.extend(key_of(found)));
    keys
}

/// Returns the keys of a value, which stands for its elements if it is an array.
pub fn keys_of(value: Option<&[u8]>) -> Vec<IndexKey> {
    let mut keys = Vec::new();
    each_value(value, &[], &mut |found| keys.extend(key_of(found)));
    keys
}

/// Returns the keys that an index on a path (outermost name first, not empty) would have for what is at that path of a
/// document.
pub fn keys_at(document: &[u8], path: &[Box<str>]) -> Vec<IndexKey> {
    let mut keys = Vec::new();
    if let [first, rest @ ..] = path {
        each_value(json::get(document, first), rest, &mut |found| keys.extend(key_of(found)));
    }
    keys
}

/// A missing value is null; an object has no key.
fn key_of(value: Option<&[u8]>) -> Option<IndexKey> {
    value.map_or(Some(IndexKey::Null), IndexKey::from_value)
}

/// Visits what is at `path` under `value`, or `None` if nothing is there. An array stands for its elements, at the end of
/// the path and on the way. The depth of the recursion is bounded by `json::MAX_DEPTH`.
fn each_value(value: Option<&[u8]>, path: &[Box<str>], visit: &mut dyn FnMut(Option<&[u8]>)) {
    let first = value.and_then(|raw| raw.first());
    match (value, first, path) {
        (Some(raw), Some(b'['), _) => {
            for element in json::elements(raw).unwrap_or_default() {
                match path {
                    [] => visit(Some(element)),
                    _ => each_value(Some(element), path, visit),
                }
            }
        }
        (Some(raw), Some(b'{'), [name, rest @ ..]) => each_value(json::get(raw, name), rest, visit),
        (_, _, []) => visit(value),
        _ => visit(None),
    }
}

/// Counts words.
#[derive(Default)]
struct Words(HashMap<Box<str>, u32>);

impl Words {
    /// Adds the words of a text, of a number (one word, as JavaScript prints it) or of an array's elements.
    fn add_value(&mut self, value: Option<&[u8]>) {
        match value.and_then(|raw| raw.first().map(|first| (raw, first))) {
            Some((raw, b'"')) => self.add(&json::unescape_lossy(raw)),
            Some((raw, b'[')) => {
                for element in json::elements(raw).unwrap_or_default() {
                    self.add_value(Some(element));
                }
            }
            Some((raw, b'-' | b'0'..=b'9')) => {
                if let Some(number) = IndexKey::from_value(raw) {
                    self.add(&number.to_string());
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, text: &str) {
        tokenize::document_words(text, &mut |word| match self.0.get_mut(word) {
            Some(count) => *count = count.saturating_add(1),
            None => drop(self.0.insert(word.into(), 1)),
        });
    }

    fn add_null(&mut self) {
        self.0.insert(NULL_WORD.into(), 1);
    }

    fn into_entries(self) -> Entries {
        Entries::from_words(self.0.into_iter().collect())
    }
}
