//! What this process has done to a database since it opened it. Counting costs one addition in memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::batch::Batch;
use super::overlay::Put;
use super::transaction::Transaction;
use crate::engine::id::now_ms;

#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often something was done and how long it took, waiting included.
#[derive(Default)]
pub struct Timer {
    count: Counter,
    nanoseconds: Counter,
    longest: AtomicU64,
}

/// What a `Timer` measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    pub count: u64,
    pub total: Duration,
    pub longest: Duration,
}

impl Timer {
    pub fn add(&self, took: Duration) {
        let nanoseconds = took.as_nanos().try_into().unwrap_or(u64::MAX);
        self.count.add(1);
        self.nanoseconds.add(nanoseconds);
        self.longest.fetch_max(nanoseconds, Ordering::Relaxed);
    }

    pub fn measure<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = work();
        self.add(begun.elapsed());
        result
    }

    pub fn read(&self) -> Timing {
        Timing {
            count: self.count.get(),
            total: Duration::from_nanos(self.nanoseconds.get()),
            longest: Duration::from_nanos(self.longest.load(Ordering::Relaxed)),
        }
    }
}

/// The last checkpoint that wrote something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastCheckpoint {
    /// Milliseconds since 1970.
    pub at: u64,
    /// When it ended, by a clock that nobody can set.
    pub ended: Instant,
    pub took: Duration,
}

#[derive(Default)]
pub struct Counters {
    /// Milliseconds since 1970.
    pub opened: u64,
    /// Groups of batches that were written at once.
    pub groups: Counter,
    pub batches: Counter,
    /// Documents that the batches put or deleted.
    pub documents: Counter,
    /// Bytes of the documents that the batches put.
    pub document_bytes: Counter,
    pub journal_bytes: Counter,
    pub snapshot_bytes: Counter,
    pub index_bytes: Counter,
    /// Writes that found a document in another form than they expected, and transactions whose reads were out of date.
    pub conflicts: Counter,
    /// Syncs of the journal.
    pub syncs: Timer,
    /// Times that a writer found the write lock taken.
    pub lock_waits: Timer,
    /// Checkpoints that wrote something.
    pub checkpoints: Timer,
    pub failed_checkpoints: Counter,
    pub last_checkpoint: Mutex<Option<LastCheckpoint>>,
    /// Times that this process found batches of others.
    pub catch_ups: Counter,
    pub caught_up_batches: Counter,
    /// Times that it started over from disk because checkpoints of others had left it behind.
    pub reloads: Counter,
    /// Records and files that broke a rule and were set aside.
    pub set_aside: Counter,
}

impl Counters {
    pub fn new() -> Counters {
        Counters { opened: now_ms(), ..Counters::default() }
    }

    pub fn committed(&self, batches: &[Batch]) {
        self.groups.add(1);
        self.batches.add(batches.len() as u64);
        let changed = batches.iter().flat_map(|batch| batch.collections.values());
        for document in changed.flat_map(|changes| changes.documents.values()) {
            self.documents.add(1);
            self.document_bytes.add(document.as_ref().map_or(0, Put::len));
        }
    }

    pub fn checkpointed(&self, took: Duration) {
        self.checkpoints.add(took);
        *self.last_checkpoint.lock() = Some(LastCheckpoint { at: now_ms(), ended: Instant::now(), took });
    }
}

impl Transaction<'_> {
    /// Counts a write that found another document than it expected and therefore changes nothing.
    pub fn note_conflict(&self) {
        self.database.counters.conflicts.add(1);
    }
}
