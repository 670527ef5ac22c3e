//! What Windows does in its own way; see `unix`.

use std::fs;
use std::io;
use std::mem;
use std::os::windows::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_FUNCTION, ERROR_INVALID_PARAMETER, ERROR_LOCK_VIOLATION,
    ERROR_NOT_SUPPORTED, ERROR_SHARING_VIOLATION, GENERIC_WRITE, INVALID_HANDLE_VALUE, WIN32_ERROR,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_ID_INFO,
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FileIdInfo, GetFileInformationByHandle,
    GetFileInformationByHandleEx, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, ReOpenFile,
    UnlockFileEx,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0_0};

use crate::engine::fs::{FileKind, Identity, Metadata};

/// Errors of a call on a file that somebody else has open and does not share.
const HELD: [WIN32_ERROR; 2] = [ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION];
/// Errors of putting another file in place of such a file.
const KEPT: [WIN32_ERROR; 3] = [ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION, ERROR_ACCESS_DENIED];
/// Errors of syncing a directory where that is not supported, or not permitted.
const NO_SYNC: [WIN32_ERROR; 5] = [
    ERROR_ACCESS_DENIED,
    ERROR_SHARING_VIOLATION,
    ERROR_INVALID_FUNCTION,
    ERROR_INVALID_PARAMETER,
    ERROR_NOT_SUPPORTED,
];

fn is_one_of(error: &io::Error, codes: &[WIN32_ERROR]) -> bool {
    error.raw_os_error().is_some_and(|code| codes.contains(&(code as WIN32_ERROR)))
}

/// Repeats a call for a while if the file is in use: scanners, backup programs and editors hold files open for moments.
fn patiently<T>(in_use: &[WIN32_ERROR], call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    super::patiently(|error| is_one_of(error, in_use), call)
}

pub fn open(options: &mut fs::OpenOptions, path: &Path) -> io::Result<fs::File> {
    patiently(&HELD, || options.open(path)).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied if path.is_dir() => io::ErrorKind::IsADirectory.into(),
        _ => error,
    })
}

/// As [`open`], but fails if a symlink is at the path. The path is looked up first, because a file that is opened as a reparse
/// point may read as zeros: the content of a deduplicated file, for example, is elsewhere.
pub fn open_unfollowed(options: &mut fs::OpenOptions, path: &Path) -> io::Result<fs::File> {
    match look_up(path, false) {
        Ok(found) if found.kind == FileKind::Symlink => Err(io::ErrorKind::InvalidInput.into()),
        _ => open(options, path),
    }
}

/// Every file system that is known can map files.
pub fn unmapped(error: io::Error) -> io::Error {
    error
}

/// Does nothing: permissions are inherited from the directory.
pub fn share(_: &fs::File, _: &Path) {}

pub fn share_directory(_: &Path) {}

pub fn read_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

pub fn write_slices_at(file: &fs::File, slices: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
    file.seek_write(&super::gathered(slices), offset)
}

/// Only memory limits how many files may be open.
pub fn most_files() -> u64 {
    u64::MAX
}

/// Does nothing: the system makes room as it likes.
pub fn prepare_write(_: &fs::File, _: u64, _: usize) {}

/// Does nothing: the system decides by itself when to begin.
pub fn begin_writeback(_: &fs::File, _: u64, _: usize) {}

pub fn writes_in_place(_: &fs::File) -> io::Result<bool> {
    Ok(true)
}

pub fn make_writable(_: &memmap2::MmapRaw) -> io::Result<()> {
    Ok(())
}

pub fn read_at_cached(_: &fs::File, _: &mut [u8], _: u64) -> io::Result<bool> {
    Ok(false)
}

pub fn allocate(_: &fs::File, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// A file can always be looked at, whoever has it open.
pub fn look_up(path: &Path, follow: bool) -> io::Result<Metadata> {
    let link = if follow { 0 } else { FILE_FLAG_OPEN_REPARSE_POINT };
    let flags = FILE_FLAG_BACKUP_SEMANTICS | link;
    look_at(&fs::OpenOptions::new().access_mode(0).custom_flags(flags).open(path)?)
}

pub fn look_at(file: &fs::File) -> io::Result<Metadata> {
    Ok(super::convert(&file.metadata()?, identity(file)?))
}

/// The volume, and the id of the file on it. Times would not do: files made within one tick of the clock have the same
/// times, and a file that replaces another within seconds gets the time of creation of the other.
fn identity(file: &fs::File) -> io::Result<Identity> {
    let handle = file.as_raw_handle();
    // SAFETY: the struct consists of numbers, which may be zero.
    let mut found: FILE_ID_INFO = unsafe { mem::zeroed() };
    let room = mem::size_of::<FILE_ID_INFO>() as u32;
    // SAFETY: the handle is open, and there are `room` bytes.
    if unsafe { GetFileInformationByHandleEx(handle, FileIdInfo, (&raw mut found).cast(), room) } != 0 {
        return Ok((found.VolumeSerialNumber, u128::from_le_bytes(found.FileId.Identifier)));
    }
    // Only some file systems have 128-bit ids.
    // SAFETY: the struct consists of numbers, which may be zero.
    let mut found: BY_HANDLE_FILE_INFORMATION = unsafe { mem::zeroed() };
    // SAFETY: the handle is open, and there is room for what is written.
    if unsafe { GetFileInformationByHandle(handle, &raw mut found) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let id = u64::from(found.nFileIndexHigh) << 32 | u64::from(found.nFileIndexLow);
    Ok((found.dwVolumeSerialNumber.into(), id.into()))
}

/// Returns the path as people write it: with `\\?\` in front only if no other spelling leads there, as for a name that ends
/// with a dot.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    let found = fs::canonicalize(path)?;
    let plain = found.to_str().and_then(|found| found.strip_prefix(r"\\?\")).map(|rest| {
        rest.strip_prefix(r"UNC\").map_or_else(|| PathBuf::from(rest), |share| format!(r"\\{share}").into())
    });
    Ok(match plain {
        Some(plain) if std::path::absolute(&plain).is_ok_and(|whole| whole == plain) => plain,
        _ => found,
    })
}

/// Unlike others, this call takes a long path only in its full form.
pub fn free_space(path: &Path) -> io::Result<u64> {
    fs2::available_space(fs::canonicalize(path)?)
}

pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    patiently(&KEPT, || fs::rename(from, to))
}

/// A symlink to a directory is removed as a directory is.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match patiently(&HELD, || fs::remove_file(path)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let found = fs::symlink_metadata(path);
            match found.is_ok_and(|found| found.file_type().is_symlink_dir()) {
                true => fs::remove_dir(path),
                false => Err(error),
            }
        }
        other => other,
    }
}

