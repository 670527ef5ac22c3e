use std::io::ErrorKind;

use octoprompt_storage::engine::fs::{Extreme, FileKind, Fs, OpenMode, SimFs, create_dirs, remove_tree};

use crate::{always, create, machine, open, outcomes, path};

fn list(fs: &SimFs, at: &str) -> Vec<String> {
    fs.list_dir(path(at)).unwrap()
}

#[test]
fn a_synced_file_in_an_unsynced_directory_may_vanish() {
    let fs = machine();
    let file = create(&fs, "/d/f");
    file.write_at(b"hello", 0).unwrap();
    file.sync_data().unwrap();
    assert!(outcomes(&fs, "/d/f").contains(&None));
    fs.sync_dir(path("/d")).unwrap();
    assert_eq!(outcomes(&fs, "/d/f"), always(b"hello"));
}

#[test]
fn an_unsynced_file_in_a_synced_directory_may_be_empty() {
    let fs = machine();
    create(&fs, "/d/f").write_at(b"hello", 0).unwrap();
    fs.sync_dir(path("/d")).unwrap();
    let found = outcomes(&fs, "/d/f");
    assert!(found.contains(&Some(Vec::new())));
    assert!(!found.contains(&None));
}

#[test]
fn a_directory_that_was_never_synced_takes_its_files_with_it() {
    let fs = machine();
    fs.create_dir(path("/d/sub")).unwrap();
    create(&fs, "/d/sub/f").sync_data().unwrap();
    fs.sync_dir(path("/d/sub")).unwrap();
    assert!(outcomes(&fs, "/d/sub/f").contains(&None));
    fs.sync_dir(path("/d")).unwrap();
    assert_eq!(outcomes(&fs, "/d/sub/f"), always(b""));
}

#[test]
fn create_dirs_makes_the_created_directories_durable() {
    let fs = SimFs::new();
    create_dirs(&fs, path("/a/b/c")).unwrap();
    let after = fs.power_loss(&mut Extreme::Nothing);
    assert_eq!(list(&after, "/a/b"), ["c"]);
}

#[test]
fn a_removed_file_may_come_back() {
    let fs = machine();
    fs.write_file("/d/f", b"old");
    fs.remove_file(path("/d/f")).unwrap();
    assert_eq!(fs.read_file("/d/f"), None);
    assert!(outcomes(&fs, "/d/f").contains(&Some(b"old".to_vec())));
    fs.sync_dir(path("/d")).unwrap();
    assert_eq!(outcomes(&fs, "/d/f"), [None].into());
}

#[test]
fn a_removed_file_that_returns_has_its_durable_content() {
    let fs = machine();
    fs.write_file("/d/f", b"old");
    open(&fs, "/d/f").write_at(b"new", 0).unwrap();
    fs.remove_file(path("/d/f")).unwrap();
    let after = fs.power_loss(&mut Extreme::Nothing);
    assert_eq!(after.read_file("/d/f").unwrap(), b"old");
}

#[test]
fn a_rename_is_atomic() {
    let fs = machine();
    fs.write_file("/d/new", b"new");
    fs.write_file("/d/f", b"old");
    fs.rename(path("/d/new"), path("/d/f")).unwrap();
    for after in fs.crash_states(100, 1) {
        let found = (after.read_file("/d/f").unwrap(), after.read_file("/d/new"));
        let old = (b"old".to_vec(), Some(b"new".to_vec()));
        assert!(found == old || found == (b"new".to_vec(), None), "{}", after.origin().unwrap());
    }
    assert_eq!(outcomes(&fs, "/d/f").len(), 2);
}

#[test]
fn syncing_either_directory_makes_a_rename_between_them_durable() {
    let fs = machine();
    fs.make_dirs("/e");
    fs.write_file("/d/f", b"x");
    fs.rename(path("/d/f"), path("/e/f")).unwrap();
    for after in fs.crash_states(100, 1) {
        assert_ne!(after.read_file("/d/f").is_some(), after.read_file("/e/f").is_some());
    }
    fs.sync_dir(path("/d")).unwrap();
    assert_eq!(outcomes(&fs, "/e/f"), always(b"x"));
    assert_eq!(outcomes(&fs, "/d/f"), [None].into());
}

#[test]
fn a_renamed_file_that_was_not_synced_may_be_zeros() {
    let fs = machine();
    fs.write_file("/d/f", b"old");
    create(&fs, "/d/new").write_at(b"new", 0).unwrap();
    fs.rename(path("/d/new"), path("/d/f")).unwrap();
    fs.sync_dir(path("/d")).unwrap();
    let found = outcomes(&fs, "/d/f");
    assert!(found.contains(&Some(Vec::new())));
    assert!(found.contains(&Some(vec![0; 3])));
    assert!(!found.contains(&Some(b"old".to_vec())));
}

