//! Locks of callers: one for each key, between all processes that use a database. They have nothing to do with the write
//! lock, so whoever holds one may write.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use super::checksum::FileHash;
use super::error::{IoContext, Result};
use super::fs::{self, FileKind, Fs, OpenMode, read_all};
use super::journal::RESERVED;
use super::lock::{LockGuard, LockKind, ProcessLock};

/// A lock that is held. It is released when this is dropped, and by the system when the process dies.
pub struct KeyLock {
    _guard: LockGuard,
}

/// What came of trying to take a lock.
pub enum Attempt {
    Taken(KeyLock),
    /// Somebody else has it: this process, if it is known.
    Held(Option<u32>),
}

/// Takes the lock of a key if it is free. Keys are texts of any kind; the file is named by their hash.
///
/// # Errors
/// `IO_ERROR`, where the directory is read-only too.
pub fn try_lock_key(file_system: &Arc<dyn Fs>, directory: &Path, key: &str) -> Result<Attempt> {
    let path = lock_path(directory, key);
    if let Some(parent) = path.parent() {
        fs::create_dirs(&**file_system, parent).at("create", parent)?;
    }
    let mut lock = ProcessLock::open(file_system, &path)?;
    if !lock.try_lock(LockKind::Exclusive)? {
        return Ok(Attempt::Held(holder(&**file_system, &path)));
    }
    let guard = lock.guard();
    // A hint: where it cannot be written, messages lack the holder.
    let _ = note_holder(&**file_system, &path);
    Ok(Attempt::Taken(KeyLock { _guard: guard }))
}

fn lock_path(directory: &Path, key: &str) -> PathBuf {
    directory.join(RESERVED).join("locks").join(format!("{}.lock", FileHash::of(key.as_bytes())))
}

/// Writes who holds the lock into its file: a hint for messages, never more, and nothing to write over what a symlink leads to.
fn note_holder(fs: &dyn Fs, path: &Path) -> Result<()> {
    let found = fs.symlink_metadata(path).at("look up", path)?;
    if found.is_none_or(|found| found.kind != FileKind::File) {
        return Ok(());
    }
    let file = fs.open(path, OpenMode::ReadWrite).at("open", path)?;
    file.write_at(format!("{:<10}", process::id()).as_bytes(), 0).at("write", path)
}

fn holder(fs: &dyn Fs, path: &Path) -> Option<u32> {
    let file = fs.open(path, OpenMode::Read).ok()?;
    std::str::from_utf8(&read_all(&*file).ok()?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fs::OsFs;

    #[test]
    fn a_key_has_one_holder_at_a_time() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fs: Arc<dyn Fs> = Arc::new(OsFs);
        let attempt = |key: &str| try_lock_key(&fs, directory.path(), key).expect("a lock file");
        let held = attempt("a");
        assert!(matches!(held, Attempt::Taken(_)));
        assert!(matches!(attempt("a"), Attempt::Held(Some(pid)) if pid == process::id()));
        assert!(matches!(attempt("b"), Attempt::Taken(_)));
        drop(held);
        assert!(matches!(attempt("a"), Attempt::Taken(_)));
    }

    #[cfg(unix)]
    #[test]
    fn the_holder_is_not_written_through_a_symlink() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (other, lock) = (directory.path().join("other"), lock_path(directory.path(), "a"));
        std::fs::write(&other, "somebody's text").expect("written");
        std::fs::create_dir_all(lock.parent().expect("a folder")).expect("created");
        std::os::unix::fs::symlink(&other, &lock).expect("linked");
        let fs: Arc<dyn Fs> = Arc::new(OsFs);
        assert!(matches!(try_lock_key(&fs, directory.path(), "a"), Ok(Attempt::Taken(_))));
        assert_eq!(std::fs::read(&other).expect("there"), b"somebody's text");
    }
}
