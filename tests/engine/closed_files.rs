//! Snapshots and documents whose files are closed between reads because other files are in use. On a simulated file system,
//! where a file that nobody holds is closed.

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::support::simulated::{DIRECTORY, checkpoint, machine, open, put, remove, reserved, warnings};
use crate::support::{READ, record, spec, wait};
use octoprompt_storage::engine::fs::{Call, Fault, OpenMode, Repeat, SimFs};
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{Database, Durability, Interactive, Part, ReadOptions, View, WarningCode};

const UNCACHED: ReadOptions = ReadOptions { cached: false, ..READ };

fn closing() -> SimFs {
    let fs = machine();
    fs.set_most_open(0);
    fs
}

/// A process that has written `a.json`, with two documents, and `b.json`.
fn filled() -> (SimFs, Arc<Database>) {
    let fs = closing().process();
    let database = open(&fs);
    put(&database, "a.json", 1, "one");
    put(&database, "a.json", 2, "two");
    put(&database, "b.json", 1, "other");
    checkpoint(&database).expect("checkpointed");
    assert_eq!(texts(&database), ["one", "two"].map(Some));
    (fs, database)
}

fn uncached(database: &Database, path: &str, id: u64) -> Option<String> {
    let found = database.get(&spec(path), &id.into(), UNCACHED).expect("readable");
    found.map(|document| String::from_utf8_lossy(&document.text).into_owned())
}

/// Returns the names of the documents of `a.json`, if they are among those that the tests use.
fn texts(database: &Database) -> [Option<&'static str>; 2] {
    let known = ["one", "two", "three", "edited"];
    [1, 2].map(|id| {
        let found = uncached(database, "a.json", id)?;
        known.into_iter().find(|name| found == record(id, name))
    })
}

fn put_streamed(database: &Database, id: u64) {
    let mut spool = database.spool("content", 100).expect("room");
    spool.append(b"content of streamed").expect("room");
    let head = format!("{{\"id\":{id},\"name\":\"streamed\"");
    let file = database.seal(spool, head.as_bytes()).expect("room");
    database.write(Durability::Full, move |t| t.put_file(&spec("a.json"), id.into(), file)).expect("written");
}

fn document_files(fs: &SimFs) -> usize {
    reserved(fs).iter().filter(|name| name.starts_with("document-")).count()
}

fn rest_of(database: &Database, view: &View) -> Vec<String> {
    let rest = database.slice(view, &Query::default(), Some(&1.into()), 100).expect("readable");
    rest.texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

fn opens_snapshot(call: &Call) -> bool {
    matches!(call, Call::Open { path, mode: OpenMode::Read } if path.ends_with("a.json"))
}

fn opens_document(call: &Call) -> bool {
    let is_document =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("document-"));
    matches!(call, Call::Open { path, mode: OpenMode::Read } if is_document(path))
}

fn begins_snapshot(call: &Call) -> bool {
    let is_new =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("new-"));
    matches!(call, Call::Open { path, mode: OpenMode::CreateNew } if is_new(path))
}

/// Edits a file like an editor that writes another file and moves it into place.
fn replace(fs: &SimFs, path: &str, from: &str, to: &str) {
    let (target, written) = (Path::new(DIRECTORY).join(path), Path::new(DIRECTORY).join("written"));
    let text = String::from_utf8(fs.read_file(&target).expect("a file")).expect("text");
    fs.write_file(&written, text.replace(from, to).as_bytes());
    fs.handle().rename(&written, &target).expect("replaced");
}

#[test]
fn a_snapshot_that_nobody_reads_is_closed() {
    let (_fs, database) = filled();
    let journals = 1;
    assert_eq!(database.statistics().expect("readable").open_files, journals);
}

#[test]
fn an_iteration_reads_its_initial_state_across_checkpoints_of_any_process() {
    let (fs, database) = filled();
    let other = open(&fs.process());
    let view = database.view(&spec("a.json"), READ).expect("readable");
    for database in [&database, &other, &database] {
        put(database, "a.json", 2, "three");
        put(database, "a.json", 2, "two");
        put(database, "a.json", 2, "three");
        checkpoint(database).expect("checkpointed");
        assert_eq!(texts(database), ["one", "three"].map(Some));
    }
    assert_eq!(rest_of(&database, &view), [record(2, "two")]);
}

