//! Restoring a backup.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::slice;
use std::time::Instant;

use super::alone::{Owned, alone};
use super::check::{check_file, read_manifest};
use super::copy::{Content, copy_file};
use super::list::stored_at;
use super::lock::MigrationLock;
use super::manifest::Manifest;
use super::places::{Places, Purpose, is_below};
use super::progress::{Meter, Progress};
use super::replacement::{Replacement, Source, remove_staged};
use super::{Site, name};
use crate::engine::cancel;
use crate::engine::database::collection_file;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, FileKind, Fs, real_path};
use crate::engine::journal::RESERVED;
use crate::engine::lock::Wait;
use crate::engine::lock_files::LOCK_FILES;
use crate::engine::normal_path::normal_path;

/// The name of the folder of the staged files, in the folder of restores.
const STAGED: &str = "files";

/// Puts the content of a backup in place of everything that it covers: `data/`, the databases, and what it included.
/// `backup` is its name or the absolute path of its directory, which may be anywhere. Databases that it does not have become
/// empty, and other files under `data/` are removed. All this is one step: after a crash it has happened in full or not at
/// all.
///
/// The storages of this process stay open, wait, and then see the restored data. O(bytes).
///
/// # Errors
/// `NOT_FOUND`, `CORRUPT_DATA` or `UNSUPPORTED_FORMAT` if the backup is not good, `INVALID_ARGUMENT` that names what is in
/// its way, `LOCK_TIMEOUT` while other processes have databases of the base path open, `IO_ERROR` (`ENOSPC` if there is not
/// enough room), `ABORTED`: nothing is changed, except that a damaged record of databases is replaced.
/// `IO_ERROR` with `outcome: 'unknown'`, or `MIGRATION_FAILED` later: it was interrupted, and the next opening finishes it.
pub fn restore(site: &Site, backup: &Path, wait: Wait, progress: &mut Progress<'_>) -> Result<()> {
    let fs = site.fs();
    let backup = find(site, backup)?;
    let manifest = read_manifest(site, &backup)?;
    if real_path(&*fs, &backup).starts_with(real_path(&*fs, &site.base.data())) {
        return Err(Error::InvalidArgument(format!(
            "the backup {} lies in the data that it replaces; move it elsewhere first",
            backup.display()
        )));
    }
    // Which databases there are must be known: nobody may have one of them open.
    site.base.replace_damaged_record(wait)?;
    check_way(site, &manifest)?;
    let mut meter = Meter::new("the restore", 2 * manifest.size(), progress);
    manifest.files.iter().try_for_each(|file| check_file(&*fs, &backup, file, &mut meter))?;
    let data = site.base.data();
    fs::create_dirs(&*fs, &data).at("create", &data)?;
    fs::check_space(&*fs, &data, manifest.size(), "restoring").at("write to", &data)?;
    // Reading the backup is work, which may have taken longer than anybody is to be waited for.
    let wait = Wait::at_most(wait.timeout);
    let (_lock, settled) = MigrationLock::acquire_and_settle(site, wait)?;
    let damaged_intents = match settled {
        Ok(()) => false,
        // The intent of this restore replaces one that nobody can follow.
        Err(Error::Corrupt { .. } | Error::UnsupportedFormat { .. }) => true,
        Err(error) => return Err(error),
    };
    let databases = manifest.databases.iter().map(|entry| entry.path.as_str());
    let directories = site.databases_and(databases, wait)?;
    let missing = missing(site, &directories)?;
    let claims: BTreeSet<PathBuf> = site.base.claims()?.into_iter().map(|(file, _)| file).collect();
    let staged = site.restore_directory().join(STAGED);
    let mut declared = false;
    let restored = alone(site, &directories, wait, |owned| {
        let sources = stage(site, &backup, &manifest, &staged, &mut meter)?;
        let mut replacement = Replacement::plan(site, &manifest, sources, &directories, Purpose::Restore)?;
        if damaged_intents {
            replacement = replacement.ending(site.relative(&site.migration_intent())?);
        }
        cancel::begin()?;
        replacement.begin(site, owned)?;
        declared = true;
        replacement.finish(site, owned, false)?;
        record_again(site, &directories, owned, &claims, wait);
        Ok(())
    });
    match restored {
        Ok(()) => {
            meter.finish();
            Ok(())
        }
        // The data is replaced, or the next opening replaces it.
        Err(error) if declared || is_declared(site) => Err(error.with_unknown_outcome()),
        Err(error) => {
            clean_up(site, &missing, wait);
            Err(error)
        }
    }
}

/// Removes what a restore has left that changed nothing: the staged files, and the directories that it created to lock them.
fn clean_up(site: &Site, missing: &[(PathBuf, PathBuf)], wait: Wait) {
    remove_staged(site);
    let now = Wait { deadline: Instant::now(), ..wait };
    for (directory, outermost) in missing {
        // Even after the caller gave up. What is in use, or cannot be removed, stays: an empty database.
        let _ = cancel::without_caller(|| {
            alone(site, slice::from_ref(directory), now, |_| remove_unused(&*site.fs(), directory, outermost))
        });
    }
}

