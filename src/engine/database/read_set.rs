//! What an interactive transaction has read, and whether it would read the same now.
//!
//! Single documents are compared by their stamps, and look-ups in indexes are repeated. The answers of queries are compared
//! with the documents that have changed since (precision locking, after Jordan, Banerjee and Batman, 1981): an answer stays
//! the same unless one of its documents has changed or another one now belongs to it. Changes elsewhere in the collection do
//! not matter.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::file_table::FileTable;
use super::overlay::{Overlay, Put};
use super::search::examined_part;
use super::texts::{Part, part_len, read_run};
use super::transaction::{Transaction, index_position};
use super::writer::Writer;
use super::{CollectionSpec, Database};
use crate::engine::document::DocumentId;
use crate::engine::document_map::{DocumentMap, Entry, Location, Stamp};
use crate::engine::error::Result;
use crate::engine::index::Index;
use crate::engine::query::{Query, Rank};

/// If more documents than this have changed, or more bytes of them would have to be read, every answer counts as changed:
/// the write lock is held while they are looked at.
const MOST_CHANGED: usize = 256;
const MOST_BYTES: u64 = 1 << 20;

/// What a transaction read of the published state.
#[derive(Default)]
pub struct ReadSet {
    collections: BTreeMap<Arc<str>, CollectionReads>,
}

/// Finds documents in an index. Finds the same as long as the index holds the same.
pub type IndexLookup = Arc<dyn Fn(&Index) -> Result<Vec<DocumentId>> + Send + Sync>;

struct CollectionReads {
    spec: Arc<CollectionSpec>,
    /// The stamp of each document that was read; `None` for one that was not there.
    documents: BTreeMap<DocumentId, Option<Stamp>>,
    lookups: Vec<Lookup>,
    answers: Vec<Answer>,
    /// All documents, as they were when the answers were last found the same; `None` if there are no answers.
    all: Option<DocumentMap>,
    /// The version of the collection when all this was last found unchanged. While it has that version, nothing has to be
    /// compared again: a step costs the same, however much the steps before it read.
    unchanged_at: Option<u64>,
}

struct Lookup {
    index: Box<str>,
    query: IndexLookup,
    found: Vec<DocumentId>,
}

impl Lookup {
    /// Whether it finds the same in these indexes, which are those of the spec.
    fn holds(&self, spec: &CollectionSpec, indexes: &[Index]) -> bool {
        let index = index_position(spec, &self.index).ok().and_then(|at| indexes.get(at));
        index.is_some_and(|index| (self.query)(index).is_ok_and(|found| found == self.found))
    }
}

/// What was found among all documents.
enum Answer {
    /// All of them.
    All,
    /// These, which come first among those that satisfy the condition of a query. A document with a smaller rank than
    /// `last` would be one of them; if `last` is `None`, any other that satisfies the condition.
    First { query: Query, ids: HashSet<DocumentId>, last: Option<Rank> },
    /// How many satisfy the condition of a query: these do.
    Number { query: Query, ids: HashSet<DocumentId> },
    /// How many there are.
    NumberOfAll,
}

impl Answer {
    fn of_first(query: &Query, ranks: Vec<Rank>) -> Answer {
        let is_full = Some(ranks.len()) == query.needed();
        let last = ranks.last().filter(|_| is_full).cloned();
        Answer::First { query: query.clone(), ids: ranks.into_iter().map(Rank::into_id).collect(), last }
    }

    fn of_number(query: &Query, ids: Vec<DocumentId>) -> Answer {
        if query.condition().is_empty() {
            return Answer::NumberOfAll;
        }
        Answer::Number { query: query.clone(), ids: ids.into_iter().collect() }
    }

    /// Whether the answer is another one now that the document under `id`, which was there or not, has this text or none.
    fn changes_with(&self, id: &DocumentId, was_there: bool, text: Option<&[u8]>) -> bool {
        match self {
            Answer::All => was_there || text.is_some(),
            Answer::First { query, ids, last } => {
                let comes_first = |text: &[u8]| last.as_ref().is_none_or(|last| query.rank(id, text) < *last);
                ids.contains(id)
                    || text.is_some_and(|text| query.condition().holds(text) && comes_first(text))
            }
            Answer::Number { query, ids } => {
                ids.contains(id) != text.is_some_and(|text| query.condition().holds(text))
            }
            Answer::NumberOfAll => was_there != text.is_some(),
        }
    }

