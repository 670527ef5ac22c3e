//! Files of the engine that someone replaces while a database is open: nobody would find what is written to the old ones. On
//! a simulated file system.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::support::simulated::{DIRECTORY, begin_generation, machine, open};
use crate::support::{READ, no_wait, record, spec, wait};
use octoprompt_storage::engine::fs::{FileKind, Fs, SimFs};
use octoprompt_storage::engine::{
    Database, DatabaseOptions, Durability, Part, Peek, Registry, Request, Wait, WriteOptions,
};

const OPTIONS: fn() -> DatabaseOptions =
    || DatabaseOptions { background: false, ..DatabaseOptions::default() };

type Told<T> = std::result::Result<T, &'static str>;

fn put(database: &Database, id: u64) -> Told<()> {
    let (spec, text) = (spec("items.json"), record(id, "x").into_bytes());
    let written = database.write(Durability::Full, move |tx| tx.put(&spec, id.into(), text));
    written.map_err(|error| error.code())
}

fn has(database: &Database, id: u64) -> Told<bool> {
    let found = database.get(&spec("items.json"), &id.into(), READ).map_err(|error| error.code())?;
    Ok(found.is_some())
}

fn sentence(database: &Database) -> String {
    let text = record(1, "x").into_bytes();
    let written = database.write(Durability::Full, move |tx| tx.put(&spec("items.json"), 1.into(), text));
    written.map_err(|error| error.to_string()).expect_err("refused")
}

/// Returns all files below a directory with their content.
fn files(fs: &SimFs, directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for name in fs.list_dir(directory).expect("a directory") {
        let path = directory.join(name);
        match fs.metadata(&path).expect("readable").expect("there").kind {
            FileKind::Directory => found.extend(files(fs, &path)),
            _ => found.push((path.clone(), fs.read_file(&path).expect("a file"))),
        }
    }
    found
}

/// Removes files and puts others with the same bytes in their place.
fn replace(fs: &SimFs, chosen: impl Fn(&Path) -> bool) {
    for (path, bytes) in files(fs, Path::new(DIRECTORY)).into_iter().filter(|(path, _)| chosen(path)) {
        fs.remove(&path);
        fs.write_file(&path, &bytes);
    }
}

fn is_named(path: &Path, part: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(part))
}

#[test]
fn reads_and_writes_fail_once_the_directory_was_replaced() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, 1), Ok(()));
    replace(&fs, |_| true);
    let other = open(&fs.process());
    assert_eq!(has(&other, 1), Ok(true));
    assert_eq!(put(&other, 2), Ok(()));
    assert_eq!([put(&database, 3), put(&database, 4)], [Err("IO_ERROR"); 2]);
    assert!(sentence(&database).contains("open it again"), "{}", sentence(&database));
    assert_eq!(has(&database, 1), Err("IO_ERROR"));
    assert_eq!(database.peek(&spec("items.json"), &1.into(), READ), Peek::Wait);
    let list = database.list(&spec("items.json"), Part::Whole, READ);
    assert_eq!(list.map(drop).map_err(|error| error.code()), Err("IO_ERROR"));
    let checkpoint = database.checkpoint(Wait::at_most(Duration::from_secs(1)));
    assert_eq!(checkpoint.map_err(|error| error.code()), Err("IO_ERROR"));
    drop(database);
    let database = open(&fs);
    assert_eq!(put(&database, 5), Ok(()));
    drop((database, other));
    let found = open(&fs.process());
    assert_eq!([1, 2, 3, 4, 5].map(|id| has(&found, id)), [true, true, false, false, true].map(Ok));
}

#[test]
fn a_reader_learns_from_another_process_that_the_directory_was_replaced() {
    let fs = machine();
    let (writer, reader) = (open(&fs), open(&fs.process()));
    assert_eq!(put(&writer, 1), Ok(()));
    assert_eq!(has(&reader, 1), Ok(true));
    replace(&fs, |_| true);
    assert_eq!(put(&writer, 2), Err("IO_ERROR"));
    assert_eq!(has(&reader, 1), Err("IO_ERROR"));
}

#[test]
fn reads_and_writes_fail_once_the_tip_or_the_journal_was_replaced() {
    for replaced in [&["tip"][..], &["journal-", ".lock"]] {
        let fs = machine();
        let database = open(&fs);
        assert_eq!(put(&database, 1), Ok(()));
        replace(&fs, |path| replaced.iter().any(|part| is_named(path, part)));
        assert_eq!([put(&database, 2), put(&database, 3)], [Err("IO_ERROR"); 2], "{replaced:?}");
        assert_eq!(has(&database, 1), Err("IO_ERROR"), "{replaced:?}");
    }
}

#[test]
fn reads_and_checkpoints_fail_once_the_directory_was_removed() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, 1), Ok(()));
    for (path, _) in files(&fs, Path::new(DIRECTORY)) {
        fs.remove(path);
    }
    fs.remove("/database/.storage");
    let checkpoint = database.checkpoint(no_wait()).expect_err("nothing is there");
    assert!(checkpoint.to_string().contains("removed"), "{checkpoint}");
    assert!(checkpoint.to_string().contains("open it again"), "{checkpoint}");
    assert!(sentence(&database).contains("open it again"), "{}", sentence(&database));
    assert_eq!(has(&database, 1), Err("IO_ERROR"));
}

