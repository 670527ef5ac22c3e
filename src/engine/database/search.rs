//! Running queries: candidates from the indexes, checked against their texts.

mod matches;

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::file_table::FileTable;
use super::overlay::{Overlay, Pending, Put};
use super::read::ReadOptions;
use super::texts::{Part, ReadFailure, read_run};
use super::transaction::Transaction;
use super::{CollectionSpec, Database};
use crate::engine::cancel;
use crate::engine::document::DocumentId;
use crate::engine::document_map::{DocumentMap, Entry, Location};
use crate::engine::error::{Error, Result};
use crate::engine::index::Index;
use crate::engine::query::{Candidates, Extent, Plan, Query, Rank};
use matches::Matches;

/// How many documents are read between two checks whether the caller has given up or has enough.
const STEP: usize = cancel::STEP;
/// A query with a limit that an index orders begins with at least so many candidates …
const FIRST: usize = 256;
/// … and takes so many times as many each time that they are too few.
const GROWTH: usize = 8;
/// A query looks at all that its transaction has changed of a collection, if that are at most so many documents. Building the
/// indexes of these documents costs more than looking at them once, but later queries and writes keep and use them.
const READ_THROUGH: usize = 64;

/// What a query is run over: a stable state, and what a transaction changed of it.
pub(super) struct Search<'a> {
    pub spec: &'a CollectionSpec,
    pub query: &'a Query,
    pub files: Arc<FileTable>,
    pub entries: Entries,
    /// The entries come in the order of the answer.
    pub ordered: bool,
    /// These count instead of the entries with the same ids.
    pub changed: Option<Changed<'a>>,
}

/// What a transaction changed of a collection.
pub(super) struct Changed<'a> {
    documents: &'a BTreeMap<DocumentId, Pending>,
    /// What it put that may be part of the answer.
    puts: Vec<(&'a DocumentId, &'a Put)>,
}

pub(super) enum Entries {
    /// Those with ids in a range, ascending or descending.
    Range {
        documents: DocumentMap,
        range: (Bound<DocumentId>, Bound<DocumentId>),
        descending: bool,
    },
    Some(Vec<Entry>),
    /// Those with these ids, looked up as they are read: no lock is held then, and often the first of them are enough.
    Chosen {
        documents: DocumentMap,
        ids: Vec<DocumentId>,
        /// Otherwise more follow these.
        are_all: bool,
    },
}

pub(super) enum SearchFailure {
    Read(Location, ReadFailure),
    Other(Error),
}

impl From<(Location, ReadFailure)> for SearchFailure {
    fn from((location, failure): (Location, ReadFailure)) -> Self {
        SearchFailure::Read(location, failure)
    }
}

impl From<Error> for SearchFailure {
    fn from(error: Error) -> Self {
        SearchFailure::Other(error)
    }
}

/// What a query found.
pub(super) struct Found {
    /// The answer, in its order.
    pub texts: Vec<Arc<[u8]>>,
    /// The ranks of the first matches, in their order: of those of the answer, and of those before it.
    pub ranks: Vec<Rank>,
    /// How many documents the query looked at.
    pub scanned: usize,
    /// Fewer than the query needs were among the candidates, and there are more of these.
    pub is_cut: bool,
}

/// Returns the part of a document to read if its large field is needed, or is not.
fn part(spec: &CollectionSpec, needs: impl FnOnce(&str) -> bool) -> Part {
    if spec.large_field.is_none_or(needs) { Part::Whole } else { Part::Head }
}

/// Returns the part of a document at which the condition and the order of a query look.
pub(super) fn examined_part(spec: &CollectionSpec, query: &Query) -> Part {
    part(spec, |large| query.examines(large))
}

