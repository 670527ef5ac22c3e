//! What a restore brings back, what it refuses, and who sees it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use octoprompt_storage::engine::backup::restore;
use octoprompt_storage::engine::fs::{Call, Fault, Fs, OpenMode, Repeat, SimFs};
use octoprompt_storage::engine::{Error, Wait};

use crate::forged::{absolute, is_refused};
use crate::support::{no_wait, record};
use crate::world::{Process, Seen, change, code, image, machine, to_the_end};

/// A machine with a backup and with data changed since; also returns what was backed up and what there is now.
pub fn changed() -> (SimFs, Seen, Seen) {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.back_up("one").expect("backed up");
    let before = process.see().expect("readable");
    change(&mut process).expect("changed");
    let after = process.see().expect("readable");
    assert_ne!(before, after);
    process.close();
    drop(process);
    (fs.kill(), before, after)
}

#[test]
fn a_restore_brings_back_documents_files_and_directories() {
    let (fs, before, _) = changed();
    let mut process = Process::start(&fs);
    process.restore("one").expect("restored");
    assert_eq!(process.see().expect("readable"), before);
    assert_eq!(Process::start(&fs.process()).see().expect("readable"), before);
}

#[test]
fn open_storages_see_the_restored_data_and_can_write() {
    let (fs, mut before, after) = changed();
    let mut process = Process::start(&fs);
    assert_eq!(process.see().expect("readable"), after);
    process.restore("one").expect("restored");
    assert_eq!(process.see().expect("readable"), before);
    process.put((0, 0, 50), "written on").expect("written");
    process.checkpoint().expect("checkpointed");
    process.close();
    before.documents.insert((0, 0, 50), record(50, "written on"));
    assert_eq!(Process::start(&fs).see().expect("readable"), before);
}

#[test]
fn data_replaced_by_a_restore_does_not_return_after_a_power_loss() {
    let (fs, before, _) = changed();
    let mut process = Process::start(&fs);
    process.restore("one").expect("restored");
    for _ in 0..3 {
        process.checkpoint().expect("checkpointed");
        process.put((0, 0, 1), "in the snapshot").expect("written");
    }
    process.close();
    let lost = fs.power_loss(&mut octoprompt_storage::engine::fs::Extreme::Nothing);
    assert_eq!(Process::start(&lost).see().expect("readable"), before);
}

#[test]
fn a_restore_times_out_and_names_the_processes_that_have_the_data_open() {
    let (fs, _, after) = changed();
    let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
    other.database(0).expect("opens");
    process.database(0).expect("opens");
    let error = process.restore("one").expect_err("another process has it open");
    assert_eq!(error.code(), "LOCK_TIMEOUT");
    assert!(matches!(&error, Error::InUse { holders, .. } if holders.len() == 1), "{error}");
    other.close();
    assert_eq!(code(other.restore("one")), Err("LOCK_TIMEOUT"), "it is present as before");
    assert_eq!(process.see().expect("readable"), after);
    other.put((0, 0, 9), "goes on").expect("the other one goes on");
    other.close();
    process.restore("one").expect("restored");
    assert_eq!(code(other.restore("one")), Err("LOCK_TIMEOUT"), "it is present again");
}

#[test]
fn a_process_that_blocks_a_restore_can_write_and_close_while_it_waits() {
    let (fs, before, _) = changed();
    let mut other = Process::start(&fs);
    other.site.options.lock_timeout = Duration::from_secs(3);
    other.put((0, 0, 9), "open").expect("opens");
    let (tell, waits) = mpsc::channel();
    let restoring = thread::spawn({
        let fs = fs.process();
        move || {
            let process = Process::start(&fs);
            let tell = Mutex::new(Some(tell));
            process.fs.fail_when(
                move |call| {
                    let alone = matches!(call, Call::TryLock { path, exclusive: true } if path.ends_with("open.lock"));
                    if alone && let Some(tell) = tell.lock().expect("no panic").take() {
                        tell.send(()).expect("somebody listens");
                    }
                    false
                },
                Fault::Io,
                Repeat::Once,
            );
            restore(
                &process.site,
                Path::new("one"),
                Wait::at_most(Duration::from_secs(60)),
                &mut to_the_end(),
            )
        }
    });
    waits.recv().expect("it asks to be alone");
    let wait = Wait::at_most(Duration::from_secs(3));
    other.put((0, 0, 9), "written while it waits").expect("the restore gives its locks up");
    other.database(0).and_then(|database| database.checkpoint(wait)).expect("it closes as cleanly as ever");
    other.close();
    restoring.join().expect("no panic").expect("restored");
    assert_eq!(Process::start(&fs).see().expect("readable"), before);
}

