//! What a write sees and changes: the published state with the changes of its group laid over it.

use std::sync::Arc;

use super::batch::{Batch, BatchChanges};
use super::overlay::{Group, Overlay, Pending, Put};
use super::read_set::{IndexLookup, ReadSet};
use super::writer::Writer;
use super::{CollectionSpec, Database, Foreign, Moment};
use crate::engine::document::{Document, DocumentId};
use crate::engine::document_map::{DocumentMap, Stamp};
use crate::engine::error::{Error, Result};
use crate::engine::id::now_ms;
use crate::engine::index::Entries;

struct LastRead {
    path: Arc<str>,
    id: DocumentId,
    stamp: Stamp,
    document: Document,
}

/// A key of a unique index that another document has.
struct Clash {
    index: String,
    key: String,
    owner: DocumentId,
    /// Whether the group did not change that document.
    is_published: bool,
}

pub(super) enum Undo {
    Document(Arc<str>, DocumentId, Option<Pending>),
    Drop(Arc<str>, Overlay),
}

/// One request's view of the database while it runs. It sees every earlier write; others see its changes only once all
/// of them are committed. If it is dropped without `finish`, it leaves no trace.
pub struct Transaction<'a> {
    pub(super) database: &'a Database,
    writer: &'a mut Writer,
    pub(super) group: &'a mut Group,
    pub(super) undo: Vec<Undo>,
    pub(super) batch: Batch,
    /// Where reads of the published state are noted.
    reads: Option<&'a mut ReadSet>,
    /// Whether the write lock is held. Foreign files are adopted only then.
    locked: bool,
    needs_lock: bool,
    /// The document of the published state that was read last. It is usually the one that changes next, and its index
    /// entries are then known without reading it again.
    last_read: Option<LastRead>,
    /// Whether anything of the published state has been read yet.
    has_read: bool,
}

impl<'a> Transaction<'a> {
    /// Creates the transaction of a request. The write lock is held.
    pub(super) fn new(database: &'a Database, writer: &'a mut Writer, group: &'a mut Group) -> Self {
        Transaction {
            database,
            writer,
            group,
            undo: Vec::new(),
            batch: Batch::default(),
            reads: None,
            locked: true,
            needs_lock: false,
            last_read: None,
            has_read: false,
        }
    }

    /// Creates the transaction for one step of an interactive transaction, over the changes of the steps before it.
    pub(super) fn resumed(
        database: &'a Database,
        writer: &'a mut Writer,
        group: &'a mut Group,
        reads: &'a mut ReadSet,
        locked: bool,
    ) -> Self {
        let mut transaction = Transaction::new(database, writer, group);
        transaction.reads = Some(reads);
        transaction.locked = locked;
        transaction
    }

    /// Whether a call failed only because the write lock is not held.
    pub(super) fn needs_lock(&self) -> bool {
        self.needs_lock
    }

