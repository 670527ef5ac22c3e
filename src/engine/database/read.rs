//! Reading: from memory on the calling thread where that is possible, else from disk on a thread that may wait.

use std::sync::Arc;
use std::time::Duration;

use super::query::Queryable;
use super::state::{FileTable, Loaded, State};
use super::texts::{Part, ReadFailure, finish_part, is_intact, part_len, read_steps, read_text};
use super::{CollectionSpec, Database};
use crate::engine::cache::CacheKey;
use crate::engine::checksum::document_hash;
pub use crate::engine::document::Document;
use crate::engine::document::DocumentId;
use crate::engine::document_map::{DocumentMap, Entry, Location};
use crate::engine::error::{Error, Result};
use crate::engine::index::{Entries, Index, extract_all};

/// What one call on the calling thread may read from the page cache.
const PEEK_BYTES: u64 = 1 << 20;

/// How often a collection that others keep changing on disk is loaded for one read.
const LOAD_ATTEMPTS: usize = 10;

/// No longer text is handed out in one piece: it is the length of V8's longest string.
pub const LONGEST_TEXT: usize = (1 << 29) - 24;

/// An answer that memory may or may not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek<T> {
    Ready(T),
    /// Disk or a lock is needed: ask again where waiting is allowed.
    Wait,
}

#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// Whether the cache may answer and remembers the answer.
    pub cached: bool,
    pub lock_timeout: Duration,
}

/// A stable view of a collection: later writes do not show in it.
#[derive(Clone)]
pub struct View {
    pub(super) spec: Arc<CollectionSpec>,
    pub(super) documents: DocumentMap,
    pub(super) files: Arc<FileTable>,
    version: u64,
}

impl Database {
    /// The document if memory (or the page cache) has it.
    pub fn peek(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        options: ReadOptions,
    ) -> Peek<Option<Document>> {
        match self.peek_fresh(spec, id, options) {
            Peek::Ready(found) => Peek::Ready(found.map(|(document, _)| document)),
            Peek::Wait => Peek::Wait,
        }
    }

    /// As [`Database::peek`], and how long the cache, if the document came from it, would go on to give it.
    pub fn peek_fresh(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        options: ReadOptions,
    ) -> Peek<Option<(Document, Option<Duration>)>> {
        let state = self.state.read();
        let Some(loaded) = self.current(&state, spec) else { return Peek::Wait };
        let Some(location) = loaded.documents.get(id).copied() else {
            if !self.is_fresh(loaded) {
                return Peek::Wait;
            }
            self.cache.count(false);
            return Peek::Ready(None);
        };
        let key = CacheKey::Document(Arc::clone(&spec.path), id.clone());
        if options.cached
            && let Some((text, left)) = self.cache.get_fresh(&key, location.hash)
        {
            self.cache.count(true);
            let document = Document { text, head: location.head as usize, hash: location.hash };
            return Peek::Ready(Some((document, Some(left))));
        }
        if !self.is_fresh(loaded) || u64::from(location.len) > PEEK_BYTES {
            return Peek::Wait;
        }
        let Some(file) = state.files.get(location.file).cloned() else { return Peek::Wait };
        drop(state);
        let mut text = vec![0; location.len as usize];
        match file.read_at_cached(&mut text, location.offset) {
            Ok(Some(_)) if document_hash(&text, location.head as usize) == location.hash => {}
            _ => return Peek::Wait,
        }
        self.cache.count(false);
        Peek::Ready(Some((self.remember(key, location, text.into(), options), None)))
    }

