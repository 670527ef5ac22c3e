//! Holding all databases for a migration, and undoing it.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use octoprompt_storage::engine::backup::{Hold, MigrationLock, RollbackCopy, list_backups};
use octoprompt_storage::engine::fs::{Call, Fault, Fs, Repeat, SimFs};
use octoprompt_storage::engine::{Database, Durability, Error, Part};

use crate::support::{no_wait, record, spec};
use crate::world::{Process, READ, change, code, directory, image, machine, slashed};

pub fn hold(process: &Process) -> Result<Hold, Error> {
    Hold::begin(process.site.clone(), MigrationLock::acquire(&process.site, no_wait())?, no_wait())
}

/// The files of a base path that a migration may change.
fn files(fs: &SimFs) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let own = |path: &std::path::Path| {
        path.components().any(|name| {
            [".migration", ".restore", ".databases.lock"].iter().any(|own| name.as_os_str() == *own)
        })
    };
    let all = image(fs, "/base/data").into_iter().chain(image(fs, "/base/other"));
    all.filter(|(path, _)| !own(path)).collect()
}

#[test]
fn a_rolled_back_migration_leaves_every_file_as_it_was_byte_for_byte() {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.checkpoint().expect("checkpointed");
    let before = (files(&fs), process.see().expect("readable"));
    let hold = hold(&process).expect("held");
    let copy = hold.copy(None).expect("copied");
    change(&mut process).expect("this process writes on");
    assert_ne!(files(&fs), before.0);
    hold.put_back(copy).expect("put back");
    assert_eq!(process.see().expect("readable"), before.1);
    drop(hold);
    assert_eq!((files(&fs), process.see().expect("readable")), before);
    process.put((0, 0, 60), "afterwards").expect("writes go on");
    assert_eq!(fs.read_file("/base/data/.migration/intent.json"), None);
    assert_eq!(fs.read_file("/base/data/.migration/before/1"), None);
}

#[test]
fn a_successful_migration_is_durable() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let hold = hold(&process).expect("held");
    let copy = hold.copy(None).expect("copied");
    change(&mut process).expect("changed");
    let after = process.see().expect("readable");
    let _ = hold.discard(&copy).expect("discarded");
    drop(hold);
    assert_eq!(process.see().expect("readable"), after);
    process.close();
    let lost = fs.power_loss(&mut octoprompt_storage::engine::fs::Extreme::Nothing);
    assert_eq!(Process::start(&lost).see().expect("readable").documents, after.documents);
}

#[test]
fn during_a_migration_other_processes_can_read_but_their_writes_wait() {
    let fs = machine();
    let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
    let before = other.see().expect("readable");
    let hold = hold(&process).expect("held");
    let copy = hold.copy(None).expect("copied");
    process.put((0, 0, 1), "migrated").expect("this process writes on");
    let error = other.put((0, 0, 9), "x").expect_err("the other one waits");
    assert!(
        matches!(error, Error::LockTimeout { holder: Some(holder), .. } if holder.pid == std::process::id()),
        "{error}"
    );
    assert_eq!(code(other.checkpoint()), Err("LOCK_TIMEOUT"));
    assert_ne!(other.see().expect("readable"), before, "it sees the migration at work");
    hold.put_back(copy).expect("put back");
    assert_eq!(other.see().expect("readable"), before);
    assert_eq!(code(other.put((0, 0, 9), "x")), Err("LOCK_TIMEOUT"));
    drop(hold);
    other.put((0, 0, 9), "x").expect("writes go on");
    assert_eq!(process.see().expect("readable"), other.see().expect("readable"));
}

