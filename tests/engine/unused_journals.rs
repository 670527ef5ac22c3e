//! Journals that a checkpoint began, but that nothing was written to: others may have gone on in the one before. On a
//! simulated file system.

use std::path::Path;
use std::sync::Arc;

use crate::support::simulated::{
    begin_generation, checkpoint, forget_tip, journal, machine, name, open, put, remove, reserved, try_open,
    verified, warnings,
};
use octoprompt_storage::engine::Database;
use octoprompt_storage::engine::fs::{Call, Fault, Repeat, SimFs};
use parking_lot::Mutex;

fn fail_next_sync_of_names(fs: &SimFs) {
    let fits = |call: &Call| matches!(call, Call::SyncDir { path } if path.ends_with(".storage"));
    fs.fail_when(fits, Fault::Io, Repeat::Once);
}

/// A machine with two batches in the first journal and a second one that was begun, but that nobody may have used: the sync
/// of its name failed.
fn with_an_unused_journal() -> (SimFs, Arc<Database>) {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    put(&database, "a.json", 2, "y");
    fail_next_sync_of_names(&fs);
    assert!(checkpoint(&database).is_err());
    assert!(fs.read_file(journal(2)).is_some());
    (fs, database)
}

#[test]
fn an_unused_journal_is_removed_and_batches_that_came_later_in_the_one_before_count() {
    let (fs, database) = with_an_unused_journal();
    put(&database, "a.json", 3, "later");
    drop(database);
    let database = open(&fs);
    assert_eq!(name(&database, "a.json", 3), Ok(Some("later".into())));
    assert_eq!(warnings(&database), []);
    assert_eq!(fs.read_file(journal(2)), None);
    assert!(!reserved(&fs).iter().any(|name| name.starts_with("cut-")));
}

#[test]
fn an_unused_journal_tells_what_is_missing_from_the_one_before() {
    let (fs, database) = with_an_unused_journal();
    drop(database);
    let whole = fs.read_file(journal(1)).expect("a journal");
    let line = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').expect("two lines") + 1;
    let mut flipped = whole.clone();
    flipped[line + 30] ^= 1;
    for damaged in [Some(&whole[..line]), Some(&flipped[..]), None] {
        let fs = fs.snapshot().kill();
        match damaged {
            Some(damaged) => fs.write_file(journal(1), damaged),
            None => remove(&fs, ".storage/journal-000000000001.jsonl"),
        }
        forget_tip(&fs);
        let before = reserved(&fs);
        assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
        assert_eq!((reserved(&fs), fs.read_file(journal(1)).as_deref()), (before, damaged));
        let report = verified(&fs);
        assert!(!report.is_ok(), "{report}");
    }
}

#[test]
fn a_power_loss_while_two_unused_journals_are_removed_leaves_a_database_that_opens() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    begin_generation(&fs, &database);
    fail_next_sync_of_names(&fs);
    assert!(checkpoint(&database).is_err());
    let fs = fs.kill();
    let is_removal =
        |call: &Call| matches!(call, Call::RemoveFile { path } if **path == *Path::new(&journal(2)));
    let (removing, found) = (fs.clone(), Arc::new(Mutex::new(None)));
    let lost = Arc::clone(&found);
    fs.before(is_removal, move || {
        let syncing = removing.clone();
        let snapshot = move || *lost.lock() = Some(syncing.snapshot());
        removing.before(|call| matches!(call, Call::SyncDir { .. }), snapshot);
    });
    assert_eq!(name(&open(&fs), "a.json", 1), Ok(Some("x".into())));
    let snapshot = found.lock().take().expect("both were removed");
    for fs in snapshot.crash_states(1000, 1) {
        assert_eq!(
            name(&open(&fs), "a.json", 1),
            Ok(Some("x".into())),
            "{}",
            fs.origin().expect("a power loss")
        );
    }
}

#[test]
fn the_next_checkpoint_replaces_the_unused_journal_of_one_that_failed() {
    let (fs, database) = with_an_unused_journal();
    put(&database, "a.json", 3, "later");
    checkpoint(&database).expect("checkpointed");
    drop(database);
    assert_eq!(name(&open(&fs), "a.json", 3), Ok(Some("later".into())));
}
