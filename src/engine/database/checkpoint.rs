//! Checkpoints: writing snapshots of what changed, and removing the journals that are then no longer needed.
//!
//! A new generation begins under the write lock. Without the lock, the snapshots are streamed to fresh files, synced
//! and verified. Under the lock again, they are recorded, renamed into place and made durable. Only then are older
//! generations removed. A failure at any point leaves the old generation whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::document_copy::copy_documents;
use super::document_file::remove_orphans;
use super::edits::Unread;
use super::events::{Checkpoint, Event};
use super::freeze::Frozen;
use super::generations::{create_journal, read_header};
use super::index_checkpoint::{Draft, remove_stray};
use super::paths::common_directory;
use super::recovery::{FRESH, sweep};
use super::removals::repeat_removals;
use super::state::{Collection, Content, Dirty, State, may_be_broken};
use super::writer::Writer;
use super::{Database, Mutant, WarningCode, collection_file};
use crate::engine::checksum::hash_of_file;
use crate::engine::document::DocumentId;
use crate::engine::document_map::{DocumentMap, Location};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, File, FileHandle, Metadata, OpenMode};
use crate::engine::journal::{
    Checksum, CollectionRecord, FORMAT, Header, Layout, LineBuffer, Previous, RESERVED, SnapshotRecord,
    encode_batch, journal_generation, journal_path, push_snapshot_op,
};
use crate::engine::lock::Wait;
use crate::engine::snapshot::SnapshotWriter;

/// A snapshot in the reserved folder, ready to be renamed into place.
struct Fresh {
    frozen: Frozen,
    temporary: PathBuf,
    file: Arc<FileHandle>,
    /// Offset of each document's text in the new file, in the order of `frozen.documents`.
    offsets: Vec<u64>,
    record: SnapshotRecord,
    /// Metadata of the new file. Once the file is in place, anything else found there is an edit.
    written: Metadata,
    /// What the collection's index checkpoint will hold, if it has indexes.
    draft: Option<Draft>,
}

/// A collection with a new snapshot, and what its index checkpoint will hold; `None` if it has no indexes.
type Drafted = (Arc<str>, Option<Draft>, SnapshotRecord);

impl Database {
    /// Brings the JSON files up to date with everything committed so far. Does nothing if they already are.
    ///
    /// # Errors
    /// `IO_ERROR` if the disk is full or fails; `LOCK_TIMEOUT` while another process checkpoints; `CORRUPT_DATA` if a
    /// damaged file could not be brought up to date, while all others were. The journals still hold everything.
    pub fn checkpoint(&self, wait: Wait) -> Result<()> {
        let mut left_out = self.checkpoint_undamaged(wait, &|| true)?.into_iter();
        let first = left_out.next();
        left_out.for_each(|error| self.warn(WarningCode::CheckpointFailed, error.to_string()));
        first.map_or(Ok(()), Err)
    }

    /// Like [`Database::checkpoint`], but reports damaged files as warnings.
    pub(in crate::engine) fn checkpoint_or_warn(&self, wait: Wait) -> Result<()> {
        self.checkpoint_or_warn_if(wait, &|| true)
    }

    /// Like [`Database::checkpoint_or_warn`], but asks `is_wanted` once nobody else in this process checkpoints, and
    /// touches no file if that returns false.
    pub(super) fn checkpoint_or_warn_if(&self, wait: Wait, is_wanted: &dyn Fn() -> bool) -> Result<()> {
        let left_out = self.checkpoint_undamaged(wait, is_wanted)?;
        left_out.iter().for_each(|error| self.warn(WarningCode::CheckpointFailed, error.to_string()));
        Ok(())
    }

    /// Checkpoints, and returns what is wrong with the files that were left out.
    fn checkpoint_undamaged(&self, wait: Wait, is_wanted: &dyn Fn() -> bool) -> Result<Vec<Error>> {
        let begun = Instant::now();
        let mut left_out = Vec::new();
        match self.write_checkpoint(wait, is_wanted, begun, &mut left_out) {
            Ok(None) => Ok(left_out),
            Ok(Some(written)) => {
                self.counters.checkpointed(written.took);
                self.publish(Event::Checkpointed(written));
                Ok(left_out)
            }
            Err(error) => {
                self.counters.failed_checkpoints.add(1);
                self.publish(Event::CheckpointFailed { error: error.clone(), took: begun.elapsed() });
                Err(error)
            }
        }
    }

