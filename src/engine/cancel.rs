//! Cancelling a call.
//!
//! A call runs on one thread from beginning to end. Its slow parts, waiting for a lock or going through documents, are many
//! layers below the code that knows the caller. The flag therefore belongs to the thread while the call runs on it:
//! [`Cancel::scope`] sets it, and [`check`] reads it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::error::{Error, Result};
use super::scope::within;

/// The number of documents processed between two checks of whether the caller has cancelled.
pub const STEP: usize = 256;

/// The caller is waiting and may still cancel.
const WAITING: u8 = 0;
/// The caller has cancelled: the call does nothing more.
const RAISED: u8 = 1;
/// The call has begun to change something and runs to its end.
const BEGUN: u8 = 2;

thread_local! {
    static CURRENT: RefCell<Option<Cancel>> = const { RefCell::new(None) };
}

/// A flag that a caller raises to cancel a call. Clones share it; once raised, it stays raised.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicU8>);

impl Cancel {
    /// Cancels the call. Returns true if that was in time, so that the call changes nothing; false if the call has already
    /// begun to change something and will end as if it had not been cancelled.
    pub fn cancel(&self) -> bool {
        !matches!(self.0.compare_exchange(WAITING, RAISED, Ordering::AcqRel, Ordering::Acquire), Err(BEGUN))
    }

    /// Marks the point after which the call can no longer be cancelled.
    ///
    /// # Errors
    /// `ABORTED` if the caller has cancelled.
    pub fn begin(&self) -> Result<()> {
        match self.0.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire) {
            Err(RAISED) => Err(given_up()),
            _ => Ok(()),
        }
    }

    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire) == RAISED
    }

    /// Runs a call that this flag can cancel.
    pub fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        scope_of(Some(self.clone()), work)
    }
}

/// Returns the flag of the call that runs on this thread. [`scope_of`] passes it on to threads that share the work.
pub fn current() -> Option<Cancel> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs work that belongs to no call, or to several, so that nobody can cancel it.
pub fn without_caller<T>(work: impl FnOnce() -> T) -> T {
    scope_of(None, work)
}

/// Runs work, or a share of it, that belongs to the call with this flag, or to no call.
pub fn scope_of<T>(cancel: Option<Cancel>, work: impl FnOnce() -> T) -> T {
    within(&CURRENT, cancel, work)
}

/// # Errors
/// `ABORTED` if the call that runs on this thread was cancelled.
pub fn check() -> Result<()> {
    if CURRENT.with_borrow(|current| current.as_ref().is_some_and(Cancel::is_raised)) {
        return Err(given_up());
    }
    Ok(())
}

/// Marks the point after which the call on this thread can no longer be cancelled.
///
/// # Errors
/// As [`check`].
pub fn begin() -> Result<()> {
    CURRENT.with_borrow(|current| current.as_ref().map_or(Ok(()), Cancel::begin))
}

fn given_up() -> Error {
    Error::Aborted("the call")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_affects_only_the_thread_of_its_call() {
        let cancel = Cancel::default();
        cancel.scope(|| {
            check().expect("not yet");
            assert!(cancel.cancel());
            assert_eq!(check().map_err(|error| error.code()), Err("ABORTED"));
            without_caller(|| check().expect("nobody's call"));
            std::thread::scope(|threads| {
                threads.spawn(|| check().expect("another thread")).join().expect("no panic");
            });
            assert!(begin().is_err());
        });
        check().expect("the call is over");
    }

    #[test]
    fn a_call_that_has_begun_cannot_be_cancelled() {
        let cancel = Cancel::default();
        cancel.scope(|| {
            begin().expect("not given up");
            assert!(!cancel.cancel());
            check().expect("it goes on");
            begin().expect("and may say so again");
        });
    }

    #[test]
    fn the_flag_of_the_outer_call_is_restored_after_a_panic() {
        let (outer, inner) = (Cancel::default(), Cancel::default());
        outer.scope(|| {
            let panicked = std::panic::catch_unwind(|| inner.scope(|| panic!("in the middle")));
            assert!(panicked.is_err());
            outer.cancel();
            assert!(check().is_err());
        });
    }
}
