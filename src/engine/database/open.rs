//! Opening a database: alone, beside other processes, or where nothing may be written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::counters::Counters;
use super::events::{Event, Observers, Opened};
use super::exclusive::Checkpointing;
use super::file_table::FileTable;
use super::generations::{create_journal, first_header};
use super::linger::Linger;
use super::network::Mark;
use super::paths::check_reach;
use super::queue::Queue;
use super::recent::RecentChanges;
use super::recovery::{Recovered, Until, recover};
use super::state::{Position, State};
use super::unlocked::read;
use super::writer::{Writer, WriterFiles};
use super::{Database, DatabaseOptions, ENGINES, Mutant, WarningCode, background, feed};
use crate::engine::cache::Cache;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, Fs, Network};
use crate::engine::journal::{NO_SLOT, RESERVED, Tip, TipSlot, journal_path};
use crate::engine::lock::{LockKind, ProcessLock, Wait};
use crate::engine::lock_files::DatabaseLocks;

impl Database {
    /// Opens the database in `directory`, creating what is missing. The first opener recovers it.
    ///
    /// # Errors
    /// `CORRUPT_DATA` if acknowledged data is damaged, `LOCK_TIMEOUT` while another process recovers it,
    /// `UNSUPPORTED_FORMAT`, `IO_ERROR`.
    pub fn open(fs: Arc<dyn Fs>, directory: &Path, options: DatabaseOptions) -> Result<Arc<Database>> {
        Database::open_by(fs, directory, options, Wait::at_most(options.lock_timeout))
    }

    /// Like [`Database::open`], but waits for locks until the deadline of `wait`.
    pub(in crate::engine) fn open_by(
        fs: Arc<dyn Fs>,
        directory: &Path,
        options: DatabaseOptions,
        wait: Wait,
    ) -> Result<Arc<Database>> {
        let begun = Instant::now();
        let (database, alone) = match Database::open_for_writing(Arc::clone(&fs), directory, options, wait) {
            Err(
                error @ Error::Io {
                    kind: io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem,
                    ..
                },
            ) => (Database::open_read_only(fs, directory, options, error.to_string())?, false),
            other => other?,
        };
        database.publish_opened(alone, begun);
        Ok(database)
    }

    fn publish_opened(&self, alone: bool, begun: Instant) {
        let cut = self.warnings.lock().iter().any(|warning| warning.code == WarningCode::TailCut);
        let (sequence, covered) = {
            let state = self.state.read();
            (state.position.seq, state.covered())
        };
        self.publish(Event::Opened(Opened {
            alone,
            read_only: self.is_read_only(),
            cut,
            sequence,
            pending_batches: sequence.saturating_sub(covered),
            took: begun.elapsed(),
        }));
    }

