//! The change feed: every committed batch of every process, in commit order, once for each subscription.
//!
//! Changes are read from the journal lines themselves, which say which documents existed before: lines of this process
//! when they are published, those of others during catch-up, earlier ones from the journals that are kept.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Database;
use super::generations::{check_link, open_generation};
use super::state::Position;
use crate::engine::checksum::Salt;
use crate::engine::document::DocumentId;
use crate::engine::error::{Error, Result};
use crate::engine::fs::OpenMode;
use crate::engine::journal::{Body, LineBuffer, Lines, Op};

/// The most changes that a subscription holds for a slow consumer.
const MAX_CHANGES: usize = 10_000;
/// The most bytes that these changes may take.
const MAX_BYTES: usize = 4 << 20;
/// Bytes that one change takes besides its ids.
const CHANGE_BYTES: usize = 128;

/// What one batch did to one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Documents {
        seq: u64,
        collection: Arc<str>,
        /// Whether the collection was emptied first; the documents of this change came after that.
        dropped: bool,
        created: Vec<DocumentId>,
        updated: Vec<DocumentId>,
        deleted: Vec<DocumentId>,
    },
    /// What changed cannot be told by ids: a file was adopted (`collection` says which), or changes were lost (`None`).
    /// Everything read before must be read again.
    Reset { seq: u64, collection: Option<Arc<str>> },
}

/// One consumer's place in the feed.
pub struct Subscription {
    /// The only collection whose changes are wanted; `None` for all.
    collection: Option<Arc<str>>,
    buffer: Mutex<Buffer>,
    /// Called when there is something to take, and not again until it has been taken.
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Buffer {
    changes: VecDeque<Change>,
    bytes: usize,
    /// The sequence number of the last change that was lost, if any were.
    lost: Option<u64>,
    failed: Option<Error>,
    /// Whether the engine is gone.
    over: bool,
    woken: bool,
}

/// The subscriptions of a database.
#[derive(Default)]
pub struct Feed {
    subscriptions: Mutex<Vec<Weak<Subscription>>>,
    /// Their number, so that commits nobody listens to cost nothing.
    count: AtomicUsize,
    /// Since when other processes could not be followed.
    failing: Mutex<Option<Instant>>,
}

impl Change {
    fn collection(&self) -> Option<&Arc<str>> {
        match self {
            Change::Documents { collection, .. } => Some(collection),
            Change::Reset { collection, .. } => collection.as_ref(),
        }
    }

    fn size(&self) -> usize {
        let ids = |ids: &[DocumentId]| -> usize {
            let len = |id: &DocumentId| match id {
                DocumentId::Number(_) => 0,
                DocumentId::Text(text) => text.len(),
            };
            ids.iter().map(|id| mem::size_of::<DocumentId>() + len(id)).sum()
        };
        match self {
            Change::Reset { .. } => CHANGE_BYTES,
            Change::Documents { created, updated, deleted, .. } => {
                CHANGE_BYTES + ids(created) + ids(updated) + ids(deleted)
            }
        }
    }
}

impl Subscription {
    /// Takes the changes since the last call, in commit order. If changes were lost, one [`Change::Reset`] stands for
    /// all of them.
    ///
    /// # Errors
    /// The error that kept the database from following other processes; the subscription has then ended.
    pub fn take(&self) -> Result<Vec<Change>> {
        let mut buffer = self.buffer.lock();
        buffer.woken = false;
        buffer.bytes = 0;
        let mut changes: Vec<Change> = mem::take(&mut buffer.changes).into();
        if let Some(seq) = buffer.lost.take() {
            changes.insert(0, Change::Reset { seq, collection: None });
        }
        match buffer.failed.clone() {
            Some(error) if changes.is_empty() => Err(error),
            _ => Ok(changes),
        }
    }

    /// Whether no more changes will come, because the engine is gone. To receive more, subscribe to the engine that
    /// took its place.
    pub fn is_over(&self) -> bool {
        self.buffer.lock().over
    }

