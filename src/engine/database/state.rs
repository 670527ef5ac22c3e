//! What readers see: every collection's documents and indexes as of the last published batch.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::file_table::FileTable;
use super::path_map::PathMap;
use super::recent::RecentChanges;
use super::{CollectionSpec, Declaration};
use crate::engine::checksum::{DatabaseId, Salt};
use crate::engine::document::DocumentId;
use crate::engine::document_map::{DocumentMap, FileId, Location};
use crate::engine::fs::Metadata;
use crate::engine::index::{Entries, Index};
use crate::engine::journal::{CollectionRecord, FORMAT, Header, Layout, SnapshotRecord};

/// How far the journal has been taken into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub generation: u64,
    pub seq: u64,
    /// Where the last line ends in the journal of `generation`.
    pub end: u64,
    /// The checksum of the last line.
    pub checksum: u64,
    /// The highest sequence number known to be durable.
    pub durable: u64,
}

pub struct State {
    pub database: DatabaseId,
    /// The format of the current generation.
    pub format: u32,
    pub position: Position,
    pub collections: BTreeMap<Arc<str>, Collection>,
    pub catalog: BTreeMap<String, CollectionRecord>,
    /// Collections whose snapshot was recorded in this generation and is not known to be durably in place.
    pub renamed: Vec<String>,
    /// Removals by batches up to this sequence number are done and durable.
    pub removed: u64,
    /// What the last batches changed.
    pub recent: RecentChanges,
    /// Paths removed since the current generation began, and by which batch; by the last one if several did.
    pub removals: PathMap<u64>,
    /// The batches that adopted a file. What they put is that file in its stored form, and no newer than the file.
    pub adoptions: BTreeSet<u64>,
    pub files: Arc<FileTable>,
    /// The journal of the current generation.
    pub journal: FileId,
}

/// A change of a document since the snapshot of its collection.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Where the new text lies; `None` for a deleted document.
    pub location: Option<Location>,
    pub seq: u64,
    /// The hash of the document in the snapshot, if it is known; `None` if the document is not known to be there.
    pub base: Option<Option<u64>>,
}

#[derive(Default)]
pub struct Collection {
    pub content: Content,
    /// Renewed at each change that readers could notice; cached lists are stamped with it.
    pub version: u64,
    /// What all callers of this process together want of the collection. Only the holder of the `writer` mutex changes
    /// it; a loaded collection always has exactly this spec.
    pub spec: Option<Arc<CollectionSpec>>,
    /// The claims of its callers. Those that have ended are dropped with the next new one.
    pub declarations: Vec<Weak<Declaration>>,
    /// The documents that were in memory when the collection was unloaded and have not changed since; `None` if it was
    /// not unloaded.
    pub before: Option<DocumentMap>,
}

pub enum Content {
    /// The changes in the journals, to be laid over the snapshot when the collection is loaded. The `head` of these
    /// locations is not known yet and zero, except for documents that have a file of their own.
    Unloaded(BTreeMap<DocumentId, Change>),
    Loaded(Loaded),
}

impl Default for Content {
    fn default() -> Self {
        Content::Unloaded(BTreeMap::new())
    }
}

/// A collection in memory.
///
/// Invariant: the text of a document that is not in `dirty` is in the file `snapshot`.
pub struct Loaded {
    pub spec: Arc<CollectionSpec>,
    pub documents: DocumentMap,
    pub indexes: Vec<Index>,
    /// One element per index.
    pub times: Vec<IndexTimes>,
    /// Documents changed since the snapshot, deleted ones included.
    pub dirty: BTreeMap<DocumentId, Dirty>,
    pub snapshot: Option<FileId>,
    /// Metadata of the snapshot file when it was read: a difference hints that someone has edited it since.
    pub seen: Option<Metadata>,
    pub checked: Instant,
    /// How often the cache had been cleared when the file was looked at.
    pub clears: u64,
}

/// Milliseconds since 1970, for people to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexTimes {
    pub first_built: u64,
    pub last_changed: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct Dirty {
    pub seq: u64,
    /// The hash of the document in the snapshot, if it is there.
    pub base: Option<u64>,
}

