//! Several callers that want different things from one collection.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Fixture, Handle, READ, record, wait};
use octoprompt_storage::engine::document::DocumentId;
use octoprompt_storage::engine::fs::{Call, Fault, Repeat, SimFs};
use octoprompt_storage::engine::index::{Extractor, IndexConfig, IndexKey, IndexSpec, IndexType};
use octoprompt_storage::engine::{
    CollectionSpec, Database, DatabaseOptions, Durability, Error, Foreign, Interactive, Part, Queryable,
    Request, Result, Transaction, WriteOptions,
};
use parking_lot::Mutex;

type Spec = Arc<CollectionSpec>;

fn spec_with(indexes: &[(&str, &str, bool)], foreign: Foreign) -> Spec {
    let index = |&(name, field, unique): &(&str, &str, bool)| {
        let config = IndexConfig {
            name: name.into(),
            kind: IndexType::Hash,
            fields: vec![field.into()],
            unique,
            sparse: false,
        };
        Arc::new(IndexSpec::new(config, Extractor::Fields))
    };
    Arc::new(CollectionSpec {
        path: "items.json".into(),
        large_field: Some("content"),
        indexes: indexes.iter().map(index).collect(),
        foreign,
    })
}

fn plain() -> Spec {
    spec_with(&[], Foreign::Adopt(None))
}

fn by_name() -> Spec {
    spec_with(&[("name", "name", false)], Foreign::Adopt(None))
}

fn unique_name() -> Spec {
    spec_with(&[("unique", "name", true)], Foreign::Adopt(None))
}

fn put(database: &Handle, spec: &Spec, id: u64, name: &str) -> Result<()> {
    let (spec, text) = (Arc::clone(spec), record(id, name).into_bytes());
    database.write(Durability::Full, move |tx| tx.put(&spec, id.into(), text))
}

fn find(database: &Handle, spec: &Spec, index: &'static str, name: &str) -> Vec<u64> {
    let key = IndexKey::text(name);
    let choose = |items: &Queryable<'_>| Ok(items.index(index)?.find(&key));
    let found = database.select(spec, Part::Head, READ, choose).expect("found");
    found
        .iter()
        .map(|text| {
            serde_json::from_slice::<serde_json::Value>(text).expect("JSON")["id"].as_u64().expect("an id")
        })
        .collect()
}

type Work = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<()> + Send>;

/// Runs requests as one group and returns the result of each.
fn group(database: &Handle, works: Vec<Work>) -> Vec<Result<()>> {
    let results: Arc<Mutex<Vec<Option<Result<()>>>>> = Arc::new(Mutex::new(vec![None; works.len()]));
    let mut drain = false;
    for (at, work) in works.into_iter().enumerate() {
        let results = Arc::clone(&results);
        let options = WriteOptions { durability: Durability::Full, wait: wait() };
        drain |=
            database.submit(Request::new(options, work, move |result| results.lock()[at] = Some(result)));
    }
    assert!(drain);
    database.drain();
    let results = results.lock();
    results.iter().map(|result| result.clone().expect("answered")).collect()
}

fn refusals(results: &[Result<()>]) -> Vec<Option<String>> {
    results.iter().map(|result| result.as_ref().err().map(ToString::to_string)).collect()
}

