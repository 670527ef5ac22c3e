//! What becomes of writes when the journal cannot be written or synced: none is told that it is durable if it may not be, or
//! that nothing changed if it may come back. On a simulated file system.

use std::path::Path;
use std::sync::Arc;

use crate::support::simulated::{DIRECTORY, machine, open};
use crate::support::{READ, record, spec, wait};
use octoprompt_storage::engine::fs::{Call, Chooser, Effect, EffectKind, Fate, Fault, Repeat, SimFs};
use octoprompt_storage::engine::{
    Database, DatabaseOptions, Durability, Error, Outcome, Request, Result, Transaction, WriteOptions,
};
use parking_lot::Mutex;

/// What a write was told: success, or the code of its error and what it may have left behind.
type Told = std::result::Result<(), (&'static str, Outcome)>;

const UNKNOWN: Told = Err(("IO_ERROR", Outcome::Unknown));
const REFUSED: Told = Err(("IO_ERROR", Outcome::None));

fn told(result: Result<()>) -> Told {
    result.map_err(|error: Error| (error.code(), error.outcome()))
}

type Work = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<()> + Send>;

fn putting(path: &str, id: u64, name: &str) -> Work {
    let (spec, text) = (spec(path), record(id, name).into_bytes());
    Box::new(move |tx| tx.put(&spec, id.into(), text))
}

fn put(database: &Database, durability: Durability, id: u64, name: &str) -> Told {
    told(database.write(durability, putting("items.json", id, name)))
}

/// Writes that wait in the queue together.
fn queued(database: &Database, works: Vec<Work>) -> Vec<Told> {
    let answers: Arc<Mutex<Vec<Option<Told>>>> = Arc::new(Mutex::new(vec![None; works.len()]));
    for (at, work) in works.into_iter().enumerate() {
        let wait = wait();
        let answers = Arc::clone(&answers);
        let done = move |result| answers.lock()[at] = Some(told(result));
        let _ =
            database.submit(Request::new(WriteOptions { durability: Durability::Full, wait }, work, done));
    }
    database.drain();
    let answers = answers.lock();
    answers.iter().map(|answer| answer.expect("every write is answered")).collect()
}

fn fail_next_sync(fs: &SimFs) {
    let journal = |path: &Path| path.to_string_lossy().contains("journal-");
    fs.fail_when(
        move |call| matches!(call, Call::SyncData { path } if journal(path)),
        Fault::Io,
        Repeat::Once,
    );
}

/// A power loss that undoes exactly the last unsynced change of each sector and of each length.
#[derive(Debug)]
struct WithoutLastChange;

impl Chooser for WithoutLastChange {
    fn decide(&mut self, effects: &[Effect]) -> Vec<Fate> {
        let fate = |effect: &Effect| match effect.kind {
            EffectKind::Length | EffectKind::Sector(_) => Fate::Version(effect.versions.saturating_sub(2)),
            EffectKind::Name | EffectKind::Page => Fate::Version(effect.versions - 1),
        };
        effects.iter().map(fate).collect()
    }
}

fn has(database: &Database, path: &str, id: u64) -> bool {
    database.get(&spec(path), &id.into(), READ).expect("readable").is_some()
}

#[test]
fn writes_behind_a_failed_sync_are_refused_until_the_database_is_reopened() {
    for before in [Durability::Os, Durability::Full] {
        refuse_writes_behind_a_failed_sync(before);
    }
}

fn refuse_writes_behind_a_failed_sync(before: Durability) {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, before, 0, "before"), Ok(()));
    // Three of these texts fill a group, because each document contains its name twice.
    let big = "x".repeat(3 << 19);
    let mut works: Vec<Work> = (1..=6).map(|id| putting("items.json", id, &big)).collect();
    // This one writes nothing, but is promised that what is there stays.
    works.push(Box::new(|_| Ok(())));
    fail_next_sync(&fs);
    let answers = queued(&database, works);
    assert_eq!(answers, [UNKNOWN, UNKNOWN, UNKNOWN, REFUSED, REFUSED, REFUSED, REFUSED]);
    assert_eq!(put(&database, Durability::Full, 7, "later"), REFUSED);
    let other = open(&fs.process());
    assert_eq!(put(&other, Durability::Full, 8, "in another process"), REFUSED);
    assert!(has(&database, "items.json", 0), "reads go on");
    drop((database, other));
    let database = open(&fs.process());
    assert_eq!(put(&database, Durability::Full, 9, "after opening again"), Ok(()));
    assert!(!(4..=8).any(|id| has(&database, "items.json", id)));
}

