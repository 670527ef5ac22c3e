//! What this process may not read: directories of the system, and backups of others.

use std::io::ErrorKind;
use std::path::Path;

use octoprompt_storage::engine::backup::{list_backups, prune_backups};
use octoprompt_storage::engine::fs::{Call, Fault, Repeat};
use octoprompt_storage::engine::verify;

use crate::holding::hold;
use crate::support::no_wait;
use crate::world::{DATABASES, Process, machine};

#[test]
fn the_directories_in_which_file_systems_keep_what_they_saved_are_passed_over() {
    let fs = machine();
    for root in ["/base/data", "/base/data/one", "/base/backups"] {
        fs.make_dirs(Path::new(root).join("lost+found"));
    }
    let mut process = Process::start(&fs);
    let enters = |call: &Call| match call {
        Call::ListDir { path } | Call::SyncDir { path } => path.ends_with("lost+found"),
        _ => call.path().ancestors().skip(1).any(|above| above.ends_with("lost+found")),
    };
    process.fs.fail_when(enters, Fault::Kind(ErrorKind::PermissionDenied), Repeat::Forever);
    process.back_up("one").expect("backed up");
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    let _ = held.discard(&copy).expect("discarded");
    drop(held);
    for database in DATABASES {
        let report = verify(&process.fs.handle(), &Path::new("/base").join(database), no_wait());
        assert!(report.expect("verified").is_ok());
    }
    process.restore("one").expect("restored");
    let names: Vec<_> =
        list_backups(&process.site).expect("listed").into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["one"]);
}

#[test]
fn a_backup_that_may_not_be_read_does_not_hide_the_others() {
    let mut process = Process::start(&machine());
    for name in ["1", "2", "3"] {
        process.back_up(name).expect("backed up");
    }
    let reads = |call: &Call| matches!(call, Call::Open { path, .. } if path.ends_with("1/manifest.json"));
    process.fs.fail_when(reads, Fault::Kind(ErrorKind::PermissionDenied), Repeat::Forever);
    let listed = list_backups(&process.site).expect("listed");
    let complete = listed.iter().map(|backup| (backup.name.as_str(), backup.is_complete()));
    assert_eq!(complete.collect::<Vec<_>>(), [("1", false), ("2", true), ("3", true)]);
    assert_eq!(prune_backups(&process.site, 1, no_wait()).expect("pruned"), ["2"]);
}
