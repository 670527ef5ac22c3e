//! Interactive transactions of two handles, as two processes have them, are serialisable, whatever their steps and whatever
//! is written meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use crate::support::{Fixture, Handle, READ, spec_by_name, wait};
use octoprompt_storage::engine::document::DocumentId;
use octoprompt_storage::engine::index::IndexKey;
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{
    CollectionSpec, Durability, Error, Interactive, Request, Result, Transaction, WriteOptions, json,
};
use proptest::prelude::*;

/// How many names documents have. In one of the collections, no two documents have the same one.
const NAMES: u64 = 3;

/// Returns one of the two collections. In the one for `true`, names are unique.
fn spec(collection: bool) -> Arc<CollectionSpec> {
    spec_by_name(if collection { "data/7/items.json" } else { "items.json" }, collection)
}

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
    /// The ids that an index has under a name. There are only three names.
    LookUp(bool, u64),
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
        value: Option<u64>,
    },
    Checkpoint {
        second_handle: bool,
    },
}

/// Where the steps of a script run: the engine or a model of it.
trait Place {
    fn get(&mut self, collection: bool, id: u64) -> Result<Option<u64>>;
    /// Returns whether the document is put; it is not if another one has its name where names are unique.
    fn put(&mut self, collection: bool, id: u64, value: u64) -> Result<bool>;
    fn delete(&mut self, collection: bool, id: u64) -> Result<bool>;
    fn sum(&mut self, collection: bool) -> Result<u64>;
    fn find(&mut self, collection: bool, wanted: Wanted) -> Result<Vec<u64>>;
    fn count(&mut self, collection: bool, least: u64) -> Result<usize>;
    fn look_up(&mut self, collection: bool, name: u64) -> Result<Vec<u64>>;
    fn drop(&mut self, collection: bool) -> Result<()>;
}

/// Runs one step. `seen` is everything that the transaction has read so far.
fn run(place: &mut impl Place, step: &Step, seen: &mut Vec<u64>) -> Result<()> {
    match *step {
        Step::Get(collection, id) => seen.push(place.get(collection, id)?.unwrap_or(999)),
        Step::Put(collection, id) => {
            let value = seen.iter().fold(id + 1, |value, seen| (value * 31 + seen) % 1000);
            seen.push(place.put(collection, id, value)?.into());
        }
        Step::Delete(collection, id) => seen.push(place.delete(collection, id)?.into()),
        Step::Sum(collection) => seen.push(place.sum(collection)?),
        Step::Find(collection, wanted) => seen.extend(place.find(collection, wanted)?),
        Step::Count(collection, least) => seen.push(place.count(collection, least)? as u64),
        Step::LookUp(collection, name) => seen.extend(place.look_up(collection, name)?),
        Step::Drop(collection) => place.drop(collection)?,
    }
    Ok(())
}

type Model = BTreeMap<(bool, u64), u64>;

impl Place for Model {
    fn get(&mut self, collection: bool, id: u64) -> Result<Option<u64>> {
        Ok(BTreeMap::get(self, &(collection, id)).copied())
    }

    fn put(&mut self, collection: bool, id: u64, value: u64) -> Result<bool> {
        let is_taken = |((of, other), others): (&(bool, u64), &u64)| {
            *of && *other != id && others % NAMES == value % NAMES
        };
        let puts = !collection || !self.iter().any(is_taken);
        if puts {
            self.insert((collection, id), value);
        }
        Ok(puts)
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

    fn look_up(&mut self, collection: bool, name: u64) -> Result<Vec<u64>> {
        let named = |((of, _), value): &(&(bool, u64), &u64)| *of == collection && **value % NAMES == name;
        Ok(self.iter().filter(named).map(|((_, id), _)| *id).collect())
    }

    fn drop(&mut self, collection: bool) -> Result<()> {
        self.retain(|(of, _), _| *of != collection);
        Ok(())
    }
}

struct Engine<'a, 'b> {
    tx: &'a mut Transaction<'b>,
}

pub fn value_of(text: &[u8]) -> u64 {
    json::get(text, "value").and_then(json::parse_number).expect("a value") as u64
}

pub fn text_of(id: u64, value: u64) -> Vec<u8> {
    format!("{{\"id\":{id},\"name\":\"{}\",\"value\":{value}}}", value % NAMES).into_bytes()
}

impl Place for Engine<'_, '_> {
    fn get(&mut self, collection: bool, id: u64) -> Result<Option<u64>> {
        let spec = spec(collection);
        Ok(self.tx.get(&spec, &id.into())?.map(|document| value_of(&document.text)))
    }

