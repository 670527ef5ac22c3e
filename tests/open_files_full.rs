//! What a database does when the rest of the process has used up all the files that it may open.
#![cfg(unix)]

mod support;

use std::fs::File;

use octoprompt_storage::engine::{Durability, ReadOptions, Transaction};
use rustix::process::{Resource, Rlimit, setrlimit};
use support::{Fixture, Handle, READ, record, spec};

const COLLECTIONS: u64 = 20;

fn path(number: u64) -> String {
    format!("many/{number}.json")
}

fn put(database: &Handle, number: u64, name: &'static str) {
    let put = move |t: &mut Transaction<'_>| t.put(&spec(&path(number)), 1.into(), record(1, name).into());
    database.write(Durability::Full, put).expect("written");
}

fn assert_found(database: &Handle, number: u64, name: &str) {
    let options = ReadOptions { cached: false, ..READ };
    let found = database.get(&spec(&path(number)), &1.into(), options).expect("readable");
    assert_eq!(*found.expect("a document").text, *record(1, name).as_bytes());
}

/// Opens files until no more may be open.
fn use_up() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn files_kept_open_for_reading_are_closed_when_no_more_may_be_open() {
    let limit = Rlimit { current: Some(100), maximum: Some(100) };
    setrlimit(Resource::Nofile, limit).expect("a limit");
    let fixture = Fixture::new();
    let database = fixture.open();
    for number in 1..=COLLECTIONS {
        put(&database, number, "old");
    }
    fixture.checkpoint(&database);
    for number in 1..COLLECTIONS {
        assert_found(&database, number, "old");
    }
    let used = use_up();
    assert_found(&database, COLLECTIONS, "old");
    put(&database, 1, "new");
    fixture.checkpoint(&database);
    assert_found(&database, 1, "new");
    drop(used);
}
