//! Whatever is in the place of a copy: it is replaced, or reported before anything is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use octoprompt_storage::engine::backup::{BackupOptions, Hold, MigrationLock, Site, back_up};
use octoprompt_storage::engine::fs::{
    self, Call, Extreme, Fault, File, Fs, LockFile, Metadata, Network, OpenFiles, OpenMode, OsFs, Repeat,
    SharedPage, SimFs,
};
use octoprompt_storage::engine::{BasePath, Durability, Outcome, Result};

use crate::crashes::{Stage, Workload, every_crash};
use crate::everywhere::{Disk, list, put};
use crate::failures::every_call;
use crate::holding::hold;
use crate::support::{no_wait, record, spec, wait};
use crate::world::{Process, Seen, change, code, machine, slashed, to_the_end};

const INTENT: &str = "/base/data/.restore/intent.json";

fn back_up_with(process: &Process, include: &str) {
    let options = BackupOptions { include: vec![include.to_owned()], wait: no_wait() };
    back_up(&process.site, Some("one"), &options, &mut to_the_end()).expect("backed up");
}

#[test]
fn a_restore_names_an_obstacle_outside_the_data_and_changes_nothing() {
    for (then, now) in [("conf", "conf/new"), ("conf/old", "conf"), ("a/b/c", "a/b")] {
        let fs = machine();
        let path = |name: &str| Path::new("/base").join(name);
        fs.write_file(path(then), b"then");
        let mut process = Process::start(&fs);
        back_up_with(&process, then.split('/').next().expect("a name"));
        change(&mut process).expect("changed");
        let after = process.see().expect("readable");
        fs.remove(path(then));
        if then.len() > now.len() {
            fs.remove(path(now));
        }
        fs.write_file(path(now), b"now");
        let error = process.restore("one").expect_err("something is in the way");
        assert_eq!((error.code(), error.outcome()), ("INVALID_ARGUMENT", Outcome::None), "{error}");
        let obstacle = path(if then.len() < now.len() { then } else { now });
        assert!(slashed(&error).contains(&slashed(&obstacle.display())), "{error}");
        assert_eq!(fs.read_file(INTENT), None);
        assert_eq!(process.see().expect("readable"), after);
        process.put((0, 0, 70), "written on").expect("writes go on");
        fs.remove(path(now));
        if then.len() < now.len() {
            fs.remove(path(then));
        }
        process.restore("one").expect("restored");
        assert_eq!(fs.read_file(path(then)).as_deref(), Some(&b"then"[..]));
    }
}

#[cfg(unix)]
#[test]
fn a_restore_names_a_dangling_link_before_it_changes_anything() {
    let disk = Disk::new();
    let database = disk.open("data/one");
    put(&database, "items.json", 1, "before");
    std::fs::create_dir(disk.path("conf")).expect("a directory");
    std::fs::write(disk.path("conf/a"), "a").expect("written");
    let options = BackupOptions { include: vec!["conf".to_owned()], wait: wait() };
    back_up(&disk.site, Some("one"), &options, &mut to_the_end()).expect("backed up");
    put(&database, "items.json", 1, "after");
    std::fs::remove_dir_all(disk.path("conf")).expect("removed");
    std::os::unix::fs::symlink(disk.outside("nowhere"), disk.path("conf")).expect("a link");
    let error = disk.restore("one").expect_err("the link is in the way");
    assert_eq!(error.code(), "INVALID_ARGUMENT", "{error}");
    assert!(error.to_string().contains(&disk.path("conf").display().to_string()), "{error}");
    put(&database, "items.json", 2, "written on");
    assert_eq!(list(&database, "items.json").len(), 2);
}

#[test]
fn a_restore_names_an_unwritable_directory_before_it_changes_anything() {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.back_up("one").expect("backed up");
    change(&mut process).expect("changed");
    let after = process.see().expect("readable");
    fs.set_mode("/base/data/deep/er", 0o555);
    let error = process.restore("one").expect_err("a file cannot be put there");
    assert_eq!((error.code(), error.outcome()), ("IO_ERROR", Outcome::None), "{error}");
    assert!(slashed(&error).contains("/base/data/deep/er"), "{error}");
    assert_eq!(fs.read_file(INTENT), None);
    assert_eq!(process.see().expect("readable"), after);
    fs.set_mode("/base/data/deep/er", 0o755);
    process.restore("one").expect("restored");
}

