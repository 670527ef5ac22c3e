//! The threads on which everything that may block runs.
//!
//! They are never waited for: a call that is under way must not keep the process from exiting, and what it was about to
//! write is either acknowledged or not.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Calls that may wait for disk and locks at the same time. More of them queue.
const MOST_THREADS: usize = 32;

/// How long a thread waits for work before it ends.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

static POOL: Pool = Pool {
    queue: Mutex::new(Queue { work: VecDeque::new(), threads: 0, waiting: 0 }),
    filled: Condvar::new(),
};

struct Pool {
    queue: Mutex<Queue>,
    filled: Condvar,
}

/// Invariant: while work is queued, a thread runs or has been woken, and it looks at the queue before it waits or ends.
struct Queue {
    work: VecDeque<Work>,
    threads: usize,
    /// Threads within a wait, those that were woken and do not run yet among them.
    waiting: usize,
}

/// Runs work that may block. Where the system gives no thread at all, it runs here.
pub fn run_blocking(work: impl FnOnce() + Send + 'static) {
    POOL.run(Box::new(work));
}

impl Pool {
    fn run(&'static self, work: Work) {
        {
            let mut queue = self.queue.lock();
            queue.work.push_back(work);
            if queue.work.len() <= queue.waiting {
                self.filled.notify_one();
                return;
            }
            if queue.threads == MOST_THREADS {
                return;
            }
            queue.threads += 1;
        }
        if Builder::new().name("storage".into()).spawn(|| self.work()).is_err() {
            let mut queue = self.queue.lock();
            queue.threads -= 1;
            if queue.threads == 0 {
                let left = std::mem::take(&mut queue.work);
                drop(queue);
                left.into_iter().for_each(run_guarded);
            }
        }
    }

    /// The life of a thread.
    fn work(&self) {
        let mut queue = self.queue.lock();
        let mut expired = false;
        loop {
            if let Some(work) = queue.work.pop_front() {
                drop(queue);
                run_guarded(work);
                queue = self.queue.lock();
                expired = false;
            } else if expired {
                queue.threads -= 1;
                return;
            } else {
                queue.waiting += 1;
                expired = self.filled.wait_for(&mut queue, KEEP_ALIVE).timed_out();
                queue.waiting -= 1;
            }
        }
    }
}

/// Work that panics ends alone: the pool goes on.
fn run_guarded(work: Work) {
    let _ = catch_unwind(AssertUnwindSafe(work));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier, mpsc};

    use super::*;

    #[test]
    fn work_that_waits_for_other_work_is_run_beside_it() {
        let barrier = Arc::new(Barrier::new(MOST_THREADS + 1));
        for _ in 0..MOST_THREADS {
            let barrier = Arc::clone(&barrier);
            run_blocking(move || {
                barrier.wait();
            });
        }
        barrier.wait();
    }

    #[test]
    fn more_work_than_threads_is_all_run() {
        let (done, count) = (Arc::new(AtomicUsize::new(0)), 2_000);
        let (send, receive) = mpsc::channel::<()>();
        for _ in 0..count {
            let (done, send) = (Arc::clone(&done), send.clone());
            run_blocking(move || {
                done.fetch_add(1, Ordering::Relaxed);
                drop(send);
            });
        }
        drop(send);
        assert!(receive.recv().is_err(), "nothing is sent; the channel ends with the last of the work");
        assert_eq!(done.load(Ordering::Relaxed), count);
    }

    #[test]
    fn work_that_panics_takes_no_thread_away() {
        for _ in 0..2 * MOST_THREADS {
            run_blocking(|| std::panic::resume_unwind(Box::new("a panic")));
        }
        let (send, receive) = mpsc::channel();
        run_blocking(move || send.send(7).unwrap_or_default());
        assert_eq!(receive.recv(), Ok(7));
    }
}