    /// Opens the database, and returns whether no other process had it open.
    fn open_for_writing(
        fs: Arc<dyn Fs>,
        directory: &Path,
        options: DatabaseOptions,
        wait: Wait,
    ) -> Result<(Arc<Database>, bool)> {
        let reserved = directory.join(RESERVED);
        fs::create_dirs(&*fs, &reserved).at("create", &reserved)?;
        let DatabaseLocks { checkpoint, write: mut lock, mut presence } =
            DatabaseLocks::open(&fs, &reserved)?;
        lock.lock(LockKind::Exclusive, wait, || None)?;
        let guard = lock.guard();
        // Every opener comes through here with the write lock, so nobody slips in between the two locks.
        let alone = presence.try_lock(LockKind::Exclusive)?;
        let network = fs.network(&reserved).at("look up the file system of", &reserved)?;
        let mark = match &network {
            Some(network) => Some(Mark::leave(&fs, directory, network, alone)?),
            None => None,
        };
        let mutant = |mutant| options.is_mutant(mutant);
        let mut warnings = Vec::new();
        let (recovered, tip) = if alone {
            let presence_guard = presence.guard();
            let opened = recover_alone(&fs, directory, options.most_above, mutant, &mut warnings)?;
            drop(presence_guard);
            opened
        } else {
            let tip = Tip::open(&*fs, &reserved.join("tip"))?;
            let slot = tip.read().ok_or_else(|| Error::corrupt(&reserved.join("tip"), 0, NO_SLOT))?;
            let recovered = recover(&fs, directory, Until::Tip(slot), mutant, &mut warnings)?;
            let recovered = recovered.ok_or(Error::Closed)?;
            check_reach(directory, options.most_above, recovered.state.paths())?;
            (recovered, tip)
        };
        let Recovered { state, journal, read_only } = recovered;
        if read_only {
            // No lock is kept, so that another opener can recover it once that is possible.
            let refusal = "what a crash left in its journal could not be cut off".to_owned();
            let database = Database::assemble_read_only(fs, directory, options, state, refusal);
            warnings.into_iter().for_each(|(code, message)| database.warn(code, message));
            return Ok((database, true));
        }
        presence.lock(LockKind::Shared, wait, || None)?;
        let mut files = WriterFiles { lock, presence, journal, reach: 0, checked_after: 0, mark };
        files.checked_after = files.replaced_locks();
        drop(guard);
        let database = Database::assemble(
            fs,
            directory,
            options,
            state,
            Ok(tip),
            Writer { files: Some(files), ..Writer::default() },
            Some(checkpoint),
        );
        if let Some(Network { file_system, .. }) = network {
            let message = format!(
                "{} is on a network file system ({file_system}), where locks are unreliable: only one process may use it",
                directory.display()
            );
            database.warn(WarningCode::UnsupportedFilesystem, message);
        }
        for (code, message) in warnings {
            database.warn(code, message);
        }
        database.background_after_opening();
        Ok((database, alone))
    }

    /// Opens the database for reading. Where nothing can be written, nothing is recovered either: the journals are read
    /// up to the last good line. `refusal` says why nothing can be written.
    fn open_read_only(
        fs: Arc<dyn Fs>,
        directory: &Path,
        options: DatabaseOptions,
        refusal: String,
    ) -> Result<Arc<Database>> {
        let reserved = directory.join(RESERVED);
        let known = match fs.metadata(&reserved).at("look up", &reserved)? {
            Some(_) => read(&fs, directory)?,
            None => None,
        };
        let state = known.unwrap_or_else(State::empty);
        check_reach(directory, options.most_above, state.paths())?;
        Ok(Database::assemble_read_only(fs, directory, options, state, refusal))
    }

    fn assemble_read_only(
        fs: Arc<dyn Fs>,
        directory: &Path,
        options: DatabaseOptions,
        state: State,
        refusal: String,
    ) -> Arc<Database> {
        Database::assemble(fs, directory, options, state, Err(refusal), Writer::default(), None)
    }

    fn assemble(
        fs: Arc<dyn Fs>,
        directory: &Path,
        options: DatabaseOptions,
        mut state: State,
        tip: std::result::Result<Tip, String>,
        writer: Writer,
        checkpoint: Option<ProcessLock>,
    ) -> Arc<Database> {
        state.recent = RecentChanges::starting_after(state.position.seq);
        let (tip, refusal) = match tip {
            Ok(tip) => (Some(tip), None),
            Err(refusal) => (None, Some(refusal)),
        };
        Arc::new_cyclic(|this| Database {
            number: ENGINES.fetch_add(1, Ordering::Relaxed),
            fs,
            directory: directory.to_path_buf(),
            cache: Cache::new(options.cache),
            options,
            state: RwLock::new(state),
            tip,
            refusal,
            writer: Mutex::new(writer),
            checkpointing: Mutex::new(Checkpointing { lock: checkpoint, kept: None }),
            migrating: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            queue: Queue::new(),
            linger: Linger::default(),
            warnings: Mutex::default(),
            background: background::Activity::default(),
            counters: Counters::new(),
            observers: Observers::default(),
            feed: feed::Feed::default(),
            this: this.clone(),
        })
    }

