//! How many files a database keeps open if the system allows few.
#![cfg(unix)]

mod support;

use std::fs;
use std::sync::Arc;

use octoprompt_storage::engine::fs::{Fs, OsFs};
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{Durability, ReadOptions, Transaction, VerifyReport, verify};
use rustix::process::{Resource, Rlimit, setrlimit};
use support::{Fixture, Handle, READ, record, spec, wait};

/// More documents written as streams than files may be open.
const DOCUMENTS: u64 = 400;
/// More collections than files may be open, too.
const COLLECTIONS: u64 = 400;
const LIMIT: u64 = 330;

fn text(id: u64) -> String {
    format!("{{\"id\":{id},\"name\":\"streamed\",\"content\":\"content {id}\"}}")
}

fn put_streamed(database: &Handle, id: u64) {
    let mut spool = database.spool("content", 100).expect("room");
    spool.append(format!("content {id}").as_bytes()).expect("room");
    let head = format!("{{\"id\":{id},\"name\":\"streamed\"");
    let file = database.seal(spool, head.as_bytes()).expect("room");
    database
        .write(Durability::Os, move |t| t.put_file(&spec("items.json"), id.into(), file))
        .expect("written");
}

fn assert_whole(fixture: &Fixture, database: &Handle) {
    for id in 1..=DOCUMENTS {
        assert_eq!(fixture.get(database, id), Some(text(id)));
    }
    assert_eq!(fixture.find(database, "streamed").len(), DOCUMENTS as usize);
}

fn document_files(fixture: &Fixture) -> usize {
    let entries = fs::read_dir(fixture.path(".storage")).expect("a folder").filter_map(Result::ok);
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("document-")).count()
}

fn verified(fixture: &Fixture) -> VerifyReport {
    let fs: Arc<dyn Fs> = Arc::new(OsFs);
    verify(&fs, &fixture.path(""), wait()).expect("readable")
}

/// Limits open files to fewer than are used here.
fn limit_open_files() {
    let limit = Rlimit { current: Some(LIMIT), maximum: Some(LIMIT) };
    setrlimit(Resource::Nofile, limit).expect("a limit");
}

fn path(number: u64) -> String {
    format!("many/{number}.json")
}

fn put_in_each(database: &Handle, name: &str) {
    let name = name.to_owned();
    let put = move |t: &mut Transaction<'_>| {
        (1..=COLLECTIONS)
            .try_for_each(|number| t.put(&spec(&path(number)), 1.into(), record(1, &name).into()))
    };
    database.write(Durability::Os, put).expect("written");
}

fn assert_in_each(database: &Handle, name: &str) {
    let options = ReadOptions { cached: false, ..READ };
    for number in 1..=COLLECTIONS {
        let found = database.get(&spec(&path(number)), &1.into(), options).expect("readable");
        assert_eq!(*found.expect("a document").text, *record(1, name).as_bytes());
    }
}

#[test]
fn reading_and_checkpointing_many_collections_stays_below_the_open_file_limit() {
    limit_open_files();
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    for name in ["one", "two"] {
        put_in_each(&database, name);
        assert_in_each(&other, name);
        fixture.checkpoint(&database);
        assert_in_each(&database, name);
        assert_in_each(&other, name);
    }
    put_in_each(&other, "three");
    drop((database, other));
    // No process has loaded the collections.
    let database = fixture.open();
    fixture.checkpoint(&database);
    assert_in_each(&database, "three");
    assert!(verified(&fixture).is_ok(), "{}", verified(&fixture));
}

#[test]
fn many_streamed_documents_stay_below_the_open_file_limit() {
    limit_open_files();
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    put_streamed(&database, 1);
    assert_eq!(fixture.get(&other, 1), Some(text(1)));
    (2..=DOCUMENTS).for_each(|id| put_streamed(&database, id));
    assert_eq!(document_files(&fixture), DOCUMENTS as usize);
    assert_whole(&fixture, &database);
    assert_whole(&fixture, &other);
    drop((database, other));
    let database = fixture.open();
    assert_whole(&fixture, &database);
    assert!(verified(&fixture).is_ok(), "{}", verified(&fixture));
    let mut reader = database.content(&spec("items.json"), &DOCUMENTS.into(), READ).expect("readable");
    let reader = reader.as_mut().expect("a document");
    let view = database.view(&spec("items.json"), READ).expect("readable");
    let query = Query::default();
    let first = database.slice(&view, &query, None, 1).expect("readable");
    for name in ["one", "two", "three"] {
        let put = move |t: &mut Transaction<'_>| {
            let text = |id: u64| record(id, name).into_bytes();
            (1..=DOCUMENTS).try_for_each(|id| t.put(&spec("items.json"), id.into(), text(id)))
        };
        database.write(Durability::Os, put).expect("written");
        fixture.checkpoint(&database);
    }
    let rest = database.slice(&view, &query, first.last.as_ref(), DOCUMENTS as usize).expect("readable");
    let texts: Vec<_> = first.texts.iter().chain(&rest.texts).map(|text| text.to_vec()).collect();
    assert!(texts.into_iter().eq((1..=DOCUMENTS).map(|id| text(id).into_bytes())));
    let chunk = database.next_chunk(reader).expect("what a reader has begun to read stays");
    assert_eq!(chunk, format!("content {DOCUMENTS}").as_bytes());
    drop(view);
    fixture.put(&database, 1, "four");
    fixture.checkpoint(&database);
    assert_eq!(document_files(&fixture), 0);
}
