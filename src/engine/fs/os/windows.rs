//! The same for Windows, see `unix`.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::windows::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Who may open a file is inherited from its directory.
pub fn give_to_owner_of_directory(_: &fs::File, _: &Path) {}

pub fn give_directory_to_owner_above(_: &Path) {}

pub fn read_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

pub fn write_slices_at(file: &fs::File, slices: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
    file.seek_write(&super::gathered(slices), offset)
}

/// Memory alone limits how many files may be open.
pub fn most_files() -> u64 {
    u64::MAX
}

/// The system makes room as it likes.
pub fn prepare_write(_: &fs::File, _: u64, _: usize) {}

/// The system decides by itself when to begin.
pub fn begin_writeback(_: &fs::File, _: u64, _: usize) {}

pub fn writes_in_place(_: &fs::File) -> io::Result<bool> {
    Ok(true)
}

pub fn make_writable(_: &memmap2::MmapRaw) -> io::Result<()> {
    Ok(())
}

pub fn read_at_cached(_: &fs::File, _: &mut [u8], _: u64) -> io::Result<Option<usize>> {
    Ok(None)
}

pub fn allocate(_: &fs::File, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Stable Rust offers no file index here; the creation time tells a replaced file well enough for a hint.
pub fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    let mut hasher = DefaultHasher::new();
    metadata.file_attributes().hash(&mut hasher);
    (metadata.creation_time(), hasher.finish())
}

/// Access denied, sharing violation, lock violation. The last two have no kind of their own in the standard library.
const IN_USE: [i32; 3] = [5, 32, 33];

/// Scanners and editors hold files open for moments: that is waited for, up to 2 s.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(2);
    let mut pause = Duration::from_millis(1);
    loop {
        match fs::rename(from, to) {
            Err(error)
                if error.raw_os_error().is_some_and(|code| IN_USE.contains(&code))
                    && Instant::now() < end =>
            {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            other => return other,
        }
    }
}

pub fn sync_data(file: &fs::File) -> io::Result<()> {
    file.sync_data()
}

pub fn network_file_system(_: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

pub fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Windows has no directory sync; the generation that is kept covers for it.
pub fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The read-only mark of a directory means nothing there, and who may do what shows when it is tried.
pub fn is_writable(_: &Path) -> io::Result<bool> {
    Ok(true)
}

pub fn copy_permissions(like: &Path, path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::metadata(like)?.permissions())
}

pub fn clone_blocks(_: &fs::File, _: &fs::File) -> io::Result<bool> {
    Ok(false)
}

/// Only names of their own lead to pipes.
pub fn without_waiting(_: &mut fs::OpenOptions) {}

pub fn lock_holders(_: &fs::File) -> Vec<u32> {
    Vec::new()
}

pub fn boot_id() -> u128 {
    0
}
