//! Whether memory is up to date with every process and every file, and bringing it up to date.

use std::sync::Arc;
use std::time::Duration;

use super::read::ReadOptions;
use super::state::{Loaded, State};
use super::{CollectionSpec, Database};
use crate::engine::cancel;
use crate::engine::error::Result;
use crate::engine::journal::Tip;
use crate::engine::lock::Wait;

/// A file that is read without passing through the cache is looked at again after this time, in case somebody
/// edited it.
const EDIT_CHECK: Duration = Duration::from_secs(1);

impl Database {
    /// Returns the collection if memory is up to date with every process.
    pub(super) fn current<'a>(&self, state: &'a State, spec: &CollectionSpec) -> Option<&'a Loaded> {
        let is_behind = |tip: &Tip| tip.announced() > state.position.seq;
        if self.is_replaced() || self.tip.as_ref().is_some_and(is_behind) {
            return None;
        }
        state.loaded(&spec.path).filter(|loaded| loaded.spec.provides(spec))
    }

    /// Whether the file need not be looked at for edits.
    pub(super) fn is_fresh(&self, loaded: &Loaded) -> bool {
        !self.fresh_for(loaded).is_zero()
    }

    /// Whether the file was looked at since the cache was last cleared. If not, what the cache has does not count either: a
    /// read that began before the clearing may have put it there.
    pub(super) fn is_looked_at(&self, loaded: &Loaded) -> bool {
        loaded.clears == self.cache.clears()
    }

    /// How long the file need not be looked at for edits.
    pub(super) fn fresh_for(&self, loaded: &Loaded) -> Duration {
        if !self.is_looked_at(loaded) {
            return Duration::ZERO;
        }
        EDIT_CHECK
            .min(self.cache.ttl().max(Duration::from_millis(1)))
            .saturating_sub(loaded.checked.elapsed())
    }

    /// Catches up with other processes, loads the collection, and checks whether somebody has edited its file.
    pub(super) fn make_ready(&self, spec: &Arc<CollectionSpec>, options: ReadOptions) -> Result<()> {
        if self.current(&self.state.read(), spec).is_some_and(|loaded| self.is_fresh(loaded)) {
            return Ok(());
        }
        let spec = {
            let mut writer = self.writer.lock();
            cancel::check()?;
            self.catch_up(&mut writer)?;
            self.forget_absent(&mut writer);
            self.notice_edit(spec)?;
            if self.try_load(&mut writer, spec)? {
                return Ok(());
            }
            self.declare(&mut writer, spec)
        };
        self.check_unasked(&spec)?;
        if self.is_read_only() {
            return self.load(&mut self.writer.lock(), &spec);
        }
        // A file that the engine did not write is adopted as a batch of its own, which takes the write lock.
        let mut held = self.acquire(Wait::at_most(options.lock_timeout))?;
        self.load(&mut held, &spec)
    }
}
