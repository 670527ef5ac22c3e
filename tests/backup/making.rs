//! What a backup contains, and what it leaves as it was.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use octoprompt_storage::engine::backup::{
    BackupOptions, Site, back_up, list_backups, prune_backups, restore,
};
use octoprompt_storage::engine::fs::{Call, Fault, Fs, OsFs, Repeat, SimFs};
use octoprompt_storage::engine::{
    BasePath, CollectionSpec, DatabaseOptions, Durability, Foreign, Part, Registry, Wait,
};

use crate::crashes::calls_of_copying;
use crate::forged::changed_manifest;
use crate::support::{no_wait, record, spec, wait};
use crate::world::{COLLECTIONS, Process, READ, code, image, machine, options, to_the_end};

/// Returns the map in a JSON file, as a reader finds it that knows nothing of this package.
fn plain(fs: &SimFs, path: &str) -> BTreeMap<String, serde_json::Value> {
    serde_json::from_slice(&fs.read_file(path).expect("a file")).expect("plain JSON")
}

#[test]
fn a_backup_holds_plain_files_with_everything_committed() {
    let mut process = Process::start(&machine());
    process.database(0).expect("opens");
    let path = process.back_up("one").expect("backed up");
    assert_eq!(path, Path::new("/base/backups/one"));
    let items = plain(&process.fs, "/base/backups/one/data/one/items.json");
    assert_eq!(items.keys().collect::<Vec<_>>(), ["1", "4"]);
    assert_eq!(items["4"]["name"], "in the journal");
    assert!(plain(&process.fs, "/base/backups/one/other/items.json").contains_key("3"));
    let file = |path: &str| process.fs.read_file(format!("/base/backups/one/{path}"));
    assert_eq!(file("data/notes.txt").as_deref(), Some(&b"not ours"[..]));
    assert_eq!(file("data/deep/er/file.bin").as_deref(), Some(&[0, 255, 7][..]));
    assert!(process.fs.list_dir(Path::new("/base/backups/one/data/empty")).expect("a directory").is_empty());
    assert!(
        image(&process.fs, "/base/backups/one")
            .keys()
            .all(|path| !path.to_string_lossy().contains("journal"))
    );
}

#[test]
fn an_unchanged_snapshot_is_copied_byte_for_byte() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let original = fs.read_file("/base/data/one/deep/7/items.json").expect("a snapshot");
    process.back_up("one").expect("backed up");
    assert_eq!(fs.read_file("/base/backups/one/data/one/deep/7/items.json"), Some(original));
}

#[test]
fn a_backup_changes_nothing_that_it_copies() {
    let fs = machine();
    let data = || {
        let mut files = image(&fs, "/base/data");
        // These are the locks that keep migrations away.
        files.retain(|path, _| !path.starts_with("/base/data/.migration"));
        files
    };
    let before = data();
    Process::start(&fs).back_up("one").expect("backed up");
    let after = data();
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(after == before);
}

#[test]
fn an_unadopted_file_is_copied_even_if_it_is_broken() {
    let fs = machine();
    fs.write_file("/base/data/one/never-asked-for.json", b"{ broken");
    Process::start(&fs).back_up("one").expect("backed up");
    assert_eq!(
        fs.read_file("/base/backups/one/data/one/never-asked-for.json").as_deref(),
        Some(&b"{ broken"[..])
    );
}

#[test]
fn an_edit_not_yet_adopted_is_backed_up_together_with_newer_documents() {
    let fs = machine();
    fs.write_file("/base/data/one/items.json", format!("{{ \"9\": {} }}", record(9, "edited")).as_bytes());
    Process::start(&fs).back_up("one").expect("backed up");
    let items = plain(&fs, "/base/backups/one/data/one/items.json");
    assert_eq!(items.keys().collect::<Vec<_>>(), ["4", "9"]);
}

#[test]
fn a_missing_snapshot_fails_the_backup_as_damage() {
    let fs = machine();
    fs.remove("/base/data/one/deep/7/items.json");
    let mut process = Process::start(&fs);
    assert_eq!(code(process.back_up("one")), Err("CORRUPT_DATA"));
    assert!(list_backups(&process.site).expect("listed").is_empty());
    assert!(image(&fs, "/base/backups").keys().all(|path| path.ends_with(".lock")));
}

