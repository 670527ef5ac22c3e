//! What a damaged, missing, edited or read-only file may do to a database, and what it must not do. On a simulated file
//! system.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::simulated::{
    DIRECTORY, begin_generation, checkpoint, machine, name, open, put, remove, reserved, try_open,
};
use crate::support::{READ, record, spec};
use octoprompt_storage::engine::fs::{Call, Extreme, Fault, OpenMode, Repeat, SimFs};
use octoprompt_storage::engine::{Database, Durability, Part, Transaction, Wait, WarningCode};

#[test]
fn journaled_documents_survive_until_a_missing_snapshot_is_put_back() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "old");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 2, "acknowledged");
    drop(database);
    let snapshot = fs.read_file("/database/a.json").expect("a snapshot");
    remove(&fs, "a.json");
    let database = open(&fs);
    assert_eq!(name(&database, "a.json", 2), Err("CORRUPT_DATA"));
    for round in 0..3 {
        put(&database, "b.json", round, "beside it");
        let left_out = checkpoint(&database).map_err(|error| error.code());
        assert_eq!(left_out, Err("CORRUPT_DATA"));
        assert!(fs.read_file("/database/b.json").is_some());
    }
    fs.write_file("/database/a.json", &snapshot);
    assert_eq!(name(&database, "a.json", 2), Ok(Some("acknowledged".into())));
    drop(database);
    let database = open(&fs);
    assert_eq!(name(&database, "a.json", 1), Ok(Some("old".into())));
    assert_eq!(name(&database, "a.json", 2), Ok(Some("acknowledged".into())));
}

#[test]
fn failed_copies_of_a_broken_file_do_not_pile_up_on_a_full_disk() {
    let fs = machine();
    fs.write_file("/database/a.json", br#"{"1":{"id":1,"name":"whole"},"2":{"#);
    let database = open(&fs);
    let is_copy = |path: &Path| path.to_string_lossy().contains(".corrupt-");
    fs.fail_when(
        move |call| matches!(call, Call::Write { path, .. } if is_copy(path)),
        Fault::NoSpace { written: 10 },
        Repeat::Forever,
    );
    let copies = || {
        let names = fs.handle().list_dir(Path::new("/database")).expect("listed");
        names.iter().filter(|name| is_copy(Path::new(name))).count()
    };
    for _ in 0..3 {
        assert_eq!(name(&database, "a.json", 1), Err("IO_ERROR"));
        assert_eq!(copies(), 0);
    }
    fs.heal();
    assert_eq!(name(&database, "a.json", 1), Ok(Some("whole".into())));
    assert_eq!(copies(), 1);
}

#[test]
fn the_copy_of_a_broken_file_survives_a_power_loss_behind_its_adoption() {
    let broken = br#"{"1":{"id":1,"name":"whole"},"2":{"#.to_vec();
    for mut extreme in Extreme::ALL {
        let fs = machine();
        fs.write_file("/database/a.json", &broken);
        let database = open(&fs);
        assert_eq!(name(&database, "a.json", 1), Ok(Some("whole".into())));
        put(&database, "b.json", 1, "makes all before it durable");
        drop(database);
        let fs = fs.power_loss(&mut extreme);
        let database = open(&fs);
        assert_eq!(name(&database, "a.json", 1), Ok(Some("whole".into())));
        checkpoint(&database).expect("checkpointed");
        let names = fs.handle().list_dir(Path::new(DIRECTORY)).expect("listed");
        let copies = names.iter().filter(|name| name.contains(".corrupt-"));
        let copies: Vec<_> = copies.map(|name| fs.read_file(Path::new(DIRECTORY).join(name))).collect();
        assert_eq!(copies, [Some(broken.clone())], "{extreme:?}");
    }
}

#[test]
fn a_missing_older_journal_that_is_still_needed_is_damage() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    begin_generation(&fs, &database);
    put(&database, "a.json", 2, "y");
    drop(database);
    remove(&fs, ".storage/journal-000000000001.jsonl");
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
}

#[test]
fn a_missing_newest_journal_is_damage_while_the_machine_runs() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 2, "y");
    drop(database);
    remove(&fs, ".storage/journal-000000000002.jsonl");
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    remove(&fs, ".storage/journal-000000000001.jsonl");
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
}