    /// The document, read from disk if need be.
    ///
    /// # Errors
    /// `CORRUPT_DATA` if its bytes on disk are not those that were written, `TOO_LARGE` beyond [`LONGEST_TEXT`], `IO_ERROR`,
    /// `LOCK_TIMEOUT`, `CLOSED`.
    pub fn get(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        options: ReadOptions,
    ) -> Result<Option<Document>> {
        for attempt in 0.. {
            let (location, files) = self.with_loaded(spec, options, |state, loaded| {
                (loaded.documents.get(id).copied(), Arc::clone(&state.files))
            })?;
            let Some(location) = location else {
                self.cache.count(false);
                return Ok(None);
            };
            let key = CacheKey::Document(Arc::clone(&spec.path), id.clone());
            if options.cached
                && let Some(text) = self.cache.get(&key, location.hash)
            {
                self.cache.count(true);
                return Ok(Some(Document { text, head: location.head as usize, hash: location.hash }));
            }
            check_length(id, &location, Part::Whole)?;
            match read_text(&files, &location, Part::Whole) {
                Ok(text) => {
                    self.cache.count(false);
                    return Ok(Some(self.remember(key, location, text.into(), options)));
                }
                Err(failure) => self.reread(spec, &location, failure, attempt)?,
            }
        }
        Ok(None)
    }

    fn remember(&self, key: CacheKey, location: Location, text: Arc<[u8]>, options: ReadOptions) -> Document {
        if options.cached {
            self.cache.insert(key, location.hash, Arc::clone(&text));
        }
        Document { text, head: location.head as usize, hash: location.hash }
    }