#[test]
fn included_paths_are_copied_and_paths_outside_the_base_are_refused() {
    let fs = machine();
    fs.write_file("/base/config/a.toml", b"a");
    fs.write_file("/base/single", b"b");
    let process = Process::start(&fs);
    let include = |paths: &[&str]| {
        let include = paths.iter().map(|path| path.to_string()).collect();
        let options = BackupOptions { include, wait: no_wait() };
        back_up(&process.site, Some("one"), &options, &mut to_the_end())
    };
    for refused in
        ["../x", "/etc/passwd", "", ".", "a/../b", "backups/x", "missing", "manifest.json", "x/.storage"]
    {
        assert_eq!(code(include(&[refused])).map(drop), Err("INVALID_ARGUMENT"), "{refused}");
    }
    include(&["config/", "single", "data", "data/one"]).expect("backed up");
    assert_eq!(fs.read_file("/base/backups/one/config/a.toml").as_deref(), Some(&b"a"[..]));
    assert_eq!(fs.read_file("/base/backups/one/single").as_deref(), Some(&b"b"[..]));
}

#[test]
fn a_backup_name_cannot_be_reused_and_unnamed_backups_get_increasing_names() {
    let mut process = Process::start(&machine());
    process.back_up("one").expect("backed up");
    assert_eq!(code(process.back_up("one")), Err("ALREADY_EXISTS"));
    assert_eq!(code(process.back_up("../one")), Err("INVALID_ARGUMENT"));
    let unnamed = || back_up(&process.site, None, &options(), &mut to_the_end()).expect("backed up").path;
    assert!(unnamed() < unnamed());
}

#[test]
fn a_backup_without_enough_disk_space_writes_nothing() {
    let fs = machine();
    let mut process = Process::start(&fs);
    fs.set_free_space(1000);
    assert_eq!(code(process.back_up("one")), Err("IO_ERROR"));
    assert_eq!(fs.list_dir(Path::new("/base/backups")).expect("a directory"), [".lock"]);
}

#[test]
fn an_aborted_backup_leaves_nothing() {
    let fs = machine();
    let process = Process::start(&fs);
    let mut told = Vec::new();
    let mut stop = |done: u64, total: u64| {
        told.push((done, total));
        if told.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    assert_eq!(code(back_up(&process.site, Some("one"), &options(), &mut stop)).map(drop), Err("ABORTED"));
    assert!(told.is_sorted() && told.iter().all(|(done, total)| done <= total));
    assert_eq!(fs.list_dir(Path::new("/base/backups")).expect("a directory"), [".lock"]);
}

#[test]
fn a_failed_backup_leaves_a_directory_that_somebody_made_under_its_name() {
    let fs = machine();
    let process = Process::start(&fs);
    let outside = fs.clone();
    let creates =
        |call: &Call| matches!(call, Call::CreateDir { path } if path.ends_with(".partial-one/data"));
    process.fs.before(creates, move || outside.write_file("/base/backups/one/mine", b"mine"));
    process.fs.fail_when(creates, Fault::NoSpace { written: 0 }, Repeat::Once);
    let made = back_up(&process.site, Some("one"), &options(), &mut to_the_end());
    assert_eq!(code(made).map(drop), Err("IO_ERROR"));
    assert_eq!(fs.read_file("/base/backups/one/mine").as_deref(), Some(&b"mine"[..]));
}

#[test]
fn a_file_that_no_backup_may_restore_fails_a_backup() {
    for path in ["data/one/.STORAGE/file", "data/.Restore/file", "data/.migration-/.Storage"] {
        let fs = machine();
        fs.write_file(format!("/base/{path}"), b"not ours");
        let process = Process::start(&fs);
        let made = back_up(&process.site, Some("one"), &options(), &mut to_the_end());
        let error = made.map(drop).expect_err("it could not be restored");
        assert!(error.code() == "INVALID_ARGUMENT" && error.to_string().contains(path), "{error}");
    }
}

#[test]
fn a_collection_dropped_by_another_process_during_a_backup_is_in_the_backup() {
    let fs = machine();
    let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
    other.database(0).expect("opens");
    let mut dropped = false;
    let mut drop_one = |_, _| {
        if !dropped {
            dropped = true;
            let nested = spec(COLLECTIONS[1]);
            let gone = other.database(0).and_then(|database| {
                database.write(Durability::Full, move |t| {
                    t.drop_collection(&nested)?;
                    t.remove_path("deep/7")
                })
            });
            gone.expect("dropped");
        }
        ControlFlow::Continue(())
    };
    back_up(&process.site, Some("one"), &options(), &mut drop_one).expect("backed up");
    assert!(plain(&fs, "/base/backups/one/data/one/deep/7/items.json").contains_key("2"));
    process.checkpoint().expect("checkpointed");
    assert_eq!(fs.read_file("/base/data/one/deep/7/items.json"), None);
    assert_eq!(process.see().expect("readable").documents.get(&(0, 1, 2)), None);
}

#[test]
fn a_collection_dropped_by_the_backing_up_process_is_in_the_backup() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let database = process.database(0).expect("opens");
    let copies = |call: &Call| matches!(call, Call::CloneFile { .. });
    process.fs.before(copies, move || {
        let nested = spec(COLLECTIONS[1]);
        database.write(Durability::Full, move |t| t.drop_collection(&nested)).expect("given up");
    });
    process.back_up("one").expect("backed up");
    assert!(plain(&fs, "/base/backups/one/data/one/deep/7/items.json").contains_key("2"));
    process.checkpoint().expect("checkpointed");
    assert_eq!(fs.read_file("/base/data/one/deep/7/items.json"), None);
}