#[test]
fn databases_opened_during_a_migration_are_held_and_rolled_back_too() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let before = process.see().expect("readable");
    let hold = hold(&process).expect("held");
    let copy = hold.copy(None).expect("copied");
    let added = process.site.open_under(std::path::Path::new("/base/data/added")).expect("opens");
    let items = spec("items.json");
    let put = {
        let items = std::sync::Arc::clone(&items);
        move |id: u64| {
            let (items, text) = (std::sync::Arc::clone(&items), record(id, "x").into_bytes());
            move |t: &mut octoprompt_storage::engine::Transaction<'_>| t.put(&items, id.into(), text)
        }
    };
    added.write(Durability::Full, put(1)).expect("written");
    added.checkpoint(no_wait()).expect("checkpointed");
    let elsewhere = Process::start(&fs);
    assert_eq!(
        code(elsewhere.site.open_under(std::path::Path::new("/base/data/added"))).map(drop),
        Err("LOCK_TIMEOUT")
    );
    hold.put_back(copy).expect("put back");
    assert_eq!(fs.read_file("/base/data/added/items.json"), None);
    drop(hold);
    let empty = |database: &octoprompt_storage::engine::Database| {
        database.filter(&items, Part::Whole, READ, |_| true).expect("readable").is_empty()
    };
    assert!(empty(&added));
    added.write(Durability::Full, put(2)).expect("written");
    let mut seen = process.see().expect("readable");
    seen.directories.remove("data/added");
    assert_eq!(seen, before);
}

/// Opens a database in another thread as soon as `hold` makes a call that `fits`, ends the hold, and writes to the database.
fn open_within(fits: fn(&Call) -> bool, end: impl FnOnce(&Hold, RollbackCopy)) {
    let fs = machine();
    let process = Process::start(&fs);
    let hold = hold(&process).expect("held");
    let copy = hold.copy(None).expect("copied");
    let mut site = process.site.clone();
    site.options.lock_timeout = Duration::from_secs(20);
    let (tell, told) = mpsc::channel();
    let (send, opening) = mpsc::channel();
    process.fs.before(fits, move || {
        let open = move || {
            let opened = site.open_under(Path::new("/base/data/added"));
            let _ = tell.send(());
            opened
        };
        send.send(thread::spawn(open)).expect("somebody waits");
        // The thread may have to wait for the end of the hold.
        let _ = told.recv_timeout(Duration::from_millis(300));
    });
    end(&hold, copy);
    drop(hold);
    let opened = opening.recv().expect("begun").join().expect("no panic").expect("opens");
    put_late(&opened).expect("written");
}

#[test]
fn a_database_opened_during_a_rollback_is_writable_afterwards() {
    let puts_back = |call: &Call| call.path().starts_with("/base/data/.restore");
    open_within(puts_back, |hold, copy| hold.put_back(copy).expect("put back"));
}

#[test]
fn a_database_opened_while_a_migration_ends_is_writable_afterwards() {
    let ends = |call: &Call| call.path() == Path::new("/base/data/.migration/intent.json");
    open_within(ends, |hold, copy| drop(hold.discard(&copy).expect("discarded")));
}

#[test]
fn the_migrating_process_cannot_back_up_an_unfinished_migration() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let hold = hold(&process).expect("held");
    let copy = hold.copy(None).expect("copied");
    process.put((0, 0, 1), "migrated by half").expect("this process writes on");
    assert_eq!(code(process.back_up("half")), Err("LOCK_TIMEOUT"));
    hold.put_back(copy).expect("put back");
    drop(hold);
    assert_eq!(list_backups(&process.site).expect("listed").len(), 0);
    process.back_up("whole").expect("backed up");
}

#[test]
fn only_one_holder_is_allowed_at_a_time_and_the_error_names_it() {
    let fs = machine();
    let (process, other) = (Process::start(&fs), Process::start(&fs));
    let held = hold(&process).expect("held");
    for second in [&process, &other] {
        let error = hold(second).map(drop).expect_err("held already");
        assert!(matches!(&error, Error::InUse { holders, .. } if holders.len() == 1), "{error}");
    }
    drop(held);
    drop(hold(&other).expect("free again"));
}

