//! When index checkpoints are written and removed, and that a failure to do so harms nothing.

use std::path::Path;

use octoprompt_storage::engine::Durability;
use octoprompt_storage::engine::fs::{Call, Fault, Repeat};

use crate::support::{READ, record, wait};
use crate::world::{
    DIRECTORY, checkpoint, filled, found, index_file, loading_looks_at, looked_at, machine, open, put,
    reserved, spec, spec_with,
};

#[test]
fn a_checkpoint_of_a_collection_writes_its_missing_index_checkpoint() {
    let fs = filled();
    fs.remove(index_file(&fs));
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 3);
    let database = open(&fs);
    put(&database, &spec("a.json"), 4, "plum");
    checkpoint(&database);
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
}

#[test]
fn persisting_replaces_a_stale_index_checkpoint_left_by_an_earlier_checkpoint() {
    let fs = filled();
    put(&open(&fs), &spec("a.json"), 4, "plum");
    let fs = fs.kill();
    // A checkpoint that knows no indexes of the collection leaves the index checkpoint of the previous snapshot in place.
    checkpoint(&open(&fs));
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 4);
    let database = open(&fs);
    database.persist_indexes(&spec("a.json"), READ).expect("persisted");
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
}

#[test]
fn a_checkpoint_succeeds_if_its_index_checkpoint_cannot_be_written() {
    let touches = |call: &Call| call.path().to_string_lossy().contains("index-");
    let changes = move |call: &Call| touches(call) && call.changes_state();
    for fault in [Fault::Io, Fault::NoSpace { written: 30 }, Fault::ReadOnly] {
        for repeat in [Repeat::Once, Repeat::Forever] {
            let fs = filled();
            let database = open(&fs);
            put(&database, &spec("a.json"), 2, "plum");
            fs.fail_when(changes, fault, repeat);
            checkpoint(&database);
            assert!(fs.faults() > 0);
            assert!(database.take_warnings().is_empty());
            let looked = loading_looks_at(&fs, &spec("a.json"));
            fs.heal();
            put(&database, &spec("a.json"), 2, "pear");
            checkpoint(&database);
            assert_eq!((looked, loading_looks_at(&fs, &spec("a.json"))), (3, 0), "{fault:?} {repeat:?}");
            assert!(reserved(&fs, "new-").is_empty());
        }
    }
}

#[test]
fn index_checkpoints_of_dropped_and_unknown_collections_are_removed() {
    let fs = filled();
    let unknown = format!("{DIRECTORY}/.storage/index-0123456789abcdef");
    fs.write_file(&unknown, b"of a collection that nobody knows");
    let database = open(&fs);
    assert_eq!(fs.read_file(&unknown), None, "recovery removes it");
    fs.write_file(&unknown, b"again");
    put(&database, &spec("b.json"), 1, "plum");
    let dropped = spec("a.json");
    database.write(Durability::Full, move |t| t.drop_collection(&dropped)).expect("dropped");
    checkpoint(&database);
    assert_eq!(fs.read_file(&unknown), None, "so does a checkpoint");
    assert_eq!(reserved(&fs, "index-").len(), 1);
}

#[test]
fn removing_index_checkpoints_costs_only_a_scan() {
    let fs = filled();
    let database = open(&fs);
    let wait = wait();
    for _ in 0..2 {
        database.remove_index_checkpoints(&spec("a.json"), wait).expect("removed");
        assert!(reserved(&fs, "index-").is_empty());
    }
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 3);
}

#[test]
fn persisting_indexes_rewrites_a_changed_snapshot_but_not_an_unchanged_one() {
    let fs = filled();
    let database = open(&fs);
    let snapshot = || fs.handle().metadata(Path::new("/database/a.json")).expect("looked up");
    database.remove_index_checkpoints(&spec("a.json"), wait()).expect("removed");
    let before = snapshot();
    database.persist_indexes(&spec("a.json"), READ).expect("persisted");
    assert_eq!(snapshot(), before);
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
    put(&database, &spec("a.json"), 9, "plum");
    database.persist_indexes(&spec("a.json"), READ).expect("persisted");
    assert_ne!(snapshot(), before);
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
}

#[test]
fn persisting_indexes_adopts_a_recent_edit_first() {
    let fs = filled();
    let database = open(&fs);
    found(&database, &spec("a.json"));
    let edited = format!("{{\"7\":{}}}", record(7, "plum"));
    fs.write_file(format!("{DIRECTORY}/a.json"), edited.as_bytes());
    database.persist_indexes(&spec("a.json"), READ).expect("persisted");
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
    assert_eq!(found(&database, &spec("a.json")).1, [record(7, "plum")]);
}

#[test]
fn persisting_absent_indexes_writes_nothing() {
    let fs = machine();
    let database = open(&fs);
    database.persist_indexes(&spec("a.json"), READ).expect("nothing to do");
    let bare = spec_with("b.json", None, Vec::new());
    put(&database, &bare, 1, "plum");
    database.persist_indexes(&bare, READ).expect("nothing to do");
    assert!(reserved(&fs, "index-").is_empty());
}

#[test]
fn on_a_read_only_disk_index_checkpoints_are_read_but_not_written() {
    let fs = filled();
    let process = fs.process();
    process.fail_when(Call::changes_state, Fault::ReadOnly, Repeat::Forever);
    let database = open(&process);
    let (count, _) = looked_at(|| found(&database, &spec("a.json")));
    assert_eq!(count, 0);
    let wait = wait();
    for result in [
        database.persist_indexes(&spec("a.json"), READ),
        database.remove_index_checkpoints(&spec("a.json"), wait),
    ] {
        assert_eq!(result.map_err(|error| error.code()), Err("IO_ERROR"));
    }
}

#[test]
fn rebuilding_indexes_reads_every_document_and_rewrites_the_index_checkpoint() {
    let fs = filled();
    let path = index_file(&fs);
    fs.write_file(&path, b"rubbish");
    let database = open(&fs);
    let (count, ()) = looked_at(|| database.rebuild_indexes(&spec("a.json"), READ).expect("rebuilt"));
    // Once for memory and once for the file.
    assert_eq!(count, 6);
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
}