#[test]
fn a_killed_backup_does_not_keep_the_file_of_a_dropped_collection() {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.fs.stop_at(calls_of_copying(&fs));
    process.back_up("two").expect_err("it was killed");
    let mut other = Process::start(&fs);
    process.fs.kill();
    let nested = spec(COLLECTIONS[1]);
    let database = other.database(0).expect("opens");
    database.write(Durability::Full, move |t| t.drop_collection(&nested)).expect("given up");
    assert_eq!(fs.read_file("/base/data/one/deep/7/items.json"), None);
}

/// The nested collection, declared as one that nobody should edit.
fn index() -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec {
        path: COLLECTIONS[1].into(),
        large_field: None,
        indexes: Vec::new(),
        foreign: Foreign::Refuse,
    })
}

/// Makes a backup while the nested collection is rebuilt as soon as copying begins.
fn back_up_while_rebuilding(process: &Process, other: &mut Process) -> Result<(), &'static str> {
    let database = other.database(0).expect("opens");
    let mut begun = false;
    let mut rebuild = |_, _| {
        if !std::mem::replace(&mut begun, true) {
            let rebuilt = database.write(Durability::Full, |t| {
                t.drop_collection(&index())?;
                t.put(&index(), 7.into(), record(7, "rebuilt").into_bytes())
            });
            rebuilt.expect("rebuilt");
        }
        ControlFlow::Continue(())
    };
    code(back_up(&process.site, Some("one"), &options(), &mut rebuild)).map(drop)
}

