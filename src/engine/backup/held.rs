//! The databases that a migration holds, and those that its process opens meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::{Site, opened};
use crate::engine::cancel;
use crate::engine::database::Database;
use crate::engine::error::{Error, Holder, Result};
use crate::engine::lock::{LONGEST_PAUSE, Wait};
use crate::engine::order;

/// The databases that are held. Those that this process opens under the base path later are added.
#[derive(Default)]
pub struct HeldDatabases {
    /// Locked while the data is copied, and while the copy is discarded or put back.
    pub(super) databases: Mutex<Vec<Arc<Database>>>,
    /// Whether there is an intent.
    pub(super) migrating: AtomicBool,
    pub(super) ended: AtomicBool,
}

impl HeldDatabases {
    /// Holds one more database, in a directory as its base path spells it.
    ///
    /// # Errors
    /// As [`Hold::begin`](super::Hold::begin).
    pub fn take_in(&self, site: &Site, directory: &Path, database: &Arc<Database>, wait: Wait) -> Result<()> {
        let mut databases = self.between_steps(database, wait)?;
        if self.ended.load(Ordering::Acquire) || databases.iter().any(|known| Arc::ptr_eq(known, database)) {
            return Ok(());
        }
        let migrating = self.migrating.load(Ordering::Acquire);
        if migrating {
            opened::note(site, site.relative(directory)?)?;
        }
        database.hold(wait)?;
        if migrating {
            let _held = database.acquire_unseen(wait)?;
            database.set_migrating(true);
        }
        databases.push(Arc::clone(database));
        order::sort_by(&mut databases, |a, b| a.directory().cmp(b.directory()));
        Ok(())
    }

    /// Waits until the data is neither being copied nor being put back, so that the held databases stay the same during
    /// both.
    fn between_steps(&self, database: &Database, wait: Wait) -> Result<MutexGuard<'_, Vec<Arc<Database>>>> {
        loop {
            if let Some(databases) = self.databases.try_lock_for(LONGEST_PAUSE) {
                return Ok(databases);
            }
            cancel::check()?;
            if Instant::now() >= wait.deadline {
                return Err(Error::LockTimeout {
                    path: database.directory().to_path_buf(),
                    waited_ms: wait.timeout_ms(),
                    holder: Some(Holder::this_process()),
                });
            }
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Database>> {
        self.databases.lock().clone()
    }
}
