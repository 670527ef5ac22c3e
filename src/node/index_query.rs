//! Queries of indexes as JavaScript hands them over.

use crate::engine::{IndexQuery, Result, json};

/// `kind` is as `index-keys.js` numbers them. Keys and texts are JSON; `inclusive` counts for ranges alone.
pub(super) fn index_query(kind: u32, start: &str, end: &str, inclusive: bool) -> Result<IndexQuery> {
    let key = |text: &str| IndexQuery::key(text.as_bytes());
    Ok(match kind {
        0 => IndexQuery::Key(key(start)?),
        1 => IndexQuery::Range { start: key(start)?, end: key(end)?, inclusive },
        _ => IndexQuery::Words(json::unescape_lossy(start.as_bytes()).into_owned()),
    })
}
