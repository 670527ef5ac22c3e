//! Catching up with what other processes committed.

use std::sync::Arc;

use super::document_file::locate;
use super::state::{Change, Content, Position, Prepared, State};
use super::writer::Writer;
use super::{CollectionSpec, Database, Mutant};
use crate::engine::document::{Document, DocumentId};
use crate::engine::document_map::{FileId, Location, Revision};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{FileHandle, OpenMode, read_exact_at};
use crate::engine::index::Entries;
use crate::engine::journal::{Body, LargeDocument, Line, Lines, Op, TipSlot, journal_path};

/// A committed batch of another process, with everything needed to publish it.
struct ForeignBatch {
    position: Position,
    steps: Vec<Step>,
}

enum Step {
    Change { path: String, change: Prepared },
    Unloaded { path: String, id: DocumentId, change: Change },
    Drop { path: String, seq: u64 },
    Remove { path: String, seq: u64 },
    Keep { path: String },
    Snapshot { path: String, record: crate::engine::journal::SnapshotRecord, adopted: bool },
    Covered,
}

impl Step {
    /// Returns the collection and the document that this step changes for readers; without an id, all its documents.
    fn changed(&self) -> Option<(&str, Option<&DocumentId>)> {
        match self {
            Step::Change { path, change } => Some((path, Some(&change.id))),
            Step::Unloaded { path, id, .. } => Some((path, Some(id))),
            Step::Drop { path, .. } | Step::Snapshot { path, adopted: true, .. } => Some((path, None)),
            Step::Remove { .. }
            | Step::Keep { .. }
            | Step::Snapshot { adopted: false, .. }
            | Step::Covered => None,
        }
    }
}