#[test]
fn a_restore_empties_a_database_that_the_backup_lacks() {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.back_up("one").expect("backed up");
    let extra = process.site.open_under(Path::new("/base/data/extra")).expect("opens");
    let items = crate::support::spec("items.json");
    let put = |database: &octoprompt_storage::engine::Database, id: u64| {
        let (items, text) = (std::sync::Arc::clone(&items), record(id, "x").into_bytes());
        database.write(Default::default(), move |t| t.put(&items, id.into(), text)).expect("written");
    };
    put(&extra, 1);
    extra.checkpoint(no_wait()).expect("checkpointed");
    process.restore("one").expect("restored");
    let count = |database: &octoprompt_storage::engine::Database| {
        database
            .filter(&items, octoprompt_storage::engine::Part::Whole, crate::world::READ, |_| true)
            .expect("readable")
            .len()
    };
    assert_eq!(count(&extra), 0);
    assert_eq!(fs.read_file("/base/data/extra/items.json"), None);
    put(&extra, 2);
    assert_eq!(count(&extra), 1);
}

#[test]
fn a_backup_can_be_restored_on_another_machine_and_over_damaged_data() {
    let (fs, before, _) = changed();
    let files = image(&fs, "/base/backups/one");
    for damage in [
        &[][..],
        &["/base/data/one/items.json"],
        &["/base/data/one/.storage/journal-000000000002.jsonl"],
        &["/base/data/.databases.json"],
    ] {
        let other = if damage.is_empty() { SimFs::new() } else { machine() };
        other.make_dirs("/base");
        for (path, bytes) in &files {
            other.write_file(Path::new("/elsewhere").join(path.strip_prefix("/base").expect("below")), bytes);
        }
        for path in damage {
            assert!(other.read_file(path).is_some(), "{path}");
            other.write_file(path, b"[\"rubbish\"]\n[\"rubbish\"]\n");
        }
        let mut process = Process::start(&other);
        restore(&process.site, &absolute("/elsewhere/backups/one"), no_wait(), &mut to_the_end())
            .expect("restored");
        assert_eq!(process.see().expect("readable"), before, "{damage:?}");
    }
}

#[test]
fn a_restore_over_a_damaged_record_of_databases_waits_for_those_outside_data() {
    let (fs, before, _) = changed();
    let mut other = Process::start(&fs);
    other.database(1).expect("opens");
    fs.write_file("/base/data/.databases.json", b"{");
    let mut process = Process::start(&fs);
    assert_eq!(code(process.restore("one")), Err("LOCK_TIMEOUT"));
    other.close();
    process.restore("one").expect("restored");
    assert_eq!(process.see().expect("readable"), before);
}

/// Makes the backup `two` and copies it to a machine that has nothing else; returns a process there.
fn on_another_machine(fs: &SimFs, mut process: Process) -> Process {
    process.back_up("two").expect("backed up");
    let other = SimFs::new();
    other.make_dirs("/base/data");
    for (path, bytes) in image(fs, "/base/backups/two") {
        other.write_file(path, &bytes);
    }
    Process::start(&other)
}

#[test]
fn a_backup_carries_its_sequence_number_to_another_machine() {
    let (fs, _, _) = changed();
    let mut process = Process::start(&fs);
    let before = process.database(0).and_then(|database| database.sequence()).expect("opens");
    let mut process = on_another_machine(&fs, process);
    process.restore("two").expect("restored");
    assert!(process.database(0).and_then(|database| database.sequence()).expect("opens") >= before);
}

#[test]
fn a_file_formatted_by_hand_is_restored_byte_for_byte() {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.checkpoint().expect("checkpointed");
    let text = format!("{{\n  \"1\": {},\n\n  \"1\": {}\n}}", record(1, "first"), record(1, "last"));
    fs.write_file("/base/data/one/items.json", text.as_bytes());
    let before = process.see().expect("taken over");
    process.back_up("one").expect("backed up");
    let backed_up = fs.read_file("/base/backups/one/data/one/items.json").expect("a file");
    process.put((0, 0, 1), "changed").and_then(|()| process.checkpoint()).expect("changed");
    process.restore("one").expect("restored");
    assert_eq!(fs.read_file("/base/data/one/items.json"), Some(backed_up));
    assert_eq!(process.see().expect("readable"), before);
    process.close();
    assert_eq!(Process::start(&fs).see().expect("readable"), before);
}

