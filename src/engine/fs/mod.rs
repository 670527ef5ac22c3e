//! Every access to files goes through [`Fs`], so that ordinary tests can simulate power loss and failing calls.
//!
//! [`OsFs`] is the file system of the operating system. `SimFs` (feature `simulation`) keeps files in memory, records every
//! call, and can lose power at any of them.

mod file_bytes;
mod file_handle;
mod memory;
mod os;
#[cfg(feature = "simulation")]
mod sim;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use file_bytes::{FileBytes, read_all};
pub use file_handle::{FileHandle, OpenFiles};
pub use memory::MemoryFile;
pub use os::OsFs;
#[cfg(feature = "simulation")]
pub use sim::{
    Call, ChildProcess, Chooser, Combination, Coverage, CrashStates, Effect, EffectKind, Extreme, Fate,
    Fault, KeptAlone, LogEntry, LostAlone, Origin, Repeat, Replay, Seeded, SimFs, Snapshot, TornAlone,
};

/// What identifies a file or directory, whatever its name: its device and inode, or its volume and its id there.
pub type Identity = (u64, u128);

/// What the file system says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    pub kind: FileKind,
    pub identity: Identity,
    pub len: u64,
    /// Modification time in nanoseconds: a hint that a file was edited, never more.
    pub modified_ns: i128,
}

/// A file system that other machines may use too, so that neither its locks nor its shared memory can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// What it is called, e.g. `NFS`.
    pub file_system: &'static str,
    /// The name of this machine.
    pub host: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    Read,
    ReadWrite,
    /// Creates a file that must not exist yet; a symlink in its place is not followed.
    CreateNew,
}

/// The calls the engine makes on directories and names.
///
/// A change of a name (create, rename, remove) is durable only after [`Fs::sync_dir`] on its directory.
pub trait Fs: Send + Sync + 'static {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Which of the files behind [`FileHandle`]s stay open; the process has one limit for all of them.
    fn open_files(&self) -> &OpenFiles;
    /// Creates one directory; its parent must exist.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Replaces `to` by `from` in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list_dir(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Follows symlinks. `None` if nothing is there.
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>>;
    /// Does not follow a symlink at `path` itself.
    fn symlink_metadata(&self, path: &Path) -> io::Result<Option<Metadata>>;
    /// The path with every symlink resolved.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
    /// Creates `to` as a copy of the file `from` that shares its blocks on disk until one of the two is written. Returns
    /// false, with nothing at `to`, if the file system cannot do that. Never creates a hard link.
    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<bool>;
    /// Makes the mode and owner of `path` those of `like`, as far as the system allows.
    fn copy_permissions(&self, like: &Path, path: &Path) -> io::Result<()>;
    /// Whether this process may add and remove names in a directory, as far as the system tells beforehand.
    fn is_writable(&self, directory: &Path) -> io::Result<bool>;
    /// The bytes that this process may still write there; as many as there can be if the system does not tell.
    fn free_space(&self, path: &Path) -> io::Result<u64>;
    /// Opens a dedicated lock file, creating it if necessary. Nothing is locked yet.
    fn lock_file(&self, path: &Path) -> io::Result<Arc<dyn LockFile>>;
    /// Opens a small file as memory shared with every process that opens it, creating it with `len` zero bytes. Every byte
    /// is allocated on disk by then: touching the page must not fail, as it would have no way to say so.
    fn shared_page(&self, path: &Path, len: usize) -> io::Result<Arc<dyn SharedPage>>;
    /// Returns the network file system that `path` is on, if any, as far as the system tells.
    fn network(&self, path: &Path) -> io::Result<Option<Network>>;
    /// The time in milliseconds since 1970. It is for people, never for ordering.
    fn now_ms(&self) -> u64;
    /// A value that changes with every start of the machine, so that memory-only state of an earlier start is recognised.
    fn boot_id(&self) -> u128;
    /// Whether a process is stopped, by `SIGSTOP` for example, as far as the system tells. This is only a hint for messages.
    fn is_stopped(&self, pid: u32) -> bool;
}

/// An open file. Reads and writes name their offset, so a handle can be shared between threads.
pub trait File: Send + Sync {
    /// Fills `buffer` from `offset`; returns fewer bytes only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Fills all of `buffer` from `offset`, but only if that needs no disk access. Returns false if it needs one, if that
    /// cannot be known, or if the file ends first.
    fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool>;
    /// Writes all of `bytes`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all of the parts, one after the other.
    fn write_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        match parts {
            [bytes] => self.write_at(bytes, offset),
            _ => self.write_at(&parts.concat(), offset),
        }
    }
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the content and its length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes the system forget what it keeps of the file in memory and does not mean to write any more, as far as it can.
    /// Where a write to the disk failed, the file then reads as the disk has it. Until then, ext4 may write such a page to
    /// a block that it does not count as written: syncs succeed, and the bytes are zeros once the page leaves memory.
    fn forget_cached(&self);
    fn metadata(&self) -> io::Result<Metadata>;
}

/// A lock between processes that the system releases when its holder dies.
pub trait LockFile: Send + Sync {
    fn try_exclusive(&self) -> io::Result<bool>;
    fn try_shared(&self) -> io::Result<bool>;
    fn unlock(&self) -> io::Result<()>;
    /// The processes that hold the lock, as far as the system tells. This is only a hint for messages.
    fn holders(&self) -> Vec<u32>;
    /// Whether `path` still names the file that this handle locks.
    fn is_current(&self) -> io::Result<bool>;
}

