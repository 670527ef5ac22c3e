//! What is asked of one index of a collection.

use std::ops::Bound;

use super::database::Queryable;
use super::document::DocumentId;
use super::error::Result;
use super::index::IndexKey;

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