    fn query(&self) -> Option<&Query> {
        match self {
            Answer::First { query, .. } | Answer::Number { query, .. } => Some(query),
            Answer::All | Answer::NumberOfAll => None,
        }
    }
}

impl ReadSet {
    fn of(&mut self, spec: &Arc<CollectionSpec>) -> &mut CollectionReads {
        self.collections.entry(Arc::clone(&spec.path)).or_insert_with(|| CollectionReads {
            spec: Arc::clone(spec),
            documents: BTreeMap::new(),
            lookups: Vec::new(),
            answers: Vec::new(),
            all: None,
            unchanged_at: None,
        })
    }

    /// Notes that a document was read.
    pub fn note(&mut self, spec: &Arc<CollectionSpec>, id: &DocumentId, stamp: Option<Stamp>) {
        self.of(spec).documents.insert(id.clone(), stamp);
    }

    /// Notes that a look-up in an index found these documents.
    pub fn note_lookup(
        &mut self,
        spec: &Arc<CollectionSpec>,
        index: &str,
        query: IndexLookup,
        found: Vec<DocumentId>,
    ) {
        self.of(spec).lookups.push(Lookup { index: index.into(), query, found });
    }

    /// Notes that all of these documents were read.
    pub fn note_all(&mut self, spec: &Arc<CollectionSpec>, documents: &DocumentMap) {
        let reads = self.of(spec);
        if !reads.answers.iter().any(|answer| matches!(answer, Answer::All)) {
            reads.add(Answer::All, documents);
        }
    }

    /// Notes that, of all documents that satisfy the condition of a query, those with these `ranks` come first.
    pub fn note_first(
        &mut self,
        spec: &Arc<CollectionSpec>,
        documents: &DocumentMap,
        query: &Query,
        ranks: Vec<Rank>,
    ) {
        // None is always the first of none.
        if query.needed() != Some(0) {
            self.of(spec).add(Answer::of_first(query, ranks), documents);
        }
    }

    /// Notes that these documents were counted, those that satisfy the condition of a query.
    pub fn note_number(
        &mut self,
        spec: &Arc<CollectionSpec>,
        documents: &DocumentMap,
        query: &Query,
        ids: Vec<DocumentId>,
    ) {
        self.of(spec).add(Answer::of_number(query, ids), documents);
    }

    /// Whether everything that was read is unchanged; `None` if the write lock is needed to tell. O(documents read + chunks
    /// of the collections searched + what has changed in them), of those collections that have changed since the last call.
    pub fn still_holds(
        &mut self,
        database: &Database,
        writer: &mut Writer,
        locked: bool,
    ) -> Result<Option<bool>> {
        for reads in self.collections.values_mut() {
            let spec = &database.declare(writer, &reads.spec);
            if !database.load_for_step(writer, spec, locked)? {
                return Ok(None);
            }
            let state = database.state.read();
            let Some(loaded) = state.loaded(&spec.path) else { return Ok(Some(false)) };
            let version = Some(state.version(&spec.path));
            if reads.unchanged_at == version {
                continue;
            }
            let current = |id: &DocumentId| loaded.documents.get(id).map(Location::stamp);
            if reads.documents.iter().any(|(id, stamp)| current(id) != *stamp)
                || !reads.lookups.iter().all(|lookup| lookup.holds(spec, &loaded.indexes))
            {
                return Ok(Some(false));
            }
            if let Some(before) = &reads.all {
                let (now, files) = (loaded.documents.clone(), Arc::clone(&state.files));
                // Files are read without the lock.
                drop(state);
                if !reads.answers_hold(before, &now, &files) {
                    return Ok(Some(false));
                }
                reads.all = Some(now);
            }
            reads.unchanged_at = version;
        }
        Ok(Some(true))
    }

