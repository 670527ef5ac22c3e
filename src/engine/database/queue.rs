//! The queue of group commit: the first thread to come drains it, and requests that come meanwhile ride along.
//!
//! Invariant: while anything waits, exactly one thread is draining or has been told to.

use std::collections::VecDeque;
use std::mem;

use super::sync::Mutex;

pub struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
}

struct Waiting<T> {
    items: VecDeque<T>,
    /// Whether a thread is draining. It looks at the queue again before it clears this.
    draining: bool,
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        Queue { waiting: Mutex::new(Waiting { items: VecDeque::new(), draining: false }) }
    }

    /// Adds an item. If this returns true, the caller must take items with [`Queue::next_group`] until there are none.
    #[must_use]
    pub fn push(&self, item: T) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.items.push_back(item);
        !mem::replace(&mut waiting.draining, true)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.lock().items.is_empty()
    }

    /// Returns the next items, in their order, at most `most`. If there are none, the calling thread no longer drains
    /// the queue.
    pub fn next_group(&self, most: usize) -> Vec<T> {
        let mut waiting = self.waiting.lock();
        let count = waiting.items.len().min(most);
        waiting.draining = count > 0;
        waiting.items.drain(..count).collect()
    }
}