    /// The documents that `choose` picks, in its order, if memory or the page cache has them all.
    pub fn peek_many(
        &self,
        spec: &Arc<CollectionSpec>,
        part: Part,
        choose: impl FnOnce(&Queryable<'_>) -> Result<Vec<DocumentId>>,
    ) -> Result<Peek<Vec<Arc<[u8]>>>> {
        let state = self.state.read();
        let Some(loaded) = self.current(&state, spec).filter(|loaded| self.is_fresh(loaded)) else {
            return Ok(Peek::Wait);
        };
        let ids = choose(&Queryable::new(&state, loaded))?;
        let locations: Vec<Location> =
            ids.iter().filter_map(|id| loaded.documents.get(id).copied()).collect();
        if locations.iter().map(|location| part_len(location, part)).sum::<u64>() > PEEK_BYTES {
            return Ok(Peek::Wait);
        }
        let files = Arc::clone(&state.files);
        drop(state);
        let mut texts: Vec<Arc<[u8]>> = Vec::with_capacity(locations.len());
        for location in &locations {
            let mut text = vec![0; part_len(location, part) as usize];
            let Some(file) = files.get(location.file) else { return Ok(Peek::Wait) };
            match file.read_at_cached(&mut text, location.offset) {
                Ok(Some(_)) if is_intact(&text, location, part) => texts.push(finish_part(text, part).into()),
                _ => return Ok(Peek::Wait),
            }
        }
        self.cache.count(false);
        Ok(Peek::Ready(texts))
    }

    /// The documents that `choose` picks, in its order.
    pub fn select(
        &self,
        spec: &Arc<CollectionSpec>,
        part: Part,
        options: ReadOptions,
        choose: impl Fn(&Queryable<'_>) -> Result<Vec<DocumentId>>,
    ) -> Result<Vec<Arc<[u8]>>> {
        for attempt in 0.. {
            let (ids, files) = self.with_loaded(spec, options, |state, loaded| {
                let found =
                    |id: DocumentId| loaded.documents.get(&id).copied().map(|location| (id, location));
                let ids = choose(&Queryable::new(state, loaded));
                let entries = ids.map(|ids| ids.into_iter().filter_map(found).collect::<Vec<Entry>>());
                (entries, Arc::clone(&state.files))
            })?;
            let entries = ids?;
            entries.iter().try_for_each(|(id, location)| check_length(id, location, part))?;
            let mut texts = Vec::with_capacity(entries.len());
            match read_steps(&files, entries.iter(), part, |_, text| texts.push(text.into()))? {
                Ok(()) => {
                    self.cache.count(false);
                    return Ok(texts);
                }
                Err((location, failure)) => self.reread(spec, &location, failure, attempt)?,
            }
        }
        Ok(Vec::new())
    }

    /// A stable view of the collection as it is now.
    pub fn view(&self, spec: &Arc<CollectionSpec>, options: ReadOptions) -> Result<View> {
        self.with_loaded(spec, options, |state, loaded| View::of(state, spec, loaded))
    }

    /// All documents, ids ascending, as one JSON array, if the cache has it, and how long it would go on to give it.
    pub fn peek_list(
        &self,
        spec: &Arc<CollectionSpec>,
        part: Part,
        options: ReadOptions,
    ) -> Peek<(Arc<[u8]>, Duration)> {
        let state = self.state.read();
        if !options.cached || self.current(&state, spec).is_none() {
            return Peek::Wait;
        }
        let version = state.collections.get(&spec.path).map_or(0, |collection| collection.version);
        match self.cache.get_fresh(&list_key(spec, part), version) {
            Some(found) => {
                self.cache.count(true);
                Peek::Ready(found)
            }
            None => Peek::Wait,
        }
    }

    /// As [`Database::peek_list`], but whole documents are handed to `push` one after another.
    pub fn peek_list_into<T>(
        &self,
        spec: &Arc<CollectionSpec>,
        options: ReadOptions,
        begin: impl FnOnce() -> T,
        push: impl Fn(&mut T, &[u8], usize),
    ) -> Peek<(T, Duration)> {
        let Peek::Ready((list, left)) = self.peek_list(spec, Part::Whole, options) else { return Peek::Wait };
        let view = {
            let state = self.state.read();
            let Some(loaded) = self.current(&state, spec) else { return Peek::Wait };
            View::of(&state, spec, loaded)
        };
        // Another list may have become the current one in between.
        let current = self.cache.get(&list_key(spec, Part::Whole), view.version);
        let split = current.filter(|current| Arc::ptr_eq(current, &list));
        match split.and_then(|list| view.split(&list, begin(), push)) {
            Some(result) => Peek::Ready((result, left)),
            None => Peek::Wait,
        }
    }

    /// As [`Database::list`], but whole documents are handed to `push` one after another, each with the length of its head.
    /// Where reading must begin anew, so does the result.
    pub fn list_into<T>(
        &self,
        spec: &Arc<CollectionSpec>,
        options: ReadOptions,
        begin: impl Fn() -> T,
        push: impl Fn(&mut T, &[u8], usize),
    ) -> Result<T> {
        for attempt in 0.. {
            let view = self.view(spec, options)?;
            let key = list_key(spec, Part::Whole);
            if options.cached
                && let Some(list) = self.cache.get(&key, view.version)
                && let Some(result) = view.split(&list, begin(), &push)
            {
                self.cache.count(true);
                return Ok(result);
            }
            let (mut result, mut list) = (begin(), Vec::new());
            let read = read_steps(&view.files, view.documents.iter(), Part::Whole, |(_, location), text| {
                push(&mut result, text, location.head as usize);
                if options.cached {
                    list.push(if list.is_empty() { b'[' } else { b',' });
                    list.extend_from_slice(text);
                }
            })?;
            match read {
                Ok(()) => {
                    self.cache.count(false);
                    if options.cached {
                        list.extend_from_slice(if list.is_empty() { b"[]" } else { b"]" });
                        self.cache.insert(key, view.version, list.into());
                    }
                    return Ok(result);
                }
                Err((location, failure)) => self.reread(spec, &location, failure, attempt)?,
            }
        }
        Ok(begin())
    }

    /// All documents, ids ascending, as one JSON array. O(n).
    pub fn list(&self, spec: &Arc<CollectionSpec>, part: Part, options: ReadOptions) -> Result<Arc<[u8]>> {
        for attempt in 0.. {
            let view = self.view(spec, options)?;
            if options.cached
                && let Some(text) = self.cache.get(&list_key(spec, part), view.version)
            {
                self.cache.count(true);
                return Ok(text);
            }
            view.documents.iter().try_for_each(|(id, location)| check_length(id, location, part))?;
            let mut list = vec![b'['];
            let appended = read_steps(&view.files, view.documents.iter(), part, |_, text| {
                if list.len() > 1 {
                    list.push(b',');
                }
                list.extend_from_slice(text);
            })?;
            match appended {
                Ok(()) => {
                    list.push(b']');
                    self.cache.count(false);
                    let list: Arc<[u8]> = list.into();
                    if options.cached {
                        self.cache.insert(list_key(spec, part), view.version, Arc::clone(&list));
                    }
                    return Ok(list);
                }
                Err((location, failure)) => self.reread(spec, &location, failure, attempt)?,
            }
        }
        Ok(b"[]"[..].into())
    }

    /// The documents that `keep` wants, ids ascending. `keep` sees the part of each that is asked for. O(n).
    pub fn filter(
        &self,
        spec: &Arc<CollectionSpec>,
        part: Part,
        options: ReadOptions,
        keep: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Arc<[u8]>>> {
        for attempt in 0.. {
            let view = self.view(spec, options)?;
            let mut kept = Vec::new();
            let scanned = read_steps(&view.files, view.documents.iter(), part, |_, text| {
                if keep(text) {
                    kept.push(text.into());
                }
            })?;
            match scanned {
                Ok(()) => {
                    self.cache.count(false);
                    return Ok(kept);
                }
                Err((location, failure)) => self.reread(spec, &location, failure, attempt)?,
            }
        }
        Ok(Vec::new())
    }

    /// Forgets what was read of a document, and the lists that it is in.
    pub fn forget(&self, spec: &CollectionSpec, id: &DocumentId) {
        self.cache.remove(&CacheKey::Document(Arc::clone(&spec.path), id.clone()));
        for part in [Part::Whole, Part::Head] {
            self.cache.remove(&list_key(spec, part));
        }
    }

    /// The published document, for a transaction. The collection is loaded.
    pub(super) fn published(&self, spec: &Arc<CollectionSpec>, id: &DocumentId) -> Result<Option<Document>> {
        let (location, files) = {
            let state = self.state.read();
            let loaded = self.loaded_or_error(&state, spec)?;
            (loaded.documents.get(id).copied(), Arc::clone(&state.files))
        };
        let Some(location) = location else { return Ok(None) };
        let key = CacheKey::Document(Arc::clone(&spec.path), id.clone());
        let text = match self.cache.get(&key, location.hash) {
            Some(text) => text,
            None => read_text(&files, &location, Part::Whole)
                .map_err(|failure| self.read_error(spec, &location, failure))?
                .into(),
        };
        Ok(Some(Document { text, head: location.head as usize, hash: location.hash }))
    }

    /// The hash of the published document and its head as an object, for a transaction. The collection is loaded.
    pub(super) fn published_head(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
    ) -> Result<Option<(u64, Vec<u8>)>> {
        let (location, files) = {
            let state = self.state.read();
            let loaded = self.loaded_or_error(&state, spec)?;
            (loaded.documents.get(id).copied(), Arc::clone(&state.files))
        };
        let Some(location) = location else { return Ok(None) };
        let head = read_text(&files, &location, Part::Head)
            .map_err(|failure| self.read_error(spec, &location, failure))?;
        Ok(Some((location.hash, head)))
    }

    /// What the published document has in the indexes.
    pub(super) fn published_entries(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
    ) -> Result<Vec<Entries>> {
        let indexes: Vec<Index> = {
            let state = self.state.read();
            self.loaded_or_error(&state, spec)?.indexes.iter().map(Index::empty_like).collect()
        };
        let Some((_, head)) = self.published_head(spec, id)? else {
            return Ok(super::overlay::no_entries(spec));
        };
        Ok(extract_all(&indexes, &head))
    }

    /// Counts reads that were answered from what a caller kept.
    pub fn count_hits(&self, hits: u64) {
        self.cache.count_hits(hits);
    }

    /// A read met bytes that are not the ones written. The first time, the file is looked at again: it may have been
    /// edited or replaced.
    pub(super) fn reread(
        &self,
        spec: &Arc<CollectionSpec>,
        location: &Location,
        failure: ReadFailure,
        attempt: u32,
    ) -> Result<()> {
        if !matches!(failure, ReadFailure::Changed) || attempt > 1 {
            return Err(self.read_error(spec, location, failure));
        }
        self.state.write().collection(&spec.path).unload();
        let options = ReadOptions { cached: false, lock_timeout: self.options.lock_timeout };
        self.make_ready(spec, options)
    }

    pub(super) fn read_error(
        &self,
        spec: &CollectionSpec,
        location: &Location,
        failure: ReadFailure,
    ) -> Error {
        let state = self.state.read();
        let path = if let Some(name) = state.files.document_name(location.file) {
            self.reserved(name)
        } else if location.file == state.journal {
            crate::engine::journal::journal_path(&self.directory, state.position.generation)
        } else {
            spec.file(&self.directory)
        };
        match failure {
            ReadFailure::Changed => Error::corrupt(
                &path,
                location.offset,
                "a document is not what was written; undo the edit, or restore the file from a backup",
            ),
            ReadFailure::Io(error) => Error::io("read", &path, &error),
        }
    }

    /// Looks at a collection once it is loaded. It may be unloaded again at any time, when a file changed.
    pub(super) fn with_loaded<T>(
        &self,
        spec: &Arc<CollectionSpec>,
        options: ReadOptions,
        mut look: impl FnMut(&super::state::State, &Loaded) -> T,
    ) -> Result<T> {
        for _ in 0..LOAD_ATTEMPTS {
            self.make_ready(spec, options)?;
            let state = self.state.read();
            match self.loaded_or_error(&state, spec) {
                Err(Error::Conflict(_)) => {}
                other => return other.map(|loaded| look(&state, loaded)),
            }
        }
        let state = self.state.read();
        self.loaded_or_error(&state, spec).map(|loaded| look(&state, loaded))
    }

    fn loaded_or_error<'a>(
        &self,
        state: &'a super::state::State,
        spec: &CollectionSpec,
    ) -> Result<&'a Loaded> {
        match state.collections.get(&spec.path).map(|collection| &collection.content) {
            Some(super::state::Content::Loaded(loaded)) if loaded.spec.provides(spec) => Ok(loaded),
            // Another thread unloaded it a moment ago because a file changed, or a caller wants more indexes.
            _ => {
                Err(Error::Conflict(format!("{} is being read again after a change from outside", spec.path)))
            }
        }
    }
}

impl View {
    /// Number of documents.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    pub fn spec(&self) -> &Arc<CollectionSpec> {
        &self.spec
    }

