//! The database at one moment, frozen so that it can be copied while writers go on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::document_copy::copy_documents;
use super::file_table::FileTable;
use super::freeze::Frozen;
use super::load::{WAYS_OUT, is_known};
use super::removals::repeat_removals;
use super::state::matching;
use super::writer::Held;
use super::{Database, WarningCode, collection_file};
use crate::engine::checksum::{DatabaseId, FileHash};
use crate::engine::document_map::DocumentMap;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{File, FileHandle, OpenMode, read_all};
use crate::engine::journal::{Layout, SnapshotRecord};
use crate::engine::snapshot::{SnapshotWriter, scan_map};

/// What a database holds at one moment. Snapshots stay where they are as long as nobody checkpoints.
pub(in crate::engine) struct Cut {
    pub id: DatabaseId,
    pub seq: u64,
    pub collections: BTreeMap<Arc<str>, CutContent>,
}

pub(in crate::engine) enum CutContent {
    /// The file of the collection, in one of these states; in none of them if a person wrote it and nobody has asked
    /// for it since.
    File(Vec<SnapshotRecord>),
    /// Documents in several files.
    Documents(Frozen),
    /// The same, but one of the files is a person's edit that is not adopted yet.
    Edited(Frozen),
}

impl CutContent {
    /// Returns about how many bytes the file of the collection has or will have.
    pub fn size(&self) -> u64 {
        match self {
            CutContent::File(states) => states.last().map_or(0, |record| record.size),
            CutContent::Documents(frozen) | CutContent::Edited(frozen) => {
                frozen.documents.iter().map(|(_, location)| u64::from(location.len) + 24).sum()
            }
        }
    }

    /// Streams the documents into a fresh file, as a snapshot. Returns its hash.
    pub fn write_to(frozen: &Frozen, file: Arc<dyn File>, name: &Path) -> Result<FileHash> {
        let mut writer = SnapshotWriter::new(file);
        copy_documents(&mut writer, &frozen.files, &frozen.documents, None)
            .map_err(|failure| failure.error(&frozen.files, Path::new(&*frozen.path), name))?;
        Ok(writer.finish().at("write", name)?.hash)
    }
}

impl Database {
    /// Freezes everything committed so far. Nobody may checkpoint ([`Database::quiet`]) while the result is in use.
    ///
    /// # Errors
    /// `CORRUPT_DATA` if a file with documents is missing or damaged; `IO_ERROR`.
    pub(in crate::engine) fn cut(&self, held: &mut Held<'_>) -> Result<Cut> {
        let damaged = self.notice_edits(held)?;
        damaged.iter().for_each(|error| self.warn(WarningCode::CheckpointFailed, error.to_string()));
        // If the file of a dropped collection were still there, it would look like a person's.
        let (catalog, removed, removals) = {
            let state = self.state.read();
            (state.catalog.clone(), state.removed, state.removals.clone())
        };
        repeat_removals(&self.fs, &self.directory, self.options.most_above, &catalog, removed, &removals)?;
        let frozen = self.freeze(held)?;
        let (id, seq, dirty) = {
            let state = self.state.read();
            let dirty: Vec<Arc<str>> = state.changed().map(|(path, _)| Arc::clone(path)).collect();
            (state.database, state.position.seq, dirty)
        };
        let documents = |frozen: Frozen| (Arc::clone(&frozen.path), CutContent::Documents(frozen));
        let mut collections: BTreeMap<Arc<str>, CutContent> = frozen.into_iter().map(documents).collect();
        for path in dirty {
            if let Entry::Vacant(free) = collections.entry(path) {
                let edited = self.freeze_edited(Arc::clone(free.key()))?;
                free.insert(CutContent::Edited(edited));
            }
        }
        for (path, record) in &catalog {
            if !is_known(Some(record)) || collections.contains_key(&**path) {
                continue;
            }
            // Nothing in a broken file counts, so the collection is empty.
            let content = if record.snapshots.iter().all(|snapshot| snapshot.layout == Layout::Void) {
                CutContent::Documents(Frozen::empty(path))
            } else {
                CutContent::File(record.snapshots.clone())
            };
            collections.insert(path.as_str().into(), content);
        }
        Ok(Cut { id, seq, collections })
    }

    /// Freezes a file that a person edited while the journal held something newer, and that nobody has asked for since:
    /// lays the newer documents over it, as adoption does.
    fn freeze_edited(&self, path: Arc<str>) -> Result<Frozen> {
        let file_path = collection_file(&self.directory, &path);
        let damaged = |problem: &str| Error::corrupt(&file_path, 0, format!("{problem}; {WAYS_OUT}"));
        let file = match self.fs.open(&file_path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("the file is missing"));
            }
            other => other.at("open", &file_path)?,
        };
        let bytes = read_all(&*file).at("read", &file_path)?;
        let (record, changes, mut files) = {
            let state = self.state.read();
            let mut changes = state.changes(&path);
            changes.retain(|_, change| state.is_newer_than_file(&path, change));
            (state.catalog.get(&*path).cloned(), changes, Arc::clone(&state.files))
        };
        if matching(record.as_ref(), FileHash::of(&bytes)).is_some() || bytes.is_empty() {
            return Err(damaged("the file cannot be read"));
        }
        let scanned = scan_map(&bytes)
            .map_err(|error| Error::corrupt(&file_path, error.offset as u64, error.problem))?;
        let id = Arc::make_mut(&mut files).add_snapshot(FileHandle::new(&self.fs, &*file_path, file));
        let mut documents = DocumentMap::from_entries(super::load::bare_entries(&bytes, scanned, id));
        for (id, change) in changes {
            documents.set(id, change.location);
        }
        Ok(Frozen::new(path, documents, files))
    }
}

impl Frozen {
    fn new(path: Arc<str>, documents: DocumentMap, files: Arc<FileTable>) -> Frozen {
        Frozen { path, spec: None, is_loaded: false, documents, files, seen: None }
    }

    fn empty(path: &str) -> Frozen {
        Frozen::new(path.into(), DocumentMap::default(), Arc::default())
    }
}
