//! What a repair keeps, what it gives up, and what it reports. On a simulated file system.

use std::path::Path;
use std::sync::Arc;

use crate::support::simulated::{
    DIRECTORY, checkpoint, cut_short, leave_something, machine, name, open, outdated, put, remove, repaired,
    reserved, try_open, verified,
};
use crate::support::{READ, record, spec};
use octoprompt_storage::engine::fs::{Call, Extreme, Fault, Repeat, SimFs};
use octoprompt_storage::engine::{
    CollectionSpec, Database, Durability, Error, Foreign, RepairReport, Transaction,
};

/// A database with two documents in one collection.
fn two_documents() -> (SimFs, Arc<Database>) {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "first");
    put(&database, "items.json", 2, "second");
    (fs, database)
}

fn said(report: &RepairReport, code: &str) -> Vec<String> {
    let said = report.actions.iter().filter(|action| action.code.as_str() == code);
    said.map(|action| format!("{}: {}", action.path, action.message)).collect()
}

fn copy(fs: &SimFs, report: &RepairReport, path: &str) -> Option<Vec<u8>> {
    fs.read_file(report.copies.as_ref().expect("a folder").join(path))
}

#[test]
fn a_repair_rejects_a_document_with_a_foreign_id_and_keeps_the_older_one() {
    let fs = machine();
    let database = open(&fs);
    (1..=3).for_each(|id| put(&database, "items.json", id, "stored"));
    checkpoint(&database).expect("checkpointed");
    put(&database, "items.json", 3, "newer");
    drop(database);
    let text = record(2, "edited");
    let edited = format!("{{\"1\":{text},\"2\":{text},\"3\":{text}}}");
    fs.write_file("/database/items.json", edited.as_bytes());
    let report = repaired(&fs);
    let lost = said(&report, "DOCUMENTS_LOST");
    assert!(lost.iter().any(|said| said == "items.json: these could not be read: 1"), "{lost:?}");
    let database = open(&fs);
    assert_eq!(name(&database, "items.json", 1), Ok(Some("stored".into())));
    assert_eq!(name(&database, "items.json", 2), Ok(Some("edited".into())));
    assert_eq!(name(&database, "items.json", 3), Ok(Some("newer".into())));
}

#[test]
fn documents_saved_from_a_changed_file_still_wait_for_verdicts() {
    for spoiled in [format!("{{\"1\":{}}}", record(2, "edited")), format!("{{\"1\":{}", record(1, "cut"))] {
        let fs = machine();
        let database = open(&fs);
        put(&database, "items.json", 1, "stored");
        checkpoint(&database).expect("checkpointed");
        drop(database);
        fs.write_file("/database/items.json", spoiled.as_bytes());
        assert_eq!(said(&repaired(&fs), "SNAPSHOT_WRITTEN").len(), 1);
        let judged = CollectionSpec {
            path: "items.json".into(),
            large_field: None,
            indexes: Vec::new(),
            foreign: Foreign::Ask,
        };
        let found = open(&fs).get(&Arc::new(judged), &1.into(), READ);
        assert!(matches!(found, Err(Error::Unadopted { .. })), "{found:?}");
    }
}

#[test]
fn documents_cut_off_a_file_are_restored_from_the_journals() {
    let (fs, database) = two_documents();
    checkpoint(&database).expect("checkpointed");
    drop(database);
    cut_short(&fs);
    repaired(&fs);
    let database = open(&fs);
    assert_eq!(name(&database, "items.json", 1), Ok(Some("first".into())));
    assert_eq!(name(&database, "items.json", 2), Ok(Some("second".into())));
}

