//! Reading a collection of any size a part at a time, as it was when the reading began.

use std::ops::Bound;
use std::sync::Arc;

use super::Database;
use super::file_table::FileTable;
use super::list::View;
use super::read::ReadOptions;
use super::search::{Entries, Search, SearchFailure};
use super::texts::ReadFailure;
use crate::engine::document::DocumentId;
use crate::engine::document_map::{Entry, Location};
use crate::engine::error::Result;
use crate::engine::query::Query;

/// The documents held at a time take no more bytes than this, unless a single one does.
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
    /// Returns the next documents of a view that meet the condition of `query` and come after `after`, up to about
    /// `count` of them; at least one unless the view ends before. O(documents looked at).
    ///
    /// # Errors
    /// `ABORTED`, `IO_ERROR`; `CORRUPT_DATA` if somebody edited in place a file that the view still reads, or if a
    /// document that came as a stream has changed and another process has removed its file, which was not open.
    pub fn slice(
        &self,
        view: &View,
        query: &Query,
        after: Option<&DocumentId>,
        count: usize,
    ) -> Result<Slice> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut entries = view.documents.range(start, Bound::Unbounded).peekable();
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
            let search = |step, files| {
                let (spec, entries) = (&*view.spec, Entries::Some(step));
                Search { spec, query, files, entries, ordered: true, changed: None }.run()
            };
            let found = match search(step.clone(), Arc::clone(&view.files)) {
                Err(SearchFailure::Read(location, ReadFailure::Changed))
                    if view.files.holds_one_document(location.file) =>
                {
                    let (step, files) = self.follow_documents(view, step);
                    search(step, files)
                }
                other => other,
            };
            let found = found.map_err(|failure| match failure {
                SearchFailure::Other(error) => error,
                SearchFailure::Read(location, failure) => self.read_error(&view.spec, &location, failure),
            })?;
            let ended = entries.peek().is_none();
            if ended || !found.texts.is_empty() {
                return Ok(Slice { texts: found.texts, last: last.filter(|_| !ended) });
            }
        }
    }

    /// Returns the entries of a view where they can be read now. Another process may have removed document files: the
    /// documents that have not changed since are in the snapshot by now.
    fn follow_documents(&self, view: &View, mut entries: Vec<Entry>) -> (Vec<Entry>, Arc<FileTable>) {
        let options = ReadOptions { cached: false, lock_timeout: self.options.lock_timeout };
        let mut files = Arc::clone(&view.files);
        // If the collection cannot be loaded, the documents are looked for where they were.
        let _ = self.with_loaded(&view.spec, options, |state, loaded| {
            for (id, location) in &mut entries {
                let now = loaded.documents.get(id).filter(|now| now.stamp() == location.stamp());
                let Some(now) = now.filter(|_| view.files.holds_one_document(location.file)) else {
                    continue;
                };
                if let Some(file) = Arc::make_mut(&mut files).add_from(&state.files, now.file) {
                    *location = Location { file, ..*now };
                }
            }
        });
        (entries, files)
    }
}