    fn put(&mut self, collection: bool, id: u64, value: u64) -> Result<bool> {
        match self.tx.put(&spec(collection), id.into(), text_of(id, value)) {
            Ok(()) => Ok(true),
            Err(Error::UniqueViolation { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn delete(&mut self, collection: bool, id: u64) -> Result<bool> {
        let spec = spec(collection);
        self.tx.delete(&spec, id.into())
    }

    fn sum(&mut self, collection: bool) -> Result<u64> {
        let spec = spec(collection);
        let texts = self.tx.documents(&spec, &Query::default())?;
        Ok(texts.iter().map(|text| value_of(text)).sum())
    }

    fn find(&mut self, collection: bool, wanted: Wanted) -> Result<Vec<u64>> {
        let spec = spec(collection);
        let texts = self.tx.documents(&spec, &wanted.query())?;
        Ok(texts.iter().map(|text| value_of(text)).collect())
    }

    fn count(&mut self, collection: bool, least: u64) -> Result<usize> {
        let spec = spec(collection);
        let query = format!("{{{}}}", condition(least).trim_end_matches(','));
        self.tx.count(&spec, &Query::from_json(query.as_bytes())?)
    }

    fn look_up(&mut self, collection: bool, name: u64) -> Result<Vec<u64>> {
        let spec = spec(collection);
        let ids = self.tx.find(&spec, "name", &IndexKey::text(&name.to_string()))?;
        Ok(ids
            .iter()
            .filter_map(|id| if let DocumentId::Number(id) = id { Some(*id) } else { None })
            .collect())
    }

    fn drop(&mut self, collection: bool) -> Result<()> {
        let spec = spec(collection);
        self.tx.drop_collection(&spec)
    }
}

/// A document to put, with this value; without one, the collection is dropped.
struct Put {
    collection: bool,
    id: u64,
    value: Option<u64>,
}

/// Commits a transaction in one group with writes that come before it.
fn commit_behind(database: &Handle, puts: &[Put], transaction: &Interactive) -> Result<()> {
    let options = WriteOptions { durability: Durability::Os, wait: wait() };
    let (result, committed) = mpsc::channel();
    let commit = transaction.finish();
    for &Put { collection, id, value } in puts {
        let put = move |tx: &mut Transaction<'_>| match value {
            Some(value) => Engine { tx }.put(collection, id, value).map(drop),
            None => tx.drop_collection(&spec(collection)),
        };
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

fn state(database: &Handle) -> Model {
    let mut model = Model::new();
    for collection in [false, true] {
        for text in database.documents(&spec(collection), &Query::default(), READ).expect("readable") {
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
        2 => (any::<bool>(), 0..NAMES).prop_map(|(c, name)| Step::LookUp(c, name)),
        1 => any::<bool>().prop_map(Step::Drop),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        16 => (0usize..4).prop_map(Event::Step),
        2 => (any::<bool>(), 0u64..5, 0u64..1000, any::<bool>())
            .prop_map(|(collection, id, value, second_handle)| Event::Write { collection, id, value, second_handle }),
        2 => (any::<bool>(), 0u64..5, proptest::option::weighted(0.8, 0u64..1000))
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
                    let put = handles[usize::from(second_handle)]
                        .write(Durability::Os, move |tx| Engine { tx }.put(collection, id, value))
                        .expect("written");
                    prop_assert_eq!(put, Place::put(&mut model, collection, id, value).expect("the model never fails"));
                }
                Event::WriteBeforeCommit { collection, id, value } => puts.push(Put { collection, id, value }),
                Event::Step(number) => {
                    let (handle, script) = (&handles[number % 2], &scripts[number]);
                    let outcome = match script.get(at[number]) {
                        Some(step) => transactions[number].step(handle, wait(), |tx| {
                            let mut seen = seen[number].clone();
                            run(&mut Engine { tx }, step, &mut seen)?;
                            Ok(seen)
                        }).map(|now| seen[number] = now),
                        None if at[number] == script.len() => {
                            let committed = commit_behind(handle, &puts, &transactions[number]);
                            for Put { collection, id, value } in puts.drain(..) {
                                match value {
                                    Some(value) => Place::put(&mut model, collection, id, value).map(drop),
                                    None => Place::drop(&mut model, collection),
                                }
                                .expect("the model never fails");
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
            prop_assert_eq!(&state(handle), &model);
        }
    }
}
