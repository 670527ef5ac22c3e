//! Whole collections: stable views of them, lists, and what a predicate keeps.

use std::sync::Arc;
use std::time::Duration;

use super::read::{Peek, ReadOptions};
use super::state::{FileTable, Loaded, State};
use super::texts::{Part, ReadFailure, read_shares};
use super::{CollectionSpec, Database};
use crate::engine::cache::CacheKey;
use crate::engine::document_map::{DocumentMap, Entry, Location};
use crate::engine::error::Result;

/// A stable view of a collection: later writes do not show in it.
#[derive(Clone)]
pub struct View {
    pub(super) spec: Arc<CollectionSpec>,
    pub(super) documents: DocumentMap,
    pub(super) files: Arc<FileTable>,
    version: u64,
}

impl Database {
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

    /// As [`Database::list`], but each whole document is handed to `push` with the length of its head. Several threads share
    /// the work, each with a `T` of its own; `append` adds those that come later in the list.
    pub fn list_into<T: Send>(
        &self,
        spec: &Arc<CollectionSpec>,
        options: ReadOptions,
        begin: impl Fn() -> T + Sync,
        push: impl Fn(&mut T, &[u8], usize) + Sync,
        append: impl Fn(&mut T, T),
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
            let share = || (begin(), Elements::default());
            let read = view.shares(Part::Whole, share, |(made, list), (_, location), text| {
                push(made, text, location.head as usize);
                if options.cached {
                    list.push(text);
                }
            })?;
            match read {
                Ok(shares) => {
                    self.cache.count(false);
                    let (mut result, mut lists) = (begin(), Vec::with_capacity(shares.len()));
                    for (made, list) in shares {
                        append(&mut result, made);
                        lists.push(list);
                    }
                    if options.cached {
                        self.cache.insert(key, view.version, Elements::array(&lists).into());
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
            let sizes = self.options.sizes;
            view.documents
                .iter()
                .try_for_each(|(id, location)| sizes.check_handed_out(id, location, part))?;
            match view.shares(part, Elements::default, |list, _, text| list.push(text))? {
                Ok(lists) => {
                    self.cache.count(false);
                    let list: Arc<[u8]> = Elements::array(&lists).into();
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
        keep: impl Fn(&[u8]) -> bool + Sync,
    ) -> Result<Vec<Arc<[u8]>>> {
        for attempt in 0.. {
            let view = self.view(spec, options)?;
            let read = view.shares(part, Vec::new, |kept, _, text| {
                if keep(text) {
                    kept.push(text.into());
                }
            })?;
            match read {
                Ok(kept) => {
                    self.cache.count(false);
                    return Ok(kept.into_iter().flatten().collect());
                }
                Err((location, failure)) => self.reread(spec, &location, failure, attempt)?,
            }
        }
        Ok(Vec::new())
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

    /// Reads all documents, in order, as [`read_shares`] does.
    fn shares<T: Send>(
        &self,
        part: Part,
        begin: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, &Entry, &[u8]) + Sync,
    ) -> Result<std::result::Result<Vec<T>, (Location, ReadFailure)>> {
        read_shares(&self.files, self.documents.iter(), part, begin, add)
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

/// A part of a JSON array: its elements with a comma before each.
#[derive(Default)]
struct Elements(Vec<u8>);

impl Elements {
    fn push(&mut self, text: &[u8]) {
        self.0.push(b',');
        self.0.extend_from_slice(text);
    }

    /// The array of all parts.
    fn array(parts: &[Elements]) -> Vec<u8> {
        let mut array = Vec::with_capacity(2 + parts.iter().map(|part| part.0.len()).sum::<usize>());
        parts.iter().for_each(|part| array.extend_from_slice(&part.0));
        match array.first_mut() {
            Some(comma) => *comma = b'[',
            None => array.push(b'['),
        }
        array.push(b']');
        array
    }
}

pub(super) fn list_key(spec: &CollectionSpec, part: Part) -> CacheKey {
    let kind = match part {
        Part::Whole => "whole",
        Part::Head => "head",
    };
    CacheKey::List(Arc::clone(&spec.path), kind)
}
