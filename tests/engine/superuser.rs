//! The owner of the files that the superuser creates in another user's directory. Only the superuser can give files away, so
//! that for other users there is nothing to test here.
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use crate::support::{Fixture, record};
use octoprompt_storage::engine::fs::{Fs, OpenMode, OsFs};

const OWNER: (u32, u32) = (12_345, 23_456);

fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).expect("a file");
    (metadata.uid(), metadata.gid())
}

/// A directory of another user; `None` unless this process may give it away.
fn foreign() -> Option<Fixture> {
    let fixture = Fixture::new();
    let directory = fixture.path("");
    let is_superuser = owner(&directory).0 == 0 && chown(&directory, Some(OWNER.0), Some(OWNER.1)).is_ok();
    is_superuser.then_some(fixture)
}

fn check(directory: &Path) -> usize {
    let mut seen = 0;
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        assert_eq!(owner(&path), OWNER, "{}", path.display());
        seen += 1 + if path.is_dir() { check(&path) } else { 0 };
    }
    seen
}

#[test]
fn files_created_by_the_superuser_belong_to_the_owner_of_the_directory() {
    let Some(fixture) = foreign() else { return };
    let database = fixture.open();
    fixture.put(&database, 1, "x");
    let (nested, text) = (fixture.nested(), record(1, "x").into_bytes());
    database
        .write(octoprompt_storage::engine::Durability::Full, move |tx| tx.put(&nested, 1.into(), text))
        .expect("written");
    fixture.checkpoint(&database);
    fixture.put(&database, 1, "y");
    // Journals, tip, locks and snapshots, with their directories.
    assert!(check(&fixture.path("")) > 8);
}

#[test]
fn existing_files_keep_their_owner() {
    let Some(fixture) = foreign() else { return };
    let (own, shared) = (fixture.path("own.lock"), fixture.path("shared"));
    fs::write(&own, b"").expect("written");
    fs::write(&shared, b"").expect("written");
    OsFs.lock_file(&own).expect("opened");
    OsFs.shared_page(&shared, 4096).expect("opened");
    OsFs.open(&shared, OpenMode::ReadWrite).expect("opened");
    for path in [&own, &shared] {
        assert_eq!(owner(path).0, 0, "{}", path.display());
    }
}
