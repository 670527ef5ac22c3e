//! Files beside the databases after a power loss: those that a migration wrote, and those that it left alone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use octoprompt_storage::engine::fs::{Call, Extreme, Fault, Fs, OpenMode, Repeat, SimFs, Snapshot};
use octoprompt_storage::engine::verify;
use parking_lot::Mutex;

use crate::crashes::RESTORE;
use crate::holding::hold;
use crate::support::no_wait;
use crate::world::{Process, change, code, directory, machine};

/// Writes a file without syncing it, as a migration may.
fn write(fs: &SimFs, path: &str, bytes: &[u8]) {
    let fs = fs.handle();
    let file = fs.open(Path::new(path), OpenMode::CreateNew).expect("created");
    file.write_at(bytes, 0).expect("written");
}

#[test]
fn files_written_by_a_migration_are_durable_once_it_succeeds() {
    let fs = machine();
    let process = Process::start(&fs);
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    for directory in ["/base/data/made", "/base/data/made/below"] {
        fs.create_dir(Path::new(directory)).expect("made");
    }
    let paths = ["/base/data/beside", "/base/data/made/file", "/base/data/made/below/file"];
    paths.iter().for_each(|path| write(&process.fs, path, b"migrated"));
    let _ = held.discard(&copy).expect("discarded");
    let lost = fs.power_loss(&mut Extreme::Nothing);
    for path in paths {
        assert_eq!(lost.read_file(path).as_deref(), Some(&b"migrated"[..]), "{path}");
    }
}

#[test]
fn files_rewritten_unchanged_by_a_migration_are_durable_once_it_is_rolled_back() {
    let fs = machine();
    let process = Process::start(&fs);
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    let paths = ["/base/data/notes.txt", "/base/data/deep/er/file.bin"];
    for path in paths {
        let bytes = fs.read_file(path).expect("a file");
        process.fs.handle().remove_file(Path::new(path)).expect("removed");
        write(&process.fs, path, &bytes);
    }
    held.put_back(copy).expect("put back");
    for lost in fs.snapshot().crash_states(100, 1) {
        for path in paths {
            assert_eq!(lost.read_file(path), fs.read_file(path), "{path}");
        }
    }
}

#[test]
fn a_migration_that_failed_to_record_its_intent_rolls_back_nothing_later() {
    let renames =
        |call: &Call| matches!(call, Call::Rename { to, .. } if to.ends_with(".migration/intent.json"));
    let syncs = |call: &Call| matches!(call, Call::SyncDir { path } if **path == *Path::new("/base"));
    for fails in [renames as fn(&Call) -> bool, syncs] {
        let fs = machine();
        let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
        other.database(0).expect("opens");
        let held = hold(&process).expect("held");
        process.fs.fail_when(fails, Fault::Io, Repeat::Once);
        assert_eq!(code(held.copy(None)).map(drop), Err("IO_ERROR"));
        assert_eq!(process.fs.faults(), 1);
        drop(held);
        other.put((0, 0, 60), "of another process").expect("others write on");
        change(&mut process).expect("written on");
        let after = process.see().expect("readable");
        process.close();
        other.close();
        assert_eq!(Process::start(&fs.kill()).see().expect("readable"), after);
    }
}

/// A base path without databases, with a backup of one file and of empty directories, and with other data now.
fn without_databases() -> (SimFs, Process) {
    let fs = SimFs::new();
    fs.make_dirs("/base/data/hollow/below");
    fs.make_dirs("/base/data/empty");
    fs.make_dirs("/base/data/bare");
    fs.write_file("/base/data/deep/er/file", b"backed up");
    let mut process = Process::start(&fs);
    process.back_up("one").expect("backed up");
    for path in ["deep/er/file", "deep/er", "deep", "hollow/below"] {
        fs.remove(Path::new("/base/data").join(path));
    }
    fs.make_dirs("/base/data/empty/surplus");
    fs.write_file("/base/data/bare/surplus", b"surplus");
    (fs, process)
}

fn is_restored(fs: &SimFs) -> bool {
    let is_there = |path: &str| fs.metadata(Path::new(path)).expect("looked up").is_some();
    fs.read_file("/base/data/deep/er/file").as_deref() == Some(&b"backed up"[..])
        && is_there("/base/data/hollow/below")
        && !["/base/data/bare/surplus", "/base/data/empty/surplus"].into_iter().any(is_there)
}