    fn of(state: &State, spec: &Arc<CollectionSpec>, loaded: &Loaded) -> View {
        View {
            spec: Arc::clone(spec),
            documents: loaded.documents.clone(),
            files: Arc::clone(&state.files),
            version: state.collections.get(&spec.path).map_or(0, |collection| collection.version),
        }
    }

    /// Hands out the documents of a list of this view, which lie in it as the view has them. `None` if they do not.
    fn split<T>(&self, list: &[u8], mut result: T, push: impl Fn(&mut T, &[u8], usize)) -> Option<T> {
        let mut at = 1;
        for (_, location) in self.documents.iter() {
            let end = at + location.len as usize;
            let (b'{', b'}', b',' | b']') = (*list.get(at)?, *list.get(end - 1)?, *list.get(end)?) else {
                return None;
            };
            push(&mut result, &list[at..end], location.head as usize);
            at = end + 1;
        }
        // Behind the last document or, where there is none, the opening bracket.
        (at == list.len() || list == b"[]").then_some(result)
    }
}

/// # Errors
/// `TOO_LARGE` for a part that nobody could hold.
fn check_length(id: &DocumentId, location: &Location, part: Part) -> Result<()> {
    if part_len(location, part) <= LONGEST_TEXT as u64 {
        return Ok(());
    }
    Err(Error::TooLarge(format!("document {id}")))
}

fn list_key(spec: &CollectionSpec, part: Part) -> CacheKey {
    let kind = match part {
        Part::Whole => "whole",
        Part::Head => "head",
    };
    CacheKey::List(Arc::clone(&spec.path), kind)
}
