//! What holds on every system.

use super::*;

#[test]
fn parts_of_all_lengths_are_written_one_after_the_other() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = OsFs.open(&directory.path().join("parts"), OpenMode::CreateNew).expect("created");
    // More parts than are written at once, some longer than one piece, and together a long write.
    let lens = (0..3 * MOST_SLICES).map(|at| if at % 700 == 9 { 2 * PIECE + at } else { at % 7 * 300 });
    let parts: Vec<Vec<u8>> = lens.enumerate().map(|(at, len)| vec![at as u8; len]).collect();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let expected = parts.concat();
    assert!(expected.len() > LONG);
    file.write_parts_at(&parts, 5).expect("written");
    let mut found = vec![0; expected.len() + 5];
    assert_eq!(file.read_at(&mut found, 0).expect("read"), found.len());
    assert!(found[..5] == [0; 5] && found[5..] == expected);
    assert_eq!(file.metadata().expect("metadata").len, found.len() as u64);
}

fn identity(path: &Path) -> Identity {
    OsFs.metadata(path).expect("readable").expect("there").identity
}

#[test]
fn directories_made_at_the_same_time_have_different_identities() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let paths: Vec<PathBuf> = (0..50).map(|number| directory.path().join(number.to_string())).collect();
    paths.iter().for_each(|path| fs::create_dir(path).expect("created"));
    let known: std::collections::BTreeSet<Identity> = paths.iter().map(|path| identity(path)).collect();
    assert_eq!(known.len(), paths.len());
}

#[test]
fn a_replaced_file_and_its_replacement_have_different_identities() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (path, other) = (directory.path().join("file"), directory.path().join("other"));
    fs::write(&path, "old").expect("written");
    fs::write(&other, "new").expect("written");
    let (old, new) = (identity(&path), identity(&other));
    let file = OsFs.open(&path, OpenMode::Read).expect("open");
    OsFs.rename(&other, &path).expect("replaced");
    assert_eq!(file.metadata().expect("open").identity, old);
    assert_eq!(identity(&path), new);
    assert_ne!(old, new);
}

#[test]
fn files_open_for_reading_and_directories_can_be_synced() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("file");
    fs::write(&path, "edited").expect("written");
    OsFs.open(&path, OpenMode::Read).expect("open").sync_data().expect("synced");
    OsFs.sync_dir(directory.path()).expect("synced");
    let error = OsFs.sync_dir(&directory.path().join("none")).expect_err("nothing is there");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn opening_a_directory_as_a_file_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let open = |mode| OsFs.open(directory.path(), mode).map(drop).expect_err("it is not a file");
    for mode in [OpenMode::Read, OpenMode::ReadWrite] {
        let error = open(mode);
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert!(error.to_string().contains("move it elsewhere"), "{error}");
    }
    assert_eq!(open(OpenMode::CreateNew).kind(), io::ErrorKind::AlreadyExists);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_without_waiting_for_a_writer() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("made");
    for mode in [OpenMode::Read, OpenMode::ReadWrite] {
        let error = OsFs.open(&path, mode).map(drop).expect_err("it is no file");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[cfg(unix)]
#[test]
fn symlinks_in_a_reserved_folder_and_to_locks_are_not_followed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let reserved = directory.path().join(RESERVED);
    fs::create_dir(&reserved).expect("created");
    let other = directory.path().join("other");
    let (own, beside) = (reserved.join("link"), directory.path().join("link"));
    for link in [&own, &beside] {
        std::os::unix::fs::symlink(&other, link).expect("linked");
    }
    let locked = |path| OsFs.lock_file(path).map(drop).map_err(|error| error.kind());
    assert_eq!([locked(&own), locked(&beside)], [Err(io::ErrorKind::InvalidInput); 2]);
    assert!(!other.exists(), "nothing was created through a link");
    fs::write(&other, "somebody's").expect("written");
    for mode in [OpenMode::Read, OpenMode::ReadWrite] {
        let error = OsFs.open(&own, mode).map(drop).expect_err("it is a symlink");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        OsFs.open(&beside, mode).expect("a symlink that may be followed");
    }
}

#[cfg(unix)]
#[test]
fn a_page_is_not_mapped_through_a_symlink() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (other, link) = (directory.path().join("other"), directory.path().join("tip"));
    fs::write(&other, "somebody's").expect("written");
    std::os::unix::fs::symlink(&other, &link).expect("linked");
    assert!(OsFs.shared_page(&link, 4096).is_err());
    assert_eq!(fs::read(&other).expect("there"), b"somebody's");
}

#[test]
fn zeros_are_appended_after_bytes_that_others_stored_meanwhile() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("tip");
    let open = |part: &[u8]| {
        fs::write(&path, part).expect("written");
        fs::File::open(&path).expect("there")
    };
    for (part, expected) in [(&[][..], [0, 0, 0, 0]), (&[7, 8], [7, 8, 0, 0]), (&[1, 2, 3, 4], [1, 2, 3, 4])]
    {
        append_zeros(&open(part), &path, 4).expect("room");
        assert_eq!(fs::read(&path).expect("readable"), expected);
    }
    let file = open(&[7]);
    fs::remove_file(&path).expect("removed");
    fs::write(&path, [9]).expect("written");
    assert!(append_zeros(&file, &path, 4).is_err(), "the open file is as short as before");
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_its_file_system_cannot_sync_counts_as_synced() {
    OsFs.sync_dir(Path::new("/proc")).expect("nothing to sync");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_system_that_gives_no_size_counts_as_one_with_room() {
    assert_eq!(OsFs.free_space(Path::new("/proc")).expect("asked"), u64::MAX);
}