pub fn remove_dir(path: &Path) -> io::Result<()> {
    patiently(&HELD, || fs::remove_dir(path))
}

/// Only a file that is open for writing can be synced: one that is open for reading is opened once more.
pub fn sync_data(file: &fs::File) -> io::Result<()> {
    match file.sync_data() {
        Err(error) if is_one_of(&error, &[ERROR_ACCESS_DENIED]) => open_to_write(file)?.sync_data(),
        other => other,
    }
}

pub fn keep_in_memory(_: &memmap2::MmapRaw) {}

pub fn forget_cached(_: &fs::File) {}

fn open_to_write(file: &fs::File) -> io::Result<fs::File> {
    let share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    // SAFETY: the handle is open, and no pointer is passed.
    let handle = unsafe { ReOpenFile(file.as_raw_handle(), GENERIC_WRITE, share, 0) };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle was opened just now, and nothing else owns it.
    Ok(unsafe { fs::File::from_raw_handle(handle) })
}

/// Where directories cannot be synced, the older generation that is kept makes up for it.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.access_mode(GENERIC_WRITE).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
    match options.open(path).and_then(|directory| directory.sync_all()) {
        Err(error) if is_one_of(&error, &NO_SYNC) => Ok(()),
        other => other,
    }
}

pub fn network_file_system(_: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

pub fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// The read-only attribute of a directory forbids nothing in it, and permissions show when something is tried.
pub fn is_writable(_: &Path) -> io::Result<bool> {
    Ok(true)
}

pub fn copy_permissions(like: &Path, path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::metadata(like)?.permissions())
}

pub const CLONES: bool = false;

pub fn clone_blocks(_: &fs::File, _: &fs::File) -> io::Result<bool> {
    Ok(false)
}

/// The byte that is locked. Nobody else can read or write it meanwhile, so it is far beyond the end of any file.
fn locked_byte() -> OVERLAPPED {
    const AT: u64 = 1 << 62;
    let mut place = OVERLAPPED::default();
    place.Anonymous.Anonymous = OVERLAPPED_0_0 { Offset: AT as u32, OffsetHigh: (AT >> 32) as u32 };
    place
}

pub fn try_lock(file: &fs::File, exclusive: bool) -> io::Result<bool> {
    let flags = if exclusive { LOCKFILE_EXCLUSIVE_LOCK } else { 0 } | LOCKFILE_FAIL_IMMEDIATELY;
    let mut place = locked_byte();
    // SAFETY: the handle is open, and the call waits for nothing, so it is done with `place` when it returns.
    if unsafe { LockFileEx(file.as_raw_handle(), flags, 0, 1, 0, &raw mut place) } != 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if is_one_of(&error, &[ERROR_LOCK_VIOLATION]) => Ok(false),
        error => Err(error),
    }
}

pub fn unlock(file: &fs::File) -> io::Result<()> {
    let mut place = locked_byte();
    // SAFETY: as above.
    match unsafe { UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut place) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

pub fn lock_holders(_: &fs::File) -> Vec<u32> {
    Vec::new()
}

pub fn is_stopped(_: u32) -> bool {
    false
}

pub fn boot_id() -> u128 {
    0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Opens a file as scanners do, without sharing it, and closes it while the caller may be waiting for that.
    fn hold_for_a_moment(path: &Path) {
        let held = fs::OpenOptions::new().read(true).share_mode(0).open(path).expect("open");
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(held);
        });
    }

    #[test]
    fn calls_wait_for_a_file_that_is_briefly_held() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (path, other) = (directory.path().join("file"), directory.path().join("other"));
        fs::write(&path, "old").expect("written");
        fs::write(&other, "new").expect("written");
        hold_for_a_moment(&path);
        open(fs::OpenOptions::new().read(true), &path).expect("open");
        hold_for_a_moment(&path);
        rename(&other, &path).expect("replaced");
        hold_for_a_moment(&path);
        remove_file(&path).expect("removed");
    }

    #[test]
    fn metadata_of_a_file_held_exclusively_is_readable() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        fs::write(&path, "text").expect("written");
        let _held = fs::OpenOptions::new().read(true).share_mode(0).open(&path).expect("open");
        assert_eq!(look_up(&path, true).expect("readable").len, 4);
    }

    #[test]
    fn canonical_paths_have_no_verbatim_prefix() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let found = canonical(&directory.path().join(".").join("")).expect("there");
        assert!(!found.to_string_lossy().starts_with(r"\\"), "{}", found.display());
    }
}
