//! Which collections have indexes, as reported to a process that declared none of them. On a simulated file system.

use std::path::Path;
use std::sync::Arc;

use crate::support::{record, wait};
use octoprompt_storage::engine::fs::SimFs;
use octoprompt_storage::engine::index::{Extractor, IndexConfig, IndexKey, IndexSpec, IndexType};
use octoprompt_storage::engine::{CollectionSpec, Database, DatabaseOptions, Durability, Foreign};

const DIRECTORY: &str = "/database";

fn no_key(_: &[Option<&[u8]>]) -> Vec<IndexKey> {
    Vec::new()
}

fn spec(path: &str, indexes: &[(&str, Extractor)]) -> Arc<CollectionSpec> {
    let index = |&(name, extractor): &(&str, Extractor)| {
        let fields = vec!["name".into()];
        let config =
            IndexConfig { name: name.into(), kind: IndexType::Hash, fields, unique: false, sparse: false };
        Arc::new(IndexSpec::new(config, extractor))
    };
    let indexes = indexes.iter().map(index).collect();
    Arc::new(CollectionSpec { path: path.into(), large_field: None, indexes, foreign: Foreign::Ask })
}

fn open(fs: &SimFs) -> Arc<Database> {
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    Database::open(fs.handle(), Path::new(DIRECTORY), options).expect("the database opens")
}

/// `a.json` and `b.json` with indexes, `c.json` without, each with a document, in their snapshots.
fn filled() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs(DIRECTORY);
    let database = open(&fs);
    let computed = Extractor::Computed { of: &["name"], rule: no_key, lookup: None, version: 1 };
    for spec in [
        spec("a.json", &[("fields", Extractor::Fields), ("computed", computed)]),
        spec("b.json", &[("fields", Extractor::Fields)]),
        spec("c.json", &[]),
    ] {
        let text = record(1, "one").into_bytes();
        database.write(Durability::Full, move |tx| tx.put(&spec, 1.into(), text)).expect("written");
    }
    database.checkpoint(wait()).expect("checkpointed");
    fs
}

fn names(specs: &[Arc<CollectionSpec>]) -> Vec<(String, Vec<String>)> {
    let indexes =
        |spec: &CollectionSpec| spec.indexes.iter().map(|index| index.config.name.clone()).collect();
    specs.iter().map(|spec| (spec.path.to_string(), indexes(spec))).collect()
}

fn named(path: &str, indexes: &[&str]) -> (String, Vec<String>) {
    (path.into(), indexes.iter().map(|&name| name.into()).collect())
}

#[test]
fn only_indexes_on_fields_are_listed_from_disk() {
    let database = open(&filled());
    let found = names(&database.indexed_collections(|_| true));
    assert_eq!(found, [named("a.json", &["fields"]), named("b.json", &["fields"])]);
}

#[test]
fn declared_indexes_take_precedence_over_indexes_on_disk() {
    let database = open(&filled());
    database.attach(&spec("a.json", &[("other", Extractor::Fields)])).expect("attached");
    database.attach(&spec("new.json", &[("fields", Extractor::Fields)])).expect("attached");
    database.attach(&spec("b.json", &[])).expect("attached");
    let found = names(&database.indexed_collections(|path| path != "c.json"));
    let expected =
        [named("a.json", &["other"]), named("b.json", &["fields"]), named("new.json", &["fields"])];
    assert_eq!(found, expected);
}

#[test]
fn a_collection_that_is_claimed_without_indexes_has_none() {
    let database = open(&filled());
    let claim = database.attach(&spec("b.json", &[])).expect("attached");
    assert_eq!(names(&database.indexed_collections(|path| path == "b.json")), []);
    assert_eq!(
        database.peek_indexed_collections(|path| path == "b.json").map(|found| names(&found)),
        Some(vec![])
    );
    drop(claim);
    let found = names(&database.indexed_collections(|path| path == "b.json"));
    assert_eq!(found, [named("b.json", &["fields"])]);
}

#[test]
fn the_indexes_on_disk_are_those_of_the_last_writer_that_knew_the_collection() {
    let fs = filled();
    let put = |id: u64, indexes: &[(&str, Extractor)]| {
        let (spec, text) = (spec("b.json", indexes), record(id, "more").into_bytes());
        let database = open(&fs);
        database.write(Durability::Full, move |tx| tx.put(&spec, id.into(), text)).expect("written");
        database
    };
    let checkpoint = |database: Arc<Database>| {
        database.checkpoint(wait()).expect("checkpointed");
    };
    let on_disk = || names(&open(&fs).indexed_collections(|path| path == "b.json"));
    drop(put(2, &[("fields", Extractor::Fields)]));
    // This process has no caller that knows the collection.
    checkpoint(open(&fs));
    assert_eq!(on_disk(), [named("b.json", &["fields"])]);
    checkpoint(put(3, &[]));
    assert_eq!(on_disk(), []);
}

#[test]
fn peeking_waits_only_for_wanted_collections() {
    let database = open(&filled());
    database.attach(&spec("a.json", &[("fields", Extractor::Fields)])).expect("attached");
    assert!(database.peek_indexed_collections(|_| true).is_none());
    let found = database.peek_indexed_collections(|path| path == "a.json").expect("known");
    assert_eq!(names(&found), [named("a.json", &["fields"])]);
}

#[test]
fn an_index_checkpoint_of_another_database_is_ignored() {
    let (fs, other) = (filled(), filled());
    for name in fs.handle().list_dir(&Path::new(DIRECTORY).join(".storage")).expect("listed") {
        let path = format!("{DIRECTORY}/.storage/{name}");
        if name.starts_with("index-") {
            fs.write_file(&path, &other.read_file(&path).expect("there too"));
        }
    }
    assert_eq!(names(&open(&fs).indexed_collections(|_| true)), []);
}
