//! The files that hold the texts of documents.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::engine::document_map::FileId;
use crate::engine::fs::{File, FileHandle};

/// The files that hold documents. Shared with views, so that a journal stays open as long as anyone reads it.
#[derive(Clone, Default)]
pub struct FileTable {
    files: BTreeMap<FileId, TextFile>,
    next: u32,
}

#[derive(Clone)]
enum TextFile {
    /// A file that stays open: a journal, or what only memory has.
    Open { path: Arc<Path>, file: Arc<dyn File> },
    /// The snapshot of a collection.
    Snapshot(Arc<FileHandle>),
    /// The file of one document.
    Document(Arc<FileHandle>),
}

impl FileTable {
    pub fn add_open(&mut self, path: impl Into<Arc<Path>>, file: Arc<dyn File>) -> FileId {
        self.insert(TextFile::Open { path: path.into(), file })
    }

    pub fn add_snapshot(&mut self, handle: Arc<FileHandle>) -> FileId {
        self.insert(TextFile::Snapshot(handle))
    }

    pub fn add_document(&mut self, handle: Arc<FileHandle>) -> FileId {
        self.insert(TextFile::Document(handle))
    }

    /// Returns a table of these files only.
    pub fn restricted_to(&self, ids: impl Iterator<Item = FileId>) -> FileTable {
        let found = ids.filter_map(|id| Some((id, self.files.get(&id)?.clone())));
        FileTable { files: found.collect(), next: self.next }
    }

    /// Adds a file of another table.
    pub fn add_from(&mut self, other: &FileTable, id: FileId) -> Option<FileId> {
        other.files.get(&id).map(|file| self.insert(file.clone()))
    }

    fn insert(&mut self, file: TextFile) -> FileId {
        let id = FileId(self.next);
        self.next += 1;
        self.files.insert(id, file);
        id
    }

    /// Returns the file, which stays open as long as the caller holds it. Reading from a file that is gone fails as if
    /// the file ended too early.
    pub fn open(&self, id: FileId) -> io::Result<Arc<dyn File>> {
        match self.files.get(&id) {
            Some(TextFile::Open { file, .. }) => Ok(Arc::clone(file)),
            Some(TextFile::Snapshot(handle) | TextFile::Document(handle)) => handle.file(),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Returns the file if it is open already.
    pub fn if_open(&self, id: FileId) -> Option<Arc<dyn File>> {
        match self.files.get(&id)? {
            TextFile::Open { file, .. } => Some(Arc::clone(file)),
            TextFile::Snapshot(handle) | TextFile::Document(handle) => handle.if_open(),
        }
    }

    /// Returns the path that a file had when it was first opened.
    pub fn path(&self, id: FileId) -> Option<&Path> {
        self.files.get(&id).map(|file| match file {
            TextFile::Open { path, .. } => &**path,
            TextFile::Snapshot(handle) | TextFile::Document(handle) => handle.path(),
        })
    }

    /// Returns the names of the document files.
    pub fn documents(&self) -> HashSet<String> {
        let name = |file: &TextFile| match file {
            TextFile::Document(handle) => Some(handle.path().file_name()?.to_str()?.to_owned()),
            _ => None,
        };
        self.files.values().filter_map(name).collect()
    }

    pub fn holds_one_document(&self, id: FileId) -> bool {
        matches!(self.files.get(&id), Some(TextFile::Document(_)))
    }

    /// Keeps a file open from now on, because there is nothing at its path any more.
    pub fn keep_open(&mut self, id: FileId, file: Arc<dyn File>) {
        if let Some(path) = self.path(id).map(Arc::from) {
            self.files.insert(id, TextFile::Open { path, file });
        }
    }

    /// Forgets a file, which closes once nobody reads it any more.
    pub fn forget(&mut self, id: FileId) {
        self.files.remove(&id);
    }

    /// How many files are open.
    pub fn open_count(&self) -> usize {
        self.files.keys().filter(|id| self.if_open(**id).is_some()).count()
    }

    /// Forgets the files that are not used, except for document files that somebody still reads.
    pub fn keep(table: &mut Arc<FileTable>, used: &HashSet<FileId>) {
        // A reader holds the table, or an earlier copy with the same handles.
        let shared = Arc::strong_count(table) > 1;
        let is_read = |file: &TextFile| matches!(file, TextFile::Document(handle) if shared || Arc::strong_count(handle) > 1);
        let stays = |id: &FileId, file: &TextFile| used.contains(id) || is_read(file);
        let unused: Vec<FileId> =
            table.files.iter().filter(|(id, file)| !stays(id, file)).map(|(id, _)| *id).collect();
        if !unused.is_empty() {
            let table = Arc::make_mut(table);
            unused.iter().for_each(|id| drop(table.files.remove(id)));
        }
    }
}
