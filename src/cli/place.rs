//! Where the data lies, and how a run opens it: as one more process beside those that use it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{BASE_PATH, Global};
use super::console::Setting;
use super::display;
use super::failure::{Failure, Result};
use crate::engine::backup::Site;
use crate::engine::fs::{Fs, OsFs};
use crate::engine::{
    BasePath, Database, DatabaseOptions, Error, IoContext, ReadOptions, Registry, Wait, normal_path,
};
use crate::project::{self, owners};

/// What a database of projects consists of. One of them is enough.
const PARTS: [&str; 3] = [".storage", "projects.json", "project_data"];

pub struct Place {
    base: PathBuf,
    lock_timeout: Duration,
}

impl Place {
    /// The place that an option names, else the environment, else the working directory.
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

    /// The directory of the projects' database.
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

    /// Nothing is done in the background: a run ends when its command does.
    fn options(&self) -> DatabaseOptions {
        DatabaseOptions {
            lock_timeout: self.lock_timeout,
            background: false,
            owners: Some(owners),
            ..DatabaseOptions::default()
        }
    }

    pub fn has_projects(&self) -> Result<bool> {
        exists(PARTS.iter().map(|part| self.directory().join(part)))
    }

    /// The directories of all databases, that of the projects among them if there is one. The record of the others may be
    /// damaged, in which case those that lie outside `data/` are left out.
    ///
    /// # Errors
    /// `NO_DATA` where there is none.
    pub fn databases(&self) -> Result<Vec<PathBuf>> {
        let mut found = match self.site().base.databases() {
            Ok(found) => found,
            Err(Error::Corrupt { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        if self.has_projects()? {
            found.push(self.directory());
        }
        found.sort();
        found.dedup();
        if found.is_empty() { Err(Failure::no_data(&self.base)) } else { Ok(found) }
    }

    /// A path below the base path as people read it.
    pub fn relative(&self, path: &Path) -> String {
        display::below(path, &self.base)
    }

    /// The database in a directory.
    pub fn open_directory(&self, directory: &Path) -> Result<Arc<Database>> {
        Ok(self.site().open_under(directory)?)
    }

    /// The projects' database, which is created if there is none.
    pub fn create(&self) -> Result<Arc<Database>> {
        self.open_directory(&self.directory())
    }

    /// The projects' database.
    ///
    /// # Errors
    /// `NO_DATA` where there is none; nothing is created then.
    pub fn open(&self) -> Result<Arc<Database>> {
        // What an interrupted restore was about to put in place counts as being there.
        let intent = self.base.join("data/.restore/intent.json");
        if !self.has_projects()? && !exists([intent])? {
            return Err(Failure::no_data(&self.base));
        }
        self.create()
    }
}

/// Whether one of the paths is there.
fn exists(paths: impl IntoIterator<Item = PathBuf>) -> Result<bool> {
    for path in paths {
        if OsFs.metadata(&path).at("look up", &path)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
