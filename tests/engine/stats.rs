//! What a database reports about itself.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Fixture, Handle, record, wait};
use octoprompt_storage::engine::{Database, Durability, Event, Observer, Sequences, Statistics};

fn stats(database: &Handle) -> Statistics {
    database.statistics().expect("statistics")
}

#[test]
fn a_new_database_reports_zeros() {
    let found = stats(&Fixture::new().open());
    assert_eq!(found.sequence, Sequences { last: 0, acknowledged: 0, durable: 0, covered: 0 });
    assert_eq!((found.journal.generation, found.journal.files, found.journal.pending_bytes), (1, 1, 0));
    assert!(found.collections.is_empty());
    assert_eq!(found.writes.amplification(), None);
    assert_eq!(found.checkpoints.last, None);
    assert!(found.tip_mapped && !found.read_only);
}

#[test]
fn batches_and_the_bytes_of_their_documents_are_counted() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "first");
    fixture.put(&database, 2, "second");
    fixture.delete(&database, 1);
    let writes = stats(&database).writes;
    assert_eq!((writes.batches, writes.groups, writes.documents), (3, 3, 3));
    assert_eq!(writes.document_bytes, (record(1, "first").len() + record(2, "second").len()) as u64);
    assert_eq!((writes.snapshot_bytes, writes.index_bytes), (0, 0));
}

#[test]
fn the_written_bytes_equal_the_sizes_of_the_files() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let len = |name: &str| fs::metadata(fixture.path(name)).expect("a file").len();
    let header = stats(&database).journal.bytes;
    fixture.put(&database, 1, "first");
    let found = stats(&database);
    assert_eq!(found.journal.bytes, len(".storage/journal-000000000001.jsonl"));
    assert_eq!(found.writes.journal_bytes, found.journal.bytes - header);
    fixture.checkpoint(&database);
    let found = stats(&database);
    assert_eq!(found.writes.snapshot_bytes, len("items.json"));
    let journals = len(".storage/journal-000000000001.jsonl") + len(".storage/journal-000000000002.jsonl");
    assert_eq!((found.journal.files, found.journal.bytes), (2, journals));
    assert_eq!(found.writes.journal_bytes, journals - header);
    let index = fs::read_dir(fixture.path(".storage")).expect("the reserved folder");
    let index =
        index.filter_map(Result::ok).find(|entry| entry.file_name().to_string_lossy().starts_with("index-"));
    assert_eq!(
        found.writes.index_bytes,
        index.expect("an index checkpoint").metadata().expect("its size").len()
    );
    let written = found.writes.journal_bytes + found.writes.snapshot_bytes + found.writes.index_bytes;
    let documents = record(1, "first").len() as f64;
    assert_eq!(found.writes.amplification(), Some(written as f64 / documents));
}

#[test]
fn a_collection_reports_changes_until_its_checkpoint() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "first");
    fixture.put(&database, 2, "second");
    let found = stats(&database);
    let [collection] = &found.collections[..] else { panic!("one collection") };
    assert_eq!((&*collection.path, collection.documents, collection.bytes), ("items.json", Some(2), 0));
    assert_eq!(collection.changed_documents, 2);
    assert_eq!(collection.changed_bytes, (record(1, "first").len() + record(2, "second").len()) as u64);
    assert_eq!((found.sequence.last, found.sequence.covered), (2, 0));
    assert!(found.journal.pending_bytes > 0);
    fixture.checkpoint(&database);
    let found = stats(&database);
    let [collection] = &found.collections[..] else { panic!("one collection") };
    assert_eq!(collection.bytes, fs::metadata(fixture.path("items.json")).expect("a snapshot").len());
    assert_eq!((collection.changed_documents, collection.changed_bytes), (0, 0));
    assert_eq!(found.sequence.covered, found.sequence.last);
    assert_eq!(found.journal.pending_bytes, 0);
}