#[test]
fn a_read_only_disk_serves_files_that_the_engine_did_not_write() {
    let fs = machine();
    let pretty = format!("{{ \"1\": {}, \"2\": {{ \"id\" : 2, \"name\": \"b\" }} }}", record(1, "a"));
    fs.write_file("/database/a.json", pretty.as_bytes());
    fs.fail_when(Call::changes_state, Fault::ReadOnly, Repeat::Forever);
    let database = open(&fs);
    assert_eq!(name(&database, "a.json", 1), Ok(Some("a".into())));
    assert_eq!(name(&database, "a.json", 2), Ok(Some("b".into())));
    let list = database.list(&spec("a.json"), Part::Head, READ).expect("a list");
    assert_eq!(String::from_utf8_lossy(&list), r#"[{"id":1,"name":"a"},{"id":2,"name":"b"}]"#);
    let (to, text) = (spec("a.json"), record(3, "c").into_bytes());
    let written = database.write(Durability::Full, move |t| t.put(&to, 3.into(), text));
    assert_eq!(written.map_err(|error| error.code()), Err("IO_ERROR"));
}

#[test]
fn a_later_edit_wins_over_the_one_that_a_read_only_disk_served_before() {
    let fs = machine();
    let edit = |one: &str, two: &str| {
        let file = format!("{{ \"1\": {{ \"id\": 1, \"name\": \"{one}\" }}{two} }}");
        fs.write_file("/database/a.json", file.as_bytes());
    };
    edit("a", ", \"2\": { \"id\": 2 }");
    fs.fail_when(Call::changes_state, Fault::ReadOnly, Repeat::Forever);
    let database = open(&fs);
    for (one, two, expected) in [
        ("a", ", \"2\": { \"id\": 2 }", r#"[{"id":1,"name":"a"},{"id":2}]"#),
        ("b", ", \"2\": { \"id\": 2 }", r#"[{"id":1,"name":"b"},{"id":2}]"#),
        ("b", "", r#"[{"id":1,"name":"b"}]"#),
        ("c", ", \"2\": { \"id\": 2, \"back\": true }", r#"[{"id":1,"name":"c"},{"id":2,"back":true}]"#),
    ] {
        edit(one, two);
        database.notice_all_edits().expect("looked at");
        let list = database.list(&spec("a.json"), Part::Whole, READ).expect("a list");
        assert_eq!(String::from_utf8_lossy(&list), expected);
    }
    assert!(database.take_warnings().iter().all(|warning| !warning.message.contains("newer forms")));
}

#[test]
fn a_refused_write_names_the_file_that_may_not_be_written() {
    let fs = machine();
    put(&open(&fs), "a.json", 1, "x");
    let is_journal = |path: &Path| path.ends_with(".storage/journal-000000000001.jsonl");
    let denied = Fault::Kind(std::io::ErrorKind::PermissionDenied);
    fs.fail_when(
        move |call| matches!(call, Call::Open { path, mode: OpenMode::ReadWrite } if is_journal(path)),
        denied,
        Repeat::Forever,
    );
    let database = open(&fs);
    assert_eq!(name(&database, "a.json", 1), Ok(Some("x".into())));
    let (to, text) = (spec("a.json"), record(2, "y").into_bytes());
    let error = database.write(Durability::Full, move |t| t.put(&to, 2.into(), text)).expect_err("refused");
    assert_eq!(error.code(), "IO_ERROR");
    assert!(error.to_string().contains("journal-000000000001.jsonl failed: permission denied"), "{error}");
}

#[test]
fn the_next_checkpoint_removes_files_left_by_a_failed_one() {
    let fs = machine();
    let database = open(&fs);
    for round in 0..3 {
        put(&database, "a.json", round, "x");
        put(&database, "b.json", round, "x");
        let second =
            |path: &Path| path.to_string_lossy().contains("new-") && path.to_string_lossy().ends_with("-1");
        let full = Fault::NoSpace { written: 0 };
        fs.fail_when(
            move |call| matches!(call, Call::Write { path, .. } if second(path)),
            full,
            Repeat::Once,
        );
        assert!(checkpoint(&database).is_err());
        assert!(reserved(&fs).iter().filter(|name| name.starts_with("new-")).count() <= 1);
    }
    checkpoint(&database).expect("checkpointed");
    assert!(!reserved(&fs).iter().any(|name| name.starts_with("new-")));
}

#[test]
fn a_checkpoint_writes_the_other_files_and_then_fails_for_the_damaged_one() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 2, "y");
    put(&database, "b.json", 1, "z");
    remove(&fs, "a.json");
    fs.write_file("/database/a.json", b"");
    // The first time memory knows the file, the second time it does not.
    for _ in 0..2 {
        let error = checkpoint(&database).expect_err("one file is not up to date");
        assert_eq!(error.code(), "CORRUPT_DATA");
        assert!(error.to_string().contains("a.json") && error.to_string().contains("repair"), "{error}");
    }
    assert!(fs.read_file("/database/b.json").is_some());
    assert!(database.take_warnings().is_empty());
}

/// A database with a file that was removed while it was open, before a newer write was in the file.
fn with_a_file_removed() -> (SimFs, Arc<Database>) {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 2, "y");
    remove(&fs, "a.json");
    (fs, database)
}

#[test]
fn a_checkpoint_rewrites_a_file_that_was_removed_while_open() {
    let (fs, database) = with_a_file_removed();
    checkpoint(&database).expect("checkpointed");
    let codes: Vec<WarningCode> = database.take_warnings().into_iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::SnapshotChanged]);
    let text = fs.read_file("/database/a.json").expect("a snapshot");
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("\"1\":") && text.contains("\"2\":"), "{text}");
}

