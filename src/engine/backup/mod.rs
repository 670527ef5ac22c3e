//! Copies of everything under a base path: backups that a person keeps, and the copy that undoes a failed migration.
//!
//! Both are written as files beside a manifest with checksums, which is written last. Both are put in place in the same way:
//! an intent says what replaces what, and after a crash [`settle`](settle()) rolls it forward.
//!
//! Lock order, outermost first: the lock of `backups/` → the locks of `lock` → the checkpoint locks of all databases in
//! path order → their write locks in path order → their presence locks. A migration takes both locks of one database before
//! those of the next, while its own lock keeps all others away that lock several databases.

mod alone;
mod back_up;
mod check;
mod copy;
mod held;
mod hold;
mod intent;
mod inventory;
mod list;
mod lock;
mod manifest;
mod name;
mod opened;
mod places;
mod progress;
mod replacement;
mod restore;
mod sealed;
mod settle;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use back_up::{BackedUp, BackupOptions, back_up};
pub use check::{BackupProblem, BackupReport, verify_backup};
pub(super) use held::HeldDatabases;
pub use hold::{Hold, RollbackCopy, SpareCopy};
pub(super) use inventory::OWN;
pub use list::{BackupInfo, find_backup, list_backups, prune_backups};
pub use lock::MigrationLock;
pub use progress::Progress;
pub use restore::restore;
use settle::is_pending;
pub use settle::settle;

use super::base_path::BasePath;
use super::database::{Database, DatabaseOptions};
use super::error::{Error, Result};
use super::fs::{Fs, Identity};
use super::journal::RESERVED;
use super::lock::Wait;
use super::normal_path::{is_plain_path, normal_path};
use super::ownership::check_directory;
use super::registry::Registry;

/// A base path, and the engines that this process has open under it.
#[derive(Clone)]
pub struct Site {
    pub base: BasePath,
    pub registry: Registry,
    /// How databases are opened that this process does not have open yet.
    pub options: DatabaseOptions,
}

/// The folder of restores that are under way, below `data`.
const RESTORE: &str = ".restore";
/// The folder of migrations, below `data`.
const MIGRATION: &str = ".migration";
const INTENT: &str = "intent.json";
pub(super) const BACKUPS: &str = "backups";

impl Site {
    fn fs(&self) -> Arc<dyn Fs> {
        self.base.file_system()
    }

    /// Opens a database of a base path that was settled before. A process that was restoring or migrating then may have died
    /// since: what it left is repaired before the database is used.
    fn open(&self, directory: &Path, wait: Wait) -> Result<Arc<Database>> {
        let open = || {
            let options = DatabaseOptions { most_above: self.base.levels_above(directory), ..self.options };
            self.registry.open(&self.fs(), directory, options, wait)
        };
        let mut database = open()?;
        if is_pending(self)? {
            // Others may have opened it at the same time. It can be repaired only by the one that has it open alone, so each
            // closes it first.
            drop(database);
            settle(self, wait)?;
            database = open()?;
            settle(self, wait)?;
        }
        Ok(database)
    }

    /// Opens the database in `directory` as storages do: see [`open_under`](super::registry::open_under).
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if the directory is one that the engine keeps for itself: no backup could be put back there.
    pub fn open_under(&self, directory: &Path) -> Result<Arc<Database>> {
        self.open_under_by(directory, Wait::at_most(self.options.lock_timeout))
    }

    /// Like [`Site::open_under`], but waits for locks until the deadline of `wait`.
    pub(super) fn open_under_by(&self, directory: &Path, wait: Wait) -> Result<Arc<Database>> {
        check_directory(&self.base, directory)?;
        settle(self, wait)?;
        let database = self.open(directory, wait)?;
        // Opening it is work, which may have taken longer than anybody is to be waited for.
        let wait = Wait::at_most(wait.timeout);
        self.base.record_database(directory, wait)?;
        self.registry.note_open(&self.base, directory, &database);
        if let Some(held) = self.registry.hold_on(&self.base) {
            held.take_in(self, directory, &database, wait)?;
        }
        Ok(database)
    }

    fn backups(&self) -> PathBuf {
        self.base.path().join(BACKUPS)
    }

    fn restore_directory(&self) -> PathBuf {
        self.base.data().join(RESTORE)
    }

    fn restore_intent(&self) -> PathBuf {
        self.restore_directory().join(INTENT)
    }

    fn migration_directory(&self) -> PathBuf {
        self.base.data().join(MIGRATION)
    }

    fn migration_intent(&self) -> PathBuf {
        self.migration_directory().join(INTENT)
    }