fn nested(process: &mut Process) -> Vec<String> {
    let database = process.database(0).expect("opens");
    let texts = database.filter(&index(), Part::Whole, READ, |_| true).expect("readable");
    texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

#[test]
fn the_old_file_of_a_rebuilt_collection_stays_until_the_backup_has_it() {
    let fs = machine();
    let (process, mut other) = (Process::start(&fs), Process::start(&fs));
    assert_eq!(back_up_while_rebuilding(&process, &mut other), Ok(()));
    assert!(plain(&fs, "/base/backups/one/data/one/deep/7/items.json").contains_key("2"));
    assert_eq!(nested(&mut other), [record(7, "rebuilt")]);
    drop((process, other));
    // Whatever the file is when power is lost, its previous content does not come back.
    let fs = fs.kill();
    let mut process = Process::start(&fs);
    assert_eq!(nested(&mut process), [record(7, "rebuilt")]);
    process.checkpoint().expect("checkpointed");
    assert_eq!(plain(&fs, "/base/data/one/deep/7/items.json").keys().collect::<Vec<_>>(), ["7"]);
}

#[test]
fn the_damaged_file_of_a_rebuilt_collection_is_removed_even_during_a_backup() {
    let fs = machine();
    let (process, mut other) = (Process::start(&fs), Process::start(&fs));
    let path = "/base/data/one/deep/7/items.json";
    fs.write_file(path, b"damaged");
    back_up_while_rebuilding(&process, &mut other).expect_err("there is nothing to copy");
    assert_eq!(fs.read_file(path), None);
    assert_eq!(nested(&mut other), [record(7, "rebuilt")]);
    drop((process, other));
    assert_eq!(nested(&mut Process::start(&fs.kill())), [record(7, "rebuilt")]);
}

#[test]
fn a_collection_dropped_before_a_backup_is_not_in_it() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let nested = spec(COLLECTIONS[1]);
    let copy = fs.read_file("/base/data/one/deep/7/items.json").expect("a snapshot");
    process
        .database(0)
        .expect("opens")
        .write(Durability::Full, move |t| t.drop_collection(&nested))
        .expect("dropped");
    // This is what a failed removal leaves.
    fs.write_file("/base/data/one/deep/7/items.json", &copy);
    process.back_up("one").expect("backed up");
    assert_eq!(fs.read_file("/base/backups/one/data/one/deep/7/items.json"), None);
}

#[test]
fn backups_are_listed_oldest_first_including_incomplete_ones() {
    let fs = machine();
    let mut process = Process::start(&fs);
    assert!(list_backups(&process.site).expect("listed").is_empty());
    for name in ["zulu", "alpha", "mike"] {
        process.back_up(name).expect("backed up");
    }
    fs.write_file("/base/backups/alpha/data/notes.txt", b"shorter");
    fs.make_dirs("/base/backups/strange");
    fs.write_file("/base/backups/.partial-x/data/file", b"");
    let listed = list_backups(&process.site).expect("listed");
    let names: Vec<_> = listed.iter().map(|backup| (backup.name.as_str(), backup.is_complete())).collect();
    assert_eq!(names, [("strange", false), ("zulu", true), ("alpha", false), ("mike", true)]);
    assert!(listed[1].files >= 4 && listed[1].size > 100 && listed[1].created.is_some());
}

#[test]
fn pruning_removes_only_the_oldest_complete_backups() {
    let fs = machine();
    let mut process = Process::start(&fs);
    for name in ["1", "2", "3"] {
        process.back_up(name).expect("backed up");
    }
    fs.make_dirs("/base/backups/strange");
    assert_eq!(prune_backups(&process.site, 3, no_wait()).expect("pruned"), Vec::<String>::new());
    assert_eq!(prune_backups(&process.site, 1, no_wait()).expect("pruned"), ["1", "2"]);
    let left: Vec<String> =
        list_backups(&process.site).expect("listed").into_iter().map(|b| b.name).collect();
    assert_eq!(left, ["strange", "3"]);
}

#[test]
fn a_backup_can_be_made_beside_one_with_the_latest_time_that_there_is() {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.back_up("1").expect("backed up");
    let manifest = "/base/backups/1/manifest.json";
    let text = String::from_utf8(fs.read_file(manifest).expect("a manifest")).expect("text");
    let forged = changed_manifest(&text, |content| content["created"] = u64::MAX.into());
    fs.write_file(manifest, forged.as_bytes());
    process.back_up("2").expect("backed up");
    assert_eq!(prune_backups(&process.site, 1, no_wait()).expect("pruned"), ["1"]);
}

#[test]
fn writers_go_on_while_a_backup_copies() {
    let fs = machine();
    let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
    process.database(0).expect("opens");
    // Documents are written at every step of the copying.
    let mut id = 100;
    let mut write = |_, _| {
        id += 1;
        other.put((0, 0, id), "meanwhile").expect("writers go on");
        ControlFlow::Continue(())
    };
    back_up(&process.site, Some("one"), &options(), &mut write).expect("backed up");
    assert!(id > 102);
    let items = plain(&fs, "/base/backups/one/data/one/items.json");
    assert_eq!(items.keys().collect::<Vec<_>>(), ["1", "4"]);
}