#[test]
fn a_failed_sync_of_an_adoption_fails_its_whole_group() {
    let fs = machine();
    let database = open(&fs);
    // The engine did not write this file, and writes it again because its stored form differs.
    fs.write_file(
        "/database/old.json",
        format!("{{\"1\": {{ \"id\" : 1 }}, \"2\": {} }}", record(2, "b")).as_bytes(),
    );
    fail_next_sync(&fs);
    let works = vec![
        putting("before.json", 1, "before"),
        putting("old.json", 3, "adopts"),
        putting("after.json", 1, "after"),
    ];
    assert_eq!(queued(&database, works), [REFUSED, UNKNOWN, REFUSED]);
    assert_eq!(put(&database, Durability::Full, 1, "later"), REFUSED);
    drop(database);
    let database = open(&fs.process());
    assert!(!has(&database, "before.json", 1) && !has(&database, "after.json", 1));
    assert_eq!(put(&database, Durability::Full, 1, "after opening again"), Ok(()));
}

#[test]
fn a_checkpoint_is_refused_after_a_failed_sync() {
    let fs = machine();
    let database = open(&fs);
    fail_next_sync(&fs);
    assert_eq!(put(&database, Durability::Full, 1, "unknown"), UNKNOWN);
    let checkpoint = database.checkpoint(wait()).map(drop);
    assert_eq!(told(checkpoint), REFUSED);
    assert_eq!(put(&database, Durability::Full, 2, "later"), REFUSED);
}

#[test]
fn a_checkpoint_in_which_the_sync_of_an_adoption_fails_begins_no_generation() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, Durability::Full, 1, "old"), Ok(()));
    database.checkpoint(wait()).expect("checkpointed");
    assert_eq!(put(&database, Durability::Os, 1, "new"), Ok(()));
    let edited = format!("{{ \"1\": {}, \"2\": {} }}", record(1, "old"), record(2, "by hand"));
    fs.write_file("/database/items.json", edited.as_bytes());
    database.notice_all_edits().expect("looked at");
    fail_next_sync(&fs);
    assert_eq!(told(database.checkpoint(wait())), UNKNOWN);
    // The failed sync may have lost what was written before it without a sync.
    for after in fs.snapshot().crash_states(100, 1) {
        assert!(has(&open(&after), "items.json", 1), "{}", after.origin().expect("a power loss"));
    }
}

#[test]
fn lines_of_a_partly_written_group_do_not_return_after_a_power_loss() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, Durability::Full, 1, "before"), Ok(()));
    let long = "x".repeat(1000);
    // The first line is written completely, the second one in part.
    let full = Fault::NoSpace { written: 3000 };
    // Room ahead is written in smaller pieces.
    fs.fail_when(|call| matches!(call, Call::Write { len, .. } if *len > 4096), full, Repeat::Once);
    let works = (2..=4).map(|id| putting("items.json", id, &long)).collect();
    assert_eq!(queued(&database, works), [REFUSED, REFUSED, REFUSED]);
    let unsynced_cut = fs.power_loss(&mut WithoutLastChange);
    for after in fs.snapshot().crash_states(100, 1).chain([unsynced_cut]) {
        let database = open(&after);
        let found: Vec<u64> = (1..=4).filter(|&id| has(&database, "items.json", id)).collect();
        assert_eq!(found, [1], "{}", after.origin().expect("a power loss"));
    }
    assert_eq!(put(&database, Durability::Full, 5, "after"), Ok(()));
}