    /// Returns `None` if there was nothing to write.
    fn write_checkpoint(
        &self,
        wait: Wait,
        is_wanted: &dyn Fn() -> bool,
        begun: Instant,
        left_out: &mut Vec<Error>,
    ) -> Result<Option<Checkpoint>> {
        let Some(_quiet) = self.quiet_if(wait, is_wanted)? else { return Ok(None) };
        // Only the holder of the checkpoint lock writes such files, so those found here are left from a checkpoint that
        // failed.
        sweep(&*self.fs, &self.directory, FRESH)?;
        let written = self.background.written();
        let (switched, frozen) = {
            let mut writer = self.acquire(wait)?;
            left_out.extend(self.notice_edits(&mut writer)?);
            if !self.state.read().needs_checkpoint() {
                return Ok(None);
            }
            self.check_space()?;
            let switched = self.switch_generation(&mut writer)?;
            let frozen = self.freeze(&mut writer)?;
            left_out.extend(self.unnoticed_damage(&frozen, left_out)?);
            (switched, frozen)
        };
        let mut fresh = Vec::with_capacity(frozen.len());
        let mut unread = Vec::new();
        for (at, frozen) in frozen.into_iter().enumerate() {
            let (path, seen) = (Arc::clone(&frozen.path), frozen.seen);
            match self.stream(frozen, at, switched) {
                Err(error) if self.is_about_source(&error) => unread.push(Unread { path, seen, error }),
                streamed => fresh.push(streamed?),
            }
        }
        // Writing the snapshots does not count as waiting: otherwise no checkpoint that takes longer than the lock
        // timeout would end.
        let mut writer = self.acquire(Wait::at_most(wait.timeout))?;
        left_out.extend(self.leave_out(&mut writer, unread)?);
        let collections = fresh.len();
        let bytes = fresh.iter().map(|fresh| fresh.record.size).sum();
        let (drafts, recorded) = self.install_snapshots(&mut writer, fresh, switched)?;
        if self.is_mutant(Mutant::JournalResetInPlace) {
            self.reset_journal(&mut writer)?;
        }
        self.background.checkpointed(written);
        drop(writer);
        // Freeing a long journal takes the file system a while, so no writer is kept waiting for it.
        self.drop_generations(recorded)?;
        // Nothing above depends on what follows: a later checkpoint does whatever fails here.
        let catalog = self.state.read().catalog.clone();
        remove_stray(&*self.fs, &self.directory, &catalog);
        for (path, draft, record) in drafts {
            match draft {
                Some(draft) => self.try_write_index_checkpoint(draft, record.hash, record.size),
                None => self.try_remove_index_checkpoint(&path),
            }
        }
        let covered = self.state.read().covered();
        Ok(Some(Checkpoint { collections, bytes, covered, took: begun.elapsed() }))
    }

    fn check_space(&self) -> Result<()> {
        let needed = {
            let state = self.state.read();
            let bytes = |(path, collection): (&Arc<str>, &Collection)| {
                state.snapshot_size(path) + collection.changed_bytes()
            };
            state.changed().map(bytes).sum::<u64>()
        };
        fs::check_space(&*self.fs, &self.directory, needed, "a checkpoint").at("checkpoint", &self.directory)
    }

    /// Begins the next generation. Returns the last sequence number of the previous one. The write lock is held.
    fn switch_generation(&self, writer: &mut Writer) -> Result<u64> {
        let (before, header, catalog, removed, removals) = {
            let state = self.state.read();
            let (catalog, removals) = (state.catalog.clone(), state.removals.clone());
            (state.position, state.next_header(), catalog, state.removed, removals)
        };
        if self.is_mutant(Mutant::JournalResetInPlace) {
            return Ok(before.seq);
        }
        // A sync may have failed since the lock was taken, and the next one would claim that the journal is whole.
        self.check_poison()?;
        let path = journal_path(&self.directory, before.generation);
        let journal = Arc::clone(&self.files(writer)?.journal);
        self.cut_room(&*journal, before.end)?;
        self.sync_lines(&*journal, &path)?;
        // Removals of this generation must be durable before the next one says that they are. Those that failed, or
        // that another process did not finish before it died, are repeated.
        repeat_removals(&self.fs, &self.directory, self.options.most_above, &catalog, removed, &removals)?;
        // A switch that failed half-way may have left this file; it was never used.
        let next = journal_path(&self.directory, header.generation);
        if self.fs.metadata(&next).at("look up", &next)?.is_some() {
            self.fs.remove_file(&next).at("remove", &next)?;
        }
        let sync_directory = !self.is_mutant(Mutant::NewJournalWithoutDirectorySync);
        let (journal, checksum, end) = create_journal(&*self.fs, &self.directory, &header, sync_directory)?;
        self.counters.journal_bytes.add(end);
        let mut state = self.state.write();
        state.journal = state.files_mut().add_open(&*next, Arc::clone(&journal));
        state.begin_generation(&header);
        state.position.generation = header.generation;
        state.position.end = end;
        state.position.checksum = checksum;
        state.position.durable = before.seq;
        drop(state);
        self.move_tip(header.generation, before.seq, end);
        self.files(writer)?.journal = journal;
        // Dropped collections have left the catalog, so what memory holds of them can be forgotten.
        writer.most_collections = 0;
        Ok(before.seq)
    }

