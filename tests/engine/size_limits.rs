//! Documents that are too large to be returned or accepted, with limits of some bytes instead of some GiB.

use std::fs;
use std::sync::Arc;

use crate::support::{Fixture, Handle, READ, record, spec};
use octoprompt_storage::engine::fs::OsFs;
use octoprompt_storage::engine::{
    CollectionSpec, Database, DatabaseOptions, Durability, Error, Foreign, Part, SizeLimits, Transaction,
};

/// Names of this length make documents of 100 bytes or more, names of one letter shorter ones.
const LONG: &str = "a name that takes so much room that its document is over the limit of a hundred";
const LIMIT: u64 = 100;

fn open(fixture: &Fixture, sizes: SizeLimits) -> Handle {
    let options = DatabaseOptions { background: false, sizes, ..DatabaseOptions::default() };
    Database::open(Arc::new(OsFs), &fixture.path(""), options).expect("the database opens")
}

/// A short document, and a long one of which only the head may be returned.
fn with_one_too_long() -> (Fixture, Handle) {
    let fixture = Fixture::new();
    let database = open(&fixture, SizeLimits { handed_out: LIMIT, ..SizeLimits::default() });
    fixture.put(&database, 1, "a");
    let text = format!("{{\"id\":2,\"name\":\"b\",\"content\":\"{LONG}\"}}");
    assert!(text.len() as u64 > LIMIT);
    database
        .write(Durability::Full, move |t| t.put(&spec("items.json"), 2.into(), text.into_bytes()))
        .expect("written");
    (fixture, database)
}

fn assert_too_large<T>(result: Result<T, Error>) {
    let error = result.err().expect("it is too large");
    assert_eq!(error.code(), "TOO_LARGE");
    assert!(error.to_string().contains("document 2 is longer than a string can be"), "{error}");
}

#[test]
fn reading_a_document_longer_than_a_string_may_be_fails_as_too_large() {
    let (fixture, database) = with_one_too_long();
    assert_too_large(database.get(&fixture.spec(), &2.into(), READ));
    assert_eq!(fixture.get(&database, 1), Some(record(1, "a")));
}

#[test]
fn listing_a_document_longer_than_a_string_may_be_fails_as_too_large() {
    let (fixture, database) = with_one_too_long();
    assert_too_large(database.list(&fixture.spec(), Part::Whole, READ));
    let all = |query: &octoprompt_storage::engine::Queryable<'_>| {
        Ok(query.documents().iter().map(|(id, _)| id.clone()).collect())
    };
    assert_too_large(database.select(&fixture.spec(), Part::Whole, READ, all));
}

#[test]
fn the_head_of_a_too_large_document_can_be_listed_and_searched() {
    let (fixture, database) = with_one_too_long();
    let heads = database.list(&fixture.spec(), Part::Head, READ).expect("readable");
    assert_eq!(&*heads, br#"[{"id":1,"name":"a"},{"id":2,"name":"b"}]"#);
    assert_eq!(fixture.find(&database, "b"), [2]);
}

#[test]
fn the_content_of_a_too_large_document_can_be_streamed() {
    let (fixture, database) = with_one_too_long();
    let reader = database.content(&fixture.spec(), &2.into(), READ).expect("readable");
    let chunk = database.next_chunk(&mut reader.expect("there")).expect("readable");
    assert_eq!(chunk, LONG.as_bytes());
}

#[test]
fn a_document_too_large_for_a_journal_line_is_refused_and_changes_nothing() {
    let fixture = Fixture::new();
    let limit = record(1, "at the limit").len() as u64;
    let database = open(&fixture, SizeLimits { in_line: limit, ..SizeLimits::default() });
    fixture.put(&database, 1, "at the limit");
    let text = record(1, "over the limit").into_bytes();
    let written = database.write(Durability::Full, |t| t.put(&spec("items.json"), 1.into(), text));
    assert_eq!(written.map_err(|error| error.code()), Err("INVALID_ARGUMENT"));
    assert_eq!(fixture.get(&database, 1), Some(record(1, "at the limit")));
}

#[test]
fn a_document_too_large_to_be_read_as_a_whole_is_refused_unless_it_has_a_large_field() {
    let fixture = Fixture::new();
    let database = open(&fixture, SizeLimits { handed_out: LIMIT, ..SizeLimits::default() });
    let [with, without] = [Some("content"), None].map(|large_field| {
        let spec =
            CollectionSpec { path: "other.json".into(), large_field, indexes: vec![], foreign: Foreign::Ask };
        let put = |t: &mut Transaction<'_>| t.put(&Arc::new(spec), 1.into(), record(1, LONG).into_bytes());
        database.write(Durability::Full, put).map_err(|error| error.code())
    });
    assert_eq!((with, without), (Ok(()), Err("INVALID_ARGUMENT")));
}

#[test]
fn white_space_that_is_not_stored_does_not_count_towards_the_limit() {
    let fixture = Fixture::new();
    let limit = record(1, "a").len() as u64;
    let database = open(&fixture, SizeLimits { in_line: limit, ..SizeLimits::default() });
    let text = format!("  {}", record(1, "a")).into_bytes();
    database.write(Durability::Full, |t| t.put(&spec("items.json"), 1.into(), text)).expect("written");
    assert_eq!(fixture.get(&database, 1), Some(record(1, "a")));
}

#[test]
fn a_stream_over_the_size_limit_is_refused_and_leaves_no_file() {
    let fixture = Fixture::new();
    let database = open(&fixture, SizeLimits { streamed: LIMIT as u32, ..SizeLimits::default() });
    let mut spool = database.spool("content", 20).expect("room");
    spool.append(b"not over the limit").expect("room");
    let error = spool.append(LONG.as_bytes()).expect_err("it is too large");
    assert_eq!(error.code(), "INVALID_ARGUMENT");
    drop(spool);
    let names = fs::read_dir(fixture.path(".storage")).expect("a folder").filter_map(Result::ok);
    let left = names.filter(|entry| entry.file_name().to_string_lossy().starts_with("spool-")).count();
    assert_eq!(left, 0);
}
