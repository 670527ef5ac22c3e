//! Checkpoints that nobody asked for: one thread for all databases of the process, alive only while one of them has
//! something to write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Database, Event, WarningCode};
use crate::engine::error::Error;

/// An idle database whose checkpoint is cheap gets it after this time, so that the JSON a person opens is current.
const SOON: Duration = Duration::from_millis(800);
/// Any idle database gets it after this time.
const LATE: Duration = Duration::from_secs(10);
/// Snapshots up to this size are always cheap.
const SMALL: u64 = 1 << 20;
/// Under sustained writing the journal grows at least to this size before a checkpoint.
const JOURNAL: u64 = 16 << 20;
/// Up to this size the journal may grow to three times the size of the snapshots, beyond it only to their size.
const LONG: u64 = 128 << 20;

/// Returns how long the journal may get before a checkpoint, given the size of the snapshots: rewriting them then costs
/// a third of what was written since, or as much if they are large.
fn longest_journal(snapshots: u64) -> u64 {
    JOURNAL.max(snapshots).max((3 * snapshots).min(LONG))
}

/// The thread looks again whenever the journal has grown by this much.
const STEP: u64 = JOURNAL / 4;

/// What was written and when, to decide when to checkpoint.
#[derive(Default)]
pub struct Activity {
    written: AtomicU64,
    checkpointed: AtomicU64,
    /// The number of whole steps that were pending when [`Activity::has_grown`] was last called.
    steps: AtomicU64,
    last_write: Mutex<Option<Instant>>,
}

