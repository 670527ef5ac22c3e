//! What readers see: every collection's documents and indexes as of the last published batch.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::CollectionSpec;
use super::entity_paths::overlap;
use super::file_table::FileTable;
use super::recent::RecentChanges;
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
    pub collections: HashMap<Arc<str>, Collection>,
    pub catalog: BTreeMap<String, CollectionRecord>,
    /// Collections of which this generation recorded a snapshot that is not known to be in place for good.
    pub renamed: Vec<String>,
    /// Removals of paths up to this sequence number are done and durable.
    pub removed: u64,
    /// What the last batches changed.
    pub recent: RecentChanges,
    /// Paths removed since the current generation began, and by which batch.
    pub removals: Vec<(u64, String)>,
    /// The batches that adopted a file. What they say of its documents is that file in its stored form and no newer than it.
    pub adoptions: BTreeSet<u64>,
    pub files: Arc<FileTable>,
    /// The file in which the current generation's documents lie.
    pub journal: FileId,
}

/// A change of a document since the snapshot of its collection.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Where the new text lies; `None` for a deleted document.
    pub location: Option<Location>,
    pub seq: u64,
    /// The hash of the document in the snapshot, if it is there and that is known.
    pub base: Option<u64>,
}

#[derive(Default)]
pub struct Collection {
    pub content: Content,
    /// Another one after each change that readers could notice: the stamp of cached lists.
    pub version: u64,
    /// What the callers of this process want of the collection, all of them together. Only the holder of the `writer`
    /// mutex changes it; a loaded collection always has just this spec.
    pub spec: Option<Arc<CollectionSpec>>,
    /// Documents that were in memory before the collection was unloaded, and did not change since. Nothing, unless it was.
    pub before: Option<DocumentMap>,
}

pub enum Content {
    /// Nobody asked for it yet: what the journals say, to be laid over the snapshot when somebody does. The
    /// `head` of these locations is not known yet and zero, except where a document has a file of its own.
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
/// Invariant: a document that is not in `dirty` lies in the file `snapshot`.
pub struct Loaded {
    pub spec: Arc<CollectionSpec>,
    pub documents: DocumentMap,
    pub indexes: Vec<Index>,
    /// One element per index.
    pub times: Vec<IndexTimes>,
    /// Documents changed since the snapshot, deleted ones included.
    pub dirty: BTreeMap<DocumentId, Dirty>,
    pub snapshot: Option<FileId>,
    /// What the snapshot file looked like when it was read: a hint that someone edited it since.
    pub seen: Option<Metadata>,
    pub checked: Instant,
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

