//! Queries of a single index.

use std::ops::Bound;

use super::document::DocumentId;
use super::error::{Error, Result};
use super::index::{Index, IndexKey};
use super::json::{self, MAX_DEPTH};

/// A query that an index answers with ids.
#[derive(Debug, Clone)]
pub enum IndexQuery {
    /// The documents with this key; ids ascending.
    Key(IndexKey),
    /// The documents with a key between the two, in key order; `inclusive` applies to both ends. With several fields, an end
    /// may be a tuple of the first fields only, or the value of the first field. It then stands for all keys that begin with
    /// it.
    Range { start: IndexKey, end: IndexKey, inclusive: bool },
    /// The documents that contain all words of the text, or words that begin with them; best match first.
    Words(String),
}

impl IndexQuery {
    /// Parses a key as a caller gives it, in JSON. An infinite number, which JSON lacks, is `{"infinite":1}` or
    /// `{"infinite":-1}`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`.
    pub fn key(raw: &[u8]) -> Result<IndexKey> {
        given_key(raw).ok_or_else(|| {
            Error::InvalidArgument("a key is a string, number, boolean, null, or an array of these".into())
        })
    }

    /// Returns the same query with other keys.
    pub fn map_keys(&self, map: impl Fn(IndexKey) -> IndexKey) -> IndexQuery {
        match self {
            IndexQuery::Key(key) => IndexQuery::Key(map(key.clone())),
            IndexQuery::Range { start, end, inclusive } => {
                IndexQuery::Range { start: map(start.clone()), end: map(end.clone()), inclusive: *inclusive }
            }
            IndexQuery::Words(words) => IndexQuery::Words(words.clone()),
        }
    }

    /// Returns the ids in the order of the answer. Hash: O(1 + ids found); B-tree: O(log n + ids found); words: see
    /// [`Index::search`].
    ///
    /// # Errors
    /// `INDEX_TYPE` if an index of this type does not answer such queries.
    pub fn answer(&self, index: &Index) -> Result<Vec<DocumentId>> {
        match self {
            IndexQuery::Key(key) => Ok(index.find(key)),
            IndexQuery::Range { start, end, inclusive } => {
                let fields = index.spec().config.fields.len();
                let (start, end) = (prefix(start, fields), prefix(end, fields));
                if *inclusive {
                    index.range(Bound::Included(&start), Bound::Included(&behind(end, fields)))
                } else {
                    index.range(Bound::Excluded(&behind(start, fields)), Bound::Excluded(&end))
                }
            }
            IndexQuery::Words(words) => Ok(index.search(words)?.into_iter().map(|(id, _)| id).collect()),
        }
    }
}

// The depth of the recursion is bounded by `MAX_DEPTH`, which `elements` enforces.
fn given_key(raw: &[u8]) -> Option<IndexKey> {
    match raw.first()? {
        b'{' => {
            let sign = json::parse_number(json::get(raw, "infinite")?)?;
            IndexKey::number(f64::INFINITY.copysign(sign))
        }
        b'[' => {
            let parts: Option<Vec<IndexKey>> = json::elements(raw).ok()?.into_iter().map(given_key).collect();
            parts.map(IndexKey::tuple)
        }
        _ => IndexKey::from_json(raw),
    }
}

/// Returns one end of a range as a tuple with which composite keys begin.
fn prefix(end: &IndexKey, fields: usize) -> IndexKey {
    match end {
        IndexKey::Tuple(_) => end.clone(),
        value if fields > 1 => IndexKey::tuple([value.clone()]),
        value => value.clone(),
    }
}

/// Returns a key after all composite keys that begin with this tuple, if it lacks some fields; otherwise the key itself.
fn behind(end: IndexKey, fields: usize) -> IndexKey {
    match end {
        IndexKey::Tuple(parts) if fields > 1 && parts.len() < fields => {
            let mut parts = parts.into_vec();
            parts.push(highest());
            IndexKey::tuple(parts)
        }
        other => other,
    }
}

