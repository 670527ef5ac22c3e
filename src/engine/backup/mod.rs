//! Copies of everything under a base path: backups that a person keeps, and the copy that undoes a failed migration.
//!
//! Both are written as files beside a manifest with checksums, which comes last; both are put in place the same way: an
//! intent says what replaces what, and a crash after it was written is rolled forward by [`settle`].
//!
//! Lock order, outermost first: the lock of `backups/` → the locks of [`lock`] → the checkpoint locks of all databases in
//! path order → their write locks in path order → their presence locks.

mod alone;
mod back_up;
mod copy;
mod hold;
mod intent;
mod inventory;
mod list;
mod lock;
mod manifest;
mod name;
mod progress;
mod replacement;
mod restore;
mod sealed;
mod settle;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

pub use back_up::{BackedUp, BackupOptions, back_up};
pub(super) use hold::HeldDatabases;
pub use hold::{Hold, RollbackCopy, SpareCopy};
pub use list::{BackupInfo, list_backups, prune_backups};
pub use lock::MigrationLock;
pub use progress::Progress;
pub use restore::restore;
pub use settle::settle;

use super::base_path::BasePath;
use super::database::{Database, DatabaseOptions, Mutant};
use super::error::{Error, Result};
use super::fs::Fs;
use super::journal::RESERVED;
use super::lock::Wait;
use super::normal_path::normal_path;
use super::ownership::check_directory;
use super::registry::Registry;

/// A base path, and the engines that this process has open under it.
#[derive(Clone)]
pub struct Site {
    pub base: BasePath,
    pub registry: Registry,
    /// How databases are opened that this process has not open yet.
    pub options: DatabaseOptions,
}

/// The folder of restores that are under way, below `data`.
const RESTORE: &str = ".restore";
/// The folder of migrations, below `data`.
const MIGRATION: &str = ".migration";
const INTENT: &str = "intent.json";
const BACKUPS: &str = "backups";
/// Room that must be left on the disk beyond what is copied.
const SPARE_SPACE: u64 = 1 << 20;

impl Site {
    fn fs(&self) -> Arc<dyn Fs> {
        self.base.file_system()
    }

    /// Opens a database of a base path that was settled before. Whoever restored or migrated then may have died since: what
    /// it left is put right before the database is used.
    fn open(&self, directory: &Path) -> Result<Arc<Database>> {
        let database = self.registry.open(self.fs(), directory, self.options)?;
        settle(self, Wait::at_most(self.options.lock_timeout))?;
        Ok(database)
    }

    /// The database in `directory` as storages open it: see [`open_under`](super::registry::open_under).
    pub fn open_under(&self, directory: &Path) -> Result<Arc<Database>> {
        check_directory(&self.base, directory)?;
        let wait = Wait::at_most(self.options.lock_timeout);
        settle(self, wait)?;
        let database = self.open(directory)?;
        self.base.record_database(directory, wait)?;
        if let Some(held) = self.registry.hold_on(&self.base) {
            held.take_in(&database, wait)?;
        }
        Ok(database)
    }

    fn backups(&self) -> PathBuf {
        self.base.path().join(BACKUPS)
    }

    fn restore_directory(&self) -> PathBuf {
        self.base.data().join(RESTORE)
    }

    fn migration_directory(&self) -> PathBuf {
        self.base.data().join(MIGRATION)
    }

    /// The directories of all databases that there are and of these, in path order.
    fn databases_and<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Result<Vec<PathBuf>> {
        let mut directories = self.base.databases()?;
        directories.extend(paths.map(|path| self.base.absolute(path)));
        directories.sort_unstable();
        directories.dedup();
        Ok(directories)
    }

    /// The path relative to the base path.
    fn relative(&self, path: &Path) -> Result<String> {
        self.base.relative(&normal_path(path)).ok_or_else(|| {
            let (path, base) = (path.display(), self.base.path().display());
            Error::InvalidArgument(format!("{path} does not lie under the base path {base}"))
        })
    }

    #[cfg(feature = "simulation")]
    fn is_mutant(&self, mutant: Mutant) -> bool {
        self.options.mutant == Some(mutant)
    }

    #[cfg(not(feature = "simulation"))]
    fn is_mutant(&self, _: Mutant) -> bool {
        false
    }

    /// Whether data may be put at this path relative to the base path: it leads nowhere else, and not into what belongs to
    /// the engine.
    fn is_safe(relative: &str) -> bool {
        let names = || relative.split('/');
        let plain = |name: &str| is_plain(name) && !name.eq_ignore_ascii_case(RESERVED);
        // Some file systems know no case.
        let is =
            |at: usize, wanted: &str| names().nth(at).is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        let reserved = is(0, BACKUPS) || (is(0, "data") && (is(1, RESTORE) || is(1, MIGRATION)));
        names().all(plain) && !reserved
    }
}

/// Whether a path relative to the base path, as intents have them, names the base path or something below it.
fn is_inside(relative: &str) -> bool {
    relative.is_empty() || relative.split('/').all(is_plain)
}

/// Whether a name is that of one entry of a directory.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(components.next(), Some(Component::Normal(_)))
        && components.next().is_none()
        && !name.contains('\0')
}
