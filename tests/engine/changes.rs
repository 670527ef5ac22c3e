//! The change feed compared with a log of what was written, through two handles, as two processes have them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::{Fixture, Handle, READ, record, wait};
use octoprompt_storage::engine::document::DocumentId;
use octoprompt_storage::engine::fs::{Fs, OsFs};
use octoprompt_storage::engine::{Change, Durability, Error, Subscription, repair};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Put(u64),
    Delete(u64),
    Drop,
}

#[derive(Debug, Clone)]
enum Action {
    Batch { second_handle: bool, nested: bool, steps: Vec<Step> },
    Checkpoint { second_handle: bool },
}

fn listen(database: &Handle, from: Option<u64>) -> Arc<Subscription> {
    database.subscribe(None, from, || {}).expect("subscribed").0
}

fn catch_up(database: &Handle) {
    database.sequence().expect("caught up");
}

/// Returns what the feed should report of a batch on a collection that holds `there`.
fn expected(there: &mut BTreeMap<u64, u64>, steps: &[Step], seq: u64, collection: &str) -> Option<Change> {
    let before = there.clone();
    let mut dropped = false;
    let mut touched: BTreeSet<u64> = BTreeSet::new();
    for step in steps {
        match step {
            Step::Put(id) => {
                // Each put writes a different text.
                there.insert(*id, seq);
                touched.insert(*id);
            }
            Step::Delete(id) => {
                if there.remove(id).is_some() {
                    touched.insert(*id);
                }
            }
            Step::Drop => {
                there.clear();
                touched.clear();
                dropped = true;
            }
        }
    }
    let was = |id: &u64| !dropped && before.contains_key(id);
    // Nobody has seen what the batch itself put and deleted.
    touched.retain(|id| was(id) || there.contains_key(id));
    let ids = |keep: &dyn Fn(&u64) -> bool| -> Vec<DocumentId> {
        touched.iter().filter(|id| keep(id)).map(|&id| id.into()).collect()
    };
    let change = Change::Documents {
        seq,
        collection: collection.into(),
        dropped,
        created: ids(&|id| there.contains_key(id) && !was(id)),
        updated: ids(&|id| there.contains_key(id) && was(id)),
        deleted: ids(&|id| !there.contains_key(id)),
    };
    (dropped || !touched.is_empty()).then_some(change)
}

fn write(fixture: &Fixture, database: &Handle, nested: bool, steps: &[Step], round: usize) {
    let spec = if nested { fixture.nested() } else { fixture.spec() };
    let steps = steps.to_vec();
    database
        .write(Durability::Os, move |tx| {
            for step in &steps {
                match step {
                    Step::Put(id) => {
                        tx.put(&spec, (*id).into(), record(*id, &format!("round {round}")).into_bytes())?;
                    }
                    Step::Delete(id) => drop(tx.delete(&spec, (*id).into())?),
                    Step::Drop => tx.drop_collection(&spec)?,
                }
            }
            Ok::<_, Error>(())
        })
        .expect("written");
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..5).prop_map(Step::Put),
        3 => (0u64..5).prop_map(Step::Delete),
        1 => Just(Step::Drop),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let batch = (any::<bool>(), any::<bool>(), proptest::collection::vec(step(), 1..4))
        .prop_map(|(second_handle, nested, steps)| Action::Batch { second_handle, nested, steps });
    prop_oneof![8 => batch, 1 => any::<bool>().prop_map(|second_handle| Action::Checkpoint { second_handle })]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_listener_hears_every_change_once_and_in_order(actions in proptest::collection::vec(action(), 1..24)) {
        let fixture = Fixture::new();
        let handles = [fixture.open(), fixture.open()];
        let listeners = [listen(&handles[0], None), listen(&handles[1], None)];
        let mut there = [BTreeMap::new(), BTreeMap::new()];
        let mut log = Vec::new();
        let mut checkpoints = false;
        for (round, action) in actions.iter().enumerate() {
            match action {
                Action::Checkpoint { second_handle } => {
                    checkpoints = true;
                    fixture.checkpoint(&handles[usize::from(*second_handle)]);
                    // A listener that misses two checkpoints would get a reset instead.
                    handles.iter().for_each(catch_up);
                }
                Action::Batch { second_handle, nested, steps } => {
                    let handle = &handles[usize::from(*second_handle)];
                    let before = handle.sequence().expect("caught up");
                    write(&fixture, handle, *nested, steps, round);
                    let path = if *nested { "data/7/items.json" } else { "items.json" };
                    log.extend(expected(&mut there[usize::from(*nested)], steps, before + 1, path));
                }
            }
        }
        handles.iter().for_each(catch_up);
        for listener in &listeners {
            let heard = listener.take().expect("changes");
            prop_assert_eq!(&heard, &log);
        }
        let last = handles[0].sequence().expect("caught up");
        for from in 0..=last {
            let late = listen(&handles[1], Some(from)).take().expect("changes");
            let seq_of = |change: &Change| match change {
                Change::Documents { seq, .. } | Change::Reset { seq, .. } => *seq,
            };
            let rest: Vec<Change> = log.iter().filter(|change| seq_of(change) > from).cloned().collect();
            if checkpoints && late == [Change::Reset { seq: last, collection: None }] {
                continue;
            }
            prop_assert_eq!(late, rest);
        }
    }
}

#[test]
fn a_listener_of_one_collection_hears_only_its_changes() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let path: Arc<str> = "items.json".into();
    let (listener, _) = database.subscribe(Some(Arc::clone(&path)), None, || {}).expect("subscribed");
    write(&fixture, &database, true, &[Step::Put(1)], 0);
    write(&fixture, &database, false, &[Step::Put(2)], 0);
    let heard = listener.take().expect("changes");
    assert!(matches!(&heard[..], [Change::Documents { collection, created, .. }]
        if *collection == path && *created == [2.into()]));
}

