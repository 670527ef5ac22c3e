//! Adopting a file that the engine did not write: the old package's, or a person's edit.
//!
//! The edit wins, except for documents that the journal holds in a newer form. If a rule refuses a document, a copy of
//! the whole file is set aside. All of it is one batch, so that every process and every recovery sees the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::load::{SnapshotFile, document_location, is_known};
use super::owners::Missing;
use super::state::{Change, State};
use super::writer::Writer;
use super::{CollectionSpec, Database, WarningCode, collection_file};
use crate::engine::cancel;
use crate::engine::document::DocumentId;
use crate::engine::document_map::{FileId, Location};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{Fs, MemoryFile, OpenMode};
use crate::engine::journal::{
    Layout, LineBuffer, SnapshotRecord, encode_batch, push_documents, push_snapshot_op,
};
use crate::engine::json;
use crate::engine::snapshot::{salvage, scan_map};

/// What the adoption of a foreign file changes.
#[derive(Default)]
struct Adoption {
    /// Documents whose stored form differs from the file's text.
    put: BTreeMap<DocumentId, Arc<[u8]>>,
    /// Documents in the file that its rule refuses.
    refused: Vec<(DocumentId, Error)>,
    /// Documents that the file lacks and that the adoption of an earlier form of it put into the journal.
    gone: Vec<DocumentId>,
    /// Collections to drop: their files are gone, and so are the documents that they belonged to.
    given_up: Vec<String>,
    /// Why the file is not valid JSON, if it is not.
    broken: Option<String>,
    /// Documents that were edited in the file, or removed from it, while the journal holds a newer form.
    conflicts: Vec<DocumentId>,
}

/// The copies that were kept of a file.
#[derive(Default)]
struct Copies {
    /// Kept because something in the file is broken or refused.
    corrupt: Option<PathBuf>,
    /// Kept because the journal had newer forms of what a person edited.
    edited: Option<PathBuf>,
}

/// What is known of the documents of a file that is being adopted: what the journal holds of them, and what belongs to them.
#[derive(Default)]
struct Known {
    /// Changes in the journal that are newer than the file.
    newer: BTreeMap<DocumentId, Change>,
    /// Changes that the adoption of an earlier form of the file made.
    adopted: BTreeMap<DocumentId, Change>,
    /// Collections that belong to documents of the file and whose own files are gone.
    missing: Vec<Missing>,
}

impl Known {
    /// `covers` is the last batch that the file certainly holds.
    fn of(state: &State, spec: &CollectionSpec, covers: u64, missing: Vec<Missing>) -> Known {
        let mut changes = state.changes(&spec.path);
        changes.retain(|_, change| change.seq > covers);
        let newer = |change: &Change| state.is_newer_than_file(&spec.path, change);
        let (newer, adopted) = changes.into_iter().partition(|(_, change)| newer(change));
        Known { newer, adopted, missing }
    }
}

impl Database {
    /// Adopts the file as the new snapshot and loads the collection. In a read-only directory this happens in memory
    /// only; otherwise the write lock is held.
    pub(super) fn adopt(
        &self,
        writer: &mut Writer,
        spec: &Arc<CollectionSpec>,
        snapshot: SnapshotFile,
        rule: &Rule<'_>,
    ) -> Result<()> {
        let path = spec.file(&self.directory);
        let missing = self.missing_files(spec)?;
        let (is_edit, known, covers) = {
            let state = self.state.read();
            // The file may have been in any of these states. Assuming the oldest loses nothing: the journal still holds
            // the rest.
            let covers = state.covered_by_any(&spec.path);
            (is_known(state.catalog.get(&*spec.path)), Known::of(&state, spec, covers, missing), covers)
        };
        let adoption = examine(spec, rule, &snapshot.bytes, &known)?;
        let layout = if adoption.broken.is_some() { Layout::Void } else { Layout::Map };
        let record =
            SnapshotRecord { hash: snapshot.hash, size: snapshot.bytes.len() as u64, covers, layout };
        if self.is_read_only() {
            self.report(&path, &adoption, &Copies::default());
            self.note_adoption(spec, &record, &adoption);
            return self.install(spec, Some(snapshot), Some(&record));
        }
        let copies = self.set_aside(&path, &snapshot.bytes, &adoption)?;
        self.settle(&path, &snapshot)?;
        adoption.given_up.iter().try_for_each(|path| self.settle_absence(path))?;
        self.commit_adoption(writer, spec, &record, &adoption)?;
        if is_edit && adoption.conflicts.is_empty() {
            self.warn(
                WarningCode::SnapshotChanged,
                format!("{} was changed outside this package; the change was adopted", path.display()),
            );
        }
        self.report(&path, &adoption, &copies);
        self.install(spec, Some(snapshot), Some(&record))
    }

