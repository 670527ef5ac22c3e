//! Locks for callers: one per key, shared by all processes that use a database. They are independent of the write lock, so a
//! holder may write.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use super::checksum::FileHash;
use super::error::{Holder, IoContext, Result};
use super::fs::{self, FileKind, Fs, OpenMode, read_all};
use super::journal::RESERVED;
use super::lock::{LockGuard, LockKind, ProcessLock, holder_of};

/// A held lock. It is released when this value is dropped, and by the system when the process dies.
pub struct KeyLock {
    _guard: LockGuard,
}

/// The result of an attempt to take a lock.
pub enum Attempt {
    Taken(KeyLock),
    /// The lock is held, by this process if that is known.
    Held(Option<Holder>),
}

/// Takes the lock of a key if it is free. A key may be any text; the lock file is named by its hash.
///
/// # Errors
/// `IO_ERROR`, also if the directory is read-only.
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
    // This is a hint: if it cannot be written, messages do not name the holder.
    let _ = note_holder(&**file_system, &path);
    Ok(Attempt::Taken(KeyLock { _guard: guard }))
}

fn lock_path(directory: &Path, key: &str) -> PathBuf {
    directory.join(RESERVED).join("locks").join(format!("{}.lock", FileHash::of(key.as_bytes())))
}

/// Writes the holder into the lock file. This is only a hint for messages, so it is never written through a symlink.
fn note_holder(fs: &dyn Fs, path: &Path) -> Result<()> {
    let found = fs.symlink_metadata(path).at("look up", path)?;
    if found.is_none_or(|found| found.kind != FileKind::File) {
        return Ok(());
    }
    let file = fs.open(path, OpenMode::ReadWrite).at("open", path)?;
    file.write_at(format!("{:<10}", process::id()).as_bytes(), 0).at("write", path)
}

fn holder(fs: &dyn Fs, path: &Path) -> Option<Holder> {
    let file = fs.open(path, OpenMode::Read).ok()?;
    let pid = std::str::from_utf8(&read_all(&*file).ok()?).ok()?.trim().parse().ok()?;
    Some(holder_of(fs, pid))
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
        assert!(matches!(attempt("a"), Attempt::Held(Some(holder)) if holder == Holder::this_process()));
        assert!(matches!(attempt("b"), Attempt::Taken(_)));
        drop(held);
        assert!(matches!(attempt("a"), Attempt::Taken(_)));
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_is_not_taken_through_a_symlink() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (other, lock) = (directory.path().join("other"), lock_path(directory.path(), "a"));
        std::fs::write(&other, "somebody's text").expect("written");
        std::fs::create_dir_all(lock.parent().expect("a folder")).expect("created");
        std::os::unix::fs::symlink(&other, &lock).expect("linked");
        let fs: Arc<dyn Fs> = Arc::new(OsFs);
        let error = try_lock_key(&fs, directory.path(), "a").err().expect("it is a symlink");
        assert!(error.to_string().contains("it is a symlink"), "{error}");
        assert_eq!(std::fs::read(&other).expect("there"), b"somebody's text");
    }
}