#[test]
fn writes_are_refused_while_the_tip_has_no_disk_space() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, Durability::Full, 1, "before"), Ok(()));
    let prepares = |call: &Call| matches!(call, Call::PreparePage { .. });
    fs.fail_when(prepares, Fault::NoSpace { written: 0 }, Repeat::Forever);
    let calls = fs.log().len();
    assert_eq!(put(&database, Durability::Full, 2, "refused"), REFUSED);
    assert!(database.new_id() < database.new_id());
    assert!(has(&database, "items.json", 1));
    let changing =
        fs.log()[calls..].iter().map(|entry| &entry.call).filter(|call| call.changes_disk()).count();
    assert_eq!(changing, 0);
    fs.heal();
    assert_eq!(put(&database, Durability::Full, 3, "after"), Ok(()));
    drop(database);
    let database = open(&fs);
    assert_eq!([1, 2, 3].map(|id| has(&database, "items.json", id)), [true, false, true]);
}

#[test]
fn synced_lines_are_withdrawn_if_the_tip_then_has_no_disk_space() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, Durability::Full, 1, "before"), Ok(()));
    let other = fs.clone();
    // The fault hits the call that follows the sync of this write.
    let synced = |call: &Call| matches!(call, Call::SyncData { .. });
    fs.before(synced, move || {
        let prepares = |call: &Call| matches!(call, Call::PreparePage { .. });
        other.fail_when(prepares, Fault::NoSpace { written: 0 }, Repeat::Once);
    });
    assert_eq!(put(&database, Durability::Full, 2, "taken back"), REFUSED);
    for after in fs.snapshot().crash_states(100, 1) {
        let database = open(&after);
        assert!(has(&database, "items.json", 1) && !has(&database, "items.json", 2));
    }
    assert_eq!(put(&database, Durability::Full, 3, "after"), Ok(()));
    assert_eq!([1, 2, 3].map(|id| has(&database, "items.json", id)), [true, false, true]);
}

#[test]
fn a_failed_sync_stores_nothing_in_a_tip_without_disk_space() {
    let fs = machine();
    let database = open(&fs);
    assert_eq!(put(&database, Durability::Full, 1, "before"), Ok(()));
    let other = fs.clone();
    fs.before(
        |call| matches!(call, Call::SyncData { .. }),
        move || {
            let broken = |call: &Call| matches!(call, Call::SyncData { .. } | Call::PreparePage { .. });
            other.fail_when(broken, Fault::Quota { written: 0 }, Repeat::Forever);
        },
    );
    let calls = fs.log().len();
    assert_eq!(put(&database, Durability::Full, 2, "lost"), UNKNOWN);
    let log = fs.log();
    let since: Vec<_> = log[calls..].iter().skip_while(|entry| entry.error.is_none()).collect();
    assert!(since.iter().any(|entry| matches!(entry.call, Call::PreparePage { .. })));
    assert!(
        !since.iter().any(|entry| matches!(entry.call, Call::Store { .. })),
        "such a store ends the process"
    );
    fs.heal();
    assert_eq!(put(&database, Durability::Full, 3, "later"), REFUSED);
    assert!(has(&database, "items.json", 1), "reads go on");
    drop(database);
    let database = open(&fs);
    assert_eq!(put(&database, Durability::Full, 4, "after opening again"), Ok(()));
    assert_eq!([1, 3, 4].map(|id| has(&database, "items.json", id)), [true, false, true]);
}

#[test]
fn opening_fails_without_disk_space_for_the_tip() {
    let fs = machine();
    assert_eq!(put(&open(&fs), Durability::Full, 1, "before"), Ok(()));
    fs.fail_when(
        |call| matches!(call, Call::PreparePage { .. }),
        Fault::NoSpace { written: 0 },
        Repeat::Forever,
    );
    let refused = Database::open(fs.handle(), Path::new(DIRECTORY), DatabaseOptions::default());
    assert_eq!(told(refused.map(drop)), REFUSED);
    fs.heal();
    assert!(has(&open(&fs), "items.json", 1));
}
