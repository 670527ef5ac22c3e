//! Whether a backup is good: its manifest makes sense, and every file is there as it was copied.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Site;
use super::copy::hash_file;
use super::list::stored_at;
use super::manifest::{FileEntry, Kind, MANIFEST, Manifest};
use super::places::names_above;
use super::progress::{Meter, Progress};
use super::restore::find;
use super::sealed::read_sealed;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{FileKind, Fs, OpenMode};
use crate::engine::normal_path::normal_path;

/// No sequence number of a database comes near this, and above it there is room for as many batches again.
const HIGHEST_SEQ: u64 = 1 << 52;

/// Something wrong with one file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupProblem {
    /// The file, relative to the backup with `/` between names.
    pub path: String,
    pub message: String,
}

/// What verifying a backup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    pub name: String,
    pub path: PathBuf,
    /// Milliseconds since 1970; not known without a manifest.
    pub created: Option<u64>,
    /// Bytes of the files in it.
    pub size: u64,
    pub files: usize,
    pub problems: Vec<BackupProblem>,
}

impl BackupReport {
    /// Whether nothing about the backup itself stands in the way of restoring all of it.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes what is wrong with a file.
    ///
    /// # Errors
    /// What says nothing about the file.
    fn note(&mut self, path: &str, error: Error) -> Result<()> {
        let message = match error {
            Error::Corrupt { problem, .. } => problem,
            Error::Io { .. } | Error::UnsupportedFormat { .. } => error.to_string(),
            other => return Err(other),
        };
        self.problems.push(BackupProblem { path: path.to_owned(), message });
        Ok(())
    }
}

/// Reads a backup, given by its name or the absolute path of its directory, and compares every file with the manifest.
/// Changes nothing, and needs no lock. O(bytes).
///
/// # Errors
/// `INVALID_ARGUMENT`, `NOT_FOUND`, `IO_ERROR` if the directory cannot be looked up, `ABORTED`.
pub fn verify_backup(site: &Site, backup: &Path, progress: &mut Progress<'_>) -> Result<BackupReport> {
    let fs = site.fs();
    let path = find(site, backup)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut report = BackupReport { name, path, created: None, size: 0, files: 0, problems: Vec::new() };
    let manifest = match read_manifest(site, &report.path) {
        Ok(manifest) => manifest,
        Err(error) => return report.note(MANIFEST, error).map(|()| report),
    };
    report.created = Some(manifest.created);
    (report.size, report.files) = (manifest.size(), manifest.files.len());
    let mut meter = Meter::new("verifying the backup", report.size, progress);
    for file in &manifest.files {
        if let Err(error) = check_file(&*fs, &report.path, file, &mut meter) {
            report.note(&file.path, error)?;
        }
    }
    meter.finish();
    Ok(report)
}

/// Checks that a file of the backup is there and what the manifest says of it.
///
/// # Errors
/// `CORRUPT_DATA`, `IO_ERROR`; `ABORTED` by the meter.
pub(super) fn check_file(fs: &dyn Fs, backup: &Path, file: &FileEntry, meter: &mut Meter<'_>) -> Result<()> {
    let path = stored_at(backup, &file.path);
    let found = fs.symlink_metadata(&path).at("look up", &path)?;
    let Some(found) = found.filter(|found| found.kind == FileKind::File) else {
        return Err(Error::corrupt(&path, 0, "the file is missing from the backup"));
    };
    if found.len != file.size {
        let problem = format!("it has {} bytes instead of {}", found.len, file.size);
        return Err(Error::corrupt(&path, 0, problem));
    }
    let opened = fs.open(&path, OpenMode::Read).at("open", &path)?;
    let content = hash_file(&*opened, &path, &mut |bytes| meter.add(bytes))?;
    if content.sha256 != file.sha256 {
        return Err(Error::corrupt(&path, 0, "its checksum is not that of the manifest"));
    }
    Ok(())
}

/// # Errors
/// `CORRUPT_DATA` or `UNSUPPORTED_FORMAT` if the manifest is not good, and those of [`check_manifest`].
pub(super) fn read_manifest(site: &Site, backup: &Path) -> Result<Manifest> {
    let path = backup.join(MANIFEST);
    let (manifest, _) = read_sealed::<Manifest>(&*site.fs(), &path)?
        .ok_or_else(|| Error::corrupt(&path, 0, "there is no manifest, so this backup is incomplete"))?;
    check_manifest(site, &manifest, &path)?;
    Ok(manifest)
}

/// Checks that nothing in the manifest leads out of the base path or into what belongs to the engine.
fn check_manifest(site: &Site, manifest: &Manifest, path: &Path) -> Result<()> {
    let refuse =
        |what: &str| Error::corrupt(path, 0, format!("{what:?} is not a path that a backup may restore"));
    let mut seen = BTreeSet::new();
    for file in &manifest.files {
        if !super::is_safe(&file.path)
            || file.path.eq_ignore_ascii_case("data")
            || !seen.insert(&file.path)
            || file.stored.is_some()
        {
            return Err(refuse(&file.path));
        }
        if let Kind::Collection { database, collection, .. } = &file.kind {
            let known = manifest.databases.iter().any(|entry| entry.path == *database);
            let placed = site.base.absolute(database).join(collection);
            if !known || site.base.relative(&normal_path(&placed)).as_ref() != Some(&file.path) {
                return Err(refuse(&file.path));
            }
        }
    }
    for entry in &manifest.databases {
        if entry.seq > HIGHEST_SEQ {
            let problem = format!("no batch with the number {} was ever written", entry.seq);
            return Err(Error::corrupt(path, 0, problem));
        }
    }
    // A database may lie in the base path itself.
    let databases = manifest.databases.iter().map(|entry| &entry.path).filter(|path| !path.is_empty());
    for other in databases.chain(&manifest.directories) {
        if !super::is_safe(other) || seen.contains(other) {
            return Err(refuse(other));
        }
    }
    // A file in the place of a directory would stop the restore half-way.
    let all = manifest.paths();
    let mut above = all.flat_map(names_above);
    if let Some(file) = above.find(|above| seen.contains(&(*above).to_owned())) {
        return Err(refuse(file));
    }
    Ok(())
}