/// A change of one document, ready to be published.
pub struct Prepared {
    pub id: DocumentId,
    pub location: Option<Location>,
    /// One element per index of the collection.
    pub old: Vec<Entries>,
    pub new: Vec<Entries>,
    pub seq: u64,
    /// Milliseconds since 1970.
    pub now: u64,
}

impl Loaded {
    pub fn publish(&mut self, change: Prepared) {
        let indexes = self.indexes.iter_mut().zip(&mut self.times);
        for (((index, times), old), new) in indexes.zip(&change.old).zip(change.new) {
            if *old != new {
                index.remove(&change.id, old);
                index.insert(&change.id, new);
                times.last_changed = change.now;
            }
        }
        let before = match change.location {
            Some(location) => self.documents.insert(change.id.clone(), location),
            None => self.documents.remove(&change.id),
        };
        let base = before.filter(|before| Some(before.file) == self.snapshot).map(|before| before.hash);
        self.dirty.entry(change.id).or_insert(Dirty { seq: 0, base }).seq = change.seq;
    }

    /// Returns the changes that must be laid over a snapshot that holds every batch up to `covers`.
    pub fn changes_after(&self, covers: u64) -> BTreeMap<DocumentId, Change> {
        let newer = self.dirty.iter().filter(|(_, dirty)| dirty.seq > covers);
        newer
            .map(|(id, dirty)| {
                let location = self.documents.get(id).copied();
                (id.clone(), Change { location, seq: dirty.seq, base: dirty.base.map(Some) })
            })
            .collect()
    }
}

impl Collection {
    /// Gives the collection a new version after a change that readers could notice. No collection of this process has
    /// had that version before, at this path or another.
    pub fn renew_version(&mut self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.version = NEXT.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether memory holds nothing of the collection: no documents, no changes, no file.
    pub fn is_empty(&self) -> bool {
        match &self.content {
            Content::Unloaded(changes) => changes.is_empty() && self.before.is_none(),
            Content::Loaded(loaded) => {
                loaded.documents.is_empty() && loaded.dirty.is_empty() && loaded.snapshot.is_none()
            }
        }
    }

    /// Returns the sequence number of the oldest change that is not in the snapshot.
    pub fn oldest_change(&self) -> Option<u64> {
        match &self.content {
            Content::Unloaded(changes) => changes.values().map(|change| change.seq).min(),
            Content::Loaded(loaded) => loaded.dirty.values().map(|dirty| dirty.seq).min(),
        }
    }

    /// Whether the journals hold something that is not in the snapshot.
    pub fn has_changes(&self) -> bool {
        match &self.content {
            Content::Unloaded(changes) => !changes.is_empty(),
            Content::Loaded(loaded) => !loaded.dirty.is_empty(),
        }
    }

    /// Returns the bytes of the documents that changed since the snapshot.
    pub fn changed_bytes(&self) -> u64 {
        let len = |location: Option<&Location>| location.map_or(0, |location| u64::from(location.len));
        match &self.content {
            Content::Unloaded(changes) => changes.values().map(|change| len(change.location.as_ref())).sum(),
            Content::Loaded(loaded) => loaded.dirty.keys().map(|id| len(loaded.documents.get(id))).sum(),
        }
    }

    /// Returns the changes that the journals hold beyond the snapshot.
    pub fn changes(&self) -> BTreeMap<DocumentId, Change> {
        match &self.content {
            Content::Unloaded(changes) => changes.clone(),
            Content::Loaded(loaded) => loaded.changes_after(0),
        }
    }

    /// Records a change of a collection that is not loaded.
    pub fn note(&mut self, id: DocumentId, change: Change) {
        if let Content::Unloaded(changes) = &mut self.content {
            if let Some(before) = &mut self.before {
                before.remove(&id);
            }
            let known = changes.entry(id).or_insert(change);
            *known = Change { base: known.base, ..change };
        }
    }

    /// Unloads the collection, so that the next call reads the snapshot again.
    pub fn unload(&mut self) {
        self.renew_version();
        if let Content::Loaded(loaded) = &mut self.content {
            let changes = loaded.changes_after(0);
            self.before = Some(std::mem::take(&mut loaded.documents));
            self.content = Content::Unloaded(changes);
        }
    }
}

impl State {
    /// Returns every path that the journals name, some of them several times.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let collections =
            self.catalog.keys().map(String::as_str).chain(self.collections.keys().map(AsRef::as_ref));
        collections.chain(self.removals.iter().map(|(path, _)| path))
    }

