//! One run at a time: the lock `<basePath>/data/.migration/lock`, and who holds it.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use serde::Deserialize;

use crate::engine::error::{Error, Holder, IoContext, Result};
use crate::engine::fs::{Fs, OpenMode, create_dirs, read_all, remove_tree};
use crate::engine::id::now_ms;
use crate::engine::lock::{LockGuard, LockKind, ProcessLock, Wait};

/// The folder of everything that belongs to a run.
pub fn folder(base: &Path) -> PathBuf {
    base.join("data").join(".migration")
}

/// The lock that every run, backup and restore of a base path takes, held until it is dropped.
#[must_use]
pub struct MigrationLock {
    _guard: LockGuard,
}

/// Who took the lock last: a hint for messages, never proof that it is held.
#[derive(Deserialize)]
struct Taken {
    pid: u32,
    /// Milliseconds since 1970.
    since: u64,
}

impl MigrationLock {
    /// # Errors
    /// `LOCK_TIMEOUT` that names the holder and since when it has the lock; `IO_ERROR`.
    pub fn acquire(fs: &Arc<dyn Fs>, base: &Path, wait: Wait) -> Result<MigrationLock> {
        let folder = folder(base);
        create_dirs(&**fs, &folder).at("create directory", &folder)?;
        let path = folder.join("lock");
        let mut lock = ProcessLock::open(fs, &path)?;
        lock.lock(LockKind::Exclusive, wait, || None).map_err(|error| match error {
            Error::LockTimeout { path, waited_ms, .. } => {
                Error::MigrationRunning { path, waited_ms, holder: read_holder(&**fs, &folder) }
            }
            other => other,
        })?;
        let guard = lock.guard();
        write_holder(&**fs, &folder)?;
        Ok(MigrationLock { _guard: guard })
    }
}

fn read_holder(fs: &dyn Fs, folder: &Path) -> Option<Holder> {
    let file = fs.open(&folder.join("holder.json"), OpenMode::Read).ok()?;
    let taken: Taken = serde_json::from_slice(&read_all(&*file).ok()?).ok()?;
    Some(Holder { pid: taken.pid, held_ms: now_ms().saturating_sub(taken.since) })
}

/// Written to the side first, so that nobody reads half of it. It need not survive a crash.
fn write_holder(fs: &dyn Fs, folder: &Path) -> Result<()> {
    let (path, next) = (folder.join("holder.json"), folder.join("next-holder.json"));
    let text = format!("{{\"pid\":{},\"since\":{}}}\n", process::id(), now_ms());
    remove_tree(fs, &next).at("remove", &next)?;
    let file = fs.open(&next, OpenMode::CreateNew).at("create", &next)?;
    file.write_at(text.as_bytes(), 0).at("write", &next)?;
    drop(file);
    fs.rename(&next, &path).at("rename", &next)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::fs::OsFs;

    #[test]
    fn a_second_taker_is_told_who_holds_it_and_gets_it_afterwards() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fs: Arc<dyn Fs> = Arc::new(OsFs);
        let take =
            |ms| MigrationLock::acquire(&fs, directory.path(), Wait::at_most(Duration::from_millis(ms)));
        let held = take(0).expect("free");
        let error = take(20).map(drop).expect_err("held");
        assert_eq!(error.code(), "LOCK_TIMEOUT");
        assert!(error.to_string().contains(&format!("process {}", process::id())), "{error}");
        drop(held);
        drop(take(0).expect("free again"));
    }

    #[test]
    fn a_damaged_hint_names_nobody_and_stops_nobody() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fs: Arc<dyn Fs> = Arc::new(OsFs);
        let take =
            |ms| MigrationLock::acquire(&fs, directory.path(), Wait::at_most(Duration::from_millis(ms)));
        let held = take(0).expect("free");
        std::fs::write(folder(directory.path()).join("holder.json"), "{").expect("written");
        let error = take(0).map(drop).expect_err("held");
        assert!(error.to_string().contains("another process"), "{error}");
        drop(held);
        drop(take(0).expect("free again"));
    }
}