impl Activity {
    pub fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
        *self.last_write.lock() = Some(Instant::now());
    }

    /// Returns the bytes written to journals since the database was opened.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Records that the first `written` bytes are in the snapshots, or need no further attempt to get them there.
    pub fn checkpointed(&self, written: u64) {
        self.checkpointed.fetch_max(written, Ordering::Relaxed);
    }

    /// Whether the journal has grown by another step since the last call.
    fn has_grown(&self) -> bool {
        let steps = self.pending() / STEP;
        self.steps.swap(steps, Ordering::Relaxed) < steps
    }

    pub fn pending(&self) -> u64 {
        self.written().saturating_sub(self.checkpointed.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Schedule {
    databases: Vec<Weak<Database>>,
    running: bool,
}

static SCHEDULE: Mutex<Schedule> = Mutex::new(Schedule { databases: Vec::new(), running: false });
static CHANGED: Condvar = Condvar::new();

impl Database {
    /// Lets the background thread look after this database.
    pub(super) fn background_after_write(&self) {
        if !self.options.background || self.background.pending() == 0 {
            return;
        }
        let Some(this) = self.this.upgrade() else { return };
        let mut schedule = SCHEDULE.lock();
        let known = schedule.databases.iter().any(|known| known.as_ptr() == Arc::as_ptr(&this));
        if !known {
            schedule.databases.push(Arc::downgrade(&this));
        }
        if !schedule.running {
            let spawned = thread::Builder::new().name("storage-checkpoint".into()).spawn(run);
            // If no thread can be started, the next write tries again, and closing checkpoints in any case.
            schedule.running = spawned.is_ok();
        }
        // The thread looks again by itself before the next checkpoint can be due, unless much is written at once.
        // Waking it for each write would cost the writer more than everything else here.
        if !known || self.background.has_grown() {
            CHANGED.notify_one();
        }
    }

    /// Schedules a checkpoint of what an earlier process left in the journals, as if it had just been written.
    pub(super) fn background_after_opening(&self) {
        let left: u64 = {
            let state = self.state.read();
            state.changed().map(|(_, collection)| collection.changed_bytes() + 1).sum()
        };
        if left > 0 {
            self.background.wrote(left);
            self.background_after_write();
        }
    }

    /// Returns when the next checkpoint is due; `None` if there is nothing to write.
    fn checkpoint_due(&self) -> Option<Instant> {
        let pending = self.background.pending();
        let last_write = (*self.background.last_write.lock())?;
        if pending == 0 {
            return None;
        }
        let snapshots = self.dirty_snapshot_bytes();
        if pending >= longest_journal(snapshots) {
            return Some(last_write);
        }
        let cheap = snapshots <= SMALL || pending >= snapshots;
        Some(last_write + if cheap { SOON } else { LATE })
    }

    /// Checkpoints without anybody waiting for it: what goes wrong is reported as a warning. After a failure, the next
    /// write schedules another attempt. What is written meanwhile stays pending in any case.
    fn checkpoint_in_background(&self) {
        let written = self.background.written();
        // Closing the database checkpoints too, and the files may be removed after that.
        let is_wanted = || self.background.pending() > 0;
        match self.checkpoint_or_warn_if(self.wait(), &is_wanted) {
            Ok(()) => {}
            Err(error) => {
                let message = match error {
                    // Its journal is gone too.
                    Error::Replaced { .. } => error.to_string(),
                    error => format!(
                        "a checkpoint of {} failed: {error}; the journal keeps everything until one succeeds",
                        self.directory.display()
                    ),
                };
                self.warn(WarningCode::CheckpointFailed, message);
                self.publish(Event::Warned);
            }
        }
        self.background.checkpointed(written);
    }

    fn dirty_snapshot_bytes(&self) -> u64 {
        let state = self.state.read();
        state.changed().map(|(path, _)| state.snapshot_size(path)).sum()
    }
}

fn run() {
    let mut schedule = SCHEDULE.lock();
    loop {
        let due: Vec<(Instant, Arc<Database>)> = {
            schedule.databases.retain(|database| database.strong_count() > 0);
            let databases = schedule.databases.iter().filter_map(Weak::upgrade);
            databases.filter_map(|database| database.checkpoint_due().map(|due| (due, database))).collect()
        };
        schedule.databases = due.iter().map(|(_, database)| Arc::downgrade(database)).collect();
        let Some((next, database)) = due.into_iter().min_by_key(|(due, _)| *due) else {
            schedule.running = false;
            return;
        };
        if next > Instant::now() {
            // The database may be dropped meanwhile; holding it here would keep it open.
            drop(database);
            // Writes may make it due earlier, but no earlier than this without waking the thread.
            CHANGED.wait_until(&mut schedule, next.min(Instant::now() + SOON));
            continue;
        }
        parking_lot::MutexGuard::unlocked(&mut schedule, || {
            database.checkpoint_in_background();
            drop(database);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::database::{CollectionSpec, DatabaseOptions};
    use crate::engine::fs::{Call, Fault, Repeat, SimFs};
    use crate::engine::lock::Wait;
    use crate::engine::options::Durability;

    fn put(database: &Database, id: u64) {
        let spec = Arc::new(CollectionSpec::plain("items.json"));
        database
            .write(Durability::Full, move |tx| tx.put(&spec, id.into(), b"{}".to_vec()))
            .expect("written");
    }

    /// A database with a document that a checkpoint must write.
    fn database() -> (SimFs, Arc<Database>) {
        let fs = SimFs::new();
        fs.make_dirs("/database");
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let database = Database::open(fs.handle(), Path::new("/database"), options).expect("opens");
        put(&database, 1);
        (fs, database)
    }

    fn begins_snapshot(call: &Call) -> bool {
        matches!(call, Call::Open { .. }) && call.name().starts_with("new-")
    }

    #[test]
    fn a_background_checkpoint_with_nothing_left_to_do_touches_no_file() {
        let (fs, database) = database();
        // What closing the database does while the background thread waits to do the same.
        database.checkpoint(Wait::at_most(Duration::from_secs(5))).expect("checkpointed");
        let before = fs.calls();
        database.checkpoint_in_background();
        assert_eq!(fs.calls(), before);
    }

    #[test]
    fn a_write_during_a_background_checkpoint_makes_another_one_due() {
        let (fs, database) = database();
        let writing = Arc::clone(&database);
        fs.before(begins_snapshot, move || put(&writing, 2));
        database.checkpoint_in_background();
        assert!(database.checkpoint_due().is_some());
        database.checkpoint_in_background();
        assert!(database.checkpoint_due().is_none());
    }

    #[test]
    fn a_failed_background_checkpoint_is_due_again_after_the_next_write() {
        let (fs, database) = database();
        fs.fail_when(begins_snapshot, Fault::Io, Repeat::Once);
        database.checkpoint_in_background();
        assert!(database.checkpoint_due().is_none());
        put(&database, 2);
        assert!(database.checkpoint_due().is_some());
    }

    #[test]
    fn the_journal_length_that_triggers_a_checkpoint_grows_with_the_snapshots() {
        assert_eq!(longest_journal(0), JOURNAL);
        assert_eq!(longest_journal(23 << 20), 69 << 20);
        assert_eq!(longest_journal(100 << 20), LONG);
        assert_eq!(longest_journal(200 << 20), 200 << 20);
    }
}
