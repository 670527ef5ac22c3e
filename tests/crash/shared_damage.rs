//! Damage to a journal while several processes have the database open: whichever meets it reports it, and what was already
//! read stays.

use octoprompt_storage::engine::fs::SimFs;
use octoprompt_storage::engine::{Durability, Error};

use crate::support::no_wait;
use crate::workload::Batch;
use crate::world::{DIRECTORY, Documents, Handle, machine, observe, open, try_observe, try_open};

fn journal(generation: u64) -> String {
    format!("{DIRECTORY}/.storage/journal-{generation:012}.jsonl")
}

/// Changes a journal without the knowledge of any process, and removes its room for more lines.
fn spoil(fs: &SimFs, generation: u64, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs.read_file(journal(generation)).expect("a journal");
    let room = bytes.iter().rev().take_while(|&&byte| byte == b' ').count();
    bytes.truncate(bytes.len() - room);
    how(&mut bytes);
    fs.write_file(journal(generation), &bytes);
}

fn flip_in_last_line(bytes: &mut [u8]) {
    let at = bytes.len() - 10;
    bytes[at] ^= 1;
}

fn put(database: &Handle, version: u32) -> Result<(), Error> {
    Batch::put(0, 1, version).write(database, Durability::Full)
}

fn documents(version: u32) -> Documents {
    Documents::from([((0, 1), version)])
}

/// One process that wrote version 1, and another one that read it.
fn two() -> (SimFs, Handle, Handle) {
    let fs = machine();
    let (writer, reader) = (open(&fs, None).expect("opens"), open(&fs.process(), None).expect("opens"));
    put(&writer, 1).expect("written");
    assert_eq!(observe(&reader), Ok(documents(1)));
    (fs, writer, reader)
}

fn assert_damaged<T>(result: Result<T, Error>, what: &str) {
    let error = result.err().unwrap_or_else(|| panic!("{what} goes unnoticed"));
    assert_eq!(error.code(), "CORRUPT_DATA", "{what}: {error}");
}

#[test]
fn a_batch_damaged_before_other_processes_read_it_is_reported_to_them() {
    let (fs, writer, reader) = two();
    put(&writer, 2).expect("written");
    spoil(&fs, 1, |bytes| flip_in_last_line(bytes));
    assert_damaged(try_observe(&reader), "reading");
    assert_damaged(put(&reader, 3), "writing");
    assert_damaged(try_open(&fs.process(), None), "opening");
}

#[test]
fn a_truncated_journal_is_reported_to_readers_openers_and_writers() {
    let (fs, writer, reader) = two();
    put(&writer, 2).expect("written");
    spoil(&fs, 1, |bytes| bytes.truncate(bytes.len() - 30));
    assert_damaged(try_observe(&reader), "reading");
    assert_damaged(try_open(&fs.process(), None), "opening");
    assert_damaged(put(&writer, 3), "writing after it");
}

#[test]
fn a_damaged_header_in_the_next_journal_is_reported_to_readers_and_openers() {
    let (fs, writer, reader) = two();
    writer.checkpoint(no_wait()).expect("checkpointed");
    put(&writer, 2).expect("written");
    spoil(&fs, 2, |bytes| bytes[30] ^= 1);
    assert_damaged(try_observe(&reader), "reading");
    assert_damaged(try_open(&fs.process(), None), "opening");
}

#[test]
fn a_reader_many_generations_behind_sees_the_newest_state() {
    let (fs, writer, reader) = two();
    for version in 2..8 {
        put(&writer, version).expect("written");
        writer.checkpoint(no_wait()).expect("checkpointed");
    }
    assert!(fs.read_file(journal(1)).is_none(), "the journal it stood in is gone");
    assert_eq!(observe(&reader), Ok(documents(7)));
    put(&reader, 8).expect("written");
    assert_eq!(observe(&writer), Ok(documents(8)));
}

#[test]
fn a_reader_moves_past_a_damaged_older_journal_or_reports_it() {
    let (fs, writer, reader) = two();
    put(&writer, 2).expect("written");
    writer.checkpoint(no_wait()).expect("checkpointed");
    spoil(&fs, 1, |bytes| flip_in_last_line(bytes));
    // The damaged batch is not needed, because the snapshots hold its content.
    match try_observe(&reader) {
        Ok(seen) => assert_eq!(seen, Ok(documents(2))),
        Err(error) => assert_eq!(error.code(), "CORRUPT_DATA", "{error}"),
    }
    assert_eq!(observe(&open(&fs.process(), None).expect("opens")), Ok(documents(2)));
}

#[test]
fn the_newest_journal_suffices_once_snapshots_hold_everything_before_it() {
    let (fs, writer, reader) = two();
    drop((writer, reader));
    let fs = fs.kill();
    let database = open(&fs, None).expect("opens");
    put(&database, 2).expect("written");
    database.checkpoint(no_wait()).expect("checkpointed");
    put(&database, 3).expect("written");
    drop(database);
    // The newest journal alone suffices if it says that the snapshots hold everything before it.
    fs.remove(journal(1));
    assert_eq!(observe(&open(&fs.kill(), None).expect("opens")), Ok(documents(3)));
}
