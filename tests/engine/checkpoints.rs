//! What others may do to files and collections while a checkpoint writes their snapshots, and what a checkpoint does if
//! there is no room for them. On a simulated file system.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::support::simulated::{checkpoint, machine, name, open, outdated, put, remove, reserved, verified};
use crate::support::{record, spec};
use octoprompt_storage::engine::fs::{Call, Extreme, Fs, SimFs, Snapshot};
use octoprompt_storage::engine::{Database, Durability, Error, Transaction};

const OWNED: &str = "owned/7/items.json";

/// The moment when a checkpoint has frozen its collections and released the write lock.
fn begins_snapshot(call: &Call) -> bool {
    matches!(call, Call::Open { .. }) && call.name().starts_with("new-")
}

/// Two collections with files, both changed since the files were written.
fn changed(fs: &SimFs) -> Arc<Database> {
    let database = open(fs);
    for name in ["one", "newer"] {
        put(&database, OWNED, 1, name);
        put(&database, "other.json", 1, name);
        if name == "one" {
            checkpoint(&database).expect("checkpointed");
        }
    }
    database
}

/// Runs a checkpoint during which another process drops or removes the collection of the first snapshot.
fn check_given_up(give_up: fn(&mut Transaction<'_>) -> octoprompt_storage::engine::Result<()>) {
    let fs = machine();
    let (own, other) = (fs.process(), open(&fs.process()));
    let database = changed(&own);
    own.before(begins_snapshot, move || other.write(Durability::Full, give_up).expect("given up"));
    checkpoint(&database).expect("the other collection is checkpointed");
    let text = fs.read_file("/database/other.json").expect("a snapshot");
    assert!(String::from_utf8_lossy(&text).contains("newer"));
    assert_eq!(name(&database, OWNED, 1), Ok(None));
    assert!(!reserved(&fs).iter().any(|name| name.starts_with("new-")), "{:?}", reserved(&fs));
    for lost in [fs.power_loss(&mut Extreme::Nothing), fs.power_loss(&mut Extreme::Everything)] {
        let database = open(&lost);
        assert_eq!(name(&database, OWNED, 1), Ok(None));
        assert_eq!(name(&database, "other.json", 1), Ok(Some("newer".into())));
    }
    checkpoint(&database).expect("checkpointed");
    drop(database);
    let report = verified(&fs);
    assert!(report.is_ok(), "{report}");
}

#[test]
fn a_collection_dropped_during_a_checkpoint_does_not_block_the_others() {
    check_given_up(|t| t.drop_collection(&spec(OWNED)));
}

#[test]
fn a_collection_without_a_file_that_is_dropped_during_a_checkpoint_stays_dropped() {
    let fs = machine();
    let (own, other) = (fs.process(), open(&fs.process()));
    let database = open(&own);
    put(&database, "items.json", 1, "dropped");
    let drop_it = |t: &mut Transaction<'_>| t.drop_collection(&spec("items.json"));
    own.before(begins_snapshot, move || other.write(Durability::Full, drop_it).expect("dropped"));
    checkpoint(&database).expect("checkpointed");
    assert_eq!(fs.read_file("/database/items.json"), None);
    assert_eq!(name(&database, "items.json", 1), Ok(None));
    assert_eq!(name(&open(&fs.power_loss(&mut Extreme::Everything)), "items.json", 1), Ok(None));
}

/// Checkpoints three items; meanwhile the first is changed, the second is deleted, and a fourth is added.
fn written_during_a_checkpoint(fs: &SimFs) -> Arc<Database> {
    let database = open(fs);
    (1..=3).for_each(|id| put(&database, "items.json", id, "before"));
    let writing = Arc::clone(&database);
    fs.before(begins_snapshot, move || {
        put(&writing, "items.json", 1, "changed");
        let delete = |t: &mut Transaction<'_>| t.delete(&spec("items.json"), 2.into());
        assert!(writing.write(Durability::Full, delete).expect("deleted"));
        put(&writing, "items.json", 4, "added");
    });
    checkpoint(&database).expect("checkpointed");
    database
}

#[test]
fn what_is_written_during_a_checkpoint_stays_and_the_next_one_has_it() {
    let fs = machine();
    let database = written_during_a_checkpoint(&fs);
    let check = |database: &Database| {
        let found = [1, 2, 3, 4].map(|id| name(database, "items.json", id).expect("readable"));
        let names = [Some("changed"), None, Some("before"), Some("added")];
        assert_eq!(found, names.map(|name| name.map(str::to_owned)));
    };
    check(&database);
    check(&open(&fs.power_loss(&mut Extreme::Nothing)));
    for _ in 0..2 {
        checkpoint(&database).expect("checkpointed");
        check(&database);
        check(&open(&fs.power_loss(&mut Extreme::Nothing)));
    }
    let text = fs.read_file("/database/items.json").expect("a snapshot");
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("changed") && text.contains("added") && !text.contains("\"2\""), "{text}");
}

