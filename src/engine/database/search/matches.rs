//! The documents found so far by a query, kept as far as they may belong to the answer.

use std::sync::Arc;

use super::{Found, STEP, Search, SearchFailure};
use crate::engine::cancel;
use crate::engine::database::texts::{Part, read_run};
use crate::engine::document_map::Entry;
use crate::engine::error::Result;
use crate::engine::query::Rank;

/// Texts of matches are kept up to this size; others are read again once it is known that they belong to the answer.
const KEPT_BYTES: usize = 8 << 20;
/// Matches that are not needed are dropped once there are more than this.
const SURPLUS: usize = 4096;

struct Match {
    rank: Rank,
    source: Source,
}

enum Source {
    Stored(Entry),
    Text(Arc<[u8]>),
}

pub(super) struct Matches<'a> {
    search: &'a Search<'a>,
    found: Vec<Match>,
    /// Bytes of texts that are kept.
    kept: usize,
    keeps: bool,
}

impl<'a> Matches<'a> {
    /// `keeps` tells that the part of a document that is examined is the one that is returned.
    pub fn new(search: &'a Search<'a>, keeps: bool) -> Matches<'a> {
        Matches { search, found: Vec::new(), kept: 0, keeps }
    }

    /// Whether there are as many matches as the query needs at most.
    pub fn are_enough(&self) -> bool {
        self.search.query.needed().is_some_and(|needed| self.found.len() >= needed)
    }

    /// Looks at what the transaction put itself.
    pub fn add_changed(&mut self, returned: Part) -> Result<usize> {
        let query = self.search.query;
        let mut scanned = 0;
        for (id, put) in self.search.puts() {
            let document = put.whole()?;
            scanned += 1;
            if query.condition().holds(&document.text) {
                let text = match returned {
                    Part::Whole => Arc::clone(&document.text),
                    Part::Head => document.head_object().into(),
                };
                self.found.push(Match { rank: query.rank(id, &document.text), source: Source::Text(text) });
            }
        }
        Ok(scanned)
    }

    /// Looks at stored documents. Returns how many there were.
    pub fn scan<'b>(
        &mut self,
        entries: impl Iterator<Item = &'b Entry>,
        examined: Part,
    ) -> std::result::Result<usize, SearchFailure> {
        let search = self.search;
        let mut entries = entries.filter(|(id, _)| !search.is_replaced(id));
        let needed = search.query.needed();
        // Often the first step is enough. If it is not, the next ones read more at a time.
        let mut size = needed.map_or(STEP, |needed| needed.clamp(16, STEP));
        let mut scanned = 0;
        loop {
            cancel::check()?;
            if search.finds_in_order() && self.are_enough() {
                return Ok(scanned);
            }
            let mut step: Vec<&Entry> = entries.by_ref().take(size).collect();
            if step.is_empty() {
                return Ok(scanned);
            }
            size = STEP.min(size * 2);
            scanned += step.len();
            // Neighbours are read together, which ascend in their file.
            if search.descends() {
                step.reverse();
            }
            let before = self.found.len();
            let visit = |entry: &Entry, text: &[u8]| {
                if search.query.condition().holds(text) {
                    self.add(entry, text);
                }
            };
            read_run(&search.files, step.into_iter(), examined, visit)?;
            if search.descends() {
                self.found[before..].reverse();
            }
            self.drop_surplus();
        }
    }

    fn add(&mut self, entry: &Entry, text: &[u8]) {
        let keep = self.keeps && self.kept + text.len() <= KEPT_BYTES;
        let source = if keep { Source::Text(text.into()) } else { Source::Stored(entry.clone()) };
        self.kept += if keep { text.len() } else { 0 };
        self.found.push(Match { rank: self.search.query.rank(&entry.0, text), source });
    }

    /// Drops surplus matches if only the first of many are needed.
    fn drop_surplus(&mut self) {
        let Some(needed) = self.search.query.needed() else { return };
        if !self.search.finds_in_order() && self.found.len() > needed.saturating_mul(2).max(SURPLUS) {
            self.sort();
            self.found.truncate(needed);
            let texts = self.found.iter().map(|found| match &found.source {
                Source::Text(text) => text.len(),
                Source::Stored(_) => 0,
            });
            self.kept = texts.sum();
        }
    }

    fn sort(&mut self) {
        self.found.sort_by(|a, b| a.rank.cmp(&b.rank));
    }

    /// Returns what was found after `scanned` documents. Texts of the answer that were not kept are read again.
    pub fn finish(mut self, returned: Part, scanned: usize) -> std::result::Result<Found, SearchFailure> {
        let search = self.search;
        let is_cut = search.is_cut() && !self.are_enough();
        if !search.finds_in_order() {
            self.sort();
        }
        self.found.truncate(search.query.needed().unwrap_or(usize::MAX));
        let (ranks, sources) = self.found.into_iter().map(|found| (found.rank, found.source)).unzip();
        let page: Vec<Source> = search.query.page(sources);
        let mut texts = Vec::with_capacity(page.len());
        for step in page.chunks(STEP) {
            cancel::check()?;
            let stored = step.iter().filter_map(|source| match source {
                Source::Stored(entry) => Some(entry),
                Source::Text(_) => None,
            });
            let mut read: Vec<Arc<[u8]>> = Vec::new();
            read_run(&search.files, stored, returned, |_, text| read.push(text.into()))?;
            let mut read = read.into_iter();
            texts.extend(step.iter().filter_map(|source| match source {
                Source::Text(text) => Some(Arc::clone(text)),
                Source::Stored(_) => read.next(),
            }));
        }
        let select = |text: Arc<[u8]>| search.query.selected(&text).map_or(text, Arc::from);
        Ok(Found { texts: texts.into_iter().map(select).collect(), ranks, scanned, is_cut })
    }
}
