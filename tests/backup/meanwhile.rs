//! What others begin while a restore or a migration is under way.

use std::path::Path;
use std::sync::mpsc;

use octoprompt_storage::engine::fs::{Call, Fault, Repeat, remove_tree};

use crate::everywhere::list;
use crate::holding::hold;
use crate::replacing::begin;
use crate::support::{no_wait, record};
use crate::world::{Process, code, directory, image, machine};

#[test]
fn a_restore_that_fails_leaves_a_database_that_another_process_began_meanwhile() {
    for stays_open in [true, false] {
        let fs = machine();
        let mut process = Process::start(&fs);
        process.back_up("one").expect("backed up");
        process.close();
        remove_tree(&fs, &directory(0)).expect("removed");
        let mut other = Process::start(&fs);
        let mut restoring = Process::start(&fs);
        let begins = |call: &Call| matches!(call, Call::OpenLock { path } if path.ends_with("one/.storage/checkpoint.lock"));
        let (kept, keeps) = mpsc::channel();
        restoring.fs.before(begins, move || {
            other.put((0, 0, 9), "acknowledged").expect("written");
            if !stays_open {
                other.close();
            }
            kept.send(other).expect("somebody waits");
        });
        if !stays_open {
            let stages = |call: &Call| matches!(call, Call::CloneFile { .. });
            restoring.fs.fail_when(stages, Fault::Io, Repeat::Once);
        }
        let expected = if stays_open { "LOCK_TIMEOUT" } else { "IO_ERROR" };
        assert_eq!(code(restoring.restore("one")), Err(expected));
        let mut other = keeps.recv().expect("it began");
        assert!(other.see().expect("readable").documents.contains_key(&(0, 0, 9)));
        other.put((0, 0, 8), "afterwards").expect("writes go on");
        other.close();
        assert!(Process::start(&fs).see().expect("readable").documents.contains_key(&(0, 0, 9)));
    }
}

#[test]
fn a_migration_may_not_use_a_database_that_another_process_began_after_the_copy() {
    let fs = machine();
    let (process, other) = (Process::start(&fs), Process::start(&fs));
    let hold = hold(&process).expect("held");
    let copy = hold.copy(None).expect("copied");
    drop(begin(&other.site, "/base/data/begun").expect("begun"));
    let open = || process.site.open_under(Path::new("/base/data/begun"));
    assert_eq!(code(open().map(drop)), Err("INVALID_ARGUMENT"));
    let (registry, options) = (&process.site.registry, process.site.options);
    let directly = registry.open(&fs.handle(), Path::new("/base/data/begun"), options, no_wait());
    let _open = directly.expect("opens");
    assert_eq!(code(open().map(drop)), Err("INVALID_ARGUMENT"));
    let theirs = begin(&other.site, "/base/data/begun").expect("it is not held");
    hold.put_back(copy).expect("put back");
    drop(hold);
    assert_eq!(list(&theirs, "items.json"), [record(1, "begun")]);
    open().expect("opens");
}

#[test]
fn a_migration_may_not_use_files_that_another_process_began_to_use_before_the_copy() {
    let fs = machine();
    fs.make_dirs("/base/data/begun");
    fs.write_file("/base/data/begun/items.json", record(1, "old").as_bytes());
    let (process, other) = (Process::start(&fs), Process::start(&fs));
    let hold = hold(&process).expect("held");
    let _theirs = other.site.open_under(Path::new("/base/data/begun")).expect("opens");
    let _copy = hold.copy(None).expect("copied");
    assert_eq!(
        code(process.site.open_under(Path::new("/base/data/begun")).map(drop)),
        Err("INVALID_ARGUMENT")
    );
}

#[test]
fn a_migration_may_use_a_copy_that_it_made_of_a_database() {
    let fs = machine();
    let mut process = Process::start(&fs);
    let before = process.see().expect("readable");
    let hold = hold(&process).expect("held");
    let copy = hold.copy(None).expect("copied");
    let copied = Path::new("/base/data/copied");
    let reserved = directory(0).join(".storage");
    let own = image(&fs, &reserved.display().to_string());
    for (path, bytes) in own.into_iter().chain(image(&fs, &directory(0).display().to_string())) {
        let to = copied.join(path.strip_prefix(directory(0)).expect("below it"));
        fs.make_dirs(to.parent().expect("a directory"));
        fs.write_file(to, &bytes);
    }
    begin(&process.site, "/base/data/copied").expect("writable");
    hold.put_back(copy).expect("put back");
    drop(hold);
    assert_eq!(fs.read_file("/base/data/copied/items.json"), None);
    assert_eq!(process.see().expect("readable").documents, before.documents);
}
