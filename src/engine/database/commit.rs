//! Group commit: writers queue, and one of them drains the queue.
//!
//! The requests of a group run one after another, each over the changes of those before it. Then all lines of the group
//! go to the journal in one write and one sync, memory is published, the tip moves, and the requests are answered.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::batch::Batch;
use super::document_file::give_up_documents;
use super::overlay::{Group, Pending, Put};
use super::recent::RecentChanges;
use super::state::{Change, Content, Loaded, Position, Prepared, State};
use super::transaction::Transaction;
use super::writer::Writer;
use super::{Database, Mutant};
use crate::engine::cancel::{self, Cancel};
use crate::engine::document::DocumentId;
use crate::engine::document_map::{Location, Revision};
use crate::engine::error::{Error, Result};
use crate::engine::journal::{LineBuffer, encode_batch, push_documents};
use crate::engine::json;
use crate::engine::lock::Wait;
use crate::engine::options::Durability;

/// A group ends when its lines reach this many bytes, so that its first requests do not wait for ever.
const GROUP_BYTES: usize = 8 << 20;
const GROUP_REQUESTS: usize = 4096;

#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    pub durability: Durability,
    pub wait: Wait,
}

/// A write that waits for its turn.
pub struct Request {
    job: Box<dyn Job>,
    options: WriteOptions,
    cancel: Cancel,
}

trait Job: Send {
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<()>;
    fn finish(self: Box<Self>, result: Result<()>);
}

struct TypedJob<T, F, D> {
    work: Option<F>,
    value: Option<T>,
    done: D,
}

impl<T, F, D> Job for TypedJob<T, F, D>
where
    T: Send,
    F: FnOnce(&mut Transaction<'_>) -> Result<T> + Send,
    D: FnOnce(Result<T>) + Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<()> {
        let work = self.work.take().ok_or(Error::Closed)?;
        self.value = Some(work(transaction)?);
        Ok(())
    }

    fn finish(self: Box<Self>, result: Result<()>) {
        let value = self.value;
        (self.done)(result.and_then(|()| value.ok_or(Error::Closed)));
    }
}

/// Answers a request. A callback that panics must not keep other requests from being answered.
fn answer(job: Box<dyn Job>, result: Result<()>) {
    let _ = catch_unwind(AssertUnwindSafe(|| job.finish(result)));
}

impl Request {
    /// Creates a request. `work` makes the changes; `done` is called, on the thread that drains the queue, when they
    /// are committed or have failed.
    pub fn new<T: Send + 'static>(
        options: WriteOptions,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) -> Request {
        let job = Box::new(TypedJob { work: Some(work), value: None, done });
        Request { job, options, cancel: Cancel::default() }
    }

    /// Lets the caller give the request up while it waits; it then changes nothing. A request whose turn has come is
    /// completed.
    pub fn unless(self, cancel: Cancel) -> Request {
        Request { cancel, ..self }
    }

    /// Answers the request with an error instead of running it.
    pub fn fail(self, error: Error) {
        answer(self.job, Err(error));
    }
}

impl Database {
    /// Queues a write. If this returns true, the caller must see to it that [`Database::drain`] runs soon, on a
    /// thread that may block.
    #[must_use]
    pub fn submit(&self, request: Request) -> bool {
        self.queue.push(request)
    }

    /// Commits queued requests until the queue is empty.
    pub fn drain(&self) {
        self.drain_until(|| !self.commit_next_group());
    }

    /// Like [`Database::drain`], but stays awake for a moment if the next request is likely to come at once.
    pub fn drain_and_linger(&self) {
        self.drain_until(|| {
            let drained = !self.commit_next_group();
            if !drained {
                // This must not keep a database open that everybody else has closed.
                self.linger.wait(|| !self.queue.is_empty() || self.this.strong_count() == 1);
            }
            drained
        });
    }

    fn drain_until(&self, drained: impl Fn() -> bool) {
        // The thread may be inside a call of its own; the caller of that one must not be able to cancel what others
        // write.
        cancel::without_caller(|| while !drained() {});
    }

