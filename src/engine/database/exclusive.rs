//! Keeping everybody else away: from the files of a database, and from the database as a whole.

use std::process;
use std::time::Instant;

use parking_lot::MutexGuard;

use super::Database;
use super::writer::Held;
use crate::engine::error::{Error, Result};
use crate::engine::journal::Tip;
use crate::engine::lock::{LockGuard, LockKind, ProcessLock, Wait};

/// What only one thread that checkpoints may use at a time.
pub struct Checkpointing {
    /// `None` if the directory is read-only.
    pub lock: Option<ProcessLock>,
    /// The lock between processes, while it is held for the process instead of for one checkpoint.
    pub kept: Option<LockGuard>,
}

/// While this lives, nobody checkpoints: the snapshots stay where they are. Fields are dropped in order: the lock
/// between processes is released before the one within this process.
pub struct Quiet<'a> {
    lock: Option<LockGuard>,
    pub(super) checkpointing: MutexGuard<'a, Checkpointing>,
}

/// While this lives, writers leave it to the next checkpoint to remove the files of dropped collections.
pub struct Copying<'a> {
    database: &'a Database,
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        if let Some(tip) = &self.database.tip {
            tip.set_copier(0);
        }
    }
}

impl Quiet<'_> {
    /// Makes the process keep the lock when this guard is dropped.
    pub(super) fn keep(&mut self) {
        if let Some(lock) = self.lock.take() {
            self.checkpointing.kept = Some(lock);
        }
    }
}

impl Database {
    /// Waits until nobody checkpoints, and keeps it so. Returns `None` if the directory is read-only.
    ///
    /// # Errors
    /// `LOCK_TIMEOUT`, `IO_ERROR`.
    pub(in crate::engine) fn quiet(&self, wait: Wait) -> Result<Option<Quiet<'_>>> {
        self.quiet_if(wait, &|| true)
    }

    /// Like [`Database::quiet`], but also returns `None` if `is_wanted` returns false once nobody else in this process
    /// checkpoints. No file is touched then.
    pub(super) fn quiet_if(&self, wait: Wait, is_wanted: &dyn Fn() -> bool) -> Result<Option<Quiet<'_>>> {
        let mut checkpointing = self.checkpointing.lock();
        if !is_wanted() {
            return Ok(None);
        }
        if checkpointing.kept.is_some() {
            return Ok(Some(Quiet { lock: None, checkpointing }));
        }
        let Some(lock) = checkpointing.lock.as_mut() else { return Ok(None) };
        let locked = lock.lock(LockKind::Exclusive, wait, || self.tip.as_ref().and_then(Tip::holder));
        if locked.is_err() {
            // If the directory is gone, that is what must be reported.
            self.check_tip()?;
        }
        locked?;
        let guard = lock.guard();
        Ok(Some(Quiet { lock: Some(guard), checkpointing }))
    }

    /// Makes writers leave the files of dropped collections where they are. Nobody checkpoints, and the write lock is
    /// held.
    pub(in crate::engine) fn begin_copying(&self, _: &mut Held<'_>) -> Copying<'_> {
        if let Some(tip) = &self.tip {
            tip.set_copier(process::id());
        }
        Copying { database: self }
    }

    /// Whether somebody is copying the files.
    pub(super) fn is_being_copied(&self) -> bool {
        if !self.tip.as_ref().is_some_and(Tip::has_copier) {
            return false;
        }
        // The process that said so may have died; then nobody holds the checkpoint lock.
        let Some(mut checkpointing) = self.checkpointing.try_lock() else { return true };
        if checkpointing.kept.is_some() {
            return true;
        }
        let Some(lock) = checkpointing.lock.as_mut() else { return false };
        let free = lock.try_lock(LockKind::Exclusive).unwrap_or(false);
        if free {
            drop(lock.guard());
        }
        !free
    }

    /// Becomes the only process that has the database open, unless another one has it open too. The write lock is held,
    /// so nobody opens it meanwhile. Until [`Database::take_part`], this process holds `open.lock` exclusively instead
    /// of sharing it. Others are not waited for: they need the write lock to close the database.
    ///
    /// # Errors
    /// `LOCK_TIMEOUT` that names the others, `IO_ERROR`. This process then takes part as before.
    pub(in crate::engine) fn be_alone(&self, held: &mut Held<'_>, wait: Wait) -> Result<()> {
        let presence = &mut self.files(held)?.presence;
        presence.unlock()?;
        let now = Wait { deadline: Instant::now(), ..wait };
        let alone = presence.lock(LockKind::Exclusive, now, || None);
        alone.map_err(|error| {
            let error = in_use(error, presence);
            // Others only share the lock, so it can be shared again without waiting.
            match presence.lock(LockKind::Shared, wait, || None) {
                Ok(()) => error,
                Err(worse) => worse,
            }
        })
    }

    /// Shares the database with others again, after [`Database::be_alone`]. The write lock is held.
    pub(in crate::engine) fn take_part(&self, held: &mut Held<'_>, wait: Wait) -> Result<()> {
        let presence = &mut self.files(held)?.presence;
        presence.unlock()?;
        presence.lock(LockKind::Shared, wait, || None)
    }
}

/// Turns the timeout of a lock into an error that names all its holders.
pub fn in_use(error: Error, lock: &ProcessLock) -> Error {
    match error {
        Error::LockTimeout { path, waited_ms, .. } => {
            Error::InUse { path, waited_ms, holders: lock.holders() }
        }
        other => other,
    }
}
