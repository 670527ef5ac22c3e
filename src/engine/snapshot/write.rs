//! Writing a snapshot: one document per line, ids ascending, documents copied byte for byte.

use std::sync::Arc;

use crate::engine::checksum::{FileHash, FileHasher};
use crate::engine::document::DocumentId;
use crate::engine::fs::File;
use crate::engine::json;

use std::io;

/// The number of bytes gathered before they are passed to the system.
const BUFFER: usize = 1 << 20;

/// The number of bytes that may wait to be synced. A sync of the journal would have to wait for all of them.
const UNSYNCED: u64 = 8 << 20;

/// Streams documents into a fresh file.
pub struct SnapshotWriter {
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    hasher: FileHasher,
    written: u64,
    synced: u64,
    empty: bool,
}

/// What was written.
pub struct Written {
    pub hash: FileHash,
    pub size: u64,
}

impl SnapshotWriter {
    pub fn new(file: Arc<dyn File>) -> SnapshotWriter {
        SnapshotWriter {
            file,
            buffer: b"{".to_vec(),
            hasher: FileHasher::default(),
            written: 0,
            synced: 0,
            empty: true,
        }
    }

    /// Appends a document and returns the offset of its text in the file.
    pub fn push(&mut self, id: &DocumentId, text: &[u8]) -> io::Result<u64> {
        let offset = self.begin(id);
        self.append(text)?;
        Ok(offset)
    }

    /// Begins a document whose text comes in pieces. Returns the offset at which the text will begin in the file.
    pub fn begin(&mut self, id: &DocumentId) -> u64 {
        self.buffer.extend_from_slice(if self.empty { b"\n" } else { b",\n" });
        self.empty = false;
        match id {
            DocumentId::Number(number) => self.buffer.extend_from_slice(format!("\"{number}\"").as_bytes()),
            DocumentId::Text(text) => json::push_string(&mut self.buffer, text.as_bytes()),
        }
        self.buffer.push(b':');
        self.written + self.buffer.len() as u64
    }

    /// Appends a piece to the text of the document begun last.
    pub fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(piece);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.written)?;
        self.hasher.update(&self.buffer);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.synced >= UNSYNCED {
            self.file.sync_data()?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Ends the map. The caller syncs the end of the file.
    pub fn finish(mut self) -> io::Result<Written> {
        self.buffer.extend_from_slice(if self.empty { b"}\n" } else { b"\n}\n" });
        self.flush()?;
        Ok(Written { hash: self.hasher.finish(), size: self.written })
    }
}
