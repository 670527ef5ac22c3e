//! A file that exists in memory only.

use std::io;

use super::{File, FileKind, Metadata};

/// Bytes that can be read like a file, to serve data from a directory in which nothing can be written.
pub struct MemoryFile {
    bytes: Vec<u8>,
}

impl MemoryFile {
    pub fn new(bytes: Vec<u8>) -> MemoryFile {
        MemoryFile { bytes }
    }
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).map_or(self.bytes.len(), |offset| offset.min(self.bytes.len()));
        let available = &self.bytes[start..];
        let len = available.len().min(buffer.len());
        buffer[..len].copy_from_slice(&available[..len]);
        Ok(len)
    }

    fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        Ok(self.read_at(buffer, offset)? == buffer.len())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn forget_cached(&self) {}

    fn metadata(&self) -> io::Result<Metadata> {
        Ok(Metadata { kind: FileKind::File, identity: (0, 0), len: self.bytes.len() as u64, modified_ns: 0 })
    }
}
