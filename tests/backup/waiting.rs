//! How long backups, restores and migrations wait for other processes.

use std::path::Path;
use std::time::Duration;

use octoprompt_storage::engine::Wait;
use octoprompt_storage::engine::backup::{BackupOptions, Hold, MigrationLock, back_up, restore};
use octoprompt_storage::engine::fs::{Call, Fs};

use crate::support::no_wait;
use crate::world::{Process, change, machine, options, to_the_end};

/// A wait that is over already, as after long work. Anew, it would be long enough.
fn used_up() -> Wait {
    Wait { timeout: Duration::from_secs(60), ..no_wait() }
}

/// Takes the checkpoint lock of a database for another process, until the process tries a second time to take it.
fn make_wait(process: &Process, other: &Process) {
    let path = Path::new("/base/data/one/.storage/checkpoint.lock");
    let held = other.fs.lock_file(path).expect("opened");
    assert!(held.try_exclusive().expect("tried"));
    let tries = move |call: &Call| matches!(call, Call::TryLock { path: at, .. } if **at == *path);
    process.fs.before(tries, || {});
    process.fs.before(tries, move || held.unlock().expect("unlocked"));
}

#[test]
fn a_backup_waits_for_others_however_long_opening_took() {
    let fs = machine();
    let (process, other) = (Process::start(&fs), Process::start(&fs));
    make_wait(&process, &other);
    let options = BackupOptions { wait: used_up(), ..options() };
    back_up(&process.site, Some("one"), &options, &mut to_the_end()).expect("backed up");
}

#[test]
fn a_migration_waits_for_others_however_long_opening_took() {
    let fs = machine();
    let (process, other) = (Process::start(&fs), Process::start(&fs));
    let lock = MigrationLock::acquire(&process.site, no_wait()).expect("free");
    make_wait(&process, &other);
    Hold::begin(process.site.clone(), lock, used_up()).expect("held");
}

#[test]
fn a_restore_waits_for_others_however_long_reading_the_backup_took() {
    let fs = machine();
    let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
    process.back_up("one").expect("backed up");
    let before = process.see().expect("readable");
    change(&mut process).expect("changed");
    process.close();
    other.database(0).expect("opens");
    let begins = |call: &Call| matches!(call, Call::TryLock { path, .. } if path.ends_with("one/.storage/checkpoint.lock"));
    process.fs.before(begins, || {});
    process.fs.before(begins, move || other.close());
    restore(&process.site, Path::new("one"), used_up(), &mut to_the_end()).expect("restored");
    assert_eq!(Process::start(&fs).see().expect("readable"), before);
}
