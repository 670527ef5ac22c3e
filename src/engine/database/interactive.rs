//! Transactions whose steps come from outside, one call at a time, with no lock held between them.
//!
//! They are optimistic: each step runs like a write of its own, over what the transaction has changed so far, and what
//! it reads is noted in a [`ReadSet`]. Before each step, and under the write lock before the commit, everything noted must
//! be unchanged. So each step sees one state of the whole database, in which all earlier steps would have read the same,
//! and the commit takes effect as if the whole transaction had run at that moment. If something noted has changed, the
//! transaction is lost, and its owner runs it again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::batch::{Batch, Removal};
use super::overlay::Group;
use super::read_set::ReadSet;
use super::transaction::Transaction;
use super::writer::Writer;
use super::{CollectionSpec, Database};
use crate::engine::cancel;
use crate::engine::error::{Error, Result};
use crate::engine::lock::Wait;

/// A transaction between its steps.
#[derive(Default)]
pub struct Interactive {
    /// Something that it read has changed.
    lost: AtomicBool,
    ended: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The database of the first step, to which the transaction belongs, and its directory.
    database: Option<(Weak<Database>, PathBuf)>,
    group: Group,
    reads: ReadSet,
    /// What each step changed, in order.
    batches: Vec<Batch>,
    /// Paths that belong to documents which the transaction creates.
    kept_paths: Vec<String>,
}

/// What a transaction read and wrote, to be committed as one request.
pub struct Commit {
    /// As [`Inner::database`].
    database: Option<(Weak<Database>, PathBuf)>,
    /// The specs of all collections that were changed.
    specs: BTreeMap<Arc<str>, Arc<CollectionSpec>>,
    reads: ReadSet,
    batches: Vec<Batch>,
    kept_paths: Vec<String>,
}

impl Interactive {
    /// Runs one step. `step` may be called twice; if it fails, it leaves no trace. Only later steps see what it
    /// changed.
    ///
    /// # Errors
    /// `CONFLICT` if something that an earlier step read has changed; every later step and the commit then fail as
    /// well. `CLOSED` after the end of the transaction. `INVALID_ARGUMENT` for another database than that of the first
    /// step; `CONFLICT` if that database has been closed and opened anew since, as a repair does.
    pub fn step<T>(
        &self,
        database: &Database,
        wait: Wait,
        step: impl Fn(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut inner = self.inner.lock();
        self.check()?;
        self.check_database(&mut inner, database)?;
        {
            let mut writer = database.writer.lock();
            cancel::check()?;
            database.catch_up(&mut writer)?;
            if let Some(result) = self.attempt(&mut inner, database, &mut writer, false, &step) {
                return result;
            }
        }
        // A file must be adopted first, which is a batch of its own.
        let mut held = database.acquire(wait)?;
        self.attempt(&mut inner, database, &mut held, true, &step).unwrap_or(Err(Error::Closed))
    }

    /// Notes paths that belong to documents that the transaction puts.
    pub fn keep_paths(&self, paths: impl IntoIterator<Item = String>) {
        self.inner.lock().kept_paths.extend(paths);
    }

    /// Ends the transaction. Its changes are made by [`Commit::apply`], in a request of its own.
    ///
    /// # Errors
    /// `CLOSED` after the end; `CONFLICT` as for a step.
    pub fn finish(&self) -> Result<Commit> {
        let mut inner = self.inner.lock();
        self.check()?;
        self.ended.store(true, Ordering::Relaxed);
        let Inner { database, group, reads, batches, kept_paths } = std::mem::take(&mut *inner);
        let specs = group.collections.into_iter().map(|(path, overlay)| (path, overlay.spec)).collect();
        Ok(Commit { database, specs, reads, batches, kept_paths })
    }

    /// Ends the transaction and forgets what it changed. Does not wait for a step that is under way.
    pub fn abandon(&self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(mut inner) = self.inner.try_lock() {
            *inner = Inner::default();
        }
    }

    /// Whether a commit has anything to write.
    pub fn has_changes(&self) -> bool {
        // Nobody commits while a step is under way.
        !self.inner.lock().batches.is_empty()
    }

    /// Whether something that it read has changed, so that what it did since may rest on stale data.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<()> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        if self.is_lost() { Err(lost()) } else { Ok(()) }
    }

    fn check_database(&self, inner: &mut Inner, database: &Database) -> Result<()> {
        let known = inner.database.get_or_insert_with(|| (database.this.clone(), database.directory.clone()));
        let checked = is_of(known, database);
        if matches!(checked, Err(Error::Conflict(_))) {
            self.lose(database);
        }
        checked
    }

    fn lose(&self, database: &Database) {
        self.lost.store(true, Ordering::Relaxed);
        database.counters.conflicts.add(1);
    }