#[test]
fn an_idle_listener_hears_commits_of_other_processes() {
    let fixture = Fixture::new();
    let (writer, silent) = (fixture.open(), fixture.open());
    let (woken, wait) = mpsc::channel();
    let wake = move || {
        // Nobody waits any more when the test has ended.
        let _ = woken.send(());
    };
    let (listener, _) = silent.subscribe(None, None, wake).expect("subscribed");
    fixture.put(&writer, 7, "x");
    wait.recv_timeout(Duration::from_secs(10)).expect("woken");
    let heard = listener.take().expect("changes");
    assert!(matches!(&heard[..], [Change::Documents { created, .. }] if *created == [7.into()]));
}

#[test]
fn a_slow_listener_gets_one_reset_and_then_later_changes() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let listener = listen(&database, None);
    let spec = fixture.spec();
    for round in 0..3 {
        // Ids of 1 KB: a few thousand of them exceed what a listener may hold.
        let spec = Arc::clone(&spec);
        database
            .write(Durability::Os, move |tx| {
                for at in 0..2000 {
                    let id = DocumentId::from_key(&format!("{round}-{at}-{}", "x".repeat(1000)));
                    tx.put(&spec, id, b"{}".to_vec())?;
                }
                Ok::<_, Error>(())
            })
            .expect("written");
    }
    let seq = database.sequence().expect("caught up");
    assert_eq!(listener.take().expect("changes"), [Change::Reset { seq, collection: None }]);
    fixture.put(&database, 1, "x");
    assert!(
        matches!(&listener.take().expect("changes")[..], [Change::Documents { created, .. }] if *created == [1.into()])
    );
}

#[test]
fn an_adopted_file_resets_its_collection() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let listener = listen(&database, None);
    std::fs::write(fixture.path("items.json"), format!("{{\"1\":{}}}", record(1, "by hand")))
        .expect("written");
    assert!(database.get(&fixture.spec(), &1.into(), READ).expect("readable").is_some());
    assert_eq!(
        listener.take().expect("changes"),
        [Change::Reset { seq: 1, collection: Some("items.json".into()) }]
    );
}

#[test]
fn a_listener_that_resumes_from_a_dropped_generation_gets_a_reset() {
    let fixture = Fixture::new();
    let (one, sleeper) = (fixture.open(), fixture.open());
    fixture.put(&one, 1, "a");
    let from = sleeper.sequence().expect("caught up");
    for id in 2..6 {
        fixture.put(&one, id, "b");
        fixture.checkpoint(&one);
    }
    let heard = listen(&sleeper, Some(from)).take().expect("changes");
    assert!(matches!(heard[..], [Change::Reset { collection: None, .. }]), "{heard:?}");
}

#[test]
fn a_listener_that_resumes_from_before_damage_in_a_journal_gets_a_reset() {
    for kept in ["newest", "older"] {
        let fixture = Fixture::new();
        let database = fixture.open();
        fixture.put(&database, 1, "first");
        let from = database.sequence().expect("caught up");
        fixture.put(&database, 2, "second");
        fixture.put(&database, 3, "third");
        let journal = fixture.path(".storage/journal-000000000001.jsonl");
        if kept == "older" {
            fixture.checkpoint(&database);
        }
        let mut bytes = std::fs::read(&journal).expect("readable");
        let at = bytes.windows(5).position(|window| window == b"third").expect("the last batch");
        bytes[at..at + 5].copy_from_slice(b"dirty");
        std::fs::write(&journal, bytes).expect("written over");
        let seq = database.known_sequence();
        let heard = listen(&database, Some(from)).take().expect("changes");
        assert_eq!(heard, [Change::Reset { seq, collection: None }], "{kept}");
    }
}

#[test]
fn a_listener_that_resumes_from_a_future_sequence_number_gets_a_reset() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    let heard = listen(&database, Some(99)).take().expect("changes");
    assert_eq!(heard, [Change::Reset { seq: 1, collection: None }]);
}

#[test]
fn a_listener_that_resumes_from_before_a_repair_gets_a_reset() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    let before = database.sequence().expect("caught up");
    drop(database);
    std::fs::write(fixture.path(".storage/new-7-1"), "half").expect("written");
    let file_system: Arc<dyn Fs> = Arc::new(OsFs);
    let report = repair(&file_system, &fixture.path(""), wait());
    assert!(report.expect("repairable").is_ok());
    let database = fixture.open();
    let now = database.sequence().expect("caught up");
    let heard = listen(&database, Some(before)).take().expect("changes");
    assert_eq!(heard, [Change::Reset { seq: now, collection: None }]);
    assert_eq!(listen(&database, Some(now)).take().expect("changes"), []);
}

#[test]
fn a_listener_learns_that_its_engine_closed_and_still_gets_pending_changes() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let (woken, wait) = mpsc::channel();
    let wake = move || {
        // Nobody waits any more when the test has ended.
        let _ = woken.send(());
    };
    let (listener, _) = database.subscribe(None, None, wake).expect("subscribed");
    fixture.put(&database, 7, "x");
    assert!(!listener.is_over());
    drop(database);
    wait.recv_timeout(Duration::from_secs(10)).expect("woken");
    assert!(listener.is_over());
    assert_eq!(listener.take().expect("changes").len(), 1);
    assert_eq!(listener.take().expect("changes"), []);
}