#[test]
fn an_unloaded_collection_reports_a_size_but_no_document_count() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "first");
    fixture.checkpoint(&database);
    drop(database);
    let found = stats(&fixture.open());
    let [collection] = &found.collections[..] else { panic!("one collection") };
    assert_eq!(collection.documents, None);
    assert_eq!(collection.bytes, fs::metadata(fixture.path("items.json")).expect("a snapshot").len());
}

#[test]
fn a_write_without_a_sync_is_not_reported_as_durable() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "first");
    let synced = stats(&database).syncs.count;
    let (spec, text) = (fixture.spec(), record(2, "second").into_bytes());
    database.write(Durability::Os, move |t| t.put(&spec, 2.into(), text)).expect("written");
    let found = stats(&database);
    assert_eq!((found.sequence.last, found.sequence.durable), (2, 1));
    assert_eq!(found.syncs.count, synced);
    fixture.put(&database, 3, "third");
    let found = stats(&database);
    assert_eq!((found.sequence.last, found.sequence.durable), (3, 3));
    assert_eq!(found.syncs.count, synced + 1);
    assert!(found.syncs.total >= found.syncs.longest && found.syncs.longest > Duration::ZERO);
}

#[test]
fn batches_of_other_processes_count_as_acknowledged_before_they_are_read() {
    let fixture = Fixture::new();
    let (ours, theirs) = (fixture.open(), fixture.open());
    fixture.put(&theirs, 1, "first");
    fixture.put(&theirs, 2, "second");
    let found = stats(&ours);
    assert_eq!((found.sequence.last, found.sequence.acknowledged), (0, 2));
    assert_eq!((found.catch_ups.count, found.catch_ups.batches), (0, 0));
    assert!(fixture.get(&ours, 1).is_some());
    let found = stats(&ours);
    assert_eq!((found.sequence.last, found.sequence.acknowledged), (2, 2));
    assert_eq!((found.catch_ups.count, found.catch_ups.batches), (1, 2));
    assert_eq!((found.writes.batches, found.catch_ups.reloads), (0, 0));
}

#[test]
fn a_process_left_behind_by_checkpoints_counts_a_reload() {
    let fixture = Fixture::new();
    let (ours, theirs) = (fixture.open(), fixture.open());
    for round in 0..4 {
        fixture.put(&theirs, round, "x");
        fixture.checkpoint(&theirs);
    }
    assert!(fixture.get(&ours, 1).is_some());
    assert_eq!(stats(&ours).catch_ups.reloads, 1);
}

#[test]
fn only_checkpoints_that_write_something_are_counted() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.checkpoint(&database);
    assert_eq!(stats(&database).checkpoints.timing.count, 0);
    fixture.put(&database, 1, "first");
    fixture.checkpoint(&database);
    fixture.checkpoint(&database);
    let found = stats(&database).checkpoints;
    assert_eq!((found.timing.count, found.failed), (1, 0));
    let last = found.last.expect("a checkpoint");
    assert!(last.at >= stats(&database).opened);
    assert_eq!(last.took, found.timing.longest);
}

#[test]
fn a_writer_that_waits_for_another_process_is_counted() {
    let fixture = Fixture::new();
    let (ours, theirs) = (fixture.open(), fixture.open());
    fixture.put(&ours, 1, "first");
    assert_eq!(stats(&ours).lock_waits.count, 0);
    let spec = fixture.spec();
    theirs
        .write(Durability::Full, {
            let (spec, ours) = (spec.clone(), ours.clone());
            move |t| {
                t.put(&spec, 2.into(), record(2, "second").into_bytes())?;
                fixture.put_without_waiting(&ours, 3, "third");
                Ok(())
            }
        })
        .expect("written");
    let waits = stats(&ours).lock_waits;
    assert_eq!(waits.count, 1);
    assert!(waits.total >= Duration::from_millis(10));
}

