//! What a caller knows of a collection as of a certain batch, and writes that rely on it.

use std::sync::Arc;

use crate::support::{Fixture, Handle, record, wait};
use octoprompt_storage::engine::document::{DocumentId, Given};
use octoprompt_storage::engine::{
    Durability, Error, Moment, Request, Result, Transaction, WriteOptions, write_difference,
};
use parking_lot::Mutex;

fn now(database: &Handle) -> Moment {
    Moment { engine: database.number(), seq: database.known_sequence() }
}

fn is_unchanged_since(fixture: &Fixture, database: &Handle, moment: Moment) -> bool {
    let spec = fixture.spec();
    database.write(Durability::Full, move |t| t.is_unchanged_since(&spec, moment)).expect("looked at")
}

type Work = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<u64> + Send>;

/// Runs requests as one group and returns the result of each.
fn group(database: &Handle, works: Vec<Work>) -> Vec<Result<u64>> {
    let results: Arc<Mutex<Vec<Result<u64>>>> = Arc::new(Mutex::new(vec![Err(Error::Closed); works.len()]));
    let mut drain = false;
    for (at, work) in works.into_iter().enumerate() {
        let results = Arc::clone(&results);
        let options = WriteOptions { durability: Durability::Full, wait: wait() };
        drain |= database.submit(Request::new(options, work, move |result| results.lock()[at] = result));
    }
    assert!(drain);
    database.drain();
    let results = results.lock();
    results.clone()
}

/// A request that puts a document and then returns its sequence number or fails.
fn putting(fixture: &Fixture, id: u64, fails: bool) -> Work {
    let spec = fixture.spec();
    Box::new(move |t| {
        t.put(&spec, id.into(), record(id, "a").into_bytes())?;
        if fails { Err(Error::Closed) } else { Ok(t.sequence()) }
    })
}

/// A request that returns whether the collection is unchanged.
fn looking(fixture: &Fixture, moment: Moment) -> Work {
    let spec = fixture.spec();
    Box::new(move |t| t.is_unchanged_since(&spec, moment).map(u64::from))
}

#[test]
fn a_collection_is_unchanged_until_one_of_its_documents_changes() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    let before = now(&database);
    let nested = fixture.nested();
    database
        .write(Durability::Full, move |t| t.put(&nested, 1.into(), record(1, "elsewhere").into_bytes()))
        .expect("written");
    assert!(is_unchanged_since(&fixture, &database, before));
    fixture.put(&database, 1, "b");
    assert!(!is_unchanged_since(&fixture, &database, before));
    assert!(is_unchanged_since(&fixture, &database, now(&database)));
}

#[test]
fn a_change_by_another_process_counts_as_a_change() {
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    fixture.put(&database, 1, "a");
    let before = now(&database);
    fixture.delete(&other, 1);
    assert!(!is_unchanged_since(&fixture, &database, before));
}

#[test]
fn an_edit_by_hand_counts_as_a_change() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    fixture.checkpoint(&database);
    drop(database);
    let database = fixture.open();
    let before = now(&database);
    std::fs::write(fixture.path("items.json"), format!("{{\"1\":{}}}", record(1, "edited"))).expect("edited");
    assert!(!is_unchanged_since(&fixture, &database, before));
}

#[test]
fn dropping_a_collection_counts_as_a_change() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    let before = now(&database);
    let spec = fixture.spec();
    let dropping: Work = Box::new(move |t| t.drop_collection(&spec).map(|()| 0));
    let results = group(&database, vec![dropping, looking(&fixture, before)]);
    assert_eq!(*results[1].as_ref().expect("looked at"), 0);
    assert!(!is_unchanged_since(&fixture, &database, before));
}

#[test]
fn earlier_requests_of_a_group_count_as_changes_unless_they_failed() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "b");
    let before = now(&database);
    let works = vec![
        looking(&fixture, before),
        putting(&fixture, 2, true),
        looking(&fixture, before),
        putting(&fixture, 2, false),
        looking(&fixture, before),
    ];
    let results = group(&database, works);
    let looked = [0, 2, 4].map(|at| *results[at].as_ref().expect("looked at"));
    assert_eq!(looked, [1, 1, 0]);
}

#[test]
fn a_moment_of_another_engine_is_not_trusted() {
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    fixture.put(&database, 1, "a");
    let foreign = Moment { engine: other.number(), ..now(&database) };
    assert!(!is_unchanged_since(&fixture, &database, foreign));
}

#[test]
fn forgotten_changes_count_as_changes_of_every_collection() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    let before = now(&database);
    let nested = fixture.nested();
    database
        .write(Durability::Full, move |t| {
            (0..2000).try_for_each(|id| t.put(&nested, id.into(), record(id, "a").into_bytes()))
        })
        .expect("written");
    assert!(!is_unchanged_since(&fixture, &database, before));
}

#[test]
fn a_request_learns_the_batch_by_which_it_is_stored() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 9, "a");
    let before = database.known_sequence();
    let works = vec![
        putting(&fixture, 9, false),
        putting(&fixture, 1, false),
        putting(&fixture, 2, true),
        putting(&fixture, 3, false),
        putting(&fixture, 3, false),
    ];
    let told: Vec<Option<u64>> = group(&database, works).into_iter().map(Result::ok).collect();
    let expected = [Some(0), Some(1), None, Some(2), Some(2)].map(|at| at.map(|at: u64| before + at));
    assert_eq!(told, expected);
    assert_eq!(database.known_sequence(), before + 2);
}

#[test]
fn a_difference_changes_only_the_documents_it_names() {
    let fixture = Fixture::new();
    let database = fixture.open();
    (1..=4).for_each(|id| fixture.put(&database, id, "a"));
    let spec = fixture.spec();
    let map = format!("{{\"2\":{},\"5\":{}}}", record(2, "b"), record(5, "b"));
    let written = database
        .write(Durability::Full, move |t| {
            let keep = |_: &str, given: Given<'_>, _: Option<&[u8]>| Ok(given.text.to_vec());
            let delete = |t: &mut Transaction<'_>, id: &DocumentId| t.delete(&spec, id.clone()).map(drop);
            write_difference(t, &spec, "map", map.as_bytes().into(), &[3.into(), 7.into()], keep, delete)
        })
        .expect("written");
    let heads: Vec<Vec<u8>> = written.documents.iter().map(|(_, document)| document.head_object()).collect();
    assert_eq!(heads, [br#"{"id":2,"name":"b"}"#, br#"{"id":5,"name":"b"}"#]);
    assert_eq!((fixture.find(&database, "a"), fixture.find(&database, "b")), (vec![1, 4], vec![2, 5]));
}
