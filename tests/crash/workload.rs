//! Workloads, and the model of what each moment of them may leave behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use octoprompt_storage::engine::fs::{Call, LogEntry, SimFs, Snapshot};
use octoprompt_storage::engine::{
    Database, DocumentFile, Durability, Error, Mutant, Request, Transaction, WarningCode, WriteOptions,
};
use parking_lot::Mutex;

use crate::support::no_wait;
use crate::world::{self, Documents, Handle, file, map_file, open, spec, text, warnings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Puts document 1 of the first collection.
    Put,
    /// Puts document 2 of the first collection without waiting for the disk.
    PutOs,
    /// Deletes document 1 of the first collection.
    Delete,
    /// Puts documents of both collections and deletes one, in one batch.
    Both,
    /// Puts a document of the nested collection.
    Nested,
    /// Three batches in one group.
    Group,
    /// Drops the nested collection and removes its directory.
    Drop,
    /// The same without waiting for the disk.
    DropOs,
    Checkpoint,
    Reopen,
    /// A person rewrites the first collection's file while nobody has the database open.
    Edit,
    /// A person rewrites it while the database is open and has something newer in its journal.
    EditOpen,
    /// A person puts a file in the place of the nested collection.
    Foreign,
    /// Puts documents of both collections that have files of their own, in one batch.
    Large,
    /// Writes the index checkpoints of both collections.
    Persist,
    /// Removes them.
    Forget,
}

impl Op {
    /// All except those that have tests of their own.
    pub const ALL: [Op; 12] = [
        Op::Put,
        Op::PutOs,
        Op::Delete,
        Op::Both,
        Op::Nested,
        Op::Group,
        Op::Drop,
        Op::Checkpoint,
        Op::Reopen,
        Op::Edit,
        Op::EditOpen,
        Op::Foreign,
    ];
}

/// What one batch does to the model and to the database.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub put: Vec<(usize, u64, u32)>,
    pub delete: Vec<(usize, u64)>,
    pub drop_nested: bool,
    /// Whether the documents that are put have files of their own.
    pub in_files: bool,
}

impl Batch {
    pub fn put(collection: usize, id: u64, version: u32) -> Batch {
        Batch { put: vec![(collection, id, version)], ..Batch::default() }
    }

    pub fn model(&self, documents: &mut Documents) {
        if self.drop_nested {
            documents.retain(|(collection, _), _| *collection != 1);
        }
        for key in &self.delete {
            documents.remove(key);
        }
        for &(collection, id, version) in &self.put {
            documents.insert((collection, id), version);
        }
    }

    /// The files of the documents that are put, if they have any.
    pub fn files(&self, database: &Database) -> Result<Vec<DocumentFile>, Error> {
        let put = self.put.iter().filter(|_| self.in_files);
        put.map(|&(_, id, version)| world::file_of(database, id, version)).collect()
    }

    pub fn run(&self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        self.run_with(transaction, Vec::new())
    }

    fn run_with(&self, transaction: &mut Transaction<'_>, files: Vec<DocumentFile>) -> Result<(), Error> {
        if self.drop_nested {
            transaction.drop_collection(&spec(1))?;
            transaction.remove_path("data/7")?;
        }
        for &(collection, id) in &self.delete {
            transaction.delete(&spec(collection), id.into())?;
        }
        let mut files = files.into_iter();
        for &(collection, id, version) in &self.put {
            match files.next() {
                Some(file) => transaction.put_file(&spec(collection), id.into(), file)?,
                None => transaction.put(&spec(collection), id.into(), text(id, version).into_bytes())?,
            }
        }
        Ok(())
    }

    pub fn write(&self, database: &Database, durability: Durability) -> Result<(), Error> {
        let (batch, files) = (self.clone(), self.files(database)?);
        database.write(durability, move |transaction| batch.run_with(transaction, files))
    }
}

/// The number of edits by hand, and the number of calls.
type Time = (usize, u64);

/// A stretch of time after which the history has a certain length.
#[derive(Debug, Clone, Copy)]
struct Mark {
    begun: Time,
    acknowledged: Option<Time>,
    states: usize,
    /// Whether what was acknowledged then survives power loss.
    durable: bool,
}

