//! Files read into memory as a whole.

use std::io;
use std::ops::Deref;

use super::File;
use crate::engine::buffer::Buffer;

/// The bytes of a whole file, as they were read.
#[derive(Default)]
pub struct FileBytes {
    room: Buffer,
    len: usize,
}

impl FileBytes {
    /// Drops everything after the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.room[..self.len]
    }
}

/// Reads a whole file, even one that grows meanwhile.
pub fn read_all(file: &dyn File) -> io::Result<FileBytes> {
    let mut bytes = FileBytes::default();
    loop {
        let expected = usize::try_from(file.metadata()?.len).map_err(io::Error::other)?;
        let start = bytes.len;
        if expected <= start {
            return Ok(bytes);
        }
        let mut room = Buffer::new(expected)?;
        room[..start].copy_from_slice(&bytes);
        let read = file.read_at(&mut room[start..], start as u64)?;
        bytes = FileBytes { room, len: start + read };
        if read == 0 {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::engine::fs::{MemoryFile, Metadata};

    const LONG: usize = 1 << 20;

    /// A file to which others append: it is a little longer each time its length is looked up.
    struct Growing {
        whole: MemoryFile,
        len: AtomicU64,
        step: u64,
    }

    impl File for Growing {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.whole.read_at(buffer, offset)
        }

        fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
            self.whole.read_at_cached(buffer, offset)
        }

        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            self.whole.write_at(bytes, offset)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.whole.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.whole.sync_data()
        }

        fn forget_cached(&self) {}

        fn metadata(&self) -> io::Result<Metadata> {
            let whole = self.whole.metadata()?;
            let len = self.len.fetch_add(self.step, Ordering::Relaxed) + self.step;
            Ok(Metadata { len: len.min(whole.len), ..whole })
        }
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 % 251) as u8).collect()
    }

    #[test]
    fn a_file_of_any_length_is_read_whole() {
        for len in [0, 1, LONG - 1, LONG, 3 * LONG + 1] {
            let read = read_all(&MemoryFile::new(bytes(len))).expect("it can be read");
            assert!(*read == *bytes(len), "{len} bytes");
        }
    }

    #[test]
    fn bytes_appended_while_a_file_is_read_are_read_too() {
        let whole = bytes(2 * LONG + 5);
        let growing =
            Growing { whole: MemoryFile::new(whole.clone()), len: 0.into(), step: LONG as u64 / 2 + 1 };
        assert!(*read_all(&growing).expect("it can be read") == *whole);
    }

    #[test]
    fn truncated_bytes_do_not_return() {
        let mut read = read_all(&MemoryFile::new(bytes(2 * LONG))).expect("it can be read");
        read.truncate(LONG);
        read.truncate(2 * LONG);
        assert!(*read == *bytes(LONG));
    }
}
