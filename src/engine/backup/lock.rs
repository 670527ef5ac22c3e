//! The lock under which migrations, restores and their repair run, one at a time in all processes.

use super::settle::settle_locked;
use super::{MIGRATION, Site};
use crate::engine::database::in_use;
use crate::engine::error::{IoContext, Result};
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
        let held = MigrationLock::acquire_unsettled(site, wait)?;
        settle_locked(site, &held, wait)?;
        Ok(held)
    }

    /// Waits for the lock. Nothing is put right.
    pub(super) fn acquire_unsettled(site: &Site, wait: Wait) -> Result<MigrationLock> {
        let mut lock = open(site)?;
        lock.lock(LockKind::Exclusive, wait, || None).map_err(|error| in_use(error, &lock))?;
        Ok(MigrationLock { _guard: lock.guard() })
    }

    /// Takes the lock if it is free. Nothing is put right.
    pub(super) fn try_acquire(site: &Site) -> Result<Option<MigrationLock>> {
        let mut lock = open(site)?;
        Ok(lock.try_lock(LockKind::Exclusive)?.then(|| MigrationLock { _guard: lock.guard() }))
    }
}

fn open(site: &Site) -> Result<ProcessLock> {
    let directory = site.base.data().join(MIGRATION);
    fs::create_dirs(&*site.fs(), &directory).at("create", &directory)?;
    ProcessLock::open(&site.fs(), &directory.join("lock"))
}