/// The machine after some call, until the next one that changes it.
pub struct Moment {
    pub snapshot: Snapshot,
    /// When this state of the machine began.
    since: Time,
    /// The last time at which the machine is in this state.
    until: Time,
    /// Whether only the shared page changed. No power loss keeps its content.
    pub page_only: bool,
}

/// A workload that has run on a machine.
pub struct Run {
    pub fs: SimFs,
    pub database: Option<Handle>,
    pub mutant: Option<Mutant>,
    pub ops: Vec<Op>,
    /// The states of the database: those in which it may be found at first, then one after each batch.
    pub history: Vec<Documents>,
    marks: Vec<Mark>,
    pub moments: Vec<Moment>,
    /// Documents that the journals hold in a newer form than the snapshots.
    dirty: BTreeSet<(usize, u64)>,
    version: u32,
    /// How often a person edited files. If this is not zero, a warning is expected.
    edits: usize,
    /// The call at which the part that `explore` examines begins.
    pub interesting: u64,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "workload {:?}", self.ops)?;
        self.history.iter().enumerate().try_for_each(|(at, state)| writeln!(f, "  state {at}: {state:?}"))
    }
}

impl Run {
    /// Opens the database on a machine where it may be in any of these states, and begins to record.
    pub fn begin(fs: SimFs, history: Vec<Documents>, mutant: Option<Mutant>) -> Result<Run, String> {
        let version = history.iter().flat_map(BTreeMap::values).copied().max().unwrap_or(0);
        let mut run = Run {
            fs,
            database: None,
            mutant,
            ops: Vec::new(),
            history,
            marks: Vec::new(),
            moments: Vec::new(),
            dirty: BTreeSet::new(),
            version,
            edits: 0,
            interesting: 0,
        };
        run.fs.record();
        run.reopen()?;
        Ok(run)
    }

    pub fn of(fs: SimFs, ops: &[Op], mutant: Option<Mutant>) -> Result<Run, String> {
        let mut run = Run::begin(fs, vec![Documents::new()], mutant)?;
        for &op in ops {
            run.interesting = if ops.len() > 1 { run.fs.total_calls() } else { 0 };
            run.step(op)?;
        }
        run.flush();
        Ok(run)
    }

    pub fn state(&self) -> &Documents {
        self.history.last().expect("a history has a beginning")
    }

    /// Returns the database to write to.
    pub fn handle(&self) -> Result<&Handle, String> {
        self.database.as_ref().ok_or_else(|| "the database is closed".to_owned())
    }

    /// Runs one operation, which must succeed.
    pub fn step(&mut self, op: Op) -> Result<(), String> {
        self.try_step(op).map_err(|error| format!("{op:?} failed: {error}\n{self}"))
    }

    fn try_step(&mut self, op: Op) -> Result<(), String> {
        self.ops.push(op);
        let full = Durability::Full;
        match op {
            Op::Put
            | Op::PutOs
            | Op::Delete
            | Op::Both
            | Op::Nested
            | Op::Group
            | Op::Drop
            | Op::DropOs
            | Op::Large => {
                let (batches, durability) = self.batches(op);
                self.commit(&batches, durability)
            }
            Op::Checkpoint => self.checkpoint(),
            Op::Persist => self.persist(),
            Op::Forget => self.forget(),
            Op::Reopen => self.reopen(),
            Op::Edit => self.edit(0),
            Op::Foreign => self.edit(1),
            Op::EditOpen => {
                let version = self.next_version();
                self.commit(&[Batch::put(0, 3, version)], full)?;
                self.write_by_hand(0);
                self.checkpoint()
            }
        }
    }

    /// Returns what a writing operation writes.
    pub fn batches(&mut self, op: Op) -> (Vec<Batch>, Durability) {
        let mut version = || self.next_version();
        let batches = match op {
            Op::Put => vec![Batch::put(0, 1, version())],
            Op::PutOs => vec![Batch::put(0, 2, version())],
            Op::Delete => vec![Batch { delete: vec![(0, 1)], ..Batch::default() }],
            Op::Both => vec![Batch {
                put: vec![(0, 2, version()), (1, 1, version())],
                delete: vec![(0, 1)],
                ..Batch::default()
            }],
            Op::Nested => vec![Batch::put(1, 2, version())],
            Op::Large => vec![Batch {
                put: vec![(0, 1, version()), (1, 3, version())],
                in_files: true,
                ..Batch::default()
            }],
            Op::Group => {
                vec![Batch::put(0, 1, version()), Batch::put(1, 1, version()), Batch::put(0, 1, version())]
            }
            _ => vec![Batch { drop_nested: true, ..Batch::default() }],
        };
        let waits = !matches!(op, Op::PutOs | Op::DropOs);
        (batches, if waits { Durability::Full } else { Durability::Os })
    }

