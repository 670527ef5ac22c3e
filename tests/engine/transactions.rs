//! Interactive transactions, interleaved step by step through two handles, as two processes have them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::{Fixture, Handle, READ, record};
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{
    CollectionSpec, Durability, Error, Interactive, Result, Transaction, Wait, json,
};
use proptest::prelude::*;
use std::time::Duration;

/// One step of a transaction. What it writes depends on everything that the transaction read before.
#[derive(Debug, Clone)]
enum Step {
    Get(bool, u64),
    Put(bool, u64),
    Delete(bool, u64),
    /// The sum of all values of a collection.
    Sum(bool),
    Drop(bool),
}

#[derive(Debug, Clone)]
enum Event {
    /// The next step of this transaction.
    Step(usize),
    /// A write outside any transaction.
    Write {
        collection: bool,
        id: u64,
        value: u64,
        second_handle: bool,
    },
    Checkpoint {
        second_handle: bool,
    },
}

/// Where the steps of a script run: the engine or a model of it.
trait Place {
    fn get(&mut self, collection: bool, id: u64) -> Result<Option<u64>>;
    fn put(&mut self, collection: bool, id: u64, value: u64) -> Result<()>;
    fn delete(&mut self, collection: bool, id: u64) -> Result<bool>;
    fn sum(&mut self, collection: bool) -> Result<u64>;
    fn drop(&mut self, collection: bool) -> Result<()>;
}

/// Runs one step. `seen` is everything that the transaction has read so far.
fn run(place: &mut impl Place, step: &Step, seen: &mut Vec<u64>) -> Result<()> {
    match *step {
        Step::Get(collection, id) => seen.push(place.get(collection, id)?.unwrap_or(999)),
        Step::Put(collection, id) => {
            let value = seen.iter().fold(id + 1, |value, seen| (value * 31 + seen) % 1000);
            place.put(collection, id, value)?;
        }
        Step::Delete(collection, id) => seen.push(place.delete(collection, id)?.into()),
        Step::Sum(collection) => seen.push(place.sum(collection)?),
        Step::Drop(collection) => place.drop(collection)?,
    }
    Ok(())
}

type Model = BTreeMap<(bool, u64), u64>;

impl Place for Model {
    fn get(&mut self, collection: bool, id: u64) -> Result<Option<u64>> {
        Ok(BTreeMap::get(self, &(collection, id)).copied())
    }

    fn put(&mut self, collection: bool, id: u64, value: u64) -> Result<()> {
        self.insert((collection, id), value);
        Ok(())
    }

    fn delete(&mut self, collection: bool, id: u64) -> Result<bool> {
        Ok(self.remove(&(collection, id)).is_some())
    }

    fn sum(&mut self, collection: bool) -> Result<u64> {
        Ok(self.iter().filter(|((of, _), _)| *of == collection).map(|(_, value)| value).sum())
    }

    fn drop(&mut self, collection: bool) -> Result<()> {
        self.retain(|(of, _), _| *of != collection);
        Ok(())
    }
}

struct Engine<'a, 'b> {
    fixture: &'a Fixture,
    tx: &'a mut Transaction<'b>,
}

impl Engine<'_, '_> {
    fn spec(&self, collection: bool) -> Arc<CollectionSpec> {
        if collection { self.fixture.nested() } else { self.fixture.spec() }
    }
}

fn value_of(text: &[u8]) -> u64 {
    json::get(text, "value").and_then(json::parse_number).expect("a value") as u64
}

fn text_of(id: u64, value: u64) -> Vec<u8> {
    format!("{{\"id\":{id},\"value\":{value}}}").into_bytes()
}

impl Place for Engine<'_, '_> {
    fn get(&mut self, collection: bool, id: u64) -> Result<Option<u64>> {
        let spec = self.spec(collection);
        Ok(self.tx.get(&spec, &id.into())?.map(|document| value_of(&document.text)))
    }

    fn put(&mut self, collection: bool, id: u64, value: u64) -> Result<()> {
        let spec = self.spec(collection);
        self.tx.put(&spec, id.into(), text_of(id, value))
    }

    fn delete(&mut self, collection: bool, id: u64) -> Result<bool> {
        let spec = self.spec(collection);
        self.tx.delete(&spec, id.into())
    }