impl Database {
    /// Applies every batch up to the tip. If there is none, this costs one look at shared memory.
    pub(super) fn catch_up(&self, writer: &mut Writer) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        self.check_replaced()?;
        let slot = self.tip_slot()?;
        let position = self.position();
        if slot.seq <= position.seq && slot.generation == position.generation {
            return Ok(());
        }
        match self.follow(writer, slot, position) {
            // What was to be read may have been removed meanwhile, together with its generation.
            Err(_) if self.tip_slot()?.generation > slot.generation => self.reload(writer),
            other => other,
        }
    }

    fn follow(&self, writer: &mut Writer, slot: TipSlot, position: Position) -> Result<()> {
        if slot.generation == position.generation {
            let end = if self.is_mutant(Mutant::ReadPastTip) {
                let files = self.files(writer)?;
                files.journal.metadata().at("look up", &journal_path(&self.directory, slot.generation))?.len
            } else {
                slot.end
            };
            return self.take_in(writer, end);
        }
        if slot.generation == position.generation + 1 && self.follow_switch(writer)? {
            return self.catch_up(writer);
        }
        // The journals cannot be followed from the generation of memory to that of the tip.
        self.reload(writer)
    }

    /// Applies the rest of the current generation and moves on to the next. Returns false if that cannot be done.
    fn follow_switch(&self, writer: &mut Writer) -> Result<bool> {
        let position = self.position();
        let next = position.generation + 1;
        let path = journal_path(&self.directory, next);
        let Ok(journal) = self.fs.open(&path, OpenMode::ReadWrite) else { return Ok(false) };
        let Some((header, checksum, end)) = super::generations::read_header(&*journal, &path, next)? else {
            return Ok(false);
        };
        let Some(previous) = header.previous else { return Ok(false) };
        self.take_in(writer, previous.end)?;
        let caught_up = self.position();
        if (caught_up.seq, caught_up.checksum) != (header.seq, previous.checksum.0) {
            return Ok(false);
        }
        let mut state = self.state.write();
        state.journal = state.files_mut().add_open(&*path, Arc::clone(&journal));
        state.begin_generation(&header);
        state.position = Position { generation: next, seq: header.seq, end, checksum, durable: header.seq };
        drop(state);
        self.files(writer)?.journal = journal;
        // Dropped collections have left the catalog, so what memory holds of them can be forgotten.
        writer.most_collections = 0;
        Ok(true)
    }

    /// Applies the batches of the current journal up to `end`.
    fn take_in(&self, writer: &mut Writer, end: u64) -> Result<()> {
        let position = self.position();
        if end <= position.end {
            return Ok(());
        }
        let path = journal_path(&self.directory, position.generation);
        let mut bytes = vec![0; (end - position.end) as usize];
        let journal = Arc::clone(&self.files(writer)?.journal);
        read_exact_at(&*journal, &mut bytes, position.end).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::corrupt(&path, position.end, "acknowledged batches are missing; restore a backup")
            }
            _ => Error::io("read", &path, &error),
        })?;
        let (salt, file) = {
            let state = self.state.read();
            (state.salt(), state.journal)
        };
        let mut lines = Lines::new(&bytes, salt, 0, position.seq, position.checksum);
        self.counters.catch_ups.add(1);
        let mut relocated = false;
        for line in lines.by_ref() {
            let foreign = self.prepare(&bytes, &line, file, &position)?;
            let mut state = self.state.write();
            relocated |= foreign.publish(&mut state);
            drop(state);
            self.counters.caught_up_batches.add(1);
            self.feed.publish(&line.body);
        }
        if relocated {
            self.state.write().drop_unused_files();
        }
        if lines.position < bytes.len() && !self.is_mutant(Mutant::ReadPastTip) {
            let at = position.end + lines.position as u64;
            return Err(Error::corrupt(&path, at, "an acknowledged batch is damaged; restore a backup"));
        }
        Ok(())
    }

    fn prepare(&self, bytes: &[u8], line: &Line<'_>, file: FileId, start: &Position) -> Result<ForeignBatch> {
        let mut steps = Vec::new();
        let body = &line.body;
        for op in &body.ops {
            self.prepare_op(bytes, body, op, file, start.end, &mut steps)?;
        }
        let position = Position {
            generation: start.generation,
            seq: body.seq,
            end: start.end + line.end as u64,
            checksum: line.checksum,
            durable: body.durable,
        };
        Ok(ForeignBatch { position, steps })
    }

    fn prepare_op(
        &self,
        bytes: &[u8],
        body: &Body<'_>,
        op: &Op<'_>,
        file: FileId,
        base: u64,
        steps: &mut Vec<Step>,
    ) -> Result<()> {
        if let Some(path) = &op.remove {
            steps.push(Step::Remove { path: path.clone(), seq: body.seq });
        }
        if let Some(path) = &op.keep {
            steps.push(Step::Keep { path: path.clone() });
        }
        if let Some(path) = &op.drop {
            steps.push(Step::Drop { path: path.clone(), seq: body.seq });
        }
        if let (Some(path), Some(record)) = (&op.snapshot, &op.record) {
            steps.push(Step::Snapshot { path: path.clone(), record: record.clone(), adopted: op.adopted });
        }
        if op.covered.is_some() {
            steps.push(Step::Covered);
        }
        let Some(path) = &op.collection else { return Ok(()) };
        let mut spec = self.state.read().loaded(path).map(|loaded| Arc::clone(&loaded.spec));
        let dropped =
            steps.iter().any(|step| matches!(step, Step::Drop { path: dropped, .. } if dropped == path));
        for (key, large) in &op.large {
            let id = DocumentId::from_key(key);
            let (location, head) = self.open_large(spec.as_deref(), large)?;
            let new = |spec: &CollectionSpec| spec.entries(&head);
            let changed = Change { location: Some(location), seq: body.seq, base: None };
            steps.push(self.step(path, &mut spec, dropped, id, changed, new)?);
        }
        let puts =
            op.put.0.iter().map(|(key, text)| (DocumentId::from_key(key), Some(text.get().as_bytes())));
        let deletes = op.delete.iter().map(|key| (DocumentId::from_key(key), None));
        for (id, text) in puts.chain(deletes) {
            let offset = text.map(|text| base + (text.as_ptr() as usize - bytes.as_ptr() as usize) as u64);
            let large_field = spec.as_ref().and_then(|spec| spec.large_field);
            let document = text.map(|text| match spec {
                Some(_) => Document::new(text.into(), large_field),
                None => headless(text),
            });
            let location = document.as_ref().zip(offset).map(|(document, offset)| Location {
                offset,
                hash: document.hash,
                file,
                len: document.text.len() as u32,
                head: document.head as u32,
                revision: Revision::fresh(),
            });
            let new = |spec: &CollectionSpec| match &document {
                Some(document) => spec.entries(&document.head_object()),
                None => spec.no_entries(),
            };
            let changed = Change { location, seq: body.seq, base: None };
            steps.push(self.step(path, &mut spec, dropped, id, changed, new)?);
        }
        Ok(())
    }

    /// Returns the step that changes one document. `loaded` is the spec of the collection, if it is loaded. If somebody
    /// wrote over its open file, the old index entries of the document cannot be read: the collection is unloaded, and
    /// its next load finds what the file holds now.
    fn step(
        &self,
        path: &str,
        loaded: &mut Option<Arc<CollectionSpec>>,
        dropped: bool,
        id: DocumentId,
        change: Change,
        new: impl FnOnce(&CollectionSpec) -> Vec<Entries>,
    ) -> Result<Step> {
        let path = path.to_owned();
        let Some(spec) = loaded.as_ref() else { return Ok(Step::Unloaded { path, id, change }) };
        let old = if dropped { Ok(spec.no_entries()) } else { self.published_entries(spec, &id, None) };
        match old {
            Ok(old) => {
                let Change { location, seq, .. } = change;
                let change = Prepared { id, location, old, new: new(spec), seq, now: self.fs.now_ms() };
                Ok(Step::Change { path, change })
            }
            Err(Error::Corrupt { .. }) => {
                self.state.write().collection(&path).unload();
                *loaded = None;
                Ok(Step::Unloaded { path, id, change })
            }
            Err(error) => Err(error),
        }
    }

    /// Adds a document file to the table. Returns where the document is and, given the spec, its head.
    fn open_large(
        &self,
        spec: Option<&CollectionSpec>,
        large: &LargeDocument,
    ) -> Result<(Location, Vec<u8>)> {
        let handle = FileHandle::closed(&self.fs, self.reserved(&large.file));
        let (location, files) = {
            let mut state = self.state.write();
            let location = large.location(state.files_mut().add_document(handle));
            (location, Arc::clone(&state.files))
        };
        let Some(spec) = spec else { return Ok((location, Vec::new())) };
        locate(spec, &files, &location).map_err(|failure| self.read_error(spec, &location, failure))
    }
}

