//! The queue of group commit with loom's locks: `cargo test --manifest-path loom/Cargo.toml` tries every interleaving of
//! three threads.
#![cfg(test)]

#[path = "../../src/engine/database/queue.rs"]
mod queue;

/// The interface of `parking_lot`'s locks over loom's mutex.
mod sync {
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("nobody panics")
        }
    }
}

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use queue::Queue;

/// What the threads share: the queue, the number of threads that drain it, and what was taken from it.
struct Shared {
    queue: Queue<(usize, usize)>,
    draining: AtomicUsize,
    taken: sync::Mutex<Vec<(usize, usize)>>,
}

impl Shared {
    fn submit(&self, item: (usize, usize), most: usize) {
        if !self.queue.push(item) {
            return;
        }
        loop {
            assert_eq!(self.draining.fetch_add(1, Ordering::SeqCst), 0, "two threads drain at once");
            self.draining.fetch_sub(1, Ordering::SeqCst);
            let group = self.queue.next_group(most);
            if group.is_empty() {
                return;
            }
            assert!(group.len() <= most);
            self.taken.lock().extend(group);
        }
    }
}

/// Each of three threads adds `items`. Afterwards all were taken, those of each thread in their order.
fn every_interleaving(items: usize, most: usize) {
    loom::model(move || {
        let shared = Arc::new(Shared {
            queue: Queue::new(),
            draining: AtomicUsize::new(0),
            taken: sync::Mutex::new(Vec::new()),
        });
        let work = move |shared: &Shared, thread: usize| {
            (0..items).for_each(|number| shared.submit((thread, number), most));
        };
        let others: Vec<_> = (1..3)
            .map(|thread| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || work(&shared, thread))
            })
            .collect();
        work(&shared, 0);
        others.into_iter().for_each(|thread| thread.join().expect("no panic"));
        let taken = shared.taken.lock();
        for thread in 0..3 {
            let own: Vec<usize> = taken.iter().filter(|item| item.0 == thread).map(|item| item.1).collect();
            assert_eq!(own, (0..items).collect::<Vec<_>>(), "items of thread {thread}");
        }
    });
}

#[test]
fn every_request_queued_by_three_threads_is_taken_exactly_once() {
    every_interleaving(1, 4096);
}

#[test]
fn every_queued_request_is_taken_exactly_once_in_groups_of_one() {
    every_interleaving(1, 1);
}
