//! Reporting how far a long call has come, and stopping it.

use std::ops::ControlFlow;

use crate::engine::error::{Error, Result};

/// Called from time to time with the bytes done and the bytes in total. `Break` stops the call with `ABORTED`, up to the
/// point at which the call begins to change data.
pub type Progress<'a> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'a;

/// Counts the bytes of one call.
pub struct Meter<'a> {
    what: &'static str,
    done: u64,
    total: u64,
    progress: &'a mut Progress<'a>,
}

impl<'a> Meter<'a> {
    pub fn new(what: &'static str, total: u64, progress: &'a mut Progress<'a>) -> Meter<'a> {
        Meter { what, done: 0, total, progress }
    }

    /// Reports that everything is done, whatever the total was thought to be. It is too late to stop.
    pub fn finish(self) {
        let _ = (self.progress)(self.total, self.total);
    }

    /// # Errors
    /// `ABORTED` if the caller wants to stop.
    pub fn add(&mut self, bytes: u64) -> Result<()> {
        self.done += bytes;
        // What is copied may have grown since it was measured.
        self.total = self.total.max(self.done);
        match (self.progress)(self.done, self.total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Aborted(self.what)),
        }
    }
}
