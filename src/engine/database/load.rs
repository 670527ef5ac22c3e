//! Taking a collection into memory: its snapshot, with what the journals say laid over it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{mem, thread};

use super::catch_up::headless;
use super::document_file::locate;
use super::read::LOAD_ATTEMPTS;
use super::state::{Change, Content, Dirty, IndexTimes, Loaded, matching};
use super::texts::{Part, read_text};
use super::writer::Writer;
use super::{CollectionSpec, Database, Foreign};
use crate::engine::cancel;
use crate::engine::checksum::FileHash;
use crate::engine::document::{Document, DocumentId};
use crate::engine::document_map::{DocumentMap, Entry, FileId, Location, Revision};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{File, FileBytes, FileHandle, Metadata, open_if_there, read_all};
use crate::engine::index::Index;
use crate::engine::journal::{CollectionRecord, Layout, SnapshotRecord};
use crate::engine::order;
use crate::engine::snapshot::{Scanned, scan_lines, scan_map};

/// What a person can do about a file that is missing or empty and should not be.
pub const WAYS_OUT: &str = "restore it from a backup, repair (which keeps what the journals have of it), or write {} into it to start afresh";

/// A file that ends in the middle is looked at again after this time. It counts as it is if it has not changed by then.
const PAUSE: Duration = Duration::from_millis(20);
/// How long to wait at most for somebody who writes into a file instead of renaming another one into place.
const LONGEST_WRITE: Duration = Duration::from_secs(1);
/// How often a load is repeated at most because checkpoints of other processes overtook it. Damage that stays must be reported
/// although others write all the time.
const MOST_OVERTAKEN: u32 = 8;

/// A snapshot file as it was read.
pub(super) struct SnapshotFile {
    pub file: Arc<dyn File>,
    pub bytes: FileBytes,
    pub hash: FileHash,
    pub seen: Metadata,
}

/// A collection as its snapshot has it. What has changed since is left out and noted as dirty.
#[derive(Default)]
pub(super) struct Base {
    pub entries: Vec<Entry>,
    /// One element per index of the collection.
    pub indexes: Vec<Index>,
    pub times: Vec<IndexTimes>,
    pub dirty: BTreeMap<DocumentId, Dirty>,
}

/// What the catalog says about a snapshot file.
enum Verdict {
    /// There is none, and there should be none.
    Absent,
    Known(SnapshotRecord),
    /// Not a state that the engine wrote or adopted.
    Foreign,
    Damaged(Error),
}

impl Database {
    /// Returns the spec that all callers of this process together want. If `spec` asks for more than they did so far, and
    /// may, the collection is unloaded, and loaded again when it is needed. O(indexes).
    pub(super) fn declare(&self, _: &mut Writer, spec: &Arc<CollectionSpec>) -> Arc<CollectionSpec> {
        let joined = {
            let state = self.state.read();
            let known = state.collections.get(&spec.path);
            let wanted = || {
                let own = self.owners().map(|owners| owners.spec).filter(|own| own.path == spec.path);
                known.map_or_else(|| Arc::clone(spec), |known| known.allowed(spec, own.as_deref()))
            };
            match known.and_then(|known| known.spec.as_ref()) {
                Some(before) if before.provides(spec) || before.provides(&wanted()) => {
                    return Arc::clone(before);
                }
                Some(before) => Arc::new(before.joined_with(&wanted())),
                None => wanted(),
            }
        };
        let mut state = self.state.write();
        let collection = state.collection(&spec.path);
        collection.spec = Some(Arc::clone(&joined));
        collection.unload();
        joined
    }

    /// Loads a collection unless it is loaded, and adopts its file if that is a foreign one. The write lock is held,
    /// unless the directory is read-only.
    pub(super) fn load(&self, writer: &mut Writer, spec: &Arc<CollectionSpec>) -> Result<()> {
        let spec = &self.declare(writer, spec);
        if self.try_load(writer, spec)? {
            return Ok(());
        }
        self.check_unasked(spec)?;
        let snapshot = self.read_snapshot(spec)?;
        match snapshot {
            Some(snapshot) => self.adopt(writer, spec, snapshot, &|id, raw| spec.adopted(id, raw)),
            None => self.load(writer, spec),
        }
    }

