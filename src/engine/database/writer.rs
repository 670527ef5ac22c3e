//! Appending to the journal: the part of the commit protocol that touches the disk.

use std::io;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::MutexGuard;

use super::network::Mark;
use super::room::Behind;
use super::state::Position;
use super::{Database, Mutant};
use crate::engine::cancel;
use crate::engine::error::{Error, Holder, IoContext, Result};
use crate::engine::fs::File;
use crate::engine::journal::{LineBuffer, NO_SLOT, Tip, TipSlot, journal_path};
use crate::engine::lock::{LONGEST_PAUSE, LockGuard, LockKind, ProcessLock, Wait, holder_of};
use crate::engine::lock_files::WRITE_LOCK;

/// What only one thread of this process may use at a time.
#[derive(Default)]
pub struct Writer {
    /// `None` if the directory is read-only.
    pub files: Option<WriterFiles>,
    /// The write lock, while it is held for the process instead of for one group of writes.
    pub kept: Option<LockGuard>,
    /// When a group was last synced.
    pub synced: Option<Instant>,
    /// Once memory knows this many collections, those that hold nothing are forgotten.
    pub most_collections: usize,
}

pub struct WriterFiles {
    pub lock: ProcessLock,
    /// Held (shared) by every process that has the database open.
    pub presence: ProcessLock,
    pub journal: Arc<dyn File>,
    /// Length of the journal with its room, as far as this process knows; used only to decide whether to make room.
    pub reach: u64,
    /// How often lock files had been replaced when the open journal was last compared with the file at its path.
    pub checked_after: u64,
    /// The mark that this process leaves on a network file system.
    pub mark: Option<Mark>,
}

impl WriterFiles {
    /// How often a lock file was found to have been replaced.
    pub fn replaced_locks(&self) -> u64 {
        self.lock.replacements() + self.presence.replacements()
    }
}

/// The outcome of an attempt to take the write lock.
enum Turn {
    Busy,
    Taken(LockGuard),
    /// The process has it already.
    Kept,
}

/// The write lock within this process and between processes, while it is held. Fields are dropped in order: the lock
/// between processes is released before the one within this process.
pub struct Held<'a> {
    tip: Option<&'a Tip>,
    /// `None` if the process keeps the lock beyond this guard.
    lock: Option<LockGuard>,
    writer: MutexGuard<'a, Writer>,
}

impl Deref for Held<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Held<'_> {
    /// Makes the process keep the lock when this guard is dropped.
    pub(super) fn keep(&mut self) {
        if let Some(lock) = self.lock.take() {
            self.writer.kept = Some(lock);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let (Some(tip), Some(_)) = (self.tip, &self.lock) {
            tip.set_holder(0);
        }
    }
}

