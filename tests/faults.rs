//! What a damaged, missing or read-only file may do to a database, and what it may not. On a simulated file system.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octoprompt_storage::engine::fs::{Call, Fault, Repeat, SimFs};
use octoprompt_storage::engine::{Database, DatabaseOptions, Durability, Part, Result, Wait, WarningCode};
use support::{READ, record, spec};

const DIRECTORY: &str = "/database";

fn machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs(DIRECTORY);
    fs
}

fn try_open(fs: &SimFs) -> Result<Arc<Database>> {
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    Database::open(fs.handle(), Path::new(DIRECTORY), options)
}

fn open(fs: &SimFs) -> Arc<Database> {
    try_open(fs).expect("the database opens")
}

fn put(database: &Database, path: &str, id: u64, name: &str) {
    let (spec, text) = (spec(path), record(id, name).into_bytes());
    database.write(Durability::Full, move |t| t.put(&spec, id.into(), text)).expect("written");
}

/// The name of a document, or the code of the error.
fn name(database: &Database, path: &str, id: u64) -> std::result::Result<Option<String>, &'static str> {
    let found = database.get(&spec(path), &id.into(), READ).map_err(|error| error.code())?;
    Ok(found.map(|document| {
        let name = octoprompt_storage::engine::json::get(&document.text, "name").expect("a name");
        octoprompt_storage::engine::json::unescape_lossy(name).into_owned()
    }))
}

fn checkpoint(database: &Database) -> Result<()> {
    database.checkpoint(Wait::at_most(Duration::from_secs(1)))
}

fn remove(fs: &SimFs, name: &str) {
    fs.handle().remove_file(&Path::new(DIRECTORY).join(name)).expect("removable");
}

fn reserved(fs: &SimFs) -> Vec<String> {
    fs.handle().list_dir(&Path::new(DIRECTORY).join(".storage")).expect("the reserved folder")
}

#[test]
fn a_missing_snapshot_keeps_what_the_journal_holds_until_it_is_back() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "old");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 2, "acknowledged");
    drop(database);
    let snapshot = fs.read_file("/database/a.json").expect("a snapshot");
    remove(&fs, "a.json");
    let database = open(&fs);
    assert_eq!(name(&database, "a.json", 2), Err("CORRUPT_DATA"));
    for round in 0..3 {
        put(&database, "b.json", round, "beside it");
        let left_out = checkpoint(&database).map_err(|error| error.code());
        assert_eq!(left_out, Err("CORRUPT_DATA"));
        assert!(fs.read_file("/database/b.json").is_some());
    }
    fs.write_file("/database/a.json", &snapshot);
    assert_eq!(name(&database, "a.json", 2), Ok(Some("acknowledged".into())));
    drop(database);
    let database = open(&fs);
    assert_eq!(name(&database, "a.json", 1), Ok(Some("old".into())));
    assert_eq!(name(&database, "a.json", 2), Ok(Some("acknowledged".into())));
}

#[test]
fn a_missing_older_journal_that_is_needed_is_damage() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    let is_new = |path: &Path| path.to_string_lossy().contains("new-");
    fs.fail_when(
        move |call| matches!(call, Call::Open { path, .. } if is_new(path)),
        Fault::Io,
        Repeat::Once,
    );
    assert!(checkpoint(&database).is_err());
    put(&database, "a.json", 2, "y");
    drop(database);
    remove(&fs, ".storage/journal-000000000001.jsonl");
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
}

#[test]
fn a_missing_newest_journal_is_noticed_while_the_machine_runs() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 2, "y");
    drop(database);
    remove(&fs, ".storage/journal-000000000002.jsonl");
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    remove(&fs, ".storage/journal-000000000001.jsonl");
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
}

#[test]
fn a_read_only_directory_serves_files_that_the_engine_did_not_write() {
    let fs = machine();
    let pretty = format!("{{ \"1\": {}, \"2\": {{ \"id\" : 2, \"name\": \"b\" }} }}", record(1, "a"));
    fs.write_file("/database/a.json", pretty.as_bytes());
    fs.fail_when(Call::changes_state, Fault::ReadOnly, Repeat::Forever);
    let database = open(&fs);
    assert_eq!(name(&database, "a.json", 1), Ok(Some("a".into())));
    assert_eq!(name(&database, "a.json", 2), Ok(Some("b".into())));
    let list = database.list(&spec("a.json"), Part::Head, READ).expect("a list");
    assert_eq!(String::from_utf8_lossy(&list), r#"[{"id":1,"name":"a"},{"id":2,"name":"b"}]"#);
    let (to, text) = (spec("a.json"), record(3, "c").into_bytes());
    let written = database.write(Durability::Full, move |t| t.put(&to, 3.into(), text));
    assert_eq!(written.map_err(|error| error.code()), Err("IO_ERROR"));
}

#[test]
fn a_failed_checkpoint_leaves_no_files_behind_for_long() {
    let fs = machine();
    let database = open(&fs);
    for round in 0..3 {
        put(&database, "a.json", round, "x");
        put(&database, "b.json", round, "x");
        let second =
            |path: &Path| path.to_string_lossy().contains("new-") && path.to_string_lossy().ends_with("-1");
        let full = Fault::NoSpace { written: 0 };
        fs.fail_when(
            move |call| matches!(call, Call::Write { path, .. } if second(path)),
            full,
            Repeat::Once,
        );
        assert!(checkpoint(&database).is_err());
        assert!(reserved(&fs).iter().filter(|name| name.starts_with("new-")).count() <= 1);
    }
    checkpoint(&database).expect("checkpointed");
    assert!(!reserved(&fs).iter().any(|name| name.starts_with("new-")));
}

#[test]
fn a_checkpoint_fails_for_the_damaged_file_that_it_leaves_out_once_the_others_are_written() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 2, "y");
    put(&database, "b.json", 1, "z");
    remove(&fs, "a.json");
    fs.write_file("/database/a.json", b"");
    // Whether memory knew the file or not.
    for _ in 0..2 {
        let error = checkpoint(&database).expect_err("one file is not up to date");
        assert_eq!(error.code(), "CORRUPT_DATA");
        assert!(error.to_string().contains("a.json") && error.to_string().contains("repair"), "{error}");
    }
    assert!(fs.read_file("/database/b.json").is_some());
    assert!(database.take_warnings().is_empty());
}

#[test]
fn a_file_that_was_removed_while_open_is_written_again_from_what_is_known_of_it() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 2, "y");
    remove(&fs, "a.json");
    checkpoint(&database).expect("checkpointed");
    let codes: Vec<WarningCode> = database.take_warnings().into_iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::SnapshotChanged]);
    let text = fs.read_file("/database/a.json").expect("a snapshot");
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("\"1\":") && text.contains("\"2\":"), "{text}");
}

#[test]
fn a_file_that_is_gone_and_was_never_read_fails_the_checkpoint() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 2, "y");
    drop(database);
    remove(&fs, "a.json");
    let database = open(&fs);
    assert_eq!(checkpoint(&database).map_err(|error| error.code()), Err("CORRUPT_DATA"));
}