#[test]
fn the_next_rollback_copy_does_not_copy_unchanged_files_again() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let hold = hold(&process).expect("held");
    let copy = hold.copy(None).expect("copied");
    process.put((0, 0, 1), "first migration").expect("written");
    let spare = hold.discard(&copy).expect("discarded");
    let copied_before = copies(&fs).len();
    let kept = copied_files(&fs);
    let copy = hold.copy(Some(spare)).expect("copied");
    let copied: Vec<String> = copies(&fs).split_off(copied_before);
    assert_eq!(copied, ["/base/data/one/items.json"]);
    assert_eq!(copied_files(&fs).len(), kept.len(), "the earlier copy of what was copied again is gone");
    let before = files(&fs);
    change(&mut process).and_then(|()| process.checkpoint()).expect("all of it is changed");
    hold.put_back(copy).expect("put back");
    assert_eq!(files(&fs), before);
}

/// The first call that tells that the first database is checkpointed, and the second one is next.
fn checkpoints_the_second(call: &Call) -> bool {
    matches!(call, Call::ListDir { path } if **path == *directory(1).join(".storage"))
}

fn put_late(database: &Database) -> Result<(), Error> {
    let (items, text) = (spec("items.json"), record(70, "late").into_bytes());
    database.write(Durability::Full, move |t| t.put(&items, 70.into(), text))
}

#[test]
fn a_write_between_the_checkpoint_and_the_copy_is_in_the_rollback_copy() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let hold = hold(&process).expect("held");
    let first = process.database(0).expect("open");
    process.fs.before(checkpoints_the_second, move || put_late(&first).expect("this process writes on"));
    let copy = hold.copy(None).expect("copied");
    let before = process.see().expect("readable");
    assert!(before.documents.contains_key(&(0, 0, 70)));
    change(&mut process).expect("changed");
    hold.put_back(copy).expect("put back");
    assert_eq!(process.see().expect("readable"), before);
    drop(hold);
    process.close();
    assert_eq!(Process::start(&fs).see().expect("readable"), before);
}

#[test]
fn an_edit_between_the_checkpoint_and_the_copy_is_put_back() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let hold = hold(&process).expect("held");
    let first = process.database(0).expect("open");
    process.see().expect("readable");
    let machine = fs.clone();
    process.fs.before(checkpoints_the_second, move || {
        put_late(&first).expect("this process writes on");
        let edit = format!("{{\"1\":{}}}", record(1, "edited"));
        machine.write_file("/base/data/one/items.json", edit.as_bytes());
    });
    let copy = hold.copy(None).expect("copied");
    change(&mut process).expect("changed");
    hold.put_back(copy).expect("put back");
    let documents = process.see().expect("readable").documents;
    assert_eq!(documents[&(0, 0, 1)], record(1, "edited"));
    assert_eq!(documents[&(0, 0, 70)], record(70, "late"));
}

/// Returns the names of the files of the copy.
fn copied_files(fs: &SimFs) -> Vec<String> {
    fs.list_dir(Path::new("/base/data/.migration/before")).expect("a folder")
}

#[test]
fn the_next_holder_removes_the_partial_copy_of_a_dead_holder() {
    let fs = machine();
    let process = Process::start(&fs);
    let held = hold(&process).expect("held");
    let _copy = held.copy(None).expect("copied");
    let needed = copied_files(&fs);
    drop(held);
    fs.remove("/base/data/.migration/intent.json");
    fs.write_file("/base/data/.migration/before/77", b"half a file");
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    assert_eq!(copied_files(&fs), needed);
    let _ = held.discard(&copy).expect("discarded");
}

#[test]
fn no_copy_remains_once_the_migration_of_a_dead_holder_is_undone() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let before = process.see().expect("readable");
    let held = hold(&process).expect("held");
    let _copy = held.copy(None).expect("copied");
    change(&mut process).expect("changed");
    assert!(!copied_files(&fs).is_empty());
    drop(held);
    process.close();
    let mut next = Process::start(&fs);
    assert_eq!(next.see().expect("readable"), before);
    assert!(fs.list_dir(Path::new("/base/data/.migration/before")).is_err());
}

