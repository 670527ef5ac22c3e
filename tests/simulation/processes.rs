use octoprompt_storage::engine::fs::{Extreme, Fs, LockFile, OpenMode};
use std::sync::Arc;

use crate::{create, machine, open, path};

fn lock(fs: &impl Fs) -> Arc<dyn LockFile> {
    fs.lock_file(path("/d/lock")).unwrap()
}

#[test]
fn processes_see_the_same_files() {
    let fs = machine();
    let other = fs.process();
    create(&fs, "/d/f").write_at(b"x", 0).unwrap();
    assert_eq!(other.read_file("/d/f").unwrap(), b"x");
    assert_eq!(other.boot_id(), fs.boot_id());
}

#[test]
fn processes_see_the_same_shared_page() {
    let fs = machine();
    let mine = fs.shared_page(path("/d/tip"), 16).unwrap();
    let theirs = fs.process().shared_page(path("/d/tip"), 16).unwrap();
    mine.store(1, 7);
    assert_eq!(theirs.load(1), 7);
}

#[test]
fn each_process_is_counted_and_stopped_independently() {
    let fs = machine();
    let other = fs.process();
    other.stop_at(1);
    fs.list_dir(path("/d")).unwrap();
    other.list_dir(path("/d")).unwrap_err();
    fs.list_dir(path("/d")).unwrap();
    assert_eq!((fs.calls(), other.calls(), fs.total_calls()), (2, 1, 3));
}

#[test]
fn exclusive_locks_conflict_and_shared_locks_do_not() {
    let fs = machine();
    let (first, second) = (lock(&fs), lock(&fs.process()));
    assert!(first.try_shared().unwrap());
    assert!(second.try_shared().unwrap());
    assert!(!second.try_exclusive().unwrap());
    first.unlock().unwrap();
    assert!(second.try_exclusive().unwrap());
    assert!(!first.try_shared().unwrap());
}

#[test]
fn locks_conflict_even_within_one_process() {
    let fs = machine();
    let (first, second) = (lock(&fs), lock(&fs));
    assert!(first.try_exclusive().unwrap());
    assert!(!second.try_exclusive().unwrap());
}

#[test]
fn a_failed_lock_conversion_loses_the_lock() {
    let fs = machine();
    let (first, second, third) = (lock(&fs), lock(&fs), lock(&fs));
    assert!(first.try_shared().unwrap() && second.try_shared().unwrap());
    assert!(!first.try_exclusive().unwrap());
    second.unlock().unwrap();
    assert!(third.try_exclusive().unwrap());
}

#[test]
fn a_lock_ends_with_its_handle() {
    let fs = machine();
    let (first, second) = (lock(&fs), lock(&fs));
    assert!(first.try_exclusive().unwrap());
    drop(first);
    assert!(second.try_exclusive().unwrap());
}

#[test]
fn a_lock_dies_with_its_process() {
    let fs = machine();
    let other = fs.process();
    let (first, second) = (lock(&fs), lock(&other));
    assert!(first.try_exclusive().unwrap());
    fs.kill();
    assert!(second.try_exclusive().unwrap());
    assert!(first.try_exclusive().is_err());
}

#[test]
fn a_stopped_process_keeps_its_lock_until_it_is_killed() {
    let fs = machine();
    let (first, second) = (lock(&fs), lock(&fs.process()));
    assert!(first.try_exclusive().unwrap());
    fs.stop_at(1);
    first.unlock().unwrap_err();
    assert!(!second.try_exclusive().unwrap());
    fs.kill();
    assert!(second.try_exclusive().unwrap());
}

#[test]
fn a_child_process_keeps_a_closed_lock_but_not_an_unlocked_one() {
    let fs = machine();
    let (closed, other) = (lock(&fs), lock(&fs));
    assert!(closed.try_exclusive().unwrap());
    let child = fs.spawn_child();
    drop(closed);
    assert!(!other.try_exclusive().unwrap());
    drop(child);
    assert!(other.try_exclusive().unwrap());
    let _child = fs.spawn_child();
    other.unlock().unwrap();
    assert!(lock(&fs).try_exclusive().unwrap());
}

#[test]
fn a_replaced_lock_file_is_not_current() {
    let fs = machine();
    let held = lock(&fs);
    assert!(held.is_current().unwrap());
    fs.remove_file(path("/d/lock")).unwrap();
    assert!(!held.is_current().unwrap());
    lock(&fs);
    assert!(!held.is_current().unwrap());
}

#[test]
fn everything_a_killed_process_wrote_stays_visible() {
    let fs = machine();
    let file = create(&fs, "/d/f");
    let page = fs.shared_page(path("/d/tip"), 16).unwrap();
    file.write_at(b"x", 0).unwrap();
    page.store(0, 9);
    let next = fs.kill();
    assert_eq!(next.read_file("/d/f").unwrap(), b"x");
    assert_eq!(next.shared_page(path("/d/tip"), 16).unwrap().load(0), 9);
    assert_eq!(next.boot_id(), fs.boot_id());
    assert!(file.write_at(b"y", 0).is_err());
    assert!(fs.open(path("/d/f"), OpenMode::Read).is_err());
    page.store(0, 10);
    assert_eq!(next.shared_page(path("/d/tip"), 16).unwrap().load(0), 9);
}

#[test]
fn killing_a_process_does_not_sync_its_writes() {
    let fs = machine();
    create(&fs, "/d/f");
    let next = fs.kill();
    assert_eq!(next.power_loss(&mut Extreme::Nothing).read_file("/d/f"), None);
}

#[test]
fn a_power_loss_releases_locks_and_starts_a_new_boot() {
    let fs = machine();
    let held = lock(&fs);
    assert!(held.try_exclusive().unwrap());
    let after = fs.power_loss(&mut Extreme::Everything);
    assert!(lock(&after).try_exclusive().unwrap());
    assert_ne!(after.boot_id(), fs.boot_id());
    assert!(!lock(&fs).try_exclusive().unwrap(), "the machine itself is as it was");
}

#[test]
fn restoring_a_snapshot_brings_back_names_contents_handles_and_locks() {
    let fs = machine();
    let held = lock(&fs);
    let file = create(&fs, "/d/f");
    assert!(held.try_exclusive().unwrap());
    let before = fs.snapshot();
    file.write_at(b"x", 0).unwrap();
    fs.remove_file(path("/d/f")).unwrap();
    let late = create(&fs, "/d/late");
    drop(held);
    let other = fs.kill();
    fs.restore(&before);
    assert_eq!(fs.read_file("/d/f").unwrap(), b"");
    assert!(!lock(&other).try_exclusive().unwrap());
    file.write_at(b"y", 0).unwrap();
    assert!(late.write_at(b"z", 0).is_err());
}

#[test]
fn each_machine_made_from_a_snapshot_is_independent() {
    let fs = machine();
    let held = lock(&fs);
    assert!(held.try_exclusive().unwrap());
    let branch = fs.snapshot().kill();
    assert!(lock(&branch).try_exclusive().unwrap());
    branch.write_file("/d/f", b"x");
    assert_eq!(fs.read_file("/d/f"), None);
    assert!(open(&branch, "/d/f").metadata().is_ok());
}