    /// Writes a snapshot to the reserved folder, makes it durable and reads it back.
    fn stream(&self, frozen: Frozen, number: usize, covers: u64) -> Result<Fresh> {
        let temporary = self.reserved(&format!("{FRESH}{covers}-{number}"));
        let file = self.fs.open(&temporary, OpenMode::CreateNew).at("create", &temporary)?;
        let result = self.fill(&frozen, &temporary, &file, covers);
        match result {
            Ok((record, written, offsets, draft)) => {
                // The handle has the final path, because nobody reads the file before it is renamed there.
                let target = collection_file(&self.directory, &frozen.path);
                let file = FileHandle::new(&self.fs, target, file);
                Ok(Fresh { frozen, temporary, file, offsets, record, written, draft })
            }
            Err(error) => {
                // This frees the space; what cannot be removed now is swept by recovery or by the next checkpoint.
                let _ = self.fs.remove_file(&temporary);
                Err(error)
            }
        }
    }

    fn fill(
        &self,
        frozen: &Frozen,
        temporary: &Path,
        file: &Arc<dyn File>,
        covers: u64,
    ) -> Result<(SnapshotRecord, Metadata, Vec<u64>, Option<Draft>)> {
        if frozen.seen.is_some() {
            self.copy_permissions(&collection_file(&self.directory, &frozen.path), temporary)?;
        }
        let mut writer = SnapshotWriter::new(Arc::clone(file));
        let mut draft = frozen.spec.as_ref().and_then(Draft::of);
        let offsets = copy_documents(&mut writer, &frozen.files, &frozen.documents, draft.as_mut()).map_err(
            |failure| {
                failure.error(&frozen.files, &collection_file(&self.directory, &frozen.path), temporary)
            },
        )?;
        let written = writer.finish().at("write", temporary)?;
        self.counters.snapshot_bytes.add(written.size);
        if !self.is_mutant(Mutant::RenameBeforeSync) {
            file.sync_data().at("sync", temporary)?;
        }
        let seen = file.metadata().at("look up", temporary)?;
        if hash_of_file(&**file).at("read back", temporary)? != written.hash {
            return Err(Error::corrupt(
                temporary,
                0,
                "the snapshot does not read back as it was written; check the disk",
            ));
        }
        let record = SnapshotRecord { hash: written.hash, size: written.size, covers, layout: Layout::Lines };
        Ok((record, seen, offsets, draft))
    }

    /// Gives a new snapshot the mode and owner of the file that it is to replace. Writers go on meanwhile, so that file
    /// may be gone, because its collection was dropped or its directory removed; the snapshot is then not moved into
    /// place.
    fn copy_permissions(&self, target: &Path, temporary: &Path) -> Result<()> {
        let copied = self.fs.copy_permissions(target, temporary).at("copy permissions to", temporary);
        match copied {
            Err(_) if self.fs.metadata(target).at("look up", target)?.is_none() => Ok(()),
            other => other,
        }
    }