#[test]
fn after_a_successful_migration_others_can_write_and_no_copy_remains() {
    let fs = machine();
    let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
    other.database(0).expect("opens");
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    change(&mut process).expect("changed");
    let _ = held.discard(&copy).expect("discarded");
    drop(held);
    other.put((0, 0, 60), "written on").expect("others write again");
    assert!(fs.metadata(Path::new("/base/data/.migration/before")).expect("looked up").is_none());
}

#[test]
fn a_database_whose_record_was_lost_is_rolled_back_too() {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.checkpoint().expect("checkpointed");
    process.close();
    let before = files(&fs);
    let held = hold(&process).expect("held");
    fs.remove("/base/data/.databases.json");
    let copy = held.copy(None).expect("copied");
    process.put((1, 0, 3), "changed elsewhere").and_then(|()| process.checkpoint()).expect("changed");
    held.put_back(copy).expect("put back");
    drop(held);
    assert_eq!(files(&fs), before);
}

#[test]
fn a_damaged_rollback_copy_is_refused_and_changes_nothing() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    change(&mut process).and_then(|()| process.checkpoint()).expect("changed");
    for name in copied_files(&fs) {
        let path = Path::new("/base/data/.migration/before").join(name);
        let mut bytes = fs.read_file(&path).expect("a file");
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 1;
        }
        fs.write_file(&path, &bytes);
    }
    let migrated = files(&fs);
    assert_eq!(code(held.put_back(copy)), Err("CORRUPT_DATA"));
    assert_eq!(files(&fs), migrated);
}

#[test]
fn a_copy_fails_if_a_collection_file_vanishes_or_changes_meanwhile() {
    for (content, expected) in [(None, "CORRUPT_DATA"), (Some("{}"), "CONFLICT")] {
        let fs = machine();
        let process = Process::start(&fs);
        let held = hold(&process).expect("held");
        let file = "/base/data/one/items.json";
        let outside = fs.clone();
        let comes = move |call: &Call| match content {
            None => {
                matches!(call, Call::Open { path, .. } if path.starts_with("/base/data/.migration/before"))
            }
            Some(_) => matches!(call, Call::CloneFile { from, .. } if **from == *Path::new(file)),
        };
        process.fs.before(comes, move || match content {
            None => outside.remove(file),
            Some(text) => outside.write_file(file, text.as_bytes()),
        });
        assert_eq!(code(held.copy(None)).map(drop), Err(expected));
        assert_eq!(fs.read_file("/base/data/.migration/intent.json"), None);
    }
}

#[test]
fn a_migration_whose_write_failed_to_sync_is_rolled_back() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let before = process.see().expect("readable");
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    let syncs = |call: &Call| matches!(call, Call::SyncData { .. }) && call.name().starts_with("journal-");
    process.fs.fail_when(syncs, Fault::Io, Repeat::Once);
    process.put((0, 0, 1), "migrated").expect_err("it is not durable");
    process.put((0, 0, 1), "migrated").expect_err("nothing is written any more");
    held.put_back(copy).expect("put back");
    drop(held);
    assert_eq!(process.see().expect("readable"), before);
    process.put((0, 0, 60), "afterwards").expect("writes go on");
}

#[test]
fn what_vanishes_or_is_unreadable_as_a_migration_ends_is_no_error() {
    let fs = machine();
    let process = Process::start(&fs);
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    fs.write_file("/base/data/secret", b"secret");
    let reads = |call: &Call| matches!(call, Call::Open { path, .. } if path.ends_with("secret"));
    process.fs.fail_when(reads, Fault::Kind(ErrorKind::PermissionDenied), Repeat::Once);
    let outside = fs.clone();
    let opens = |call: &Call| matches!(call, Call::Open { path, .. } if path.ends_with("notes.txt"));
    process.fs.before(opens, move || outside.remove("/base/data/notes.txt"));
    let outside = fs.clone();
    let syncs = |call: &Call| matches!(call, Call::SyncDir { path } if path.ends_with("data/empty"));
    process.fs.before(syncs, move || outside.remove("/base/data/empty"));
    let _ = held.discard(&copy).expect("discarded");
    assert_eq!((process.fs.faults(), fs.read_file("/base/data/notes.txt")), (1, None));
}

