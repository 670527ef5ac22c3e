//! The locks under which backups, migrations, restores and their repair run, one at a time across all processes.
//!
//! `data/.migration/lock` is held for as long as a process backs up, restores or migrates; `data/.migration/settle.lock`
//! while a process checks whether an earlier holder of the first lock died, and repairs what it left. A process that finds
//! an intent, takes `settle.lock` and then finds the first lock taken knows that the holder of that lock lives and that the
//! intent is the holder's own.

use std::path::PathBuf;

use super::Site;
use super::settle::settle_locked;
use crate::engine::cancel;
use crate::engine::database::in_use;
use crate::engine::error::{Error, Holder, IoContext, Result};
use crate::engine::fs;
use crate::engine::lock::{LockGuard, LockKind, ProcessLock, Wait};

/// A lock on `data/.migration/lock`, held until this is dropped or the process ends.
pub struct MigrationLock {
    _guard: LockGuard,
}

impl MigrationLock {
    /// Waits for the lock, then repairs what an earlier holder left when it died.
    ///
    /// # Errors
    /// `LOCK_TIMEOUT` that names the holder, and the errors of [`settle`](super::settle()).
    pub fn acquire(site: &Site, wait: Wait) -> Result<MigrationLock> {
        let (lock, settled) = MigrationLock::acquire_and_settle(site, wait)?;
        settled.map(|()| lock)
    }

    /// Does the same for a caller that can go on without the repair: the lock is returned even if that fails.
    pub(super) fn acquire_and_settle(site: &Site, wait: Wait) -> Result<(MigrationLock, Result<()>)> {
        let mut lock = open(site, "lock")?;
        let mut pauses = wait.pauses();
        loop {
            {
                let _settling = begin_settling(site, wait)?;
                if lock.try_lock(LockKind::Exclusive)? {
                    let lock = MigrationLock { _guard: lock.guard() };
                    let settled = settle_locked(site, &lock, wait);
                    return Ok((lock, settled));
                }
            }
            cancel::check()?;
            pauses.next(|| Error::InUse {
                path: path(site, "lock"),
                waited_ms: wait.timeout_ms(),
                holders: lock.holders(),
            })?;
        }
    }

    /// Returns the processes that hold the lock, as far as the system tells. Creates nothing.
    pub fn holders(site: &Site) -> Vec<Holder> {
        let path = path(site, "lock");
        let is_there = matches!(site.fs().metadata(&path), Ok(Some(_)));
        let lock = is_there.then(|| ProcessLock::open(&site.fs(), &path));
        lock.and_then(Result::ok).map(|lock| lock.holders()).unwrap_or_default()
    }

    /// Takes the lock if it is free, repairs what its last holder left, and releases the lock. Does nothing while a holder
    /// lives.
    pub(super) fn settle(site: &Site, wait: Wait) -> Result<()> {
        let _settling = begin_settling(site, wait)?;
        let mut lock = open(site, "lock")?;
        if !lock.try_lock(LockKind::Exclusive)? {
            return Ok(());
        }
        settle_locked(site, &MigrationLock { _guard: lock.guard() }, wait)
    }
}

fn begin_settling(site: &Site, wait: Wait) -> Result<LockGuard> {
    let mut settling = open(site, "settle.lock")?;
    settling.lock(LockKind::Exclusive, wait, || None).map_err(|error| in_use(error, &settling))?;
    Ok(settling.guard())
}

fn path(site: &Site, name: &str) -> PathBuf {
    site.migration_directory().join(name)
}

fn open(site: &Site, name: &str) -> Result<ProcessLock> {
    let path = path(site, name);
    if let Some(directory) = path.parent() {
        fs::create_dirs(&*site.fs(), directory).at("create", directory)?;
    }
    ProcessLock::open(&site.fs(), &path)
}