    /// Records the snapshots, renames them into place and points the documents in memory to them. Returns what the index
    /// checkpoints of those collections will hold that callers of this process asked for, and the sequence number up to
    /// which the journal durably says that the snapshots hold every batch. The write lock is held.
    fn install_snapshots(
        &self,
        writer: &mut Writer,
        fresh: Vec<Fresh>,
        covers: u64,
    ) -> Result<(Vec<Drafted>, u64)> {
        let ready = self.without_outdated(fresh)?;
        if !ready.is_empty() {
            self.record(writer, |out| {
                for (at, fresh) in ready.iter().enumerate() {
                    if at > 0 {
                        out.push(b",");
                    }
                    push_snapshot_op(out, &fresh.frozen.path, &fresh.record, false);
                }
            })?;
            let mut state = self.state.write();
            for fresh in &ready {
                state.record_snapshot(&fresh.frozen.path, fresh.record.clone(), false);
            }
        }
        if !self.rename_into_place(&ready)? {
            // A `covered` line would rule out the state on which the edit was made, and what the journals hold beyond
            // that state. So both states still count, as after a crash at this point, and the next checkpoint writes
            // everything again.
            let mut state = self.state.write();
            ready.iter().for_each(|fresh| state.collection(&fresh.frozen.path).unload());
            // Nothing is recorded as covered, so no generation may be removed.
            return Ok((Vec::new(), 0));
        }
        self.state.write().confirm_snapshots();
        let mut drafts = Vec::new();
        for mut fresh in ready {
            if fresh.frozen.spec.is_some() {
                drafts.push((Arc::clone(&fresh.frozen.path), fresh.draft.take(), fresh.record.clone()));
            }
            relocate(&mut self.state.write(), fresh, covers);
        }
        let covered = {
            let mut state = self.state.write();
            state.drop_unused_files();
            state.covered()
        };
        // Must be durable before older generations are removed: recovery asks for them unless this line says that they
        // are not needed.
        self.record(writer, |out| out.push(format!("{{\"covered\":{covered}}}").as_bytes()))?;
        Ok((drafts, covered))
    }

    /// Returns the snapshots without those of collections that were edited or dropped since the switch, which the next
    /// checkpoint looks at again.
    fn without_outdated(&self, fresh: Vec<Fresh>) -> Result<Vec<Fresh>> {
        let mut ready = Vec::with_capacity(fresh.len());
        for fresh in fresh {
            let target = fresh.file.path();
            let now = self.fs.metadata(target).at("look up", target)?;
            if now == fresh.frozen.seen && !self.is_dropped(&fresh.frozen.path) {
                ready.push(fresh);
            } else {
                self.fs.remove_file(&fresh.temporary).at("remove", &fresh.temporary)?;
            }
        }
        Ok(ready)
    }

    /// Renames recorded snapshots into place, durably. A file that was edited while they were being recorded stays.
    /// Returns whether there was none.
    fn rename_into_place(&self, ready: &[Fresh]) -> Result<bool> {
        let mut directories = Vec::new();
        let mut complete = true;
        for fresh in ready {
            let target = fresh.file.path();
            if let Some(parent) = target.parent() {
                fs::create_dirs(&*self.fs, parent).at("create", parent)?;
                // For a new file, all directories are synced: an earlier checkpoint may have died between creating and
                // syncing them.
                let depth = if fresh.frozen.seen.is_some() { 1 } else { usize::MAX };
                let root = common_directory(&self.directory, &fresh.frozen.path);
                let above = parent.ancestors().take_while(|above| above.starts_with(&root));
                directories.extend(above.take(depth).map(Path::to_path_buf));
            }
            if self.fs.metadata(target).at("look up", target)? == fresh.frozen.seen {
                self.fs.rename(&fresh.temporary, target).at("rename into place", target)?;
            } else {
                complete = false;
                self.fs.remove_file(&fresh.temporary).at("remove", &fresh.temporary)?;
            }
        }
        directories.sort_unstable();
        directories.dedup();
        if !self.is_mutant(Mutant::DropJournalBeforeDirectorySync) {
            for directory in &directories {
                self.fs.sync_dir(directory).at("sync directory", directory)?;
            }
        }
        Ok(complete)
    }

    /// Whether the collection was dropped since the switch, which takes those that were dropped before out of the catalog.
    pub(super) fn is_dropped(&self, path: &str) -> bool {
        self.state.read().catalog.get(path).is_some_and(|record| record.dropped.is_some())
    }