    fn push(&self, change: &Change) {
        let wanted = self.collection.is_none()
            || change.collection().is_none()
            || self.collection.as_ref() == change.collection();
        if !wanted {
            return;
        }
        let mut buffer = self.buffer.lock();
        let size = change.size();
        let (seq, lost) = match change {
            Change::Documents { seq, .. } => (*seq, false),
            Change::Reset { seq, collection } => (*seq, collection.is_none()),
        };
        if lost || buffer.changes.len() >= MAX_CHANGES || buffer.bytes + size > MAX_BYTES {
            // Changes that are not taken yet count as lost too.
            buffer.changes = VecDeque::new();
            buffer.bytes = 0;
            buffer.lost = Some(seq);
        } else {
            buffer.bytes += size;
            buffer.changes.push_back(change.clone());
        }
        self.wake(buffer);
    }

    fn fail(&self, error: &Error) {
        let mut buffer = self.buffer.lock();
        buffer.failed = Some(error.clone());
        self.wake(buffer);
    }

    fn wake(&self, mut buffer: parking_lot::MutexGuard<'_, Buffer>) {
        let first = !mem::replace(&mut buffer.woken, true);
        drop(buffer);
        if first {
            (self.wake)();
        }
    }
}

impl Feed {
    /// Whether nobody listens.
    pub fn is_idle(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Whether nobody listens any more, after dropping subscriptions without an owner.
    pub fn is_unheard(&self) -> bool {
        self.each(|_| {});
        self.is_idle()
    }

    fn add(&self, subscription: &Arc<Subscription>) {
        let mut subscriptions = self.subscriptions.lock();
        subscriptions.push(Arc::downgrade(subscription));
        self.count.store(subscriptions.len(), Ordering::Relaxed);
    }

    /// Visits the subscriptions that still have an owner.
    fn each(&self, visit: impl Fn(&Subscription)) {
        let live: Vec<Arc<Subscription>> = {
            let mut subscriptions = self.subscriptions.lock();
            subscriptions.retain(|subscription| subscription.strong_count() > 0);
            self.count.store(subscriptions.len(), Ordering::Relaxed);
            subscriptions.iter().filter_map(Weak::upgrade).collect()
        };
        live.iter().for_each(|subscription| visit(subscription));
    }

    /// Publishes one committed batch. The `writer` mutex is held, which keeps the order.
    pub fn publish(&self, body: &Body<'_>) {
        if self.is_idle() {
            return;
        }
        let changes = changes_of(body);
        self.each(|subscription| changes.iter().for_each(|change| subscription.push(change)));
    }

    /// Publishes lines that this process appended.
    pub fn publish_lines(&self, lines: &LineBuffer, salt: Salt, before: Position) {
        if !self.is_idle() {
            let lines = lines.whole();
            Lines::new(&lines, salt, 0, before.seq, before.checksum)
                .for_each(|line| self.publish(&line.body));
        }
    }

    /// Tells all subscriptions that changes up to `seq` are lost.
    pub fn reset(&self, seq: u64) {
        self.each(|subscription| subscription.push(&Change::Reset { seq, collection: None }));
    }

    /// Tells all subscriptions that the engine is gone.
    pub fn end(&self) {
        self.each(|subscription| {
            let mut buffer = subscription.buffer.lock();
            buffer.over = true;
            subscription.wake(buffer);
        });
    }

    /// Records whether others could be followed. While another process puts data back, after a failed migration or
    /// during a restore, files are missing for a moment, so subscriptions are told only of an error that lasts for
    /// `patience`.
    pub fn follow(&self, followed: Result<()>, patience: Duration) {
        let mut failing = self.failing.lock();
        match followed {
            Ok(()) => *failing = None,
            Err(error) if failing.get_or_insert_with(Instant::now).elapsed() >= patience => {
                self.each(|subscription| subscription.fail(&error));
            }
            Err(_) => {}
        }
    }
}

impl Database {
    /// Returns the sequence number of the last batch in memory.
    pub fn known_sequence(&self) -> u64 {
        self.position().seq
    }

    /// Returns the sequence number of the last batch that any process has acknowledged. The batches of calls that begin now
    /// come after it.
    pub fn acknowledged_sequence(&self) -> u64 {
        let known = self.known_sequence();
        self.tip.as_ref().map_or(known, |tip| known.max(tip.seq()))
    }

