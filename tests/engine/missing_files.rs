//! JSON files that someone deletes while nothing is left to be written to them. On a simulated file system.

use std::sync::Arc;

use crate::support::simulated::{checkpoint, machine, name, open, put, remove};
use crate::support::{record, spec};
use octoprompt_storage::engine::fs::SimFs;
use octoprompt_storage::engine::{Database, Durability, Result};

/// Two processes that have read `a.json`, which was deleted afterwards, and its content.
fn deleted() -> (SimFs, [Arc<Database>; 2], Vec<u8>) {
    let fs = machine();
    let databases = [open(&fs.process()), open(&fs.process())];
    put(&databases[0], "a.json", 1, "one");
    put(&databases[0], "b.json", 1, "one");
    checkpoint(&databases[0]).expect("checkpointed");
    for database in &databases {
        assert_eq!(name(database, "a.json", 1), Ok(Some("one".into())));
    }
    let content = fs.read_file("/database/a.json").expect("a snapshot");
    remove(&fs, "a.json");
    databases.iter().for_each(|database| database.notice_all_edits().expect("looked at"));
    (fs, databases, content)
}

fn try_put(database: &Database, id: u64) -> Result<()> {
    let (spec, text) = (spec("a.json"), record(id, "new").into_bytes());
    database.write(Durability::Full, move |t| t.put(&spec, id.into(), text))
}

#[test]
fn a_deleted_file_is_damage_in_every_process_but_other_collections_work() {
    let (fs, databases, _) = deleted();
    for database in databases.iter().chain([&open(&fs.process())]) {
        assert_eq!(name(database, "a.json", 1), Err("CORRUPT_DATA"));
        assert_eq!(try_put(database, 2).map_err(|error| error.code()), Err("CORRUPT_DATA"));
        put(database, "b.json", 2, "two");
        checkpoint(database).expect("there is nothing to be written to the file that is gone");
        assert_eq!(name(database, "b.json", 2), Ok(Some("two".into())));
    }
    assert_eq!(fs.read_file("/database/a.json"), None);
}

#[test]
fn a_file_put_back_is_used_again_by_every_process() {
    let (fs, databases, content) = deleted();
    for database in &databases {
        assert_eq!(name(database, "a.json", 1), Err("CORRUPT_DATA"));
    }
    fs.write_file("/database/a.json", &content);
    for database in &databases {
        assert_eq!(name(database, "a.json", 1), Ok(Some("one".into())));
    }
    try_put(&databases[1], 2).expect("written");
    assert_eq!(name(&databases[0], "a.json", 2), Ok(Some("new".into())));
}

#[test]
fn an_empty_map_in_place_of_a_deleted_file_is_a_fresh_start() {
    let (fs, databases, _) = deleted();
    fs.write_file("/database/a.json", b"{}");
    for database in &databases {
        assert_eq!(name(database, "a.json", 1), Ok(None));
    }
    try_put(&databases[1], 2).expect("written");
    assert_eq!(name(&databases[0], "a.json", 2), Ok(Some("new".into())));
}