    /// Runs a step unless the transaction is lost. Returns `None` if the write lock is needed.
    fn attempt<T>(
        &self,
        inner: &mut Inner,
        database: &Database,
        writer: &mut Writer,
        locked: bool,
        step: &impl Fn(&mut Transaction<'_>) -> Result<T>,
    ) -> Option<Result<T>> {
        match inner.reads.still_holds(database, writer, locked) {
            Ok(Some(true)) => {}
            Ok(Some(false)) => {
                self.lose(database);
                return Some(Err(lost()));
            }
            Ok(None) => return None,
            Err(error) => return Some(Err(error)),
        }
        let mut transaction =
            Transaction::resumed(database, writer, &mut inner.group, &mut inner.reads, locked);
        match step(&mut transaction) {
            Ok(value) => {
                let batch = transaction.finish();
                if !batch.is_empty() {
                    inner.batches.push(batch);
                }
                Some(Ok(value))
            }
            Err(_) if transaction.needs_lock() => None,
            Err(error) => {
                // A file was changed from outside between two reads of the step, and maybe of an earlier one.
                if matches!(error, Error::Conflict(_)) {
                    self.lose(database);
                }
                Some(Err(error))
            }
        }
    }
}

impl Database {
    /// Loads a collection for a step; `locked` says whether the write lock is held. Returns false if the lock is needed
    /// because the file is foreign.
    pub(super) fn load_for_step(
        &self,
        writer: &mut Writer,
        spec: &Arc<CollectionSpec>,
        locked: bool,
    ) -> Result<bool> {
        if locked {
            return self.load(writer, spec).map(|()| true);
        }
        let loaded = self.try_load(writer, spec)?;
        if !loaded {
            self.check_unasked(&self.declare(writer, spec))?;
        }
        Ok(loaded)
    }
}

impl Commit {
    /// Compares what was read with the current state, and makes the changes.
    ///
    /// # Errors
    /// `CONFLICT` if something that was read has changed; `UNIQUE_VIOLATION`; those of
    /// [`Transaction::remove_entity_path`]; in another database, those of [`Interactive::step`].
    pub fn apply(self, transaction: &mut Transaction<'_>) -> Result<()> {
        if let Some(known) = &self.database
            && let Err(error) = is_of(known, transaction.database)
        {
            if matches!(error, Error::Conflict(_)) {
                transaction.note_conflict();
            }
            return Err(error);
        }
        if !self.reads.holds_for(transaction)? {
            transaction.note_conflict();
            return Err(lost());
        }
        let mut put = Vec::new();
        for batch in self.batches {
            for (path, changes) in batch.collections {
                let Some(spec) = self.specs.get(&path) else { continue };
                if changes.dropped {
                    transaction.drop_collection(spec)?;
                }
                for (id, document) in changes.documents {
                    match document {
                        Some(document) => {
                            transaction.put_unchecked(spec, id.clone(), document)?;
                            put.push((Arc::clone(spec), id));
                        }
                        None => drop(transaction.delete(spec, id)?),
                    }
                }
            }
            for (path, removal) in batch.removed_paths.iter() {
                match removal {
                    Removal::OfEntity => transaction.remove_entity_path(path)?,
                    Removal::WithCollections => transaction.remove_path(path)?,
                }
            }
        }
        for (spec, id) in put {
            transaction.check_put(&spec, &id)?;
        }
        transaction.keep_entity_paths(self.kept_paths.iter().map(String::as_str))
    }
}

/// Checks that a transaction goes on in the database in which it began.
fn is_of((known, directory): &(Weak<Database>, PathBuf), database: &Database) -> Result<()> {
    if Weak::ptr_eq(known, &database.this) {
        return Ok(());
    }
    // What was noted of an earlier engine of this directory says nothing about this one.
    if *directory == database.directory {
        return Err(lost());
    }
    Err(Error::InvalidArgument(
        "a transaction covers the storages of one database, and this one belongs to another; give both the same basePath and dataDir".into(),
    ))
}

fn lost() -> Error {
    Error::Conflict("data that this transaction read was changed by others".into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::engine::database::DatabaseOptions;
    use crate::engine::fs::SimFs;
    use crate::engine::options::Durability;

    #[test]
    fn what_was_read_is_compared_again_only_if_its_collection_has_changed() {
        let fs = SimFs::new();
        fs.make_dirs("/d");
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let database = Database::open(fs.handle(), Path::new("/d"), options).expect("opens");
        let spec = |path: &str| Arc::new(CollectionSpec::plain(path));
        let (items, others) = (spec("items.json"), spec("others.json"));
        let put = |spec: &Arc<CollectionSpec>, id: u64| {
            let (spec, text) = (Arc::clone(spec), format!("{{\"id\":{id}}}").into_bytes());
            database.write(Durability::Os, move |tx| tx.put(&spec, id.into(), text)).expect("written");
        };
        put(&items, 1);
        let transaction = Interactive::default();
        let wait = Wait::at_most(Duration::from_secs(5));
        let read = || transaction.step(&database, wait, |tx| tx.get(&items, &1.into()).map(drop));
        read().expect("the first step");
        read().expect("finds what the first step read unchanged");
        // Nobody can have read this, so any comparison fails.
        transaction.inner.lock().reads.note(&items, &2.into(), Some((1, Default::default())));
        put(&others, 1);
        read().expect("does not compare");
        put(&items, 3);
        assert_eq!(read().map_err(|error| error.code()), Err("CONFLICT"));
    }
}
