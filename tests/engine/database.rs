//! The database on a real file system: what one process, several handles and edits by hand may expect.

use std::fs;
use std::time::Duration;

use crate::support::{Fixture, Handle, READ, record, wait};
use octoprompt_storage::engine::index::IndexKey;
use octoprompt_storage::engine::{Durability, Error, Part, Peek, Queryable, ReadOptions, Wait, WarningCode};

#[test]
fn a_document_survives_reopening_without_a_checkpoint() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "first");
    drop(database);
    assert!(!fixture.path("items.json").exists());
    assert_eq!(fixture.get(&fixture.open(), 1).as_deref(), Some(record(1, "first").as_str()));
}

#[test]
fn a_checkpoint_writes_a_plain_map_with_one_document_per_line() {
    let fixture = Fixture::new();
    let database = fixture.open();
    for id in [10, 9, 11] {
        fixture.put(&database, id, "x");
    }
    fixture.checkpoint(&database);
    let text = fs::read_to_string(fixture.path("items.json")).expect("a snapshot");
    let lines: Vec<String> = [9, 10, 11].map(|id| format!("\"{id}\":{}", record(id, "x"))).into();
    assert_eq!(text, format!("{{\n{}\n}}\n", lines.join(",\n")));
}

#[test]
fn writes_after_a_checkpoint_are_applied_over_the_snapshot_on_reopening() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    fixture.put(&database, 2, "b");
    fixture.checkpoint(&database);
    fixture.put(&database, 2, "c");
    fixture.delete(&database, 1);
    let reopened = {
        drop(database);
        fixture.open()
    };
    assert_eq!(fixture.get(&reopened, 1), None);
    assert_eq!(fixture.get(&reopened, 2), Some(record(2, "c")));
    assert_eq!(fixture.find(&reopened, "c"), [2]);
    assert!(fixture.find(&reopened, "a").is_empty());
}

#[test]
fn a_checkpoint_removes_old_journals_and_keeps_one() {
    let fixture = Fixture::new();
    let database = fixture.open();
    for round in 0..5 {
        fixture.put(&database, round, "x");
        fixture.checkpoint(&database);
    }
    let journals = fs::read_dir(fixture.path(".storage")).expect("the reserved folder");
    let journals = journals
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("journal-"));
    assert_eq!(journals.count(), 2);
}

#[test]
fn a_failed_request_leaves_no_trace() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let spec = fixture.spec();
    let result = database.write(Durability::Full, move |transaction| {
        transaction.put(&spec, 1.into(), record(1, "x").into_bytes())?;
        Err::<(), _>(Error::Conflict("changed my mind".into()))
    });
    assert_eq!(result.map_err(|error| error.code()), Err("CONFLICT"));
    assert_eq!(fixture.get(&database, 1), None);
    assert!(fixture.find(&database, "x").is_empty());
}

#[test]
fn deleting_and_putting_a_document_in_one_batch_leaves_no_old_index_entries() {
    let fixture = Fixture::new();
    let database = fixture.open();
    for checkpoint in [false, true] {
        fixture.put(&database, 1, "old");
        if checkpoint {
            fixture.checkpoint(&database);
        }
        let spec = fixture.spec();
        let work = move |tx: &mut octoprompt_storage::engine::Transaction<'_>| {
            assert!(tx.delete(&spec, 1.into())?);
            // This document did not exist before.
            tx.put(&spec, 2.into(), record(2, "passing").into_bytes())?;
            assert!(tx.delete(&spec, 2.into())?);
            tx.put(&spec, 1.into(), record(1, "between").into_bytes())?;
            tx.put(&spec, 1.into(), record(1, "new").into_bytes())
        };
        database.write(Durability::Full, work).expect("written");
        for name in ["old", "between", "passing"] {
            assert_eq!(fixture.find(&database, name), [0; 0], "{name}");
        }
        assert_eq!(fixture.find(&database, "new"), [1]);
        assert!(database.verify(wait()).expect("readable").is_ok());
    }
}

#[test]
fn two_handles_see_each_others_writes_at_once() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.open(), fixture.open());
    for round in 0..50 {
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        fixture.put(writer, round % 7, &format!("round {round}"));
        assert_eq!(fixture.get(reader, round % 7), Some(record(round % 7, &format!("round {round}"))));
        assert_eq!(fixture.find(reader, &format!("round {round}")), [round % 7]);
        if round % 9 == 0 {
            fixture.checkpoint(reader);
        }
    }
}