    /// Returns a state with nothing in it: no journal, no collection.
    pub fn empty() -> State {
        State {
            database: DatabaseId(0),
            format: FORMAT,
            position: Position { generation: 0, seq: 0, end: 0, checksum: 0, durable: 0 },
            collections: BTreeMap::new(),
            catalog: BTreeMap::new(),
            renamed: Vec::new(),
            removed: 0,
            recent: RecentChanges::default(),
            removals: PathMap::default(),
            adoptions: BTreeSet::new(),
            files: Arc::new(FileTable::default()),
            journal: FileId(u32::MAX),
        }
    }

    pub fn salt(&self) -> Salt {
        Salt::new(self.database, self.position.generation)
    }

    pub fn collection(&mut self, path: &str) -> &mut Collection {
        self.collections.entry(path.into()).or_default()
    }

    pub fn loaded(&self, path: &str) -> Option<&Loaded> {
        match &self.collections.get(path)?.content {
            Content::Loaded(loaded) => Some(loaded),
            _ => None,
        }
    }

    /// Returns the version of a collection; 0 if memory does not know it.
    pub fn version(&self, path: &str) -> u64 {
        self.collections.get(path).map_or(0, |collection| collection.version)
    }

    /// Whether the journals hold something of a collection that is not in its snapshot.
    pub fn has_changes(&self, path: &str) -> bool {
        self.collections.get(path).is_some_and(Collection::has_changes)
    }

    /// Returns the changes that the journals hold of a collection beyond its snapshot.
    pub fn changes(&self, path: &str) -> BTreeMap<DocumentId, Change> {
        self.collections.get(path).map(Collection::changes).unwrap_or_default()
    }

    /// Returns the collections of which the journals hold something that is not in the snapshot.
    pub fn changed(&self) -> impl Iterator<Item = (&Arc<str>, &Collection)> {
        self.collections.iter().filter(|(_, collection)| collection.has_changes())
    }

    /// Returns the size of the newest snapshot of a collection.
    pub fn snapshot_size(&self, path: &str) -> u64 {
        let newest = self.catalog.get(path).and_then(|record| record.snapshots.last());
        newest.map_or(0, |snapshot| snapshot.size)
    }

    /// Returns the table of files to change it; readers keep the one that they have.
    pub fn files_mut(&mut self) -> &mut FileTable {
        Arc::make_mut(&mut self.files)
    }

    /// Applies what the header of a generation says of everything before it. So every process that continues in a
    /// generation knows the same, whether it wrote the header, followed its writer or opened the database just now.
    pub fn begin_generation(&mut self, header: &Header) {
        self.format = header.format;
        self.catalog = header.catalog.clone();
        self.removed = header.removed;
        self.removals.clear();
        self.renamed.clear();
        self.adoptions = self.adoptions.split_off(&(header.covered + 1));
    }

    /// Records a new state that a snapshot file may have.
    pub fn record_snapshot(&mut self, path: &str, record: SnapshotRecord, adopted: bool) {
        let entry = self.catalog.entry(path.to_owned()).or_default();
        if adopted || entry.dropped.take().is_some() {
            entry.snapshots.clear();
        }
        // Until the rename is durable, the file may have any state that was not ruled out before.
        entry.absent = !adopted && (entry.absent || entry.snapshots.is_empty());
        entry.snapshots.push(record);
        entry.dropped = None;
        if !adopted {
            self.renamed.push(path.to_owned());
        }
        if let Some(Content::Unloaded(changes)) =
            self.collections.get_mut(path).map(|known| &mut known.content)
        {
            changes.values_mut().for_each(|change| change.base = None);
        }
    }

    /// Whether a change is newer than the file of its collection, in whichever of its states in the catalog the file
    /// is: the change then wins over an edit of the file.
    pub fn is_newer_than_file(&self, path: &str, change: &Change) -> bool {
        change.seq > self.covered_by_any(path) && !self.adoptions.contains(&change.seq)
    }

