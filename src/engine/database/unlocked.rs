//! Reading the journals of a database without its locks: in a directory where nothing can be written, or of another
//! database than the one that was opened. Others may write to it, checkpoint it and begin it anew meanwhile.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::generations::list_generations;
use super::recovery::{Until, recover};
use super::state::State;
use crate::engine::cancel;
use crate::engine::error::Result;
use crate::engine::fs::Fs;

/// Reads the journals of a database up to the last good line, as of some moment while this runs. Changes nothing.
/// Returns `None` if there are no journals yet.
///
/// Within a generation lines are only added, and each generation is complete before the next one begins. So what was
/// read is right, unless a generation that had been listed was removed, or generations came and went while they were
/// listed: then the journals are listed and read again.
///
/// # Errors
/// `CORRUPT_DATA`, `UNSUPPORTED_FORMAT`, `IO_ERROR`, `ABORTED`.
pub fn read(fs: &Arc<dyn Fs>, directory: &Path) -> Result<Option<State>> {
    let mut generations = list_generations(&**fs, directory)?;
    let mut looked_again = false;
    loop {
        let recovered = recover(fs, directory, Until::LastGoodLine, |_| false, &mut Vec::new());
        if let Ok(Some(recovered)) = recovered {
            return Ok(Some(recovered.state));
        }
        let now = list_generations(&**fs, directory)?;
        // A generation that was never used may have been created again under the same name, so equal names are tried
        // twice.
        if now == generations && looked_again {
            return recovered.map(|_| None);
        }
        looked_again = now == generations;
        generations = now;
        cancel::check()?;
    }
}

/// Whether the database in `directory`, which other processes may have open, has a collection in this file.
pub(in crate::engine) fn uses_collection(fs: &Arc<dyn Fs>, directory: &Path, path: &str) -> Result<bool> {
    Ok(collections_in(fs, directory)?.contains(path))
}

