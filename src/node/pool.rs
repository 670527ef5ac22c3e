//! The threads on which everything that may block runs.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

/// Calls that may wait for disk and locks at the same time. More than that queue.
const MOST_THREADS: usize = 32;

/// Never shut down: a call that is under way must not keep the process from exiting, and what it was about to write is
/// either acknowledged or not.
static POOL: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread().max_blocking_threads(MOST_THREADS).thread_name("storage").build()
});

/// Runs work that may block. Without a pool (the system gives no threads) it runs here.
pub fn run_blocking(work: impl FnOnce() + Send + 'static) {
    match &*POOL {
        Ok(pool) => drop(pool.spawn_blocking(work)),
        Err(_) => work(),
    }
}