    /// Commits one group. Returns false if nothing was queued; this thread then no longer drains the queue.
    fn commit_next_group(&self) -> bool {
        let group = self.queue.next_group(GROUP_REQUESTS);
        if group.is_empty() {
            return false;
        }
        self.commit(group);
        true
    }

    /// Queues a write and blocks until it is answered. This thread drains the queue if no other one does.
    pub fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let answer = Arc::clone(&slot);
        let done = move |result| {
            *answer.0.lock() = Some(result);
            answer.1.notify_one();
        };
        if self.submit(Request::new(WriteOptions { durability, wait: self.wait() }, work, done)) {
            self.drain();
        }
        let mut result = slot.0.lock();
        loop {
            match result.take() {
                Some(result) => return result,
                None => slot.1.wait(&mut result),
            }
        }
    }

    fn commit(&self, group: Vec<Request>) {
        let mut answers = Vec::with_capacity(group.len());
        let mut spent = Spent::default();
        let mut rest: VecDeque<Request> = group.into();
        // Waits until the earliest deadline. Requests whose time is up then leave, and the others go on waiting.
        while let Some(wait) =
            rest.iter().map(|request| request.options.wait).min_by_key(|wait| wait.deadline)
        {
            let given_up = || match rest.iter().any(|request| request.cancel.is_raised()) {
                true => Err(Error::Aborted("the call")),
                false => Ok(()),
            };
            match self.acquire_unless(wait, given_up) {
                Ok(mut held) => {
                    while !rest.is_empty() {
                        self.commit_group(&mut held, &mut rest, &mut answers, &mut spent);
                    }
                }
                Err(error) => {
                    let now = Instant::now();
                    let (leaving, staying): (VecDeque<_>, VecDeque<_>) =
                        rest.into_iter().partition(|request| match error {
                            Error::LockTimeout { .. } => request.options.wait.deadline <= now,
                            Error::Aborted(_) => request.cancel.is_raised(),
                            _ => true,
                        });
                    rest = staying;
                    leaving.into_iter().for_each(|request| request.fail(error.clone()));
                }
            }
        }
        self.background_after_write();
        answers.into_iter().for_each(|(job, result)| answer(job, result));
    }

    /// Takes requests from the front of `rest` until a group is full, and commits it. The write lock is held.
    fn commit_group(
        &self,
        writer: &mut Writer,
        rest: &mut VecDeque<Request>,
        answers: &mut Vec<(Box<dyn Job>, Result<()>)>,
        spent: &mut Spent,
    ) {
        let mut group = Group::default();
        let mut batches = Vec::new();
        let mut waiting = Vec::new();
        let (mut sync, mut size) = (false, 0);
        while size < GROUP_BYTES
            && let Some(mut request) = rest.pop_front()
        {
            let mut transaction = Transaction::new(self, writer, &mut group);
            let run = catch_unwind(AssertUnwindSafe(|| {
                request.cancel.begin()?;
                // A sync may have failed in an earlier group, or in an adoption within this one.
                self.check_poison()?;
                request.job.run(&mut transaction)
            }));
            let run = run
                .unwrap_or_else(|_| Err(Error::InvalidArgument("the write panicked; this is a bug".into())));
            match run {
                Ok(()) => {
                    let batch = transaction.finish();
                    // A power loss must not keep the removal of files and lose the line that says why they are missing.
                    sync |= request.options.durability == Durability::Full || batch.removes_files();
                    size += batch.size();
                    waiting.push(request.job);
                    if !batch.is_empty() {
                        batches.push(batch);
                    }
                }
                Err(error) => {
                    drop(transaction);
                    answers.push((request.job, Err(error)));
                }
            }
        }
        let result = if !batches.is_empty() {
            self.commit_batches(writer, &batches, group, sync, &mut spent.lines)
        } else if sync {
            // A durable write that changes nothing still promises that what it found is durable, even if that was
            // written without a sync.
            self.make_durable(writer)
        } else {
            Ok(())
        };
        answers.extend(waiting.into_iter().map(|job| (job, result.clone())));
        spent.batches = batches;
    }

    /// Appends batches to the journal, durably if `sync` is set, and makes them visible. The write lock is held and
    /// memory is up to date.
    pub(super) fn commit_batches(
        &self,
        writer: &mut Writer,
        batches: &[Batch],
        group: Group,
        sync: bool,
        lines: &mut LineBuffer,
    ) -> Result<()> {
        let (salt, journal, before) = {
            let state = self.state.read();
            (state.salt(), state.journal, state.position)
        };
        let files = self.settle_documents(batches, before.generation)?;
        *lines = LineBuffer::with_capacity(batches.len() * LINE);
        let mut located = Located::default();
        let mut after = before;
        for batch in batches {
            after.seq += 1;
            let mut ops =
                |out: &mut LineBuffer| encode_ops(out, batch, after.seq, before.end, journal, &mut located);
            after.checksum = encode_batch(lines, salt, after.seq, after.checksum, before.durable, &mut ops);
        }
        after.end += lines.len() as u64;
        if sync {
            self.make_room(writer, before.end, lines.len() as u64);
        }
        if let Err(error) = self.append(writer, lines, before, sync) {
            give_up_documents(&files, &error);
            return Err(error);
        }
        if sync {
            writer.synced = Some(Instant::now());
            after.durable = after.seq;
        }
        let late_tip = self.is_mutant(Mutant::AcknowledgeBeforeTip);
        {
            let mut state = self.state.write();
            publish(&mut state, group, located, after, self.fs.now_ms());
            for (seq, batch) in (before.seq + 1..).zip(batches) {
                state.removals.extend(batch.removed_paths.iter().map(|(path, _)| (path.to_owned(), seq)));
                state.cancel_removals(&batch.kept_paths);
                batch.remember(seq, &mut state.recent);
            }
            // The tip moves before any reader can see the batches: whoever keeps what it read looks at the tip to learn
            // that it is stale.
            if !late_tip {
                self.move_tip(after.generation, after.seq, after.end);
            }
        }
        self.counters.committed(batches);
        let in_files: u64 = files.iter().map(|file| u64::from(file.size())).sum();
        self.background.wrote(lines.len() as u64 + in_files);
        self.feed.publish_lines(lines, salt, before);
        let kept =
            batches.iter().flat_map(|batch| &batch.kept_paths).map(|path| (path.clone(), ())).collect();
        for batch in batches {
            self.remove_from_disk(batch, &kept);
        }
        Ok(())
    }
}

