//! Reading: from memory on the calling thread where that is possible, else from disk on a thread that may wait.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::list::list_key;
use super::query::Queryable;
use super::state::{Content, Loaded, State};
use super::texts::{Part, ReadFailure, finish_part, is_intact, part_len, read_steps, read_text};
use super::{CollectionSpec, Database};
use crate::engine::cache::CacheKey;
use crate::engine::checksum::document_hash;
pub use crate::engine::document::Document;
use crate::engine::document::DocumentId;
use crate::engine::document_map::{Entry, Location};
use crate::engine::error::{Error, Result};

/// The most bytes that one call on the calling thread may read from the page cache or from the cache of lists.
pub(super) const PEEK_BYTES: u64 = 1 << 20;

/// How often one read loads a collection that others keep changing on disk.
pub(super) const LOAD_ATTEMPTS: usize = 10;

/// An answer that memory may or may not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek<T> {
    Ready(T),
    /// Disk or a lock is needed: ask again where waiting is allowed.
    Wait,
}

impl<T> Peek<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Peek<U> {
        match self {
            Peek::Ready(answer) => Peek::Ready(change(answer)),
            Peek::Wait => Peek::Wait,
        }
    }
}

/// A document; if it came from the cache, also for how long the cache would still return it.
pub type Fresh = (Document, Option<Duration>);

#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// Whether the cache may answer and keeps the answer.
    pub cached: bool,
    pub lock_timeout: Duration,
}

impl Database {
    /// Returns the document if memory or the page cache has it.
    pub fn peek(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        options: ReadOptions,
    ) -> Peek<Option<Document>> {
        self.peek_fresh(spec, id, options).map(|found| found.map(|(document, _)| document))
    }

    /// Like [`Database::peek`]; if the document came from the cache, also returns for how long the cache would still
    /// return it.
    pub fn peek_fresh(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        options: ReadOptions,
    ) -> Peek<Option<Fresh>> {
        // `choose` returns a given id, so it does not fail.
        self.peek_one(spec, options, false, |_| Ok(Some(id.clone()))).unwrap_or(Peek::Wait)
    }