#[test]
fn files_that_hold_no_current_document_are_closed() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "first");
    let before = stats(&database).open_files;
    fixture.checkpoint(&database);
    for round in 0..5 {
        fixture.put(&database, round, "x");
        fixture.checkpoint(&database);
    }
    assert_eq!(stats(&database).open_files, before + 1);
}

#[test]
fn the_file_of_a_dropped_collection_is_closed_at_once() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let before = stats(&database).open_files;
    fixture.put(&database, 1, "x");
    fixture.checkpoint(&database);
    fixture.put(&database, 1, "y");
    assert_eq!(stats(&database).open_files, before + 1);
    let items = fixture.spec();
    database.write(Durability::Os, move |tx| tx.drop_collection(&items)).expect("dropped");
    assert_eq!(stats(&database).open_files, before);
}

/// Keeps the events that are reported to it.
#[derive(Default)]
struct Listener(Mutex<Vec<Event>>);

impl Observer for Listener {
    fn notice(&self, _: &Database, event: &Event) {
        self.0.lock().expect("no panic").push(event.clone());
    }
}

impl Listener {
    fn of(database: &Database) -> (Arc<Listener>, Arc<dyn Observer>) {
        let listener = Arc::new(Listener::default());
        let observer: Arc<dyn Observer> = listener.clone();
        database.observe(&observer);
        (listener, observer)
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

#[test]
fn only_the_first_observer_hears_how_the_database_was_opened() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "first");
    drop(database);
    let database = fixture.open();
    let (first, _alive) = Listener::of(&database);
    let events = first.take();
    let [Event::Opened(opened)] = &events[..] else { panic!("one opening, got {events:?}") };
    assert_eq!((opened.alone, opened.read_only, opened.cut), (true, false, false));
    assert_eq!((opened.sequence, opened.pending_batches), (1, 1));
    let (second, _alive_too) = Listener::of(&database);
    assert!(second.take().is_empty());
    let beside = fixture.open();
    let (third, _alive_as_well) = Listener::of(&beside);
    assert!(matches!(third.take()[..], [Event::Opened(opened)] if !opened.alone));
}

#[test]
fn every_observer_hears_of_a_checkpoint_once() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (one, observer) = Listener::of(&database);
    database.observe(&observer);
    let (other, _alive) = Listener::of(&database);
    one.take();
    fixture.put(&database, 1, "first");
    fixture.checkpoint(&database);
    fixture.checkpoint(&database);
    for listener in [one, other] {
        let events = listener.take();
        let [Event::Checkpointed(written)] = &events[..] else { panic!("one checkpoint, got {events:?}") };
        assert_eq!(written.collections, 1);
        assert_eq!(written.bytes, fs::metadata(fixture.path("items.json")).expect("a snapshot").len());
        assert_eq!(written.covered, stats(&database).sequence.covered);
    }
}

#[test]
fn observers_hear_why_a_checkpoint_failed() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (listener, _alive) = Listener::of(&database);
    listener.take();
    fixture.put(&database, 1, "first");
    // A directory in the place of the file cannot be replaced.
    fs::create_dir(fixture.path("items.json")).expect("a directory");
    let error = database.checkpoint(wait()).expect_err("it fails");
    let events = listener.take();
    let [Event::CheckpointFailed { error: told, .. }] = &events[..] else {
        panic!("one failure, got {events:?}")
    };
    assert_eq!(told.to_string(), error.to_string());
    assert_eq!(stats(&database).checkpoints.failed, 1);
    fs::remove_dir(fixture.path("items.json")).expect("removed");
}

#[test]
fn an_observer_is_not_kept_alive_and_hears_nothing_once_dropped() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (listener, observer) = Listener::of(&database);
    listener.take();
    let weak = Arc::downgrade(&listener);
    drop((listener, observer));
    assert!(weak.upgrade().is_none());
    fixture.put(&database, 1, "first");
    fixture.checkpoint(&database);
}