#[test]
fn changes_of_different_names_survive_out_of_order() {
    let fs = machine();
    create(&fs, "/d/first").sync_data().unwrap();
    create(&fs, "/d/second").sync_data().unwrap();
    let mut found: Vec<Vec<String>> = fs.crash_states(100, 1).map(|after| list(&after, "/d")).collect();
    found.sort();
    assert_eq!(found, [vec![], vec!["first"], vec!["first", "second"], vec!["second"]]);
}

#[test]
fn changes_of_one_name_survive_in_order() {
    let fs = machine();
    fs.write_file("/d/f", b"0");
    fs.write_file("/d/1", b"1");
    fs.write_file("/d/2", b"2");
    fs.rename(path("/d/1"), path("/d/f")).unwrap();
    fs.rename(path("/d/2"), path("/d/f")).unwrap();
    for after in fs.crash_states(100, 1) {
        let found = after.read_file("/d/f").unwrap();
        let renamed = 3 - list(&after, "/d").len();
        assert_eq!(found, renamed.to_string().as_bytes(), "{}", after.origin().unwrap());
    }
    assert_eq!(outcomes(&fs, "/d/f").len(), 3);
}

#[test]
fn an_edit_by_hand_is_durable_and_makes_nothing_else_durable() {
    let fs = machine();
    create(&fs, "/d/unsynced").sync_data().unwrap();
    fs.write_file("/d/edited", b"x");
    assert_eq!(outcomes(&fs, "/d/edited"), always(b"x"));
    assert!(outcomes(&fs, "/d/unsynced").contains(&None));
    fs.remove("/d/edited");
    assert_eq!(outcomes(&fs, "/d/edited"), [None].into());
}

#[test]
fn path_calls_fail_with_the_same_errors_as_the_real_system() {
    let fs = machine();
    create(&fs, "/d/f");
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    let reopen = |at, mode| kind(fs.open(path(at), mode).map(drop));
    assert_eq!(reopen("/d/f", OpenMode::CreateNew), ErrorKind::AlreadyExists);
    assert_eq!(reopen("/d/none", OpenMode::ReadWrite), ErrorKind::NotFound);
    assert_eq!(reopen("/none/f", OpenMode::CreateNew), ErrorKind::NotFound);
    assert_eq!(reopen("/d/f/g", OpenMode::Read), ErrorKind::NotADirectory);
    assert_eq!(reopen("/d", OpenMode::Read), ErrorKind::IsADirectory);
    assert_eq!(kind(fs.create_dir(path("/d"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(fs.remove_dir(path("/d"))), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind(fs.remove_dir(path("/d/f"))), ErrorKind::NotADirectory);
    assert_eq!(kind(fs.remove_file(path("/d"))), ErrorKind::IsADirectory);
    assert_eq!(kind(fs.remove_file(path("/d/none"))), ErrorKind::NotFound);
    assert_eq!(kind(fs.rename(path("/d/none"), path("/d/f"))), ErrorKind::NotFound);
    assert_eq!(kind(fs.rename(path("/d"), path("/d/sub"))), ErrorKind::InvalidInput);
    assert_eq!(kind(fs.sync_dir(path("/d/f"))), ErrorKind::NotADirectory);
    assert_eq!(fs.metadata(path("/d/f/g")).unwrap(), None);
    assert_eq!(fs.metadata(path("/d")).unwrap().unwrap().kind, FileKind::Directory);
    assert_eq!(fs.canonical(path("/d/./f")).unwrap(), path("/d/f"));
    remove_tree(&fs, path("/d")).unwrap();
    assert_eq!(list(&fs, "/"), [""; 0]);
}

#[test]
fn a_removed_file_stays_readable_through_an_open_handle() {
    let fs = machine();
    fs.write_file("/d/f", b"old");
    let file = open(&fs, "/d/f");
    fs.remove_file(path("/d/f")).unwrap();
    fs.sync_dir(path("/d")).unwrap();
    fs.write_file("/d/f", b"another");
    let mut buffer = [0; 3];
    file.read_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"old");
    assert_ne!(fs.metadata(path("/d/f")).unwrap(), Some(file.metadata().unwrap()));
}

#[test]
fn copy_permissions_copies_the_mode() {
    let fs = machine();
    fs.write_file("/d/a", b"");
    fs.write_file("/d/b", b"");
    fs.set_mode("/d/a", 0o600);
    fs.copy_permissions(path("/d/a"), path("/d/b")).unwrap();
    assert_eq!(fs.mode("/d/b"), Some(0o600));
}

#[test]
fn free_space_is_what_the_test_sets() {
    let fs = machine();
    fs.set_free_space(12);
    assert_eq!(fs.free_space(path("/d")).unwrap(), 12);
}

#[test]
fn a_disk_on_a_network_file_system_stays_on_it_after_a_power_loss() {
    let fs = machine();
    fs.set_network("NFS", "one");
    let after = fs.power_loss(&mut Extreme::Everything);
    assert_eq!(after.network(path("/d")).unwrap().map(|network| network.file_system), Some("NFS"));
}