#[test]
fn a_restore_that_cannot_make_a_directory_fails_before_it_changes_anything() {
    let fs = machine();
    fs.make_dirs("/base/data/above/empty");
    let mut process = Process::start(&fs);
    process.back_up("one").expect("backed up");
    change(&mut process).expect("changed");
    fs.remove("/base/data/above/empty");
    let after = process.see().expect("readable");
    fs.set_mode("/base/data/above", 0o555);
    let error = process.restore("one").expect_err("a directory cannot be made there");
    assert_eq!((error.code(), error.outcome()), ("IO_ERROR", Outcome::None), "{error}");
    assert_eq!(fs.read_file(INTENT), None);
    assert_eq!(process.see().expect("readable"), after);
}

#[cfg(unix)]
#[test]
fn a_restore_keeps_an_extra_directory_that_contains_a_link() {
    let disk = Disk::new();
    let database = disk.open("data/one");
    put(&database, "items.json", 1, "before");
    disk.back_up("one").expect("backed up");
    put(&database, "items.json", 1, "after");
    std::fs::create_dir(disk.path("data/d")).expect("a directory");
    std::fs::write(disk.path("data/d/x"), "a file").expect("written");
    std::os::unix::fs::symlink(disk.outside("away"), disk.path("data/d/link")).expect("a link");
    disk.restore("one").expect("restored");
    assert_eq!(list(&database, "items.json"), [record(1, "before")]);
    assert!(disk.path("data/d/link").is_symlink() && !disk.path("data/d/x").exists());
}

/// Replaces a file by a database, a directory by a file, and a file by a directory.
fn exchange(process: &Process) -> Result<()> {
    let fs = &process.fs;
    for path in
        ["/base/data/notes.txt", "/base/data/plain", "/base/data/deep/er/file.bin", "/base/data/deep/er"]
    {
        fs.remove(path);
    }
    fs.write_file("/base/data/deep/er", b"a file now");
    fs.write_file("/base/data/notes.txt/below/file", b"in a directory now");
    let database = process.site.open_under(Path::new("/base/data/plain/database"))?;
    let items = spec("items.json");
    database.write(Durability::Full, move |t| t.put(&items, 1.into(), record(1, "x").into_bytes()))?;
    database.checkpoint(no_wait())
}

fn plain_file(process: &mut Process) -> Result<()> {
    process.fs.write_file("/base/data/plain", b"a file");
    Ok(())
}

fn back_up_and_exchange(process: &mut Process) -> Result<()> {
    plain_file(process)?;
    process.back_up("one")?;
    exchange(process)
}

fn restore(process: &mut Process) -> Result<()> {
    process.restore("one")
}

fn exchange_and_put_back(process: &mut Process) -> Result<()> {
    let held = hold(process)?;
    let copy = held.copy(None)?;
    exchange(process)?;
    held.put_back(copy)
}

const RESTORE: Workload = Workload {
    name: "restore over what is of another kind",
    prepare: back_up_and_exchange,
    steps: &[(restore, Stage::Either)],
};

const FAILURE: Workload = Workload {
    name: "failing migration that exchanges files and directories",
    prepare: plain_file,
    steps: &[(exchange_and_put_back, Stage::Before)],
};

#[test]
fn a_crash_while_a_restore_lets_files_and_directories_trade_places_leaves_all_or_nothing() {
    every_crash(&RESTORE, 1, 200, 1000);
}

#[test]
fn a_crash_while_a_migration_lets_files_and_directories_trade_places_leaves_nothing_of_it() {
    every_crash(&FAILURE, 1, 200, 1000);
}

#[test]
fn a_restore_over_traded_files_and_directories_survives_any_failing_call() {
    every_call(&RESTORE, Fault::Io);
}

fn with_a_plain_file() -> SimFs {
    let fs = machine();
    fs.write_file("/base/data/plain", b"a file");
    fs
}

#[test]
fn a_restore_replaces_directories_by_files_and_files_by_directories() {
    let fs = with_a_plain_file();
    let mut process = Process::start(&fs);
    process.back_up("one").expect("backed up");
    let before = process.see().expect("readable");
    exchange(&process).expect("exchanged");
    process.restore("one").expect("restored");
    assert_eq!(process.see().expect("readable"), before);
    process.put((0, 0, 70), "written on").expect("writes go on");
    process.close();
    assert!(Process::start(&fs.kill()).see().is_ok());
}

