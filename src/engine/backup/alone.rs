//! Running work while this process is the only one that has any database of a base path open.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::Site;
use crate::engine::cancel;
use crate::engine::database::{Database, Held, Quiet, in_use, mark_migrating};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, Fs};
use crate::engine::journal::RESERVED;
use crate::engine::lock::{LockGuard, LockKind, ProcessLock, Wait};
use crate::engine::lock_files::DatabaseLocks;

/// A database that nobody else has open.
pub enum Owned<'a> {
    /// This process has it open.
    Open { database: &'a Database, held: Held<'a> },
    /// Nobody has it open. This process holds its locks.
    Closed { directory: &'a Path },
}

/// Opens the locks of a database that this process does not have open.
fn locks_of(fs: &Arc<dyn Fs>, directory: &Path) -> Result<DatabaseLocks> {
    let reserved = directory.join(RESERVED);
    fs::create_dirs(&**fs, &reserved).at("create", &reserved)?;
    DatabaseLocks::open(fs, &reserved)
}

fn take(lock: &mut ProcessLock, wait: Wait) -> Result<LockGuard> {
    lock.lock(LockKind::Exclusive, wait, || None).map_err(|error| in_use(error, lock))?;
    Ok(lock.guard())
}

/// Takes a presence lock if nobody else has it.
fn take_now(lock: &mut ProcessLock, wait: Wait) -> Result<LockGuard> {
    take(lock, Wait { deadline: Instant::now(), ..wait })
}

/// Runs `work` while this process is the only one that has the databases open. `directories` is in path order; missing ones
/// are created. The process's own engines stay open and wait.
///
/// While another process has one open, all locks are released between attempts, because that process may need them to finish
/// and to close it.
///
/// # Errors
/// `LOCK_TIMEOUT` that names the other processes, `IO_ERROR`, and the errors of `work`.
pub fn alone<T>(
    site: &Site,
    directories: &[PathBuf],
    wait: Wait,
    work: impl FnOnce(&mut [Owned<'_>]) -> Result<T>,
) -> Result<T> {
    let mut work = Some(work);
    let mut pauses = wait.long_pauses();
    loop {
        match attempt(site, directories, wait, &mut work) {
            Err(busy @ Error::InUse { .. }) if work.is_some() => {
                cancel::check()?;
                pauses.next(|| busy)?;
            }
            result => return result,
        }
    }
}

/// Makes one attempt. `work` is `None` afterwards if it ran.
fn attempt<T>(
    site: &Site,
    directories: &[PathBuf],
    wait: Wait,
    work: &mut Option<impl FnOnce(&mut [Owned<'_>]) -> Result<T>>,
) -> Result<T> {
    let fs = site.fs();
    let find = |directory: &PathBuf| site.registry.find(&*fs, directory);
    let engines: Vec<Option<Arc<Database>>> = directories.iter().map(find).collect::<Result<_>>()?;
    let mut locks = Vec::with_capacity(directories.len());
    for (directory, engine) in directories.iter().zip(&engines) {
        locks.push(match engine {
            Some(_) => None,
            None => Some(locks_of(&fs, directory)?),
        });
    }
    let mut checkpoints: Vec<LockGuard> = Vec::new();
    let mut quiet: Vec<Option<Quiet<'_>>> = Vec::new();
    for (engine, locks) in engines.iter().zip(&mut locks) {
        match (engine, locks) {
            (Some(database), _) => quiet.push(database.quiet(wait)?),
            (None, Some(locks)) => checkpoints.push(take(&mut locks.checkpoint, wait)?),
            (None, None) => {}
        }
    }
    let mut guards: Vec<LockGuard> = Vec::new();
    let mut owned: Vec<Owned<'_>> = Vec::new();
    for ((directory, engine), locks) in directories.iter().zip(&engines).zip(&mut locks) {
        match (engine, locks) {
            (Some(database), _) => {
                owned.push(Owned::Open { database, held: database.acquire_unseen(wait)? });
            }
            (None, Some(locks)) => {
                guards.push(take(&mut locks.write, wait)?);
                owned.push(Owned::Closed { directory });
            }
            (None, None) => {}
        }
    }
    // The presence locks come last: whoever opens a database is already waiting for its write lock.
    for locks in locks.iter_mut().flatten() {
        guards.push(take_now(&mut locks.presence, wait)?);
    }
    let result = work_alone(&mut owned, wait, work);
    // Guards are dropped in the reverse order of their acquisition.
    drop(guards);
    drop(owned);
    drop(quiet);
    drop(checkpoints);
    result
}

/// Does the work while no other process has one of the databases open. `work` is `None` afterwards if it ran.
fn work_alone<T>(
    owned: &mut [Owned<'_>],
    wait: Wait,
    work: &mut Option<impl FnOnce(&mut [Owned<'_>]) -> Result<T>>,
) -> Result<T> {
    let mut present = Vec::new();
    let mut alone = Ok(());
    for (at, owned) in owned.iter_mut().enumerate() {
        if let Owned::Open { database, held } = owned {
            alone = database.be_alone(held, wait);
            if alone.is_err() {
                break;
            }
            present.push(at);
        }
    }
    let result = alone.and_then(|()| match work.take() {
        Some(work) => work(owned),
        None => Err(Error::InvalidArgument("this was done already".into())),
    });
    let mut back = Ok(());
    for at in present {
        if let Owned::Open { database, held } = &mut owned[at] {
            // Even after the caller gave up.
            back = back.and(cancel::without_caller(|| database.take_part(held, wait)));
        }
    }
    let value = result?;
    back.map(|()| value)
}

impl Owned<'_> {
    pub fn directory(&self) -> &Path {
        match self {
            Owned::Open { database, .. } => database.directory(),
            Owned::Closed { directory } => directory,
        }
    }

    /// Tells every process that the data is being replaced, or that it no longer is.
    pub fn set_migrating(&self, fs: &dyn Fs, migrating: bool) -> Result<()> {
        mark_migrating(fs, self.directory(), migrating)
    }

    /// Makes the engine, if one is open, see the new data at once. If this fails, the next call that needs it tries again:
    /// the generation that its memory refers to is gone.
    pub fn reload(&mut self) {
        if let Owned::Open { database, held } = self {
            let _ = database.reload(held);
        }
    }
}