/// Memory that the last group needed. Freeing many megabytes takes milliseconds, so it is freed after all requests are
/// answered.
#[derive(Default)]
struct Spent {
    batches: Vec<Batch>,
    lines: LineBuffer,
}

/// Bytes reserved for each line. Most batches need no more, because long documents are not copied into the line.
const LINE: usize = 512;

/// For each document that a group changed in a collection, where it is (`None` if it was deleted) and the sequence number
/// of the batch that put it there.
type Places = BTreeMap<DocumentId, (Option<Location>, u64)>;

/// Where the documents of a group are, and the sequence number at which each collection was dropped.
#[derive(Default)]
struct Located {
    documents: BTreeMap<Arc<str>, Places>,
    drops: BTreeMap<Arc<str>, u64>,
}

fn encode_ops(
    out: &mut LineBuffer,
    batch: &Batch,
    seq: u64,
    base: u64,
    journal: crate::engine::document_map::FileId,
    located: &mut Located,
) {
    let mut separator: &[u8] = b"";
    let mut next = |out: &mut LineBuffer| out.push(mem::replace(&mut separator, b","));
    for (path, _) in batch.removed_paths.iter() {
        next(out);
        out.push(format!("{{\"remove\":{}}}", json::quote(path)).as_bytes());
    }
    // These follow the removals, because a path that this batch removed and needs again must not be removed once more.
    for path in &batch.kept_paths {
        next(out);
        out.push(format!("{{\"keep\":{}}}", json::quote(path)).as_bytes());
    }
    for (path, changes) in &batch.collections {
        if changes.dropped {
            next(out);
            out.push(format!("{{\"drop\":{}}}", json::quote(path)).as_bytes());
            located.drops.insert(Arc::clone(path), seq);
            // Nothing remains of what earlier batches put there.
            located.documents.remove(path);
        }
        if changes.documents.is_empty() {
            continue;
        }
        next(out);
        let put = changes.documents.iter().filter_map(|(id, put)| match put {
            Some(Put::Text(document)) => Some((id, &document.text)),
            _ => None,
        });
        let placed = |put: &Option<Put>| match put {
            Some(Put::File(file)) => file.place(),
            _ => None,
        };
        let large = changes.documents.iter().filter_map(|(id, put)| Some((id, placed(put)?.1)));
        let delete = changes.documents.iter().filter(|(_, document)| document.is_none()).map(|(id, _)| id);
        let located = located.documents.entry(Arc::clone(path)).or_default();
        let replaced =
            changes.existing.iter().filter(|id| matches!(changes.documents.get(id), Some(Some(_))));
        let in_files = changes.documents.iter().filter_map(|(id, put)| Some((id, placed(put)?.0)));
        located.extend(in_files.map(|(id, location)| (id.clone(), (Some(location), seq))));
        push_documents(out, path, put, large, delete, replaced, |id, place| {
            let location = match (changes.documents.get(id), place) {
                (Some(Some(Put::Text(document))), Some((at, len))) => Some(Location {
                    offset: base + at as u64,
                    hash: document.hash,
                    file: journal,
                    len: len as u32,
                    head: document.head as u32,
                    revision: Revision::fresh(),
                }),
                _ => None,
            };
            located.insert(id.clone(), (location, seq));
        });
    }
}