    /// Makes the file durable. Whoever wrote it may not have synced it, and the catalog must not rely on what a power
    /// loss could undo.
    fn settle(&self, path: &Path, snapshot: &SnapshotFile) -> Result<()> {
        match snapshot.file.sync_data() {
            // Some systems sync only what is open for writing.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
            other => other.at("sync", path)?,
        }
        path.parent().map_or(Ok(()), |parent| self.fs.sync_dir(parent).at("sync directory", parent))
    }

    /// Makes the absence of a file durable: if a power loss brought it back, it could not be told from one that a
    /// person put back.
    fn settle_absence(&self, path: &str) -> Result<()> {
        let file = collection_file(&self.directory, path);
        for above in file.ancestors().skip(1) {
            if self.fs.metadata(above).at("look up", above)?.is_some() {
                return self.fs.sync_dir(above).at("sync directory", above);
            }
        }
        Ok(())
    }

    /// Records an adoption in memory only.
    fn note_adoption(&self, spec: &CollectionSpec, record: &SnapshotRecord, adoption: &Adoption) {
        let mut stored = Vec::new();
        let mut placed = Vec::new();
        for (id, text) in &adoption.put {
            placed.push((id.clone(), Some((stored.len(), text.len()))));
            stored.extend_from_slice(text);
        }
        let refused = adoption.refused.iter().map(|(id, _)| id);
        placed.extend(refused.chain(&adoption.gone).map(|id| (id.clone(), None)));
        let mut state = self.state.write();
        let seq = state.position.seq + 1;
        let locations: Vec<_> = {
            let file = FileId(u32::MAX);
            let location =
                |(at, len): (usize, usize)| document_location(spec, file, at as u64, &stored[at..at + len]);
            placed.into_iter().map(|(id, place)| (id, place.map(location))).collect()
        };
        state.adoptions.insert(seq);
        adoption.given_up.iter().for_each(|path| state.record_drop(path, seq));
        let file = state.files_mut().add_open(spec.file(&self.directory), Arc::new(MemoryFile::new(stored)));
        state.record_snapshot(&spec.path, record.clone(), true);
        let collection = state.collection(&spec.path);
        collection.unload();
        for (id, location) in locations {
            let location = location.map(|location| Location { file, ..location });
            collection.note(id, Change { location, seq, base: None });
        }
    }