    /// Whether a write that is about to commit would read the same, counting what the earlier requests of its group have
    /// changed.
    pub fn holds_for(&self, transaction: &mut Transaction<'_>) -> Result<bool> {
        for reads in self.collections.values() {
            for (id, stamp) in &reads.documents {
                if !transaction.holds_as_read(&reads.spec, id, *stamp)? {
                    return Ok(false);
                }
            }
            for Lookup { index, query, found } in &reads.lookups {
                if !transaction.finds_just(&reads.spec, index, query, found)? {
                    return Ok(false);
                }
            }
            if let Some(before) = &reads.all
                && !transaction.holds_answers(reads, before)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl CollectionReads {
    /// If earlier answers were found among other documents, the collection has been loaded anew within this step. These
    /// documents are kept then, so that the difference shows.
    fn add(&mut self, answer: Answer, documents: &DocumentMap) {
        self.answers.push(answer);
        self.all.get_or_insert_with(|| documents.clone());
    }

    /// Whether the answers that were found among the documents `before` are the same `now`.
    fn answers_hold(&self, before: &DocumentMap, now: &DocumentMap, files: &FileTable) -> bool {
        let Some(changed) = before.changes_to(now, MOST_CHANGED) else { return false };
        let differ = |id: &DocumentId, text: Option<&[u8]>| self.differ_with(before, id, text);
        // Nothing has to be read of documents that are gone, nor if every change matters.
        let all = self.answers.iter().any(|answer| matches!(answer, Answer::All));
        if changed.iter().any(|(id, entry)| all || entry.is_none() && differ(id, None)) {
            return false;
        }
        let entries: Vec<&Entry> = changed.into_iter().filter_map(|(_, entry)| entry).collect();
        let part = self.examined();
        if entries.iter().map(|(_, location)| part_len(location, part)).sum::<u64>() > MOST_BYTES {
            return false;
        }
        let mut same = true;
        let visit = |(id, _): &Entry, text: &[u8]| same = same && !differ(id, Some(text));
        // What cannot be read is not what was read before.
        let read = read_run(files, entries.into_iter(), part, visit);
        read.is_ok() && same
    }

    /// Whether an answer found among the documents `before` is another one after the changes of an overlay.
    fn differ_after(&self, before: &DocumentMap, overlay: &Overlay) -> Result<bool> {
        let part = self.examined();
        for (id, pending) in &overlay.documents {
            let text = match &pending.new {
                Some(put) if part == Part::Whole && put.len() > MOST_BYTES => return Ok(true),
                Some(put) => Some(text_of(put, part)?),
                None => None,
            };
            if self.differ_with(before, id, text.as_deref()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn differ_with(&self, before: &DocumentMap, id: &DocumentId, text: Option<&[u8]>) -> bool {
        let was_there = before.get(id).is_some();
        self.answers.iter().any(|answer| answer.changes_with(id, was_there, text))
    }

    /// Returns the part of a document at which the queries look.
    fn examined(&self) -> Part {
        let mut parts =
            self.answers.iter().filter_map(Answer::query).map(|query| examined_part(&self.spec, query));
        if parts.any(|part| part == Part::Whole) { Part::Whole } else { Part::Head }
    }
}

fn text_of(put: &Put, part: Part) -> Result<Arc<[u8]>> {
    match part {
        Part::Whole => Ok(put.whole()?.text),
        Part::Head => Ok(put.head_object().into()),
    }
}

impl Transaction<'_> {
    /// Whether the document is the one that was read. A document that an earlier request of the group put is a
    /// different one.
    fn holds_as_read(
        &mut self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        stamp: Option<Stamp>,
    ) -> Result<bool> {
        let spec = &self.prepare(spec)?;
        match self.group.put(&spec.path, id) {
            Some(put) => Ok(put.is_none() && stamp.is_none()),
            None => Ok(self.database.published_stamp(spec, id)? == stamp),
        }
    }

    /// Whether the answers that were found among the documents `before` are the same, counting the changes of the group.
    fn holds_answers(&mut self, reads: &CollectionReads, before: &DocumentMap) -> Result<bool> {
        let spec = &self.prepare(&reads.spec)?;
        if let Some(overlay) = self.group.collections.get(&spec.path) {
            if reads.differ_after(before, overlay)? {
                return Ok(false);
            }
            if overlay.dropped {
                return Ok(before.is_empty());
            }
        }
        let state = self.database.state.read();
        let Some(now) = state.loaded(&spec.path).map(|loaded| loaded.documents.clone()) else {
            return Ok(false);
        };
        let files = Arc::clone(&state.files);
        drop(state);
        Ok(reads.answers_hold(before, &now, &files))
    }
}