/// Returns a key after every key of a document: tuples come after all other values, also inside tuples, and no document is
/// nested this deep.
fn highest() -> IndexKey {
    (0..=MAX_DEPTH).fold(IndexKey::tuple([]), |inner, _| IndexKey::tuple([inner]))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::index::{Extractor, IndexConfig, IndexSpec, IndexType};

    fn key(text: &str) -> IndexKey {
        IndexQuery::key(text.as_bytes()).unwrap()
    }

    /// Returns a B-tree with these documents under the ids 1, 2, 3, …
    fn btree(fields: &[&str], documents: &[&str]) -> Index {
        let config = IndexConfig {
            name: "test".into(),
            kind: IndexType::Btree,
            fields: fields.iter().map(|&field| field.into()).collect(),
            unique: false,
            sparse: false,
        };
        let mut index = Index::new(Arc::new(IndexSpec::new(config, Extractor::Fields)));
        for (id, document) in (1..).zip(documents) {
            index.insert(&DocumentId::Number(id), index.extract(document.as_bytes()));
        }
        index
    }

    fn range(index: &Index, start: &str, end: &str, inclusive: bool) -> Vec<DocumentId> {
        IndexQuery::Range { start: key(start), end: key(end), inclusive }.answer(index).unwrap()
    }

    fn ids(numbers: &[u64]) -> Vec<DocumentId> {
        numbers.iter().copied().map(DocumentId::Number).collect()
    }

    #[test]
    fn infinite_numbers_are_written_as_objects() {
        assert_eq!(key(r#"{"infinite":-1}"#), IndexKey::number(f64::NEG_INFINITY).unwrap());
        let pair = IndexKey::tuple([IndexKey::text("a"), IndexKey::number(f64::INFINITY).unwrap()]);
        assert_eq!(key(r#"["a",{"infinite":1}]"#), pair);
    }

    #[test]
    fn input_that_is_not_a_key_is_refused() {
        for text in ["", "{}", r#"{"infinite":"x"}"#, "[{}]", "undefined", "1 2", "[1"] {
            let read = IndexQuery::key(text.as_bytes());
            assert_eq!(read.map_err(|error| error.code()), Err("INVALID_ARGUMENT"), "{text}");
        }
    }

    #[test]
    fn a_partial_range_end_stands_for_all_keys_with_that_prefix() {
        let index = btree(
            &["a", "b"],
            &[
                r#"{"a":"x","b":2}"#,
                r#"{"a":"x"}"#,
                r#"{"a":"x","b":[[1,[2,["deep"]]]]}"#,
                r#"{"a":"y","b":0}"#,
            ],
        );
        for [start, end] in [[r#"["x"]"#, r#"["x"]"#], [r#""x""#, r#""x""#], [r#"["x",null]"#, r#""x""#]] {
            assert_eq!(range(&index, start, end, true), ids(&[2, 1, 3]), "{start} {end}");
        }
        for [start, end] in [[r#"["x"]"#, r#"["y",1]"#], [r#""x""#, r#"["y",1]"#]] {
            assert_eq!(range(&index, start, end, false), ids(&[4]), "{start} {end}");
        }
        assert_eq!(range(&index, r#"["x"]"#, r#"["y"]"#, false), ids(&[]));
        assert_eq!(range(&index, "[]", "[]", true), ids(&[2, 1, 3, 4]));
    }

    #[test]
    fn infinite_range_ends_enclose_all_numbers_and_nothing_else() {
        let index = btree(&["a", "b"], &[r#"{"a":1,"b":-1e300}"#, r#"{"a":1}"#, r#"{"a":1,"b":"x"}"#]);
        assert_eq!(range(&index, r#"[1,{"infinite":-1}]"#, r#"[1,{"infinite":1}]"#, true), ids(&[1]));
    }

    #[test]
    fn range_ends_of_a_single_field_index_are_taken_literally() {
        let index = btree(&["a"], &[r#"{"a":[[1]]}"#, r#"{"a":[[1,2]]}"#, r#"{"a":"x"}"#]);
        assert_eq!(range(&index, "[1]", "[1]", true), ids(&[1]));
        assert_eq!(range(&index, "\"\"", "[]", true), ids(&[3]));
    }

    #[test]
    fn map_keys_changes_every_key_of_a_query() {
        let swap = |_| IndexKey::Null;
        let query = IndexQuery::Range { start: key("1"), end: key("2"), inclusive: true }.map_keys(swap);
        assert!(matches!(
            query,
            IndexQuery::Range { start: IndexKey::Null, end: IndexKey::Null, inclusive: true }
        ));
        assert!(matches!(IndexQuery::Key(key("1")).map_keys(swap), IndexQuery::Key(IndexKey::Null)));
    }
}
