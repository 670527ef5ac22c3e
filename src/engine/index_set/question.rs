//! What callers ask of an index.

use std::ops::Bound;

use crate::engine::document::DocumentId;
use crate::engine::error::{Error, Result};
use crate::engine::index::{Index, IndexConfig, IndexKey};
use crate::engine::index_query::IndexQuery;
use crate::engine::json::MAX_DEPTH;

/// A question that an index answers with ids.
#[derive(Debug, Clone)]
pub enum Question {
    /// Who has this key; ids ascending.
    Key(IndexKey),
    /// Who has a key between the two, in key order. With several fields the ends may be tuples of the first fields only,
    /// or the value of the first field; then all keys that begin so lie at that end.
    Range { start: IndexKey, end: IndexKey, inclusive: bool },
    /// Who has these words, best match first.
    Text(String),
}

impl Question {
    /// A key as a caller gives it, in JSON. An infinite number, which JSON lacks, is `{"infinite":1}` or
    /// `{"infinite":-1}`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`.
    pub fn key(raw: &[u8]) -> Result<IndexKey> {
        IndexQuery::key(raw).ok_or_else(|| {
            Error::InvalidArgument("a key is a string, number, boolean, null, or an array of these".into())
        })
    }

    pub(super) fn answer(
        &self,
        index: &Index,
        config: &IndexConfig,
        key: impl Fn(IndexKey) -> IndexKey,
    ) -> Result<Vec<DocumentId>> {
        match self {
            Question::Key(wanted) => Ok(index.find(&key(wanted.clone()))),
            Question::Range { start, end, inclusive } => {
                let fields = config.fields.len();
                let (start, end) = (prefix(key(start.clone()), fields), prefix(key(end.clone()), fields));
                if *inclusive {
                    index.range(Bound::Included(&start), Bound::Included(&behind(end, fields)))
                } else {
                    index.range(Bound::Excluded(&behind(start, fields)), Bound::Excluded(&end))
                }
            }
            Question::Text(words) => Ok(index.search(words)?.into_iter().map(|(id, _)| id).collect()),
        }
        .map_err(|error| with_name(error, index, config))
    }
}

/// The end of a range over composite keys as the tuple that they begin with.
fn prefix(end: IndexKey, fields: usize) -> IndexKey {
    match end {
        IndexKey::Tuple(_) => end,
        value if fields > 1 => IndexKey::tuple([value]),
        value => value,
    }
}

/// A key behind all composite keys that begin with this tuple, where that lacks some fields.
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

/// A key behind every key of a document: tuples come last, those in tuples behind them, and no document is nested so
/// deep.
fn highest() -> IndexKey {
    (0..=MAX_DEPTH).fold(IndexKey::tuple([]), |inner, _| IndexKey::tuple([inner]))
}

/// An error about the type of an attached index names it as callers know it.
fn with_name(error: Error, index: &Index, config: &IndexConfig) -> Error {
    let own = &index.spec().config.name;
    match error {
        Error::IndexType(message) if *own != config.name => {
            Error::IndexType(message.replacen(own.as_str(), &config.name, 1))
        }
        other => other,
    }
}
