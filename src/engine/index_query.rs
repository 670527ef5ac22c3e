//! What is asked of one index of a collection.

use std::ops::Bound;

use super::database::Queryable;
use super::document::DocumentId;
use super::error::Result;
use super::index::IndexKey;
use super::json;

/// A question to an index.
pub enum IndexQuery {
    /// Documents with this key, ids ascending.
    Key(IndexKey),
    /// Documents with a key between the two, in key order; `inclusive` is said of both ends.
    Range { start: IndexKey, end: IndexKey, inclusive: bool },
    /// Documents with all words of the text, or with words that begin so, best first.
    Words(String),
}

impl IndexQuery {
    /// A key as a caller gives it: JSON, and `{"infinite":1}` or `{"infinite":-1}` for the numbers that JSON lacks.
    pub fn key(raw: &[u8]) -> Option<IndexKey> {
        match raw.first()? {
            b'{' => {
                let sign = json::parse_number(json::get(raw, "infinite")?)?;
                IndexKey::number(f64::INFINITY.copysign(sign))
            }
            b'[' => {
                let parts: Option<Vec<IndexKey>> =
                    json::elements(raw).ok()?.into_iter().map(IndexQuery::key).collect();
                parts.map(IndexKey::tuple)
            }
            _ => IndexKey::from_json(raw),
        }
    }

    /// The ids in the order of the answer.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if there is no such index, `INDEX_TYPE` if its type does not answer such questions.
    pub fn choose(&self, collection: &Queryable<'_>, index: &str) -> Result<Vec<DocumentId>> {
        let index = collection.index(index)?;
        match self {
            IndexQuery::Key(key) => Ok(index.find(key)),
            IndexQuery::Range { start, end, inclusive: true } => {
                let fields = index.spec().config.fields.len();
                index.range(Bound::Included(start), Bound::Included(&last_with(end, fields)))
            }
            IndexQuery::Range { start, end, inclusive: false } => {
                let fields = index.spec().config.fields.len();
                index.range(Bound::Excluded(&last_with(start, fields)), Bound::Excluded(end))
            }
            IndexQuery::Words(words) => Ok(index.search(words)?.into_iter().map(|(id, _)| id).collect()),
        }
    }
}

/// A bound behind all composite keys that begin as a shorter one does. No element of a key is a tuple, and tuples come
/// after everything else.
fn last_with(key: &IndexKey, fields: usize) -> IndexKey {
    match key {
        IndexKey::Tuple(parts) if parts.len() < fields => {
            let mut parts = parts.to_vec();
            parts.push(IndexKey::tuple(Vec::new()));
            IndexKey::tuple(parts)
        }
        other => other.clone(),
    }
}
