//! Which files are open after a collection was loaded, or could not be.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::engine::database::{DatabaseOptions, ReadOptions};
use crate::engine::fs::SimFs;
use crate::engine::lock::Wait;
use crate::engine::options::Durability;

const READ: ReadOptions = ReadOptions { cached: false, lock_timeout: Duration::from_secs(5) };

fn spec(path: &str) -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec::plain(path))
}

fn open(fs: &SimFs) -> Arc<Database> {
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    Database::open(fs.process().handle(), Path::new("/database"), options).expect("opens")
}

fn put(database: &Database, path: &str, id: u64, name: &str) {
    let (spec, text) = (spec(path), format!("{{\"id\":{id},\"name\":\"{name}\"}}").into_bytes());
    database.write(Durability::Full, move |tx| tx.put(&spec, id.into(), text)).expect("written");
}

fn checkpoint(database: &Database) {
    database.checkpoint(Wait::at_most(Duration::from_secs(5))).expect("checkpointed");
}

fn get(database: &Database, path: &str, id: u64) -> Result<Option<Document>> {
    database.get(&spec(path), &id.into(), READ)
}

fn open_files(database: &Database) -> usize {
    database.state.read().files.open_count()
}

#[test]
fn a_collection_that_cannot_be_loaded_leaves_no_file_open() {
    let fs = SimFs::new();
    fs.make_dirs("/database");
    let database = open(&fs);
    put(&database, "a.json", 1, "one");
    checkpoint(&database);
    put(&database, "a.json", 2, "two");
    drop(database);
    let database = open(&fs);
    let journal = crate::engine::journal::journal_path(Path::new("/database"), 2);
    let text = String::from_utf8(fs.read_file(&journal).expect("a journal")).expect("text");
    fs.write_file(&journal, text.replace("two", "owt").as_bytes());
    let before = open_files(&database);
    for _ in 0..10 {
        assert_eq!(get(&database, "a.json", 2).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    }
    assert_eq!(open_files(&database), before);
}

#[test]
fn reloading_a_collection_closes_its_previous_file() {
    let fs = SimFs::new();
    fs.make_dirs("/database");
    let database = open(&fs);
    for path in ["a.json", "b.json"] {
        put(&database, path, 1, "one");
    }
    checkpoint(&database);
    for path in ["a.json", "b.json"] {
        assert!(get(&database, path, 1).expect("readable").is_some());
    }
    let before = open_files(&database);
    for edit in 0..10 {
        fs.write_file("/database/a.json", format!("{{\"1\":{{\"id\":1,\"name\":\"{edit}\"}}}}").as_bytes());
        database.notice_all_edits().expect("looked at");
        assert!(get(&database, "a.json", 1).expect("readable").is_some());
        assert_eq!(open_files(&database), before);
    }
}
