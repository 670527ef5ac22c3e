//! Writes that wait in the queue together share a write and a sync, and each gets the durability that it was promised.

use crate::support::simulated::{machine, name, open, put, put_unsynced};
use crate::support::{Fixture, Handle, record, wait};
use octoprompt_storage::engine::fs::Extreme;
use octoprompt_storage::engine::{Durability, Request, Result, Transaction, WriteOptions};

type Work = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<()> + Send>;

/// Runs writes as one group.
fn group(database: &Handle, works: Vec<(Durability, Work)>) {
    for (durability, work) in works {
        let wait = wait();
        let done = |result: Result<()>| result.expect("written");
        let _ = database.submit(Request::new(WriteOptions { durability, wait }, work, done));
    }
    database.drain();
}

fn putting(fixture: &Fixture, id: u64, name: &str) -> Work {
    let (spec, text) = (fixture.spec(), record(id, name).into_bytes());
    Box::new(move |tx| tx.put(&spec, id.into(), text))
}

fn dropping(fixture: &Fixture) -> Work {
    let spec = fixture.spec();
    Box::new(move |tx| tx.drop_collection(&spec))
}

/// Returns the sequence numbers of the last batch and of the last durable one.
fn last_and_durable(database: &Handle) -> (u64, u64) {
    let sequence = database.statistics().expect("statistics").sequence;
    (sequence.last, sequence.durable)
}

#[test]
fn a_group_is_durable_if_any_of_its_writes_asks_for_it() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let [first, last] = [1, 2].map(|id| putting(&fixture, id, "x"));
    group(&database, vec![(Durability::Full, first), (Durability::Os, last)]);
    assert_eq!(last_and_durable(&database), (2, 2));
}

#[test]
fn a_durable_write_of_an_unchanged_document_syncs_it_once() {
    let fixture = Fixture::new();
    let database = fixture.open();
    group(&database, vec![(Durability::Os, putting(&fixture, 1, "x"))]);
    assert_eq!(last_and_durable(&database), (1, 0));
    let syncs = || database.statistics().expect("statistics").syncs.count;
    let before = syncs();
    for _ in 0..2 {
        fixture.put(&database, 1, "x");
        assert_eq!((last_and_durable(&database), syncs()), ((1, 1), before + 1));
    }
}

#[test]
fn a_durable_write_of_a_document_that_another_process_wrote_without_a_sync_makes_it_durable() {
    let fs = machine();
    let [one, other] = [(); 2].map(|()| open(&fs.process()));
    put_unsynced(&one, "items.json", 1, "x");
    put(&other, "items.json", 1, "x");
    let fs = fs.power_loss(&mut Extreme::Nothing);
    assert_eq!(name(&open(&fs), "items.json", 1), Ok(Some("x".into())));
}

#[test]
fn documents_put_after_a_drop_in_the_same_group_survive_it() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "before");
    let works = vec![
        putting(&fixture, 1, "given up"),
        putting(&fixture, 2, "given up"),
        dropping(&fixture),
        putting(&fixture, 3, "first"),
        putting(&fixture, 4, "second"),
    ];
    group(&database, works.into_iter().map(|work| (Durability::Full, work)).collect());
    let check = |database: &Handle| {
        let found = [1, 2, 3, 4].map(|id| fixture.get(database, id).is_some());
        assert_eq!(found, [false, false, true, true]);
        assert!(fixture.find(database, "given up").is_empty());
        assert_eq!(fixture.find(database, "first"), [3]);
    };
    check(&database);
    fixture.checkpoint(&database);
    check(&database);
    drop(database);
    check(&fixture.open());
}

#[test]
fn a_document_put_and_deleted_by_one_request_after_a_drop_in_the_same_group_stays_gone() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (spec, text) = (fixture.spec(), record(1, "again").into_bytes());
    let putting_and_deleting: Work = Box::new(move |tx| {
        tx.put(&spec, 1.into(), text)?;
        tx.delete(&spec, 1.into()).map(|deleted| assert!(deleted))
    });
    let works = vec![putting(&fixture, 1, "first"), dropping(&fixture), putting_and_deleting];
    group(&database, works.into_iter().map(|work| (Durability::Full, work)).collect());
    assert_eq!(fixture.get(&database, 1), None);
    drop(database);
    assert_eq!(fixture.get(&fixture.open(), 1), None);
}

#[test]
fn documents_put_after_a_drop_in_the_same_group_stay_beside_a_file_that_appears() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "before");
    let works = vec![dropping(&fixture), putting(&fixture, 2, "first"), putting(&fixture, 3, "second")];
    group(&database, works.into_iter().map(|work| (Durability::Full, work)).collect());
    let by_hand = format!("{{\"4\":{}}}", record(4, "by hand"));
    std::fs::write(fixture.path("items.json"), by_hand).expect("written");
    let check = |database: &Handle| {
        let found = [1, 2, 3, 4].map(|id| fixture.get(database, id).is_some());
        assert_eq!(found, [false, true, true, true]);
    };
    database.notice_all_edits().expect("looked at");
    check(&database);
    drop(database);
    check(&fixture.open());
}