/// Publishes a group to the readers.
fn publish(state: &mut State, group: Group, mut located: Located, position: Position, now: u64) {
    for (path, overlay) in group.collections {
        let path = &path;
        let mut places = located.documents.remove(path).unwrap_or_default();
        if overlay.dropped {
            let seq = located.drops.get(path).copied().unwrap_or(position.seq);
            state.record_drop(path, seq);
        }
        let collection = state.collection(path);
        let is_outdated =
            |loaded: &Loaded| !Arc::ptr_eq(&loaded.spec, &overlay.spec) || group.written_over.contains(path);
        if matches!(&collection.content, Content::Loaded(loaded) if is_outdated(loaded)) {
            // The collection in memory is outdated: a request of this group wanted more indexes and failed before the
            // overlay had them, or somebody wrote over the file, so that what a document had in the indexes could not
            // be read.
            collection.unload();
        }
        let mut changed = false;
        for (id, pending) in overlay.documents {
            // A document without a place was changed only by requests that failed, or left as they found it.
            let Some((location, seq)) = places.remove(&id) else { continue };
            changed = true;
            match &mut collection.content {
                Content::Loaded(loaded) => {
                    let Pending { old, entries: new, .. } = pending;
                    loaded.publish(Prepared { id, location, old, new, seq, now });
                }
                // The collection was dropped without having been loaded.
                _ => collection.note(id, Change { location, seq, base: None }),
            }
        }
        if changed {
            collection.renew_version();
        }
    }
    state.position = position;
}

impl Batch {
    fn remember(&self, seq: u64, recent: &mut RecentChanges) {
        for (path, changes) in &self.collections {
            if changes.dropped {
                recent.push(seq, path, None);
            }
            changes.documents.keys().for_each(|id| recent.push(seq, path, Some(id.clone())));
        }
    }

    /// Returns the approximate length of its journal line in bytes.
    fn size(&self) -> usize {
        let documents = self.collections.values().flat_map(|changes| changes.documents.values());
        let size = |put: &Option<Put>| match put {
            Some(Put::Text(document)) => document.text.len() + 32,
            Some(Put::File(_)) => 256,
            None => 32,
        };
        documents.map(size).sum()
    }
}
