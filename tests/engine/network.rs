//! Network file systems: only one process may use a database, and a mark that it writes tells which.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octoprompt_storage::engine::fs::{Extreme, Fault, Repeat, SimFs};
use octoprompt_storage::engine::{Database, DatabaseOptions, Error, WarningCode};

const MARK: &str = "/base/.storage/owner";

fn machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs("/base");
    fs.set_network("NFS", "one");
    fs
}

fn open(fs: &SimFs) -> Result<Arc<Database>, Error> {
    let options =
        DatabaseOptions { background: false, lock_timeout: Duration::ZERO, ..DatabaseOptions::default() };
    Database::open(fs.handle(), Path::new("/base"), options)
}

fn code(result: Result<Arc<Database>, Error>) -> Option<&'static str> {
    result.err().map(|error| error.code())
}

#[test]
fn the_first_process_is_warned_and_a_second_one_is_refused() {
    let fs = machine();
    let first = open(&fs.process()).expect("the first one opens");
    let codes: Vec<_> = first.take_warnings().into_iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::UnsupportedFilesystem]);
    assert_eq!(code(open(&fs.process())), Some("UNSUPPORTED_FILESYSTEM"));
    drop(first);
    assert_eq!(fs.read_file(MARK), None);
    open(&fs.process()).expect("the next one opens");
}

#[test]
fn a_mark_of_a_process_on_another_machine_refuses_opening() {
    let fs = machine();
    let first = open(&fs.process()).expect("the first one opens");
    let elsewhere = fs.snapshot().power_loss(&mut Extreme::Everything);
    elsewhere.set_network("NFS", "two");
    let error = open(&elsewhere).err().map(|error| error.to_string()).unwrap_or_default();
    let error = error.replace(std::path::MAIN_SEPARATOR, "/");
    assert!(error.contains("a process on one has it open") && error.contains(MARK), "{error}");
    elsewhere.remove(MARK);
    open(&elsewhere).expect("it opens once the mark is deleted");
    drop(first);
}

#[test]
fn the_mark_of_a_killed_process_does_not_block_its_own_machine() {
    let fs = machine();
    let first = open(&fs).expect("the first one opens");
    let next = fs.kill();
    open(&next).expect("the next one opens");
    drop(first);
}

#[test]
fn the_mark_of_a_killed_process_does_not_block_another_container_of_its_machine() {
    let fs = machine();
    let first = open(&fs).expect("the first one opens");
    fs.set_network("NFS", "container");
    assert_eq!(code(open(&fs.process())), Some("UNSUPPORTED_FILESYSTEM"));
    open(&fs.kill()).expect("the next one opens");
    drop(first);
}

#[test]
fn a_process_that_fails_to_open_leaves_no_mark() {
    let fs = machine();
    let process = fs.process();
    process.fail_when(|call| call.name().starts_with("journal-"), Fault::Io, Repeat::Once);
    assert_eq!(code(open(&process)), Some("IO_ERROR"));
    assert_eq!(fs.read_file(MARK), None);
}

#[test]
fn a_local_file_system_gets_no_mark() {
    let fs = SimFs::new();
    fs.make_dirs("/base");
    let first = open(&fs.process()).expect("the first one opens");
    open(&fs.process()).expect("the second one opens");
    assert!(first.take_warnings().is_empty() && fs.read_file(MARK).is_none());
}
