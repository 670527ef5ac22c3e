//! What a checkpoint has to write, frozen at the switch of generations.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::file_table::FileTable;
use super::large_snapshot::LargeSnapshot;
use super::load::{bare_entries, is_known, scan};
use super::state::{Change, Content, matching, may_be_broken};
use super::writer::Writer;
use super::{CollectionSpec, Database, collection_file};
use crate::engine::checksum::FileHash;
use crate::engine::document::DocumentId;
use crate::engine::document_map::{DocumentMap, Entry};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{FileHandle, Metadata, OpenMode, read_all};
use crate::engine::journal::CollectionRecord;
use crate::engine::order;

/// A collection whose snapshot is to be written, frozen at the switch of generations.
pub(in crate::engine) struct Frozen {
    pub(super) path: Arc<str>,
    /// What the callers of this process want of it, if any did.
    pub(super) spec: Option<Arc<CollectionSpec>>,
    pub(super) is_loaded: bool,
    pub(super) documents: DocumentMap,
    pub(super) files: Arc<FileTable>,
    pub(super) seen: Option<Metadata>,
}

impl Frozen {
    /// Whether the documents are divided into heads and large fields as this spec divides them.
    pub(super) fn has_heads_of(&self, spec: &CollectionSpec) -> bool {
        self.is_loaded && self.spec.as_ref().is_some_and(|own| own.large_field == spec.large_field)
    }
}

/// What the file of a collection holds: its documents, without the length of their heads.
#[derive(Default)]
struct Bare {
    entries: Vec<Entry>,
    seen: Option<Metadata>,
    /// The file holds every batch up to this sequence number.
    covers: u64,
}

impl Database {
    /// Collects what must be written. Collections that nobody loaded are read from their snapshots.
    pub(super) fn freeze(&self, _: &mut Writer) -> Result<Vec<Frozen>> {
        let mut frozen = Vec::new();
        let mut unloaded = Vec::new();
        let files = {
            let state = self.state.read();
            for (path, collection) in &state.collections {
                match &collection.content {
                    Content::Loaded(loaded) if !loaded.dirty.is_empty() => frozen.push(Frozen {
                        path: Arc::clone(path),
                        spec: Some(Arc::clone(&loaded.spec)),
                        is_loaded: true,
                        documents: loaded.documents.clone(),
                        files: Arc::clone(&state.files),
                        seen: loaded.seen,
                    }),
                    Content::Unloaded(changes) if !changes.is_empty() => {
                        unloaded.push((Arc::clone(path), changes.clone()));
                    }
                    _ => {}
                }
            }
            let broken =
                state.catalog.iter().filter(|(_, record)| is_known(Some(record)) && may_be_broken(record));
            for (path, _) in broken {
                if !state.has_changes(path) {
                    unloaded.push((path.as_str().into(), BTreeMap::new()));
                }
            }
            Arc::clone(&state.files)
        };
        for (path, changes) in unloaded {
            if let Some(found) = self.freeze_unloaded(path, changes, &files)? {
                frozen.push(found);
            }
        }
        order::sort_by(&mut frozen, |a, b| a.path.cmp(&b.path));
        Ok(frozen)
    }

    fn freeze_unloaded(
        &self,
        path: Arc<str>,
        changes: BTreeMap<DocumentId, Change>,
        files: &FileTable,
    ) -> Result<Option<Frozen>> {
        // Only the files of this collection: there may be thousands of others.
        let mut files =
            files.restricted_to(changes.values().filter_map(|change| Some(change.location?.file)));
        let record = self.state.read().catalog.get(&*path).cloned();
        let Some(Bare { entries, seen, covers }) = self.bare_snapshot(&path, record.as_ref(), &mut files)?
        else {
            return Ok(None);
        };
        let mut documents = DocumentMap::from_entries(entries);
        for (id, change) in changes.into_iter().filter(|(_, change)| change.seq > covers) {
            documents.set(id, change.location);
        }
        let spec = self.state.read().collections.get(&path).and_then(|collection| collection.spec.clone());
        let files = Arc::new(files);
        Ok(Some(Frozen { path, spec, is_loaded: false, documents, files, seen }))
    }

    /// Reads the file of a collection that nobody has loaded, and adds it to `files`. Returns `None` if the file is missing,
    /// damaged or edited: it is left alone until somebody asks for the collection.
    fn bare_snapshot(
        &self,
        path: &str,
        record: Option<&CollectionRecord>,
        files: &mut FileTable,
    ) -> Result<Option<Bare>> {
        let path = collection_file(&self.directory, path);
        let mut add = |file| files.add_snapshot(FileHandle::new(&self.fs, &*path, file));
        if let Some(large) = LargeSnapshot::open(&*self.fs, &path, record)?
            && let Some(entries) = large.bare_entries(&path, add(Arc::clone(&large.file)))?
        {
            return Ok(Some(Bare { entries, seen: Some(large.seen), covers: large.record.covers }));
        }
        if !is_known(record) && self.fs.metadata(&path).at("look up", &path)?.is_none() {
            return Ok(Some(Bare::default()));
        }
        let file = match self.fs.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) => {
                let is_expected =
                    error.kind() == io::ErrorKind::NotFound && record.is_some_and(|record| record.absent);
                return Ok(is_expected.then(Bare::default));
            }
        };
        // The metadata is taken before the file is read, so that what is written in between shows as an edit.
        let seen = Some(file.metadata().at("look up", &path)?);
        let bytes = read_all(&*file).at("read", &path)?;
        let Some(known) = matching(record, FileHash::of(&bytes)) else { return Ok(None) };
        if record.is_some_and(|record| record.dropped.is_some()) {
            return Ok(Some(Bare { seen, ..Bare::default() }));
        }
        let scanned =
            scan(&bytes, known).map_err(|error| Error::corrupt(&path, error.offset as u64, error.problem))?;
        Ok(Some(Bare { entries: bare_entries(&bytes, scanned, add(file)), seen, covers: known.covers }))
    }
}
