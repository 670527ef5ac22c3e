//! Whole collections: stable views, lists, and the documents that a predicate keeps.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::file_table::FileTable;
use super::read::{PEEK_BYTES, Peek, ReadOptions};
use super::state::{Loaded, State};
use super::texts::{Part, ReadFailure, finished_len, read_shares};
use super::{CollectionSpec, Database};
use crate::engine::cache::CacheKey;
use crate::engine::cancel;
use crate::engine::document_map::{DocumentMap, Entry, Location, Revision, Stamp};
use crate::engine::error::{Error, Result};
use crate::engine::fs::File;
use crate::engine::parallel;

/// A stable view of a collection: later writes do not show in it.
#[derive(Clone)]
pub struct View {
    pub(super) spec: Arc<CollectionSpec>,
    pub(super) documents: DocumentMap,
    pub(super) files: Arc<FileTable>,
    version: u64,
    #[expect(
        dead_code,
        reason = "a checkpoint puts another file in its place, so it stays open for as long as the view is read"
    )]
    snapshot: Option<Arc<dyn File>>,
}

impl Database {
    /// Returns a stable view of the collection as it is now. The view keeps its snapshot open.
    pub fn view(&self, spec: &Arc<CollectionSpec>, options: ReadOptions) -> Result<View> {
        let mut attempt = 0;
        loop {
            let (view, snapshot) = self.with_loaded(spec, options, |state, loaded| {
                (View::of(state, spec, loaded), loaded.snapshot.zip(loaded.seen))
            })?;
            let Some((id, seen)) = snapshot else { return Ok(view) };
            let opened = view.files.open(id).and_then(|file| Ok((file.metadata()? == seen, file)));
            match opened.map_err(ReadFailure::from) {
                Ok((true, file)) => return Ok(View { snapshot: Some(file), ..view }),
                // Another file is in its place by now.
                Ok((false, _)) | Err(ReadFailure::Changed) if attempt < 2 => self.load_again(spec)?,
                // Reading from the view reports it.
                Ok((false, _)) | Err(ReadFailure::Changed) => return Ok(view),
                Err(ReadFailure::Io(error)) => {
                    return Err(Error::io("open", &spec.file(&self.directory), &error));
                }
            }
            attempt += 1;
        }
    }

    /// Returns all documents, ids ascending, as one JSON array if the cache has it and it is not long, and for how long
    /// the cache would still return it.
    pub fn peek_list(
        &self,
        spec: &Arc<CollectionSpec>,
        part: Part,
        options: ReadOptions,
    ) -> Peek<(Arc<[u8]>, Duration)> {
        let state = self.state.read();
        if !options.cached || !self.current(&state, spec).is_some_and(|loaded| self.is_looked_at(loaded)) {
            return Peek::Wait;
        }
        let version = state.version(&spec.path);
        let found = self.cache.get_fresh(&list_key(spec, part), list_stamp(version));
        match found.filter(|(list, _)| list.len() as u64 <= PEEK_BYTES) {
            Some(found) => {
                self.cache.count(true);
                Peek::Ready(found)
            }
            None => Peek::Wait,
        }
    }