#[test]
fn an_iteration_reads_streamed_documents_as_they_were_when_it_began() {
    let (fs, database) = filled();
    (2..6).for_each(|id| put_streamed(&database, id));
    let view = database.view(&spec("a.json"), READ).expect("readable");
    for round in 0..3 {
        (2..6).for_each(|id| put(&database, "a.json", id, &format!("round {round}")));
        checkpoint(&database).expect("checkpointed");
    }
    let expected: Vec<String> = (2..6).map(|id| record(id, "streamed")).collect();
    assert_eq!(rest_of(&database, &view), expected);
    drop(view);
    put(&database, "b.json", 1, "another");
    checkpoint(&database).expect("checkpointed");
    assert_eq!(document_files(&fs), 0);
}

#[test]
fn an_iteration_reads_streamed_documents_after_another_process_drops_them() {
    let (fs, database) = filled();
    (2..6).for_each(|id| put_streamed(&database, id));
    let view = database.view(&spec("a.json"), READ).expect("readable");
    let other = open(&fs.process());
    other.write(Durability::Full, |t| t.drop_collection(&spec("a.json"))).expect("dropped");
    assert_eq!(texts(&database), [None, None]);
    for name in ["x", "y", "z"] {
        put(&database, "b.json", 1, name);
        checkpoint(&database).expect("checkpointed");
    }
    let expected: Vec<String> = (2..6).map(|id| record(id, "streamed")).collect();
    assert_eq!(rest_of(&database, &view), expected);
}

#[test]
fn an_iteration_that_begins_during_a_checkpoint_of_another_process_is_consistent() {
    let (fs, database) = filled();
    put_streamed(&database, 3);
    let other = open(&fs.process());
    fs.before(opens_snapshot, move || {
        put(&other, "a.json", 1, "edited");
        checkpoint(&other).expect("checkpointed");
    });
    let view = database.view(&spec("a.json"), READ).expect("readable");
    put(&database, "a.json", 1, "one");
    checkpoint(&database).expect("checkpointed");
    assert_eq!(rest_of(&database, &view), [record(2, "two"), record(3, "streamed")]);
}

#[test]
fn a_read_overtaken_by_a_checkpoint_does_not_reload_the_collection() {
    let (fs, database) = filled();
    put(&database, "a.json", 1, "three");
    let opened = || fs.log().iter().filter(|entry| opens_snapshot(&entry.call)).count();
    let (before, checkpointing) = (opened(), Arc::clone(&database));
    fs.before(opens_snapshot, move || checkpoint(&checkpointing).expect("checkpointed"));
    assert_eq!(uncached(&database, "a.json", 2), Some(record(2, "two")));
    // It is opened by the overtaken read, by the checkpoint, and by the read of what the checkpoint wrote.
    assert_eq!(opened() - before, 3);
}

#[test]
fn a_collection_is_loaded_although_another_process_removes_the_files_of_its_documents() {
    let (fs, database) = filled();
    put_streamed(&database, 3);
    let loading = fs.process();
    let other = open(&loading);
    loading.before(opens_document, move || {
        for name in ["three", "edited"] {
            put(&database, "a.json", 1, name);
            checkpoint(&database).expect("checkpointed");
        }
    });
    assert_eq!(texts(&other), ["edited", "two"].map(Some));
    assert_eq!(uncached(&other, "a.json", 3), Some(record(3, "streamed")));
    assert_eq!(document_files(&fs), 0);
}

#[test]
fn a_process_follows_another_that_removes_the_file_of_a_document_meanwhile() {
    let (fs, database) = filled();
    let following = fs.process();
    let other = open(&following);
    assert_eq!(texts(&other), ["one", "two"].map(Some));
    put_streamed(&database, 3);
    following.before(opens_document, move || {
        for name in ["three", "edited"] {
            put(&database, "a.json", 1, name);
            checkpoint(&database).expect("checkpointed");
        }
    });
    assert_eq!(uncached(&other, "a.json", 3), Some(record(3, "streamed")));
    assert_eq!(texts(&other), ["edited", "two"].map(Some));
    assert_eq!(document_files(&fs), 0);
}

/// A database, and another process that has changed it. The first one has read the change.
fn changed_by_another() -> (Arc<Database>, SimFs, Arc<Database>) {
    let (fs, database) = filled();
    let writing = fs.process();
    let other = open(&writing);
    put(&other, "a.json", 1, "three");
    assert_eq!(texts(&database), ["three", "two"].map(Some));
    (database, writing, other)
}

/// The call that a checkpoint makes after its renames.
fn syncs_directory(call: &Call) -> bool {
    matches!(call, Call::SyncDir { path } if **path == *Path::new(DIRECTORY))
}

#[test]
fn documents_checkpointed_by_another_process_are_read_from_the_new_file() {
    let (fs, database) = filled();
    let other = open(&fs.process());
    for name in ["three", "one", "edited"] {
        put(&other, "a.json", 1, name);
        checkpoint(&other).expect("checkpointed");
        assert_eq!(texts(&database), [name, "two"].map(Some));
    }
}