    /// Fails with `Unadopted` if a foreign file must first be judged by its caller.
    pub(super) fn check_unasked(&self, spec: &CollectionSpec) -> Result<()> {
        match spec.foreign {
            Foreign::Ask => Err(Error::Unadopted { path: spec.file(&self.directory) }),
            Foreign::Adopt(_) | Foreign::Refuse => Ok(()),
        }
    }

    /// Loads a collection whose file is known to the catalog. Returns false if the file must be adopted first.
    pub(super) fn try_load(&self, writer: &mut Writer, spec: &Arc<CollectionSpec>) -> Result<bool> {
        let spec = &self.declare(writer, spec);
        let mut overtaken = 0;
        loop {
            if self.state.read().loaded(&spec.path).is_some() {
                return Ok(true);
            }
            let seq = self.position().seq;
            let loaded = match self.or_close(self.restore(spec)) {
                Ok(false) => self.load_documents(writer, spec),
                other => other,
            };
            if !matches!(loaded, Err(Error::Corrupt { .. })) {
                return loaded;
            }
            // If the directory is gone or another one is in its place, that is what must be reported.
            self.check_tip()?;
            if overtaken == MOST_OVERTAKEN {
                return loaded;
            }
            // A checkpoint of another process may have removed a document's file since we looked at the journal.
            self.catch_up(writer)?;
            if self.position().seq == seq {
                return loaded;
            }
            overtaken += 1;
        }
    }