    /// Catches up with other processes, and returns the sequence number of the last batch.
    pub fn sequence(&self) -> Result<u64> {
        let mut writer = self.writer.lock();
        self.catch_up(&mut writer)?;
        Ok(self.position().seq)
    }

    /// Subscribes to the changes after batch `from`, or to those from now on. If the journals that are kept do not
    /// reach back to `from`, the first change is one [`Change::Reset`]. `wake` must not block. The subscription ends
    /// when it is dropped. Returns it with the sequence number that it starts after.
    pub fn subscribe(
        &self,
        collection: Option<Arc<str>>,
        from: Option<u64>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Arc<Subscription>, u64)> {
        let subscription =
            Arc::new(Subscription { collection, buffer: Mutex::default(), wake: Box::new(wake) });
        let start = {
            let mut writer = self.writer.lock();
            self.catch_up(&mut writer)?;
            let position = self.position();
            if let Some(from) = from
                && !self.replay(from, position, &subscription)
            {
                subscription.push(&Change::Reset { seq: position.seq, collection: None });
            }
            // The next commit needs the `writer` mutex, which is held here: no change is missed and none comes twice.
            self.feed.add(&subscription);
            from.unwrap_or(position.seq)
        };
        self.watch();
        Ok((subscription, start))
    }

    /// Pushes the changes after batch `from` up to `position`. Returns false if the journals no longer hold all of
    /// them.
    fn replay(&self, from: u64, position: Position, subscription: &Subscription) -> bool {
        if from == position.seq {
            return true;
        }
        if from > position.seq {
            // The number comes from another database, or from before a backup was restored.
            return false;
        }
        let database = self.state.read().database;
        let mut generations = Vec::new();
        for number in (1..=position.generation).rev() {
            let Ok(Some(generation)) = open_generation(&*self.fs, &self.directory, number, OpenMode::Read)
            else {
                return false;
            };
            if generation.header.database != database {
                return false;
            }
            let first = generation.header.seq;
            // A generation without a predecessor replaced what was there, in a repair or a restore: what changed with
            // it cannot be told.
            if generation.header.previous.is_none() && number > 1 && from <= first {
                return false;
            }
            let whole = match generations.last() {
                Some(newer) => check_link(&generation, newer).is_ok(),
                None => {
                    let mut seqs = generation.lines(generation.bytes.len()).map(|line| line.body.seq);
                    first == position.seq || seqs.any(|seq| seq == position.seq)
                }
            };
            if !whole {
                return false;
            }
            generations.push(generation);
            if first <= from {
                break;
            }
        }
        if generations.last().is_none_or(|oldest| oldest.header.seq > from) {
            return false;
        }
        for generation in generations.iter().rev() {
            let end = generation.bytes.len();
            for line in generation.lines(end).take_while(|line| line.body.seq <= position.seq) {
                if line.body.seq > from {
                    changes_of(&line.body).iter().for_each(|change| subscription.push(change));
                }
            }
        }
        true
    }
}

/// Returns what a batch did, one change for each collection, in the order of its operations.
fn changes_of(body: &Body<'_>) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for op in &body.ops {
        let Some(change) = change_of(body.seq, op) else { continue };
        let earlier = changes.iter().position(|earlier| earlier.collection() == change.collection());
        match earlier {
            Some(at) => changes[at] = joined(changes[at].clone(), change),
            None => changes.push(change),
        }
    }
    changes
}

fn change_of(seq: u64, op: &Op<'_>) -> Option<Change> {
    let id = |key: &String| DocumentId::from_key(key);
    if op.adopted
        && let Some(path) = &op.snapshot
    {
        return Some(Change::Reset { seq, collection: Some(path.as_str().into()) });
    }
    let (collection, dropped) = match (&op.drop, &op.collection) {
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        (None, None) => return None,
    };
    let replaced: std::collections::HashSet<&str> = op.replaced.iter().map(String::as_str).collect();
    let (updated, created): (Vec<_>, Vec<_>) = op.put_keys().partition(|key| replaced.contains(key));
    let ids = |keys: Vec<&str>| keys.into_iter().map(DocumentId::from_key).collect();
    Some(Change::Documents {
        seq,
        collection: collection.as_str().into(),
        dropped,
        created: ids(created),
        updated: ids(updated),
        deleted: op.delete.iter().map(id).collect(),
    })
}

/// Joins two changes that one batch made to one collection.
fn joined(earlier: Change, later: Change) -> Change {
    match (earlier, later) {
        (
            // A line drops a collection before it puts anything into it.
            Change::Documents { seq, collection, dropped, mut created, mut updated, mut deleted },
            Change::Documents { created: c, updated: u, deleted: d, .. },
        ) => {
            created.extend(c);
            updated.extend(u);
            deleted.extend(d);
            Change::Documents { seq, collection, dropped, created, updated, deleted }
        }
        // A reset says that everything must be read again, whatever else changed.
        (reset @ Change::Reset { .. }, _) | (_, reset @ Change::Reset { .. }) => reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listener to one collection or to all, and how often it was woken.
    fn listener(collection: Option<&str>) -> (Subscription, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let wake = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let collection = collection.map(Arc::from);
        (Subscription { collection, buffer: Mutex::default(), wake }, woken)
    }

    fn created(seq: u64, id: &str) -> Change {
        Change::Documents {
            seq,
            collection: "items.json".into(),
            dropped: false,
            created: vec![DocumentId::from_key(id)],
            updated: Vec::new(),
            deleted: Vec::new(),
        }
    }

    fn lost(seq: u64) -> Change {
        Change::Reset { seq, collection: None }
    }

    #[test]
    fn too_many_pending_changes_become_one_reset_followed_by_later_changes() {
        let (listener, woken) = listener(None);
        let last = MAX_CHANGES as u64 + 2;
        (1..=last).for_each(|seq| listener.push(&created(seq, "1")));
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        let after_loss = MAX_CHANGES as u64 + 1;
        assert_eq!(listener.take().expect("changes"), [lost(after_loss), created(last, "1")]);
    }

    #[test]
    fn pending_ids_that_are_too_long_in_total_become_one_reset() {
        let (listener, _) = listener(None);
        let id = "x".repeat(MAX_BYTES / 2);
        for seq in [1, 2] {
            listener.push(&created(seq, &id));
            assert_eq!(listener.take().expect("changes"), [created(seq, &id)]);
        }
        (3..=5).for_each(|seq| listener.push(&created(seq, &id)));
        assert_eq!(listener.take().expect("changes"), [lost(4), created(5, &id)]);
    }

    #[test]
    fn a_loss_of_changes_replaces_the_pending_changes_of_a_collection_listener() {
        let (listener, _) = listener(Some("items.json"));
        listener.push(&created(1, "1"));
        listener.push(&lost(2));
        assert_eq!(listener.take().expect("changes"), [lost(2)]);
    }

    #[test]
    fn pending_changes_are_delivered_before_a_failure() {
        let (listener, _) = listener(None);
        listener.push(&created(1, "1"));
        listener.fail(&Error::Closed);
        assert_eq!(listener.take().expect("changes"), [created(1, "1")]);
        assert_eq!(listener.take().map_err(|error| error.code()), Err("CLOSED"));
    }

    #[test]
    fn a_failure_is_reported_only_once_it_lasts_and_a_success_resets_it() {
        let (feed, listener) = (Feed::default(), Arc::new(listener(None).0));
        feed.add(&listener);
        feed.follow(Err(Error::Closed), Duration::MAX);
        assert!(feed.failing.lock().is_some() && listener.take().is_ok());
        feed.follow(Ok(()), Duration::ZERO);
        assert!(feed.failing.lock().is_none());
        feed.follow(Err(Error::Closed), Duration::ZERO);
        assert!(listener.take().is_err());
    }

    #[test]
    fn a_batch_that_adopts_a_file_is_one_reset_of_its_collection() {
        let body = br#"{"seq":7,"prev":"0000000000000000","durable":6,"ops":[
            {"snapshot":"items.json","record":{"hash":"00000000000000000000000000000000","size":2,"covers":0,"layout":"map"},"adopted":true},
            {"in":"items.json","put":{"1":{"id":1}},"delete":["2"]}]}"#;
        let body = serde_json::from_slice(body).expect("a batch");
        assert_eq!(changes_of(&body), [Change::Reset { seq: 7, collection: Some("items.json".into()) }]);
    }
}
