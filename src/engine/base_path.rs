//! The databases under one base path, and the database that owns each file outside every database or inside the directory of
//! another one.
//!
//! A database under `data/` is found by its reserved folder, and so is a database in the base path itself. A database
//! elsewhere under the base path, behind a symlink or in a folder whose name begins with a dot is recorded in
//! `data/.databases.json`. So is the owner of every file that a database uses outside its own directory.

mod rebuild;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::database::adopt::keep_copy;
use super::database::collection_file;
use super::error::{Error, IoContext, Result};
use super::fs::{self, FileKind, Fs, Identity, OpenMode, read_all, real_path};
use super::journal::RESERVED;
use super::lock::{LockKind, ProcessLock, Wait};
use super::normal_path::is_plain_path;
use super::plain_file::{read_file, replace_by_way_of};
use super::verify::Problem;

/// The directory that by default holds everything under the base path.
const DATA: &str = "data";
pub(super) const RECORD: &str = ".databases.json";
/// The record, relative to the base path.
pub(super) const DATABASES: &str = "data/.databases.json";
/// What is about to replace the record, in the same directory.
pub(super) const NEXT_RECORD: &str = ".databases.json.new";
pub(super) const RECORD_LOCK: &str = ".databases.lock";

/// The content of `data/.databases.json`. Paths are relative to the base path, with `/` between names.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    #[serde(default)]
    databases: BTreeSet<String>,
    /// File → the database that owns it.
    #[serde(default)]
    claims: BTreeMap<String, String>,
    /// Members that a later version may have added.
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// A directory that contains databases.
#[derive(Clone)]
pub struct BasePath {
    fs: Arc<dyn Fs>,
    path: PathBuf,
}

impl BasePath {
    /// Creates the base path at `path`, which must be absolute. Touches no file.
    pub fn new(fs: Arc<dyn Fs>, path: &Path) -> BasePath {
        BasePath { fs, path: path.to_path_buf() }
    }

    pub fn file_system(&self) -> Arc<dyn Fs> {
        Arc::clone(&self.fs)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory `data`.
    pub fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }

    /// Returns the directories of all databases under the base path, in path order. A database that can be reached by
    /// several paths is listed once. O(directories under `data/`).
    ///
    /// # Errors
    /// `CORRUPT_DATA` if the record is damaged, `IO_ERROR`.
    pub fn databases(&self) -> Result<Vec<PathBuf>> {
        self.databases_and(&self.read()?.databases)
    }

    /// Returns the databases that are found without the record.
    pub fn unrecorded_databases(&self) -> Result<Vec<PathBuf>> {
        self.databases_and(&BTreeSet::new())
    }