#[test]
fn a_handle_that_missed_many_checkpoints_catches_up() {
    let fixture = Fixture::new();
    let (one, sleeper) = (fixture.open(), fixture.open());
    fixture.put(&one, 1, "a");
    assert!(fixture.get(&sleeper, 1).is_some());
    for id in 2..6 {
        fixture.put(&one, id, "b");
        fixture.checkpoint(&one);
    }
    assert_eq!(fixture.find(&sleeper, "b"), [2, 3, 4, 5]);
    fixture.put(&sleeper, 6, "c");
    assert_eq!(fixture.get(&one, 6), Some(record(6, "c")));
}

#[test]
fn a_document_that_was_read_is_served_from_memory_without_waiting() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "x");
    fixture.get(&database, 1);
    let peeked = database.peek(&fixture.spec(), &1.into(), READ);
    assert!(matches!(peeked, Peek::Ready(Some(document)) if *document.text == *record(1, "x").as_bytes()));
}

#[test]
fn a_document_chosen_through_an_index_and_read_is_cached() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "x");
    let choose = |items: &Queryable<'_>| Ok(items.index("name")?.last(&IndexKey::Text(b"x"[..].into())));
    let found = database.get_chosen(&fixture.spec(), READ, choose).expect("readable").expect("there");
    assert_eq!(*found.text, *record(1, "x").as_bytes());
    let peeked = database.peek_chosen(&fixture.spec(), READ, choose).expect("chosen");
    // Only what is in the cache has time left until it expires.
    assert!(matches!(peeked, Peek::Ready(Some((document, Some(_)))) if document.text == found.text));
}

#[test]
fn a_listing_without_the_large_field_has_all_other_fields() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 2, "b");
    fixture.put(&database, 1, "a");
    let list = database.list(&fixture.spec(), Part::Head, READ).expect("a list");
    assert_eq!(String::from_utf8_lossy(&list), "[{\"id\":1,\"name\":\"a\"},{\"id\":2,\"name\":\"b\"}]");
}

#[test]
fn an_edit_made_while_closed_is_adopted_and_reported() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    fixture.put(&database, 2, "b");
    fixture.checkpoint(&database);
    drop(database);
    fs::write(
        fixture.path("items.json"),
        format!("{{ \"2\": {}, \"3\": {} }}", record(2, "edited"), record(3, "new")),
    )
    .expect("writable");
    let database = fixture.open();
    assert_eq!(fixture.get(&database, 1), None);
    assert_eq!(fixture.get(&database, 2), Some(record(2, "edited")));
    assert_eq!(fixture.find(&database, "new"), [3]);
    assert_eq!(codes(&database), [WarningCode::SnapshotChanged]);
    let again = {
        drop(database);
        fixture.open()
    };
    assert_eq!(fixture.get(&again, 2), Some(record(2, "edited")));
    assert!(codes(&again).is_empty());
}

#[test]
fn a_checkpoint_adopts_an_edit_made_while_open_and_keeps_newer_writes() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    fixture.put(&database, 2, "b");
    fixture.checkpoint(&database);
    fixture.put(&database, 2, "newer");
    fs::write(
        fixture.path("items.json"),
        format!("{{\"1\":{},\"2\":{}}}", record(1, "edited"), record(2, "lost")),
    )
    .expect("writable");
    fixture.checkpoint(&database);
    assert_eq!(fixture.get(&database, 1), Some(record(1, "edited")));
    assert_eq!(fixture.get(&database, 2), Some(record(2, "newer")));
    assert_eq!(fixture.files_like("items.json.edited-").len(), 1);
    let text = fs::read_to_string(fixture.path("items.json")).expect("a snapshot");
    assert!(text.contains("edited") && text.contains("newer"), "{text}");
}

