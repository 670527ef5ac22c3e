//! Cancelling: what a call still does after its caller has cancelled it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::support::{Fixture, READ};
use octoprompt_storage::engine::cancel::{self, Cancel};
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{
    CollectionSpec, Database, Durability, Foreign, Part, Request, Result, Transaction, Wait, WriteOptions,
};

/// Longer than any test may take: a test that waits for it fails.
const LONG: Duration = Duration::from_secs(600);
/// How long an answer may take that must not wait for a lock.
const SOON: Duration = Duration::from_secs(60);

fn spec() -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec {
        path: "items.json".into(),
        large_field: None,
        indexes: Vec::new(),
        foreign: Foreign::Adopt(None),
    })
}

fn fill(database: &Database, count: u64) {
    let put = move |tx: &mut Transaction<'_>| {
        (1..=count).try_for_each(|id| tx.put(&spec(), id.into(), format!("{{\"id\":{id}}}").into_bytes()))
    };
    database.write(Durability::Os, put).expect("written");
}

/// Takes the write lock like another process: through a handle of its own.
fn hold_write_lock(fixture: &Fixture) -> std::fs::File {
    let path = fixture.path(".storage/write.lock");
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("a lock file");
    fs2::FileExt::lock_exclusive(&file).expect("free");
    file
}

/// A write that puts the document `id`, and a channel for its answer.
fn write(id: u64, wait: Duration) -> (Request, Cancel, mpsc::Receiver<Result<()>>) {
    let (sender, answer) = mpsc::channel();
    let options = WriteOptions { durability: Durability::Os, wait: Wait::at_most(wait) };
    let put =
        move |tx: &mut Transaction<'_>| tx.put(&spec(), id.into(), format!("{{\"id\":{id}}}").into_bytes());
    let cancel = Cancel::default();
    let request = Request::new(options, put, move |result| drop(sender.send(result))).unless(cancel.clone());
    (request, cancel, answer)
}

fn code<T>(result: Result<T>) -> std::result::Result<(), &'static str> {
    result.map(drop).map_err(|error| error.code())
}

#[test]
fn a_cancelled_write_leaves_the_queue_while_others_keep_waiting() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fill(&database, 1);
    let lock = hold_write_lock(&fixture);
    let (first, given_up, first_answer) = write(2, LONG);
    let (second, _, second_answer) = write(3, LONG);
    let (third, _, third_answer) = write(4, Duration::from_millis(20));
    assert!(database.submit(first));
    assert!(!database.submit(second));
    assert!(!database.submit(third));
    thread::scope(|threads| {
        threads.spawn(|| database.drain());
        // A write whose time is up does not wait for those that have more time.
        assert_eq!(code(third_answer.recv_timeout(SOON).expect("answered")), Err("LOCK_TIMEOUT"));
        assert!(given_up.cancel());
        assert_eq!(code(first_answer.recv_timeout(SOON).expect("answered")), Err("ABORTED"));
        assert!(second_answer.try_recv().is_err());
        fs2::FileExt::unlock(&lock).expect("unlocked");
        assert_eq!(code(second_answer.recv_timeout(SOON).expect("answered")), Ok(()));
    });
    let list = database.list(&spec(), Part::Whole, READ).expect("readable");
    assert_eq!(&*list, br#"[{"id":1},{"id":3}]"#);
}

#[test]
fn a_write_that_has_begun_completes_despite_a_cancel() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (sender, answer) = mpsc::channel();
    let cancel = Cancel::default();
    let late = cancel.clone();
    let options = WriteOptions { durability: Durability::Os, wait: Wait::at_most(LONG) };
    let put = move |tx: &mut Transaction<'_>| {
        assert!(!late.cancel());
        tx.put(&spec(), 1.into(), b"{\"id\":1}".to_vec())
    };
    let request = Request::new(options, put, move |result| drop(sender.send(result))).unless(cancel);
    assert!(database.submit(request));
    database.drain();
    assert_eq!(code(answer.try_recv().expect("answered")), Ok(()));
}

#[test]
fn a_cancelled_caller_that_drains_the_queue_still_runs_the_writes_of_others() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (request, _, answer) = write(1, LONG);
    assert!(database.submit(request));
    let own = Cancel::default();
    own.cancel();
    own.scope(|| database.drain());
    assert_eq!(code(answer.try_recv().expect("answered")), Ok(()));
}

#[test]
fn cancelling_ends_a_wait_for_a_lock() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fill(&database, 1);
    let _lock = hold_write_lock(&fixture);
    let cancel = Cancel::default();
    let waiting = cancel.clone();
    thread::scope(|threads| {
        let verify = threads.spawn(|| waiting.scope(|| database.verify(Wait::at_most(LONG))));
        assert!(cancel.cancel());
        assert_eq!(code(verify.join().expect("no panic")), Err("ABORTED"));
    });
}

#[test]
fn a_cancelled_scan_of_documents_ends_after_one_step() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fill(&database, 10 * cancel::STEP as u64);
    let (cancel, seen) = (Cancel::default(), AtomicUsize::new(0));
    let found = cancel.scope(|| {
        database.filter(&spec(), Part::Whole, READ, |_| {
            cancel.cancel();
            seen.fetch_add(1, Ordering::Relaxed);
            true
        })
    });
    assert_eq!((code(found), seen.into_inner()), (Err("ABORTED"), cancel::STEP));
}

#[test]
fn every_long_call_can_be_cancelled_and_leaves_the_database_unchanged() {
    let fixture = Fixture::new();
    fill(&fixture.open(), 2 * cancel::STEP as u64);
    let database = fixture.open();
    let spec = spec();
    let query = Query::default();
    type Call<'a> = (&'static str, Box<dyn Fn() -> Result<()> + 'a>);
    let calls: Vec<Call<'_>> = vec![
        // The first call has to load the collection.
        ("get", Box::new(|| database.get(&spec, &1.into(), READ).map(drop))),
        ("list", Box::new(|| database.list(&spec, Part::Whole, READ).map(drop))),
        ("documents", Box::new(|| database.documents(&spec, &query, READ).map(drop))),
        ("explain", Box::new(|| database.explain(&spec, &query, READ).map(drop))),
        ("verify", Box::new(|| database.verify(Wait::at_most(LONG)).map(drop))),
        ("rebuild_indexes", Box::new(|| database.rebuild_indexes(&spec, READ))),
    ];
    let given_up = Cancel::default();
    given_up.cancel();
    for (name, call) in &calls {
        assert_eq!(code(given_up.scope(call)), Err("ABORTED"), "{name}");
    }
    for (name, call) in &calls {
        assert_eq!(code(call()), Ok(()), "{name}");
    }
    assert!(database.verify(Wait::at_most(LONG)).expect("verified").is_ok());
}
