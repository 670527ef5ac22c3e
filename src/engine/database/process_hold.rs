//! Holding the locks of a database for the whole process: its own writes go on, those of others wait.

use std::sync::atomic::Ordering;

use super::Database;
use crate::engine::checksum::DatabaseId;
use crate::engine::error::Result;
use crate::engine::lock::Wait;

impl Database {
    /// Takes the checkpoint lock and then the write lock for this process, until [`Database::release`]. Holding it again
    /// changes nothing. Only one caller at a time may hold databases.
    ///
    /// # Errors
    /// `LOCK_TIMEOUT`, `MIGRATION_FAILED` if a migration was interrupted, `IO_ERROR`.
    pub(in crate::engine) fn hold(&self, wait: Wait) -> Result<()> {
        let Some(mut quiet) = self.quiet(wait)? else { return self.acquire(wait).map(drop) };
        if quiet.checkpointing.kept.is_some() {
            return Ok(());
        }
        let mut held = self.acquire(wait)?;
        held.keep();
        quiet.keep();
        Ok(())
    }

    /// Releases what [`Database::hold`] took.
    pub(in crate::engine) fn release(&self) {
        let mut checkpointing = self.checkpointing.lock();
        let mut writer = self.writer.lock();
        self.migrating.store(false, Ordering::Release);
        if let (Some(tip), Some(_)) = (&self.tip, &writer.kept) {
            tip.set_holder(0);
        }
        writer.kept = None;
        checkpointing.kept = None;
    }

    /// The database's id, as its journals give it.
    pub(in crate::engine) fn id(&self) -> DatabaseId {
        self.state.read().database
    }

    /// Tells every process that an intent on disk will undo or redo what happens to the data from now on, or that this
    /// has ended. The write lock is held.
    pub(in crate::engine) fn set_migrating(&self, migrating: bool) {
        self.migrating.store(migrating, Ordering::Release);
        if let Some(tip) = &self.tip {
            tip.set_migrating(migrating);
        }
    }
}
