//! Different documents with the same hash, which is possible because only 32 bits of it count for a document without a large
//! field. Such documents are told apart by their bytes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::support::{Fixture, Handle, READ, wait};
use octoprompt_storage::engine::document::{Document, DocumentId};
use octoprompt_storage::engine::index::{IndexConfig, IndexKey, IndexType};
use octoprompt_storage::engine::index_set::{Entity, IndexSet};
use octoprompt_storage::engine::{
    Durability, GivenMap, IndexQuery, Interactive, Result, Transaction, write_map,
};

fn document(text: &str) -> Document {
    Document::new(text.as_bytes().into(), Some("content"))
}

/// Two texts that differ and have the same hash and length.
fn twins(text: impl Fn(u64) -> String) -> [String; 2] {
    let mut known = HashMap::new();
    for number in 100_000.. {
        let text = text(number);
        if let Some(other) = known.insert(document(&text).hash, text.clone()) {
            assert_eq!(other.len(), text.len());
            return [other, text];
        }
    }
    panic!("there are more texts than hashes");
}

fn records() -> [String; 2] {
    twins(|number| format!("{{\"id\":1,\"name\":\"{number}\"}}"))
}

fn write(database: &Handle, work: impl FnOnce(&mut Transaction<'_>) -> Result<()> + Send + 'static) {
    database.write(Durability::Os, work).expect("written");
}

fn put(fixture: &Fixture, database: &Handle, text: &str) {
    let (spec, text) = (fixture.spec(), text.as_bytes().to_vec());
    write(database, move |tx| tx.put(&spec, 1.into(), text));
}

fn name_of(text: &str) -> &str {
    text.split('"').nth(5).expect("a name")
}

#[test]
fn a_document_whose_hash_equals_that_of_the_stored_one_is_written() {
    let [one, other] = records();
    let fixture = Fixture::new();
    let (database, second) = (fixture.open(), fixture.open());
    put(&fixture, &database, &one);
    for handle in [&database, &second] {
        assert_eq!(fixture.get(handle, 1).as_ref(), Some(&one));
    }
    put(&fixture, &database, &other);
    for handle in [&database, &second, &fixture.open()] {
        assert_eq!(fixture.get(handle, 1).as_ref(), Some(&other));
        assert_eq!(fixture.find(handle, name_of(&one)), [0; 0]);
        assert_eq!(fixture.find(handle, name_of(&other)), [1]);
    }
    fixture.checkpoint(&database);
    put(&fixture, &second, &one);
    for handle in [&database, &second, &fixture.open()] {
        assert_eq!(fixture.get(handle, 1).as_ref(), Some(&one));
    }
    assert!(database.verify(wait()).expect("readable").is_ok());
}

#[test]
fn a_second_put_with_an_equal_hash_in_one_request_is_written() {
    let [one, other] = records();
    let fixture = Fixture::new();
    let database = fixture.open();
    let (spec, texts) = (fixture.spec(), [one, other.clone()]);
    write(&database, move |tx| {
        texts.into_iter().try_for_each(|text| tx.put(&spec, 1.into(), text.into_bytes()))
    });
    assert_eq!(fixture.get(&database, 1), Some(other));
}

#[test]
fn the_cache_does_not_serve_an_old_document_for_a_newer_one_with_an_equal_hash() {
    let [one, other] = records();
    let fixture = Fixture::new();
    let (database, second) = (fixture.open(), fixture.open());
    put(&fixture, &database, &one);
    assert_eq!(fixture.get(&database, 1).as_ref(), Some(&one));
    assert_eq!(fixture.get(&second, 1).as_ref(), Some(&one));
    fixture.delete(&database, 1);
    put(&fixture, &database, &other);
    fixture.checkpoint(&database);
    assert_eq!(fixture.get(&database, 1).as_ref(), Some(&other));
    assert_eq!(fixture.get(&second, 1).as_ref(), Some(&other));
}

#[test]
fn put_documents_writes_a_document_whose_hash_equals_that_of_the_stored_one() {
    let [one, other] = records();
    let fixture = Fixture::new();
    let database = fixture.open();
    put(&fixture, &database, &one);
    let (spec, documents) = (fixture.spec(), [(DocumentId::Number(1), document(&other))]);
    write(&database, move |tx| tx.put_documents(&spec, &documents));
    assert_eq!(fixture.get(&database, 1), Some(other));
}

#[test]
fn a_streamed_document_whose_hash_equals_that_of_the_stored_one_is_written() {
    let [one, other] = twins(|number| format!("{{\"id\":1,\"content\":\"{number}\"}}"));
    let fixture = Fixture::new();
    let database = fixture.open();
    let stream = |text: &str| {
        let mut spool = database.spool("content", 100).expect("room");
        spool.append(&text.as_bytes()[r#"{"id":1,"content":""#.len()..text.len() - 2]).expect("room");
        let file = database.seal(spool, br#"{"id":1"#).expect("room");
        let spec = fixture.spec();
        write(&database, move |tx| tx.put_file(&spec, 1.into(), file));
    };
    for text in [&one, &other, &one] {
        stream(text);
        assert_eq!(fixture.get(&database, 1).as_ref(), Some(text));
    }
    put(&fixture, &database, &other);
    let before = database.sequence().expect("caught up");
    // What is already stored is not written a second time, in whatever form it is given.
    stream(&other);
    put(&fixture, &database, &other);
    assert_eq!(database.sequence().expect("caught up"), before);
    assert_eq!(fixture.get(&database, 1), Some(other));
}

#[test]
fn write_map_applies_its_rule_to_a_record_with_an_equal_hash() {
    let [one, other] = records();
    let fixture = Fixture::new();
    let database = fixture.open();
    put(&fixture, &database, &one);
    let map = format!("{{\"1\":{other}}}").into_bytes();
    let marked = other.replace("}", ",\"checked\":true}");
    let (spec, form) = (fixture.spec(), marked.clone());
    write(&database, move |tx| {
        let rule = |_: &str, _: octoprompt_storage::engine::document::Given<'_>, _: Option<&[u8]>| {
            Ok(form.clone().into_bytes())
        };
        write_map(tx, &spec, "map", GivenMap::from(&*map), rule, |_, _| Ok(())).map(drop)
    });
    assert_eq!(fixture.get(&database, 1), Some(marked));
}

#[test]
fn an_entity_whose_hash_equals_that_of_the_indexed_one_is_indexed() {
    let [one, other] = twins(|number| format!("{{\"a\":\"{number}\"}}"));
    let fixture = Fixture::new();
    let database = fixture.open();
    let indexes = Arc::new(IndexSet::new(None));
    let config = IndexConfig {
        name: "i".into(),
        kind: IndexType::Hash,
        fields: vec!["a".into()],
        unique: false,
        sparse: false,
    };
    let (set, texts) = (Arc::clone(&indexes), [one.clone(), other.clone()]);
    write(&database, move |tx| set.create(tx, &config));
    for text in texts {
        let set = Arc::clone(&indexes);
        write(&database, move |tx| {
            set.add(tx, "i", 1.into(), Entity { text: text.as_bytes(), members: None })
        });
    }
    let ask = |text: &str| {
        let query = IndexQuery::Key(IndexKey::text(text.split('"').nth(3).expect("a value")));
        indexes.ask(&database, READ, "i", &query).expect("readable")
    };
    assert_eq!(ask(&one), Some(Vec::new()));
    assert_eq!(ask(&other), Some(vec![1.into()]));
}

/// Returns how a transaction ends that read a document, or all documents, before `meanwhile`.
fn outcomes(fixture: &Fixture, database: &Handle, meanwhile: impl Fn()) -> [Result<()>; 2] {
    [false, true].map(|whole| {
        let (spec, transaction) = (fixture.spec(), Interactive::default());
        transaction
            .step(database, wait(), |tx| {
                if whole { tx.ids(&spec).map(drop) } else { tx.get(&spec, &1.into()).map(drop) }
            })
            .expect("read");
        meanwhile();
        let mine = fixture.nested();
        transaction.step(database, wait(), |tx| tx.put(&mine, 5.into(), b"{\"id\":5}".to_vec()))?;
        let commit = transaction.finish()?;
        database.write(Durability::Os, move |tx| commit.apply(tx))
    })
}

fn codes(outcomes: [Result<()>; 2]) -> [Option<&'static str>; 2] {
    outcomes.map(|outcome| outcome.err().map(|error| error.code()))
}

#[test]
fn a_transaction_conflicts_with_a_changed_document_of_an_equal_hash() {
    let [one, other] = records();
    let fixture = Fixture::new();
    let (database, second) = (fixture.open(), fixture.open());
    for writer in [&database, &second] {
        for checkpoint in [false, true] {
            let meanwhile = || {
                let is_one = fixture.get(writer, 1).as_ref() == Some(&one);
                put(&fixture, writer, if is_one { &other } else { &one });
                if checkpoint {
                    fixture.checkpoint(writer);
                }
            };
            meanwhile();
            assert_eq!(codes(outcomes(&fixture, &database, meanwhile)), [Some("CONFLICT"); 2]);
        }
    }
}

#[test]
fn a_checkpoint_does_not_cause_a_transaction_conflict() {
    let fixture = Fixture::new();
    let (database, second) = (fixture.open(), fixture.open());
    for writer in [&database, &second] {
        for round in 0..3 {
            fixture.put(&database, 1, &format!("round {round}"));
            let meanwhile = || {
                // Another collection is written, so that there is a file to write.
                let spec = fixture.nested();
                let text = format!("{{\"id\":{round}}}").into_bytes();
                write(writer, move |tx| tx.put(&spec, round.into(), text));
                fixture.checkpoint(writer);
            };
            assert_eq!(codes(outcomes(&fixture, &database, meanwhile)), [None; 2]);
        }
    }
}
