//! Interactive transactions, interleaved step by step through two handles, as two processes have them.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use crate::support::{Fixture, Handle, READ, record, wait};
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{
    CollectionSpec, Durability, Error, Interactive, Request, Result, Transaction, WriteOptions, json,
};
use proptest::prelude::*;

/// One step of a transaction. What it writes depends on everything that the transaction read before.
#[derive(Debug, Clone)]
enum Step {
    Get(bool, u64),
    Put(bool, u64),
    Delete(bool, u64),
    /// The sum of all values of a collection.
    Sum(bool),
    /// Some of the documents of a collection, in the order of their values.
    Find(bool, Wanted),
    /// How many documents have at least this value; for 0, how many there are.
    Count(bool, u64),
    Drop(bool),
}

/// What a query asks for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// The smallest value; 0 stands for no condition.
    least: u64,
    descending: bool,
    offset: usize,
    limit: Option<usize>,
}

impl Wanted {
    fn query(&self) -> Query {
        let order = if self.descending { "desc" } else { "asc" };
        let limit = self.limit.map_or(String::new(), |limit| format!(",\"limit\":{limit}"));
        let condition = condition(self.least);
        let text =
            format!("{{{condition}\"orderBy\":[[\"value\",\"{order}\"]],\"offset\":{}{limit}}}", self.offset);
        Query::from_json(text.as_bytes()).expect("a query")
    }
}