#[test]
fn a_rollback_restores_files_and_directories_that_a_migration_traded() {
    let fs = with_a_plain_file();
    let mut process = Process::start(&fs);
    process.checkpoint().expect("checkpointed");
    let before = process.see().expect("readable");
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    exchange(&process).expect("exchanged");
    held.put_back(copy).expect("put back");
    drop(held);
    assert_eq!(process.see().expect("readable"), before);
    process.put((0, 0, 70), "written on").expect("writes go on");
}

#[test]
fn recovery_restores_files_and_directories_that_a_killed_migration_traded() {
    let fs = with_a_plain_file();
    let mut process = Process::start(&fs);
    process.checkpoint().expect("checkpointed");
    let before = process.see().expect("readable");
    let held = hold(&process).expect("held");
    let _copy = held.copy(None).expect("copied");
    exchange(&process).expect("exchanged");
    process.close();
    process.fs.kill();
    assert_eq!(Process::start(&fs).see().expect("put back"), before);
}

/// A migration died after putting a file in the place of a database's directory. Also returns the state before.
fn with_a_file_for_a_database() -> (SimFs, Seen) {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.checkpoint().expect("checkpointed");
    let before = process.see().expect("readable");
    let held = hold(&process).expect("held");
    let _copy = held.copy(None).expect("copied");
    fs::remove_tree(&process.fs, Path::new("/base/data/one")).expect("removed");
    process.fs.write_file("/base/data/one", b"a file");
    process.close();
    process.fs.kill();
    (fs, before)
}

#[test]
fn a_database_replaced_by_a_file_in_a_killed_migration_returns_despite_any_crash() {
    let (fs, before) = with_a_file_for_a_database();
    let image = fs.snapshot();
    let calls = Process::start(&image.kill()).calls_of(|process| process.settle());
    assert!(calls > 100, "only {calls} calls");
    for call in 1..=calls {
        let fs = image.kill();
        let process = Process::start(&fs);
        process.fs.stop_at(call);
        // Errors at the very end do not matter.
        let _ = process.settle();
        for lost in [fs.kill(), fs.power_loss(&mut Extreme::Nothing)] {
            assert_eq!(Process::start(&lost).see().expect("put back"), before, "after call {call}");
        }
    }
}

#[test]
fn a_restore_that_fails_half_way_reports_an_unknown_outcome() {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.back_up("one").expect("backed up");
    let before = process.see().expect("readable");
    change(&mut process).expect("changed");
    let places = |call: &Call| matches!(call, Call::Rename { to, .. } if to.ends_with("notes.txt"));
    process.fs.fail_when(places, Fault::Io, Repeat::Once);
    let error = process.restore("one").expect_err("a file cannot be placed");
    assert_eq!((error.code(), error.outcome()), ("IO_ERROR", Outcome::Unknown), "{error}");
    assert_eq!(code(process.put((0, 0, 70), "to be replaced")), Err("MIGRATION_FAILED"));
    process.fs.heal();
    assert_eq!(process.see().expect("finished"), before);
}

#[cfg(unix)]
#[test]
fn a_rollback_restores_a_directory_that_a_migration_replaced_by_a_link() {
    // The link leads to a file with other content, or to one with the same content.
    for content in ["elsewhere", "here"] {
        let disk = Disk::new();
        let database = disk.open("data/one");
        put(&database, "items.json", 1, "before");
        std::fs::create_dir(disk.path("data/d")).expect("a directory");
        std::fs::write(disk.path("data/d/x"), "here").expect("written");
        std::fs::create_dir(disk.outside("away")).expect("a directory");
        std::fs::write(disk.outside("away/x"), content).expect("written");
        let hold = disk.hold().expect("held");
        let copy = hold.copy(None).expect("copied");
        std::fs::remove_dir_all(disk.path("data/d")).expect("removed");
        std::os::unix::fs::symlink(disk.outside("away"), disk.path("data/d")).expect("a link");
        hold.put_back(copy).expect("put back");
        assert!(std::fs::symlink_metadata(disk.path("data/d")).expect("there").is_dir());
        assert_eq!(std::fs::read_to_string(disk.path("data/d/x")).expect("a file"), "here");
        assert_eq!(std::fs::read_to_string(disk.outside("away/x")).expect("a file"), content);
    }
}