/// Returns a document of a collection whose large field is not known yet.
pub(super) fn headless(text: &[u8]) -> Document {
    Document { text: text.into(), head: 0, hash: crate::engine::checksum::document_hash(text, 0) }
}

impl ForeignBatch {
    /// Publishes the batch. Returns whether documents moved to other files, so that unused files may be closed.
    fn publish(self, state: &mut State) -> bool {
        let mut relocated = false;
        let seq = self.position.seq;
        for step in self.steps {
            if let Some((path, id)) = step.changed() {
                state.recent.push(seq, &path.into(), id.cloned());
            }
            match step {
                Step::Change { path, change } => {
                    let collection = state.collection(&path);
                    collection.renew_version();
                    match &mut collection.content {
                        Content::Loaded(loaded) => loaded.publish(change),
                        // An adopted snapshot earlier in the same batch unloaded it.
                        _ => {
                            let Prepared { location, seq, .. } = change;
                            collection.note(change.id, Change { location, seq, base: None })
                        }
                    }
                }
                Step::Unloaded { path, id, change } => {
                    let collection = state.collection(&path);
                    collection.renew_version();
                    collection.note(id, change);
                }
                Step::Drop { path, seq } => {
                    state.record_drop(&path, seq);
                    relocated = true;
                }
                Step::Remove { path, seq } => state.removals.insert(path, seq),
                Step::Keep { path } => state.cancel_removals(&[path]),
                Step::Snapshot { path, record, adopted } => {
                    // Until the rename of a snapshot is durable, memory finds all documents where they were.
                    if adopted {
                        state.collection(&path).unload();
                        state.adoptions.insert(seq);
                        relocated = true;
                    }
                    state.record_snapshot(&path, record, adopted);
                }
                Step::Covered => {
                    for path in state.confirm_snapshots() {
                        state.collection(&path).unload();
                        state.forget_covered(&path);
                    }
                    relocated = true;
                }
            }
        }
        state.position = self.position;
        relocated
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::engine::database::{DatabaseOptions, ReadOptions};
    use crate::engine::fs::{Call, Fault, Repeat, SimFs};
    use crate::engine::lock::Wait;
    use crate::engine::options::Durability;

    const READ: ReadOptions = ReadOptions { cached: false, lock_timeout: Duration::from_secs(5) };
    const PATHS: [&str; 3] = ["read.json", "written.json", "dropped.json"];

    fn spec(path: &str) -> Arc<CollectionSpec> {
        Arc::new(CollectionSpec { large_field: Some("content"), ..CollectionSpec::plain(path) })
    }

    fn machine() -> SimFs {
        let fs = SimFs::new();
        fs.make_dirs("/database");
        fs
    }

    fn open(fs: &SimFs) -> Arc<Database> {
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        Database::open(fs.process().handle(), Path::new("/database"), options).expect("opens")
    }

    fn text(id: u64, name: &str) -> String {
        format!("{{\"id\":{id},\"name\":\"{name}\"}}")
    }

    fn put(database: &Database, path: &str, id: u64, name: &str) {
        let (spec, text) = (spec(path), text(id, name).into_bytes());
        database.write(Durability::Full, move |tx| tx.put(&spec, id.into(), text)).expect("written");
    }

    fn get(database: &Database, path: &str, id: u64) -> Option<String> {
        let found = database.get(&spec(path), &id.into(), READ).expect("readable");
        found.map(|document| String::from_utf8_lossy(&document.text).into_owned())
    }

    fn checkpoint(database: &Database) -> Result<()> {
        database.checkpoint(Wait::at_most(Duration::from_secs(5)))
    }

    /// Describes what a process knows of a database: its position, the catalog, what is left to do.
    fn knowledge(database: &Database) -> String {
        let state = database.state.read();
        let mut changes: Vec<String> = state
            .collections
            .iter()
            .flat_map(|(path, collection)| {
                collection
                    .changes()
                    .into_iter()
                    .map(move |(id, change)| format!("{path} {id} {}", change.seq))
            })
            .collect();
        changes.sort_unstable();
        format!(
            "{:?}\ncovered {}, removed {} {:?}\n{:#?}\n{changes:#?}",
            (state.position.generation, state.position.seq, state.position.end, state.position.checksum),
            state.covered(),
            state.removed,
            state.removals,
            state.catalog,
        )
    }

    /// Follows a process that writes and checkpoints; `failing` picks a call that fails in some checkpoints.
    fn follow(failing: Option<fn(&Call) -> bool>) {
        let fs = machine();
        let writing = fs.process();
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let writer = Database::open(writing.handle(), Path::new("/database"), options).expect("opens");
        let reader = open(&fs);
        for round in 0..12 {
            let name = round.to_string();
            // Every third checkpoint has only one collection to write.
            for path in PATHS.iter().skip(if round % 3 == 2 { 2 } else { 0 }) {
                put(&writer, path, round % 5, &name);
            }
            if round % 4 == 3 {
                let dropped = spec("dropped.json");
                writer
                    .write(Durability::Full, move |tx| {
                        tx.drop_collection(&dropped)?;
                        tx.remove_path("folder")
                    })
                    .expect("dropped");
            }
            get(&reader, "read.json", 0);
            if round % 3 == 0 {
                // The reader also reads between the renames and the line that says that they are durable.
                let reader = Arc::clone(&reader);
                let is_sync =
                    |call: &Call| matches!(call, Call::SyncDir { path } if path.ends_with("database"));
                writing.before(is_sync, move || {
                    reader.notice_all_edits().expect("looked at");
                    get(&reader, "read.json", 0);
                });
            }
            if let Some(failing) = failing.filter(|_| round % 3 == 1) {
                writing.fail_when(failing, Fault::Io, Repeat::Once);
                assert!(checkpoint(&writer).is_err());
            } else {
                checkpoint(&writer).expect("checkpointed");
            }
            if round % 2 == 1 {
                put(&writer, "written.json", 7, &name);
            }
            get(&reader, "read.json", 0);
            let fresh = open(&fs);
            assert_eq!(get(&fresh, "read.json", 0), get(&reader, "read.json", 0));
            assert_eq!(knowledge(&reader), knowledge(&fresh), "in round {round}");
            assert_eq!(knowledge(&writer), knowledge(&fresh), "in round {round}");
            let open_files = |database: &Database| database.state.read().files.open_count();
            assert_eq!(open_files(&reader), open_files(&fresh), "in round {round}");
        }
    }

    #[test]
    fn a_reader_that_caught_up_knows_the_same_as_a_process_that_just_opened() {
        follow(None);
    }

    #[test]
    fn a_reader_that_caught_up_after_failed_checkpoints_knows_the_same_as_a_new_one() {
        follow(Some(|call| matches!(call, Call::Rename { to, .. } if to.ends_with("written.json"))));
        follow(Some(|call| matches!(call, Call::SyncDir { path } if path.ends_with("database"))));
    }

    #[test]
    fn an_old_snapshot_that_is_put_back_counts_as_an_edit_in_every_process() {
        let fs = machine();
        let (writer, reader) = (open(&fs), open(&fs));
        let mut old = None;
        for round in 0..5 {
            put(&writer, "a.json", 1, &round.to_string());
            checkpoint(&writer).expect("checkpointed");
            assert_eq!(get(&reader, "a.json", 1), Some(text(1, &round.to_string())));
            if round == 1 {
                old = fs.read_file("/database/a.json");
            }
        }
        fs.write_file("/database/a.json", &old.expect("a snapshot"));
        reader.notice_all_edits().expect("looked at");
        assert_eq!(get(&reader, "a.json", 1), Some(text(1, "1")));
        assert_eq!(get(&open(&fs), "a.json", 1), Some(text(1, "1")));
    }
}
