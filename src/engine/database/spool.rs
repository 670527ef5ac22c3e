//! Spools: files in the reserved folder that receive a document whose large field comes piece by piece.
//!
//! ```text
//! [ room ][ head ,"content":" ][ content ]["}]
//! ```
//!
//! The head is known last, so room is left for it: the text of the document ends up in one piece. A spool belongs to
//! its process alone until a batch makes it a document file ([`DocumentFile`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::document_file::DocumentFile;
use super::{Database, Mutant, SizeLimits};
use crate::engine::checksum::DocumentHasher;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{File, Fs, OpenMode, read_exact_at};
use crate::engine::json::{self, StringCheck};

/// How the names of spools begin. The sole opener of a database removes those that dead processes left.
pub const SPOOL: &str = "spool-";

/// Whether a file of this name is a spool of this process.
pub fn is_of_this_process(name: &str) -> bool {
    name.strip_prefix(SPOOL)
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(pid, _)| pid == std::process::id().to_string())
}

/// A file in the reserved folder that is removed when this is dropped, unless it is kept.
pub(super) struct OwnFile {
    fs: Arc<dyn Fs>,
    path: Mutex<PathBuf>,
    kept: AtomicBool,
}

impl OwnFile {
    pub fn path(&self) -> PathBuf {
        self.path.lock().clone()
    }

    pub fn rename(&self, to: &Path) -> Result<()> {
        let mut path = self.path.lock();
        self.fs.rename(&path, to).at("rename into place", to)?;
        to.clone_into(&mut path);
        Ok(())
    }

    pub fn keep(&self, kept: bool) {
        self.kept.store(kept, Ordering::Relaxed);
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            // If this fails, the next sole opener removes the file.
            let _ = self.fs.remove_file(self.path.get_mut());
        }
    }
}

/// A document whose large field, a string, is being received. Nothing of it is durable, and its file is removed with
/// it.
pub struct Spool {
    own: OwnFile,
    file: Arc<dyn File>,
    /// What stands between the head and the content.
    key: Vec<u8>,
    /// Where the content begins.
    start: u64,
    len: u64,
    /// Bytes that the content has as UTF-8.
    utf8_len: u64,
    check: StringCheck,
    sizes: SizeLimits,
    /// Has hashed what comes after the head.
    hasher: DocumentHasher,
}

impl Database {
    /// Begins to receive a document with this large field, whose head will have at most `room` bytes.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn spool(&self, large_field: &str, room: u64) -> Result<Spool> {
        // Another copy of this package in this process, or a process of another container, may have the same process
        // id.
        let path = self.reserved(&format!("{SPOOL}{}-{}", std::process::id(), self.new_id()));
        let file = self.fs.open(&path, OpenMode::CreateNew).at("create", &path)?;
        let key = format!(",{}:\"", json::quote(large_field)).into_bytes();
        let mut hasher = DocumentHasher::default();
        hasher.update_rest(&key);
        let start = room + key.len() as u64;
        let own = OwnFile { fs: Arc::clone(&self.fs), path: Mutex::new(path), kept: AtomicBool::new(false) };
        let (check, sizes) = (StringCheck::default(), self.options.sizes);
        Ok(Spool { own, file, key, start, len: 0, utf8_len: 0, check, sizes, hasher })
    }

    /// Makes a document from a head (a JSON object without its closing brace) and what was received. It is durable when
    /// this returns, but no batch has put it yet.
    ///
    /// # Errors
    /// `IO_ERROR`; `INVALID_ARGUMENT` if there is no room for the head.
    pub fn seal(&self, mut spool: Spool, head: &[u8]) -> Result<DocumentFile> {
        spool.write(b"\"}", spool.start + spool.len)?;
        spool.hasher.update_rest(b"\"}");
        spool.hasher.update_head(head);
        let mut before = head.to_vec();
        before.extend_from_slice(&spool.key);
        let size = before.len() as u64 + spool.len + 2;
        self.options.sizes.check_streamed(size)?;
        let (Some(offset), Ok(size)) = (spool.start.checked_sub(before.len() as u64), size.try_into()) else {
            return Err(no_room());
        };
        spool.write(&before, offset)?;
        if !self.is_mutant(Mutant::LineBeforeDocumentFile) {
            spool.file.sync_data().at("sync", &spool.own.path())?;
        }
        Ok(DocumentFile::new(spool.own, spool.file, head.to_vec(), offset, size, spool.hasher.finish()))
    }
}

impl Spool {
    /// Receives a part of the content as JSON text, without quotes, cut between characters.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if it is no such text or makes the content too long; `IO_ERROR`.
    pub fn append(&mut self, piece: &[u8]) -> Result<()> {
        let refused =
            |problem: &str| Error::InvalidArgument(format!("a content must be JSON text: {problem}"));
        match self.check.push(piece) {
            Ok(Some(_)) => return Err(refused("a quote must be escaped")),
            Ok(None) if self.check.is_complete() => {}
            Ok(None) => return Err(refused("a piece ends within a character")),
            Err(problem) => return Err(refused(problem)),
        }
        self.sizes.check_streamed(self.start + self.len + piece.len() as u64 + 2)?;
        self.write(piece, self.start + self.len)?;
        self.len += piece.len() as u64;
        self.utf8_len += json::utf8_len(&[b"\"", piece, b"\""].concat()) as u64;
        self.hasher.update_rest(piece);
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(bytes, offset).at("write", &self.own.path())
    }

    /// Returns how many bytes of JSON text were received.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the length of the content as UTF-8, in bytes.
    pub fn utf8_len(&self) -> u64 {
        self.utf8_len
    }

    /// Appends everything that was received to a text.
    pub fn read_into(&self, text: &mut Vec<u8>) -> Result<()> {
        let before = text.len();
        text.resize(before + self.len as usize, 0);
        read_exact_at(&*self.file, &mut text[before..], self.start).at("read", &self.own.path())
    }
}

/// Returns the error for a head that is longer than was said when the document was begun.
pub(super) fn no_room() -> Error {
    Error::InvalidArgument("the members before the content are longer than announced; this is a bug".into())
}
