//! What a process marks on the disk, beside what it writes there.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

pub const SECTOR: usize = 512;

/// A sector of the disk beyond the file system. It says how far a process has come: each mark is on the disk, though maybe in
/// its cache, before the process goes on.
pub struct Marks {
    disk: File,
    offset: u64,
}

#[repr(align(4096))]
struct Sector([u8; SECTOR]);

impl Marks {
    /// Opens the marks of one process on a disk whose file system has `size` bytes.
    pub fn open(disk: &str, size: u64, process: usize) -> io::Result<Marks> {
        let disk = File::options().read(true).write(true).custom_flags(libc::O_DIRECT).open(disk)?;
        Ok(Marks { disk, offset: size + (process * SECTOR) as u64 })
    }

    /// Returns the last mark; 0 if there is none.
    pub fn last(&self) -> io::Result<u64> {
        let mut sector = Sector([0; SECTOR]);
        self.disk.read_exact_at(&mut sector.0, self.offset)?;
        Ok(sector.0.first_chunk().map_or(0, |word| u64::from_le_bytes(*word)))
    }

    pub fn set(&self, mark: u64) -> io::Result<()> {
        let mut sector = Sector([0; SECTOR]);
        sector.0[..8].copy_from_slice(&mark.to_le_bytes());
        self.disk.write_all_at(&sector.0, self.offset)
    }
}