    pub fn next_version(&mut self) -> u32 {
        self.version += 1;
        self.version
    }

    pub fn commit(&mut self, batches: &[Batch], durability: Durability) -> Result<(), String> {
        let begun = self.fs.total_calls();
        let results = write_group(self.handle()?, batches, durability);
        for (batch, result) in batches.iter().zip(results) {
            result.map_err(|error| error.to_string())?;
            self.push(batch);
        }
        self.mark(begun, durability == Durability::Full);
        Ok(())
    }

    /// Adds the state after a batch to the history.
    pub fn push(&mut self, batch: &Batch) {
        let mut state = self.state().clone();
        batch.model(&mut state);
        let before = self.history.len() - 1;
        self.history.push(state);
        if batch.drop_nested {
            self.dirty.retain(|(collection, _)| *collection != 1);
        }
        let was_there = |key: &&(usize, u64)| self.history[before].contains_key(key);
        self.dirty.extend(batch.delete.iter().filter(was_there));
        self.dirty.extend(batch.put.iter().map(|&(collection, id, _)| (collection, id)));
    }

    pub fn checkpoint(&mut self) -> Result<(), String> {
        let begun = self.fs.total_calls();
        self.handle()?.checkpoint(no_wait()).map_err(|error| error.to_string())?;
        self.dirty.clear();
        // The journal is synced before anything else, so what was acknowledged without a sync is durable now.
        self.mark(begun, true);
        Ok(())
    }

    fn persist(&mut self) -> Result<(), String> {
        let begun = self.fs.total_calls();
        for collection in 0..world::PATHS.len() {
            let persisted = self.handle()?.persist_indexes(&spec(collection), world::READ);
            persisted.map_err(|error| error.to_string())?;
        }
        self.dirty.clear();
        self.mark(begun, true);
        Ok(())
    }

