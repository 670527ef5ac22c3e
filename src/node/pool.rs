//! The threads on which everything that may block runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

/// Calls that may wait for disk and locks at the same time. More than that queue, so none of them may wait for another one
/// to be run here.
const MOST_THREADS: usize = 32;

/// Never shut down: a call that is under way must not keep the process from exiting, and what it was about to write is
/// either acknowledged or not.
static POOL: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread().max_blocking_threads(MOST_THREADS).thread_name("storage").build()
});

/// Runs work that may block. Without a thread (the system gives none) it runs here, so the caller holds no lock that it takes.
pub fn run_blocking(work: impl FnOnce() + Send + 'static) {
    let Ok(pool) = &*POOL else { return work() };
    // Where there is no thread at all and none can be started, the pool panics; what it queued meanwhile finds nothing left.
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