    /// Starts over from what is on disk, because memory cannot follow from its own generation to that of the tip. The
    /// collections are loaded again when they are asked for.
    pub(in crate::engine) fn reload(&self, writer: &mut Writer) -> Result<()> {
        // A checkpoint may delete the generation that the tip named a moment ago: look again.
        let mut slot = self.tip_slot()?;
        let Recovered { state: fresh, journal, .. } = loop {
            let mutant = |mutant| self.is_mutant(mutant);
            let recovered = recover(&self.fs, &self.directory, Until::Tip(slot), mutant, &mut Vec::new());
            let now = self.tip_slot()?;
            if recovered.is_ok() || now == slot {
                break recovered?.ok_or(Error::Closed)?;
            }
            slot = now;
        };
        self.files(writer)?.journal = journal;
        self.begin_with(fresh);
        Ok(())
    }

    /// Starts over from what is on disk if others have written since, where nothing can be written and so nothing is
    /// followed. Returns whether they have.
    pub(super) fn read_again(&self) -> Result<bool> {
        let Some(fresh) = read(&self.fs, &self.directory)? else { return Ok(false) };
        let is_newer = fresh.position.seq > self.position().seq;
        if is_newer {
            self.begin_with(fresh);
        }
        Ok(is_newer)
    }

    /// Replaces all that memory holds by what was read from disk.
    fn begin_with(&self, mut fresh: State) {
        let mut state = self.state.write();
        fresh.recent = RecentChanges::starting_after(fresh.position.seq);
        let before = std::mem::take(&mut state.collections);
        for (path, collection) in before {
            let slot = fresh.collection(&path);
            slot.renew_version();
            slot.spec = collection.spec;
            slot.declarations = collection.declarations;
        }
        let seq = fresh.position.seq;
        *state = fresh;
        drop(state);
        self.cache.clear();
        self.counters.reloads.add(1);
        self.feed.reset(seq);
    }
}

fn recover_alone(
    file_system: &Arc<dyn Fs>,
    directory: &Path,
    most_above: usize,
    mutant: impl Fn(Mutant) -> bool,
    warnings: &mut Vec<(WarningCode, String)>,
) -> Result<(Recovered, Tip)> {
    let fs = &**file_system;
    let tip = Tip::open(fs, &directory.join(RESERVED).join("tip"))?;
    let until = Until::End { tip: tip.read(), boot_id: fs.boot_id(), most_above };
    let recovered = match recover(file_system, directory, until, &mutant, warnings)? {
        Some(recovered) if recovered.read_only => return Ok((recovered, tip)),
        Some(recovered) => recovered,
        None => {
            // A process that was killed may have created the directories without syncing them.
            let reserved = directory.join(RESERVED);
            fs::sync_dirs_above(fs, &reserved).at("sync the directories above", &reserved)?;
            let header = first_header()?;
            let sync_directory = !mutant(Mutant::NewJournalWithoutDirectorySync);
            let (journal, checksum, end) = create_journal(fs, directory, &header, sync_directory)?;
            let mut files = FileTable::default();
            let mut state = State::empty();
            state.journal = files.add_open(journal_path(directory, 1), Arc::clone(&journal));
            state.files = Arc::new(files);
            state.database = header.database;
            state.format = header.format;
            state.position = Position { generation: 1, seq: 0, end, checksum, durable: 0 };
            Recovered { state, journal, read_only: false }
        }
    };
    let position = recovered.state.position;
    tip.write(TipSlot {
        boot_id: fs.boot_id(),
        generation: position.generation,
        seq: position.seq,
        end: position.end,
        poisoned: false,
        migrating: false,
    });
    tip.set_holder(0);
    Ok((recovered, tip))
}
