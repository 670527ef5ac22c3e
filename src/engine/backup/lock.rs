//! The locks under which migrations, restores and their repair run, one at a time in all processes.
//!
//! `data/.migration/lock` is held for as long as somebody restores or migrates; `data/.migration/settle.lock` while somebody
//! looks whether an earlier holder of the first one died, and puts right what it left. Who finds an intent and both locks
//! taken one after the other knows that the first one's holder lives and that the intent is its own.

use std::path::PathBuf;

use super::Site;
use super::settle::settle_locked;
use crate::engine::cancel;
use crate::engine::database::in_use;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs;
use crate::engine::lock::{LockGuard, LockKind, ProcessLock, Wait};

/// The lock on `data/.migration/lock`, held until it is dropped or its process ends.
pub struct MigrationLock {
    _guard: LockGuard,
}

impl MigrationLock {
    /// Waits for the lock, then puts right what an earlier holder left when it died.
    ///
    /// # Errors
    /// `LOCK_TIMEOUT` that names the holder, and what [`settle`](super::settle()) gives.
    pub fn acquire(site: &Site, wait: Wait) -> Result<MigrationLock> {
        let (lock, settled) = MigrationLock::acquire_and_settle(site, wait)?;
        settled.map(|()| lock)
    }

    /// The same for a caller that can do without what cannot be put right any more.
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
            if !pauses.next() {
                return Err(Error::InUse {
                    path: path(site, "lock"),
                    waited_ms: wait.timeout_ms(),
                    holders: lock.holders(),
                });
            }
        }
    }

    /// Takes the lock if it is free, and puts right what its last holder left. Does nothing while a holder lives.
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
