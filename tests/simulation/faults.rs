use std::io::ErrorKind;

use octoprompt_storage::engine::fs::{Call, Extreme, Fault, Fs, OpenMode, Repeat, SimFs};

use crate::{always, create, machine, open, outcomes, path};

fn is_sync(call: &Call) -> bool {
    matches!(call, Call::SyncData { .. })
}

fn is_write(call: &Call) -> bool {
    matches!(call, Call::Write { .. })
}

#[test]
fn a_one_time_fault_hits_only_its_call() {
    let fs = machine();
    fs.write_file("/d/f", b"");
    fs.fail_from(2, Fault::Io, Repeat::Once);
    let file = open(&fs, "/d/f");
    assert_eq!(file.write_at(b"lost", 0).unwrap_err().raw_os_error(), cfg!(unix).then_some(5));
    assert_eq!(fs.read_file("/d/f").unwrap(), b"");
    file.write_at(b"kept", 0).unwrap();
    assert_eq!((fs.faults(), fs.calls()), (1, 3));
}

#[test]
fn a_permanent_fault_ends_when_it_is_healed() {
    let fs = machine();
    fs.fail_from(1, Fault::Io, Repeat::Forever);
    for _ in 0..3 {
        assert!(fs.list_dir(path("/d")).is_err());
    }
    fs.heal();
    fs.list_dir(path("/d")).unwrap();
}

#[test]
fn a_full_disk_takes_part_of_a_write_and_still_allows_reads() {
    let fs = machine();
    let file = create(&fs, "/d/f");
    fs.fail_when(|_| true, Fault::NoSpace { written: 3 }, Repeat::Forever);
    assert_eq!(file.write_at(b"hello", 0).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(fs.read_file("/d/f").unwrap(), b"hel");
    assert!(file.write_at(b"hello", 0).is_err());
    assert_eq!(fs.read_file("/d/f").unwrap(), b"hel");
    assert_eq!(file.read_at(&mut [0; 3], 0).unwrap(), 3);
    fs.remove_file(path("/d/f")).unwrap();
}

#[test]
fn a_read_only_disk_allows_only_reads_and_locks() {
    let fs = machine();
    fs.write_file("/d/f", b"x");
    fs.write_file("/d/lock", b"");
    fs.fail_from(1, Fault::ReadOnly, Repeat::Forever);
    let open = |mode| fs.open(path("/d/f"), mode).map(drop).map_err(|error| error.kind());
    assert_eq!(open(OpenMode::Read), Ok(()));
    assert_eq!(open(OpenMode::ReadWrite), Err(ErrorKind::ReadOnlyFilesystem));
    assert!(fs.lock_file(path("/d/lock")).unwrap().try_shared().unwrap());
    assert!(fs.lock_file(path("/d/new")).is_err());
    assert!(fs.shared_page(path("/d/tip"), 16).is_err());
    assert!(fs.remove_file(path("/d/f")).is_err());
}

#[test]
fn an_interrupted_call_has_no_effect() {
    let fs = machine();
    fs.write_file("/d/f", b"old");
    let file = open(&fs, "/d/f");
    file.write_at(b"new", 0).unwrap();
    fs.fail_when(is_sync, Fault::Interrupted, Repeat::Once);
    assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::Interrupted);
    file.sync_data().unwrap();
    assert_eq!(outcomes(&fs, "/d/f"), always(b"new"));
}

#[test]
fn a_sync_after_a_failed_one_does_not_make_its_data_durable() {
    let fs = machine();
    fs.write_file("/d/f", b"old");
    let file = open(&fs, "/d/f");
    file.write_at(b"new", 0).unwrap();
    fs.fail_when(is_sync, Fault::Io, Repeat::Once);
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(fs.read_file("/d/f").unwrap(), b"new", "processes go on seeing it");
    assert_eq!(fs.power_loss(&mut Extreme::Nothing).read_file("/d/f").unwrap(), b"old");
    assert!(outcomes(&fs, "/d/f").contains(&Some(b"new".to_vec())), "it may have reached the disk");
}

#[test]
fn a_failed_sync_leaves_the_file_length_unknown() {
    let fs = machine();
    fs.write_file("/d/f", b"old");
    let file = open(&fs, "/d/f");
    file.write_at(b"new", 3).unwrap();
    fs.fail_when(is_sync, Fault::Io, Repeat::Once);
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    let found = outcomes(&fs, "/d/f");
    for content in [&b"old"[..], b"old\0\0\0", b"oldnew"] {
        assert!(found.contains(&Some(content.to_vec())));
    }
}