    fn commit_adoption(
        &self,
        writer: &mut Writer,
        spec: &Arc<CollectionSpec>,
        record: &SnapshotRecord,
        adoption: &Adoption,
    ) -> Result<()> {
        // An earlier removal at this path is done; repeating it would remove the file.
        let (salt, before, kept) = {
            let state = self.state.read();
            let kept = state.removals.overlaps(&spec.path);
            (state.salt(), state.position, kept.then(|| spec.path.to_string()))
        };
        let mut line = LineBuffer::default();
        let mut placed: Vec<(DocumentId, Option<(usize, usize)>)> = Vec::new();
        let mut after = before;
        after.seq += 1;
        after.checksum = encode_batch(&mut line, salt, after.seq, before.checksum, before.durable, |out| {
            push_snapshot_op(out, &spec.path, record, true);
            if let Some(path) = &kept {
                out.push(format!(",{{\"keep\":{}}}", json::quote(path)).as_bytes());
            }
            for path in &adoption.given_up {
                out.push(format!(",{{\"drop\":{}}}", json::quote(path)).as_bytes());
            }
            let mut delete = adoption.refused.iter().map(|(id, _)| id).chain(&adoption.gone).peekable();
            if adoption.put.is_empty() && delete.peek().is_none() {
                return;
            }
            out.push(b",");
            let put = adoption.put.iter();
            let (large, replaced) = (std::iter::empty(), std::iter::empty());
            push_documents(out, &spec.path, put, large, delete, replaced, |id, place| {
                placed.push((id.clone(), place))
            });
        });
        after.end += line.len() as u64;
        self.append(writer, &line, before, true)?;
        after.durable = after.seq;
        let mut state = self.state.write();
        let journal = state.journal;
        state.record_snapshot(&spec.path, record.clone(), true);
        state.cancel_removals(kept.as_slice());
        let collection = state.collection(&spec.path);
        collection.unload();
        for (id, place) in placed {
            let text = place.and_then(|(at, _)| Some((at, adoption.put.get(&id)?)));
            let location =
                text.map(|(at, text)| document_location(spec, journal, before.end + at as u64, text));
            collection.note(id, Change { location, seq: after.seq, base: None });
        }
        state.adoptions.insert(after.seq);
        for path in &adoption.given_up {
            state.record_drop(path, after.seq);
            state.recent.push(after.seq, &path.as_str().into(), None);
        }
        state.position = after;
        state.recent.push(after.seq, &spec.path, None);
        self.move_tip(after.generation, after.seq, after.end);
        drop(state);
        self.background.wrote(line.len() as u64);
        self.background_after_write();
        self.feed.publish_lines(&line, salt, before);
        Ok(())
    }

    /// Keeps a copy of a file that is not adopted in full.
    fn set_aside(&self, path: &Path, bytes: &[u8], adoption: &Adoption) -> Result<Copies> {
        let mut copies = Copies::default();
        if adoption.broken.is_some() || !adoption.refused.is_empty() {
            copies.corrupt = Some(keep_copy(&*self.fs, path, "corrupt", bytes)?);
        }
        if !adoption.conflicts.is_empty() {
            copies.edited = Some(keep_copy(&*self.fs, path, "edited", bytes)?);
        }
        Ok(copies)
    }

    fn report(&self, path: &Path, adoption: &Adoption, copies: &Copies) {
        let kept = |copy: &Option<PathBuf>| match copy {
            Some(copy) => format!("the whole file is kept as {}", copy.display()),
            None => "the directory is read-only, so the file stays as it is".into(),
        };
        if let Some(problem) = &adoption.broken {
            let saved = adoption.put.len();
            let message = format!(
                "{} is not valid JSON ({problem}); documents recovered from it: {saved}; {}",
                path.display(),
                kept(&copies.corrupt)
            );
            self.warn(WarningCode::RecordSetAside, message);
        }
        for (id, error) in &adoption.refused {
            let kept = kept(&copies.corrupt);
            let message = format!("document {id} of {} was set aside: {error}; {kept}", path.display());
            self.warn(WarningCode::RecordSetAside, message);
        }
        for given_up in &adoption.given_up {
            let file = collection_file(&self.directory, given_up);
            let message = format!(
                "{} is gone and so is what it belonged to in {}; all that was in it counts as deleted",
                file.display(),
                path.display()
            );
            self.warn(WarningCode::SnapshotChanged, message);
        }
        if !adoption.conflicts.is_empty() {
            let ids: Vec<String> = adoption.conflicts.iter().take(10).map(ToString::to_string).collect();
            let message = format!(
                "{} was changed outside this package while newer forms of {} were not in it yet; those were kept, and the rest of the change was adopted; {}",
                path.display(),
                ids.join(", "),
                kept(&copies.edited)
            );
            self.warn(WarningCode::SnapshotChanged, message);
        }
    }
}

/// Returns the stored form of a foreign record, or an error that says what is wrong with it.
pub(super) type Rule<'r> = dyn Fn(&DocumentId, &[u8]) -> Result<Vec<u8>> + 'r;