/// Returns the condition that values are at least so great, as a member of a query.
fn condition(least: u64) -> String {
    if least == 0 { String::new() } else { format!("\"where\":{{\"value\":{{\"$gte\":{least}}}}},") }
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
    /// Such a write, in one group with the next transaction that commits.
    WriteBeforeCommit {
        collection: bool,
        id: u64,
        value: u64,
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
    fn find(&mut self, collection: bool, wanted: Wanted) -> Result<Vec<u64>>;
    fn count(&mut self, collection: bool, least: u64) -> Result<usize>;
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
        Step::Find(collection, wanted) => seen.extend(place.find(collection, wanted)?),
        Step::Count(collection, least) => seen.push(place.count(collection, least)? as u64),
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

    fn find(&mut self, collection: bool, wanted: Wanted) -> Result<Vec<u64>> {
        let of_collection = self.iter().filter(|((of, _), _)| *of == collection);
        let mut found: Vec<(u64, u64)> = of_collection
            .map(|((_, id), value)| (*value, *id))
            .filter(|(value, _)| *value >= wanted.least)
            .collect();
        // Equal values are ordered by id, whatever the direction.
        found.sort_by_key(|&(value, id)| (if wanted.descending { 1000 - value } else { value }, id));
        let page = found.into_iter().skip(wanted.offset).take(wanted.limit.unwrap_or(usize::MAX));
        Ok(page.map(|(value, _)| value).collect())
    }

    fn count(&mut self, collection: bool, least: u64) -> Result<usize> {
        Ok(self.iter().filter(|((of, _), value)| *of == collection && **value >= least).count())
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

    fn find(&mut self, collection: bool, wanted: Wanted) -> Result<Vec<u64>> {
        let spec = self.spec(collection);
        let texts = self.tx.documents(&spec, &wanted.query())?;
        Ok(texts.iter().map(|text| value_of(text)).collect())
    }

    fn count(&mut self, collection: bool, least: u64) -> Result<usize> {
        let spec = self.spec(collection);
        let query = format!("{{{}}}", condition(least).trim_end_matches(','));
        self.tx.count(&spec, &Query::from_json(query.as_bytes())?)
    }

    fn drop(&mut self, collection: bool) -> Result<()> {
        let spec = self.spec(collection);
        self.tx.drop_collection(&spec)
    }
}

fn commit(database: &Handle, transaction: &Interactive) -> Result<()> {
    let commit = transaction.finish()?;
    database.write(Durability::Os, move |tx| commit.apply(tx))
}

/// A document to put, with this value.
struct Put {
    collection: bool,
    id: u64,
    value: u64,
}

/// Commits a transaction in one group with writes that come before it.
fn commit_behind(
    fixture: &Fixture,
    database: &Handle,
    puts: &[Put],
    transaction: &Interactive,
) -> Result<()> {
    let options = WriteOptions { durability: Durability::Os, wait: wait() };
    let (result, committed) = mpsc::channel();
    let commit = transaction.finish();
    for &Put { collection, id, value } in puts {
        let spec = if collection { fixture.nested() } else { fixture.spec() };
        let put = move |tx: &mut Transaction<'_>| tx.put(&spec, id.into(), text_of(id, value));
        let _ = database.submit(Request::new(options, put, |put| put.expect("written")));
    }
    match commit {
        Ok(commit) => {
            let send = move |committed| result.send(committed).expect("awaited");
            let _ = database.submit(Request::new(options, move |tx| commit.apply(tx), send));
        }
        Err(error) => result.send(Err(error)).expect("awaited"),
    }
    database.drain();
    committed.recv().expect("answered")
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

fn wanted() -> impl Strategy<Value = Wanted> {
    let limit = proptest::option::of(0usize..3);
    (least(), any::<bool>(), 0usize..2, limit).prop_map(|(least, descending, offset, limit)| Wanted {
        least,
        descending,
        offset,
        limit,
    })
}

fn least() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1u64..900]
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0u64..5;
    prop_oneof![
        4 => (any::<bool>(), id.clone()).prop_map(|(c, id)| Step::Get(c, id)),
        4 => (any::<bool>(), id.clone()).prop_map(|(c, id)| Step::Put(c, id)),
        2 => (any::<bool>(), id).prop_map(|(c, id)| Step::Delete(c, id)),
        1 => any::<bool>().prop_map(Step::Sum),
        4 => (any::<bool>(), wanted()).prop_map(|(c, wanted)| Step::Find(c, wanted)),
        2 => (any::<bool>(), least()).prop_map(|(c, least)| Step::Count(c, least)),
        1 => any::<bool>().prop_map(Step::Drop),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        16 => (0usize..4).prop_map(Event::Step),
        2 => (any::<bool>(), 0u64..5, 0u64..1000, any::<bool>())
            .prop_map(|(collection, id, value, second_handle)| Event::Write { collection, id, value, second_handle }),
        2 => (any::<bool>(), 0u64..5, 0u64..1000)
            .prop_map(|(collection, id, value)| Event::WriteBeforeCommit { collection, id, value }),
        1 => any::<bool>().prop_map(|second_handle| Event::Checkpoint { second_handle }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

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
        let mut puts = Vec::new();
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
                Event::WriteBeforeCommit { collection, id, value } => puts.push(Put { collection, id, value }),
                Event::Step(number) => {
                    let (handle, script) = (&handles[number % 2], &scripts[number]);
                    let outcome = match script.get(at[number]) {
                        Some(step) => transactions[number].step(handle, wait(), |tx| {
                            let mut seen = seen[number].clone();
                            run(&mut Engine { fixture: &fixture, tx }, step, &mut seen)?;
                            Ok(seen)
                        }).map(|now| seen[number] = now),
                        None if at[number] == script.len() => {
                            let committed = commit_behind(&fixture, handle, &puts, &transactions[number]);
                            for Put { collection, id, value } in puts.drain(..) {
                                model.insert((collection, id), value);
                            }
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

/// Runs a step that finds the first document, in the order of the values, whose value is at least 5.
fn first(
    fixture: &Fixture,
    database: &Handle,
    transaction: &Interactive,
) -> std::result::Result<Vec<u64>, &'static str> {
    let spec = fixture.spec();
    let query = Wanted { least: 5, descending: false, offset: 0, limit: Some(1) }.query();
    let texts = transaction.step(database, wait(), |tx| tx.documents(&spec, &query));
    let texts = texts.map_err(|error| error.code())?;
    Ok(texts.iter().map(|text| value_of(text)).collect())
}

fn write(fixture: &Fixture, database: &Handle, id: u64, value: Option<u64>) {
    let spec = fixture.spec();
    let change = move |tx: &mut Transaction<'_>| match value {
        Some(value) => tx.put(&spec, id.into(), text_of(id, value)),
        None => tx.delete(&spec, id.into()).map(drop),
    };
    database.write(Durability::Os, change).expect("written");
}

#[test]
fn a_query_conflicts_only_with_changes_that_change_its_answer() {
    for (id, value, conflicts) in [
        (2, Some(4), false),
        (2, Some(6), true),
        (2, Some(8), false),
        // It comes behind the one that was found, since its id is greater.
        (4, Some(7), false),
        (0, Some(7), true),
        // The one that was found.
        (1, Some(7), false),
        (1, Some(6), true),
        (1, Some(4), true),
        (1, None, true),
        // One that does not come first.
        (3, Some(6), true),
        (3, Some(1), false),
        (3, None, false),
    ] {
        let fixture = Fixture::new();
        let (database, other) = (fixture.open(), fixture.open());
        write(&fixture, &other, 1, Some(7));
        write(&fixture, &other, 3, Some(9));
        let transaction = Interactive::default();
        assert_eq!(first(&fixture, &database, &transaction), Ok(vec![7]));
        put(&fixture, &database, &transaction, 9, "mine").expect("put");
        write(&fixture, &other, id, value);
        let expected = if conflicts { Err("CONFLICT") } else { Ok(()) };
        let committed = commit(&database, &transaction).map_err(|error| error.code());
        assert_eq!(committed, expected, "document {id} with {value:?}");
    }
}

#[test]
fn a_count_conflicts_only_with_changes_of_the_number() {
    for (least, id, value, conflicts) in [
        (5, 1, Some(6), false),
        (5, 1, Some(4), true),
        (5, 1, None, true),
        (5, 2, Some(4), false),
        (5, 2, Some(5), true),
        (0, 1, Some(4), false),
        (0, 1, None, true),
        (0, 2, Some(4), true),
    ] {
        let fixture = Fixture::new();
        let (database, other) = (fixture.open(), fixture.open());
        write(&fixture, &other, 1, Some(7));
        let transaction = Interactive::default();
        let spec = fixture.spec();
        let counted =
            transaction.step(&database, wait(), |tx| Engine { fixture: &fixture, tx }.count(false, least));
        assert_eq!(counted.map_err(|error| error.code()), Ok(1));
        transaction.step(&database, wait(), |tx| tx.put(&spec, 9.into(), text_of(9, 1))).expect("put");
        write(&fixture, &other, id, value);
        let expected = if conflicts { Err("CONFLICT") } else { Ok(()) };
        let committed = commit(&database, &transaction).map_err(|error| error.code());
        assert_eq!(committed, expected, "at least {least}, document {id} with {value:?}");
    }
}

#[test]
fn a_query_that_finds_all_that_it_may_return_conflicts_with_any_further_one() {
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    let transaction = Interactive::default();
    assert_eq!(first(&fixture, &database, &transaction), Ok(vec![]));
    write(&fixture, &other, 1, Some(4));
    assert_eq!(first(&fixture, &database, &transaction), Ok(vec![]));
    write(&fixture, &other, 2, Some(1000));
    assert_eq!(first(&fixture, &database, &transaction), Err("CONFLICT"));
}

#[test]
fn a_query_conflicts_with_more_changes_than_are_looked_at() {
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    let transaction = Interactive::default();
    assert_eq!(first(&fixture, &database, &transaction), Ok(vec![]));
    let spec = fixture.spec();
    let many =
        move |tx: &mut Transaction<'_>| (0..1000).try_for_each(|id| tx.put(&spec, id.into(), text_of(id, 1)));
    other.write(Durability::Os, many).expect("written");
    assert_eq!(first(&fixture, &database, &transaction), Err("CONFLICT"));
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