/// Lets someone write into the file in place, and write more each time the file is looked at.
fn write_in_place(fs: &SimFs, path: &'static str, mut forms: VecDeque<Vec<u8>>) {
    let Some(form) = forms.pop_front() else { return };
    let somebody = fs.clone();
    fs.before(
        move |call| matches!(call, Call::Open { path: opened, .. } if opened.ends_with(path)),
        move || {
            somebody.write_file(Path::new("/database").join(path), &form);
            write_in_place(&somebody, path, forms);
        },
    );
}

#[test]
fn a_file_edited_in_place_is_adopted_only_once_it_is_complete() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    let text = fs.read_file("/database/a.json").expect("a snapshot");
    let text = String::from_utf8(text).expect("text").replace("\"x\"", "\"edited\"");
    fs.write_file("/database/a.json", b"");
    let ends = (4..30).chain([text.len()]);
    write_in_place(&fs, "a.json", ends.map(|end| text.as_bytes()[..end].to_vec()).collect());
    database.notice_all_edits().expect("looked at");
    assert_eq!(name(&database, "a.json", 1), Ok(Some("edited".into())));
    assert!(database.take_warnings().iter().all(|warning| warning.code == WarningCode::SnapshotChanged));
}

#[test]
fn a_file_removed_while_open_stays_readable_until_it_is_rewritten() {
    let (fs, database) = with_a_file_removed();
    database.notice_all_edits().expect("looked at");
    assert_eq!(name(&database, "a.json", 1), Ok(Some("x".into())));
    checkpoint(&database).expect("checkpointed");
    assert!(fs.read_file("/database/a.json").is_some());
}

#[test]
fn a_missing_file_that_was_never_read_fails_the_checkpoint() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 2, "y");
    drop(database);
    remove(&fs, "a.json");
    let database = open(&fs);
    assert_eq!(checkpoint(&database).map_err(|error| error.code()), Err("CORRUPT_DATA"));
}

fn drop_collection(database: &Database, path: &str) {
    let spec = spec(path);
    database.write(Durability::Full, move |t| t.drop_collection(&spec)).expect("dropped");
}

#[test]
fn a_file_put_back_after_its_collection_was_dropped_is_adopted() {
    for beside in [false, true] {
        let fs = machine();
        let database = open(&fs);
        put(&database, "a.json", 1, "precious");
        checkpoint(&database).expect("checkpointed");
        let file = fs.read_file("/database/a.json").expect("a snapshot");
        drop_collection(&database, "a.json");
        let follower = open(&fs.process());
        assert_eq!(name(&follower, "a.json", 1), Ok(None));
        checkpoint(&database).expect("checkpointed");
        assert_eq!(fs.read_file("/database/a.json"), None);
        fs.write_file("/database/a.json", &file);
        let reader = if beside { &follower } else { &database };
        reader.notice_all_edits().expect("looked at");
        assert_eq!(name(reader, "a.json", 1), Ok(Some("precious".into())));
        for database in [&database, &follower] {
            put(database, "b.json", 1, "beside it");
            checkpoint(database).expect("checkpointed");
            assert_eq!(name(database, "a.json", 1), Ok(Some("precious".into())));
        }
        drop((database, follower));
        assert_eq!(name(&open(&fs), "a.json", 1), Ok(Some("precious".into())));
    }
}