    /// The changes that must be laid over a snapshot which covers `covers`.
    pub fn changes_after(&self, covers: u64) -> BTreeMap<DocumentId, Change> {
        let newer = self.dirty.iter().filter(|(_, dirty)| dirty.seq > covers);
        newer
            .map(|(id, dirty)| {
                let location = self.documents.get(id).copied();
                (id.clone(), Change { location, seq: dirty.seq, base: dirty.base })
            })
            .collect()
    }
}

impl Collection {
    /// Takes note of a change that readers could notice. The version is one that no collection of this process had, whatever
    /// was at this path before.
    pub fn renew_version(&mut self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.version = NEXT.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether memory holds nothing of it: no documents, no changes, no file.
    pub fn is_empty(&self) -> bool {
        match &self.content {
            Content::Unloaded(changes) => changes.is_empty() && self.before.is_none(),
            Content::Loaded(loaded) => {
                loaded.documents.is_empty() && loaded.dirty.is_empty() && loaded.snapshot.is_none()
            }
        }
    }

    /// Sequence numbers of the oldest change that is not in the snapshot.
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

    /// Bytes of the documents that changed since the snapshot.
    pub fn changed_bytes(&self) -> u64 {
        let len = |location: Option<&Location>| location.map_or(0, |location| u64::from(location.len));
        match &self.content {
            Content::Unloaded(changes) => changes.values().map(|change| len(change.location.as_ref())).sum(),
            Content::Loaded(loaded) => loaded.dirty.keys().map(|id| len(loaded.documents.get(id))).sum(),
        }
    }

    /// What the journals hold beyond the snapshot.
    pub fn changes(&self) -> BTreeMap<DocumentId, Change> {
        match &self.content {
            Content::Unloaded(changes) => changes.clone(),
            Content::Loaded(loaded) => loaded.changes_after(0),
        }
    }

    /// Takes note of a change of a collection that is not loaded.
    pub fn note(&mut self, id: DocumentId, change: Change) {
        if let Content::Unloaded(changes) = &mut self.content {
            if let Some(before) = &mut self.before {
                before.remove(&id);
            }
            let known = changes.entry(id).or_insert(change);
            *known = Change { base: known.base, ..change };
        }
    }

    /// Forgets what is in memory, so that the next call reads the snapshot again.
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
    /// Nothing at all: no journal, no collection.
    pub fn empty() -> State {
        State {
            database: DatabaseId(0),
            format: FORMAT,
            position: Position { generation: 0, seq: 0, end: 0, checksum: 0, durable: 0 },
            collections: HashMap::new(),
            catalog: BTreeMap::new(),
            renamed: Vec::new(),
            removed: 0,
            recent: RecentChanges::default(),
            removals: Vec::new(),
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

    /// The version of a collection; 0 if memory does not know it.
    pub fn version(&self, path: &str) -> u64 {
        self.collections.get(path).map_or(0, |collection| collection.version)
    }

    /// Whether the journals hold something of a collection that is not in its snapshot.
    pub fn has_changes(&self, path: &str) -> bool {
        self.collections.get(path).is_some_and(Collection::has_changes)
    }

    /// What the journals hold of a collection beyond its snapshot.
    pub fn changes(&self, path: &str) -> BTreeMap<DocumentId, Change> {
        self.collections.get(path).map(Collection::changes).unwrap_or_default()
    }

    /// The collections of which the journals hold something that is not in the snapshot.
    pub fn changed(&self) -> impl Iterator<Item = (&Arc<str>, &Collection)> {
        self.collections.iter().filter(|(_, collection)| collection.has_changes())
    }

    /// The size of the newest snapshot of a collection.
    pub fn snapshot_size(&self, path: &str) -> u64 {
        let newest = self.catalog.get(path).and_then(|record| record.snapshots.last());
        newest.map_or(0, |snapshot| snapshot.size)
    }

    /// The table of files, apart from the ones that readers have.
    pub fn files_mut(&mut self) -> &mut FileTable {
        Arc::make_mut(&mut self.files)
    }

    /// Takes over what the header of a generation says of everything before it. Whoever goes on in a generation knows the
    /// same then, whether it wrote the header, followed its writer or opened the database just now.
    pub fn begin_generation(&mut self, header: &Header) {
        self.format = header.format;
        self.catalog = header.catalog.clone();
        self.removed = header.removed;
        self.removals.clear();
        self.renamed.clear();
        self.adoptions = self.adoptions.split_off(&(header.covered + 1));
    }

    /// Takes note of a new state of a snapshot file.
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

    /// Whether a change is newer than the file of its collection, whichever of the states that the catalog knows it has: an
    /// edit of the file does not win over it.
    pub fn is_newer_than_file(&self, path: &str, change: &Change) -> bool {
        change.seq > self.covered_by_any(path) && !self.adoptions.contains(&change.seq)
    }

    /// The batches up to this sequence number are in the collection's file, whichever of the states that the catalog
    /// knows it has.
    pub fn covered_by_any(&self, path: &str) -> u64 {
        self.catalog.get(path).map_or(0, |record| match record.dropped {
            // The batch that dropped the collection may have put documents into it again.
            Some(dropped) => dropped.saturating_sub(1),
            None if record.absent => 0,
            None => record.snapshots.first().map_or(0, |oldest| oldest.covers),
        })
    }

    /// The renames that put the newest states of snapshots in place are durable: only those count from now on. Returns
    /// the collections that they belong to.
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

    /// Forgets the changes of a collection that is not loaded which its file holds for certain.
    pub fn forget_covered(&mut self, path: &str) {
        let covered = self.covered_by_any(path);
        if let Some(Content::Unloaded(changes)) =
            self.collections.get_mut(path).map(|collection| &mut collection.content)
        {
            changes.retain(|_, change| change.seq > covered);
            // Of the file that there is now nothing is known.
            changes.values_mut().for_each(|change| change.base = None);
        }
    }

    pub fn record_drop(&mut self, path: &str, seq: u64) {
        let is_adoption = self.adoptions.contains(&seq);
        let entry = self.catalog.entry(path.to_owned()).or_default();
        entry.dropped = Some(seq);
        if is_adoption {
            // It was given up because its file was gone. One that is there later is a person's, also one that it had before.
            entry.snapshots.clear();
        }
        let collection = self.collection(path);
        collection.renew_version();
        collection.before = None;
        collection.content = match std::mem::take(&mut collection.content) {
            Content::Loaded(loaded) => Content::Loaded(Loaded {
                indexes: loaded.indexes.iter().map(Index::empty_like).collect(),
                documents: DocumentMap::default(),
                dirty: BTreeMap::new(),
                snapshot: None,
                seen: None,
                ..loaded
            }),
            _ => Content::default(),
        };
    }

    /// These paths belong to documents again: what was removed there is gone for good.
    pub fn cancel_removals(&mut self, kept: &[String]) {
        let is_kept = |removed: &str| kept.iter().any(|kept| overlap(removed, kept));
        self.removals.retain(|(_, removed)| !is_kept(removed));
    }

    /// Every batch up to this sequence number is in the snapshots.
    pub fn covered(&self) -> u64 {
        let oldest = self.collections.values().filter_map(Collection::oldest_change).min();
        oldest.map_or(self.position.seq, |seq| seq - 1)
    }

    /// Closes the files in which no document lies any more.
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

/// What is known of a snapshot file with this hash.
pub fn matching(
    record: Option<&CollectionRecord>,
    hash: crate::engine::checksum::FileHash,
) -> Option<&SnapshotRecord> {
    record?.snapshots.iter().rev().find(|snapshot| snapshot.hash == hash)
}

/// Whether the file may be a broken one that was set aside: the next checkpoint makes a map of it.
pub fn may_be_broken(record: &CollectionRecord) -> bool {
    record.snapshots.iter().any(|snapshot| !holds_documents(snapshot))
}

/// Whether documents of a file with this record lie in it.
pub fn holds_documents(record: &SnapshotRecord) -> bool {
    record.layout != Layout::Void
}
