//! What verifying reports about journals and the tip, and what a repair takes from damaged journals.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::simulated::{
    DIRECTORY, begin_generation, checkpoint, cut_short, journal, leave_something, machine, name, open, put,
    put_unsynced, repaired, try_open, verified,
};
use crate::support::{record, spec};
use octoprompt_storage::engine::fs::{Call, Extreme, Fault, Repeat, SimFs};
use octoprompt_storage::engine::{
    Database, DatabaseOptions, Durability, Result, Severity, Transaction, VerifyReport,
};

fn codes(report: &VerifyReport) -> Vec<&'static str> {
    report.problems.iter().map(|problem| problem.code.as_str()).collect()
}

/// Opens the database in another process.
fn open_beside(fs: &SimFs) -> (SimFs, Arc<Database>) {
    let fs = fs.process();
    let options =
        DatabaseOptions { background: false, lock_timeout: Duration::ZERO, ..DatabaseOptions::default() };
    let database = Database::open(fs.handle(), Path::new(DIRECTORY), options).expect("opens");
    (fs, database)
}

#[test]
fn a_batch_that_was_never_synced_may_be_missing_after_a_restart() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "durable");
    let promised = fs.read_file(journal(1)).expect("a journal");
    put_unsynced(&database, "items.json", 2, "not synced");
    drop(database);
    // The tip may have reached the disk although the batches that it acknowledges have not.
    let fs = fs.power_loss(&mut Extreme::Everything);
    fs.write_file(journal(1), &promised);
    let report = verified(&fs);
    assert!(report.is_ok(), "{report}");
    assert_eq!(name(&open(&fs), "items.json", 1), Ok(Some("durable".into())));
}

#[test]
fn a_failed_sync_is_reported_and_the_batches_it_lost_are_no_damage() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "durable");
    let promised = fs.read_file(journal(1)).expect("a journal");
    put_unsynced(&database, "items.json", 2, "not synced");
    let syncs = |call: &Call| matches!(call, Call::SyncData { .. }) && call.name().starts_with("journal-");
    fs.fail_when(syncs, Fault::Io, Repeat::Once);
    let (items, text) = (spec("items.json"), record(3, "not durable").into_bytes());
    database.write(Durability::Full, move |t| t.put(&items, 3.into(), text)).expect_err("it is not durable");
    assert_eq!(codes(&verified(&fs)), ["POISONED"]);
    drop(database);
    fs.write_file(journal(1), &promised);
    assert_eq!(codes(&verified(&fs)), ["POISONED"]);
    assert_eq!(name(&open(&fs), "items.json", 1), Ok(Some("durable".into())));
    assert_eq!(codes(&verified(&fs)), [""; 0]);
}

#[test]
fn an_unreadable_tip_is_damage_while_others_have_the_database_open() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "stored");
    fs.write_file("/database/.storage/tip", &[7; 4096]);
    let report = verified(&fs);
    assert!(!report.is_ok() && codes(&report).contains(&"TIP_DAMAGED"), "{report}");
}

/// Makes a process die at the given call of `work` while another process has the database open. Returns whether it died.
fn dies_beside_others(call: u64, work: fn(&Database) -> Result<()>) -> bool {
    let fs = machine();
    let (writing, writer) = open_beside(&fs);
    let (_, reader) = open_beside(&fs);
    put(&writer, "items.json", 1, "acknowledged");
    writing.stop_at(writing.calls() + call);
    let died = work(&writer).is_err();
    writing.kill();
    let report = verified(&fs);
    let (_, later) = open_beside(&fs);
    let [seen, again] =
        [reader, later].map(|by| (1..=2).filter(|&id| name(&by, "items.json", id) != Ok(None)).count());
    assert_eq!(again, seen, "call {call}");
    let left_over = report.problems.iter().all(|problem| problem.path.contains("/new-"));
    assert!(left_over && report.documents() == seen as u64, "call {call}: {report}");
    died
}

#[test]
fn a_write_or_checkpoint_cut_short_by_a_kill_is_no_damage_and_the_same_for_everybody() {
    let write = |database: &Database| {
        let (items, text) = (spec("items.json"), record(2, "under way").into_bytes());
        database.write(Durability::Full, move |t| t.put(&items, 2.into(), text))
    };
    for work in [write as fn(&Database) -> Result<()>, checkpoint] {
        let calls = (1..).take_while(|&call| dies_beside_others(call, work)).count();
        assert!(calls > 3, "{calls}");
    }
}

