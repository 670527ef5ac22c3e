//! Keeping everybody else away: from the files of a database, and from the database as a whole.

use std::process;
use std::time::Instant;

use parking_lot::MutexGuard;

use super::Database;
use super::writer::Held;
use crate::engine::error::{Error, Result};
use crate::engine::journal::Tip;
use crate::engine::lock::{LockGuard, LockKind, ProcessLock, Wait};

/// What a checkpoint needs for itself alone.
pub struct Checkpointing {
    /// Nothing, where the directory is read-only.
    pub lock: Option<ProcessLock>,
    /// The lock between processes, while it is held for the process instead of for one checkpoint.
    pub kept: Option<LockGuard>,
}

/// While this lives, nobody checkpoints: the snapshots stay where they are. Fields are dropped in their order: the lock between processes goes before the one within this process.
pub struct Quiet<'a> {
    lock: Option<LockGuard>,
    pub(super) checkpointing: MutexGuard<'a, Checkpointing>,
}

/// While this lives, writers leave the files of collections that are given up to the next checkpoint.
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
    /// Keeps the lock for the process when this ends.
    pub(super) fn keep(&mut self) {
        if let Some(lock) = self.lock.take() {
            self.checkpointing.kept = Some(lock);
        }
    }
}

impl Database {
    /// Waits until nobody checkpoints. Nothing, where the directory is read-only.
    ///
    /// # Errors
    /// `LOCK_TIMEOUT`, `IO_ERROR`.
    pub(in crate::engine) fn quiet(&self, wait: Wait) -> Result<Option<Quiet<'_>>> {
        self.quiet_if(wait, &|| true)
    }

    /// As [`Database::quiet`]; nothing also where `is_wanted` says no once nobody else in this process checkpoints. No file is
    /// touched then.
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
            // Of a directory that is gone, that is what is to be said.
            self.check_tip()?;
        }
        locked?;
        let guard = lock.guard();
        Ok(Some(Quiet { lock: Some(guard), checkpointing }))
    }

    /// Lets writers leave the files of collections that are given up where they are. Nobody checkpoints, and the write lock is
    /// held.
    pub(in crate::engine) fn begin_copying(&self, _: &mut Held<'_>) -> Copying<'_> {
        if let Some(tip) = &self.tip {
            tip.set_copier(process::id());
        }
        Copying { database: self }
    }

    /// Whether somebody copies the files.
    pub(super) fn is_being_copied(&self) -> bool {
        if !self.tip.as_ref().is_some_and(Tip::has_copier) {
            return false;
        }
        // Whoever said so may have died: then nobody keeps checkpoints away.
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

    /// Becomes the only process that has the database open, unless another one has. The write lock is held, so nobody opens
    /// it meanwhile; this process is counted as absent until [`Database::take_part`]. Others are not waited for: to close
    /// the database they need the write lock.
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
            // Others only share it, so this cannot fail for want of the lock.
            match presence.lock(LockKind::Shared, wait, || None) {
                Ok(()) => error,
                Err(worse) => worse,
            }
        })
    }

    /// Has the database open like others again, after [`Database::be_alone`]. The write lock is held.
    pub(in crate::engine) fn take_part(&self, held: &mut Held<'_>, wait: Wait) -> Result<()> {
        let presence = &mut self.files(held)?.presence;
        presence.unlock()?;
        presence.lock(LockKind::Shared, wait, || None)
    }
}

/// The error of a lock that was not given up, as one that names all who have it.
pub fn in_use(error: Error, lock: &ProcessLock) -> Error {
    match error {
        Error::LockTimeout { path, waited_ms, .. } => {
            Error::InUse { path, waited_ms, holders: lock.holders() }
        }
        other => other,
    }
}