#[test]
fn a_journal_is_not_needed_if_the_snapshots_hold_exactly_what_it_does() {
    let fs = machine();
    drop(written_during_a_checkpoint(&fs));
    remove(&fs, ".storage/journal-000000000001.jsonl");
    let report = verified(&fs);
    assert!(report.is_ok(), "{report}");
    assert_eq!(name(&open(&fs), "items.json", 3), Ok(Some("before".into())));
}

#[test]
fn an_edit_of_other_documents_than_those_written_during_a_checkpoint_is_no_conflict() {
    let fs = machine();
    let database = written_during_a_checkpoint(&fs);
    let text = String::from_utf8(fs.read_file("/database/items.json").expect("a snapshot")).expect("text");
    let edited = text.replace(&record(3, "before"), &record(3, "by hand"));
    fs.write_file("/database/items.json", edited.as_bytes());
    database.notice_all_edits().expect("looked at");
    assert_eq!(name(&database, "items.json", 3), Ok(Some("by hand".into())));
    assert_eq!(name(&database, "items.json", 1), Ok(Some("changed".into())));
    let names = fs.handle().list_dir(Path::new("/database")).expect("listed");
    assert!(!names.iter().any(|name| name.contains(".edited-")), "{names:?}");
}

#[test]
fn a_collection_removed_with_its_directory_does_not_block_the_others() {
    check_given_up(|t| {
        t.drop_collection(&spec(OWNED))?;
        t.remove_path("owned/7")
    });
}

#[test]
fn a_file_removed_during_a_checkpoint_is_rewritten_by_the_next_one() {
    let fs = machine();
    let database = changed(&fs);
    let person = fs.process();
    fs.before(begins_snapshot, move || remove(&person, OWNED));
    checkpoint(&database).expect("the other collection is checkpointed");
    let text = fs.read_file("/database/other.json").expect("a snapshot");
    assert!(String::from_utf8_lossy(&text).contains("newer"));
    checkpoint(&database).expect("checkpointed");
    assert_eq!(name(&database, OWNED, 1), Ok(Some("newer".into())));
    assert!(fs.read_file(format!("/database/{OWNED}")).is_some());
}

#[test]
fn a_checkpoint_starts_only_with_disk_space_for_all_its_files_and_a_mebibyte_more() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "in the file");
    checkpoint(&database).expect("checkpointed");
    put(&database, "items.json", 2, "in the journal");
    let file = fs.read_file("/database/items.json").expect("a snapshot").len();
    let needed = (file + record(2, "in the journal").len() + (1 << 20)) as u64;
    let before = reserved(&fs);
    fs.set_free_space(needed - 1);
    let error = checkpoint(&database).expect_err("there is no room");
    assert!(matches!(error, Error::Io { kind: ErrorKind::StorageFull, .. }), "{error}");
    assert_eq!(reserved(&fs), before);
    fs.set_free_space(needed);
    checkpoint(&database).expect("checkpointed");
}

#[test]
fn a_file_is_durable_in_directories_that_a_checkpoint_made_before_it_died() {
    let fs = machine();
    let database = open(&fs);
    put(&database, OWNED, 1, "stored");
    fs.record();
    checkpoint(&database).expect("checkpointed");
    let is_there = |fs: &SimFs| fs.metadata(Path::new("/database/owned")).expect("looked up").is_some();
    let is_fleeting =
        |moment: &Snapshot| is_there(&moment.kill()) && !is_there(&moment.power_loss(&mut Extreme::Nothing));
    let moments: Vec<Snapshot> = fs.moments().into_iter().filter(is_fleeting).collect();
    assert!(!moments.is_empty());
    for moment in moments {
        let fs = moment.kill();
        checkpoint(&open(&fs)).expect("checkpointed");
        let lost = fs.power_loss(&mut Extreme::Nothing);
        assert_eq!(name(&open(&lost), OWNED, 1), Ok(Some("stored".into())));
    }
}

#[test]
fn a_checkpoint_keeps_the_mode_of_a_file() {
    let fs = machine();
    let database = outdated(&fs);
    fs.set_mode("/database/items.json", 0o600);
    checkpoint(&database).expect("checkpointed");
    assert_eq!(fs.mode("/database/items.json"), Some(0o600));
}

#[test]
fn a_snapshot_that_does_not_read_back_as_it_was_written_replaces_nothing() {
    let fs = machine();
    let database = outdated(&fs);
    let before = fs.read_file("/database/items.json");
    let disk = fs.clone();
    let reads_back = |call: &Call| matches!(call, Call::Read { .. }) && call.name().starts_with("new-");
    fs.before(reads_back, move || {
        let fresh = reserved(&disk).into_iter().find(|name| name.starts_with("new-")).expect("a snapshot");
        disk.write_file(format!("/database/.storage/{fresh}"), b"spoiled");
    });
    assert_eq!(checkpoint(&database).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    assert_eq!(fs.read_file("/database/items.json"), before);
    checkpoint(&database).expect("checkpointed");
    assert_eq!(name(&open(&fs.power_loss(&mut Extreme::Nothing)), "items.json", 1), Ok(Some("new".into())));
}