impl Database {
    /// Returns the journal files, or an error that says why nothing can be written.
    pub(super) fn files<'a>(&self, writer: &'a mut Writer) -> Result<&'a mut WriterFiles> {
        writer.files.as_mut().ok_or_else(|| self.read_only_error())
    }

    pub(super) fn read_only_error(&self) -> Error {
        let reason = self.refusal.as_deref().unwrap_or("nothing may be written there");
        let reason = format!("it was opened for reading only, because {reason}");
        let error = io::Error::new(io::ErrorKind::ReadOnlyFilesystem, reason);
        Error::io("write to read-only directory", &self.directory, &error)
    }

    /// Becomes the writer of this process and takes the write lock. While another process has it, readers of this
    /// process are not kept waiting.
    pub(in crate::engine) fn acquire(&self, wait: Wait) -> Result<Held<'_>> {
        self.acquire_by(wait, cancel::check, |writer| self.lock_for_writing(writer))
    }

    /// Like [`Database::acquire`], but for several callers: fails as soon as `check` does, with its error.
    pub(super) fn acquire_unless(&self, wait: Wait, check: impl Fn() -> Result<()>) -> Result<Held<'_>> {
        self.acquire_by(wait, check, |writer| self.lock_for_writing(writer))
    }

    /// Like [`Database::acquire`], but only takes the lock and does not look at the data: for replacing data that may
    /// all be damaged.
    pub(in crate::engine) fn acquire_unseen(&self, wait: Wait) -> Result<Held<'_>> {
        self.acquire_by(wait, cancel::check, |writer| self.try_write_lock(writer))
    }

    fn acquire_by(
        &self,
        wait: Wait,
        check: impl Fn() -> Result<()>,
        attempt: impl Fn(&mut Writer) -> Result<Turn>,
    ) -> Result<Held<'_>> {
        let mut pauses = wait.pauses();
        let mut waiting_since = None;
        let ended = |since: Option<Instant>| {
            since.into_iter().for_each(|since| self.counters.lock_waits.add(since.elapsed()));
        };
        loop {
            let Some(mut writer) = self.writer.try_lock_for(LONGEST_PAUSE) else {
                check()?;
                continue;
            };
            let lock = match attempt(&mut writer)? {
                Turn::Taken(guard) => Some(guard),
                Turn::Kept => None,
                Turn::Busy => {
                    drop(writer);
                    check()?;
                    waiting_since.get_or_insert_with(Instant::now);
                    let busy = || Error::LockTimeout {
                        path: self.reserved(WRITE_LOCK),
                        waited_ms: wait.timeout_ms(),
                        holder: self.write_lock_holder(),
                    };
                    pauses.next(busy).inspect_err(|_| ended(waiting_since))?;
                    continue;
                }
            };
            ended(waiting_since);
            return Ok(Held { tip: self.tip.as_ref(), lock, writer });
        }
    }

    /// Returns the process that holds the write lock, if it is known. One that is opening the database has the lock before
    /// it can say so in the tip.
    fn write_lock_holder(&self) -> Option<Holder> {
        if let Some(pid) = self.tip.as_ref().and_then(Tip::holder) {
            return Some(holder_of(&*self.fs, pid));
        }
        self.writer.try_lock()?.files.as_ref()?.lock.holders().first().copied()
    }

    /// Takes the write lock if it is free, catches up with other processes and cuts what a dead writer left behind.
    fn lock_for_writing(&self, writer: &mut Writer) -> Result<Turn> {
        let turn = self.try_write_lock(writer)?;
        if matches!(turn, Turn::Busy) {
            return Ok(turn);
        }
        self.catch_up(writer)?;
        self.check_journal(writer)?;
        let slot = self.tip_slot()?;
        self.check_poison()?;
        if slot.migrating && !self.migrating.load(Ordering::Acquire) {
            return Err(Error::interrupted(&self.directory));
        }
        self.cut_stray_bytes(writer)?;
        self.forget_absent(writer);
        Ok(turn)
    }

    fn try_write_lock(&self, writer: &mut Writer) -> Result<Turn> {
        let turn = self.try_lock_files(writer);
        // The tip is checked after the lock files, so that nobody locks a new file and goes by the old tip; also if the
        // lock files are gone.
        if !matches!(turn, Ok(Turn::Busy)) {
            self.check_tip()?;
        }
        if let (Ok(Turn::Taken(_) | Turn::Kept), Some(tip)) = (&turn, &self.tip) {
            tip.prepare().at("write", &self.tip_path())?;
        }
        if let (Ok(Turn::Taken(_)), Some(tip)) = (&turn, &self.tip) {
            tip.set_holder(process::id());
        }
        turn
    }

    fn try_lock_files(&self, writer: &mut Writer) -> Result<Turn> {
        let kept = writer.kept.is_some();
        let files = self.files(writer)?;
        if kept {
            return Ok(Turn::Kept);
        }
        if !files.lock.try_lock(LockKind::Exclusive)? {
            return Ok(Turn::Busy);
        }
        let guard = files.lock.guard();
        // If the lock file was replaced, a process that opens the database would think that nobody has it open.
        match files.presence.renew(LockKind::Shared)? {
            true => Ok(Turn::Taken(guard)),
            false => Ok(Turn::Busy),
        }
    }

    pub(super) fn tip_slot(&self) -> Result<TipSlot> {
        self.tip.as_ref().and_then(Tip::read).ok_or_else(|| Error::corrupt(&self.tip_path(), 0, NO_SLOT))
    }

    /// Fails if a sync has failed. After that, nothing may be written or said to be durable. A sync may fail while the
    /// write lock is held, so this is checked before each write and not only when the lock is taken.
    pub(super) fn check_poison(&self) -> Result<()> {
        match self.poisoned.load(Ordering::Acquire) || self.tip_slot()?.poisoned {
            true => Err(Error::Poisoned { path: self.directory.clone() }),
            false => Ok(()),
        }
    }

    pub(super) fn position(&self) -> Position {
        self.state.read().position
    }

    /// Cuts bytes behind the tip that are not room: a writer died before it acknowledged them. The write lock is held.
    fn cut_stray_bytes(&self, writer: &mut Writer) -> Result<()> {
        let position = self.position();
        let path = journal_path(&self.directory, position.generation);
        let files = self.files(writer)?;
        let behind = self.look_behind(files, position.end, &path)?;
        if matches!(behind, Behind::Nothing | Behind::Room) {
            return Ok(());
        }
        let journal = Arc::clone(&files.journal);
        let len = journal.metadata().at("look up", &path)?.len;
        if matches!(behind, Behind::Missing) {
            return Err(Error::corrupt(&path, len, "acknowledged batches are missing; restore a backup"));
        }
        self.keep_stray_bytes(&*journal, &path, position.generation, position.end, len);
        journal.set_len(position.end).at("cut", &path)?;
        files.reach = position.end;
        if !self.is_mutant(Mutant::AppendAfterUnsyncedCut) {
            self.sync_lines(&*journal, &path)?;
        }
        Ok(())
    }

    /// Syncs the journal, and poisons the tip if that fails. Every durable write waits for this.
    pub(super) fn sync_lines(&self, journal: &dyn File, path: &Path) -> Result<()> {
        let mut synced = self.counters.syncs.measure(|| journal.sync_data());
        if synced.is_err() && self.is_mutant(Mutant::RetryFailedSync) {
            synced = journal.sync_data();
        }
        synced.at("sync", path).map_err(|error| self.poison(error))
    }

    /// Appends whole lines at the end of the journal. When this returns, they are as durable as asked for; the
    /// caller publishes them and then moves the tip. The write lock is held.
    pub(super) fn append(
        &self,
        writer: &mut Writer,
        lines: &LineBuffer,
        position: Position,
        sync: bool,
    ) -> Result<()> {
        let path = journal_path(&self.directory, position.generation);
        let files = self.files(writer)?;
        self.check_poison()?;
        if let Err(error) = files.journal.write_parts_at(&lines.parts(), position.end) {
            return Err(self.take_back(files, position.end, Error::io("append to", &path, &error)));
        }
        files.reach = files.reach.max(position.end + lines.len() as u64);
        if self.is_mutant(Mutant::TipBeforeSync) {
            self.move_tip(
                position.generation,
                position.seq + count_lines(lines),
                position.end + lines.len() as u64,
            );
        }
        if sync {
            self.sync_lines(&*files.journal, &path)?;
        }
        // The sync may have taken so long that the system has written the tip's page back meanwhile.
        if let Some(Err(error)) = self.tip.as_ref().map(Tip::prepare) {
            return Err(self.take_back(files, position.end, Error::io("write", &self.tip_path(), &error)));
        }
        self.counters.journal_bytes.add(lines.len() as u64);
        Ok(())
    }

    /// Cuts off the lines from `end` on, which were acknowledged to nobody, so that the database stays usable. Their
    /// writers are told that nothing changed, so the cut is made durable: a power loss must not bring whole lines of
    /// them back.
    fn take_back(&self, files: &mut WriterFiles, end: u64, error: Error) -> Error {
        files.reach = end;
        let cut = files.journal.set_len(end);
        match cut.and_then(|()| self.counters.syncs.measure(|| files.journal.sync_data())) {
            Ok(()) => error,
            Err(_) => self.poison(error),
        }
    }

    /// Makes everything committed so far durable, including what was written without a sync. The write lock is held.
    pub(in crate::engine) fn make_durable(&self, writer: &mut Writer) -> Result<()> {
        let position = self.position();
        if position.durable >= position.seq {
            return Ok(());
        }
        // After a failed sync, another one would claim that what the first one lost is on disk.
        self.check_poison()?;
        let path = journal_path(&self.directory, position.generation);
        self.sync_lines(&*self.files(writer)?.journal, &path)?;
        self.state.write().position.durable = position.seq;
        Ok(())
    }

    /// Publishes in the tip how far the journal is acknowledged. The mark of a failed sync stays; only recovery clears
    /// it.
    pub(super) fn move_tip(&self, generation: u64, seq: u64, end: u64) {
        if let Some(tip) = &self.tip {
            let (boot_id, migrating) = (self.fs.boot_id(), self.migrating.load(Ordering::Acquire));
            let poisoned = tip.read().is_some_and(|slot| slot.poisoned);
            tip.write(TipSlot { boot_id, generation, seq, end, poisoned, migrating });
        }
    }

    /// Marks the tip after a failed sync: what is on disk is unknown, and a second sync would claim success without
    /// having written. On a full disk the tip may have no room for the mark, and storing it would end the process. Then this
    /// process alone refuses to write. Others cannot write before there is room, and what this one left behind the tip is
    /// cut and synced before they do.
    pub(super) fn poison(&self, error: Error) -> Error {
        match (&self.tip, self.tip_slot()) {
            (Some(tip), Ok(slot)) if tip.prepare().is_ok() => {
                tip.write(TipSlot { poisoned: true, ..slot });
            }
            _ => self.poisoned.store(true, Ordering::Release),
        }
        error.with_unknown_outcome()
    }
}

fn count_lines(lines: &LineBuffer) -> u64 {
    memchr::memchr_iter(b'\n', &lines.whole()).count() as u64
}