#[test]
fn a_restore_that_makes_and_removes_directories_is_durable_and_survives_any_crash() {
    let (fs, mut process) = without_databases();
    fs.record();
    process.restore("one").expect("restored");
    for (at, moment) in fs.moments().into_iter().enumerate() {
        for lost in moment.crash_states(8, at as u64) {
            Process::start(&lost).settle().unwrap_or_else(|error| panic!("call {at}: {error}"));
            let before = lost.read_file("/base/data/bare/surplus").is_some();
            assert!(before != is_restored(&lost), "call {at}");
        }
    }
    assert!(fs.snapshot().crash_states(100, 1).all(|lost| is_restored(&lost)));
}

#[test]
fn a_directory_made_by_a_killed_restore_is_durable_before_files_move_into_it() {
    for made in ["/base/data/deep/er", "/base/data/hollow/below"] {
        let (fs, mut process) = without_databases();
        fs.record();
        process.restore("one").expect("restored");
        let is_there = |fs: &SimFs| fs.metadata(Path::new(made)).expect("looked up").is_some();
        let is_fleeting = |moment: &Snapshot| {
            is_there(&moment.kill()) && !is_there(&moment.power_loss(&mut Extreme::Nothing))
        };
        let moments: Vec<Snapshot> = fs.moments().into_iter().filter(is_fleeting).collect();
        assert!(!moments.is_empty());
        for moment in moments {
            let fs = moment.kill();
            fs.record();
            Process::start(&fs).settle().expect("restored");
            for (at, moment) in fs.moments().into_iter().enumerate() {
                for lost in moment.crash_states(8, at as u64) {
                    Process::start(&lost).settle().unwrap_or_else(|error| panic!("call {at}: {error}"));
                    assert!(is_restored(&lost), "{made}, call {at}");
                }
            }
        }
    }
}

#[test]
fn no_journal_from_before_a_restore_returns_after_a_power_loss() {
    let fs = machine();
    let mut process = Process::start(&fs);
    (RESTORE.prepare)(&mut process).expect("prepared");
    process.restore("one").expect("restored");
    let lost = fs.power_loss(&mut Extreme::Nothing);
    for number in [0, 1] {
        let names = lost.list_dir(&directory(number).join(".storage")).expect("a folder");
        assert_eq!(names.iter().filter(|name| name.starts_with("journal-")).count(), 1, "{names:?}");
    }
}

#[test]
fn verifying_counts_nothing_of_the_journals_that_a_killed_restore_did_not_yet_remove() {
    let fs = machine();
    let mut process = Process::start(&fs);
    (RESTORE.prepare)(&mut process).expect("prepared");
    let removes = |call: &Call| {
        matches!(call, Call::RemoveFile { .. })
            && call.path().starts_with("/base/other")
            && call.name().starts_with("journal-")
    };
    let (restored, moment) = (fs.clone(), Arc::new(Mutex::new(None)));
    let kept = Arc::clone(&moment);
    process.fs.before(removes, move || *kept.lock() = Some(restored.snapshot()));
    process.restore("one").expect("restored");
    let fs = moment.lock().take().expect("a journal is removed").kill();
    let report = verify(&fs.handle(), &directory(1), no_wait()).expect("verified");
    assert_eq!(report.documents(), 1, "{report}");
}

#[test]
fn a_restore_repeats_the_moves_and_removals_lost_by_a_failed_sync() {
    for directory in ["/base/data/deep/er", "/base/data/bare"] {
        let (fs, mut process) = without_databases();
        let carried_out = AtomicBool::new(false);
        let syncs = move |call: &Call| {
            let places = matches!(call, Call::Rename { to, .. } if to.ends_with("deep/er/file"));
            carried_out.fetch_or(places, Ordering::Relaxed);
            matches!(call, Call::SyncDir { path } if **path == *Path::new(directory) && carried_out.load(Ordering::Relaxed))
        };
        process.fs.fail_when(syncs, Fault::Io, Repeat::Once);
        assert_eq!(code(process.restore("one")), Err("IO_ERROR"));
        assert_eq!(process.fs.faults(), 1);
        process.settle().expect("restored");
        let lost = fs.power_loss(&mut Extreme::Nothing);
        assert!(is_restored(&lost), "{directory}");
    }
}