#[test]
fn a_collection_asked_for_after_the_directory_was_removed_is_not_called_damaged() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, 1), Ok(()));
    database.checkpoint(Wait::at_most(Duration::from_secs(1))).expect("checkpointed");
    drop(database);
    let database = open(&fs);
    files(&fs, Path::new(DIRECTORY)).into_iter().for_each(|(path, _)| fs.remove(path));
    assert_eq!(has(&database, 1), Err("IO_ERROR"));
    assert!(sentence(&database).contains("open it again"), "{}", sentence(&database));
}

#[test]
fn verifying_fails_once_the_tip_was_replaced() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, 1), Ok(()));
    replace(&fs, |path| is_named(path, "tip"));
    let report = database.verify(Wait::at_most(Duration::from_secs(1)));
    assert_eq!(report.map(drop).map_err(|error| error.code()), Err("IO_ERROR"));
}

#[test]
fn replaced_lock_files_are_locked_again_and_writes_go_on() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, 1), Ok(()));
    replace(&fs, |path| is_named(path, ".lock"));
    assert_eq!([put(&database, 2), put(&database, 3)], [Ok(()); 2]);
    let presence = fs.process().lock_file(Path::new("/database/.storage/open.lock")).expect("a lock file");
    assert!(!presence.try_exclusive().expect("lockable"), "others see that it is open");
    drop(database);
    assert_eq!([1, 2, 3].map(|id| has(&open(&fs.process()), id)), [Ok(true); 3]);
}

#[test]
fn writes_time_out_while_another_process_holds_a_replaced_lock_file() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, 1), Ok(()));
    replace(&fs, |path| is_named(path, "open.lock"));
    let presence = fs.process().lock_file(Path::new("/database/.storage/open.lock")).expect("a lock file");
    assert!(presence.try_exclusive().expect("lockable"));
    let put_at_once = |id: u64| {
        let (spec, text) = (spec("items.json"), record(id, "x").into_bytes());
        let options = WriteOptions { durability: Durability::Full, wait: no_wait() };
        let (told, answer) = std::sync::mpsc::channel();
        let done = move |result: octoprompt_storage::engine::Result<()>| {
            told.send(result.map_err(|error| error.code())).expect("somebody waits");
        };
        let work = move |tx: &mut octoprompt_storage::engine::Transaction<'_>| tx.put(&spec, id.into(), text);
        if database.submit(Request::new(options, work, done)) {
            database.drain();
        }
        answer.recv().expect("every write is answered")
    };
    assert_eq!([put_at_once(2), put_at_once(3)], [Err("LOCK_TIMEOUT"); 2]);
    presence.unlock().expect("unlocked");
    assert_eq!(put_at_once(4), Ok(()));
    assert!(!presence.try_exclusive().expect("lockable"), "others see that it is open");
}

#[test]
fn a_database_whose_files_were_replaced_can_be_opened_beside_the_old_handle() {
    let fs = machine();
    let registry = Registry::default();
    let shared = || registry.open(&fs.handle(), Path::new(DIRECTORY), OPTIONS(), wait()).expect("opens");
    let old = shared();
    assert_eq!(put(&old, 1), Ok(()));
    replace(&fs, |_| true);
    let new = shared();
    assert!(!Arc::ptr_eq(&old, &new));
    assert_eq!([put(&old, 2), put(&new, 3)], [Err("IO_ERROR"), Ok(())]);
    assert!(Arc::ptr_eq(&new, &shared()));
    drop((old, new));
    assert_eq!([1, 2, 3].map(|id| has(&shared(), id)), [Ok(true), Ok(false), Ok(true)]);
}

/// What becomes of the files if the database goes on from here with documents 2 and 3, and a checkpoint that only gets as
/// far as to begin the next journal.
fn files_of_another_history(fs: &SimFs) -> Vec<(PathBuf, Vec<u8>)> {
    let fs = fs.snapshot().kill();
    let database = open(&fs);
    assert_eq!([put(&database, 2), put(&database, 3)], [Ok(()); 2]);
    begin_generation(&fs, &database);
    files(&fs, Path::new(DIRECTORY))
}

#[test]
fn memory_does_not_mix_with_another_history_that_is_written_over_the_files() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, 1), Ok(()));
    let other = files_of_another_history(&fs);
    // One batch, but more bytes than the other history has before its next journal.
    let (spec, text) = (spec("items.json"), record(4, &"long".repeat(1000)).into_bytes());
    database.write(Durability::Full, move |tx| tx.put(&spec, 4.into(), text)).expect("written");
    other.iter().for_each(|(path, bytes)| fs.write_file(path, bytes));
    assert_eq!([1, 2, 3, 4].map(|id| has(&database, id)), [true, true, true, false].map(Ok));
}