    /// Returns the sequence number up to which the collection's file holds every batch, in whichever of its states in
    /// the catalog the file is.
    pub fn covered_by_any(&self, path: &str) -> u64 {
        self.catalog.get(path).map_or(0, |record| match record.dropped {
            // The batch that dropped the collection may have put documents into it again.
            Some(dropped) => dropped.saturating_sub(1),
            None if record.absent => 0,
            None => record.snapshots.first().map_or(0, |oldest| oldest.covers),
        })
    }

    /// Records that the renames of the newest snapshots are durable, so that only their newest states count. Returns
    /// the collections of these snapshots.
    pub fn confirm_snapshots(&mut self) -> Vec<String> {
        let renamed = std::mem::take(&mut self.renamed);
        for path in &renamed {
            if let Some(entry) = self.catalog.get_mut(path) {
                let keep_from = entry.snapshots.len().saturating_sub(1);
                entry.snapshots.drain(..keep_from);
                entry.absent = false;
            }
        }
        renamed
    }

    /// Forgets the changes of an unloaded collection that its file certainly holds.
    pub fn forget_covered(&mut self, path: &str) {
        let covered = self.covered_by_any(path);
        if let Some(Content::Unloaded(changes)) =
            self.collections.get_mut(path).map(|collection| &mut collection.content)
        {
            changes.retain(|_, change| change.seq > covered);
            // The texts of the documents in the file that is there now are not known yet.
            changes.values_mut().for_each(|change| change.base = change.base.map(|_| None));
        }
    }

    pub fn record_drop(&mut self, path: &str, seq: u64) {
        let is_adoption = self.adoptions.contains(&seq);
        let entry = self.catalog.entry(path.to_owned()).or_default();
        entry.dropped = Some(seq);
        if is_adoption {
            // An adoption dropped the collection because its file was gone. A file that appears later is a person's,
            // even if it is one that the collection had before.
            entry.snapshots.clear();
        }
        let collection = self.collection(path);
        collection.renew_version();
        collection.before = None;
        let Content::Loaded(loaded) = std::mem::take(&mut collection.content) else { return };
        let snapshot = loaded.snapshot;
        collection.content = Content::Loaded(Loaded {
            indexes: loaded.indexes.iter().map(Index::empty_like).collect(),
            documents: DocumentMap::default(),
            dirty: BTreeMap::new(),
            snapshot: None,
            seen: None,
            ..loaded
        });
        // Where a file that is open cannot really be removed, neither can its directory: NFS and FUSE rename it.
        if let Some(snapshot) = snapshot {
            self.files_mut().forget(snapshot);
        }
    }

    /// Forgets removals at these paths, above or below them: the paths belong to documents again, and the removals are
    /// done for good.
    pub fn cancel_removals(&mut self, kept: &[String]) {
        kept.iter().for_each(|kept| self.removals.remove_overlapping(kept));
    }

    /// Returns the sequence number up to which the snapshots hold every batch.
    pub fn covered(&self) -> u64 {
        let oldest = self.collections.values().filter_map(Collection::oldest_change).min();
        oldest.map_or(self.position.seq, |seq| seq - 1)
    }

    /// Closes the files that hold no document any more.
    pub fn drop_unused_files(&mut self) {
        let mut used = HashSet::from([self.journal]);
        for collection in self.collections.values() {
            match &collection.content {
                Content::Unloaded(changes) => {
                    used.extend(
                        changes.values().filter_map(|change| change.location).map(|location| location.file),
                    );
                }
                Content::Loaded(loaded) => {
                    used.extend(loaded.snapshot);
                    let dirty = loaded.dirty.keys().filter_map(|id| loaded.documents.get(id));
                    used.extend(dirty.map(|location| location.file));
                }
            }
        }
        FileTable::keep(&mut self.files, &used);
    }
}

/// Returns what the catalog knows of a snapshot file with this hash.
pub fn matching(
    record: Option<&CollectionRecord>,
    hash: crate::engine::checksum::FileHash,
) -> Option<&SnapshotRecord> {
    record?.snapshots.iter().rev().find(|snapshot| snapshot.hash == hash)
}

/// Whether the file may be a broken one that was set aside; the next checkpoint then makes a map of it.
pub fn may_be_broken(record: &CollectionRecord) -> bool {
    record.snapshots.iter().any(|snapshot| !holds_documents(snapshot))
}

/// Whether documents are read from a file with this record.
pub fn holds_documents(record: &SnapshotRecord) -> bool {
    record.layout != Layout::Void
}
