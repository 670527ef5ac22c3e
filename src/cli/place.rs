//! Where the data is, and how a run opens it: as one more process beside those that use it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{BASE_PATH, Global};
use super::console::Setting;
use super::display;
use super::failure::{Exit, Failure, Result};
use crate::engine::backup::{MigrationLock, Site};
use crate::engine::fs::{Fs, OsFs};
use crate::engine::{
    BasePath, Database, DatabaseOptions, Error, IoContext, ReadOptions, Registry, SizeLimits, Wait,
    normal_path,
};
use crate::project::{self, owners};

/// The parts of a projects' database. Any one of them shows that there is a database.
const PARTS: [&str; 3] = [".storage", "projects.json", "project_data"];

pub struct Place {
    base: PathBuf,
    lock_timeout: Duration,
}

impl Place {
    /// Returns the place given by an option, or else by the environment, or else the working directory.
    pub fn new(setting: &Setting, global: &Global) -> Place {
        let named = global
            .base_path
            .clone()
            .or_else(|| (setting.variable)(BASE_PATH).filter(|path| !path.is_empty()).map(PathBuf::from));
        let base = match named {
            Some(path) => setting.directory.join(path),
            None => setting.directory.clone(),
        };
        Place { base: normal_path(&base), lock_timeout: global.lock_timeout }
    }

    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Returns the directory of the projects' database.
    pub fn directory(&self) -> PathBuf {
        self.base.join(project::DIRECTORY)
    }

    pub fn wait(&self) -> Wait {
        Wait::at_most(self.lock_timeout)
    }

    pub fn lock_timeout(&self) -> Duration {
        self.lock_timeout
    }

    pub fn read_options(&self) -> ReadOptions {
        ReadOptions { cached: false, lock_timeout: self.lock_timeout }
    }

    pub fn file_system(&self) -> Arc<dyn Fs> {
        Arc::new(OsFs)
    }

    pub fn site(&self) -> Site {
        let base = BasePath::new(self.file_system(), &self.base);
        Site { base, registry: Registry::of_process(), options: self.options() }
    }

    /// Nothing runs in the background, because a run ends when its command does. Contents are no JavaScript strings here,
    /// so their length has no limit.
    fn options(&self) -> DatabaseOptions {
        DatabaseOptions {
            lock_timeout: self.lock_timeout,
            background: false,
            owners: Some(owners),
            sizes: SizeLimits { handed_out: u64::MAX, ..SizeLimits::default() },
            ..DatabaseOptions::default()
        }
    }

    /// Says of a lock that was not free that its holder migrates, backs up or restores the data, if so. What to do about a
    /// holder that is stopped is said already.
    pub fn explain(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Engine(Error::LockTimeout { path, waited_ms, holder: Some(holder) })
                if !holder.stopped
                    && MigrationLock::holders(&self.site()).iter().any(|other| other.pid == holder.pid) =>
            {
                Failure::Told {
                    exit: Exit::Busy,
                    code: "LOCK_TIMEOUT",
                    message: format!(
                        "{} was not free within {waited_ms} ms: process {} holds it for a migration, a backup or a restore; try again when that has ended, or raise --lock-timeout",
                        path.display(),
                        holder.pid
                    ),
                }
            }
            other => other,
        }
    }

    pub fn has_projects(&self) -> Result<bool> {
        exists(PARTS.iter().map(|part| self.directory().join(part)))
    }

    /// Returns the directories of all databases, including that of the projects if there is one. If the record of databases
    /// is damaged, returns those that are found without it.
    ///
    /// # Errors
    /// `NO_DATA` if there is none.
    pub fn databases(&self) -> Result<Vec<PathBuf>> {
        let base = self.site().base;
        let mut found = match base.databases() {
            Err(Error::Corrupt { .. }) => base.unrecorded_databases(),
            found => found,
        }?;
        if self.has_projects()? {
            found.push(self.directory());
        }
        found.sort();
        found.dedup();
        if found.is_empty() { Err(Failure::no_data(&self.base)) } else { Ok(found) }
    }

    /// Returns a path below the base path as people read it.
    pub fn relative(&self, path: &Path) -> String {
        display::below(path, &self.base)
    }

    /// Opens the database in a directory.
    pub fn open_directory(&self, directory: &Path) -> Result<Arc<Database>> {
        Ok(self.site().open_under(directory)?)
    }

    /// Opens the projects' database, creating it if there is none.
    pub fn create(&self) -> Result<Arc<Database>> {
        self.open_directory(&self.directory())
    }

    /// Opens the projects' database.
    ///
    /// # Errors
    /// `NO_DATA` if there is none, in which case nothing is created.
    pub fn open(&self) -> Result<Arc<Database>> {
        // Data that an interrupted restore was about to put in place counts as existing.
        let intent = self.base.join("data/.restore/intent.json");
        if !self.has_projects()? && !exists([intent])? {
            return Err(self.databases().map_or_else(|error| error, |_| Failure::no_projects(&self.base)));
        }
        self.create()
    }
}

/// Whether any of the paths exists.
fn exists(paths: impl IntoIterator<Item = PathBuf>) -> Result<bool> {
    for path in paths {
        if OsFs.metadata(&path).at("look up", &path)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_that_can_be_stored_can_be_read() {
        let place = Place { base: PathBuf::from("/base"), lock_timeout: Duration::ZERO };
        let sizes = place.options().sizes;
        assert!(sizes.handed_out >= sizes.in_line.max(sizes.streamed.into()), "{sizes:?}");
    }
}
