//! Listing and pruning backups.

use std::io;
use std::path::{Path, PathBuf};

use super::Site;
use super::back_up::{lock_backups, partial, sweep};
use super::manifest::{MANIFEST, Manifest};
use super::name::check_name;
use super::restore::find;
use super::sealed::read_sealed;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, FileKind, Fs};
use crate::engine::id::now_ms;
use crate::engine::lock::Wait;
use crate::engine::order;

/// What is known of a backup without reading all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupInfo {
    pub name: String,
    pub path: PathBuf,
    /// Milliseconds since 1970; not known without a manifest.
    pub created: Option<u64>,
    /// Bytes of the files in it.
    pub size: u64,
    pub files: usize,
    /// Why it cannot be restored, as far as can be told without reading the files.
    pub problem: Option<String>,
}

impl BackupInfo {
    fn unknown(name: String, path: PathBuf) -> BackupInfo {
        BackupInfo { name, path, created: None, size: 0, files: 0, problem: None }
    }

    /// Whether there is a manifest and every file that it names is there with the right size.
    pub fn is_complete(&self) -> bool {
        self.problem.is_none()
    }
}

/// Lists all backups, the oldest first; those without a valid manifest come before them, by name. What a running or killed
/// backup has written so far is not a backup. O(files).
pub fn list_backups(site: &Site) -> Result<Vec<BackupInfo>> {
    let (fs, backups) = (site.fs(), site.backups());
    let names = match fs.list_dir(&backups) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("list", &backups)?,
    };
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| !name.starts_with('.') && name != fs::LOST_AND_FOUND) {
        let path = backups.join(&name);
        let metadata = fs.symlink_metadata(&path).at("look up", &path)?;
        if metadata.is_some_and(|found| found.kind == FileKind::Directory) {
            // One that this process may not read does not hide the others.
            found.push(match describe(&*fs, name.clone(), path.clone()) {
                Err(error @ Error::Io { kind: io::ErrorKind::PermissionDenied, .. }) => {
                    BackupInfo { problem: Some(error.to_string()), ..BackupInfo::unknown(name, path) }
                }
                described => described?,
            });
        }
    }
    order::sort_by(&mut found, |a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    Ok(found)
}

/// Returns what is known of one backup, given by its name or the absolute path of its directory. O(files).
///
/// # Errors
/// `INVALID_ARGUMENT`, `NOT_FOUND`, `IO_ERROR`.
pub fn find_backup(site: &Site, backup: &Path) -> Result<BackupInfo> {
    let path = find(site, backup)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    describe(&*site.fs(), name, path)
}

/// Returns a creation time for a new backup that is later than that of every other backup, whatever the clock says.
pub fn next_time(site: &Site) -> Result<u64> {
    let (fs, backups) = (site.fs(), site.backups());
    let mut time = now_ms();
    for name in fs.list_dir(&backups).at("list", &backups)? {
        if let Ok(Some((manifest, _))) = read_sealed::<Manifest>(&*fs, &backups.join(name).join(MANIFEST)) {
            time = time.max(manifest.created.saturating_add(1));
        }
    }
    Ok(time)
}

fn describe(fs: &dyn Fs, name: String, path: PathBuf) -> Result<BackupInfo> {
    let mut info = BackupInfo::unknown(name, path);
    let manifest = match read_sealed::<Manifest>(fs, &info.path.join(MANIFEST)) {
        Ok(Some((manifest, _))) => manifest,
        Ok(None) => {
            info.problem = Some("it has no manifest".to_owned());
            return Ok(info);
        }
        Err(error @ Error::Io { .. }) => return Err(error),
        Err(error) => {
            info.problem = Some(error.to_string());
            return Ok(info);
        }
    };
    info.created = Some(manifest.created);
    info.size = manifest.size();
    info.files = manifest.files.len();
    if let Some(file) = manifest.files.iter().find(|file| !super::is_safe(&file.path)) {
        info.problem = Some(format!("{:?} is not a path that a backup may restore", file.path));
        return Ok(info);
    }
    for file in &manifest.files {
        let path = stored_at(&info.path, &file.path);
        let found = fs.symlink_metadata(&path).at("look up", &path)?;
        if found.is_none_or(|found| found.kind != FileKind::File || found.len != file.size) {
            info.problem = Some(format!("{} is missing or does not have its size", path.display()));
            break;
        }
    }
    Ok(info)
}

/// The path at which a backup stores a file.
pub fn stored_at(backup: &Path, path: &str) -> PathBuf {
    let mut stored = backup.to_path_buf();
    stored.extend(path.split('/'));
    stored
}

/// Removes the oldest complete backups beyond `keep`, and the remains of killed backups. Leaves all others alone. Returns
/// the names of the backups that were removed.
///
/// # Errors
/// `LOCK_TIMEOUT` while a backup is being made, `IO_ERROR`.
pub fn prune_backups(site: &Site, keep: usize, wait: Wait) -> Result<Vec<String>> {
    let (fs, backups) = (site.fs(), site.backups());
    if fs.metadata(&backups).at("look up", &backups)?.is_none() {
        return Ok(Vec::new());
    }
    let _lock = lock_backups(site, wait)?;
    sweep(&*fs, &backups)?;
    let complete: Vec<BackupInfo> = list_backups(site)?
        .into_iter()
        .filter(|backup| backup.is_complete() && check_name(&backup.name).is_ok())
        .collect();
    let beyond = complete.len().saturating_sub(keep);
    let mut removed = Vec::with_capacity(beyond);
    for backup in complete.into_iter().take(beyond) {
        // Without its name it is no longer a backup, even if its removal is interrupted.
        let unwanted = partial(&backups, &backup.name);
        fs.rename(&backup.path, &unwanted).at("rename", &backup.path)?;
        fs::remove_tree(&*fs, &unwanted).at("remove", &unwanted)?;
        removed.push(backup.name);
    }
    fs.sync_dir(&backups).at("sync directory", &backups)?;
    Ok(removed)
}
