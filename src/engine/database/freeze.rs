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
use crate::engine::document_map::DocumentMap;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{FileBytes, FileHandle, Metadata, OpenMode, read_all};
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
        let file_path = collection_file(&self.directory, &path);
        let mut add = |file| files.add_snapshot(FileHandle::new(&self.fs, &*file_path, file));
        let record = self.state.read().catalog.get(&*path).cloned();
        let mut entries = Vec::new();
        let mut seen = None;
        let mut covers = 0;
        let large = LargeSnapshot::open(&*self.fs, &file_path, record.as_ref())?;
        let in_pieces = match &large {
            Some(large) => large.bare_entries(&file_path, add(Arc::clone(&large.file)))?,
            None => None,
        };
        if let (Some(large), Some(found)) = (&large, in_pieces) {
            (entries, seen, covers) = (found, Some(large.seen), large.record.covers);
        } else if is_known(record.as_ref())
            || self.fs.metadata(&file_path).at("look up", &file_path)?.is_some()
        {
            let opened = self.fs.open(&file_path, OpenMode::Read);
            // The metadata is taken before the file is read, so that what is written in between shows as an edit.
            let (found, bytes) = match &opened {
                Ok(file) => (
                    Some(file.metadata().at("look up", &file_path)?),
                    read_all(&**file).at("read", &file_path)?,
                ),
                Err(_) => (None, FileBytes::default()),
            };
            let known = matching(record.as_ref(), FileHash::of(&bytes)).cloned();
            match (known, opened) {
                (Some(known), Ok(file)) => {
                    seen = found;
                    if record.is_some_and(|record| record.dropped.is_none()) {
                        covers = known.covers;
                        let id = add(file);
                        let scanned = scan(&bytes, &known).map_err(|error| {
                            Error::corrupt(&file_path, error.offset as u64, error.problem)
                        })?;
                        entries = bare_entries(&bytes, scanned, id);
                    }
                }
                (_, Err(error))
                    if error.kind() == io::ErrorKind::NotFound
                        && record.is_some_and(|record| record.absent) => {}
                // Missing, damaged or edited: the file is left alone until somebody asks for the collection.
                _ => return Ok(None),
            }
        }
        let mut documents = DocumentMap::from_entries(entries);
        for (id, change) in changes.into_iter().filter(|(_, change)| change.seq > covers) {
            documents.set(id, change.location);
        }
        let spec = self.state.read().collections.get(&path).and_then(|collection| collection.spec.clone());
        let files = Arc::new(files);
        Ok(Some(Frozen { path, spec, is_loaded: false, documents, files, seen }))
    }
}