    fn forget(&mut self) -> Result<(), String> {
        for collection in 0..world::PATHS.len() {
            let removed = self.handle()?.remove_index_checkpoints(&spec(collection), no_wait());
            removed.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    pub fn reopen(&mut self) -> Result<(), String> {
        let begun = self.fs.total_calls();
        drop(self.database.take());
        let database = open(&self.fs, self.mutant)?;
        let found = world::observe(&database)?;
        self.database = Some(database);
        if self.marks.is_empty() {
            if !self.history.contains(&found) {
                return Err(format!("opened to {found:?}, which is none of {:?}", self.history));
            }
            self.history.push(found);
        } else if found != *self.state() {
            return Err(format!("reopened to {found:?} instead of {:?}", self.state()));
        }
        self.mark(begun, true);
        Ok(())
    }

    /// A person changes a collection's file while the database is closed.
    fn edit(&mut self, collection: usize) -> Result<(), String> {
        self.reopen()?;
        self.database = None;
        self.write_by_hand(collection);
        self.reopen()
    }

    /// The edit wins, except where the journal has something newer.
    fn write_by_hand(&mut self, collection: usize) {
        self.flush();
        let content = BTreeMap::from([(1, self.next_version()), (5, self.next_version())]);
        // A person's editor replaces the file.
        if self.fs.read_file(file(collection)).is_some() {
            self.fs.remove(file(collection));
        }
        self.fs.write_file(file(collection), map_file(&content).as_bytes());
        self.edits += 1;
        let mut state = self.state().clone();
        state.retain(|key, _| key.0 != collection || self.dirty.contains(key));
        for (id, version) in content {
            if !self.dirty.contains(&(collection, id)) {
                state.insert((collection, id), version);
            }
        }
        self.history.push(state);
        let now = (self.edits, 0);
        self.marks.push(Mark {
            begun: now,
            acknowledged: Some(now),
            states: self.history.len(),
            durable: true,
        });
        self.fs.record();
    }

    pub fn mark(&mut self, begun: u64, durable: bool) {
        let (begun, acknowledged) = ((self.edits, begun), Some((self.edits, self.fs.total_calls())));
        self.marks.push(Mark { begun, acknowledged, states: self.history.len(), durable });
    }

    /// Notes that a write failed and that nobody knows how much of it was written.
    pub fn mark_unknown(&mut self, begun: u64) {
        let begun = (self.edits, begun);
        self.marks.push(Mark { begun, acknowledged: None, states: self.history.len(), durable: false });
    }

    /// Keeps the moments recorded so far.
    pub fn flush(&mut self) {
        let (snapshots, log) = (self.fs.moments(), self.fs.log());
        let now = self.fs.total_calls();
        let ends: Vec<u64> =
            snapshots.iter().skip(1).map(|next| next.calls().saturating_sub(1)).chain([now]).collect();
        for (snapshot, until) in snapshots.into_iter().zip(ends) {
            let call = snapshot.calls().checked_sub(1).and_then(|at| log.get(at as usize));
            let page_only = call.is_some_and(|entry: &LogEntry| matches!(entry.call, Call::Store { .. }));
            let (since, until) = (snapshot.calls(), until.max(snapshot.calls()));
            let (since, until) = ((self.edits, since), (self.edits, until));
            self.moments.push(Moment { snapshot, since, until, page_only });
        }
    }

    /// Returns the states in which the database may be found after the machine loses power (or all processes are killed) at
    /// this moment.
    pub fn allowed(&self, moment: &Moment, power_lost: bool) -> RangeInclusive<usize> {
        let acknowledged = |mark: &&Mark| {
            mark.acknowledged.is_some_and(|at| at <= moment.until) && (mark.durable || !power_lost)
        };
        let first = self.marks.iter().find(|mark| mark.acknowledged.is_some());
        let initial = first.map_or(self.history.len(), |first| first.states);
        let least = self.marks.iter().filter(acknowledged).map(|mark| mark.states - 1).max().unwrap_or(0);
        let begun = self.marks.iter().filter(|mark| mark.begun < moment.since);
        let most = begun.map(|mark| mark.states - 1).max().unwrap_or(initial - 1);
        least..=most.max(least)
    }

    /// Returns the current moment alone.
    pub fn now(&self) -> Moment {
        let now = (self.edits, self.fs.total_calls());
        Moment { snapshot: self.fs.snapshot(), since: now, until: now, page_only: false }
    }

    /// Returns how often a person has edited files.
    pub fn edits(&self) -> usize {
        self.edits
    }

    /// Returns a warning for which there is no reason.
    pub fn unexpected(&self, found: &[WarningCode]) -> Option<WarningCode> {
        let expected = |code: &WarningCode| match code {
            WarningCode::TailCut => true,
            WarningCode::SnapshotChanged => self.edits > 0,
            _ => false,
        };
        found.iter().copied().find(|code| !expected(code))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            let _ = warnings(&database);
        }
    }
}

/// Writes batches as one group and returns the result of each.
pub fn write_group(database: &Handle, batches: &[Batch], durability: Durability) -> Vec<Result<(), Error>> {
    let work = |batch: &Batch| {
        let (batch, files) = (batch.clone(), batch.files(database));
        move |transaction: &mut Transaction<'_>| batch.run_with(transaction, files?)
    };
    submit(database, batches.iter().map(work).collect(), WriteOptions { durability, wait: no_wait() })
}

/// Runs requests as one group, and returns the result of each.
pub fn submit(
    database: &Database,
    works: Vec<impl FnOnce(&mut Transaction<'_>) -> Result<(), Error> + Send + 'static>,
    options: WriteOptions,
) -> Vec<Result<(), Error>> {
    let results = Arc::new(Mutex::new(BTreeMap::new()));
    let mut drain = false;
    for (at, work) in works.into_iter().enumerate() {
        let results = Arc::clone(&results);
        let done = move |result| drop(results.lock().insert(at, result));
        drain |= database.submit(Request::new(options, work, done));
    }
    if drain {
        database.drain();
    }
    let results = std::mem::take(&mut *results.lock());
    results.into_values().collect()
}