#[test]
fn a_restore_never_lowers_the_sequence_number() {
    let (fs, _, _) = changed();
    let mut process = Process::start(&fs);
    let seq = |process: &mut Process| {
        process.put((0, 0, 77), "x").expect("written");
        process.back_up("probe").expect("backed up");
        let text = fs.read_file("/base/backups/probe/manifest.json").expect("a manifest");
        octoprompt_storage::engine::backup::prune_backups(&process.site, 1, no_wait()).expect("pruned");
        let manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        manifest["content"]["databases"][0]["seq"].as_u64().expect("a number")
    };
    process.back_up("two").expect("backed up");
    process.put((0, 0, 78), "x").expect("written");
    let before = {
        let fs = process.fs.snapshot().kill();
        let mut twin = Process::start(&fs);
        twin.put((0, 0, 77), "x").expect("written");
        twin.back_up("probe").expect("backed up");
        let text = fs.read_file("/base/backups/probe/manifest.json").expect("a manifest");
        let manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        manifest["content"]["databases"][0]["seq"].as_u64().expect("a number")
    };
    process.restore("two").expect("restored");
    assert!(seq(&mut process) > before);
}

#[test]
fn a_restore_that_lacks_disk_space_or_is_aborted_changes_nothing() {
    let (fs, before, after) = changed();
    fs.set_free_space(1000);
    is_refused(&fs, "one", "IO_ERROR", &after);
    fs.set_free_space(1 << 30);
    let mut process = Process::start(&fs);
    process.database(1).expect("opens");
    let mut steps = 0;
    loop {
        let mut left = steps;
        let mut stop = |_, _| {
            left -= 1;
            if left >= 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        match code(restore(&process.site, Path::new("one"), no_wait(), &mut stop)) {
            Ok(()) => break,
            other => assert_eq!(other, Err("ABORTED")),
        }
        assert_eq!(process.see().expect("readable"), after);
        assert!(fs.list_dir(Path::new("/base/data/.restore")).is_err());
        steps += 1;
    }
    assert!(steps > 8, "{steps}");
    assert_eq!(process.see().expect("readable"), before);
}

#[test]
fn a_failed_restore_on_another_machine_leaves_no_database_directories() {
    let (fs, _, _) = changed();
    let process = Process::start(&fs);
    process.site.open_under(Path::new("/base/above/another")).expect("opens");
    let mut process = on_another_machine(&fs, process);
    let other = process.fs.clone();
    let stages =
        |call: &Call| matches!(call, Call::CloneFile { to, .. } if to.starts_with("/base/data/.restore"));
    process.fs.fail_when(stages, Fault::Io, Repeat::Once);
    assert_eq!(code(process.restore("two")), Err("IO_ERROR"));
    assert_eq!(other.list_dir(Path::new("/base")).expect("a directory"), ["backups", "data"]);
    assert!(!other.list_dir(Path::new("/base/data")).expect("a directory").contains(&"one".to_owned()));
    process.restore("two").expect("restored");
    assert!(other.list_dir(Path::new("/base")).expect("a directory").contains(&"above".to_owned()));
}

#[test]
fn a_backup_file_that_changes_during_the_restore_is_refused() {
    let (fs, before, after) = changed();
    let mut process = Process::start(&fs);
    let file = "/base/backups/one/data/notes.txt";
    let outside = fs.clone();
    let stages =
        move |call: &Call| matches!(call, Call::CloneFile { from, .. } if **from == *Path::new(file));
    process.fs.before(stages, move || outside.write_file(file, b"not 0urs"));
    assert_eq!(code(process.restore("one")), Err("CORRUPT_DATA"));
    assert_eq!(process.see().expect("readable"), after);
    fs.write_file(file, b"not ours");
    // Whatever an earlier restore could not remove makes no difference.
    fs.write_file("/base/data/.restore/files/0", b"an earlier attempt");
    process.restore("one").expect("restored");
    assert_eq!(process.see().expect("readable"), before);
}

#[test]
fn a_write_after_a_restore_that_took_two_attempts_reaches_every_process() {
    let (fs, mut before, after) = changed();
    let mut process = Process::start(&fs);
    assert_eq!(process.see().expect("readable"), after);
    // The first attempt replaces everything and cannot record that; the second one cannot read the new journal at first.
    let ends =
        |call: &Call| matches!(call, Call::Write { path, .. } if path.ends_with(".restore/intent.json"));
    process.fs.fail_when(ends, Fault::Io, Repeat::Once);
    process.restore("one").expect_err("it cannot be concluded");
    let reads = |call: &Call| {
        matches!(call, Call::Open { path, mode: OpenMode::ReadWrite } if path.starts_with("/base/data/one"))
            && call.name().starts_with("journal-")
    };
    process.fs.fail_when(reads, Fault::Io, Repeat::Once);
    process.settle().expect("restored");
    assert_eq!(process.fs.faults(), 2);
    process.put((0, 0, 50), "written on").expect("written");
    process.close();
    before.documents.insert((0, 0, 50), record(50, "written on"));
    assert_eq!(Process::start(&fs.process()).see().expect("readable"), before);
}