    /// Like [`Database::peek_list`], but hands whole documents to `push`, one after another.
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
        let current = self.cache.get(&list_key(spec, Part::Whole), list_stamp(view.version));
        let split = current.filter(|current| Arc::ptr_eq(current, &list));
        let mut whole = begin();
        let all =
            split.and_then(|list| view.split(&list, Part::Whole, |text, head| push(&mut whole, text, head)));
        all.map_or(Peek::Wait, |()| Peek::Ready((whole, left)))
    }

    /// Reads all documents, ids ascending, in pieces. Each piece is handed over, on any thread, as soon as it and those
    /// before it have been read, while others are still being read. `begin` makes an empty piece; `push` adds the
    /// wanted part of a document, given the length of its head. `hand_over` gets `true` with a first piece, which there
    /// always is. If it gets `true` again, what was handed over before does not count, because the file has changed
    /// meanwhile. O(n).
    pub fn list_in_pieces<T: Send>(
        &self,
        spec: &Arc<CollectionSpec>,
        part: Part,
        options: ReadOptions,
        begin: impl Fn() -> T + Sync,
        push: impl Fn(&mut T, &[u8], usize) + Sync,
        mut hand_over: impl FnMut(bool, T) + Send,
    ) -> Result<()> {
        for attempt in 0.. {
            let view = self.with_loaded(spec, options, |state, loaded| View::of(state, spec, loaded))?;
            let key = list_key(spec, part);
            if options.cached
                && let Some(list) = self.cache.get(&key, list_stamp(view.version))
            {
                let mut texts = Vec::with_capacity(view.len());
                if view.split(&list, part, |text, head| texts.push((text, head))).is_some() {
                    self.cache.count(true);
                    return hand_over_all(&texts, begin, push, hand_over);
                }
            }
            let (sizes, mut bytes) = (self.options.sizes, 0);
            for (id, location) in view.documents.iter() {
                sizes.check_handed_out(id, location, part)?;
                bytes += finished_len(location, part) as u64 + 1;
            }
            // A list that nobody could hold as one text is only handed over in pieces.
            let cached = options.cached && bytes < sizes.handed_out;
            let (mut first, mut lists) = (true, Vec::new());
            let read = view.shares(
                part,
                || (begin(), Elements::default()),
                |(piece, list), (_, location), text| {
                    push(piece, text, location.head as usize);
                    if cached {
                        list.push(text);
                    }
                },
                |(piece, list)| {
                    hand_over(mem::take(&mut first), piece);
                    lists.push(list);
                },
            )?;
            match read {
                Ok(()) => {
                    self.cache.count(false);
                    if first {
                        hand_over(true, begin());
                    }
                    if cached {
                        self.cache.insert(key, list_stamp(view.version), Elements::array(&lists).into());
                    }
                    return Ok(());
                }
                Err((location, failure)) => self.reread(spec, &location, failure, attempt)?,
            }
        }
        Ok(())
    }

    /// Returns all documents, ids ascending, as one JSON array. O(n).
    pub fn list(&self, spec: &Arc<CollectionSpec>, part: Part, options: ReadOptions) -> Result<Arc<[u8]>> {
        let mut lists = Vec::new();
        let push = |list: &mut Elements, text: &[u8], _| list.push(text);
        self.list_in_pieces(spec, part, options, Elements::default, push, |first, list| {
            if first {
                lists.clear();
            }
            lists.push(list);
        })?;
        Ok(Elements::array(&lists).into())
    }

    /// Returns the documents that `keep` wants, ids ascending. `keep` sees the part of each that is asked for. O(n).
    pub fn filter(
        &self,
        spec: &Arc<CollectionSpec>,
        part: Part,
        options: ReadOptions,
        keep: impl Fn(&[u8]) -> bool + Sync,
    ) -> Result<Vec<Arc<[u8]>>> {
        for attempt in 0.. {
            let view = self.with_loaded(spec, options, |state, loaded| View::of(state, spec, loaded))?;
            let mut kept = Vec::new();
            let add = |kept: &mut Vec<Arc<[u8]>>, _: &Entry, text: &[u8]| {
                if keep(text) {
                    kept.push(text.into());
                }
            };
            match view.shares(part, Vec::new, add, |share| kept.extend(share))? {
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
            version: state.version(&spec.path),
            snapshot: None,
        }
    }

    /// Reads all documents, in order, as [`read_shares`] does.
    fn shares<T: Send>(
        &self,
        part: Part,
        begin: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, &Entry, &[u8]) + Sync,
        hand_over: impl FnMut(T) + Send,
    ) -> Result<std::result::Result<(), (Location, ReadFailure)>> {
        read_shares(&self.files, self.documents.iter(), part, begin, add, hand_over)
    }

    /// Visits the documents in a list of this view, each with the length of its head. Returns `None` if the list is not
    /// laid out as the documents of the view are.
    fn split<'l>(&self, list: &'l [u8], part: Part, mut visit: impl FnMut(&'l [u8], usize)) -> Option<()> {
        let mut at = 1;
        for (_, location) in self.documents.iter() {
            let end = at + finished_len(location, part);
            let (b'{', b'}', b',' | b']') = (*list.get(at)?, *list.get(end - 1)?, *list.get(end)?) else {
                return None;
            };
            visit(&list[at..end], location.head as usize);
            at = end + 1;
        }
        // The last document must end the list; without documents the list is empty.
        (at == list.len() || list == b"[]").then_some(())
    }
}

/// Hands over documents that are in memory, as [`Database::list_in_pieces`] does, each with the length of its head.
fn hand_over_all<T: Send>(
    texts: &[(&[u8], usize)],
    begin: impl Fn() -> T + Sync,
    push: impl Fn(&mut T, &[u8], usize) + Sync,
    mut hand_over: impl FnMut(bool, T) + Send,
) -> Result<()> {
    let bytes = texts.iter().map(|(text, _)| text.len()).sum();
    let make = |share: &&[(&[u8], usize)]| {
        cancel::check()?;
        let mut piece = begin();
        share.iter().for_each(|(text, head)| push(&mut piece, text, *head));
        Ok(piece)
    };
    let mut first = true;
    let shares = parallel::shares(texts, |(text, _)| text.len());
    parallel::in_order(&shares, bytes, make, |piece| hand_over(mem::take(&mut first), piece))?;
    if first {
        hand_over(true, begin());
    }
    Ok(())
}

/// A part of a JSON array: its elements with a comma before each.
#[derive(Default)]
struct Elements(Vec<u8>);

impl Elements {
    fn push(&mut self, text: &[u8]) {
        self.0.push(b',');
        self.0.extend_from_slice(text);
    }

    /// Returns the array of all parts.
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

/// Returns the stamp with which a list of this version of its collection is cached.
fn list_stamp(version: u64) -> Stamp {
    (version, Revision::UNKNOWN)
}

pub(super) fn list_key(spec: &CollectionSpec, part: Part) -> CacheKey {
    let kind = match part {
        Part::Whole => "whole",
        Part::Head => "head",
    };
    CacheKey::List(Arc::clone(&spec.path), kind)
}
