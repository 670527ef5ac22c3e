//! The lock that allows one run at a time, and the note that names its holder.

use std::path::{Path, PathBuf};
use std::process;

use serde::Deserialize;

use crate::engine::backup::{MigrationLock, Site};
use crate::engine::error::{Error, Holder, IoContext, Result};
use crate::engine::fs::{Fs, OpenMode, read_all, remove_tree};
use crate::engine::id::now_ms;
use crate::engine::lock::{Wait, holder_of};

/// Returns the folder of everything that belongs to a run.
pub fn folder(base: &Path) -> PathBuf {
    base.join("data").join(".migration")
}

/// Which process took the lock last: a hint for messages, never proof that the lock is held.
#[derive(Deserialize)]
struct Taken {
    pid: u32,
    /// Milliseconds since 1970.
    since: u64,
}

/// Takes the migration lock for a run and leaves a note of its holder.
///
/// # Errors
/// As [`MigrationLock::acquire`]; `LOCK_TIMEOUT` also says how long the holder has had the lock, if that is known.
pub fn acquire(site: &Site, wait: Wait) -> Result<MigrationLock> {
    let (fs, folder) = (site.base.file_system(), folder(site.base.path()));
    let lock = MigrationLock::acquire(site, wait).map_err(|error| match error {
        Error::InUse { path, waited_ms, holders } if path.starts_with(&folder) => {
            Error::LockTimeout { path, waited_ms, holder: holder(&*fs, &folder, &holders) }
        }
        other => other,
    })?;
    write_note(&*fs, &folder)?;
    Ok(lock)
}

/// Returns the holder according to the system and the note. `holders` are the other processes that hold the lock, if the
/// system tells.
fn holder(fs: &dyn Fs, folder: &Path, holders: &[Holder]) -> Option<Holder> {
    let note = read_note(fs, folder);
    let held_ms = |note: &Taken| Some(now_ms().saturating_sub(note.since));
    match (holders.first(), note) {
        (Some(holder), Some(note)) if note.pid == holder.pid => {
            Some(Holder { held_ms: held_ms(&note), ..*holder })
        }
        // A restore leaves no note.
        (Some(holder), _) => Some(*holder),
        (None, Some(note)) => Some(Holder { held_ms: held_ms(&note), ..holder_of(fs, note.pid) }),
        (None, None) => None,
    }
}

fn read_note(fs: &dyn Fs, folder: &Path) -> Option<Taken> {
    let file = fs.open(&folder.join("holder.json"), OpenMode::Read).ok()?;
    serde_json::from_slice(&read_all(&*file).ok()?).ok()
}

/// Writes the note beside its place first, so that nobody reads half of it. The note need not survive a crash.
fn write_note(fs: &dyn Fs, folder: &Path) -> Result<()> {
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
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::engine::base_path::BasePath;
    use crate::engine::database::DatabaseOptions;
    use crate::engine::fs::OsFs;
    use crate::engine::registry::Registry;

    fn site(directory: &Path) -> Site {
        Site {
            base: BasePath::new(Arc::new(OsFs), directory),
            registry: Registry::default(),
            options: DatabaseOptions::default(),
        }
    }

    fn take(directory: &Path, ms: u64) -> Result<MigrationLock> {
        acquire(&site(directory), Wait::at_most(Duration::from_millis(ms)))
    }

    #[test]
    fn a_second_caller_learns_the_holder_and_gets_the_lock_once_it_is_free() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let held = take(directory.path(), 0).expect("free");
        let error = take(directory.path(), 20).map(drop).expect_err("held");
        assert_eq!(error.code(), "LOCK_TIMEOUT");
        let Error::LockTimeout { holder: Some(holder), .. } = error else { panic!("{error}") };
        assert_eq!((holder.pid, holder.held_ms.is_some()), (process::id(), true));
        drop(held);
        drop(take(directory.path(), 0).expect("free again"));
    }

    #[test]
    fn a_damaged_holder_note_does_not_affect_locking() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let held = take(directory.path(), 0).expect("free");
        std::fs::write(folder(directory.path()).join("holder.json"), "{").expect("written");
        let error = take(directory.path(), 0).map(drop).expect_err("held");
        assert_eq!(error.code(), "LOCK_TIMEOUT");
        drop(held);
        drop(take(directory.path(), 0).expect("free again"));
    }

    #[test]
    fn the_holder_named_by_the_system_overrides_the_note() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        drop(take(directory.path(), 0).expect("free"));
        let named = |holders: &[u32]| {
            let holders: Vec<Holder> = holders.iter().map(|&pid| holder_of(&OsFs, pid)).collect();
            let holder = holder(&OsFs, &folder(directory.path()), &holders).expect("somebody");
            (holder.pid, holder.held_ms.is_some())
        };
        let other = process::id() + 1;
        assert_eq!(named(&[other]), (other, false));
        assert_eq!(named(&[process::id()]), (process::id(), true));
        assert_eq!(named(&[]), (process::id(), true));
    }
}
