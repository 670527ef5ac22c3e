//! What a replacement removes, what it leaves alone, and how it moves files into place.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use octoprompt_storage::engine::backup::Site;
use octoprompt_storage::engine::cancel::Cancel;
use octoprompt_storage::engine::fs::{self, Call, Fault, Fs, Repeat, SimFs};
use octoprompt_storage::engine::{Database, Durability, Outcome, Result};

use crate::everywhere::list;
use crate::forged::changed_manifest;
use crate::support::{no_wait, record, spec};
use crate::world::{Process, Seen, change, code, image, machine, slashed};

/// Returns a process with a backup and with data changed since, and what was backed up.
fn changed(fs: &SimFs) -> (Process, Seen) {
    let mut process = Process::start(fs);
    process.back_up("one").expect("backed up");
    let before = process.see().expect("readable");
    change(&mut process).expect("changed");
    (process, before)
}

#[test]
fn a_restore_removes_files_the_backup_lacks_and_their_directories() {
    let fs = machine();
    let (mut process, before) = changed(&fs);
    process.checkpoint().expect("checkpointed");
    assert!(fs.read_file("/base/other/deep/7/items.json").is_some());
    fs.write_file("/base/data/added/further/down/file", b"added");
    process.restore("one").expect("restored");
    assert_eq!(fs.read_file("/base/other/deep/7/items.json"), None);
    assert!(fs.metadata(Path::new("/base/data/.restore")).expect("looked up").is_none());
    process.close();
    assert_eq!(Process::start(&fs).see().expect("readable"), before);
}

#[test]
fn a_file_that_cannot_be_moved_to_another_device_is_copied_there() {
    let fs = machine();
    let (mut process, before) = changed(&fs);
    process.checkpoint().expect("checkpointed");
    let beside = "/base/other/items.json.restored";
    fs.write_file(beside, b"an earlier attempt");
    let crosses = |call: &Call| matches!(call, Call::Rename { from, to } if to.starts_with("/base/other") && from.starts_with("/base/data"));
    process.fs.fail_when(crosses, Fault::Kind(ErrorKind::CrossesDevices), Repeat::Forever);
    process.restore("one").expect("restored");
    assert!(process.fs.faults() > 0);
    assert_eq!(fs.read_file(beside), None);
    assert_eq!(process.see().expect("readable"), before);
}

#[test]
fn a_file_that_vanishes_before_its_removal_is_no_error() {
    let fs = machine();
    let (mut process, before) = changed(&fs);
    let (file, outside) = ("/base/data/added/file", fs.clone());
    let removes = move |call: &Call| matches!(call, Call::RemoveFile { path } if **path == *Path::new(file));
    process.fs.before(removes, move || outside.remove(file));
    process.restore("one").expect("restored");
    assert_eq!(process.see().expect("readable"), before);
}

#[test]
fn a_backup_in_the_data_that_it_would_replace_is_refused() {
    let fs = machine();
    let (mut process, _) = changed(&fs);
    for (path, bytes) in image(&fs, "/base/backups/one") {
        let below = path.strip_prefix("/base/backups").expect("a backup");
        fs.write_file(Path::new("/base/data/saved").join(below), &bytes);
    }
    let before = process.see().expect("readable");
    let saved = std::path::absolute("/base/data/saved/one").expect("a path");
    assert_eq!(code(process.restore(&saved.to_string_lossy())), Err("INVALID_ARGUMENT"));
    assert_eq!(process.see().expect("readable"), before);
}

#[test]
fn a_directory_where_a_file_system_is_mounted_is_emptied_and_stays() {
    let fs = machine();
    let (mut process, before) = changed(&fs);
    let removes = |call: &Call| matches!(call, Call::RemoveDir { path } if path.ends_with("data/added"));
    process.fs.fail_when(removes, Fault::Kind(ErrorKind::ResourceBusy), Repeat::Forever);
    process.restore("one").expect("restored");
    let mut restored = process.see().expect("readable");
    assert!(restored.directories.remove("data/added"));
    assert_eq!(restored, before);
}

