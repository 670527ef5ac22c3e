//! Documents that have a file of their own: what comes as a stream is not copied into a journal line.
//!
//! The file and its name are durable before a line refers to it. From then on it lives as long as the line: it is
//! removed once the journal that contains the line is removed for good. Nothing else refers to it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::batch::Batch;
use super::file_table::FileTable;
use super::overlay::Put;
use super::spool::{OwnFile, no_room};
use super::texts::{PIECE, Part, ReadFailure, read_pieces, read_text};
use super::{CollectionSpec, Database, Mutant};
use crate::engine::checksum::head_hash;
use crate::engine::document::{Document, close_head};
use crate::engine::document_map::{FileId, Location, Revision};
use crate::engine::error::{Error, IoContext, Outcome, Result};
use crate::engine::fs::{File, FileHandle, Fs, read_exact_at};
use crate::engine::id::random_bits;
use crate::engine::journal::{
    Checksum, LargeDocument, RESERVED, document_generation, document_name, journal_generation,
};
use crate::engine::text_measure::TextMeasure;

/// A document in a file of its own that no batch has put yet. The file is removed when this is dropped.
pub struct DocumentFile {
    own: OwnFile,
    file: Arc<dyn File>,
    head: Vec<u8>,
    /// Where the text begins in the file.
    offset: u64,
    size: u32,
    hash: u64,
    /// The name by which a line refers to the file, and its number in memory.
    settled: OnceLock<(String, FileId)>,
}

impl DocumentFile {
    pub(super) fn new(
        own: OwnFile,
        file: Arc<dyn File>,
        head: Vec<u8>,
        offset: u64,
        size: u32,
        hash: u64,
    ) -> DocumentFile {
        DocumentFile { own, file, head, offset, size, hash, settled: OnceLock::new() }
    }

    /// Returns the document with another head, durable like this one.
    ///
    /// # Errors
    /// `IO_ERROR`; `INVALID_ARGUMENT` if there is no room for the head.
    pub fn with_head(mut self, head: &[u8]) -> Result<DocumentFile> {
        let end = self.offset + self.head.len() as u64;
        let rest = self.size - self.head.len() as u32;
        let size = u32::try_from(head.len()).ok().and_then(|head| rest.checked_add(head));
        let (Some(offset), Some(size)) = (end.checked_sub(head.len() as u64), size) else {
            return Err(no_room());
        };
        let path = self.own.path();
        self.file.write_at(head, offset).at("write", &path)?;
        self.file.sync_data().at("sync", &path)?;
        self.hash = u64::from(head_hash(head)) << 32 | self.hash & u64::from(u32::MAX);
        (self.offset, self.size, self.head) = (offset, size, head.to_vec());
        Ok(self)
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn size(&self) -> u32 {
        self.size
    }

    /// Returns the document without its large field, as an object of its own.
    pub fn head_object(&self) -> Vec<u8> {
        close_head(&self.head)
    }

    /// Reads the whole document into memory, however large it is.
    pub fn whole(&self) -> Result<Document> {
        let mut text = vec![0; self.size as usize];
        read_exact_at(&*self.file, &mut text, self.offset).at("read", &self.own.path())?;
        Ok(Document { text: text.into(), head: self.head.len(), hash: self.hash })
    }

    /// Whether the text has these bytes at offset `at`.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn has_at(&self, at: usize, piece: &[u8]) -> Result<bool> {
        if at + piece.len() > self.size as usize {
            return Ok(false);
        }
        let mut own = vec![0; piece.len()];
        read_exact_at(&*self.file, &mut own, self.offset + at as u64).at("read", &self.own.path())?;
        Ok(own == piece)
    }