#[test]
fn bytes_after_the_last_batch_are_reported_as_a_torn_tail() {
    let fs = machine();
    put(&open(&fs), "items.json", 1, "acknowledged");
    let torn = [&fs.read_file(journal(1)).expect("a journal"), &b"[\"half a line"[..]].concat();
    fs.write_file(journal(1), &torn);
    let report = verified(&fs);
    assert!(report.is_ok() && codes(&report) == ["TORN_TAIL"], "{report}");
}

#[test]
fn a_generation_missing_between_others_is_reported() {
    let fs = machine();
    let database = open(&fs);
    for id in 1..=3 {
        put(&database, "items.json", id, "stored");
        begin_generation(&fs, &database);
    }
    put(&database, "items.json", 4, "stored");
    drop(database);
    assert!(verified(&fs).is_ok());
    fs.remove(journal(2));
    let report = verified(&fs);
    assert!(!report.is_ok() && codes(&report) == ["JOURNAL_MISSING"], "{report}");
    assert!(report.problems[0].path.ends_with("journal-000000000002.jsonl"), "{report}");
}

#[test]
fn no_journal_is_missing_before_the_first_one_even_if_its_header_is_lost() {
    let fs = machine();
    put(&open(&fs), "items.json", 1, "lost");
    let text = String::from_utf8(fs.read_file(journal(1)).expect("a journal")).expect("text");
    fs.write_file(journal(1), text.replace("\"database\":", "\"x\":").as_bytes());
    let report = verified(&fs);
    assert!(!report.is_ok() && codes(&report) == ["JOURNAL_DAMAGED"], "{report}");
}

#[test]
fn a_repair_keeps_all_of_a_journal_whose_successor_is_missing() {
    let fs = machine();
    let database = open(&fs);
    // The journals after this one are shorter.
    for id in 1..=3 {
        put(&database, "items.json", id, "stored");
    }
    for id in 4..=5 {
        begin_generation(&fs, &database);
        put(&database, "items.json", id, "stored");
    }
    let last = |database: &Database| database.statistics().expect("statistics").sequence.last;
    let before = last(&database);
    drop(database);
    let fs = fs.power_loss(&mut Extreme::Everything);
    fs.remove(journal(2));
    leave_something(&fs);
    repaired(&fs);
    let database = open(&fs);
    assert!(last(&database) > before);
    let found = (1..=5).filter(|&id| name(&database, "items.json", id) == Ok(Some("stored".into())));
    assert_eq!(found.collect::<Vec<_>>(), [1, 2, 3, 5]);
}