#[test]
fn documents_cut_off_a_file_and_stored_nowhere_else_are_reported_lost() {
    let (fs, database) = two_documents();
    for id in 1..=3 {
        checkpoint(&database).expect("checkpointed");
        put(&database, "other.json", id, "in a generation of its own");
    }
    drop(database);
    let broken = cut_short(&fs);
    let report = repaired(&fs);
    let written = said(&report, "SNAPSHOT_WRITTEN");
    assert!(
        written.iter().any(|said| said.starts_with("items.json: written anew with 1 document")),
        "{report}"
    );
    assert_eq!(said(&report, "DOCUMENTS_LOST").len(), 1, "{report}");
    assert_eq!(copy(&fs, &report, "items.json").as_deref(), Some(&broken[..]));
    let database = open(&fs);
    assert_eq!(name(&database, "items.json", 1), Ok(Some("first".into())));
    assert_eq!(name(&database, "items.json", 2), Ok(None));
}

#[test]
fn journaled_documents_survive_rubbish_in_place_of_their_file() {
    let fs = machine();
    put(&open(&fs), "items.json", 1, "stored");
    fs.write_file("/database/items.json", b"{rubbish");
    leave_something(&fs);
    let report = repaired(&fs);
    assert_eq!(copy(&fs, &report, "items.json").as_deref(), Some(&b"{rubbish"[..]));
    assert_eq!(name(&open(&fs), "items.json", 1), Ok(Some("stored".into())));
}

#[test]
fn a_repair_does_not_bring_back_a_deleted_document() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "deleted");
    put(&database, "items.json", 2, "kept");
    checkpoint(&database).expect("checkpointed");
    let items = spec("items.json");
    database.write(Durability::Full, move |t| t.delete(&items, 1.into())).expect("deleted");
    drop(database);
    leave_something(&fs);
    repaired(&fs);
    let database = open(&fs);
    assert_eq!(name(&database, "items.json", 1), Ok(None));
    assert_eq!(name(&database, "items.json", 2), Ok(Some("kept".into())));
}

#[test]
fn the_originals_or_their_copies_survive_a_power_loss_at_any_call() {
    let (fs, database) = two_documents();
    checkpoint(&database).expect("checkpointed");
    drop(database);
    let broken = cut_short(&fs);
    fs.record();
    let report = repaired(&fs);
    for moment in fs.moments() {
        let lost = moment.power_loss(&mut Extreme::Nothing);
        let is_original = |path: &Path| lost.read_file(path).as_deref() == Some(&broken[..]);
        let copied = report.copies.as_ref().expect("a folder").join("items.json");
        assert!(
            is_original(Path::new("/database/items.json")) || is_original(&copied),
            "{:?}",
            moment.calls()
        );
    }
    let lost = fs.power_loss(&mut Extreme::Nothing);
    assert!(verified(&lost).is_ok());
    assert_eq!(copy(&lost, &report, "items.json").as_deref(), Some(&broken[..]));
    let journal = copy(&fs, &report, "storage/journal-000000000001.jsonl");
    assert!(journal.is_some() && copy(&lost, &report, "storage/journal-000000000001.jsonl") == journal);
    assert_eq!(name(&open(&lost), "items.json", 2), Ok(Some("second".into())));
}

/// A database in which the removal of one file and of one folder was committed but not carried out.
fn removed_but_for_the_removal(fs: &SimFs) {
    let database = open(fs);
    for path in ["items.json", "folder/7/items.json", "kept.json"] {
        put(&database, path, 1, "stored");
    }
    checkpoint(&database).expect("checkpointed");
    let removes = |call: &Call| matches!(call, Call::RemoveFile { path } | Call::RemoveDir { path } if !path.starts_with("/database/.storage"));
    fs.fail_when(removes, Fault::Io, Repeat::Forever);
    let (items, nested) = (spec("items.json"), spec("folder/7/items.json"));
    let removal = move |t: &mut Transaction<'_>| {
        t.drop_collection(&items)?;
        t.drop_collection(&nested)?;
        t.remove_path("folder/7")
    };
    database.write(Durability::Full, removal).expect("written");
    drop(database);
    fs.heal();
    fs.write_file("/database/folder/7/notes.txt", b"beside it");
}