    /// Whether the other document, which has the same length, has the same text.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn is_same(&self, other: &DocumentFile) -> Result<bool> {
        let (path, size) = (self.own.path(), self.size as usize);
        let mut piece = vec![0; PIECE.min(size)];
        for at in (0..size).step_by(PIECE) {
            let piece = &mut piece[..PIECE.min(size - at)];
            read_exact_at(&*self.file, piece, self.offset + at as u64).at("read", &path)?;
            if !other.has_at(at, piece)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns where the document is and what its line says of it; `None` before it is settled.
    pub(super) fn place(&self) -> Option<(Location, LargeDocument)> {
        let (name, file) = self.settled.get()?;
        let head = self.head.len() as u32;
        let revision = Revision::fresh();
        let location =
            Location { offset: self.offset, hash: self.hash, file: *file, len: self.size, head, revision };
        let hash = Checksum(self.hash);
        let record = LargeDocument { file: name.clone(), offset: self.offset, size: self.size, head, hash };
        Some((location, record))
    }
}

impl LargeDocument {
    /// Returns where the document is, given the id of its file.
    pub fn location(&self, file: FileId) -> Location {
        Location {
            offset: self.offset,
            hash: self.hash.0,
            file,
            len: self.size,
            head: self.head,
            revision: Revision::fresh(),
        }
    }
}

impl Database {
    /// Gives the document files of these batches, durably, the names by which lines of this generation refer to them.
    /// The write lock is held.
    pub(super) fn settle_documents(
        &self,
        batches: &[Batch],
        generation: u64,
    ) -> Result<Vec<Arc<DocumentFile>>> {
        let changes = batches.iter().flat_map(|batch| batch.collections.values());
        let puts = changes.flat_map(|changes| changes.documents.values().flatten());
        let files: Vec<Arc<DocumentFile>> = puts
            .filter_map(|put| match put {
                Put::File(file) => Some(Arc::clone(file)),
                Put::Text(_) => None,
            })
            .collect();
        for document in &files {
            let name = document_name(generation, random_bits(&self.directory)?);
            document.own.rename(&self.reserved(&name))?;
            let handle = FileHandle::new(&self.fs, self.reserved(&name), Arc::clone(&document.file));
            let id = self.state.write().files_mut().add_document(handle);
            // A document is put only once, so it was not settled before.
            let _ = document.settled.set((name, id));
        }
        if !files.is_empty() && !self.is_mutant(Mutant::LineBeforeDocumentFile) {
            let reserved = self.directory.join(RESERVED);
            self.fs.sync_dir(&reserved).at("sync directory", &reserved)?;
        }
        // From here on a line may refer to them.
        files.iter().for_each(|document| document.own.keep(true));
        Ok(files)
    }
}

/// Gives up document files because their lines were not written. Keeps them if the outcome is unknown, because a line
/// may then refer to them.
pub(super) fn give_up_documents(documents: &[Arc<DocumentFile>], error: &Error) {
    if error.outcome() == Outcome::None {
        documents.iter().for_each(|document| document.own.keep(false));
    }
}

/// Returns where a document with a file of its own is, with the head that it has in this collection, and that head as
/// an object.
pub(super) fn locate(
    spec: &CollectionSpec,
    files: &FileTable,
    location: &Location,
) -> std::result::Result<(Location, Vec<u8>), ReadFailure> {
    let head = read_text(files, location, Part::Head)?;
    if let Some(field) = spec.large_field {
        let key = format!(",{}:", crate::engine::json::quote(field)).into_bytes();
        let mut found = vec![0; key.len().min((location.len - location.head) as usize)];
        read_exact_at(&*files.open(location.file)?, &mut found, location.offset + u64::from(location.head))?;
        if found == key {
            return Ok((*location, head));
        }
    }
    // It was put with another large field, or with none.
    let mut measure = TextMeasure::new(spec.large_field);
    read_pieces(files, location, |piece| {
        measure.update(piece);
        Ok(())
    })?;
    let measured = measure.finish();
    let location = Location { head: measured.head.len() as u32, hash: measured.hash, ..*location };
    Ok((location, close_head(&measured.head)))
}

/// Removes document files that no line of a journal refers to. Only the sole opener may call this. `named` are the
/// files that lines of the generations from `oldest` on refer to; those lines must be durable.
pub fn remove_unnamed(fs: &dyn Fs, directory: &Path, oldest: u64, named: &HashSet<String>) -> Result<()> {
    let reserved = directory.join(RESERVED);
    let names = fs.list_dir(&reserved).at("list", &reserved)?;
    let journals: HashSet<u64> = names.iter().filter_map(|name| journal_generation(name)).collect();
    for name in &names {
        if let Some(generation) = document_generation(name)
            && (!journals.contains(&generation) || (generation >= oldest && !named.contains(name)))
        {
            let path = reserved.join(name);
            fs.remove_file(&path).at("remove", &path)?;
        }
    }
    Ok(())
}

/// Removes those of the named files in the reserved folder that are document files of removed journals; `journals`
/// tells which journals remain. The removal of the journals is made durable first: one that a power loss brought back
/// would miss its files.
pub fn remove_orphans(
    fs: &dyn Fs,
    directory: &Path,
    names: &[String],
    journals: impl Fn(u64) -> bool,
) -> Result<()> {
    let reserved = directory.join(RESERVED);
    let is_orphan =
        |name: &&String| document_generation(name).is_some_and(|generation| !journals(generation));
    let orphans: Vec<&String> = names.iter().filter(is_orphan).collect();
    if !orphans.is_empty() {
        fs.sync_dir(&reserved).at("sync directory", &reserved)?;
    }
    for name in orphans {
        let path = reserved.join(name);
        fs.remove_file(&path).at("remove", &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::checksum::Salt;
    use crate::engine::database::generations::{create_journal, first_header};
    use crate::engine::database::{DatabaseOptions, ReadOptions};
    use crate::engine::fs::{self, Call, Fault, OsFs, Repeat, SimFs};
    use crate::engine::journal::{Header, LineBuffer, encode_batch};
    use crate::engine::lock::Wait;
    use crate::engine::options::Durability;

    fn spec() -> Arc<CollectionSpec> {
        Arc::new(CollectionSpec { large_field: Some("content"), ..CollectionSpec::plain("items.json") })
    }

    fn put(database: &Database, id: u64) {
        let mut spool = database.spool("content", 20).expect("room");
        spool.append(b"text").expect("room");
        let file = database.seal(spool, format!("{{\"id\":{id}").as_bytes()).expect("room");
        database.write(Durability::Full, move |tx| tx.put_file(&spec(), id.into(), file)).expect("written");
    }

    fn document_files(directory: &Path) -> usize {
        let names = OsFs.list_dir(&directory.join(RESERVED)).expect("a folder");
        names.iter().filter(|name| document_generation(name).is_some()).count()
    }

    #[test]
    fn a_generation_of_format_1_stores_streamed_documents_in_its_lines() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dirs(&OsFs, &directory.path().join(RESERVED)).expect("created");
        let header = Header { format: 1, ..first_header().expect("a header") };
        let (journal, checksum, end) =
            create_journal(&OsFs, directory.path(), &header, true).expect("created");
        // A journal without a line does not count.
        let (mut line, salt) = (LineBuffer::default(), Salt::new(header.database, 1));
        encode_batch(&mut line, salt, 1, checksum, 0, |out| {
            out.push(br#"{"in":"items.json","put":{"9":{"id":9}},"delete":[]}"#)
        });
        journal.write_parts_at(&line.parts(), end).expect("written");
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let database = Database::open(Arc::new(OsFs), directory.path(), options).expect("opens");
        put(&database, 1);
        assert_eq!(document_files(directory.path()), 0);
        database.checkpoint(Wait::at_most(Duration::from_secs(5))).expect("checkpointed");
        put(&database, 2);
        assert_eq!(document_files(directory.path()), 1);
        let read = ReadOptions { cached: false, lock_timeout: Duration::from_secs(5) };
        for id in [1, 2] {
            let found = database.get(&spec(), &id.into(), read).expect("readable").expect("there");
            assert_eq!(*found.text, *format!("{{\"id\":{id},\"content\":\"text\"}}").as_bytes());
        }
    }

    #[test]
    fn the_head_of_a_document_file_can_be_replaced() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let database = Database::open(Arc::new(OsFs), directory.path(), options).expect("opens");
        let mut spool = database.spool("content", 20).expect("room");
        spool.append(b"text").expect("room");
        let file = database.seal(spool, b"{\"id\":1").expect("room");
        let file = file.with_head(b"{\"id\":12345").expect("room");
        let expected = Document::new(b"{\"id\":12345,\"content\":\"text\"}"[..].into(), Some("content"));
        assert_eq!(file.whole().expect("readable"), expected);
        assert_eq!(file.hash(), expected.hash);
        assert!(file.with_head(&[b' '; 30]).is_err());
    }

    #[test]
    fn a_failed_write_removes_its_document_file_unless_the_line_may_be_stored() {
        for (verb, left) in [("write", 0), ("sync_data", 1)] {
            let fs = SimFs::new();
            fs.make_dirs("/database");
            let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
            let database = Database::open(fs.handle(), Path::new("/database"), options).expect("opens");
            let mut spool = database.spool("content", 20).expect("room");
            spool.append(b"text").expect("room");
            let file = database.seal(spool, b"{\"id\":1").expect("room");
            let fails =
                move |call: &Call| call.name().starts_with("journal-") && call.to_string().starts_with(verb);
            fs.fail_when(fails, Fault::Io, Repeat::Once);
            let put = database.write(Durability::Full, move |tx| tx.put_file(&spec(), 1.into(), file));
            assert_eq!(put.map_err(|error| error.code()), Err("IO_ERROR"));
            let names = fs.handle().list_dir(&Path::new("/database").join(RESERVED)).expect("a folder");
            assert_eq!(names.iter().filter(|name| document_generation(name).is_some()).count(), left);
        }
    }
}