    /// Appends a line that changes no document, and syncs it. The write lock is held.
    fn record(&self, writer: &mut Writer, ops: impl FnOnce(&mut LineBuffer)) -> Result<()> {
        let (salt, before) = {
            let state = self.state.read();
            (state.salt(), state.position)
        };
        let mut line = LineBuffer::default();
        let mut after = before;
        after.seq += 1;
        after.checksum = encode_batch(&mut line, salt, after.seq, before.checksum, before.durable, ops);
        after.end += line.len() as u64;
        self.append(writer, &line, before, true)?;
        after.durable = after.seq;
        self.state.write().position = after;
        self.move_tip(after.generation, after.seq, after.end);
        Ok(())
    }

    /// Deletes the generations that the snapshots make unnecessary, but keeps the one before the current. `covered` is
    /// the number that the journal records: recovery goes by it, and batches since then, which may not be durable, do
    /// not change it.
    fn drop_generations(&self, covered: u64) -> Result<()> {
        let current = self.state.read().position.generation;
        let reserved = self.directory.join(RESERVED);
        let mut names = self.fs.list_dir(&reserved).at("list", &reserved)?;
        let generations: BTreeSet<u64> = names.iter().filter_map(|name| journal_generation(name)).collect();
        let mut removed = BTreeSet::new();
        for &generation in generations.iter().filter(|&&generation| generation + 1 < current) {
            let path = journal_path(&self.directory, generation);
            let next = journal_path(&self.directory, generation + 1);
            let next_file = match self.fs.open(&next, OpenMode::Read) {
                Ok(file) => file,
                // The next generation was removed earlier, so this one is not needed either.
                Err(_) if !generations.contains(&(generation + 1)) => {
                    self.fs.remove_file(&path).at("remove", &path)?;
                    removed.insert(generation);
                    continue;
                }
                Err(error) => return Err(Error::io("open", &next, &error)),
            };
            let header = read_header(&*next_file, &next, generation + 1)?;
            if header.is_some_and(|(header, _, _)| header.seq <= covered) {
                self.fs.remove_file(&path).at("remove", &path)?;
                removed.insert(generation);
            }
        }
        let journals = |generation| generations.contains(&generation) && !removed.contains(&generation);
        // Document files that an iteration reads are removed by a later checkpoint.
        let read = self.state.read().files.documents();
        names.retain(|name| !read.contains(name));
        remove_orphans(&*self.fs, &self.directory, &names, journals)
    }
}

/// Points a collection at its new snapshot, keeping what changed since it was frozen.
fn relocate(state: &mut State, fresh: Fresh, covers: u64) {
    let file = state.files_mut().add_snapshot(fresh.file);
    let collection = state.collection(&fresh.frozen.path);
    match &mut collection.content {
        Content::Loaded(loaded) if fresh.frozen.has_heads_of(&loaded.spec) => {
            let moved = |((id, location), &offset): (&(DocumentId, Location), &u64)| {
                (id.clone(), Location { file, offset, ..*location })
            };
            let entries = fresh.frozen.documents.iter().zip(&fresh.offsets).map(moved).collect();
            let mut documents = DocumentMap::from_entries(entries);
            let current = std::mem::take(&mut loaded.documents);
            loaded.dirty.retain(|_, dirty| dirty.seq > covers);
            for (id, dirty) in &mut loaded.dirty {
                let base = documents.get(id).map(|location| location.hash);
                *dirty = Dirty { base, ..*dirty };
                documents.set(id.clone(), current.get(id).copied());
            }
            loaded.documents = documents;
            loaded.snapshot = Some(file);
            // Not the metadata of the file that is there now: somebody may have saved it since the rename.
            loaded.seen = Some(fresh.written);
        }
        _ => {
            collection.unload();
            state.forget_covered(&fresh.frozen.path);
        }
    }
}

impl State {
    fn needs_checkpoint(&self) -> bool {
        self.changed().next().is_some()
            || self.catalog.values().any(|record| record.dropped.is_some() || may_be_broken(record))
            || !self.removals.is_empty()
    }

    pub(super) fn next_header(&self) -> Header {
        // Dropped collections can be left out: their files are durably gone before the switch.
        let catalog = self.catalog.iter().filter(|(_, record)| record.dropped.is_none());
        Header {
            format: FORMAT,
            database: self.database,
            generation: self.position.generation + 1,
            seq: self.position.seq,
            previous: Some(Previous { checksum: Checksum(self.position.checksum), end: self.position.end }),
            removed: self.position.seq,
            covered: self.covered(),
            catalog: catalog
                .map(|(path, record)| (path.clone(), record.clone()))
                .collect::<BTreeMap<String, CollectionRecord>>(),
        }
    }
}
