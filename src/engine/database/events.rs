//! What a database does of its own accord, for those who watch it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::Database;
use crate::engine::error::Error;

#[derive(Debug, Clone)]
pub enum Event {
    Opened(Opened),
    Checkpointed(Checkpoint),
    CheckpointFailed {
        error: Error,
        took: Duration,
    },
    /// There are warnings that no call will report.
    Warned,
}

/// How this process opened a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Whether no other process had it open, so that it was recovered.
    pub alone: bool,
    pub read_only: bool,
    /// Whether bytes that were never acknowledged were cut from the journal.
    pub cut: bool,
    pub sequence: u64,
    /// Batches that are in the journal and not in every snapshot.
    pub pending_batches: u64,
    pub took: Duration,
}

/// A checkpoint that wrote something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many snapshots were written.
    pub collections: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The snapshots hold every batch up to this one.
    pub covered: u64,
    pub took: Duration,
}

/// Receives each event, on the thread on which it happens and with no lock held. Must not block.
pub trait Observer: Send + Sync {
    fn notice(&self, database: &Database, event: &Event);
}

/// The most events that are kept for the first observer.
const MOST_UNSEEN: usize = 16;

#[derive(Default)]
pub struct Observers {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    known: Vec<Weak<dyn Observer>>,
    unseen: Vec<Event>,
}

impl Database {
    /// Tells an observer of all events from now on, for as long as it lives. The first observer is also told of earlier
    /// events, such as the opening. An observer that is already known is not added again.
    pub fn observe(&self, observer: &Arc<dyn Observer>) {
        let unseen = {
            let mut inner = self.observers.inner.lock();
            inner.known.retain(|known| known.strong_count() > 0);
            if inner.known.iter().any(|known| Weak::ptr_eq(known, &Arc::downgrade(observer))) {
                return;
            }
            inner.known.push(Arc::downgrade(observer));
            std::mem::take(&mut inner.unseen)
        };
        unseen.iter().for_each(|event| observer.notice(self, event));
    }

    pub(super) fn publish(&self, event: Event) {
        let observers: Vec<Arc<dyn Observer>> = {
            let mut inner = self.observers.inner.lock();
            let known: Vec<_> = inner.known.iter().filter_map(Weak::upgrade).collect();
            if known.is_empty() && inner.unseen.len() < MOST_UNSEEN {
                inner.unseen.push(event);
                return;
            }
            known
        };
        observers.iter().for_each(|observer| observer.notice(self, &event));
    }
}
