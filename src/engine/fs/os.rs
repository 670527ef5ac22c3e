//! The file system of the operating system.

#[cfg_attr(unix, path = "os/unix.rs")]
#[cfg_attr(windows, path = "os/windows.rs")]
mod platform;
#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::{
    File, FileKind, Fs, Identity, LockFile, Metadata, Network, OpenFiles, OpenMode, PageMemory, SharedPage,
    is_absent,
};
use crate::engine::error::TOO_MANY_OPEN_FILES;
use crate::engine::journal::RESERVED;

/// How many of the files that it only reads a process keeps open, but never more than a quarter of all that it may open.
const MOST_OPEN: u64 = 1024;

static OPEN_FILES: LazyLock<OpenFiles> =
    LazyLock::new(|| OpenFiles::new((platform::most_files() / 4).min(MOST_OPEN) as usize));

/// The file system of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsFs;

impl Fs for OsFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::ReadWrite => options.write(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        let file = with_room(|| match mode {
            OpenMode::Read | OpenMode::ReadWrite if is_own(path) => open_unfollowed(&mut options, path),
            _ => platform::open(&mut options, path),
        });
        let directory = || {
            let reason = "it is a directory, not a file; move it elsewhere";
            io::Error::new(io::ErrorKind::IsADirectory, reason)
        };
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::IsADirectory => directory(),
            _ => error,
        })?;
        let found = file.metadata()?;
        if found.is_dir() {
            return Err(directory());
        }
        if !found.is_file() {
            let reason = "it is a pipe, a socket or a device, not a file; move it elsewhere";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        if matches!(mode, OpenMode::CreateNew) {
            platform::share(&file, path);
        }
        Ok(Arc::new(OsFile { file }))
    }

    fn open_files(&self) -> &OpenFiles {
        &OPEN_FILES
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        platform::share_directory(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        platform::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        platform::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        platform::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        with_room(|| platform::sync_dir(path))
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in with_room(|| fs::read_dir(path))? {
            // A name that is not Unicode is not one of ours, but the removal of a tree must not pass over it.
            let name = entry?.file_name();
            names.push(name.into_string().map_err(|name| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the name {} is not Unicode", name.display()),
                )
            })?);
        }
        names.sort_unstable();
        Ok(names)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        found(platform::look_up(path, true))
    }

    fn symlink_metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        found(platform::look_up(path, false))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        platform::canonical(path)
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<bool> {
        if !platform::CLONES {
            return Ok(false);
        }
        let source = with_room(|| fs::File::open(from))?;
        let target = with_room(|| OpenOptions::new().write(true).create_new(true).open(to))?;
        platform::share(&target, to);
        let cloned = platform::clone_blocks(&source, &target);
        if !matches!(cloned, Ok(true)) {
            drop(target);
            fs::remove_file(to)?;
        }
        cloned
    }

    fn copy_permissions(&self, like: &Path, path: &Path) -> io::Result<()> {
        platform::copy_permissions(like, path)
    }

    fn is_writable(&self, directory: &Path) -> io::Result<bool> {
        platform::is_writable(directory)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        platform::free_space(path)
    }

    fn lock_file(&self, path: &Path) -> io::Result<Arc<dyn LockFile>> {
        // Locking needs no write access: a reader of a read-only directory still takes part.
        let file = with_room(|| match open_or_create(path) {
            Err(error) if is_read_only(&error) => open_unfollowed(OpenOptions::new().read(true), path),
            other => other,
        })?;
        let identity = platform::look_at(&file)?.identity;
        Ok(Arc::new(OsLockFile { file, path: path.to_path_buf(), identity }))
    }

    fn shared_page(&self, path: &Path, len: usize) -> io::Result<Arc<dyn SharedPage>> {
        let file = with_room(|| open_or_create(path))?;
        if !platform::allocate(&file, len as u64)? {
            append_zeros(&file, path, len)?;
        }
        let identity = platform::look_at(&file)?.identity;
        // Where the disk cannot read the page, this says so. Touching the page would end the process.
        platform::read_at(&file, &mut vec![0; len], 0)?;
        let map = Arc::new(memmap2::MmapOptions::new().len(len).map_raw(&file).map_err(platform::unmapped)?);
        platform::keep_in_memory(&map);
        let stays = platform::writes_in_place(&file)?;
        Ok(Arc::new(OsSharedPage { map, words: len / 8, stays, file, path: path.to_path_buf(), identity }))
    }

    fn network(&self, path: &Path) -> io::Result<Option<Network>> {
        let found = platform::network_file_system(path)?;
        Ok(found.map(|file_system| Network { file_system, host: platform::host() }))
    }

    fn now_ms(&self) -> u64 {
        crate::engine::id::now_ms()
    }

    fn boot_id(&self) -> u128 {
        platform::boot_id()
    }

    fn is_stopped(&self, pid: u32) -> bool {
        platform::is_stopped(pid)
    }
}

