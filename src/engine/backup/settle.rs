//! Repairing what a process left when it died during a restore or a migration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::alone::alone;
use super::hold::{Intent, remove_copy, sources_in_place};
use super::intent::{self, Found};
use super::lock::MigrationLock;
use super::manifest::Manifest;
use super::places::{Places, Purpose, is_below};
use super::replacement::{Replacement, remove_staged};
use super::{Site, is_inside, opened};
use crate::engine::database::{known_collections, start_beyond};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs;
use crate::engine::lock::Wait;

/// Rolls an interrupted restore forward, and undoes an interrupted migration. Does nothing while the process that restores
/// or migrates lives. Must be called before any database of the base path is opened. Costs two look-ups if nothing is
/// pending.
///
/// # Errors
/// `LOCK_TIMEOUT` while others have databases of the base path open, `CORRUPT_DATA` if what is needed is damaged, `IO_ERROR`.
pub fn settle(site: &Site, wait: Wait) -> Result<()> {
    if !is_pending(site)? {
        return Ok(());
    }
    MigrationLock::settle(site, wait)
}

pub(super) fn is_pending(site: &Site) -> Result<bool> {
    let fs = site.fs();
    for intent in [site.restore_intent(), site.migration_intent()] {
        if fs.metadata(&intent).at("look up", &intent)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Does the same for a caller that has the lock.
pub(super) fn settle_locked(site: &Site, _: &MigrationLock, wait: Wait) -> Result<()> {
    roll_forward(site, wait)?;
    undo(site, wait)?;
    remove_copy(site);
    remove_staged(site);
    Ok(())
}

/// Completes a replacement that was interrupted.
fn roll_forward(site: &Site, wait: Wait) -> Result<()> {
    let fs = site.fs();
    // If putting back was interrupted, there are both intents, and this one says what to do.
    let path = site.restore_intent();
    match intent::find::<Replacement>(&*fs, &path)? {
        Found::Nothing => Ok(()),
        Found::Done => intent::end(&*fs, &path),
        Found::Open(replacement) => {
            check_paths(&path, replacement.paths())?;
            if !replacement.keeps_to_its_places(site) {
                let problem = "it moves files to or from a place where it may not; restore a backup";
                return Err(Error::corrupt(&path, 0, problem));
            }
            let directories = site.databases_and(replacement.databases(), wait)?;
            alone(site, &directories, wait, |owned| replacement.repeat(site, owned))
        }
    }
}

/// Puts back the data that an interrupted migration changed.
fn undo(site: &Site, wait: Wait) -> Result<()> {
    let fs = site.fs();
    let path = site.migration_intent();
    match intent::find::<Intent>(&*fs, &path)? {
        Found::Nothing => Ok(()),
        Found::Done => intent::end(&*fs, &path),
        Found::Open(Intent { copy: manifest }) => {
            let opened = opened::read(site)?;
            check_paths(&path, manifest.paths().chain(opened.iter().map(String::as_str)))?;
            make_way(site, &manifest)?;
            let directories = changed_databases(site, &manifest, &opened)?;
            alone(site, &directories, wait, |owned| {
                let sources = sources_in_place(site, &manifest)?;
                let replacement =
                    Replacement::plan(site, &manifest, sources, &directories, Purpose::PutBack)?
                        .ending(site.relative(&path)?);
                replacement.begin(site, owned)?;
                replacement.finish(site, owned, false)
            })
        }
    }
}

/// Returns the directories of the databases that a migration may have changed, in path order: those of the copy, also where
/// the migration moved or copied them, and those that it opened. It may have died before it noted one, which then is empty.
/// Others belong to other processes.
fn changed_databases(site: &Site, manifest: &Manifest, opened: &BTreeSet<String>) -> Result<Vec<PathBuf>> {
    let fs = site.fs();
    let mut paths: Vec<&str> = manifest.databases.iter().map(|entry| entry.path.as_str()).collect();
    for path in opened {
        if site.base.is_database(&site.base.absolute(path))? {
            paths.push(path);
        }
    }
    let (mut directories, mut known) = site.directories_at(paths.into_iter())?;
    for directory in site.base.databases()? {
        let is_copied = start_beyond(&*fs, &directory, 0)
            .is_ok_and(|start| manifest.databases.iter().any(|entry| entry.id == start.id));
        let is_its_own = is_copied || known_collections(&fs, &directory)?.is_empty();
        if is_its_own && site.base.identity(&directory)?.is_none_or(|identity| known.insert(identity)) {
            directories.push(directory);
        }
    }
    directories.sort_unstable();
    Ok(directories)
}

/// Removes what the migration put in place of a database's directory, or of one above, because otherwise nothing can be
/// locked there. It would give way later in any case, and may be removed again after a crash.
fn make_way(site: &Site, manifest: &Manifest) -> Result<()> {
    let fs = site.fs();
    let holds_database = |path: &str| manifest.databases.iter().any(|entry| is_below(&entry.path, path));
    for path in Places::of(site, manifest, Purpose::PutBack)?.in_the_way()? {
        if holds_database(&path) {
            let path = site.base.absolute(&path);
            fs::remove_tree(&*fs, &path).at("remove", &path)?;
        }
    }
    Ok(())
}

/// Refuses an intent with a path that leads out of the base path: the engine writes no such intent.
fn check_paths<'a>(intent: &Path, mut paths: impl Iterator<Item = &'a str>) -> Result<()> {
    paths.find(|path| !is_inside(path)).map_or(Ok(()), |path| {
        let problem = format!("{path:?} leads out of the base path; restore a backup");
        Err(Error::corrupt(intent, 0, problem))
    })
}