    fn databases_and(&self, recorded: &BTreeSet<String>) -> Result<Vec<PathBuf>> {
        let mut found = BTreeSet::new();
        self.search(&self.data(), &mut found)?;
        let mut known = self.identities(&found)?;
        for directory in recorded.iter().map(|name| self.absolute(name)).chain([self.path.clone()]) {
            if self.is_database(&directory)?
                && self.identity(&directory)?.is_some_and(|identity| known.insert(identity))
            {
                found.insert(directory);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Returns what is wrong with the record, if anything is.
    ///
    /// # Errors
    /// Those that say nothing about the record.
    pub fn verify_record(&self) -> Result<Option<Problem>> {
        match self.read() {
            Ok(_) => Ok(None),
            Err(error) => Problem::of_record(DATABASES, &error).map(Some).ok_or(error),
        }
    }

    /// Replaces a damaged record, as [`BasePath::replace_damaged_record`] does. The new one contains the database in
    /// `directory`, too.
    ///
    /// # Errors
    /// `LOCK_TIMEOUT`, `IO_ERROR`.
    pub fn repair_record(&self, directory: &Path, wait: Wait) -> Result<()> {
        if self.replace_damaged_record(wait)? { self.record_database(directory, wait) } else { Ok(()) }
    }

    /// Replaces a damaged record and keeps the damaged one beside it. The new record contains the databases found under the
    /// base path, and the entries that can still be read in the damaged record. Other databases are recorded, and other files
    /// claimed, when they are next opened. Returns whether the record was damaged. O(directories under the base path).
    ///
    /// # Errors
    /// `LOCK_TIMEOUT`, `IO_ERROR`.
    pub(super) fn replace_damaged_record(&self, wait: Wait) -> Result<bool> {
        if self.verify_record()?.is_none() {
            return Ok(false);
        }
        let path = self.data().join(RECORD);
        let mut lock = ProcessLock::open(&self.fs, &self.data().join(RECORD_LOCK))?;
        lock.lock(LockKind::Exclusive, wait, || None)?;
        let _guard = lock.guard();
        // Another process may have repaired the record in the meantime.
        if self.verify_record()?.is_some() {
            let file = self.fs.open(&path, OpenMode::Read).at("open", &path)?;
            let damaged = read_all(&*file).at("read", &path)?;
            let record = self.rebuilt(&damaged)?;
            keep_copy(&*self.fs, &path, "corrupt", &damaged)?;
            self.replace(&record)?;
        }
        Ok(true)
    }

    /// Records a database, so that [`BasePath::databases`] finds it. Does nothing for a database that is found without being
    /// recorded or that is outside the base path, nor if writing to `data/` is not permitted.
    pub fn record_database(&self, directory: &Path, wait: Wait) -> Result<()> {
        let Some(name) = self.relative(directory) else { return Ok(()) };
        if self.is_searched(&name)? || self.read()?.databases.contains(&name) {
            return Ok(());
        }
        match self.change(wait, |record| Ok(record.databases.insert(name))) {
            Err(Error::Io {
                kind: io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem,
                ..
            }) => Ok(()),
            other => other,
        }
    }

    /// Returns the database that claimed a file, if one did.
    pub fn owner(&self, file: &Path) -> Result<Option<PathBuf>> {
        let Some(name) = self.relative(file) else { return Ok(None) };
        Ok(self.read()?.claims.get(&name).map(|owner| self.absolute(owner)))
    }

    /// Returns all claimed files, each with the directory of its database.
    pub(super) fn claims(&self) -> Result<Vec<(PathBuf, PathBuf)>> {
        let claims = self.read()?.claims;
        Ok(claims.iter().map(|(name, owner)| (self.absolute(name), self.absolute(owner))).collect())
    }

    /// Makes a file the property of a database, permanently. Claiming it again for the same database changes nothing.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if another database has claimed the file, or if the file or the database is outside the base path.
    pub fn claim(&self, file: &Path, database: &Path, wait: Wait) -> Result<()> {
        let (name, owner) = (self.relative_or_refuse(file)?, self.relative_or_refuse(database)?);
        let taken = |other: &str| {
            Error::InvalidArgument(format!(
                "{} belongs to the database {other}; use that dataDir, or another file",
                file.display()
            ))
        };
        // Most claims were made by an earlier instance, and seeing that needs no lock.
        match self.read()?.claims.get(&name) {
            Some(known) if *known == owner => return Ok(()),
            Some(known) => return Err(taken(known)),
            None => {}
        }
        self.change(wait, |record| match record.claims.get(&name) {
            Some(known) if *known == owner => Ok(false),
            Some(known) => Err(taken(known)),
            None => Ok(record.claims.insert(name, owner).is_none()),
        })
    }

    /// Returns the path relative to the base path, with `/` between names, if it is below the base path.
    pub fn relative(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(&self.path).ok()?;
        let names: Option<Vec<&str>> = below
            .components()
            .map(|component| match component {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        names.filter(|names| !names.is_empty()).map(|names| names.join("/"))
    }

    /// Returns how many levels a directory lies below the base path: a path that leads further up leads out of the base path.
    /// With symlinks resolved, a directory may be elsewhere; then it is 0.
    pub fn levels_above(&self, directory: &Path) -> usize {
        // Another process may create it before it is opened.
        let (found, root) = (real_path(&*self.fs, directory), real_path(&*self.fs, &self.path));
        found.strip_prefix(root).map_or(0, |below| below.components().count())
    }

    /// Like [`BasePath::relative`].
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a path that is not below the base path.
    pub fn relative_or_refuse(&self, path: &Path) -> Result<String> {
        self.relative(path).ok_or_else(|| {
            let (path, base) = (path.display(), self.path.display());
            Error::InvalidArgument(format!("{path} is not under the base path {base}"))
        })
    }

    /// The inverse of [`BasePath::relative`].
    pub fn absolute(&self, relative: &str) -> PathBuf {
        let mut path = self.path.clone();
        path.extend(relative.split('/'));
        path
    }

    /// Returns whether a directory contains a database.
    pub(super) fn is_database(&self, directory: &Path) -> Result<bool> {
        is_database(&*self.fs, directory)
    }

    /// Returns the identity of a directory, which is the same for every path that leads to it.
    pub(super) fn identity(&self, directory: &Path) -> Result<Option<Identity>> {
        Ok(self.fs.metadata(directory).at("look up", directory)?.map(|found| found.identity))
    }

    /// Returns the identities of those directories that exist.
    pub(super) fn identities<'a>(
        &self,
        directories: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Result<BTreeSet<Identity>> {
        let mut known = BTreeSet::new();
        for directory in directories {
            known.extend(self.identity(directory)?);
        }
        Ok(known)
    }

    /// Returns whether [`BasePath::search`] reaches a path.
    pub(super) fn is_searched(&self, name: &str) -> Result<bool> {
        let mut names = name.split('/');
        if names.next() != Some(DATA) {
            return Ok(false);
        }
        let mut path = self.data();
        for name in names {
            path.push(name);
            let found = self.fs.symlink_metadata(&path).at("look up", &path)?;
            if name.starts_with('.') || found.is_some_and(|found| found.kind == FileKind::Symlink) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds the databases in and below a directory to `found`. Does not enter folders whose names begin with a dot, and does
    /// not follow symlinks.
    fn search(&self, directory: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
        for name in fs::list_if_there(&*self.fs, directory).at("list", directory)? {
            if name == RESERVED {
                found.insert(directory.to_path_buf());
            }
            let path = directory.join(&name);
            let metadata = self.fs.symlink_metadata(&path).at("look up", &path)?;
            if !name.starts_with('.')
                && metadata.is_some_and(|found| found.kind == FileKind::Directory)
                && !fs::is_systems_own(&*self.fs, &path)
            {
                self.search(&path, found)?;
            }
        }
        Ok(())
    }

    fn read(&self) -> Result<Record> {
        read_record(&*self.fs, &self.data())
    }

    /// Changes the record under its lock. `work` returns whether it changed anything.
    fn change(&self, wait: Wait, work: impl FnOnce(&mut Record) -> Result<bool>) -> Result<()> {
        let data = self.data();
        fs::create_dirs(&*self.fs, &data).at("create", &data)?;
        let mut lock = ProcessLock::open(&self.fs, &data.join(RECORD_LOCK))?;
        lock.lock(LockKind::Exclusive, wait, || None)?;
        let _guard = lock.guard();
        let mut record = self.read()?;
        if !work(&mut record)? {
            return Ok(());
        }
        self.replace(&record)
    }

    /// Writes the whole record. The caller holds its lock.
    fn replace(&self, record: &Record) -> Result<()> {
        let data = self.data();
        let path = data.join(RECORD);
        let mut text = serde_json::to_vec_pretty(record)
            .map_err(|error| Error::io("write", &path, &io::Error::other(error)))?;
        text.push(b'\n');
        replace_by_way_of(&*self.fs, &data.join(NEXT_RECORD), &path, &text)
    }
}

/// Returns the files under a base path that other databases than this one have claimed. The claims of databases that do not
/// exist any more are void.
pub(super) fn claimed_by_others(fs: &dyn Fs, base: &Path, database: &Path) -> Result<Vec<PathBuf>> {
    let mut claims: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (name, owner) in read_record(fs, &base.join(DATA))?.claims {
        claims.entry(owner).or_default().push(collection_file(base, &name));
    }
    let mut claimed = Vec::new();
    for (owner, files) in claims {
        let owner = collection_file(base, &owner);
        // One that cannot be looked up may exist.
        if owner != database && is_database(fs, &owner).unwrap_or(true) {
            claimed.extend(files);
        }
    }
    Ok(claimed)
}

fn is_database(fs: &dyn Fs, directory: &Path) -> Result<bool> {
    let reserved = directory.join(RESERVED);
    Ok(fs.metadata(&reserved).at("look up", &reserved)?.is_some())
}

fn read_record(fs: &dyn Fs, data: &Path) -> Result<Record> {
    let path = data.join(RECORD);
    let Some(bytes) = read_file(fs, &path)? else { return Ok(Record::default()) };
    let damaged = |problem: String| {
        let what_to_do = "repair it, restore a backup, or remove it and open every storage once";
        Error::corrupt(&path, 0, format!("{problem}; {what_to_do}"))
    };
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let named = record.databases.iter().chain(record.claims.keys()).chain(record.claims.values());
    match named.into_iter().find(|name| !is_plain_path(name)) {
        Some(name) => Err(damaged(format!("{name:?} is not under the base path"))),
        None => Ok(record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fs::OsFs;
    use std::time::Duration;

    fn base() -> (tempfile::TempDir, BasePath) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let base = BasePath::new(Arc::new(OsFs), directory.path());
        (directory, base)
    }

    fn wait() -> Wait {
        Wait::at_most(Duration::from_secs(5))
    }

    fn make_database(path: &Path) {
        std::fs::create_dir_all(path.join(RESERVED)).expect("a folder");
    }

    #[test]
    fn databases_are_found_under_data_and_at_recorded_places() {
        let (directory, base) = base();
        let [inner, nested, outer, other] =
            ["data/a", "data/a/b", "own", "unrecorded"].map(|name| directory.path().join(name));
        for path in [&inner, &nested, &outer, &other] {
            make_database(path);
        }
        base.record_database(&outer, wait()).expect("recorded");
        base.record_database(&inner, wait()).expect("not needed");
        base.record_database(&directory.path().join("gone"), wait()).expect("recorded");
        assert_eq!(base.databases().expect("found"), [inner, nested, outer]);
    }

    #[test]
    fn a_file_can_be_claimed_by_one_database_only() {
        let (directory, base) = base();
        let [file, one, other] = ["shared.json", "one", "other"].map(|name| directory.path().join(name));
        base.claim(&file, &one, wait()).expect("free");
        base.claim(&file, &one, wait()).expect("its own");
        let error = base.claim(&file, &other, wait()).expect_err("taken");
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        assert_eq!(base.owner(&file).expect("read"), Some(one));
    }

    #[test]
    fn the_claims_of_a_database_that_is_gone_count_no_more() {
        let (directory, base) = base();
        let [file, one, other] = ["shared.json", "one", "other"].map(|name| directory.path().join(name));
        make_database(&one);
        base.claim(&file, &one, wait()).expect("free");
        let claimed = || claimed_by_others(&OsFs, directory.path(), &other).expect("readable");
        assert_eq!(claimed(), [file]);
        std::fs::remove_dir_all(&one).expect("removed");
        assert!(claimed().is_empty());
    }

    #[test]
    fn unknown_members_of_the_record_are_kept() {
        let (directory, base) = base();
        let record = directory.path().join("data/.databases.json");
        std::fs::create_dir_all(directory.path().join("data")).expect("a folder");
        std::fs::write(&record, r#"{"later":[1]}"#).expect("written");
        base.record_database(&directory.path().join("own"), wait()).expect("recorded");
        let text = std::fs::read_to_string(&record).expect("read");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value, serde_json::json!({ "databases": ["own"], "claims": {}, "later": [1] }));
    }

    #[test]
    fn a_record_with_paths_outside_the_base_path_is_damage() {
        let (directory, base) = base();
        std::fs::create_dir_all(directory.path().join("data")).expect("a folder");
        for text in [r#"{"databases":["../x"]}"#, r#"{"databases":["/etc"]}"#, r#"{"claims":{"a":"../b"}}"#] {
            std::fs::write(directory.path().join("data/.databases.json"), text).expect("written");
            assert_eq!(base.databases().expect_err(text).code(), "CORRUPT_DATA", "{text}");
        }
    }

    #[test]
    fn a_damaged_record_is_an_error_until_it_is_repaired() {
        let (directory, base) = base();
        std::fs::create_dir_all(directory.path().join("data")).expect("a folder");
        std::fs::write(directory.path().join("data/.databases.json"), "{").expect("written");
        assert_eq!(base.databases().expect_err("damaged").code(), "CORRUPT_DATA");
        assert!(base.verify_record().expect("readable").is_some());
        let own = directory.path().join("own");
        make_database(&own);
        base.repair_record(&own, wait()).expect("repaired");
        assert_eq!(base.databases().expect("sound"), [own]);
        let names =
            std::fs::read_dir(directory.path().join("data")).expect("a folder").filter_map(Result::ok);
        let aside = |name: std::ffi::OsString| name.to_string_lossy().starts_with(".databases.json.corrupt-");
        assert_eq!(names.filter(|entry| aside(entry.file_name())).count(), 1);
    }
}