/// A few words of memory that several processes see at once. It is never synced: after a power loss its
/// content is unknown.
pub trait SharedPage: Send + Sync {
    /// Makes sure that stores find room on disk until the system next writes the page back. A file system that writes the
    /// page to a new place each time may have no room; a store would then end the process.
    fn prepare(&self) -> io::Result<()>;
    /// Loads the 8-byte word at `index`, with acquire ordering.
    fn load(&self, index: usize) -> u64;
    /// Stores a word, with release ordering.
    fn store(&self, index: usize, value: u64);
    /// Stores a word if it is still `current`, atomically for all processes. Returns whether it was.
    fn replace(&self, index: usize, current: u64, value: u64) -> bool;
    /// Returns the memory alone, for readers that cannot call [`SharedPage::load`]. It may outlive the page and keeps no
    /// file open. `None` if the page has no address of its own.
    fn memory(&self) -> Option<Arc<dyn PageMemory>>;
    /// Whether the path by which the page was opened still names its file.
    fn is_current(&self) -> io::Result<bool>;
}

/// Memory to which a page is mapped, for as long as this is kept.
pub trait PageMemory: Send + Sync {
    /// The address at which it begins, and its length in bytes.
    fn place(&self) -> (*mut u8, usize);
}

/// Reads the range completely or fails with `UnexpectedEof`.
pub fn read_exact_at(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    if file.read_at(buffer, offset)? == buffer.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Whether an error says that nothing is at a path.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Opens a file for reading, if there is one.
pub fn open_if_there(fs: &dyn Fs, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
    match fs.open(path, OpenMode::Read) {
        Err(error) if is_absent(&error) => Ok(None),
        opened => opened.map(Some),
    }
}

/// The names in a directory; none if there is no such directory.
pub fn list_if_there(fs: &dyn Fs, path: &Path) -> io::Result<Vec<String>> {
    match fs.list_dir(path) {
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        listed => listed,
    }
}

/// The directory at the root of a file system in which a check of it leaves what it saved.
pub const LOST_AND_FOUND: &str = "lost+found";

/// Returns whether a directory is the system's own, so that this process may not even list it.
pub fn is_systems_own(fs: &dyn Fs, directory: &Path) -> bool {
    let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    directory.file_name().is_some_and(|name| name == LOST_AND_FOUND)
        && fs.list_dir(directory).as_ref().is_err_and(is_denied)
}

/// Returns the canonical form of a path without `..`, as far as it exists.
pub fn real_path(fs: &dyn Fs, path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|above| Some(fs.canonical(above).ok()?.join(path.strip_prefix(above).ok()?)))
        .unwrap_or_else(|| path.to_path_buf())
}

/// Creates a directory and every missing one above it, each synced into its parent.
pub fn create_dirs(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    match fs.metadata(path)? {
        Some(metadata) if metadata.kind == FileKind::Directory => return Ok(()),
        Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
        None => {}
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dirs(fs, parent)?;
    }
    match fs.create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    match parent {
        // After a failed sync, another sync does not help: the next attempt must create the directory anew.
        Some(parent) => fs.sync_dir(parent).inspect_err(|_| drop(fs.remove_dir(path))),
        None => Ok(()),
    }
}

/// Fails with `StorageFull` unless the directory has room for this many bytes and some to spare.
pub fn check_space(fs: &dyn Fs, directory: &Path, needed: u64, what: &str) -> io::Result<()> {
    const SPARE: u64 = 1 << 20;
    let free = fs.free_space(directory)?;
    if free >= needed.saturating_add(SPARE) {
        return Ok(());
    }
    let message = format!("{what} needs {needed} bytes and {SPARE} to spare, and {free} are free");
    Err(io::Error::new(io::ErrorKind::StorageFull, message))
}

/// Makes the names of `path` and of every directory above it durable. A directory that the user may not even list was not
/// created by this process a moment ago, so it is passed over.
pub fn sync_dirs_above(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        match fs.sync_dir(above) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other?,
        }
    }
    Ok(())
}

/// Repeats a removal, by creating and removing a file where nothing is any more, so that the next sync of the directory
/// covers it: after a failed sync, the system may have forgotten the first removal. Does nothing if something is at the path
/// or no directory is above it.
pub fn redo_removal(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    use io::ErrorKind::{AlreadyExists, NotADirectory, NotFound};
    match fs.open(path, OpenMode::CreateNew) {
        Ok(_) => fs.remove_file(path),
        Err(error) if matches!(error.kind(), AlreadyExists | NotADirectory | NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a file, or a directory with all it holds. Symlinks are removed, never followed. A path at which nothing is counts
/// as removed. The caller syncs the parent.
pub fn remove_tree(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    remove_tree_except(fs, path, &[])
}

/// Like [`remove_tree`], but keeps the `spared` paths and the directories above them.
pub fn remove_tree_except(fs: &dyn Fs, path: &Path, spared: &[PathBuf]) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    match fs.symlink_metadata(path)? {
        None => Ok(()),
        Some(metadata) if metadata.kind == FileKind::Directory => {
            for name in fs.list_dir(path)? {
                remove_tree_except(fs, &path.join(name), spared)?;
            }
            if spared.iter().any(|spared| spared.starts_with(path)) {
                Ok(())
            } else {
                gone(fs.remove_dir(path))
            }
        }
        Some(_) if spared.iter().any(|spared| spared == path) => Ok(()),
        Some(_) => gone(fs.remove_file(path)),
    }
}