/// Whether the call syncs a directory after the intent was renamed into place or, with `removals`, removes the intent.
fn follows_the_intent(removals: bool) -> impl Fn(&Call) -> bool {
    let named = AtomicBool::new(false);
    let is_intent = |path: &Path| path.ends_with(".restore/intent.json");
    move |call| match call {
        Call::Rename { to, .. } if is_intent(to) => {
            named.store(true, Ordering::Relaxed);
            false
        }
        Call::SyncDir { .. } => named.load(Ordering::Relaxed),
        Call::RemoveFile { path } => removals && is_intent(path),
        _ => false,
    }
}

#[test]
fn a_restore_that_failed_to_record_its_intent_replaces_nothing_later() {
    let fs = machine();
    let (mut process, _) = changed(&fs);
    process.fs.fail_when(follows_the_intent(false), Fault::Io, Repeat::Once);
    let error = process.restore("one").expect_err("the intent is not durable");
    assert_eq!((error.code(), error.outcome()), ("IO_ERROR", Outcome::None), "{error}");
    process.put((0, 0, 70), "written on").expect("writes go on");
    let after = process.see().expect("readable");
    process.close();
    assert_eq!(Process::start(&fs.kill()).see().expect("readable"), after);
}

#[test]
fn writes_are_refused_while_an_intent_that_could_not_be_withdrawn_remains() {
    let fs = machine();
    let (mut process, before) = changed(&fs);
    process.fs.fail_when(follows_the_intent(true), Fault::Io, Repeat::Forever);
    let error = process.restore("one").expect_err("the intent is not durable, and stays");
    assert_eq!((error.code(), error.outcome()), ("IO_ERROR", Outcome::Unknown), "{error}");
    assert_eq!(code(process.put((0, 0, 70), "to be replaced")), Err("MIGRATION_FAILED"));
    process.fs.heal();
    assert_eq!(process.see().expect("readable"), before);
    process.put((0, 0, 70), "written on").expect("writes go on");
}

#[test]
fn what_a_restore_staged_in_vain_is_removed_by_the_next_backup() {
    let fs = machine();
    let (mut process, before) = changed(&fs);
    let ends = |call: &Call| {
        matches!(call, Call::SyncDir { .. } | Call::RemoveFile { .. })
            && call.path().starts_with("/base/data/.restore/files")
    };
    process.fs.fail_when(ends, Fault::Io, Repeat::Forever);
    process.restore("one").expect_err("the staged files cannot be made durable");
    let left = Path::new("/base/data/.restore");
    assert!(fs.metadata(left).expect("looked up").is_some());
    process.fs.heal();
    process.back_up("two").expect("made");
    assert!(fs.metadata(left).expect("looked up").is_none());
    process.restore("one").expect("restored");
    assert_eq!(process.see().expect("readable"), before);
}

/// A machine on which a restore died before it put a file into place.
fn interrupted() -> SimFs {
    let fs = machine();
    let (mut process, _) = changed(&fs);
    let places = |call: &Call| matches!(call, Call::Rename { to, .. } if to.ends_with("notes.txt"));
    process.fs.fail_when(places, Fault::Io, Repeat::Once);
    assert_eq!(process.restore("one").map_err(|error| error.outcome()), Err(Outcome::Unknown));
    process.close();
    fs
}

#[test]
fn a_forged_intent_that_names_a_forbidden_path_is_refused_and_moves_nothing() {
    type Lie = fn(&mut serde_json::Value);
    let lies: [Lie; 6] = [
        |content| content["files"][0]["from"] = "data/.databases.json".into(),
        |content| content["files"][0]["from"] = "data/.restore/intent.json".into(),
        |content| content["files"][0]["to"] = "data/.migration/state.json".into(),
        |content| content["remove"] = serde_json::json!(["data/.migration/before/1"]),
        |content| content["give_way"] = serde_json::json!(["other"]),
        |content| content["unchanged"] = serde_json::json!(["../outside"]),
    ];
    for lie in lies {
        let fs = interrupted();
        let intent = "/base/data/.restore/intent.json";
        let text = String::from_utf8(fs.read_file(intent).expect("an intent")).expect("text");
        fs.write_file(intent, changed_manifest(&text, lie).as_bytes());
        let images = (image(&fs, "/base/data"), image(&fs, "/base/other"));
        assert_eq!(code(Process::start(&fs).settle()), Err("CORRUPT_DATA"));
        assert!((image(&fs, "/base/data"), image(&fs, "/base/other")) == images);
    }
}