    /// Returns the directories of all databases, in path order. Those that this process has open are recorded again if they
    /// cannot be found.
    ///
    /// # Errors
    /// `IO_ERROR` if a database that is open is still not among them: every copy would lack it.
    fn databases(&self, wait: Wait) -> Result<Vec<PathBuf>> {
        let opened = self.registry.opened_under(&self.base);
        for directory in &opened {
            self.base.record_database(directory, wait)?;
        }
        let found = self.base.databases()?;
        let known = self.base.identities(&found)?;
        for directory in opened.iter().filter(|directory| directory.starts_with(self.base.path())) {
            let identity = self.base.identity(directory)?;
            if self.base.is_database(directory)?
                && identity.is_some_and(|identity| !known.contains(&identity))
            {
                let problem =
                    "it is open but data/.databases.json does not list it, so the copy would lack it";
                return Err(Error::io("find again", directory, &io::Error::other(problem)));
            }
        }
        Ok(found)
    }

    /// Returns the directories of all existing databases and of those at `paths`, in path order.
    ///
    /// # Errors
    /// As [`Site::databases`] and [`Site::directories_at`].
    fn databases_and<'a>(&self, paths: impl Iterator<Item = &'a str>, wait: Wait) -> Result<Vec<PathBuf>> {
        let (mut directories, mut known) = self.directories_at(paths)?;
        for directory in self.databases(wait)? {
            if self.base.identity(&directory)?.is_none_or(|identity| known.insert(identity)) {
                directories.push(directory);
            }
        }
        directories.sort_unstable();
        Ok(directories)
    }

    /// Returns the directories at `paths`, in path order, and the identities of those that exist.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if two of `paths` are one directory.
    fn directories_at<'a>(
        &self,
        paths: impl Iterator<Item = &'a str>,
    ) -> Result<(Vec<PathBuf>, BTreeSet<Identity>)> {
        let mut directories: Vec<PathBuf> = paths.map(|path| self.base.absolute(path)).collect();
        directories.sort_unstable();
        directories.dedup();
        let mut known = BTreeSet::new();
        for directory in &directories {
            if self.base.identity(directory)?.is_some_and(|identity| !known.insert(identity)) {
                let directory = directory.display();
                return Err(Error::InvalidArgument(format!(
                    "{directory} is the directory of another database of the copy too; remove the symlink first"
                )));
            }
        }
        Ok((directories, known))
    }

    /// Returns the path relative to the base path; empty for the base path itself.
    fn relative(&self, path: &Path) -> Result<String> {
        let path = normal_path(path);
        if path == self.base.path() {
            return Ok(String::new());
        }
        self.base.relative_or_refuse(&path)
    }
}

/// Whether a copy may put something at this path, relative to the base path: it must not lead out of the base path, nor into
/// what belongs to the engine.
pub(super) fn is_safe(relative: &str) -> bool {
    let names = || relative.split('/');
    let is_engines = |name: &str| name.eq_ignore_ascii_case(RESERVED);
    // Some file systems ignore case.
    let is = |at: usize, wanted: &str| names().nth(at).is_some_and(|name| name.eq_ignore_ascii_case(wanted));
    let reserved = is(0, BACKUPS) || (is(0, "data") && (is(1, RESTORE) || is(1, MIGRATION)));
    is_plain_path(relative) && !names().any(is_engines) && !reserved
}

/// Whether a path in an intent, relative to the base path, names the base path or something below it.
fn is_inside(relative: &str) -> bool {
    relative.is_empty() || is_plain_path(relative)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::engine::fs::{Call, SimFs};

    #[test]
    fn a_database_is_recorded_however_long_opening_it_took() {
        let fs = SimFs::new();
        fs.make_dirs("/base/data");
        let (own, other) = (fs.process(), fs.process());
        let path = Path::new("/base/data/.databases.lock");
        let held = other.lock_file(path).expect("opened");
        assert!(held.try_exclusive().expect("tried"));
        let tries = move |call: &Call| matches!(call, Call::TryLock { path: at, .. } if **at == *path);
        own.before(tries, || {});
        own.before(tries, move || held.unlock().expect("unlocked"));
        let base = BasePath::new(own.handle(), Path::new("/base"));
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let site = Site { base, registry: Registry::default(), options };
        // Over already, as after long work. Anew, it would be long enough.
        let used_up = Wait { timeout: Duration::from_secs(60), deadline: Instant::now() };
        site.open_under_by(Path::new("/base/own"), used_up).expect("opened and recorded");
    }
}
