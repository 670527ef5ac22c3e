//! Whole collections: stable views of them, lists, and what a predicate keeps.

use std::sync::Arc;
use std::time::Duration;

use super::read::{Peek, ReadOptions};
use super::state::{FileTable, Loaded, State};
use super::texts::{Part, read_steps};
use super::{CollectionSpec, Database};
use crate::engine::cache::CacheKey;
use crate::engine::document_map::DocumentMap;
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
            let sizes = self.options.sizes;
            view.documents
                .iter()
                .try_for_each(|(id, location)| sizes.check_handed_out(id, location, part))?;
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

pub(super) fn list_key(spec: &CollectionSpec, part: Part) -> CacheKey {
    let kind = match part {
        Part::Whole => "whole",
        Part::Head => "head",
    };
    CacheKey::List(Arc::clone(&spec.path), kind)
}