#[test]
fn a_second_checkpoint_after_a_drop_has_nothing_to_do() {
    let fs = machine();
    let (database, follower) = (open(&fs), open(&fs.process()));
    put(&database, "a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    drop_collection(&database, "a.json");
    assert_eq!(name(&follower, "a.json", 1), Ok(None));
    checkpoint(&database).expect("checkpointed");
    let before = reserved(&fs);
    checkpoint(&database).expect("nothing to do");
    assert_eq!(reserved(&fs), before);
    checkpoint(&follower).expect("nothing to do");
    assert_eq!(reserved(&fs), before);
}

#[test]
fn a_batch_that_drops_and_refills_a_collection_wins_over_a_file_put_in_its_place() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "old");
    checkpoint(&database).expect("checkpointed");
    let (to, text) = (spec("a.json"), record(1, "anew").into_bytes());
    let work = move |t: &mut Transaction<'_>| {
        t.drop_collection(&to)?;
        t.put(&to, 1.into(), text)
    };
    database.write(Durability::Full, work).expect("written");
    let file = format!("{{ \"1\": {}, \"2\": {} }}", record(1, "by hand"), record(2, "by hand"));
    fs.write_file("/database/a.json", file.as_bytes());
    database.notice_all_edits().expect("looked at");
    for database in [&database, &open(&fs.process()), &open(&fs.power_loss(&mut Extreme::Nothing))] {
        assert_eq!(name(database, "a.json", 1), Ok(Some("anew".into())));
        assert_eq!(name(database, "a.json", 2), Ok(Some("by hand".into())));
    }
}

#[test]
fn a_process_that_opens_the_database_completes_the_removals_of_a_dead_process() {
    let fs = machine();
    let dying = fs.process();
    let (_other, database) = (open(&fs), open(&dying));
    fs.write_file("/database/folder/x", b"x");
    let is_removal = |call: &Call| matches!(call, Call::RemoveFile { path } if path.ends_with("folder/x"));
    dying.fail_when(is_removal, Fault::Io, Repeat::Forever);
    database.write(Durability::Full, |t| t.remove_path("folder")).expect("committed");
    dying.kill();
    assert!(fs.read_file("/database/folder/x").is_some());
    let fresh = open(&fs.process());
    put(&fresh, "a.json", 1, "x");
    checkpoint(&fresh).expect("checkpointed");
    assert_eq!(fs.read_file("/database/folder/x"), None);
}

#[test]
fn an_unreadable_file_fails_checkpoints_but_the_next_one_writes_the_other_files() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "a.json", 1, "old");
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 1, "acknowledged");
    let snapshot = fs.read_file("/database/a.json").expect("a snapshot");
    fs.remove("/database/a.json");
    fs.make_dirs("/database/a.json");
    for round in 0..3 {
        put(&database, "b.json", round, "beside it");
        assert_eq!(checkpoint(&database).map_err(|error| error.code()), Err("IO_ERROR"));
        let text = fs.read_file("/database/b.json").unwrap_or_default();
        let has = String::from_utf8(text).expect("text").contains(&record(round, "beside it"));
        assert_eq!(has, round > 0, "in round {round}");
    }
    fs.remove("/database/a.json");
    fs.write_file("/database/a.json", &snapshot);
    checkpoint(&database).expect("checkpointed");
    assert_eq!(name(&database, "a.json", 1), Ok(Some("acknowledged".into())));
}

#[test]
fn a_checkpoint_waits_to_retake_its_lock_even_after_its_deadline() {
    let fs = machine();
    let process = fs.process();
    let database = open(&process);
    put(&database, "a.json", 1, "one");
    let other = open(&fs.process());
    let (release, released) = mpsc::channel();
    let hooked = process.clone();
    let is_snapshot = |call: &Call| matches!(call, Call::SyncData { .. }) && call.name().starts_with("new-");
    process.before(is_snapshot, move || {
        let (inside, is_inside) = mpsc::channel();
        thread::spawn(move || {
            other.write(Durability::Full, move |_| {
                inside.send(()).expect("somebody waits");
                // Nobody is there any more if the checkpoint has given up.
                let _ = released.recv();
                Ok(())
            })
        });
        is_inside.recv().expect("a writer");
        let attempts = AtomicUsize::new(0);
        let is_second_attempt = move |call: &Call| {
            matches!(call, Call::TryLock { path, .. } if path.ends_with("write.lock"))
                && attempts.fetch_add(1, Ordering::Relaxed) == 1
        };
        hooked.before(is_second_attempt, move || release.send(()).expect("a writer"));
    });
    let late = Wait { timeout: Duration::from_secs(60), deadline: Instant::now() };
    database.checkpoint(late).expect("checkpointed");
}
