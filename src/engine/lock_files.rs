//! The files that the processes using a database lock.

use std::path::Path;
use std::sync::Arc;

use super::error::Result;
use super::fs::Fs;
use super::lock::ProcessLock;

const CHECKPOINT_LOCK: &str = "checkpoint.lock";
/// Held by the process that is committing.
pub const WRITE_LOCK: &str = "write.lock";
/// Shared by all processes that have the database open.
pub const PRESENCE_LOCK: &str = "open.lock";

/// Their names in the reserved folder, in the order in which they are locked.
pub const LOCK_FILES: [&str; 3] = [CHECKPOINT_LOCK, WRITE_LOCK, PRESENCE_LOCK];

/// The locks of a database, none of them held.
pub struct DatabaseLocks {
    pub checkpoint: ProcessLock,
    pub write: ProcessLock,
    pub presence: ProcessLock,
}

impl DatabaseLocks {
    /// Opens the lock files in the reserved folder, which exists. Missing ones are created.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn open(fs: &Arc<dyn Fs>, reserved: &Path) -> Result<DatabaseLocks> {
        let open = |name: &str| ProcessLock::open(fs, &reserved.join(name));
        Ok(DatabaseLocks {
            checkpoint: open(CHECKPOINT_LOCK)?,
            write: open(WRITE_LOCK)?,
            presence: open(PRESENCE_LOCK)?,
        })
    }
}
