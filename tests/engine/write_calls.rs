//! Which file system calls a durable write makes, and that the calls it avoids are not needed. On a simulated file system.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{record, spec, wait};
use octoprompt_storage::engine::fs::{Call, SimFs};
use octoprompt_storage::engine::{Database, DatabaseOptions, Durability, RoomOptions};

const DIRECTORY: &str = "/database";

fn open(fs: &SimFs) -> Arc<Database> {
    // However long the writes take, they count as following each other at once.
    let room = RoomOptions { block: 4096, within: Duration::MAX };
    let options = DatabaseOptions { background: false, room, ..DatabaseOptions::default() };
    Database::open(fs.handle(), Path::new(DIRECTORY), options).expect("the database opens")
}

/// Reads and changes a document in one transaction.
fn update(database: &Database, name: &str) {
    let (items, text) = (spec("items.json"), record(1, name).into_bytes());
    let work = move |tx: &mut octoprompt_storage::engine::Transaction<'_>| {
        tx.get(&items, &1.into())?;
        tx.put(&items, 1.into(), text)
    };
    database.write(Durability::Full, work).expect("written");
}

/// A process whose journal has room for some more updates.
fn with_room() -> (SimFs, Arc<Database>) {
    let fs = SimFs::new();
    fs.make_dirs(DIRECTORY);
    let database = open(&fs);
    for n in 0.. {
        update(&database, &format!("before {n}"));
        if journal(&fs).ends_with(&[b' '; 1000]) {
            break;
        }
    }
    (fs, database)
}

fn journal(fs: &SimFs) -> Vec<u8> {
    fs.read_file(format!("{DIRECTORY}/.storage/journal-000000000001.jsonl")).expect("a journal")
}

/// Returns the calls of `work`, each with the name of its file. Stores to shared memory are not calls.
fn calls(fs: &SimFs, work: impl FnOnce()) -> Vec<String> {
    let before = fs.log().len();
    work();
    let log = fs.log();
    let made = log[before..].iter().map(|entry| &entry.call);
    let name = |call: &Call| call.path().file_name().map(|name| name.to_string_lossy().into_owned());
    made.filter(|call| !matches!(call, Call::Store { .. }))
        .map(|call| {
            let what = call.to_string();
            let verb = what.split(' ').next().unwrap_or_default().to_owned();
            format!("{verb} {}", name(call).unwrap_or_default().split('-').next().unwrap_or_default())
        })
        .collect()
}

#[test]
fn a_durable_update_makes_only_the_listed_calls() {
    let (fs, database) = with_room();
    let expected = [
        "try_exclusive write.lock",
        "is_current write.lock",
        "is_current open.lock",
        "is_current tip",
        // For what the writer stores, and for the word that says who the writer is. On a file system that writes in place,
        // these make no system calls.
        "prepare_page tip",
        "prepare_page tip",
        // For what follows the last line.
        "read journal",
        // For the document.
        "read journal",
        "write journal",
        "sync_data journal",
        // The page may have been written back meanwhile.
        "prepare_page tip",
        // For the word that says that nobody writes.
        "prepare_page tip",
        "unlock write.lock",
    ];
    assert_eq!(calls(&fs, || update(&database, "changed")), expected);
}

#[test]
fn the_length_of_room_made_by_another_process_is_looked_up_once() {
    let (fs, database) = with_room();
    drop(database);
    let database = open(&fs.process());
    let asked = |name: &str| {
        let made = calls(&fs, || update(&database, name));
        made.iter().filter(|call| *call == "metadata journal").count()
    };
    let len = journal(&fs).len();
    assert_eq!([asked("one"), asked("two")], [1, 0]);
    assert_eq!(journal(&fs).len(), len, "the lines went into the room");
}

#[test]
fn a_checkpoint_syncs_a_directory_once_for_all_removals_from_it() {
    let syncs = |removed: usize| {
        let fs = SimFs::new();
        fs.make_dirs(format!("{DIRECTORY}/gone"));
        let database = open(&fs);
        let work = move |tx: &mut octoprompt_storage::engine::Transaction<'_>| {
            (0..removed).try_for_each(|at| tx.remove_path(&format!("gone/{at}")))
        };
        database.write(Durability::Full, work).expect("written");
        let checkpoint = || {
            database.checkpoint(wait()).expect("checkpointed");
        };
        calls(&fs, checkpoint).iter().filter(|call| *call == "sync_dir gone").count()
    };
    assert_eq!([syncs(1), syncs(30)], [1, 1]);
}

#[test]
fn a_batch_that_needs_removed_paths_again_syncs_their_directory_once() {
    let syncs = |removed: usize| {
        let fs = SimFs::new();
        fs.make_dirs(format!("{DIRECTORY}/gone"));
        let database = open(&fs);
        let paths: Vec<String> = (0..removed).map(|at| format!("gone/{at}")).collect();
        let again = paths.clone();
        let remove = move |tx: &mut octoprompt_storage::engine::Transaction<'_>| {
            paths.iter().try_for_each(|path| tx.remove_path(path))
        };
        database.write(Durability::Full, remove).expect("removed");
        let keep = move |tx: &mut octoprompt_storage::engine::Transaction<'_>| {
            tx.put(&spec("items.json"), 1.into(), record(1, "a").into_bytes())?;
            tx.keep_entity_paths(again.iter().map(String::as_str))
        };
        let write = || database.write(Durability::Full, keep).expect("written");
        calls(&fs, write).iter().filter(|call| *call == "sync_dir gone").count()
    };
    assert_eq!([syncs(1), syncs(30)], [1, 1]);
}