    fn sum(&mut self, collection: bool) -> Result<u64> {
        let spec = self.spec(collection);
        let texts = self.tx.documents(&spec, &Query::default())?;
        Ok(texts.iter().map(|text| value_of(text)).sum())
    }

    fn drop(&mut self, collection: bool) -> Result<()> {
        let spec = self.spec(collection);
        self.tx.drop_collection(&spec)
    }
}

fn wait() -> Wait {
    Wait::at_most(Duration::from_secs(10))
}

fn commit(database: &Handle, transaction: &Interactive) -> Result<()> {
    let commit = transaction.finish()?;
    database.write(Durability::Os, move |tx| commit.apply(tx))
}

fn state(fixture: &Fixture, database: &Handle) -> Model {
    let mut model = Model::new();
    for collection in [false, true] {
        let spec = if collection { fixture.nested() } else { fixture.spec() };
        for text in database.documents(&spec, &Query::default(), READ).expect("readable") {
            let id = json::get(&text, "id").and_then(json::parse_number).expect("an id") as u64;
            model.insert((collection, id), value_of(&text));
        }
    }
    model
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0u64..3;
    prop_oneof![
        4 => (any::<bool>(), id.clone()).prop_map(|(c, id)| Step::Get(c, id)),
        4 => (any::<bool>(), id.clone()).prop_map(|(c, id)| Step::Put(c, id)),
        2 => (any::<bool>(), id).prop_map(|(c, id)| Step::Delete(c, id)),
        2 => any::<bool>().prop_map(Step::Sum),
        1 => any::<bool>().prop_map(Step::Drop),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        16 => (0usize..4).prop_map(Event::Step),
        2 => (any::<bool>(), 0u64..3, 0u64..9, any::<bool>())
            .prop_map(|(collection, id, value, second_handle)| Event::Write { collection, id, value, second_handle }),
        1 => any::<bool>().prop_map(|second_handle| Event::Checkpoint { second_handle }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Those that commit read and write what they would if they ran one after another, in the order of their commits.
    #[test]
    fn committed_transactions_are_serialisable(
        scripts in proptest::collection::vec(proptest::collection::vec(step(), 1..6), 4),
        events in proptest::collection::vec(event(), 0..40),
    ) {
        let fixture = Fixture::new();
        let handles = [fixture.open(), fixture.open()];
        let transactions: Vec<Interactive> = scripts.iter().map(|_| Interactive::default()).collect();
        let mut at = [0; 4];
        let mut seen = vec![Vec::new(); 4];
        let mut model = Model::new();
        let rest = (0..4).flat_map(|number| (0..7).map(move |_| Event::Step(number)));
        for event in events.into_iter().chain(rest) {
            match event {
                Event::Checkpoint { second_handle } => fixture.checkpoint(&handles[usize::from(second_handle)]),
                Event::Write { collection, id, value, second_handle } => {
                    let spec = if collection { fixture.nested() } else { fixture.spec() };
                    handles[usize::from(second_handle)]
                        .write(Durability::Os, move |tx| tx.put(&spec, id.into(), text_of(id, value)))
                        .expect("written");
                    model.insert((collection, id), value);
                }
                Event::Step(number) => {
                    let (handle, script) = (&handles[number % 2], &scripts[number]);
                    let outcome = match script.get(at[number]) {
                        Some(step) => transactions[number].step(handle, wait(), |tx| {
                            let mut seen = seen[number].clone();
                            run(&mut Engine { fixture: &fixture, tx }, step, &mut seen)?;
                            Ok(seen)
                        }).map(|now| seen[number] = now),
                        None if at[number] == script.len() => {
                            let committed = commit(handle, &transactions[number]);
                            if committed.is_ok() {
                                let mut expected = Vec::new();
                                for step in script {
                                    run(&mut model, step, &mut expected).expect("the model never fails");
                                }
                                prop_assert_eq!(&seen[number], &expected, "transaction {}", number);
                            }
                            committed
                        }
                        None => Ok(()),
                    };
                    at[number] += 1;
                    if let Err(error) = outcome {
                        prop_assert!(matches!(error, Error::Conflict(_) | Error::Closed), "{}", error);
                    }
                }
            }
        }
        for handle in &handles {
            prop_assert_eq!(&state(&fixture, handle), &model);
        }
    }
}

fn put(fixture: &Fixture, database: &Handle, transaction: &Interactive, id: u64, name: &str) -> Result<()> {
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