impl<'a> Changed<'a> {
    fn of(overlay: &'a Overlay, query: &Query) -> Result<Changed<'a>> {
        let documents = &overlay.documents;
        let put = |(id, pending): (&'a DocumentId, &'a Pending)| Some((id, pending.new.as_ref()?));
        if documents.len() <= READ_THROUGH {
            return Ok(Changed { documents, puts: documents.iter().filter_map(put).collect() });
        }
        let indexes = overlay.indexes();
        let puts = match Plan::of(query, &indexes, documents).candidates(&indexes, documents, usize::MAX)? {
            Candidates::Range { range, .. } => {
                documents.iter().filter(|(id, _)| range.contains(*id)).filter_map(put).collect()
            }
            Candidates::Some { ids, .. } => {
                ids.iter().filter_map(|id| documents.get_key_value(id)).filter_map(put).collect()
            }
        };
        Ok(Changed { documents, puts })
    }
}

impl Entries {
    fn of(candidates: Candidates, documents: &DocumentMap) -> Entries {
        match candidates {
            Candidates::Range { range, descending } => {
                Entries::Range { documents: documents.clone(), range, descending }
            }
            Candidates::Some { ids, are_all } => {
                Entries::Chosen { documents: documents.clone(), ids, are_all }
            }
        }
    }
}

/// Calls `run` with growing extents until the candidates are enough.
fn grow<T>(
    query: &Query,
    found: impl Fn(&T) -> &Found,
    mut run: impl FnMut(Extent) -> Result<T>,
) -> Result<T> {
    let mut extent =
        Extent { most: query.needed().map_or(usize::MAX, |needed| needed.max(FIRST)), is_trial: true };
    loop {
        let answer = run(extent)?;
        if !found(&answer).is_cut {
            return Ok(answer);
        }
        extent = Extent { most: extent.most.saturating_mul(GROWTH), is_trial: false };
    }
}

impl Database {
    /// Returns the documents that a query asks for, in its order. O(documents that the chosen index yields), or O(n).
    ///
    /// # Errors
    /// `ABORTED` once the caller gives up, and those of [`Database::get`].
    pub fn documents(
        &self,
        spec: &Arc<CollectionSpec>,
        query: &Query,
        options: ReadOptions,
    ) -> Result<Vec<Arc<[u8]>>> {
        self.found(spec, query, options).map(|(found, _)| found.texts)
    }

    /// Returns how many documents satisfy the condition of a query. Its limit and offset do not count. O(1) without a
    /// condition; O(number of keys) if an index knows it; else as [`Database::documents`], in constant memory.
    ///
    /// # Errors
    /// As [`Database::documents`].
    pub fn count(&self, spec: &Arc<CollectionSpec>, query: &Query, options: ReadOptions) -> Result<usize> {
        if query.condition().is_empty() {
            return self.query(spec, options, |collection| collection.documents().len());
        }
        let known = self.with_loaded(spec, options, |_, loaded| {
            let indexes: Vec<&Index> = loaded.indexes.iter().collect();
            Plan::count(query, &indexes, &loaded.documents)
        })?;
        let count = match known {
            Some(count) => count,
            None => self.run_query(spec, query, options, Extent::ALL, |search| search.count())?.0,
        };
        self.cache.count(false);
        Ok(count)
    }

    /// Returns as JSON how a query is answered: the index, its keys or range, where the order comes from and, from
    /// running the query, how many documents were looked at and returned.
    pub fn explain(
        &self,
        spec: &Arc<CollectionSpec>,
        query: &Query,
        options: ReadOptions,
    ) -> Result<Vec<u8>> {
        let (found, mut described) = self.found(spec, query, options)?;
        described["scanned"] = found.scanned.into();
        described["returned"] = found.texts.len().into();
        Ok(described.to_string().into_bytes())
    }

    fn found(
        &self,
        spec: &Arc<CollectionSpec>,
        query: &Query,
        options: ReadOptions,
    ) -> Result<(Found, serde_json::Value)> {
        let run = |extent| self.run_query(spec, query, options, extent, |search| search.run());
        let found = grow(query, |(found, _)| found, run)?;
        self.cache.count(false);
        Ok(found)
    }