/// A backup contains both documents of a batch, one in each collection, or neither, whoever writes them.
#[test]
fn a_backup_has_each_batch_whole_or_not_at_all_while_threads_write() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let site = |registry: Registry| Site {
        base: BasePath::new(Arc::new(OsFs), temporary.path()),
        registry,
        options: DatabaseOptions::default(),
    };
    let own = site(Registry::default());
    let stop = Arc::new(AtomicBool::new(false));
    let write = |registry: Registry, first: u64| {
        let database = site(registry).open_under(&temporary.path().join("data/one")).expect("opens");
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut id = first;
            while !stop.load(Ordering::Relaxed) {
                let text = move || record(id, "both").into_bytes();
                let both = database.write(Durability::Os, move |t| {
                    t.put(&spec(COLLECTIONS[0]), id.into(), text())?;
                    t.put(&spec(COLLECTIONS[1]), id.into(), text())
                });
                both.expect("written");
                id += 10;
            }
        })
    };
    // Two engines on one directory, as two processes have them.
    let writers: Vec<_> = [own.registry.clone(), own.registry.clone(), Registry::default()]
        .into_iter()
        .zip(1..)
        .map(|(r, n)| write(r, n))
        .collect();
    let options = BackupOptions { include: Vec::new(), wait: Wait::at_most(Duration::from_secs(30)) };
    let backups: Vec<PathBuf> =
        (0..10).map(|_| back_up(&own, None, &options, &mut to_the_end()).expect("backed up").path).collect();
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
    let mut seen = 0;
    for backup in &backups {
        let keys = COLLECTIONS.map(|path| {
            let text = std::fs::read(backup.join("data/one").join(path)).unwrap_or_else(|_| b"{}".to_vec());
            let map: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&text).expect("plain JSON");
            map.into_keys().collect::<Vec<_>>()
        });
        assert_eq!(keys[0], keys[1]);
        assert!(keys[0].len() >= seen, "what was in an earlier backup is in a later one");
        seen = keys[0].len();
    }
    restore(&own, &backups[0], Wait::at_most(Duration::from_secs(30)), &mut to_the_end()).expect("restored");
}

#[test]
fn a_restore_brings_back_documents_files_and_modes_on_a_real_disk() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let site = Site {
        base: BasePath::new(Arc::new(OsFs), temporary.path()),
        registry: Registry::default(),
        options: DatabaseOptions { background: false, ..DatabaseOptions::default() },
    };
    let database = site.open_under(&temporary.path().join("data/one")).expect("opens");
    let items = spec("items.json");
    let put = |name: &str| {
        let (items, text) = (Arc::clone(&items), record(1, name).into_bytes());
        database.write(Durability::Full, move |t| t.put(&items, 1.into(), text)).expect("written");
    };
    put("before");
    let notes = temporary.path().join("data/notes.txt");
    std::fs::write(&notes, "before").expect("written");
    #[cfg(unix)]
    std::fs::set_permissions(&notes, std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("changed");
    let wait = wait();
    let options = BackupOptions { include: Vec::new(), wait };
    let backup = back_up(&site, None, &options, &mut to_the_end()).expect("backed up").path;
    put("after");
    std::fs::remove_file(&notes).expect("removed");
    std::fs::write(temporary.path().join("data/new.txt"), "after").expect("written");
    restore(&site, &backup, wait, &mut to_the_end()).expect("restored");
    let texts = database.filter(&items, Part::Whole, READ, |_| true).expect("readable");
    assert_eq!(
        texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>(),
        [record(1, "before")]
    );
    assert_eq!(std::fs::read_to_string(&notes).expect("there"), "before");
    assert!(!temporary.path().join("data/new.txt").exists());
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&notes).expect("there").permissions())
            & 0o777,
        0o640
    );
    put("again");
}