    /// Like [`Database::peek_fresh`], for the document that `choose` picks from what the file holds now.
    pub fn peek_chosen(
        &self,
        spec: &Arc<CollectionSpec>,
        options: ReadOptions,
        choose: impl FnOnce(&Queryable<'_>) -> Result<Option<DocumentId>>,
    ) -> Result<Peek<Option<Fresh>>> {
        self.peek_one(spec, options, true, choose)
    }

    /// Returns the document that `choose` picks, if memory or the page cache has it. With `look_again`, an edit of the
    /// file may change what is chosen, so the choice counts only until the file is due to be looked at again. Otherwise
    /// what the cache has counts until it expires or the cache is cleared.
    fn peek_one(
        &self,
        spec: &Arc<CollectionSpec>,
        options: ReadOptions,
        look_again: bool,
        choose: impl FnOnce(&Queryable<'_>) -> Result<Option<DocumentId>>,
    ) -> Result<Peek<Option<Fresh>>> {
        let state = self.state.read();
        let Some(loaded) = self.current(&state, spec) else { return Ok(Peek::Wait) };
        let fresh_for = self.fresh_for(loaded);
        if look_again && fresh_for.is_zero() {
            return Ok(Peek::Wait);
        }
        let Some((id, location)) =
            choose(&Queryable::new(&state, loaded))?.and_then(|id| loaded.documents.entry(&id).cloned())
        else {
            if fresh_for.is_zero() {
                return Ok(Peek::Wait);
            }
            self.cache.count(false);
            return Ok(Peek::Ready(None));
        };
        let key = CacheKey::Document(Arc::clone(&spec.path), id);
        if options.cached
            && self.is_looked_at(loaded)
            && let Some((text, left)) = self.cache.get_fresh(&key, location.stamp())
        {
            self.cache.count(true);
            let document = Document { text, head: location.head as usize, hash: location.hash };
            let left = if look_again { left.min(fresh_for) } else { left };
            return Ok(Peek::Ready(Some((document, Some(left)))));
        }
        if fresh_for.is_zero() || u64::from(location.len) > PEEK_BYTES {
            return Ok(Peek::Wait);
        }
        let Some(file) = state.files.if_open(location.file) else { return Ok(Peek::Wait) };
        drop(state);
        let mut text: Arc<[u8]> = std::iter::repeat_n(0, location.len as usize).collect();
        let Some(bytes) = Arc::get_mut(&mut text) else { return Ok(Peek::Wait) };
        match file.read_at_cached(bytes, location.offset) {
            Ok(true) if document_hash(bytes, location.head as usize) == location.hash => {}
            _ => return Ok(Peek::Wait),
        }
        self.cache.count(false);
        Ok(Peek::Ready(Some((self.remember(key, location, text, options), None))))
    }

    /// Returns the document, reading it from disk if need be.
    ///
    /// # Errors
    /// `CORRUPT_DATA` if its bytes on disk are not those that were written, `TOO_LARGE` if it is too large to be handed
    /// out, `IO_ERROR`, `LOCK_TIMEOUT`, `CLOSED`.
    pub fn get(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        options: ReadOptions,
    ) -> Result<Option<Document>> {
        self.get_chosen(spec, options, |_| Ok(Some(id.clone())))
    }

    /// Like [`Database::get`], for the document that `choose` picks from what the file holds now.
    pub fn get_chosen(
        &self,
        spec: &Arc<CollectionSpec>,
        options: ReadOptions,
        choose: impl Fn(&Queryable<'_>) -> Result<Option<DocumentId>>,
    ) -> Result<Option<Document>> {
        for attempt in 0.. {
            let (found, files) = self.with_loaded(spec, options, |state, loaded| {
                let found = choose(&Queryable::new(state, loaded));
                let found = found.map(|id| id.and_then(|id| loaded.documents.entry(&id).cloned()));
                (found, Arc::clone(&state.files))
            })?;
            let Some((id, location)) = found? else {
                self.cache.count(false);
                return Ok(None);
            };
            let key = CacheKey::Document(Arc::clone(&spec.path), id.clone());
            if options.cached
                && let Some(text) = self.cache.get(&key, location.stamp())
            {
                self.cache.count(true);
                return Ok(Some(Document { text, head: location.head as usize, hash: location.hash }));
            }
            self.options.sizes.check_handed_out(&id, &location, Part::Whole)?;
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
            self.cache.insert(key, location.stamp(), Arc::clone(&text));
        }
        Document { text, head: location.head as usize, hash: location.hash }
    }

    /// Returns the documents that `choose` picks, in its order, if all of them can be read without waiting.
    pub fn peek_many(
        &self,
        spec: &Arc<CollectionSpec>,
        part: Part,
        choose: impl FnOnce(&Queryable<'_>) -> Result<Vec<DocumentId>>,
    ) -> Result<Peek<Vec<Arc<[u8]>>>> {
        let found = self.peek_part(spec, part, choose)?;
        if matches!(found, Peek::Ready(_)) {
            self.cache.count(false);
        }
        Ok(found)
    }

    /// Like [`Database::peek_many`], for a part of a read that is counted elsewhere.
    pub fn peek_part(
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
            let Some(file) = files.if_open(location.file) else { return Ok(Peek::Wait) };
            match file.read_at_cached(&mut text, location.offset) {
                Ok(true) if is_intact(&text, location, part) => texts.push(finish_part(text, part).into()),
                _ => return Ok(Peek::Wait),
            }
        }
        Ok(Peek::Ready(texts))
    }

    /// Returns the documents that `choose` picks, in its order.
    pub fn select(
        &self,
        spec: &Arc<CollectionSpec>,
        part: Part,
        options: ReadOptions,
        choose: impl Fn(&Queryable<'_>) -> Result<Vec<DocumentId>>,
    ) -> Result<Vec<Arc<[u8]>>> {
        let texts = self.select_part(spec, part, options, choose)?;
        self.cache.count(false);
        Ok(texts)
    }

    /// Like [`Database::select`], for a part of a read that is counted elsewhere.
    pub fn select_part(
        &self,
        spec: &Arc<CollectionSpec>,
        part: Part,
        options: ReadOptions,
        choose: impl Fn(&Queryable<'_>) -> Result<Vec<DocumentId>>,
    ) -> Result<Vec<Arc<[u8]>>> {
        for attempt in 0.. {
            let (ids, documents, files) = self.with_loaded(spec, options, |state, loaded| {
                let ids = choose(&Queryable::new(state, loaded));
                (ids, loaded.documents.clone(), Arc::clone(&state.files))
            })?;
            let ids = ids?;
            let entries: Vec<&Entry> = ids.iter().filter_map(|id| documents.entry(id)).collect();
            let sizes = self.options.sizes;
            entries.iter().try_for_each(|(id, location)| sizes.check_handed_out(id, location, part))?;
            let mut texts = Vec::with_capacity(entries.len());
            match read_steps(&files, entries.iter().copied(), part, |_, text| texts.push(text.into()))? {
                Ok(()) => return Ok(texts),
                Err((location, failure)) => self.reread(spec, &location, failure, attempt)?,
            }
        }
        Ok(Vec::new())
    }

    /// Returns the documents that `choose` picks, given what `learn` makes of the head of a document, or of `None` if there
    /// is no such document. The head and the documents are those of one moment: `learn` reads no file under the lock of the
    /// state, so if the document has changed by the time of `choose`, both run again.
    pub fn select_by_head<T>(
        &self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        part: Part,
        options: ReadOptions,
        learn: impl Fn(Option<&[u8]>) -> T,
        choose: impl Fn(&T, &Queryable<'_>) -> Result<Vec<DocumentId>>,
    ) -> Result<Vec<Arc<[u8]>>> {
        let stamp = |all: &Queryable<'_>| all.documents().get(id).map(Location::stamp);
        loop {
            let (read, changed) = (Cell::new(None), Cell::new(false));
            let head = self.select_part(spec, Part::Head, options, |all| {
                read.set(stamp(all));
                Ok(vec![id.clone()])
            })?;
            let learnt = learn(head.first().map(|head| &**head));
            let texts = self.select_part(spec, part, options, |all| {
                changed.set(stamp(all) != read.get());
                if changed.get() { Ok(Vec::new()) } else { choose(&learnt, all) }
            })?;
            if !changed.get() {
                self.cache.count(false);
                return Ok(texts);
            }
        }
    }

    /// Removes a document and the lists that contain it from the cache.
    pub fn forget(&self, spec: &CollectionSpec, id: &DocumentId) {
        self.cache.remove(&CacheKey::Document(Arc::clone(&spec.path), id.clone()));
        for part in [Part::Whole, Part::Head] {
            self.cache.remove(&list_key(spec, part));
        }
    }

    /// Counts reads that a caller answered from what it kept.
    pub fn count_hits(&self, hits: u64) {
        self.cache.count_hits(hits);
    }

    /// Handles a read that found other bytes than those written. At first the file is looked at again, because it may
    /// have been edited or replaced; later attempts return the error.
    pub(super) fn reread(
        &self,
        spec: &Arc<CollectionSpec>,
        location: &Location,
        failure: ReadFailure,
        attempt: u32,
    ) -> Result<()> {
        let is_elsewhere = self.state.read().files.path(location.file).is_none();
        match failure {
            // A checkpoint has put another file in its place meanwhile.
            ReadFailure::Changed if is_elsewhere && attempt < LOAD_ATTEMPTS as u32 => Ok(()),
            ReadFailure::Changed if attempt <= 1 => self.load_again(spec),
            _ => Err(self.read_error(spec, location, failure)),
        }
    }

    /// Loads a collection again because its file is not the one that was read.
    pub(super) fn load_again(&self, spec: &Arc<CollectionSpec>) -> Result<()> {
        {
            // Only the holder of the `writer` mutex changes what is loaded: whoever puts documents relies on that.
            let _writer = self.writer.lock();
            self.state.write().collection(&spec.path).unload();
        }
        let options = ReadOptions { cached: false, lock_timeout: self.options.lock_timeout };
        self.make_ready(spec, options)
    }

    pub(super) fn read_error(
        &self,
        spec: &CollectionSpec,
        location: &Location,
        failure: ReadFailure,
    ) -> Error {
        failure.error(&self.state.read().files, location, &spec.file(&self.directory))
    }

    /// Loads a collection and passes it to `look`. Tries again if it was unloaded in between, because a file changed.
    pub(super) fn with_loaded<T>(
        &self,
        spec: &Arc<CollectionSpec>,
        options: ReadOptions,
        mut look: impl FnMut(&State, &Loaded) -> T,
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

    pub(super) fn loaded_or_error<'a>(&self, state: &'a State, spec: &CollectionSpec) -> Result<&'a Loaded> {
        match state.collections.get(&spec.path).map(|collection| &collection.content) {
            Some(Content::Loaded(loaded)) if loaded.spec.provides(spec) => Ok(loaded),
            // Another thread unloaded it a moment ago because a file changed, or a caller wants more indexes.
            _ => {
                Err(Error::Conflict(format!("{} is being read again after a change from outside", spec.path)))
            }
        }
    }
}