    pub(super) fn finish(mut self) -> Batch {
        self.undo.clear();
        self.group.batches += u64::from(!self.batch.is_empty());
        let removed = self.batch.removed_paths.iter().map(|(path, _)| (path.to_owned(), ()));
        self.group.removed_paths.extend(removed);
        std::mem::take(&mut self.batch)
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> u64 {
        now_ms()
    }

    /// Returns the sequence number of the batch after which what this request saw and put is what is stored. The
    /// request must have made all its changes. The number may be too low if a file is adopted between two requests of
    /// the group, but never too high.
    pub fn sequence(&self) -> u64 {
        let own = u64::from(!self.batch.is_empty());
        self.database.state.read().position.seq + self.group.batches + own
    }

    /// Whether the collection is certainly what it was at `moment`, counting adopted edits and earlier requests of the
    /// group as changes.
    pub fn is_unchanged_since(&mut self, spec: &Arc<CollectionSpec>, moment: Moment) -> Result<bool> {
        let spec = &self.declare(spec)?;
        let changed = |overlay: &Overlay| overlay.dropped || !overlay.documents.is_empty();
        if self.database.number != moment.engine
            || self.group.collections.get(&spec.path).is_some_and(changed)
        {
            return Ok(false);
        }
        self.load(spec)?;
        Ok(self.database.is_unchanged_since(&spec.path, moment.seq))
    }

    /// Returns the document, from memory or disk.
    pub fn get(&mut self, spec: &Arc<CollectionSpec>, id: &DocumentId) -> Result<Option<Document>> {
        let spec = &self.declare(spec)?;
        if let Some(put) = self.group.put(&spec.path, id) {
            return put.map(Put::whole).transpose();
        }
        let found = self.read(spec, |database| database.published(spec, id))?;
        self.note(spec, id, found.as_ref().map(|(stamp, _)| *stamp));
        let Some((stamp, document)) = found else { return Ok(None) };
        let (path, id) = (Arc::clone(&spec.path), id.clone());
        self.last_read = Some(LastRead { path, id, stamp, document: document.clone() });
        Ok(Some(document))
    }

    /// Returns the document without its large field, as an object of its own. The large field is not read.
    pub fn head(&mut self, spec: &Arc<CollectionSpec>, id: &DocumentId) -> Result<Option<Vec<u8>>> {
        let spec = &self.declare(spec)?;
        if let Some(put) = self.group.put(&spec.path, id) {
            return Ok(put.map(Put::head_object));
        }
        let found = self.read(spec, |database| database.published_head(spec, id))?;
        self.note(spec, id, found.as_ref().map(|(stamp, _)| *stamp));
        Ok(found.map(|(_, head)| head))
    }

    fn note(&mut self, spec: &Arc<CollectionSpec>, id: &DocumentId, stamp: Option<Stamp>) {
        if let Some(reads) = &mut self.reads {
            reads.note(spec, id, stamp);
        }
    }

    /// Notes what was found among all documents of the collection. What the group dropped is not read.
    pub(super) fn note_answer(
        &mut self,
        spec: &Arc<CollectionSpec>,
        note: impl FnOnce(&mut ReadSet, &DocumentMap),
    ) {
        if !self.has_dropped(spec)
            && let Some(reads) = &mut self.reads
            && let Some(loaded) = self.database.state.read().loaded(&spec.path)
        {
            note(reads, &loaded.documents);
        }
    }

    /// Returns the hash of the document. Different hashes show, without reading, that two documents differ: see
    /// [`Transaction::is_stored`].
    pub fn hash(&mut self, spec: &Arc<CollectionSpec>, id: &DocumentId) -> Result<Option<u64>> {
        let spec = &self.prepare(spec)?;
        self.hash_of(spec, id)
    }

    /// Declares the collection and loads it, unless the group dropped it: the published state does not count then.
    pub(super) fn prepare(&mut self, spec: &Arc<CollectionSpec>) -> Result<Arc<CollectionSpec>> {
        let spec = self.declare(spec)?;
        if !self.has_dropped(&spec) {
            self.load(&spec)?;
        }
        Ok(spec)
    }

    pub(super) fn has_dropped(&self, spec: &CollectionSpec) -> bool {
        self.group.collections.get(&spec.path).is_some_and(|overlay| overlay.dropped)
    }

    /// Like [`Transaction::hash`], for a collection that is already prepared.
    pub(super) fn hash_of(&mut self, spec: &Arc<CollectionSpec>, id: &DocumentId) -> Result<Option<u64>> {
        if let Some(put) = self.group.put(&spec.path, id) {
            return Ok(put.map(Put::hash));
        }
        let stamp = self.database.published_stamp(spec, id)?;
        self.has_read = true;
        self.note(spec, id, stamp);
        Ok(stamp.map(|(hash, _)| hash))
    }

    /// Reads from the published state. If somebody wrote over the file while it was open, loads the collection again
    /// and adopts the edit.
    ///
    /// # Errors
    /// `CONFLICT` if the request has read something before that may rest on what the file held then; the next request
    /// sees what it holds now.
    fn read<T>(&mut self, spec: &Arc<CollectionSpec>, read: impl Fn(&Database) -> Result<T>) -> Result<T> {
        self.load(spec)?;
        let is_first = self.is_first_read();
        let found = read(self.database);
        if !self.must_read_again(spec, is_first, &found)? {
            return found;
        }
        self.load(spec)?;
        read(self.database)
    }

    /// Returns whether nothing of the published state was read before. Must be called once before each read of it.
    pub(super) fn is_first_read(&mut self) -> bool {
        !std::mem::replace(&mut self.has_read, true)
    }

    /// Returns whether the collection must be loaded and read again, because what was read is not what memory expects.
    ///
    /// # Errors
    /// Those of [`Transaction::read`].
    pub(super) fn must_read_again<T>(
        &mut self,
        spec: &Arc<CollectionSpec>,
        is_first: bool,
        found: &Result<T>,
    ) -> Result<bool> {
        if !matches!(found, Err(Error::Corrupt { .. })) {
            return Ok(false);
        }
        let is_pending =
            self.group.collections.get(&spec.path).is_some_and(|overlay| !overlay.documents.is_empty());
        if is_pending && self.reads.is_none() {
            self.group.written_over.insert(Arc::clone(&spec.path));
        } else {
            self.database.state.write().collection(&spec.path).unload();
            if is_first {
                return Ok(true);
            }
        }
        Err(Error::Conflict(format!("{} was changed from outside; repeat the call", spec.path)))
    }

    pub fn contains(&mut self, spec: &Arc<CollectionSpec>, id: &DocumentId) -> Result<bool> {
        Ok(self.hash(spec, id)?.is_some())
    }

    /// Deletes a document. Returns whether it was there.
    pub fn delete(&mut self, spec: &Arc<CollectionSpec>, id: DocumentId) -> Result<bool> {
        let spec = &self.declare(spec)?;
        if !self.contains(spec, &id)? {
            return Ok(false);
        }
        self.change(spec, id, None, spec.no_entries(), true)?;
        Ok(true)
    }

    /// Empties a collection and removes its file, even one that is damaged.
    pub fn drop_collection(&mut self, spec: &Arc<CollectionSpec>) -> Result<()> {
        let spec = &self.declare(spec)?;
        let overlay = self.overlay(spec);
        let before = std::mem::replace(overlay, Overlay::new(spec, true));
        self.undo.push(Undo::Drop(Arc::clone(&spec.path), before));
        let removed_durably = matches!(spec.foreign, Foreign::Refuse);
        let changes = BatchChanges { dropped: true, removed_durably, ..BatchChanges::default() };
        self.batch.collections.insert(Arc::clone(&spec.path), changes);
        Ok(())
    }

    /// Returns the spec that all callers of this process together want. What the group changed of the collection gets
    /// the indexes that it lacks.
    pub(super) fn declare(&mut self, spec: &Arc<CollectionSpec>) -> Result<Arc<CollectionSpec>> {
        let spec = self.database.declare(self.writer, spec);
        let overlay = self.group.collections.get(&spec.path);
        if overlay.is_some_and(|overlay| !Arc::ptr_eq(&overlay.spec, &spec)) {
            self.widen(&spec)?;
        }
        Ok(spec)
    }

    pub(super) fn load(&mut self, spec: &Arc<CollectionSpec>) -> Result<()> {
        if self.database.load_for_step(self.writer, spec, self.locked)? {
            return Ok(());
        }
        self.needs_lock = true;
        Err(Error::Conflict(format!("{} was changed from outside", spec.path)))
    }

    /// Notes what was looked up in an index of the collection.
    pub(super) fn note_lookup(
        &mut self,
        spec: &Arc<CollectionSpec>,
        index: &str,
        lookup: IndexLookup,
        found: &[DocumentId],
    ) {
        if !self.has_dropped(spec)
            && let Some(reads) = &mut self.reads
        {
            reads.note_lookup(spec, index, lookup, found.to_vec());
        }
    }

    /// Loads the collection and notes that all of it is read.
    pub(super) fn load_whole(&mut self, spec: &Arc<CollectionSpec>) -> Result<()> {
        let spec = &self.prepare(spec)?;
        self.note_answer(spec, |reads, documents| reads.note_all(spec, documents));
        Ok(())
    }

    pub(super) fn overlay(&mut self, spec: &Arc<CollectionSpec>) -> &mut Overlay {
        self.group.collections.entry(Arc::clone(&spec.path)).or_insert_with(|| Overlay::new(spec, false))
    }

    /// Checks that every index accepts the document that the group put under `id`, and that no other document has one
    /// of its keys in a unique index. A document that is stored as it was before is not checked.
    ///
    /// # Errors
    /// `UNIQUE_VIOLATION` names the index, the key and its owner; `VALIDATION_ERROR` for more keys than an index takes.
    pub fn check_put(&mut self, spec: &Arc<CollectionSpec>, id: &DocumentId) -> Result<()> {
        let spec = &self.prepare(spec)?;
        let overlay = self.group.collections.get(&spec.path);
        match overlay.and_then(|overlay| overlay.documents.get(id)) {
            Some(Pending { new: Some(_), entries, .. }) => {
                let entries = entries.clone();
                self.check_entries(spec, id, &entries)
            }
            _ => Ok(()),
        }
    }

    /// Like [`Transaction::check_put`], for the index entries that a document would have. The collection is loaded or
    /// dropped.
    pub(super) fn check_entries(
        &mut self,
        spec: &Arc<CollectionSpec>,
        id: &DocumentId,
        entries: &[Entries],
    ) -> Result<()> {
        let clash = self.clash(spec, id, entries)?;
        self.refuse(spec, clash)?;
        self.note_owners(spec, entries)
    }

    /// Looks up who has the unique keys of a document, so that it belongs to what was read that nobody else has them.
    fn note_owners(&mut self, spec: &Arc<CollectionSpec>, entries: &[Entries]) -> Result<()> {
        if self.reads.is_none() {
            return Ok(());
        }
        for (index, entries) in spec.indexes.iter().zip(entries) {
            if index.config.unique && !entries.is_empty() {
                let entries = entries.clone();
                self.query(spec, &index.config.name, move |index| Ok(index.owners(&entries)))?;
            }
        }
        Ok(())
    }

    /// Returns `UNIQUE_VIOLATION` for a clash. That the key is taken was then read of the document that has it.
    fn refuse(&mut self, spec: &Arc<CollectionSpec>, clash: Option<Clash>) -> Result<()> {
        let Some(Clash { index, key, owner, is_published }) = clash else { return Ok(()) };
        if is_published {
            let stamp = self.database.published_stamp(spec, &owner)?;
            self.note(spec, &owner, stamp);
        }
        Err(Error::UniqueViolation { index, key, owner: owner.to_string() })
    }

    fn clash(&self, spec: &CollectionSpec, id: &DocumentId, entries: &[Entries]) -> Result<Option<Clash>> {
        for (at, (index, entries)) in spec.indexes.iter().zip(entries).enumerate() {
            if !entries.is_complete() {
                let what = format!("document {id} for index {}", index.config.name);
                return Err(Error::Validation { what, issues: vec![index.config.too_many_keys()] });
            }
            if !index.config.unique {
                continue;
            }
            let overlay = self.group.collections.get(&spec.path);
            let pending = overlay.and_then(|overlay| overlay.index(at).owner(entries, |owner| owner != id));
            let is_published = pending.is_none();
            let dropped = overlay.is_some_and(|overlay| overlay.dropped);
            let clash = match pending {
                None if !dropped => {
                    let state = self.database.state.read();
                    let published = &self.database.loaded_or_error(&state, spec)?.indexes[at];
                    // Documents that the group changed have only the keys that the overlay knows.
                    let counts = |owner: &DocumentId| {
                        owner != id && !overlay.is_some_and(|overlay| overlay.documents.contains_key(owner))
                    };
                    published.owner(entries, counts)
                }
                pending => pending,
            };
            if let Some((key, owner)) = clash {
                let (index, key, owner) = (index.config.name.clone(), key.to_string(), owner.clone());
                return Ok(Some(Clash { index, key, owner, is_published }));
            }
        }
        Ok(None)
    }

    /// Puts or deletes a document. `entries` is what the new document has in the indexes; `existed` says whether there
    /// is a document under this id now, after the changes of the group so far.
    pub(super) fn change(
        &mut self,
        spec: &Arc<CollectionSpec>,
        id: DocumentId,
        new: Option<Put>,
        entries: Vec<Entries>,
        existed: bool,
    ) -> Result<()> {
        let overlay = self.group.collections.get(&spec.path);
        let before = overlay.and_then(|overlay| overlay.documents.get(&id)).cloned();
        let old = match &before {
            Some(pending) => pending.old.clone(),
            // No change of the document is pending, and none is published.
            None if !existed => spec.no_entries(),
            None => {
                let dropped = overlay.is_some_and(|overlay| overlay.dropped);
                self.entries_before(spec, dropped, &id)?
            }
        };
        let changes = self.batch.collections.entry(Arc::clone(&spec.path)).or_default();
        if changes.documents.insert(id.clone(), new.clone()).is_none() {
            if existed {
                changes.existing.insert(id.clone());
            }
        } else if new.is_none() && !changes.existing.contains(&id) {
            // Nobody has seen what the batch itself put there.
            changes.documents.remove(&id);
            if changes.documents.is_empty() && !changes.dropped {
                self.batch.collections.remove(&spec.path);
            }
        }
        self.undo.push(Undo::Document(Arc::clone(&spec.path), id.clone(), before));
        self.overlay(spec).set(id, Some(Pending { old, new, entries }));
        Ok(())
    }

    /// Returns what the published document has in the indexes; nothing if the collection was dropped.
    pub(super) fn entries_before(
        &mut self,
        spec: &Arc<CollectionSpec>,
        dropped: bool,
        id: &DocumentId,
    ) -> Result<Vec<Entries>> {
        if dropped || spec.indexes.is_empty() {
            return Ok(spec.no_entries());
        }
        self.load(spec)?;
        let known = self.last_read.as_ref().filter(|read| read.path == spec.path && read.id == *id);
        match self.database.published_entries(spec, id, known.map(|read| (read.stamp, &read.document))) {
            // Somebody wrote over the file while it was open. The write counts as newer than that edit: publishing it
            // makes the collection load again, and adopting the file then decides so.
            Err(Error::Corrupt { .. }) => {
                self.group.written_over.insert(Arc::clone(&spec.path));
                Ok(spec.no_entries())
            }
            other => other,
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Document(path, id, before) => {
                    if let Some(overlay) = self.group.collections.get_mut(&path) {
                        overlay.set(id, before);
                    }
                }
                Undo::Drop(path, before) => drop(self.group.collections.insert(path, before)),
            }
        }
    }
}

pub fn index_position(spec: &CollectionSpec, name: &str) -> Result<usize> {
    let at = spec.indexes.iter().position(|index| index.config.name == name);
    at.ok_or_else(|| Error::InvalidArgument(format!("index {name} not found in {}", spec.path)))
}