/// Returns the records of a foreign file (of two with the same key, the later one), and what is wrong with the file if
/// it is broken; the records are then those that could be saved from it.
pub(super) fn foreign_records(bytes: &[u8]) -> (BTreeMap<DocumentId, &[u8]>, Option<String>) {
    let (found, broken) = match scan_map(bytes) {
        Ok(found) => (found, None),
        Err(error) => (salvage(bytes), Some(format!("{} at byte {}", error.problem, error.offset))),
    };
    (found.into_iter().map(|found| (found.id, &bytes[found.text])).collect(), broken)
}

/// Compares a foreign file with the rule of its collection and with what the journal holds.
fn examine(spec: &CollectionSpec, rule: &Rule<'_>, bytes: &[u8], known: &Known) -> Result<Adoption> {
    let (found, broken) = foreign_records(bytes);
    let mut adoption = Adoption { broken, ..Adoption::default() };
    for (at, (id, &raw)) in found.iter().enumerate() {
        if at % cancel::STEP == 0 {
            cancel::check()?;
        }
        if let Some(change) = known.newer.get(id) {
            if !is_as_before(spec, raw, change) {
                adoption.conflicts.push(id.clone());
            }
            continue;
        }
        let adopted = known.adopted.get(id);
        if adopted.is_some_and(|change| is_as_before(spec, raw, change)) {
            continue;
        }
        match rule(id, raw) {
            Ok(stored) if stored == raw && adoption.broken.is_none() && adopted.is_none() => {}
            Ok(stored) => drop(adoption.put.insert(id.clone(), stored.into())),
            Err(error) => adoption.refused.push((id.clone(), error)),
        }
    }
    // A broken file does not tell which documents it lacks.
    if adoption.broken.is_none() {
        let is_written =
            |id: &DocumentId| known.newer.get(id).is_some_and(|change| change.location.is_some());
        let is_gone = |id: &DocumentId| !found.contains_key(id) && !is_written(id);
        let given_up = known.missing.iter().filter(|(_, owner)| is_gone(owner));
        adoption.given_up.extend(given_up.map(|(path, _)| path.clone()));
        let there =
            |(id, change): &(&DocumentId, &Change)| change.location.is_some() && !found.contains_key(id);
        adoption.gone.extend(known.adopted.iter().filter(there).map(|(id, _)| id.clone()));
        // Of those that the journal holds in a newer form, somebody removed the ones that the file had.
        let removed = known.newer.iter().filter(there).filter(|(_, change)| change.base.is_some());
        adoption.conflicts.extend(removed.map(|(id, _)| id.clone()));
    }
    Ok(adoption)
}

/// Whether a record of a file is the one that was there before, even if an editor has laid it out differently.
fn is_as_before(spec: &CollectionSpec, raw: &[u8], change: &Change) -> bool {
    let Some(base) = change.base.flatten() else { return false };
    let is_base = |text: &[u8]| base == document_location(spec, FileId(0), 0, text).hash;
    is_base(raw) || is_base(&json::compact(raw))
}

/// Writes a durable copy `<file>.<word>-<time>` beside the file and returns its path. If that fails, nothing is left.
pub fn keep_copy(fs: &dyn Fs, path: &Path, word: &str, bytes: &[u8]) -> Result<PathBuf> {
    let mut time = fs.now_ms();
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{word}-{time}"));
        let copy = PathBuf::from(name);
        match fs.open(&copy, OpenMode::CreateNew) {
            Ok(file) => {
                let written = file.write_at(bytes, 0).at("write", &copy);
                written.and_then(|()| file.sync_data().at("sync", &copy)).inspect_err(|_| {
                    // Every call that needs the file tries again, and what each of them left would fill the disk.
                    let _ = fs.remove_file(&copy);
                })?;
                if let Some(parent) = path.parent() {
                    fs.sync_dir(parent).at("sync directory", parent)?;
                }
                return Ok(copy);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => time += 1,
            Err(error) => return Err(Error::io("create", &copy, &error)),
        }
    }
}
