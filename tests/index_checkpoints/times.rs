//! When an index was first built and last changed.

use octoprompt_storage::engine::fs::SimFs;
use octoprompt_storage::engine::{Database, Durability};

use crate::support::READ;
use crate::world::{checkpoint, filled, index_file, open, put, spec};

/// In milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    first_built: u64,
    last_changed: u64,
}

fn times(database: &Database) -> Times {
    let times = database.query(&spec("a.json"), READ, |query| query.times("hash")).expect("loaded");
    let times = times.expect("an index");
    Times { first_built: times.first_built, last_changed: times.last_changed }
}

/// Returns the times as a new process reports them.
fn told(fs: &SimFs) -> Times {
    times(&open(&fs.process()))
}

#[test]
fn an_index_keeps_the_time_when_it_was_first_built() {
    let fs = filled();
    let first = told(&fs);
    let database = open(&fs.process());
    put(&database, &spec("a.json"), 2, "plum");
    let changed = times(&database);
    assert_eq!(changed.first_built, first.first_built);
    assert!(changed.last_changed > first.last_changed);
    checkpoint(&database);
    assert_eq!(told(&fs), changed);
    // A stale file still tells how long the index has existed.
    let stale = fs.read_file(index_file(&fs)).expect("an index checkpoint");
    put(&database, &spec("a.json"), 2, "pear");
    checkpoint(&database);
    fs.write_file(index_file(&fs), &stale);
    assert_eq!(told(&fs).first_built, first.first_built);
}

#[test]
fn a_write_that_does_not_change_an_index_does_not_change_its_time() {
    let fs = filled();
    let database = open(&fs);
    let a = spec("a.json");
    let before = times(&database);
    let text = br#"{"id":1,"name":"red apple","content":"other"}"#.to_vec();
    database.write(Durability::Full, move |t| t.put(&a, 1.into(), text)).expect("written");
    assert_eq!(times(&database), before);
}