    /// Like [`Database::try_load`], but from the documents and not from an index checkpoint.
    pub(super) fn load_documents(&self, writer: &mut Writer, spec: &Arc<CollectionSpec>) -> Result<bool> {
        let spec = &self.declare(writer, spec);
        for attempt in 0..LOAD_ATTEMPTS {
            if self.or_close(self.load_in_pieces(spec))? {
                return Ok(true);
            }
            let snapshot = self.read_snapshot(spec)?;
            match self.judge(spec, snapshot.as_ref()) {
                Verdict::Absent => return self.install(spec, None, None).map(|()| true),
                Verdict::Known(record) => return self.install(spec, snapshot, Some(&record)).map(|()| true),
                // Another process may have checkpointed since we looked at the journal.
                _ if attempt == 0 && !self.is_read_only() => self.catch_up(writer)?,
                _ if self.is_read_only() && self.read_again()? => {}
                Verdict::Foreign => return Ok(false),
                // What the journals hold of the collection stays noted: it counts again once the file is repaired.
                Verdict::Damaged(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Reads the file, once nobody is in the middle of writing it.
    pub(super) fn read_snapshot(&self, spec: &CollectionSpec) -> Result<Option<SnapshotFile>> {
        let seen = |found: &Option<SnapshotFile>| found.as_ref().map(|snapshot| snapshot.seen);
        let end = Instant::now() + LONGEST_WRITE;
        let mut found = self.read_file(spec)?;
        while self.is_unfinished(spec, found.as_ref()) && Instant::now() < end {
            cancel::check()?;
            thread::sleep(PAUSE);
            let before = mem::replace(&mut found, self.read_file(spec)?);
            if seen(&found) == seen(&before) {
                break;
            }
        }
        Ok(found)
    }

    /// Whether a file that should be there is gone or ends in the middle, as it does while an editor is writing it.
    fn is_unfinished(&self, spec: &CollectionSpec, found: Option<&SnapshotFile>) -> bool {
        let state = self.state.read();
        let record = state.catalog.get(&*spec.path);
        let is_expected = is_known(record) && !record.is_some_and(|record| record.absent);
        let ends = |snapshot: &SnapshotFile| snapshot.bytes.trim_ascii_end().ends_with(b"}");
        let is_whole = |snapshot: &SnapshotFile| matching(record, snapshot.hash).is_some() || ends(snapshot);
        is_expected && !found.is_some_and(is_whole)
    }

    fn read_file(&self, spec: &CollectionSpec) -> Result<Option<SnapshotFile>> {
        let path = spec.file(&self.directory);
        let Some(file) = open_if_there(&*self.fs, &path).at("open", &path)? else { return Ok(None) };
        let seen = file.metadata().at("look up", &path)?;
        let bytes = read_all(&*file).at("read", &path)?;
        let hash = FileHash::of(&bytes);
        Ok(Some(SnapshotFile { file, bytes, hash, seen }))
    }

    fn judge(&self, spec: &CollectionSpec, snapshot: Option<&SnapshotFile>) -> Verdict {
        let state = self.state.read();
        let record = state.catalog.get(&*spec.path);
        let dropped = record.is_some_and(|record| record.dropped.is_some());
        let expected = is_known(record);
        let refuses = matches!(spec.foreign, Foreign::Refuse);
        let damaged = |problem: &str| {
            let what_to_do = if refuses {
                "rebuild it, repair (which adopts definitions), restore it from a backup, or write {} into it to start afresh"
            } else {
                WAYS_OUT
            };
            Verdict::Damaged(Error::corrupt(
                &spec.file(&self.directory),
                0,
                format!("{problem}; {what_to_do}"),
            ))
        };
        match snapshot {
            None if expected && !record.is_some_and(|record| record.absent) => damaged("the file is missing"),
            None => Verdict::Absent,
            Some(snapshot) => match matching(record, snapshot.hash) {
                // A crash left the file of a dropped collection behind, or its repeated removal left an empty one.
                Some(_) if dropped => Verdict::Absent,
                None if dropped && snapshot.bytes.is_empty() => Verdict::Absent,
                Some(known) => Verdict::Known(known.clone()),
                None if expected && snapshot.bytes.is_empty() => damaged("the file is empty"),
                None if refuses && !is_empty_map(&snapshot.bytes) => {
                    damaged("the file is not the one that was written")
                }
                None => Verdict::Foreign,
            },
        }
    }

    /// Builds the collection from its snapshot and the changes since.
    pub(super) fn install(
        &self,
        spec: &Arc<CollectionSpec>,
        snapshot: Option<SnapshotFile>,
        record: Option<&SnapshotRecord>,
    ) -> Result<()> {
        self.or_close(self.build(spec, snapshot, record))
    }

    /// Closes what was opened for a collection that cannot be loaded: callers may ask for it again and again.
    fn or_close<T>(&self, loaded: Result<T>) -> Result<T> {
        loaded.inspect_err(|_| self.state.write().drop_unused_files())
    }

    /// Adds the snapshot that a collection is loaded from to the table of files.
    pub(super) fn add_snapshot(&self, spec: &CollectionSpec, file: Arc<dyn File>) -> FileId {
        let handle = FileHandle::new(&self.fs, spec.file(&self.directory), file);
        self.state.write().files_mut().add_snapshot(handle)
    }

    fn build(
        &self,
        spec: &Arc<CollectionSpec>,
        snapshot: Option<SnapshotFile>,
        record: Option<&SnapshotRecord>,
    ) -> Result<()> {
        let changes = self.changes_beyond(spec, record);
        let seen = snapshot.as_ref().map(|snapshot| snapshot.seen);
        let scanned = match (&snapshot, record) {
            (Some(snapshot), Some(record)) => {
                let scanned = scan(&snapshot.bytes, record).map_err(|error| {
                    Error::corrupt(&spec.file(&self.directory), error.offset as u64, error.problem)
                })?;
                last_of_each(scanned)
            }
            _ => Vec::new(),
        };
        let mut base = Base {
            entries: Vec::with_capacity(scanned.len() + changes.len()),
            indexes: spec.empty_indexes(),
            times: self.times_of_built(spec),
            dirty: BTreeMap::new(),
        };
        let file = snapshot.as_ref().map(|snapshot| self.add_snapshot(spec, Arc::clone(&snapshot.file)));
        if let (Some(snapshot), Some(file)) = (&snapshot, file) {
            for (at, found) in scanned.iter().enumerate() {
                if at % cancel::STEP == 0 {
                    cancel::check()?;
                }
                let text = &snapshot.bytes[found.text.clone()];
                if let Some(change) = changes.get(&found.id) {
                    let hash = document_location(spec, file, 0, text).hash;
                    base.dirty.insert(found.id.clone(), Dirty { seq: change.seq, base: Some(hash) });
                    continue;
                }
                let location = document_location(spec, file, found.text.start as u64, text);
                index_document(spec, &mut base.indexes, &found.id, &text[..location.head as usize]);
                base.entries.push((found.id.clone(), location));
            }
        }
        self.install_base(spec, base, file.zip(seen), changes)
    }

    /// Returns the changes that the journals hold of the collection beyond its snapshot.
    pub(super) fn changes_beyond(
        &self,
        spec: &CollectionSpec,
        record: Option<&SnapshotRecord>,
    ) -> BTreeMap<DocumentId, Change> {
        let (mut changes, covers) = {
            let state = self.state.read();
            // While a power loss may still undo the rename that brought this file, what it holds beyond the state
            // before counts as changed: the next checkpoint writes it again, and the journals are kept until then.
            let covers = record.map_or(0, |record| record.covers.min(state.covered_by_any(&spec.path)));
            (state.changes(&spec.path), covers)
        };
        changes.retain(|_, change| change.seq > covers);
        changes
    }

    /// Lays the changes since the snapshot over the collection and publishes it to readers.
    pub(super) fn install_base(
        &self,
        spec: &Arc<CollectionSpec>,
        mut base: Base,
        snapshot: Option<(FileId, Metadata)>,
        changes: BTreeMap<DocumentId, Change>,
    ) -> Result<()> {
        let kept = changes.len();
        self.lay_over(spec, changes, &mut base)?;
        self.set_revisions(spec, &mut base.entries);
        let loaded = Loaded {
            spec: Arc::clone(spec),
            documents: DocumentMap::from_entries(base.entries),
            indexes: base.indexes,
            times: base.times,
            dirty: base.dirty,
            snapshot: snapshot.map(|(file, _)| file),
            seen: snapshot.map(|(_, seen)| seen),
            checked: Instant::now(),
            // The cache may have been cleared since the file was opened, so the first read after any clearing looks again.
            clears: 0,
        };
        let mut state = self.state.write();
        let collection = state.collection(&spec.path);
        collection.renew_version();
        let before = collection.before.take();
        let content = mem::replace(&mut collection.content, Content::Loaded(loaded));
        // A collection that was not loaded before leaves no file unused, unless the snapshot holds some of the changes
        // that were noted. Looking through all collections each time one is loaded would take longer than loading them.
        let is_first = before.is_none() && matches!(content, Content::Unloaded(noted) if noted.len() == kept);
        if !is_first {
            state.drop_unused_files();
        }
        Ok(())
    }

    /// Gives documents that were found in files the revisions that they had before the collection was unloaded, so that
    /// reading them again does not count as a change.
    fn set_revisions(&self, spec: &CollectionSpec, entries: &mut [Entry]) {
        let before = self.state.read().collections.get(&spec.path).and_then(|known| known.before.clone());
        let before = before.unwrap_or_default();
        let fresh = Revision::fresh();
        for (id, location) in entries {
            if location.revision == Revision::UNKNOWN {
                let same = |known: &&Location| (known.hash, known.len) == (location.hash, location.len);
                location.revision = before.get(id).filter(same).map_or(fresh, |known| known.revision);
            }
        }
    }

    /// Adds the documents that are in journals. Their heads can be found now that the large field is known.
    fn lay_over(
        &self,
        spec: &CollectionSpec,
        changes: BTreeMap<DocumentId, Change>,
        base: &mut Base,
    ) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let files = Arc::clone(&self.state.read().files);
        let now = self.fs.now_ms();
        base.times.iter_mut().for_each(|times| times.last_changed = now);
        for (at, (id, change)) in changes.into_iter().enumerate() {
            if at % cancel::STEP == 0 {
                cancel::check()?;
            }
            base.dirty.entry(id.clone()).or_insert(Dirty { seq: change.seq, base: None });
            let Some(location) = change.location else { continue };
            if files.holds_one_document(location.file) {
                let (location, head) = locate(spec, &files, &location)
                    .map_err(|failure| self.read_error(spec, &location, failure))?;
                insert_entries(spec, &mut base.indexes, &id, &head);
                base.entries.push((id, location));
                continue;
            }
            let text = read_text(&files, &location, Part::Whole)
                .map_err(|failure| self.read_error(spec, &location, failure))?;
            let document = Document::new(text.into(), spec.large_field);
            index_document(spec, &mut base.indexes, &id, &document.text[..document.head]);
            base.entries.push((id, Location { hash: document.hash, head: document.head as u32, ..location }));
        }
        Ok(())
    }

    /// Unloads every collection whose file is no longer the one that was read. Does nothing while somebody is writing,
    /// who may be the caller: the next checkpoint looks then. O(loaded collections).
    pub fn notice_all_edits(&self) -> Result<()> {
        let Some(_writer) = self.writer.try_lock() else { return Ok(()) };
        let specs: Vec<Arc<CollectionSpec>> = {
            let state = self.state.read();
            let loaded = state.collections.keys().filter_map(|path| state.loaded(path));
            loaded.map(|loaded| Arc::clone(&loaded.spec)).collect()
        };
        specs.iter().try_for_each(|spec| self.notice_edit(spec))
    }

    /// Unloads the collection if its file is no longer the one that was read, unless the file was removed and is to be
    /// written again.
    pub(super) fn notice_edit(&self, spec: &CollectionSpec) -> Result<()> {
        let path = spec.file(&self.directory);
        let clears = self.cache.clears();
        let seen = self.fs.metadata(&path).at("look up", &path)?;
        let is_open = seen.is_none() && self.removed_file(spec)?.is_some();
        let mut state = self.state.write();
        let collection = state.collection(&spec.path);
        match &mut collection.content {
            Content::Loaded(loaded) if loaded.seen == seen => {
                loaded.checked = Instant::now();
                loaded.clears = clears;
            }
            // The next checkpoint writes the file again, from what is still known of it.
            Content::Loaded(loaded) if is_open && !loaded.dirty.is_empty() => {}
            Content::Loaded(_) => collection.unload(),
            Content::Unloaded(_) => {}
        }
        Ok(())
    }
}

/// Finds the documents in a snapshot that the catalog knows.
pub fn scan(bytes: &[u8], record: &SnapshotRecord) -> Result<Vec<Scanned>, crate::engine::json::JsonError> {
    match record.layout {
        Layout::Lines => scan_lines(bytes),
        Layout::Map => scan_map(bytes),
        Layout::Void => Ok(Vec::new()),
    }
}

/// Sorts members by id. Of two with the same key, only the later one counts.
pub(super) fn last_of_each(mut scanned: Vec<Scanned>) -> Vec<Scanned> {
    if !scanned.is_sorted_by(|a, b| a.id < b.id) {
        scanned.reverse();
        order::sort_by(&mut scanned, |a, b| a.id.cmp(&b.id));
        scanned.dedup_by(|earlier, kept| earlier.id == kept.id);
    }
    scanned
}

pub(super) fn document_location(spec: &CollectionSpec, file: FileId, offset: u64, text: &[u8]) -> Location {
    let head = crate::engine::document::head_len(text, spec.large_field);
    let hash = crate::engine::checksum::document_hash(text, head);
    Location { offset, hash, file, len: text.len() as u32, head: head as u32, revision: Revision::UNKNOWN }
}

pub(super) fn index_document(spec: &CollectionSpec, indexes: &mut [Index], id: &DocumentId, head: &[u8]) {
    if indexes.is_empty() {
        return;
    }
    insert_entries(spec, indexes, id, &crate::engine::document::close_head(head));
}

/// Adds what a document has in the indexes. `head` is a JSON object.
pub(super) fn insert_entries(spec: &CollectionSpec, indexes: &mut [Index], id: &DocumentId, head: &[u8]) {
    for (index, entries) in indexes.iter_mut().zip(spec.entries(head)) {
        index.insert(id, entries);
    }
}

/// Returns the documents of a snapshot without knowing the spec of the collection, as a checkpoint needs them.
pub(super) fn bare_entries(bytes: &[u8], scanned: Vec<Scanned>, file: FileId) -> Vec<Entry> {
    let entry = |found: Scanned| {
        let text = &bytes[found.text.clone()];
        let hash = headless(text).hash;
        let (offset, len) = (found.text.start as u64, text.len() as u32);
        let location = Location { offset, hash, file, len, head: 0, revision: Revision::UNKNOWN };
        (found.id, location)
    };
    scanned.into_iter().map(entry).collect()
}

/// Whether the file is an empty map, by which a person says to start afresh.
fn is_empty_map(bytes: &[u8]) -> bool {
    matches!(scan_map(bytes), Ok(found) if found.is_empty())
}

/// Whether the catalog knows a file for this collection.
pub fn is_known(record: Option<&CollectionRecord>) -> bool {
    record.is_some_and(|record| !record.snapshots.is_empty() && record.dropped.is_none())
}

#[cfg(test)]
mod tests;