/// Returns the collections of the database in `directory`, which other processes may have open.
pub(in crate::engine) fn collections_in(fs: &Arc<dyn Fs>, directory: &Path) -> Result<BTreeSet<String>> {
    let Some(state) = read(fs, directory)? else { return Ok(BTreeSet::new()) };
    let known =
        state.catalog.iter().filter(|(_, record)| record.dropped.is_none()).map(|(path, _)| path.clone());
    Ok(known.chain(state.changed().map(|(path, _)| path.to_string())).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Range;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::engine::database::{
        CollectionSpec, Database, DatabaseOptions, Part, ReadOptions, Transaction, start_beyond, start_over,
    };
    use crate::engine::fs::{Call, Fault, Repeat, SimFs};
    use crate::engine::journal::{CollectionRecord, journal_path};
    use crate::engine::lock::Wait;
    use crate::engine::options::Durability;

    const DIRECTORY: &str = "/database";

    fn spec() -> Arc<CollectionSpec> {
        Arc::new(CollectionSpec::plain("items.json"))
    }

    fn open(fs: &SimFs) -> Arc<Database> {
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        Database::open(fs.handle(), Path::new(DIRECTORY), options).expect("opens")
    }

    fn put(database: &Database, id: u64) {
        let (spec, text) = (spec(), format!("{{\"id\":{id}}}").into_bytes());
        database.write(Durability::Full, move |tx| tx.put(&spec, id.into(), text)).expect("written");
    }

    fn checkpoint(database: &Database) {
        database.checkpoint(Wait::at_most(Duration::from_secs(5))).expect("checkpointed");
    }

    /// A database with one collection, and a process that has it open.
    fn database() -> (SimFs, Arc<Database>) {
        let fs = SimFs::new();
        fs.make_dirs(DIRECTORY);
        let database = open(&fs.process());
        put(&database, 1);
        (fs, database)
    }

    fn opens_journal(call: &Call) -> bool {
        matches!(call, Call::Open { path, .. } if path.to_string_lossy().contains("journal-"))
    }

    fn lists(call: &Call) -> bool {
        matches!(call, Call::ListDir { .. })
    }

    fn finds(fs: &SimFs) -> Result<bool> {
        uses_collection(&fs.handle(), Path::new(DIRECTORY), "items.json")
    }

    /// Writes the documents, with a checkpoint after each, just before the process makes a call that fits.
    fn go_on_before(process: &SimFs, fits: fn(&Call) -> bool, database: Arc<Database>, ids: Range<u64>) {
        process.before(fits, move || {
            for id in ids {
                put(&database, id);
                checkpoint(&database);
            }
        });
    }

    /// Returns two processes, and the only journal of a database that nobody has open, with its bytes.
    fn closed() -> ([SimFs; 2], PathBuf, Vec<u8>) {
        let (fs, database) = database();
        drop(database);
        let journal = journal_path(Path::new(DIRECTORY), 1);
        let bytes = fs.read_file(&journal).expect("a journal");
        ([fs.process(), fs.process()], journal, bytes)
    }

    #[test]
    fn an_unlocked_read_does_not_find_a_dropped_collection() {
        let (fs, database) = database();
        checkpoint(&database);
        assert!(finds(&fs).expect("readable"));
        database.write(Durability::Full, |tx| tx.drop_collection(&spec())).expect("dropped");
        assert!(!finds(&fs).expect("readable"));
    }

    #[test]
    fn an_unlocked_read_survives_checkpoints_that_remove_the_journals() {
        let (fs, database) = database();
        let looking = fs.process();
        go_on_before(&looking, opens_journal, database, 2..5);
        assert!(finds(&looking).expect("readable"));
    }

    #[test]
    fn an_unlocked_read_that_needs_older_generations_survives_checkpoints() {
        let (fs, database) = database();
        // This checkpoint begins a generation and writes no snapshot.
        let writing = fs.process();
        let second = open(&writing);
        let is_snapshot = |call: &Call| matches!(call, Call::Open { .. }) && call.name().starts_with("new-");
        writing.fail_when(is_snapshot, Fault::Io, Repeat::Once);
        assert!(second.checkpoint(Wait::at_most(Duration::from_secs(5))).is_err());
        put(&second, 2);
        let looking = fs.process();
        let opens_first = |call: &Call| matches!(call, Call::Open { path, .. } if **path == *journal_path(Path::new(DIRECTORY), 1));
        go_on_before(&looking, opens_first, database, 3..6);
        assert!(finds(&looking).expect("readable"));
    }

    #[test]
    fn an_unlocked_read_of_a_database_that_is_started_over_finds_its_collections() {
        let ([looking, restoring], ..) = closed();
        looking.before(opens_journal, move || {
            let (fs, directory) = (restoring.handle(), Path::new(DIRECTORY));
            let start = start_beyond(&*fs, directory, 0).expect("a start");
            let known = BTreeMap::from([("items.json".to_owned(), CollectionRecord::default())]);
            start_over(&*fs, directory, &start, &known).expect("begun anew");
        });
        assert!(finds(&looking).expect("readable"));
    }

    #[test]
    fn an_unlocked_read_finds_a_journal_that_the_listing_missed() {
        let ([looking, restoring], journal, bytes) = closed();
        // As if the listing met neither the old name nor the new one.
        restoring.remove(&journal);
        (0..2).for_each(|_| looking.before(lists, || {}));
        looking.before(lists, move || restoring.write_file(&journal, &bytes));
        assert!(finds(&looking).expect("readable"));
    }

    #[test]
    fn an_unlocked_read_finds_a_journal_that_is_recreated_meanwhile() {
        let ([looking, making], journal, bytes) = closed();
        // As a checkpoint does with a generation that was never used.
        let (removing, removed) = (making.clone(), journal.clone());
        looking.before(opens_journal, move || removing.remove(&removed));
        (0..2).for_each(|_| looking.before(lists, || {}));
        looking.before(lists, move || making.write_file(&journal, &bytes));
        assert!(finds(&looking).expect("readable"));
    }

    #[test]
    fn a_journal_whose_header_is_completed_during_the_read_is_no_damage() {
        let ([looking, finishing], journal, bytes) = closed();
        finishing.write_file(&journal, b"");
        looking.before(opens_journal, || {});
        looking.before(opens_journal, move || finishing.write_file(&journal, &bytes));
        finds(&looking).expect("readable");
    }

    #[test]
    fn a_read_only_database_opens_while_another_process_checkpoints_it() {
        let (fs, database) = database();
        let reading = fs.process();
        let locks = |call: &Call| matches!(call, Call::OpenLock { .. });
        reading.fail_when(locks, Fault::Kind(std::io::ErrorKind::PermissionDenied), Repeat::Forever);
        go_on_before(&reading, opens_journal, database, 2..5);
        let options = ReadOptions { cached: false, lock_timeout: Duration::from_secs(5) };
        let found = open(&reading).get(&spec(), &1.into(), options).expect("readable");
        assert!(found.is_some());
    }

    #[test]
    fn a_read_only_database_that_meets_a_later_file_shows_everything_of_that_moment() {
        let (fs, database) = database();
        let reading = fs.process();
        let locks = |call: &Call| matches!(call, Call::OpenLock { .. });
        reading.fail_when(locks, Fault::Kind(std::io::ErrorKind::PermissionDenied), Repeat::Forever);
        let reader = open(&reading);
        let both = spec();
        let change = move |tx: &mut Transaction<'_>| {
            tx.put(&both, 1.into(), br#"{"id":1,"changed":true}"#.to_vec())?;
            tx.put(&both, 2.into(), br#"{"id":2}"#.to_vec())
        };
        database.write(Durability::Full, change).expect("written");
        checkpoint(&database);
        let options = ReadOptions { cached: false, lock_timeout: Duration::from_secs(5) };
        let list = reader.list(&spec(), Part::Whole, options).expect("readable");
        assert_eq!(String::from_utf8_lossy(&list), r#"[{"id":1,"changed":true},{"id":2}]"#);
        assert!(reader.take_warnings().is_empty());
    }

    #[test]
    fn a_journal_that_stays_damaged_is_reported_as_damage() {
        let (fs, database) = database();
        checkpoint(&database);
        drop(database);
        let journal = journal_path(Path::new(DIRECTORY), 2);
        let bytes = fs.read_file(&journal).expect("a journal");
        fs.write_file(&journal, &bytes[1..]);
        assert_eq!(finds(&fs.process()).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    }
}
