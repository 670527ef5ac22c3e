//! Which changes of others are in the way of a transaction that has queried or counted.

use std::sync::Arc;

use crate::serialisable::{text_of, value_of};
use crate::support::{Fixture, Handle, record, spec_by_name, wait};
use crate::transactions::{commit, put};
use octoprompt_storage::engine::index::IndexKey;
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{Durability, Interactive, Transaction};

/// Runs a step that finds the first document, in the order of the values, whose value is at least 5.
fn first(
    fixture: &Fixture,
    database: &Handle,
    transaction: &Interactive,
) -> std::result::Result<Vec<u64>, &'static str> {
    let spec = fixture.spec();
    let text = br#"{"where":{"value":{"$gte":5}},"orderBy":[["value","asc"]],"limit":1}"#;
    let query = Query::from_json(text).expect("a query");
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

/// Whether the commit of a transaction is a conflict. It succeeds otherwise.
fn loses(database: &Handle, transaction: &Interactive) -> bool {
    let committed = commit(database, transaction).map_err(|error| error.code());
    assert!(matches!(committed, Ok(()) | Err("CONFLICT")), "{committed:?}");
    committed.is_err()
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
        assert_eq!(loses(&database, &transaction), conflicts, "document {id} with {value:?}");
    }
}

#[test]
fn a_count_conflicts_only_with_changes_of_the_number() {
    let (from_five, of_all) = (r#"{"where":{"value":{"$gte":5}}}"#, "{}");
    for (text, id, value, conflicts) in [
        (from_five, 1, Some(6), false),
        (from_five, 1, Some(4), true),
        (from_five, 1, None, true),
        (from_five, 2, Some(4), false),
        (from_five, 2, Some(5), true),
        (of_all, 1, Some(4), false),
        (of_all, 1, None, true),
        (of_all, 2, Some(4), true),
    ] {
        let fixture = Fixture::new();
        let (database, other) = (fixture.open(), fixture.open());
        write(&fixture, &other, 1, Some(7));
        let transaction = Interactive::default();
        let spec = fixture.spec();
        let query = Query::from_json(text.as_bytes()).expect("a query");
        let counted = transaction.step(&database, wait(), |tx| tx.count(&spec, &query));
        assert_eq!(counted.map_err(|error| error.code()), Ok(1));
        transaction.step(&database, wait(), |tx| tx.put(&spec, 9.into(), text_of(9, 1))).expect("put");
        write(&fixture, &other, id, value);
        assert_eq!(loses(&database, &transaction), conflicts, "{text}, document {id} with {value:?}");
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
fn a_look_up_conflicts_only_with_changes_of_what_it_found() {
    for (id, value, conflicts) in [(2, 10, false), (2, 9, true), (1, 12, false), (1, 10, true)] {
        let fixture = Fixture::new();
        let (database, other) = (fixture.open(), fixture.open());
        write(&fixture, &other, 1, Some(9));
        let transaction = Interactive::default();
        let spec = fixture.spec();
        // Each third value has the name 0.
        let key = IndexKey::text("0");
        let found = transaction.step(&database, wait(), |tx| tx.find(&spec, "name", &key)).expect("found");
        assert_eq!(found, [1.into()]);
        put(&fixture, &database, &transaction, 9, "mine").expect("put");
        write(&fixture, &other, id, Some(value));
        assert_eq!(loses(&database, &transaction), conflicts, "document {id} with {value}");
    }
}

#[test]
fn a_step_conflicts_once_an_earlier_look_up_would_find_something_else() {
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    let transaction = Interactive::default();
    let (spec, key) = (fixture.spec(), IndexKey::text("0"));
    assert!(
        transaction.step(&database, wait(), |tx| tx.find(&spec, "name", &key)).expect("found").is_empty()
    );
    write(&fixture, &other, 1, Some(9));
    let step = put(&fixture, &database, &transaction, 9, "mine");
    assert_eq!(step.map_err(|error| error.code()), Err("CONFLICT"));
}

#[test]
fn a_unique_key_that_was_free_conflicts_with_others_that_take_it() {
    for (name, given_up, conflicts) in [("a", false, true), ("a", true, false), ("b", false, false)] {
        let fixture = Fixture::new();
        let (database, other) = (fixture.open(), fixture.open());
        let spec = spec_by_name("items.json", true);
        let transaction = Interactive::default();
        let step = |id: u64, name: &str| {
            let text = record(id, name).into_bytes();
            transaction.step(&database, wait(), |tx| tx.put(&spec, id.into(), text.clone()))
        };
        step(1, "a").expect("put");
        let (taken, text) = (Arc::clone(&spec), record(2, name).into_bytes());
        other.write(Durability::Os, move |tx| tx.put(&taken, 2.into(), text)).expect("written");
        if given_up {
            write(&fixture, &other, 2, None);
        }
        let found = transaction.step(&database, wait(), |tx| tx.contains(&spec, &2.into()));
        let expected = if conflicts { Err("CONFLICT") } else { Ok(!given_up) };
        assert_eq!(found.map_err(|error| error.code()), expected, "{name}, given up: {given_up}");
    }
}