/// Returns what was copied, in order.
fn copies(fs: &SimFs) -> Vec<String> {
    let cloned = |call: &Call| match call {
        Call::CloneFile { from, .. } => Some(slashed(&from.display())),
        _ => None,
    };
    fs.log().iter().filter_map(|entry| cloned(&entry.call)).collect()
}

#[test]
fn data_left_by_a_dead_holder_is_read_only_until_it_is_rolled_back() {
    let fs = machine();
    let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
    let before = other.see().expect("readable");
    let hold = hold(&process).expect("held");
    let _copy = hold.copy(None).expect("copied");
    change(&mut process).expect("changed");
    process.fs.kill();
    assert_eq!(code(other.put((0, 0, 9), "x")), Err("MIGRATION_FAILED"));
    let database = other.database(0).expect("open");
    database.filter(&spec("items.json"), Part::Whole, READ, |_| true).expect("reads go on");
    let mut third = Process::start(&fs);
    assert_eq!(code(third.database(0).map(drop)), Err("LOCK_TIMEOUT"), "another process has it open");
    drop(database);
    other.close();
    assert_eq!(third.see().expect("put back"), before);
    third.put((0, 0, 9), "x").expect("written");
}

#[test]
fn a_database_that_joined_the_migration_of_a_dead_holder_is_read_only_for_others() {
    let fs = machine();
    let (process, other) = (Process::start(&fs), Process::start(&fs));
    let hold = hold(&process).expect("held");
    let _copy = hold.copy(None).expect("copied");
    let open = |process: &Process| process.site.open_under(Path::new("/base/data/added")).expect("opens");
    let (theirs, _ours) = (open(&other), open(&process));
    process.fs.kill();
    assert_eq!(code(put_late(&theirs)), Err("MIGRATION_FAILED"));
}

#[test]
fn a_process_with_the_database_open_rolls_back_a_dead_migration_itself() {
    let fs = machine();
    let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
    let before = other.see().expect("readable");
    let hold = hold(&process).expect("held");
    let _copy = hold.copy(None).expect("copied");
    change(&mut process).expect("changed");
    process.fs.kill();
    other.settle().expect("put back");
    assert_eq!(other.see().expect("readable"), before);
    other.put((0, 0, 9), "x").expect("written");
}

#[test]
fn a_new_holder_first_rolls_back_a_dead_migration() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let before = process.see().expect("readable");
    let first = hold(&process).expect("held");
    let _copy = first.copy(None).expect("copied");
    change(&mut process).expect("changed");
    process.fs.kill();
    let mut next = Process::start(&fs);
    let second = hold(&next).expect("held");
    assert_eq!(next.see().expect("readable"), before);
    drop(second);
}

#[test]
fn other_processes_see_a_rollback_even_if_their_current_journal_was_deleted() {
    let fs = machine();
    let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
    let before = other.see().expect("readable");
    let hold = hold(&process).expect("held");
    let copy = hold.copy(None).expect("copied");
    process.put((0, 0, 1), "migrated").expect("this process writes on");
    assert_ne!(other.see().expect("readable"), before);
    let reserved = directory(0).join(".storage");
    let mut names = fs.list_dir(&reserved).expect("a folder").into_iter();
    let newest = names.rfind(|name| name.starts_with("journal-")).expect("a journal");
    fs.remove_file(&reserved.join(newest)).expect("removable");
    hold.put_back(copy).expect("put back");
    drop(hold);
    assert_eq!(other.see().expect("readable"), before);
    other.put((0, 0, 9), "afterwards").expect("writes go on");
    let after = other.see().expect("readable");
    assert_eq!(process.see().expect("readable"), after);
    process.close();
    other.close();
    assert_eq!(Process::start(&fs).see().expect("readable"), after);
}
