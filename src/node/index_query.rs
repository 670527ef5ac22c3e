//! Queries of indexes as JavaScript passes them.

use crate::engine::{IndexQuery, Result, json};

/// `kind` is numbered as in `index-keys.js`. Keys and texts are JSON; `inclusive` matters only for ranges.
pub(super) fn index_query(kind: u32, start: &str, end: &str, inclusive: bool) -> Result<IndexQuery> {
    let key = |text: &str| IndexQuery::key(text.as_bytes());
    Ok(match kind {
        0 => IndexQuery::Key(key(start)?),
        1 => IndexQuery::Range { start: key(start)?, end: key(end)?, inclusive },
        _ => IndexQuery::Words(json::unescape_lossy(start.as_bytes()).into_owned()),
    })
}