#[cfg(unix)]
#[test]
fn a_restore_does_not_follow_a_link_out_of_the_data() {
    let disk = Disk::new();
    std::fs::create_dir(disk.path("data/d")).expect("a directory");
    std::fs::write(disk.path("data/d/x"), "here").expect("written");
    disk.back_up("one").expect("backed up");
    std::fs::remove_dir_all(disk.path("data/d")).expect("removed");
    std::fs::create_dir(disk.outside("away")).expect("a directory");
    std::os::unix::fs::symlink(disk.outside("away"), disk.path("data/d")).expect("a link");
    assert_eq!(code(disk.restore("one")), Err("INVALID_ARGUMENT"));
    assert!(!disk.outside("away/x").exists());
}

/// A disk on which someone appends to a file whenever it is about to be copied.
struct Appending {
    file: PathBuf,
}

impl Fs for Appending {
    fn clone_file(&self, from: &Path, to: &Path) -> std::io::Result<bool> {
        if from == self.file {
            let file = OsFs.open(from, OpenMode::ReadWrite)?;
            file.write_at(b"one more line\n", file.metadata()?.len)?;
        }
        OsFs.clone_file(from, to)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> std::io::Result<Arc<dyn File>> {
        OsFs.open(path, mode)
    }
    fn open_files(&self) -> &OpenFiles {
        OsFs.open_files()
    }
    fn create_dir(&self, path: &Path) -> std::io::Result<()> {
        OsFs.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        OsFs.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> std::io::Result<()> {
        OsFs.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> std::io::Result<()> {
        OsFs.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> std::io::Result<()> {
        OsFs.sync_dir(path)
    }
    fn list_dir(&self, path: &Path) -> std::io::Result<Vec<String>> {
        OsFs.list_dir(path)
    }
    fn metadata(&self, path: &Path) -> std::io::Result<Option<Metadata>> {
        OsFs.metadata(path)
    }
    fn symlink_metadata(&self, path: &Path) -> std::io::Result<Option<Metadata>> {
        OsFs.symlink_metadata(path)
    }
    fn canonical(&self, path: &Path) -> std::io::Result<PathBuf> {
        OsFs.canonical(path)
    }
    fn copy_permissions(&self, like: &Path, path: &Path) -> std::io::Result<()> {
        OsFs.copy_permissions(like, path)
    }
    fn is_writable(&self, directory: &Path) -> std::io::Result<bool> {
        OsFs.is_writable(directory)
    }
    fn free_space(&self, path: &Path) -> std::io::Result<u64> {
        OsFs.free_space(path)
    }
    fn lock_file(&self, path: &Path) -> std::io::Result<Arc<dyn LockFile>> {
        OsFs.lock_file(path)
    }
    fn shared_page(&self, path: &Path, len: usize) -> std::io::Result<Arc<dyn SharedPage>> {
        OsFs.shared_page(path, len)
    }
    fn network(&self, path: &Path) -> std::io::Result<Option<Network>> {
        OsFs.network(path)
    }
    fn now_ms(&self) -> u64 {
        OsFs.now_ms()
    }
    fn boot_id(&self) -> u128 {
        OsFs.boot_id()
    }
    fn is_stopped(&self, pid: u32) -> bool {
        OsFs.is_stopped(pid)
    }
}

#[test]
fn a_foreign_file_that_keeps_growing_does_not_block_a_migration() {
    let disk = Disk::new();
    let log = disk.path("data/server.log");
    std::fs::write(&log, "a line\n").expect("written");
    let fs = Appending { file: log.clone() };
    let site = Site { base: BasePath::new(Arc::new(fs), &disk.path("")), ..disk.site.clone() };
    let lock = MigrationLock::acquire(&site, wait()).expect("free");
    let hold = Hold::begin(site, lock, wait()).expect("held");
    let copy = hold.copy(None).expect("copied, however it grows");
    let spare = hold.discard(&copy).expect("discarded");
    let copy = hold.copy(Some(spare)).expect("copied again");
    let kept = std::fs::read_to_string(&log).expect("readable");
    std::fs::write(&log, "replaced").expect("written");
    hold.put_back(copy).expect("put back");
    assert_eq!(std::fs::read_to_string(&log).expect("readable"), kept);
}