/// Runs a call that opens files. If too many are open already, those that are kept open for reading are closed first, and
/// the call is repeated.
fn with_room<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let is_full =
        |error: &io::Error| error.raw_os_error().is_some_and(|code| TOO_MANY_OPEN_FILES.contains(&code));
    match call() {
        Err(error) if is_full(&error) => {
            OPEN_FILES.close_all();
            call()
        }
        done => done,
    }
}

/// Repeats a call for up to 2 s while it fails because somebody else uses the file.
fn patiently<T>(
    is_in_use: impl Fn(&io::Error) -> bool,
    mut call: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let end = Instant::now() + Duration::from_secs(2);
    let mut pause = Duration::from_millis(1);
    loop {
        match call() {
            Err(error) if is_in_use(&error) && Instant::now() < end => {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            other => return other,
        }
    }
}

/// Makes a file at least `len` bytes long. Others may open it at the same time and may have stored something in it already:
/// appending replaces nothing, and at worst the file becomes longer than necessary.
fn append_zeros(file: &fs::File, path: &Path, len: usize) -> io::Result<()> {
    let length = || Ok::<_, io::Error>(file.metadata()?.len());
    let missing = (len as u64).saturating_sub(length()?) as usize;
    if missing > 0 {
        open_unfollowed(OpenOptions::new().append(true), path)?.write_all(&vec![0; missing])?;
    }
    match length()? < len as u64 {
        true => Err(io::Error::other("another file was put in its place")),
        false => Ok(()),
    }
}

/// Whether the path names this file.
fn is_named(path: &Path, identity: Identity) -> io::Result<bool> {
    Ok(found(platform::look_up(path, true))?.is_some_and(|named| named.identity == identity))
}

/// Whether a file is in the reserved folder of a database. The JSON files of collections may be symlinks, but what a symlink
/// in that folder leads to is not a file of the engine: it may be read or written by others, or be somebody else's.
fn is_own(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|folder| folder == RESERVED)
}

/// Opens a file that exists or is to be created unless it exists. Fails if a symlink is at the path.
fn open_unfollowed(options: &mut OpenOptions, path: &Path) -> io::Result<fs::File> {
    platform::open_unfollowed(options, path).map_err(|error| match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let reason = "it is a symlink, which is not followed here; put the file itself in its place";
            io::Error::new(io::ErrorKind::InvalidInput, reason)
        }
        _ => error,
    })
}