#[test]
fn a_missing_snapshot_is_damage_until_an_empty_map_replaces_it() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    fixture.checkpoint(&database);
    drop(database);
    fs::remove_file(fixture.path("items.json")).expect("removable");
    let database = fixture.open();
    let read =
        |database: &Handle| database.get(&fixture.spec(), &1.into(), READ).map_err(|error| error.code());
    assert_eq!(read(&database), Err("CORRUPT_DATA"));
    fs::write(fixture.path("items.json"), "{}").expect("writable");
    assert_eq!(read(&database), Ok(None));
}

#[test]
fn a_file_of_broken_json_is_set_aside_and_its_whole_documents_are_saved() {
    let fixture = Fixture::new();
    let broken =
        format!("{{\n\"1\":{},\n\"2\":{{\"id\":2,\"na\n\"3\":{}\n}}\n", record(1, "a"), record(3, "c"));
    fs::write(fixture.path("items.json"), &broken).expect("writable");
    let database = fixture.open();
    assert_eq!(fixture.get(&database, 1), Some(record(1, "a")));
    assert_eq!(fixture.get(&database, 3), Some(record(3, "c")));
    assert_eq!(codes(&database), [WarningCode::RecordSetAside]);
    let aside = fixture.files_like("items.json.corrupt-");
    assert_eq!(fs::read_to_string(&aside[0]).expect("a copy"), broken);
    fixture.checkpoint(&database);
    assert_eq!(
        fixture.get(
            &{
                drop(database);
                fixture.open()
            },
            3
        ),
        Some(record(3, "c"))
    );
}

#[test]
fn calls_time_out_while_the_write_lock_is_held_elsewhere_but_reads_go_on() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    let lock = fs::File::open(fixture.path(".storage/write.lock")).expect("a lock file");
    fs2::FileExt::lock_exclusive(&lock).expect("lockable");
    let wait = Wait::at_most(Duration::from_millis(20));
    fixture.put_without_waiting(&database, 2, "b");
    assert_eq!(database.checkpoint(wait).map_err(|error| error.code()), Err("LOCK_TIMEOUT"));
    assert_eq!(fixture.get(&database, 1), Some(record(1, "a")));
}

/// Only Linux lists the processes that hold a lock.
#[cfg(target_os = "linux")]
#[test]
fn a_write_that_times_out_names_a_lock_holder_that_is_not_in_the_tip() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let lock = fs::File::open(fixture.path(".storage/write.lock")).expect("a lock file");
    fs2::FileExt::lock_exclusive(&lock).expect("lockable");
    let error = database.checkpoint(Wait::at_most(Duration::from_millis(20))).expect_err("locked");
    assert!(
        matches!(error, Error::LockTimeout { holder: Some(holder), .. } if holder.pid == std::process::id()),
        "{error}"
    );
}

#[test]
fn dropping_a_collection_removes_its_file_and_directory() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let nested = fixture.nested();
    let spec = nested.clone();
    database
        .write(Durability::Full, move |t| t.put(&spec, 1.into(), record(1, "x").into_bytes()))
        .expect("written");
    fixture.checkpoint(&database);
    assert!(fixture.path("data/7/items.json").exists());
    let spec = nested.clone();
    database
        .write(Durability::Full, move |t| {
            t.drop_collection(&spec)?;
            t.remove_path("data/7")
        })
        .expect("dropped");
    assert!(!fixture.path("data/7").exists());
    let options = ReadOptions { cached: true, lock_timeout: Duration::from_secs(1) };
    assert_eq!(database.get(&nested, &1.into(), options).expect("readable"), None);
    fixture.checkpoint(&database);
    assert_eq!(
        {
            drop(database);
            fixture.open()
        }
        .get(&nested, &1.into(), options)
        .expect("readable"),
        None
    );
}

fn codes(database: &Handle) -> Vec<WarningCode> {
    database.take_warnings().into_iter().map(|warning| warning.code).collect()
}

#[test]
fn a_checkpoint_names_the_file_that_holds_a_damaged_document() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "before");
    let journal = fixture.path(".storage/journal-000000000001.jsonl");
    let text = fs::read_to_string(&journal).expect("a journal");
    fs::write(&journal, text.replace("content of before", "content of behind")).expect("damaged");
    let error = database.checkpoint(wait()).expect_err("it is damaged");
    assert_eq!(error.code(), "CORRUPT_DATA");
    assert!(error.to_string().contains("journal-000000000001.jsonl"), "{error}");
}