/// Records the databases again that this process has open, and claims the files of its storages again: the record that was
/// restored may be older than both. What fails is repeated when it is next opened.
fn record_again(
    site: &Site,
    directories: &[PathBuf],
    owned: &[Owned<'_>],
    claims: &BTreeSet<PathBuf>,
    wait: Wait,
) {
    for (directory, owned) in directories.iter().zip(owned) {
        let Owned::Open { database, .. } = owned else { continue };
        let _ = site.base.record_database(directory, wait);
        let files = database.declared_paths().into_iter().map(|path| collection_file(directory, &path));
        for file in files.filter(|file| claims.contains(file)) {
            let _ = site.base.claim(&file, directory, wait);
        }
    }
}

/// Whether there may be an intent, which needs the staged files.
fn is_declared(site: &Site) -> bool {
    !matches!(site.fs().metadata(&site.restore_intent()), Ok(None))
}

/// Returns those of these directories that do not exist yet, each with the outermost missing one at or above it.
fn missing(site: &Site, directories: &[PathBuf]) -> Result<Vec<(PathBuf, PathBuf)>> {
    let fs = site.fs();
    let mut missing = Vec::new();
    for directory in directories {
        let mut outermost = None;
        for above in directory.ancestors().take_while(|above| *above != site.base.path()) {
            if fs.metadata(above).at("look up", above)?.is_some() {
                break;
            }
            outermost = Some(above.to_path_buf());
        }
        missing.extend(outermost.map(|outermost| (directory.clone(), outermost)));
    }
    Ok(missing)
}

/// Removes a directory that was created to be locked, and those above it down from `outermost`, as far as nothing else is in
/// them: others may have begun to use them meanwhile. The caller holds the locks in it.
fn remove_unused(fs: &dyn Fs, directory: &Path, outermost: &Path) -> Result<()> {
    let reserved = directory.join(RESERVED);
    let names = fs.list_dir(&reserved).at("list", &reserved)?;
    if names.iter().any(|name| !LOCK_FILES.contains(&name.as_str())) {
        return Ok(());
    }
    for path in names.iter().map(|name| reserved.join(name)) {
        fs.remove_file(&path).at("remove", &path)?;
    }
    let mut emptied = directory.ancestors().take_while(|above| above.starts_with(outermost));
    [&*reserved].into_iter().chain(&mut emptied).try_for_each(|path| fs.remove_dir(path).at("remove", path))
}

/// Returns the directory of a backup, given by its name or its absolute path.
///
/// # Errors
/// `INVALID_ARGUMENT`, `NOT_FOUND`, `IO_ERROR`.
pub(super) fn find(site: &Site, backup: &Path) -> Result<PathBuf> {
    let mut components = backup.components();
    let path = match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) => {
            name::check_name(&only.to_string_lossy())?;
            site.backups().join(only)
        }
        _ if backup.is_absolute() => normal_path(backup),
        _ => {
            return Err(Error::InvalidArgument(format!(
                "a backup is given by its name or its absolute path, not as {}",
                backup.display()
            )));
        }
    };
    match site.fs().metadata(&path).at("look up", &path)? {
        Some(found) if found.kind == FileKind::Directory => Ok(path),
        _ => Err(Error::NotFound { what: "the backup", id: path.display().to_string() }),
    }
}

/// Checks that everything that is in the way may be removed: that is reported before anything is touched, and looked for again
/// once nobody else can change it.
fn check_way(site: &Site, manifest: &Manifest) -> Result<()> {
    let gives_way = Places::of(site, manifest, Purpose::Restore)?.in_the_way()?;
    let holds_database = |path: &&String| manifest.databases.iter().any(|entry| is_below(&entry.path, path));
    match gives_way.iter().find(holds_database) {
        Some(path) => Err(Error::InvalidArgument(format!(
            "{} is where the directory of a database must be; move it away first",
            site.base.absolute(path).display()
        ))),
        None => Ok(()),
    }
}

/// Copies every file of the backup beside the data, durably.
fn stage(
    site: &Site,
    backup: &Path,
    manifest: &Manifest,
    staged: &Path,
    meter: &mut Meter<'_>,
) -> Result<Vec<Source>> {
    let fs = site.fs();
    fs::remove_tree(&*fs, staged).at("remove", staged)?;
    fs::create_dirs(&*fs, staged).at("create", staged)?;
    let mut sources = Vec::with_capacity(manifest.files.len());
    for (number, file) in manifest.files.iter().enumerate() {
        let (from, to) = (stored_at(backup, &file.path), staged.join(number.to_string()));
        let content = copy_file(&*fs, &from, &to, &mut |bytes| meter.add(bytes))?;
        let is_it = |content: &Content| (content.size, &content.sha256) == (file.size, &file.sha256);
        let content = content
            .filter(is_it)
            .ok_or_else(|| Error::corrupt(&from, 0, "the file changed while it was restored"))?;
        sources.push(Source { from: Some(site.relative(&to)?), content });
    }
    fs.sync_dir(staged).at("sync directory", staged)?;
    Ok(sources)
}