/// Opens a file for reading and writing, creating it if necessary. Does not follow a symlink at the path.
fn open_or_create(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match platform::open(options.clone().create_new(true), path) {
        // A file that others created stays theirs.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            open_unfollowed(options.create(true).truncate(false), path)
        }
        created => created.inspect(|file| platform::share(file, path)),
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn found(result: io::Result<Metadata>) -> io::Result<Option<Metadata>> {
    match result {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn convert(metadata: &fs::Metadata, identity: Identity) -> Metadata {
    let kind = metadata.file_type();
    let modified = metadata.modified().ok();
    Metadata {
        kind: match () {
            () if kind.is_file() => FileKind::File,
            () if kind.is_dir() => FileKind::Directory,
            () if kind.is_symlink() => FileKind::Symlink,
            () => FileKind::Other,
        },
        identity,
        len: metadata.len(),
        modified_ns: modified.map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        }),
    }
}

struct OsFile {
    file: fs::File,
}

/// A write this long will be synced, so the disk begins with it while the rest is still being copied.
const LONG: usize = 4 << 20;
const PIECE: usize = 1 << 20;

/// For systems that write one slice at a time.
#[cfg(not(target_os = "linux"))]
fn gathered<'a>(slices: &'a [io::IoSlice<'_>]) -> std::borrow::Cow<'a, [u8]> {
    match slices {
        [bytes] => bytes[..].into(),
        _ => slices.iter().map(|slice| &**slice).collect::<Vec<_>>().concat().into(),
    }
}

/// Linux takes no more slices than this at once.
const MOST_SLICES: usize = 1024;

fn write_all_at(file: &fs::File, mut slices: &mut [io::IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    // Skips empty slices in front.
    io::IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match platform::write_slices_at(file, slices, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                io::IoSlice::advance_slices(&mut slices, count);
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl File for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match platform::read_at(&self.file, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        platform::read_at_cached(&self.file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_parts_at(&[bytes], offset)
    }

    fn write_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let len = parts.iter().map(|part| part.len()).sum();
        let is_long = len >= LONG;
        if is_long {
            platform::prepare_write(&self.file, offset, len);
        }
        let mut at = offset;
        let mut slices = parts.iter().flat_map(|part| part.chunks(PIECE)).map(io::IoSlice::new).peekable();
        while slices.peek().is_some() {
            let mut len = 0;
            let mut run = Vec::new();
            while run.len() < MOST_SLICES
                && let Some(slice) = slices.next_if(|slice| len + slice.len() <= PIECE)
            {
                len += slice.len();
                run.push(slice);
            }
            write_all_at(&self.file, &mut run, at)?;
            if is_long {
                platform::begin_writeback(&self.file, at, len);
            }
            at += len as u64;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        platform::sync_data(&self.file)
    }

    fn forget_cached(&self) {
        platform::forget_cached(&self.file);
    }

    fn metadata(&self) -> io::Result<Metadata> {
        platform::look_at(&self.file)
    }
}

struct OsLockFile {
    file: fs::File,
    path: PathBuf,
    /// The identity of the open file, which stays the same whatever happens to its name.
    identity: Identity,
}

impl LockFile for OsLockFile {
    fn try_exclusive(&self) -> io::Result<bool> {
        platform::try_lock(&self.file, true)
    }

    fn try_shared(&self) -> io::Result<bool> {
        platform::try_lock(&self.file, false)
    }

    fn unlock(&self) -> io::Result<()> {
        platform::unlock(&self.file)
    }

    fn holders(&self) -> Vec<u32> {
        platform::lock_holders(&self.file)
    }

    fn is_current(&self) -> io::Result<bool> {
        is_named(&self.path, self.identity)
    }
}

struct OsSharedPage {
    map: Arc<memmap2::MmapRaw>,
    words: usize,
    /// Whether the page never needs more room than was allocated at first.
    stays: bool,
    file: fs::File,
    path: PathBuf,
    /// The identity of the file when it was mapped.
    identity: Identity,
}

impl OsSharedPage {
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.words, "the shared page has {} words", self.words);
        // SAFETY: the mapping is page-aligned, lives as long as `self` and holds `words` words; it is shared
        // with other processes by design, so every access is atomic. The engine never shrinks the file; someone
        // else truncating it is the one exception that the promises name.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast::<u64>().add(index)) }
    }
}

impl SharedPage for OsSharedPage {
    fn prepare(&self) -> io::Result<()> {
        if self.stays { Ok(()) } else { platform::make_writable(&self.map) }
    }

    fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }

    fn store(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Release);
    }

    fn replace(&self, index: usize, current: u64, value: u64) -> bool {
        self.word(index).compare_exchange(current, value, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn memory(&self) -> Option<Arc<dyn PageMemory>> {
        Some(Arc::clone(&self.map) as Arc<dyn PageMemory>)
    }

    fn is_current(&self) -> io::Result<bool> {
        // Not every system has identities that stay the same: before the page counts as replaced, the open file is asked
        // again.
        Ok(is_named(&self.path, self.identity)?
            || is_named(&self.path, platform::look_at(&self.file)?.identity)?)
    }
}

impl PageMemory for memmap2::MmapRaw {
    fn place(&self) -> (*mut u8, usize) {
        (self.as_mut_ptr(), self.len())
    }
}