    /// Returns what `run` finds, and how.
    fn run_query<T>(
        &self,
        spec: &Arc<CollectionSpec>,
        query: &Query,
        options: ReadOptions,
        extent: Extent,
        run: impl Fn(&Search<'_>) -> std::result::Result<T, SearchFailure>,
    ) -> Result<(T, serde_json::Value)> {
        for attempt in 0.. {
            cancel::check()?;
            let planned = self.with_loaded(spec, options, |state, loaded| {
                let indexes: Vec<&Index> = loaded.indexes.iter().collect();
                let plan = Plan::in_order(query, &indexes, &loaded.documents, extent);
                let candidates = plan.candidates(&indexes, &loaded.documents, extent.most)?;
                let entries = Entries::of(candidates, &loaded.documents);
                let described = plan.describe(query, &indexes);
                Ok::<_, Error>((plan.is_ordered(), entries, Arc::clone(&state.files), described))
            })?;
            let (ordered, entries, files, described) = planned?;
            let search = Search { spec, query, files, entries, ordered, changed: None };
            match run(&search) {
                Ok(found) => return Ok((found, described)),
                Err(SearchFailure::Other(error)) => return Err(error),
                Err(SearchFailure::Read(location, failure)) => {
                    self.reread(spec, &location, failure, attempt)?
                }
            }
        }
        Err(Error::Closed)
    }
}

impl Transaction<'_> {
    /// Returns the documents that a query asks for, in its order, counting what the group has changed.
    pub fn documents(&mut self, spec: &Arc<CollectionSpec>, query: &Query) -> Result<Vec<Arc<[u8]>>> {
        let run = |extent| self.run_query(spec, query, extent, |search| search.run());
        let found = grow(query, |found| found, run)?;
        self.note_answer(spec, |reads, documents| match query.is_for_all() {
            true => reads.note_all(spec, documents),
            false => reads.note_first(spec, documents, query, found.ranks),
        });
        Ok(found.texts)
    }

    /// Returns how many documents satisfy the condition of a query, counting what the group has changed. Its limit and
    /// offset do not count. Without a condition, no document is read.
    pub fn count(&mut self, spec: &Arc<CollectionSpec>, query: &Query) -> Result<usize> {
        let ids = self.run_query(spec, query, Extent::ALL, |search| search.ids())?;
        let count = ids.len();
        self.note_answer(spec, |reads, documents| reads.note_number(spec, documents, query, ids));
        Ok(count)
    }

