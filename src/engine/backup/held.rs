//! The databases that a migration holds, and those that its process opens meanwhile.
//!
//! A database or file outside `data` that no storage has used before is not in the copy that undoes the migration, and
//! neither is what another process keeps in a database that it has created since. The migration may not use them: they could
//! not be put back.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::manifest::Manifest;
use super::places::{Strangers, is_below};
use super::{Site, opened};
use crate::engine::base_path::BasePath;
use crate::engine::cancel;
use crate::engine::checksum::DatabaseId;
use crate::engine::database::{Database, collection_file, known_collections, uses_collection};
use crate::engine::error::{Error, Holder, IoContext, Result};
use crate::engine::fs;
use crate::engine::journal::RESERVED;
use crate::engine::lock::{LONGEST_PAUSE, Wait};
use crate::engine::order;

/// The databases that are held. Those that this process opens under the base path later are added.
#[derive(Default)]
pub struct HeldDatabases {
    /// Locked while the data is copied, and while the copy is discarded or put back.
    pub(super) databases: Mutex<Vec<Arc<Database>>>,
    /// Whether there is an intent.
    pub(super) migrating: AtomicBool,
    pub(super) coverage: Mutex<Coverage>,
    pub(super) ended: AtomicBool,
}

/// What the last copy has.
#[derive(Default)]
pub struct Coverage {
    /// Relative to the base path.
    files: BTreeSet<String>,
    databases: Vec<DatabaseId>,
    /// The databases that existed when it was made, but that it lacks.
    strangers: Strangers,
}

impl Coverage {
    pub fn new(manifest: &Manifest, strangers: Strangers) -> Coverage {
        let files = manifest.files.iter().map(|file| file.path.clone()).collect();
        Coverage { files, databases: manifest.databases.iter().map(|entry| entry.id).collect(), strangers }
    }
}

impl HeldDatabases {
    /// Holds one more database, in a directory as its base path spells it.
    ///
    /// # Errors
    /// As [`Hold::begin`](super::Hold::begin); `INVALID_ARGUMENT` for a database that could not be put back.
    pub fn take_in(&self, site: &Site, directory: &Path, database: &Arc<Database>, wait: Wait) -> Result<()> {
        let mut databases = self.between_steps(database, wait)?;
        if self.ended.load(Ordering::Acquire) || databases.iter().any(|known| Arc::ptr_eq(known, database)) {
            return Ok(());
        }
        // From here on, no other process adds to it.
        database.hold(wait)?;
        if self.migrating.load(Ordering::Acquire)
            && let Err(error) = self.take_into_migration(site, directory, database, wait)
        {
            database.release();
            return Err(error);
        }
        databases.push(Arc::clone(database));
        order::sort_by(&mut databases, |a, b| a.directory().cmp(b.directory()));
        Ok(())
    }

    fn take_into_migration(
        &self,
        site: &Site,
        directory: &Path,
        database: &Database,
        wait: Wait,
    ) -> Result<()> {
        let name = site.relative(directory)?;
        if self.lacks(site, &name, directory, database)? {
            return Err(not_copied(directory));
        }
        opened::note(site, name)?;
        let _held = database.acquire_unseen(wait)?;
        database.set_migrating(true);
        Ok(())
    }

    /// Whether a database has something that is not in the copy. Outside `data`, that are only its collections, and files that
    /// become collections: see [`HeldDatabases::check_collection`].
    fn lacks(&self, site: &Site, name: &str, directory: &Path, database: &Database) -> Result<bool> {
        let is_searched = site.base.is_searched(name)?;
        let coverage = self.coverage.lock();
        // The migration may have made a copy of one.
        if is_searched && coverage.databases.contains(&database.id()) {
            return Ok(false);
        }
        if !known_collections(&site.fs(), directory)?.is_empty() {
            return Ok(true);
        }
        let is_passed_over = if is_searched {
            coverage.strangers.directories().iter().any(|stranger| stranger == name)
        } else {
            name.starts_with("data/") && !coverage.files.iter().any(|path| is_below(path, name))
        };
        let names = fs::list_if_there(&*site.fs(), directory).at("list", directory)?;
        Ok(is_passed_over && names.iter().any(|found| found != RESERVED))
    }

    /// Refuses a collection whose file exists outside `data` but is not in the copy. Called before a storage first looks at
    /// the file.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `IO_ERROR`.
    pub fn check_collection(&self, base: &BasePath, directory: &Path, path: &str) -> Result<()> {
        if !self.migrating.load(Ordering::Acquire) {
            return Ok(());
        }
        let (fs, file) = (base.file_system(), collection_file(directory, path));
        let name = base.relative_or_refuse(&file)?;
        if base.is_searched(&name)?
            || self.coverage.lock().files.contains(&name)
            || fs.metadata(&file).at("look up", &file)?.is_none()
            || uses_collection(&fs, directory, path)?
        {
            return Ok(());
        }
        Err(not_copied(&file))
    }

    /// Waits until the data is neither being copied nor being put back, so that the held databases stay the same during
    /// both.
    fn between_steps(&self, database: &Database, wait: Wait) -> Result<MutexGuard<'_, Vec<Arc<Database>>>> {
        loop {
            if let Some(databases) = self.databases.try_lock_for(LONGEST_PAUSE) {
                return Ok(databases);
            }
            cancel::check()?;
            if Instant::now() >= wait.deadline {
                return Err(Error::LockTimeout {
                    path: database.directory().to_path_buf(),
                    waited_ms: wait.timeout_ms(),
                    holder: Some(Holder::this_process()),
                });
            }
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Database>> {
        self.databases.lock().clone()
    }
}

fn not_copied(path: &Path) -> Error {
    Error::InvalidArgument(format!(
        "{} is not in the copy that undoes this migration; open its storage once before the migration",
        path.display()
    ))
}
