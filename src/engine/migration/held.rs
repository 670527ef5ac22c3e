//! The data of a run: held by this process, and copied before each step.

use super::run::Safeguard;
use crate::engine::backup::{Hold, MigrationLock, RollbackCopy, Site, SpareCopy};
use crate::engine::error::{Error, Result};
use crate::engine::lock::Wait;

/// All databases of a base path and the files beside them. The writes of other processes wait until it is dropped.
pub struct HeldData {
    hold: Hold,
    /// The data as it was before the step under way.
    copy: Option<RollbackCopy>,
    /// The copy made before the last completed step. What has not changed since then is not copied again.
    spare: Option<SpareCopy>,
}

impl HeldData {
    /// # Errors
    /// As [`Hold::begin`].
    pub fn take(site: Site, lock: MigrationLock, wait: Wait) -> Result<HeldData> {
        Ok(HeldData { hold: Hold::begin(site, lock, wait)?, copy: None, spare: None })
    }
}

impl Safeguard for HeldData {
    fn keep(&mut self) -> Result<()> {
        self.copy = Some(self.hold.copy(self.spare.take())?);
        Ok(())
    }

    fn put_back(&mut self) -> Result<()> {
        self.hold.put_back(self.copy.take().ok_or_else(nothing_kept)?)
    }

    fn accept(&mut self) -> Result<()> {
        let copy = self.copy.as_ref().ok_or_else(nothing_kept)?;
        self.spare = Some(self.hold.discard(copy)?);
        self.copy = None;
        Ok(())
    }
}

fn nothing_kept() -> Error {
    Error::InvalidArgument("no copy of the data was made".into())
}