    fn run_query<T>(
        &mut self,
        spec: &Arc<CollectionSpec>,
        query: &Query,
        extent: Extent,
        run: impl Fn(&Search<'_>) -> std::result::Result<T, SearchFailure>,
    ) -> Result<T> {
        let spec = &self.prepare(spec)?;
        let is_first = self.is_first_read();
        let found = self.search(spec, query, extent, &run);
        if !self.must_read_again(spec, is_first, &found)? {
            return found;
        }
        self.load(spec)?;
        self.search(spec, query, extent, &run)
    }

    fn search<T>(
        &self,
        spec: &Arc<CollectionSpec>,
        query: &Query,
        extent: Extent,
        run: impl Fn(&Search<'_>) -> std::result::Result<T, SearchFailure>,
    ) -> Result<T> {
        let overlay = self.group.collections.get(&spec.path);
        let is_changed = overlay.is_some_and(|overlay| !overlay.documents.is_empty());
        let (entries, ordered, files) = {
            let state = self.database.state.read();
            let (entries, ordered) = match state.loaded(&spec.path).filter(|_| !self.has_dropped(spec)) {
                Some(loaded) => {
                    let indexes: Vec<&Index> = loaded.indexes.iter().collect();
                    // Changes would have to be merged into the order.
                    let plan = match is_changed {
                        true => Plan::of(query, &indexes, &loaded.documents),
                        false => Plan::in_order(query, &indexes, &loaded.documents, extent),
                    };
                    let candidates = plan.candidates(&indexes, &loaded.documents, extent.most)?;
                    (Entries::of(candidates, &loaded.documents), plan.is_ordered())
                }
                None => (Entries::Some(Vec::new()), true),
            };
            (entries, ordered, Arc::clone(&state.files))
        };
        let changed = overlay.map(|overlay| Changed::of(overlay, query)).transpose()?;
        let search = Search { spec, query, files, entries, ordered, changed };
        run(&search).map_err(|failure| match failure {
            SearchFailure::Other(error) => error,
            SearchFailure::Read(location, failure) => self.database.read_error(spec, &location, failure),
        })
    }
}

impl Search<'_> {
    pub fn run(&self) -> std::result::Result<Found, SearchFailure> {
        let examined = self.examined();
        let returned = part(self.spec, |large| self.query.returns(large));
        let mut matches = Matches::new(self, examined == returned);
        let changed = matches.add_changed(returned)?;
        let stored = self.with_entries(|entries| matches.scan(entries, examined))?;
        matches.finish(returned, changed + stored)
    }

    /// Returns how many documents satisfy the condition.
    pub fn count(&self) -> std::result::Result<usize, SearchFailure> {
        let mut count = 0;
        self.each_match(|_| count += 1)?;
        Ok(count)
    }

    /// Returns the ids of the documents that satisfy the condition.
    pub fn ids(&self) -> std::result::Result<Vec<DocumentId>, SearchFailure> {
        let mut ids = Vec::new();
        self.each_match(|id| ids.push(id.clone()))?;
        Ok(ids)
    }

    /// Visits the documents that satisfy the condition. Without a condition, none of them is read.
    fn each_match(&self, mut visit: impl FnMut(&DocumentId)) -> std::result::Result<(), SearchFailure> {
        let (condition, examined) = (self.query.condition(), self.examined());
        for (id, put) in self.puts() {
            if condition.is_empty() || condition.holds(&put.whole()?.text) {
                visit(id);
            }
        }
        self.with_entries(|entries| {
            let mut entries = entries.filter(|(id, _)| !self.is_replaced(id));
            if condition.is_empty() {
                entries.for_each(|(id, _)| visit(id));
                return Ok(());
            }
            loop {
                cancel::check()?;
                let step: Vec<&Entry> = entries.by_ref().take(STEP).collect();
                if step.is_empty() {
                    return Ok(());
                }
                let examine = |(id, _): &Entry, text: &[u8]| {
                    if condition.holds(text) {
                        visit(id);
                    }
                };
                read_run(&self.files, step.into_iter(), examined, examine)?;
            }
        })
    }

    /// Returns what `work` returns for the stored entries.
    fn with_entries<'s, T>(&'s self, work: impl FnOnce(&mut dyn Iterator<Item = &'s Entry>) -> T) -> T {
        match &self.entries {
            Entries::Range { documents, range, descending } => {
                let mut entries = documents.range(range.0.as_ref(), range.1.as_ref());
                if *descending { work(&mut entries.rev()) } else { work(&mut entries) }
            }
            Entries::Some(entries) => work(&mut entries.iter()),
            Entries::Chosen { documents, ids, .. } => {
                work(&mut ids.iter().filter_map(|id| documents.entry(id)))
            }
        }
    }

    /// The documents that the transaction put and that may satisfy the condition.
    fn puts(&self) -> impl Iterator<Item = (&DocumentId, &Put)> {
        self.changed.iter().flat_map(|changed| changed.puts.iter().copied())
    }

    /// Whether a stored document is no longer the one under its id in the transaction.
    fn is_replaced(&self, id: &DocumentId) -> bool {
        self.changed.as_ref().is_some_and(|changed| changed.documents.contains_key(id))
    }

    fn examined(&self) -> Part {
        examined_part(self.spec, self.query)
    }

    /// Whether the entries come in descending order of their ids.
    fn descends(&self) -> bool {
        matches!(self.entries, Entries::Range { descending: true, .. })
    }

    /// Whether more candidates would follow the entries.
    fn is_cut(&self) -> bool {
        matches!(self.entries, Entries::Chosen { are_all: false, .. })
    }

    /// Whether the first matches found are the first of the answer.
    fn finds_in_order(&self) -> bool {
        (self.ordered || !self.query.has_order())
            && self.changed.as_ref().is_none_or(|changed| changed.documents.is_empty())
    }
}
