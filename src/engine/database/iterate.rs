//! Reading a collection of any size a part at a time, as it was when the reading began.

use std::sync::Arc;

use super::Database;
use super::list::View;
use super::search::{Entries, Search, SearchFailure};
use crate::engine::document::DocumentId;
use crate::engine::document_map::Entry;
use crate::engine::error::Result;
use crate::engine::query::Query;

/// Documents that are held at a time come to no more than this, unless one alone does.
const STEP_BYTES: u64 = 4 << 20;

/// A part of a collection.
#[derive(Debug, PartialEq, Eq)]
pub struct Slice {
    /// The documents that the query wants, ids ascending.
    pub texts: Vec<Arc<[u8]>>,
    /// The last document that was looked at; the next part begins after it. `None` at the end of the collection.
    pub last: Option<DocumentId>,
}

impl Database {
    /// The next documents of a view that meet the condition of `query` and come after `after`, up to about `count` of
    /// them; at least one unless the view ends before. O(documents looked at).
    ///
    /// # Errors
    /// `ABORTED`, `IO_ERROR`; `CORRUPT_DATA` where somebody edited a file in place that the view still reads.
    pub fn slice(
        &self,
        view: &View,
        query: &Query,
        after: Option<&DocumentId>,
        count: usize,
    ) -> Result<Slice> {
        let mut entries = view.documents.iter_after(after).peekable();
        loop {
            let mut bytes = 0;
            let mut step: Vec<Entry> = Vec::new();
            while step.len() < count.max(1)
                && let Some((_, location)) = entries.peek()
                && (step.is_empty() || bytes + u64::from(location.len) <= STEP_BYTES)
            {
                bytes += u64::from(location.len);
                step.extend(entries.next().cloned());
            }
            let last = step.last().map(|(id, _)| id.clone());
            let files = Arc::clone(&view.files);
            let entries_here = Entries::Some(step);
            let search = Search {
                spec: &view.spec,
                query,
                files,
                entries: entries_here,
                ordered: true,
                changed: None,
            };
            let found = search.run().map_err(|failure| match failure {
                SearchFailure::Other(error) => error,
                SearchFailure::Read(location, failure) => self.read_error(&view.spec, &location, failure),
            })?;
            let ended = entries.peek().is_none();
            if ended || !found.texts.is_empty() {
                return Ok(Slice { texts: found.texts, last: last.filter(|_| !ended) });
            }
        }
    }
}
