//! What the feed of changes must say, from now on and from earlier moments.

use std::sync::Arc;

use octoprompt_storage::engine::{Change, Subscription};

use crate::world::Handle;

/// Every change since the database began, and how far back the feed must know them.
#[derive(Default)]
pub struct Log {
    changes: Vec<Change>,
    /// The newest generations of the journal, and the last batch when each was first seen.
    generations: Vec<(u64, u64)>,
}

/// A subscription since a process opened the database.
pub struct Listener {
    subscription: Arc<Subscription>,
    heard: u64,
    generation: u64,
}

fn seq(change: &Change) -> u64 {
    match change {
        Change::Documents { seq, .. } | Change::Reset { seq, .. } => *seq,
    }
}

/// Puts changes of one batch, and ids of one change, into an order of their own.
fn sorted(mut changes: Vec<Change>) -> Vec<Change> {
    for change in &mut changes {
        if let Change::Documents { created, updated, deleted, .. } = change {
            [created, updated, deleted].into_iter().for_each(|ids| ids.sort());
        }
    }
    changes.sort_by_key(|change| match change {
        Change::Documents { seq, collection, .. } => (*seq, Some(Arc::clone(collection))),
        Change::Reset { seq, collection } => (*seq, collection.clone()),
    });
    changes
}

fn generation(database: &Handle) -> Result<u64, String> {
    Ok(database.statistics().map_err(|error| error.to_string())?.journal.generation)
}

/// Whether changes were lost, and the rest is everything since.
fn is_reset(changes: &[Change], log: &Log) -> bool {
    matches!(changes, [Change::Reset { seq, collection: None }, rest @ ..] if rest == log.since(*seq))
}

impl Log {
    pub fn push(&mut self, changes: Vec<Change>) {
        self.changes.extend(sorted(changes));
    }

    /// Notes in which generation the journal is after batch `seq`.
    pub fn note(&mut self, database: &Handle, seq: u64) -> Result<(), String> {
        let generation = generation(database)?;
        self.generations.retain(|(known, _)| *known <= generation);
        if self.generations.last().is_none_or(|(known, _)| *known < generation) {
            self.generations.push((generation, seq));
        }
        Ok(())
    }

    /// Forgets what a power loss took.
    pub fn lose(&mut self, after: u64) {
        self.changes.retain(|change| seq(change) <= after);
    }

    fn since(&self, from: u64) -> Vec<Change> {
        self.changes.iter().filter(|change| seq(change) > from).cloned().collect()
    }

    /// Compares what a new listener hears of everything after some earlier batch.
    pub fn replay(&self, database: &Handle, now: u64, draw: u64) -> Result<(), String> {
        let from = draw % (now + 1);
        let (late, _) = database.subscribe(None, Some(from), || {}).map_err(|error| error.to_string())?;
        let found = sorted(late.take().map_err(|error| error.to_string())?);
        let previous = self.generations.iter().rev().nth(1).map_or(0, |(_, first)| *first);
        if found == self.since(from) {
            return Ok(());
        }
        if found == [Change::Reset { seq: now, collection: None }] && from < previous {
            return Ok(());
        }
        Err(format!("from {from} on the feed says {found:?} instead of {:?}", self.since(from)))
    }
}

impl Listener {
    pub fn new(database: &Handle) -> Result<Listener, String> {
        let (subscription, heard) =
            database.subscribe(None, None, || {}).map_err(|error| error.to_string())?;
        Ok(Listener { subscription, heard, generation: generation(database)? })
    }

    /// Compares what it has heard since the last call. The process has caught up.
    pub fn check(&mut self, database: &Handle, log: &Log, now: u64) -> Result<(), String> {
        let found = sorted(self.subscription.take().map_err(|error| error.to_string())?);
        let expected = log.since(self.heard);
        let generation = generation(database)?;
        // The journals do not lead from one generation to the one after the next.
        let is_behind = generation > self.generation + 1;
        if found != expected && !(is_behind && is_reset(&found, log)) {
            return Err(format!("after {} the feed says {found:?} instead of {expected:?}", self.heard));
        }
        (self.heard, self.generation) = (now, generation);
        Ok(())
    }
}
