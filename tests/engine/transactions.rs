//! Interactive transactions, interleaved step by step through two handles, as two processes have them.

use crate::support::{Fixture, Handle, READ, record, wait};
use octoprompt_storage::engine::{Durability, Error, Interactive, Result};

pub fn commit(database: &Handle, transaction: &Interactive) -> Result<()> {
    let commit = transaction.finish()?;
    database.write(Durability::Os, move |tx| commit.apply(tx))
}

pub fn put(
    fixture: &Fixture,
    database: &Handle,
    transaction: &Interactive,
    id: u64,
    name: &str,
) -> Result<()> {
    let spec = fixture.spec();
    let text = record(id, name);
    transaction.step(database, wait(), |tx| tx.put(&spec, id.into(), text.clone().into_bytes()))
}

fn read(fixture: &Fixture, database: &Handle, transaction: &Interactive, id: u64) -> Result<bool> {
    let spec = fixture.spec();
    transaction.step(database, wait(), |tx| tx.contains(&spec, &id.into()))
}

#[test]
fn nothing_is_visible_outside_before_the_commit() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let transaction = Interactive::default();
    put(&fixture, &database, &transaction, 1, "x").expect("put");
    assert_eq!(fixture.get(&database, 1), None);
    assert!(fixture.find(&database, "x").is_empty());
    assert!(read(&fixture, &database, &transaction, 1).expect("read"));
    commit(&database, &transaction).expect("committed");
    assert_eq!(fixture.find(&database, "x"), [1]);
}

#[test]
fn a_transaction_commits_as_one_batch() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let transaction = Interactive::default();
    for id in 1..4 {
        put(&fixture, &database, &transaction, id, "x").expect("put");
    }
    let before = database.sequence().expect("caught up");
    commit(&database, &transaction).expect("committed");
    assert_eq!(database.sequence().expect("caught up"), before + 1);
}

#[test]
fn an_abandoned_transaction_writes_nothing_and_rejects_further_calls() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let transaction = Interactive::default();
    put(&fixture, &database, &transaction, 1, "x").expect("put");
    transaction.abandon();
    assert_eq!(fixture.get(&database, 1), None);
    assert_eq!(read(&fixture, &database, &transaction, 1).map_err(|error| error.code()), Err("CLOSED"));
    assert_eq!(commit(&database, &transaction).map_err(|error| error.code()), Err("CLOSED"));
}

#[test]
fn a_transaction_conflicts_once_its_database_is_reopened() {
    let fixture = Fixture::new();
    let (database, another) = (fixture.open(), fixture.open());
    let (transaction, ready) = (Interactive::default(), Interactive::default());
    put(&fixture, &database, &transaction, 1, "x").expect("put");
    put(&fixture, &database, &ready, 2, "x").expect("put");
    drop(database);
    assert_eq!(read(&fixture, &another, &transaction, 1).map_err(|error| error.code()), Err("CONFLICT"));
    assert!(transaction.is_lost());
    assert_eq!(commit(&another, &ready).map_err(|error| error.code()), Err("CONFLICT"));
    assert_eq!(fixture.get(&another, 2), None);
}

#[test]
fn a_step_or_commit_in_another_database_is_refused() {
    let (fixture, elsewhere) = (Fixture::new(), Fixture::new());
    let (database, other) = (fixture.open(), elsewhere.open());
    let transaction = Interactive::default();
    put(&fixture, &database, &transaction, 1, "x").expect("put");
    let step = read(&elsewhere, &other, &transaction, 1);
    assert_eq!(step.map_err(|error| error.code()), Err("INVALID_ARGUMENT"));
    assert!(!transaction.is_lost());
    assert_eq!(commit(&other, &transaction).map_err(|error| error.code()), Err("INVALID_ARGUMENT"));
}

#[test]
fn changing_a_document_that_a_transaction_read_fails_its_next_step() {
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    let transaction = Interactive::default();
    assert!(!read(&fixture, &database, &transaction, 1).expect("read"));
    fixture.put(&other, 1, "x");
    assert_eq!(read(&fixture, &database, &transaction, 2).map_err(|error| error.code()), Err("CONFLICT"));
    assert!(transaction.is_lost());
    assert_eq!(commit(&database, &transaction).map_err(|error| error.code()), Err("CONFLICT"));
}

#[test]
fn changing_a_document_that_a_transaction_did_not_read_is_no_conflict() {
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    let transaction = Interactive::default();
    assert!(!read(&fixture, &database, &transaction, 1).expect("read"));
    put(&fixture, &database, &transaction, 3, "mine").expect("put");
    fixture.put(&other, 2, "x");
    // Having to read everything again after a checkpoint of another process is no change either.
    fixture.checkpoint(&other);
    commit(&database, &transaction).expect("committed");
    assert_eq!(fixture.find(&other, "mine"), [3]);
}

#[test]
fn a_failed_step_leaves_no_trace_in_its_transaction() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let transaction = Interactive::default();
    let spec = fixture.spec();
    let failed: Result<()> = transaction.step(&database, wait(), |tx| {
        tx.put(&spec, 1.into(), record(1, "x").into_bytes())?;
        Err(Error::InvalidArgument("no".into()))
    });
    assert_eq!(failed.map_err(|error| error.code()), Err("INVALID_ARGUMENT"));
    assert!(!read(&fixture, &database, &transaction, 1).expect("read"));
    commit(&database, &transaction).expect("committed");
    assert_eq!(fixture.get(&database, 1), None);
}

#[test]
fn a_step_adopts_a_file_written_by_hand() {
    let fixture = Fixture::new();
    let database = fixture.open();
    std::fs::write(fixture.path("items.json"), format!("{{\"1\":{}}}", record(1, "by hand")))
        .expect("written");
    let transaction = Interactive::default();
    assert!(read(&fixture, &database, &transaction, 1).expect("read"));
    put(&fixture, &database, &transaction, 2, "x").expect("put");
    commit(&database, &transaction).expect("committed");
    assert_eq!(fixture.find(&database, "by hand"), [1]);
}

#[test]
fn an_edit_by_hand_conflicts_with_a_transaction_only_if_it_changes_what_that_read() {
    for (edited, expected) in [(1, Err("CONFLICT")), (2, Ok(()))] {
        let fixture = Fixture::new();
        let database = fixture.open();
        (1..=2).for_each(|id| fixture.put(&database, id, "stored"));
        fixture.checkpoint(&database);
        let transaction = Interactive::default();
        assert!(read(&fixture, &database, &transaction, 1).expect("read"));
        put(&fixture, &database, &transaction, 3, "x").expect("put");
        let text = std::fs::read_to_string(fixture.path("items.json")).expect("a file");
        let text = text.replace(&record(edited, "stored"), &record(edited, "edited"));
        std::fs::write(fixture.path("items.json"), text).expect("edited");
        database.look_at_file(&fixture.spec(), READ).expect("looked at");
        assert_eq!(fixture.get(&database, edited), Some(record(edited, "edited")));
        assert_eq!(commit(&database, &transaction).map_err(|error| error.code()), expected);
    }
}