#[test]
fn a_repair_completes_removals_and_copies_the_files_first() {
    let fs = machine();
    removed_but_for_the_removal(&fs);
    let stored = fs.read_file("/database/items.json").expect("it is there still");
    leave_something(&fs);
    let report = repaired(&fs);
    assert_eq!(fs.read_file("/database/items.json"), None);
    assert_eq!(fs.read_file("/database/folder/7/notes.txt"), None);
    assert_eq!(copy(&fs, &report, "items.json"), Some(stored));
    assert_eq!(copy(&fs, &report, "folder/7/notes.txt").as_deref(), Some(&b"beside it"[..]));
    let database = open(&fs);
    for (path, expected) in
        [("items.json", None), ("folder/7/items.json", None), ("kept.json", Some("stored"))]
    {
        assert_eq!(name(&database, path, 1), Ok(expected.map(str::to_owned)), "{path}");
    }
}

#[test]
fn a_rewritten_file_keeps_its_mode() {
    let fs = machine();
    drop(outdated(&fs));
    fs.set_mode("/database/items.json", 0o600);
    leave_something(&fs);
    assert_eq!(said(&repaired(&fs), "SNAPSHOT_WRITTEN").len(), 1);
    assert_eq!(fs.mode("/database/items.json"), Some(0o600));
}

fn sequence(database: &Database) -> u64 {
    database.sequence().expect("caught up")
}

/// Four batches, of which the given one is damaged.
fn with_a_damaged_batch(number: u64, restarted: bool) -> (SimFs, u64) {
    let fs = machine();
    let database = open(&fs);
    (1..=4).for_each(|id| put(&database, "items.json", id, "stored"));
    let last = sequence(&database);
    drop(database);
    let path = "/database/.storage/journal-000000000001.jsonl";
    let mut bytes = fs.read_file(path).expect("a journal");
    let text = String::from_utf8(bytes.clone()).expect("text");
    bytes[text.find(&format!("\"put\":{{\"{number}\"")).expect("the batch") + 3] ^= 1;
    fs.write_file(path, &bytes);
    if restarted {
        fs.write_file("/database/.storage/tip", &[0; 4096]);
    }
    (fs, last)
}

#[test]
fn the_sequence_number_of_a_lost_batch_is_not_reused() {
    for (number, restarted) in [(4, false), (3, false), (3, true)] {
        let (fs, last) = with_a_damaged_batch(number, restarted);
        let report = repaired(&fs);
        assert_eq!(said(&report, "BATCHES_LOST").len(), 1, "{report}");
        assert!(sequence(&open(&fs)) >= last, "batch {number}, restarted: {restarted}");
    }
}

#[test]
fn a_database_without_journals_is_rebuilt_with_higher_numbers() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "stored");
    checkpoint(&database).expect("checkpointed");
    let before = sequence(&database);
    drop(database);
    let journals = |fs: &SimFs| reserved(fs).into_iter().filter(|name| name.starts_with("journal-"));
    let newest = journals(&fs).next_back().expect("a journal");
    for name in journals(&fs) {
        remove(&fs, &format!(".storage/{name}"));
    }
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    repaired(&fs);
    let begun = journals(&fs).next_back().expect("a journal");
    assert!(begun > newest);
    let header = fs.read_file(Path::new(DIRECTORY).join(".storage").join(begun)).expect("readable");
    assert!(
        !String::from_utf8_lossy(&header).contains(&"0".repeat(32)),
        "an id that every database might have"
    );
    let database = open(&fs);
    assert_eq!(name(&database, "items.json", 1), Ok(Some("stored".into())));
    assert!(sequence(&database) > before);
    put(&database, "items.json", 2, "written on");
}

