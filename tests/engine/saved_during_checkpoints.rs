//! Files that a person saves while a checkpoint writes them: what the person wrote counts. On a simulated file system.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::simulated::{begin_generation, checkpoint, machine, name, open, put, reserved};
use crate::support::{READ, record, spec};
use octoprompt_storage::engine::Database;
use octoprompt_storage::engine::fs::{Call, Extreme, Fs, SimFs};

/// Checkpoints `a.json` and `b.json`, and edits `a.json` while the line that records their snapshots is written.
fn edited_in_a_checkpoint(fs: &SimFs, known: bool) -> Arc<Database> {
    let database = open(fs);
    if known {
        put(&database, "a.json", 1, "one");
        put(&database, "a.json", 2, "two");
        put(&database, "b.json", 1, "one");
    }
    // This fixes the generation of the next checkpoint.
    put(&database, "c.json", 1, "one");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 1, "newer");
    put(&database, "b.json", 1, "newer");
    let person = fs.clone();
    let edited = format!("{{ \"1\": {}, \"2\": {} }}", record(1, "one"), record(2, "by hand"));
    let is_record = |call: &Call| matches!(call, Call::Write { path, offset: 1.., .. } if path.ends_with("journal-000000000003.jsonl"));
    fs.before(is_record, move || person.write_file("/database/a.json", edited.as_bytes()));
    checkpoint(&database).expect("checkpointed");
    database
}

fn check_edited(database: &Database) {
    assert_eq!(name(database, "a.json", 1), Ok(Some("newer".into())));
    assert_eq!(name(database, "a.json", 2), Ok(Some("by hand".into())));
    assert_eq!(name(database, "b.json", 1), Ok(Some("newer".into())));
    assert_eq!(name(database, "c.json", 1), Ok(Some("one".into())));
}

#[test]
fn an_edit_saved_while_its_snapshot_is_recorded_is_not_overwritten() {
    for known in [true, false] {
        let fs = machine();
        let database = edited_in_a_checkpoint(&fs, known);
        let follower = open(&fs.process());
        check_edited(&open(&fs.power_loss(&mut Extreme::Nothing)));
        check_edited(&open(&fs.power_loss(&mut Extreme::Everything)));
        database.notice_all_edits().expect("looked at");
        check_edited(&database);
        check_edited(&follower);
        checkpoint(&database).expect("checkpointed");
        check_edited(&database);
        check_edited(&follower);
        let text = fs.read_file("/database/a.json").expect("a snapshot");
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains("newer") && text.contains("by hand"), "{text}");
        assert!(!reserved(&fs).iter().any(|name| name.starts_with("new-")), "{:?}", reserved(&fs));
        check_edited(&open(&fs.power_loss(&mut Extreme::Nothing)));
    }
}

#[test]
fn the_next_checkpoint_adopts_an_edit_saved_during_the_previous_one() {
    for known in [true, false] {
        let fs = machine();
        let database = edited_in_a_checkpoint(&fs, known);
        checkpoint(&database).expect("checkpointed");
        let text = String::from_utf8(fs.read_file("/database/a.json").expect("a snapshot")).expect("text");
        assert!(text.contains("newer") && text.contains("by hand"), "{text}");
        check_edited(&database);
    }
}

/// A file that was adopted, and edited again during a checkpoint. Returns the process that did both, and a later one.
fn edited_twice() -> (SimFs, [Arc<Database>; 2]) {
    let fs = machine();
    let by_hand = |name: &str| format!("{{ \"1\": {} }}", record(1, name).replace(':', ": "));
    fs.write_file("/database/a.json", by_hand("first").as_bytes());
    let both = [open(&fs), open(&fs.process())];
    both.iter().for_each(|database| assert_eq!(name(database, "a.json", 1), Ok(Some("first".into()))));
    let (person, second) = (fs.clone(), by_hand("second"));
    let is_record = |call: &Call| matches!(call, Call::Write { path, offset: 1.., .. } if path.ends_with("journal-000000000002.jsonl"));
    fs.before(is_record, move || person.write_file("/database/a.json", second.as_bytes()));
    checkpoint(&both[0]).expect("checkpointed");
    (fs, both)
}