#[test]
fn bytes_rewritten_after_a_failed_sync_become_durable_once_the_system_forgot_the_lost_ones() {
    let fs = machine();
    fs.write_file("/d/f", &[b'a'; 1024]);
    let file = open(&fs, "/d/f");
    file.write_at(&[b'b'; 1024], 0).unwrap();
    fs.fail_when(is_sync, Fault::Io, Repeat::Once);
    file.sync_data().unwrap_err();
    let nothing = |fs: &SimFs| fs.power_loss(&mut Extreme::Nothing).read_file("/d/f").unwrap();
    file.write_at(b"b", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(nothing(&fs), [b'a'; 1024]);
    file.forget_cached();
    assert_eq!(fs.read_file("/d/f").unwrap(), [b'a'; 1024], "the disk never got anything else");
    file.write_at(b"b", 0).unwrap();
    file.sync_data().unwrap();
    let written = [&b"b"[..], &[b'a'; 1023]].concat();
    assert_eq!(outcomes(&fs, "/d/f"), always(&written));
}

#[test]
fn bytes_that_are_still_to_be_written_are_not_forgotten() {
    let fs = machine();
    fs.write_file("/d/f", b"old");
    let file = open(&fs, "/d/f");
    file.write_at(b"new", 0).unwrap();
    file.forget_cached();
    file.sync_data().unwrap();
    assert_eq!(outcomes(&fs, "/d/f"), always(b"new"));
}

#[test]
fn a_second_directory_sync_does_not_make_up_for_a_failed_one() {
    let fs = machine();
    create(&fs, "/d/f").sync_data().unwrap();
    fs.fail_when(|call| matches!(call, Call::SyncDir { .. }), Fault::Io, Repeat::Once);
    fs.sync_dir(path("/d")).unwrap_err();
    fs.sync_dir(path("/d")).unwrap();
    assert!(outcomes(&fs, "/d/f").contains(&None));
}

#[test]
fn a_later_change_of_a_name_becomes_durable_after_a_failed_directory_sync() {
    let fs = machine();
    create(&fs, "/d/f").sync_data().unwrap();
    fs.fail_when(|call| matches!(call, Call::SyncDir { .. }), Fault::Io, Repeat::Once);
    fs.sync_dir(path("/d")).unwrap_err();
    fs.rename(path("/d/f"), path("/d/g")).unwrap();
    fs.sync_dir(path("/d")).unwrap();
    assert_eq!(outcomes(&fs, "/d/g"), always(b""));
}

#[test]
fn an_ignored_sync_succeeds_and_does_nothing() {
    let fs = machine();
    fs.write_file("/d/f", b"old");
    fs.ignore(|call| is_sync(call) && call.path().ends_with("f"));
    let file = open(&fs, "/d/f");
    file.write_at(b"new", 0).unwrap();
    file.sync_data().unwrap();
    assert!(outcomes(&fs, "/d/f").contains(&Some(b"old".to_vec())));
}

#[test]
fn ignored_calls_stay_ignored_after_a_power_loss() {
    let fs = machine();
    fs.ignore(|call| matches!(call, Call::SyncDir { .. }));
    let fs = fs.power_loss(&mut Extreme::Nothing);
    create(&fs, "/d/f");
    fs.sync_dir(path("/d")).unwrap();
    assert!(outcomes(&fs, "/d/f").contains(&None));
}

#[test]
fn every_call_from_the_stop_on_fails_and_does_nothing() {
    let fs = machine();
    fs.stop_at(2);
    let file = create(&fs, "/d/f");
    for _ in 0..2 {
        let error = file.write_at(b"x", 0).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Other, "power lost".into()));
    }
    assert!(fs.metadata(path("/d")).is_err());
    assert!(fs.is_stopped());
    assert_eq!(fs.calls(), 2);
    assert_eq!(fs.read_file("/d/f").unwrap(), b"");
}

#[test]
fn the_write_at_the_stop_may_be_applied_partly() {
    let fs = machine();
    fs.stop_at_after(2, 2);
    let file = create(&fs, "/d/f");
    file.write_at(b"hello", 0).unwrap_err();
    assert_eq!(fs.read_file("/d/f").unwrap(), b"he");
}

#[test]
fn the_log_names_every_call() {
    let fs = machine();
    let file = create(&fs, "/d/f");
    fs.fail_when(is_write, Fault::Kind(ErrorKind::TimedOut), Repeat::Once);
    file.write_at(b"abc", 5).unwrap_err();
    let log: Vec<String> = fs.log().iter().map(ToString::to_string).collect();
    assert_eq!(log[0], "process 0 call 1: open /d/f (CreateNew)");
    assert_eq!(log[1], "process 0 call 2: write /d/f at 5, 3 bytes -> timed out");
}