#[test]
fn an_interrupted_restore_whose_staged_files_are_gone_is_damage() {
    let fs = interrupted();
    let staged = Path::new("/base/data/.restore/files");
    for name in fs.list_dir(staged).expect("a folder") {
        fs.remove(staged.join(name));
    }
    assert_eq!(code(Process::start(&fs).settle()), Err("CORRUPT_DATA"));
    assert_eq!(fs.read_file("/base/data/notes.txt").as_deref(), Some(&b"changed"[..]));
}

/// Creates a database as another process would.
pub fn begin(site: &Site, directory: &str) -> Result<Arc<Database>> {
    let database = site.open_under(Path::new(directory))?;
    let items = spec("items.json");
    database.write(Durability::Full, move |t| t.put(&items, 1.into(), record(1, "begun").into_bytes()))?;
    database.checkpoint(no_wait()).map(|()| database)
}

/// Makes another process create a database as soon as files are staged.
fn begins_meanwhile(process: &Process, other: &Process, directory: &'static str) {
    let stages =
        |call: &Call| matches!(call, Call::CloneFile { to, .. } if to.starts_with("/base/data/.restore"));
    let site = other.site.clone();
    process.fs.before(stages, move || drop(begin(&site, directory).expect("begun")));
}

#[test]
fn a_database_created_by_another_process_during_a_restore_is_left_alone() {
    let fs = machine();
    let (mut process, before) = changed(&fs);
    let other = Process::start(&fs);
    begins_meanwhile(&process, &other, "/base/data/begun");
    process.restore("one").expect("restored");
    let begun = other.site.open_under(Path::new("/base/data/begun")).expect("opens");
    assert_eq!(list(&begun, "items.json"), [record(1, "begun")]);
    assert_eq!(process.see().expect("readable").documents, before.documents);
}

#[test]
fn a_new_database_in_the_way_of_a_restore_is_named_and_nothing_is_changed() {
    let fs = machine();
    fs.write_file("/base/data/plain", b"a file");
    let (mut process, _) = changed(&fs);
    fs.remove("/base/data/plain");
    fs.make_dirs("/base/data/plain/directory");
    let other = Process::start(&fs);
    begins_meanwhile(&process, &other, "/base/data/plain/begun");
    let error = process.restore("one").expect_err("a database is in the way");
    assert_eq!((error.code(), error.outcome()), ("INVALID_ARGUMENT", Outcome::None), "{error}");
    assert!(error.to_string().contains("begun"), "{error}");
    let begun = other.site.open_under(Path::new("/base/data/plain/begun")).expect("opens");
    assert_eq!(list(&begun, "items.json"), [record(1, "begun")]);
    assert_eq!(fs.read_file("/base/data/notes.txt").as_deref(), Some(&b"changed"[..]));
}

#[test]
fn a_file_in_place_of_a_database_directory_is_named_and_nothing_is_changed() {
    let fs = machine();
    let (mut process, _) = changed(&fs);
    process.close();
    fs::remove_tree(&fs, Path::new("/base/data/one")).expect("removed");
    fs.write_file("/base/data/one", b"a file");
    let mut process = Process::start(&fs);
    let error = process.restore("one").expect_err("a file is in the way");
    assert_eq!((error.code(), error.outcome()), ("INVALID_ARGUMENT", Outcome::None), "{error}");
    assert!(slashed(&error).contains("/base/data/one"), "{error}");
    assert_eq!(fs.read_file("/base/data/one").as_deref(), Some(&b"a file"[..]));
}

#[test]
fn a_restore_that_has_begun_to_replace_files_can_no_longer_be_cancelled() {
    let fs = machine();
    let (mut process, before) = changed(&fs);
    let places = |call: &Call| matches!(call, Call::Rename { to, .. } if to.ends_with("notes.txt"));
    let cancel = Cancel::default();
    let (late, in_time) = (cancel.clone(), Arc::new(AtomicBool::new(true)));
    let told = Arc::clone(&in_time);
    process.fs.before(places, move || told.store(late.cancel(), Ordering::Relaxed));
    cancel.scope(|| process.restore("one")).expect("restored");
    assert!(!in_time.load(Ordering::Relaxed));
    assert_eq!(process.see().expect("readable"), before);
}