fn check_second_edit(fs: &SimFs, database: &Database) {
    database.look_at_file(&spec("a.json"), READ).expect("looked at");
    assert_eq!(name(database, "a.json", 1), Ok(Some("second".into())));
    let names = fs.list_dir(Path::new("/database")).expect("a directory");
    assert!(!names.iter().any(|name| name.contains("edited")), "{names:?}");
}

#[test]
fn an_edit_saved_during_a_checkpoint_wins_over_an_adopted_earlier_edit() {
    for adopter in 0..2 {
        let (fs, both) = edited_twice();
        check_second_edit(&fs, &both[adopter]);
        check_second_edit(&fs, &both[1 - adopter]);
    }
    let (fs, _) = edited_twice();
    check_second_edit(&fs, &open(&fs.process()));
    let fs = edited_twice().0.kill();
    check_second_edit(&fs, &open(&fs));
}

/// Adds a document to a file, in place or like editors that write a new file.
fn add_by_hand(fs: &SimFs, path: &str, in_place: bool) {
    let text = String::from_utf8(fs.read_file(path).expect("a file")).expect("text");
    let added = text.replace("\n}", &format!(",\n\"2\":{}\n}}", record(2, "by hand")));
    if !in_place {
        fs.remove(path);
    }
    fs.write_file(path, added.as_bytes());
}

fn check_added(fs: &SimFs, database: &Database) {
    database.look_at_file(&spec("a.json"), READ).expect("looked at");
    assert_eq!(name(database, "a.json", 2), Ok(Some("by hand".into())));
    put(database, "a.json", 1, "newest");
    checkpoint(database).expect("checkpointed");
    let text = String::from_utf8(fs.read_file("/database/a.json").expect("a snapshot")).expect("text");
    assert!(text.contains("newest") && text.contains("by hand"), "{text}");
}

#[test]
fn an_edit_saved_right_after_the_snapshot_is_in_place_is_not_overwritten() {
    for in_place in [true, false] {
        let fs = machine();
        let process = fs.process();
        let database = open(&process);
        put(&database, "a.json", 1, "one");
        let person = fs.clone();
        let is_after_rename =
            |call: &Call| matches!(call, Call::SyncDir { path } if path.ends_with("database"));
        process.before(is_after_rename, move || add_by_hand(&person, "/database/a.json", in_place));
        checkpoint(&database).expect("checkpointed");
        check_added(&fs, &database);
    }
}

#[test]
fn an_edit_saved_while_a_checkpoint_reads_the_file_is_not_overwritten() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "one");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 1, "newer");
    drop(database);
    let process = fs.process();
    let database = open(&process);
    let person = fs.clone();
    // No process has loaded the collection, so the checkpoint reads its file, between two looks at it.
    let looks = AtomicUsize::new(0);
    let is_third_look = move |call: &Call| {
        matches!(call, Call::Metadata { path } if path.ends_with("a.json"))
            && looks.fetch_add(1, Ordering::Relaxed) == 2
    };
    process.before(is_third_look, move || add_by_hand(&person, "/database/a.json", true));
    checkpoint(&database).expect("checkpointed");
    check_added(&fs, &database);
}

#[test]
fn a_checkpoint_during_which_a_file_was_saved_removes_no_journal() {
    let fs = machine();
    let database = open(&fs);
    for id in 1..=2 {
        put(&database, "a.json", id, "in a generation of its own");
        begin_generation(&fs, &database);
    }
    let (person, edited) = (fs.clone(), format!("{{ \"3\": {} }}", record(3, "by hand")));
    let is_record = |call: &Call| matches!(call, Call::Write { path, offset: 1.., .. } if path.ends_with("journal-000000000004.jsonl"));
    fs.before(is_record, move || person.write_file("/database/a.json", edited.as_bytes()));
    checkpoint(&database).expect("checkpointed");
    drop(database);
    let database = open(&fs);
    for id in 1..=2 {
        assert_eq!(name(&database, "a.json", id), Ok(Some("in a generation of its own".into())));
    }
    assert_eq!(name(&database, "a.json", 3), Ok(Some("by hand".into())));
}