/// Puts a document in a file of its own.
fn put_with_a_file(database: &Database) {
    let mut spool = database.spool("content", 100).expect("room");
    spool.append(b"long").expect("room");
    let file = database.seal(spool, br#"{"id":1,"name":"large""#).expect("room");
    let items = spec("items.json");
    database.write(Durability::Full, move |t| t.put_file(&items, 1.into(), file)).expect("written");
}

fn document_file(fs: &SimFs) -> String {
    reserved(fs).into_iter().find(|name| name.starts_with("document-")).expect("a file of its own")
}

#[test]
fn a_document_whose_own_file_is_missing_is_reported_lost() {
    let fs = machine();
    let database = open(&fs);
    put_with_a_file(&database);
    put(&database, "items.json", 2, "kept");
    drop(database);
    remove(&fs, &format!(".storage/{}", document_file(&fs)));
    let report = repaired(&fs);
    let lost = said(&report, "DOCUMENTS_LOST");
    assert!(lost.iter().any(|said| said == "items.json: these could not be read: 1"), "{lost:?}");
    let database = open(&fs);
    assert_eq!(name(&database, "items.json", 1), Ok(None));
    assert_eq!(name(&database, "items.json", 2), Ok(Some("kept".into())));
}

#[test]
fn a_repair_replaces_rubbish_that_was_set_aside_with_an_empty_map() {
    let fs = machine();
    fs.write_file("/database/items.json", b"rubbish");
    assert_eq!(name(&open(&fs), "items.json", 1), Ok(None));
    leave_something(&fs);
    repaired(&fs);
    assert_eq!(fs.read_file("/database/items.json").as_deref(), Some(&b"{}\n"[..]));
}

#[test]
fn a_repair_reads_a_collection_when_the_one_before_is_written() {
    let fs = machine();
    let database = open(&fs);
    let paths = ["a.json", "b.json"];
    paths.iter().for_each(|path| put(&database, path, 1, "stored"));
    checkpoint(&database).expect("checkpointed");
    paths.iter().for_each(|path| put(&database, path, 2, "in the journal"));
    drop(database);
    leave_something(&fs);
    let before = fs.log().len();
    repaired(&fs);
    let log = fs.log().split_off(before);
    let becomes = |call: &Call, name: &str| matches!(call, Call::Rename { to, .. } if to.ends_with(name));
    let reads_other = |call: &Call| matches!(call, Call::Read { path, .. } if path.ends_with("b.json"));
    let between = log.iter().map(|entry| &entry.call).skip_while(|call| !becomes(call, "a.json"));
    assert!(between.take_while(|call| !becomes(call, "b.json")).any(reads_other));
    let database = open(&fs);
    for path in paths {
        assert_eq!(name(&database, path, 2), Ok(Some("in the journal".into())));
    }
}

#[test]
fn a_repair_leaves_no_replaced_files_behind() {
    let fs = machine();
    let database = open(&fs);
    put_with_a_file(&database);
    put(&database, "other.json", 1, "stored");
    drop(database);
    document_file(&fs);
    leave_something(&fs);
    let report = repaired(&fs);
    assert_eq!(said(&report, "REMOVED").len(), 1, "{report}");
    assert!(report.after.problems.iter().all(|problem| problem.code.as_str() == "SET_ASIDE"), "{report}");
    let kept =
        ["tip", "write.lock", "open.lock", "checkpoint.lock", "locks", "owner", "journal-000000000002.jsonl"];
    let beside = |name: &String| !kept.contains(&name.as_str()) && !name.starts_with("before-repair-");
    assert_eq!(reserved(&fs).into_iter().filter(beside).count(), 0, "{:?}", reserved(&fs));
}

#[test]
fn a_repair_does_not_rely_on_a_rename_whose_sync_failed() {
    let fs = machine();
    let database = outdated(&fs);
    let syncs = |call: &Call| matches!(call, Call::SyncDir { path } if **path == *Path::new(DIRECTORY));
    fs.fail_when(syncs, Fault::Io, Repeat::Once);
    assert!(checkpoint(&database).is_err());
    drop(database);
    leave_something(&fs);
    repaired(&fs);
    let fs = fs.power_loss(&mut Extreme::Nothing);
    assert_eq!(name(&open(&fs), "items.json", 1), Ok(Some("new".into())));
}