#[test]
fn a_checkpoint_that_failed_after_its_renames_hides_no_document() {
    let (database, writing, other) = changed_by_another();
    writing.fail_when(syncs_directory, Fault::Io, Repeat::Once);
    assert!(checkpoint(&other).is_err());
    database
        .write(Durability::Full, |t| {
            let found = t.documents(&spec("a.json"), &Query::default())?;
            assert_eq!(found.len(), 2);
            t.put(&spec("a.json"), 1.into(), record(1, "one").into_bytes())
        })
        .expect("written");
    assert_eq!(texts(&database), ["one", "two"].map(Some));
}

#[test]
fn a_transaction_step_finds_documents_that_another_process_is_checkpointing() {
    let (database, writing, other) = changed_by_another();
    // At this moment its snapshot is in place, but no line says so yet.
    let found = Arc::new(Mutex::new(None));
    let (searching, result) = (Arc::clone(&database), Arc::clone(&found));
    writing.before(syncs_directory, move || {
        let wait = wait();
        let step = Interactive::default();
        let texts = step.step(&searching, wait, |t| t.documents(&spec("a.json"), &Query::default()));
        *result.lock().expect("unpoisoned") =
            Some(texts.map(|texts| texts.len()).map_err(|error| error.code()));
    });
    checkpoint(&other).expect("checkpointed");
    assert_eq!(*found.lock().expect("unpoisoned"), Some(Ok(2)));
}

#[test]
fn edits_in_place_and_edits_that_replace_the_file_are_both_adopted() {
    let (fs, database) = filled();
    let path = Path::new(DIRECTORY).join("a.json");
    let text = String::from_utf8(fs.read_file(&path).expect("a file")).expect("text");
    fs.write_file(&path, text.replace("two", "edited").as_bytes());
    assert_eq!(texts(&database), [Some("one"), Some("edited")]);
    replace(&fs, "a.json", "one", "three");
    assert_eq!(texts(&database), [Some("three"), Some("edited")]);
    let list = database.list(&spec("a.json"), Part::Whole, UNCACHED).expect("readable");
    assert_eq!(String::from_utf8_lossy(&list), format!("[{},{}]", record(1, "three"), record(2, "edited")));
}

#[test]
fn a_file_replaced_during_a_checkpoint_does_not_block_other_collections() {
    let (fs, database) = filled();
    put(&database, "a.json", 1, "three");
    put(&database, "b.json", 1, "newer");
    let person = fs.process();
    fs.before(begins_snapshot, move || replace(&person, "a.json", "two", "edited"));
    checkpoint(&database).expect("the other collection is checkpointed");
    let text = fs.read_file("/database/b.json").expect("a snapshot");
    assert!(String::from_utf8_lossy(&text).contains("newer"));
    assert_eq!(texts(&database), [Some("three"), Some("edited")]);
    checkpoint(&database).expect("checkpointed");
    drop(database);
    assert_eq!(texts(&open(&fs.process())), [Some("three"), Some("edited")]);
}

#[test]
fn a_file_removed_while_closed_is_damage_but_other_collections_are_checkpointed() {
    let (fs, database) = filled();
    let content = fs.read_file("/database/a.json").expect("a snapshot");
    put(&database, "a.json", 1, "three");
    put(&database, "b.json", 1, "newer");
    remove(&fs, "a.json");
    for _ in 0..2 {
        let error = checkpoint(&database).expect_err("one file is not up to date");
        assert!(error.code() == "CORRUPT_DATA" && error.to_string().contains("a.json"), "{error}");
    }
    let text = fs.read_file("/database/b.json").expect("a snapshot");
    assert!(String::from_utf8_lossy(&text).contains("newer"));
    fs.write_file("/database/a.json", &content);
    checkpoint(&database).expect("checkpointed");
    assert_eq!(texts(&database), ["three", "two"].map(Some));
}

#[test]
fn a_file_removed_while_open_is_rewritten_even_if_its_reader_ends_meanwhile() {
    let (fs, database) = filled();
    let view = database.view(&spec("a.json"), READ).expect("readable");
    put(&database, "a.json", 1, "three");
    remove(&fs, "a.json");
    fs.before(begins_snapshot, move || drop(view));
    checkpoint(&database).expect("checkpointed");
    assert_eq!(warnings(&database), [WarningCode::SnapshotChanged]);
    assert_eq!(texts(&database), ["three", "two"].map(Some));
    assert_eq!(texts(&open(&fs.process())), ["three", "two"].map(Some));
}