fn work(work: impl FnOnce(&mut Transaction<'_>) -> Result<()> + Send + 'static) -> Work {
    Box::new(work)
}

#[test]
fn a_collection_has_the_indexes_of_all_its_callers() {
    let fixture = Fixture::new();
    let database = fixture.open();
    put(&database, &plain(), 1, "a").expect("written");
    assert_eq!(find(&database, &by_name(), "name", "a"), [1]);
    put(&database, &unique_name(), 2, "b").expect("written");
    put(&database, &plain(), 3, "c").expect("written");
    assert_eq!(find(&database, &by_name(), "name", "c"), [3]);
    assert_eq!(find(&database, &unique_name(), "unique", "c"), [3]);
}

#[test]
fn a_unique_index_of_one_caller_binds_the_others() {
    let fixture = Fixture::new();
    let database = fixture.open();
    put(&database, &unique_name(), 1, "a").expect("written");
    assert_eq!(put(&database, &plain(), 2, "a").expect_err("taken").code(), "UNIQUE_VIOLATION");
}

#[test]
fn a_unique_index_checks_every_key_even_if_the_group_freed_the_first_one() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let tagged = |id: u64, tags: &str| format!("{{\"id\":{id},\"name\":{tags}}}").into_bytes();
    let spec = unique_name();
    let results = group(
        &database,
        vec![work({
            let spec = Arc::clone(&spec);
            move |tx| {
                tx.put(&spec, 1.into(), tagged(1, r#"["a"]"#))?;
                tx.put(&spec, 2.into(), tagged(2, r#"["b"]"#))
            }
        })],
    );
    assert_eq!(refusals(&results), [None]);
    let clashing = Arc::clone(&spec);
    let fitting = Arc::clone(&spec);
    let results = group(
        &database,
        vec![
            work(move |tx| {
                tx.put(&clashing, 1.into(), tagged(1, r#"["x"]"#))?;
                tx.put(&clashing, 3.into(), tagged(3, r#"["a","b"]"#))
            }),
            work(move |tx| {
                tx.put(&fitting, 1.into(), tagged(1, r#"["x"]"#))?;
                tx.put(&fitting, 3.into(), tagged(3, r#"["a","c"]"#))
            }),
        ],
    );
    let taken = "Unique constraint violation in index unique: \"b\" already belongs to 2";
    assert_eq!(refusals(&results), [Some(taken.to_owned()), None]);
    assert_eq!(find(&database, &spec, "unique", "b"), [2]);
    assert_eq!(find(&database, &spec, "unique", "a"), [3]);
}

#[test]
fn a_unique_index_checks_every_owner_even_if_the_group_changed_the_first_one() {
    let fixture = Fixture::new();
    let database = fixture.open();
    // The documents share the key before a caller declares it unique.
    put(&database, &plain(), 1, "a").expect("written");
    put(&database, &plain(), 2, "a").expect("written");
    let spec = unique_name();
    let results = group(
        &database,
        vec![work(move |tx| {
            tx.put(&spec, 1.into(), record(1, "x").into_bytes())?;
            tx.put(&spec, 3.into(), record(3, "a").into_bytes())
        })],
    );
    let taken = "Unique constraint violation in index unique: \"a\" already belongs to 2";
    assert_eq!(refusals(&results), [Some(taken.to_owned())]);
}

#[test]
fn a_document_with_too_many_index_keys_is_refused() {
    let fixture = Fixture::new();
    let config = IndexConfig {
        name: "pair".into(),
        kind: IndexType::Btree,
        fields: vec!["a".into(), "b".into()],
        unique: false,
        sparse: false,
    };
    let pair = Arc::new(CollectionSpec {
        path: "items.json".into(),
        large_field: None,
        indexes: vec![Arc::new(IndexSpec::new(config, Extractor::Fields))],
        foreign: Foreign::Adopt(None),
    });
    let numbers: Vec<u32> = (0..200).collect();
    let text = format!("{{\"id\":1,\"a\":{numbers:?},\"b\":{numbers:?}}}").into_bytes();
    let database = fixture.open();
    let refused = database.write(Durability::Full, move |tx| tx.put(&pair, 1.into(), text));
    assert_eq!(refused.map_err(|error| error.code()), Err("VALIDATION_ERROR"));
}

#[test]
fn a_batch_can_reuse_a_unique_key_it_freed_but_not_one_it_took() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = unique_name();
    let codes = database.write(Durability::Full, move |tx| {
        let mut put = |id: u64, name: &str| {
            tx.put(&spec, id.into(), record(id, name).into_bytes()).map_err(|error| error.code())
        };
        // From the second document on, the index of the batch's changes exists and has to follow the other changes.
        Ok([(1, "a"), (2, "b"), (1, "c"), (3, "a"), (4, "b"), (5, "c")].map(|(id, name)| put(id, name)))
    });
    let clash = Err("UNIQUE_VIOLATION");
    assert_eq!(codes.expect("written"), [Ok(()), Ok(()), Ok(()), Ok(()), clash, clash]);
}

#[test]
fn verifying_finds_documents_that_share_a_key_of_a_unique_index() {
    let fixture = Fixture::new();
    let database = fixture.open();
    for (id, name) in [(1, "a"), (2, "b"), (3, "b")] {
        put(&database, &plain(), id, name).expect("written");
    }
    assert!(database.verify(wait()).expect("readable").is_ok());
    assert_eq!(find(&database, &unique_name(), "unique", "b"), [2, 3]);
    let report = database.verify(wait()).expect("readable");
    let found: Vec<_> =
        report.problems.iter().map(|problem| (problem.code.as_str(), problem.id.as_deref())).collect();
    assert_eq!(found, [("UNIQUE_VIOLATION", Some("3"))], "{report}");
    assert!(!report.is_ok());
    put(&database, &unique_name(), 3, "c").expect("written");
    assert!(database.verify(wait()).expect("readable").is_ok());
}

#[test]
fn an_index_declared_within_a_group_includes_earlier_writes_of_the_group() {
    let fixture = Fixture::new();
    let database = fixture.open();
    put(&database, &plain(), 1, "a").expect("written");
    let (narrow, wide) = (plain(), unique_name());
    let reader = Arc::clone(&wide);
    let results = group(
        &database,
        vec![
            work(move |tx| {
                tx.put(&narrow, 2.into(), record(2, "b").into_bytes())?;
                tx.put(&narrow, 1.into(), record(1, "z").into_bytes())
            }),
            work(move |tx| tx.put(&wide, 3.into(), record(3, "b").into_bytes())),
            work(move |tx| {
                assert_eq!(tx.find(&reader, "unique", &IndexKey::text("a"))?, []);
                assert_eq!(tx.find(&reader, "unique", &IndexKey::text("z"))?, [DocumentId::Number(1)]);
                Ok(())
            }),
        ],
    );
    let codes: Vec<Option<&str>> =
        results.iter().map(|result| result.as_ref().err().map(Error::code)).collect();
    assert_eq!(codes, [None, Some("UNIQUE_VIOLATION"), None]);
    assert_eq!(find(&database, &unique_name(), "unique", "a"), [0; 0]);
    assert_eq!(find(&database, &unique_name(), "unique", "z"), [1]);
}

#[test]
fn a_failed_request_that_declared_an_index_leaves_no_trace() {
    let fixture = Fixture::new();
    let database = fixture.open();
    put(&database, &plain(), 1, "a").expect("written");
    let (narrow, other, wide) = (plain(), plain(), by_name());
    let results = group(
        &database,
        vec![
            work(move |tx| tx.put(&narrow, 2.into(), record(2, "b").into_bytes())),
            work(move |tx| {
                tx.put(&other, 1.into(), record(1, "x").into_bytes())?;
                tx.put(&other, 2.into(), record(2, "x").into_bytes())?;
                tx.drop_collection(&other)?;
                tx.put(&other, 5.into(), record(5, "x").into_bytes())?;
                assert_eq!(tx.find(&wide, "name", &IndexKey::text("x"))?, [DocumentId::Number(5)]);
                Err(Error::Closed)
            }),
        ],
    );
    assert!(results[0].is_ok() && results[1].is_err());
    for (name, ids) in [("a", vec![1]), ("b", vec![2]), ("x", vec![])] {
        assert_eq!(find(&database, &by_name(), "name", name), ids, "{name}");
    }
}

#[test]
fn an_index_whose_declaration_fails_within_a_group_includes_what_the_group_wrote() {
    let mut failures = 0;
    loop {
        let fs = SimFs::new();
        fs.make_dirs("/database");
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let database = Database::open(fs.handle(), Path::new("/database"), options).expect("opens");
        put(&database, &plain(), 1, "a").expect("written");
        database.checkpoint(wait()).expect("checkpointed");
        let (narrow, wide, failing, reads) = (plain(), by_name(), fs.clone(), AtomicUsize::new(0));
        let results = group(
            &database,
            vec![
                work(move |tx| tx.put(&narrow, 1.into(), record(1, "z").into_bytes())),
                work(move |tx| {
                    let is_due = move |call: &Call| {
                        matches!(call, Call::Read { path, .. } if path.ends_with("items.json"))
                            && reads.fetch_add(1, Ordering::Relaxed) == failures
                    };
                    failing.fail_when(is_due, Fault::Io, Repeat::Once);
                    tx.find(&wide, "name", &IndexKey::text("z")).map(drop)
                }),
            ],
        );
        fs.heal();
        assert!(results[0].is_ok());
        for (name, ids) in [("a", vec![]), ("z", vec![1])] {
            assert_eq!(find(&database, &by_name(), "name", name), ids, "{name} after {failures} reads");
        }
        if results[1].is_ok() {
            break;
        }
        failures += 1;
    }
    assert!(failures > 1, "the file is read to load it, and again for what the index held");
}

#[test]
fn an_edit_of_an_engine_owned_file_is_damage_until_the_collection_is_rebuilt() {
    let fixture = Fixture::new();
    let spec = spec_with(&[], Foreign::Refuse);
    let database = fixture.open();
    put(&database, &spec, 1, "a").expect("written");
    fixture.checkpoint(&database);
    drop(database);
    let file = fixture.path("items.json");
    let text = std::fs::read_to_string(&file).expect("readable");
    std::fs::write(&file, text.replace("\"a\"", "\"b\"")).expect("edited");
    let database = fixture.open();
    assert_eq!(database.get(&spec, &1.into(), READ).expect_err("damaged").code(), "CORRUPT_DATA");
    assert_eq!(put(&database, &spec, 2, "c").expect_err("damaged").code(), "CORRUPT_DATA");
    let again = Arc::clone(&spec);
    database
        .write(Durability::Full, move |tx| {
            tx.drop_collection(&again)?;
            tx.put(&again, 1.into(), record(1, "d").into_bytes())
        })
        .expect("written anew");
    fixture.checkpoint(&database);
    drop(database);
    let document = fixture.open().get(&spec, &1.into(), READ).expect("readable").expect("there");
    assert_eq!(&*document.text, record(1, "d").as_bytes());
}

#[test]
fn an_empty_map_in_place_of_an_engine_owned_file_is_a_fresh_start() {
    let fixture = Fixture::new();
    let spec = spec_with(&[], Foreign::Refuse);
    let database = fixture.open();
    put(&database, &spec, 1, "a").expect("written");
    fixture.checkpoint(&database);
    drop(database);
    std::fs::write(fixture.path("items.json"), " { }\n").expect("edited");
    let database = fixture.open();
    assert!(database.get(&spec, &1.into(), READ).expect("readable").is_none());
    put(&database, &spec, 2, "b").expect("written");
    assert!(database.get(&spec, &2.into(), READ).expect("readable").is_some());
}

#[test]
fn a_large_field_setting_changed_during_a_checkpoint_still_applies_after_it() {
    let fs = SimFs::new();
    fs.make_dirs("/database");
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    let database = Database::open(fs.handle(), Path::new("/database"), options).expect("opens");
    put(&database, &plain(), 1, "a").expect("written");
    let whole = Arc::new(CollectionSpec {
        path: "items.json".into(),
        large_field: None,
        indexes: Vec::new(),
        foreign: Foreign::Adopt(None),
    });
    let expected = format!("[{}]", record(1, "a"));
    let (other, wanted) = (Arc::clone(&database), Arc::clone(&whole));
    let is_snapshot = |call: &Call| matches!(call, Call::SyncData { .. }) && call.name().starts_with("new-");
    fs.before(is_snapshot, move || {
        let list = other.list(&wanted, Part::Head, READ).expect("a list");
        assert_eq!(String::from_utf8_lossy(&list), format!("[{}]", record(1, "a")));
    });
    database.checkpoint(wait()).expect("checkpointed");
    let list = database.list(&whole, Part::Head, READ).expect("a list");
    assert_eq!(String::from_utf8_lossy(&list), expected);
}

#[test]
fn a_transaction_that_outlives_its_storage_does_not_bring_its_indexes_back() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let unique = |field| spec_with(&[("key", field, true)], Foreign::Adopt(None));
    let text = |id: u64, old: &str, new: &str| {
        format!("{{\"id\":{id},\"old\":\"{old}\",\"new\":\"{new}\"}}").into_bytes()
    };
    let wait = wait();
    let begin = |id: u64, new: &'static str| {
        let (transaction, spec) = (Interactive::default(), unique("old"));
        let claim = database.attach(&spec).expect("attached");
        transaction.step(&database, wait, |tx| tx.put(&spec, id.into(), text(id, "b", new))).expect("a step");
        drop(claim);
        transaction.finish().expect("to be committed")
    };
    let (clashing, fitting) = (begin(1, "x"), begin(2, "y"));
    let spec = unique("new");
    let _claim = database.attach(&spec).expect("the index is declared anew");
    let put = |id: u64, old: &str, new: &str| {
        let (spec, text) = (Arc::clone(&spec), text(id, old, new));
        database.write(Durability::Full, move |tx| tx.put(&spec, id.into(), text))
    };
    put(3, "a", "x").expect("written");
    let clash = database.write(Durability::Full, |tx| clashing.apply(tx));
    assert_eq!(clash.map_err(|error| error.code()), Err("UNIQUE_VIOLATION"));
    database.write(Durability::Full, |tx| fitting.apply(tx)).expect("its keys are free");
    put(4, "a", "z").expect("the old index refuses nothing");
    let other = database.attach(&unique("id")).map(drop);
    assert_eq!(other.map_err(|error| error.code()), Err("INVALID_ARGUMENT"));
}
