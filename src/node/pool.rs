//! The threads on which everything that may block is run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

/// The most calls that may wait for the disk and for locks at the same time. Further calls queue, so no call may wait for
/// another one to be run here.
const MOST_THREADS: usize = 32;

/// The pool is never shut down: a call in progress must not keep the process from exiting, and what it was about to write is
/// either acknowledged or not.
static POOL: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread().max_blocking_threads(MOST_THREADS).thread_name("storage").build()
});

/// Runs work that may block. If the system provides no thread, the work runs on this one, so the caller must not hold a lock
/// that the work takes.
pub fn run_blocking(work: impl FnOnce() + Send + 'static) {
    let Ok(pool) = &*POOL else { return work() };
    // If the pool has no thread and can start none, it panics. The job that it has queued then finds the slot empty.
    let slot = Arc::new(Mutex::new(Some(work)));
    let queued = Arc::clone(&slot);
    let job = move || {
        let work = queued.lock().take();
        work.into_iter().for_each(|work| work());
    };
    if catch_unwind(AssertUnwindSafe(|| drop(pool.spawn_blocking(job)))).is_err() {
        let work = slot.lock().take();
        work.into_iter().for_each(|work| work());
    }
}