#[test]
fn a_repair_keeps_the_unsynced_batches_around_a_damaged_one_if_a_later_journal_proves_them() {
    let fs = machine();
    let database = open(&fs);
    (1..=3).for_each(|id| put_unsynced(&database, "items.json", id, "not synced"));
    begin_generation(&fs, &database);
    drop(database);
    let fs = fs.power_loss(&mut Extreme::Everything);
    let mut bytes = fs.read_file(journal(1)).expect("the journal before");
    let at = String::from_utf8_lossy(&bytes).find("\"seq\":2,").expect("the second batch");
    bytes[at + 6] = b'7';
    fs.write_file(journal(1), &bytes);
    assert_eq!(codes(&verified(&fs)), ["JOURNAL_DAMAGED"]);
    leave_something(&fs);
    repaired(&fs);
    let database = open(&fs);
    let found = (1..=3).filter(|&id| name(&database, "items.json", id) == Ok(Some("not synced".into())));
    assert_eq!(found.collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn damage_to_batches_that_the_snapshots_hold_is_only_a_warning() {
    let fs = machine();
    let database = open(&fs);
    (1..=3).for_each(|id| put(&database, "items.json", id, "stored"));
    checkpoint(&database).expect("checkpointed");
    put(&database, "items.json", 4, "stored");
    drop(database);
    let mut bytes = fs.read_file(journal(1)).expect("the journal before");
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    fs.write_file(journal(1), &bytes);
    let report = verified(&fs);
    let [problem] = &report.problems[..] else { panic!("{report}") };
    assert_eq!((problem.code.as_str(), problem.severity), ("JOURNAL_DAMAGED", Severity::Warning), "{report}");
    assert_eq!(name(&open(&fs), "items.json", 1), Ok(Some("stored".into())));
}

#[test]
fn a_journal_of_another_history_is_reported_as_damage() {
    let fs = machine();
    put(&open(&fs), "items.json", 3, "in both");
    let twin = fs.snapshot().kill();
    for (fs, text) in [(&fs, "one"), (&twin, "two")] {
        let database = open(fs);
        put(&database, "items.json", 1, text);
        begin_generation(fs, &database);
        put(&database, "items.json", 2, "later");
    }
    assert!(verified(&fs).is_ok());
    fs.write_file(journal(1), &twin.read_file(journal(1)).expect("a journal"));
    let report = verified(&fs);
    assert!(!report.is_ok() && codes(&report) == ["JOURNAL_DAMAGED"], "{report}");
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
}

#[test]
fn a_repair_takes_nothing_from_the_journal_of_another_database() {
    let fs = [machine(), machine()];
    for (fs, id) in fs.iter().zip([1, 2]) {
        let database = open(fs);
        put(&database, "items.json", id, "first");
        begin_generation(fs, &database);
        put(&database, "items.json", id + 10, "second");
    }
    let [fs, other] = fs;
    fs.write_file(journal(2), &other.read_file(journal(2)).expect("a journal"));
    assert!(!verified(&fs).is_ok());
    leave_something(&fs);
    repaired(&fs);
    let database = open(&fs);
    assert_eq!(name(&database, "items.json", 1), Ok(Some("first".into())));
    assert_eq!(name(&database, "items.json", 12), Ok(None));
}

#[test]
fn an_old_generation_that_returns_does_not_bring_back_a_deleted_document() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "deleted");
    let old = fs.read_file(journal(1)).expect("a journal");
    let items = spec("items.json");
    database.write(Durability::Full, move |t| t.delete(&items, 1.into())).expect("deleted");
    for id in 2..=4 {
        put(&database, "items.json", id, "kept");
        checkpoint(&database).expect("checkpointed");
    }
    drop(database);
    assert_eq!(fs.read_file(journal(1)), None);
    let mut damaged = old.clone();
    damaged[old.len() - 20] ^= 1;
    fs.write_file(journal(1), &damaged);
    assert_eq!(codes(&verified(&fs)), [""; 0]);
    fs.write_file(journal(1), &old);
    assert_eq!(codes(&verified(&fs)), [""; 0]);
    cut_short(&fs);
    leave_something(&fs);
    repaired(&fs);
    let database = open(&fs);
    assert_eq!(name(&database, "items.json", 1), Ok(None));
    assert_eq!(name(&database, "items.json", 2), Ok(Some("kept".into())));
}

#[test]
fn a_repair_does_not_repeat_removals_listed_only_in_a_damaged_header() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "dropped");
    put(&database, "kept.json", 1, "kept");
    checkpoint(&database).expect("checkpointed");
    let old = fs.read_file("/database/items.json").expect("a file");
    let items = spec("items.json");
    let removal = move |t: &mut Transaction<'_>| {
        t.drop_collection(&items)?;
        t.remove_path("folder")
    };
    database.write(Durability::Full, removal).expect("removed");
    put(&database, "kept.json", 2, "kept");
    checkpoint(&database).expect("checkpointed");
    put(&database, "kept.json", 3, "kept");
    drop(database);
    fs.write_file("/database/items.json", &old);
    fs.write_file("/database/folder/notes.txt", b"somebody's");
    let mut bytes = fs.read_file(journal(3)).expect("the newest journal");
    bytes[30] ^= 1;
    fs.write_file(journal(3), &bytes);
    leave_something(&fs);
    repaired(&fs);
    assert_eq!(fs.read_file("/database/folder/notes.txt").as_deref(), Some(&b"somebody's"[..]));
    let database = open(&fs);
    assert_eq!(name(&database, "items.json", 1), Ok(Some("dropped".into())));
    assert_eq!(name(&database, "kept.json", 3), Ok(Some("kept".into())));
}

#[test]
fn journals_are_not_read_again_for_each_file_that_nobody_has_used() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, &"a".repeat(100_000));
    for number in 0..20 {
        fs.write_file(format!("{DIRECTORY}/unused-{number}.json"), b"{}");
    }
    let before = fs.log().len();
    let report = verified(&fs);
    assert_eq!(codes(&report), ["NOT_ADOPTED"; 20]);
    let read: usize = fs.log()[before..]
        .iter()
        .map(|entry| match &entry.call {
            Call::Read { path, len, .. } if **path == *Path::new(&journal(1)) => *len,
            _ => 0,
        })
        .sum();
    assert!(read < 1_000_000, "read {read} bytes of the journal");
}
