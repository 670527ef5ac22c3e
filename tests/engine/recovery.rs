//! What recovery makes of journals that a crash, a full disk or damage left behind. On a simulated file system.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::simulated::{
    DIRECTORY, begin_generation, checkpoint, forget_tip, journal, machine, name, open, put, put_unsynced,
    remove, reserved, try_open, verified, warnings,
};
use crate::support::{record, spec};
use octoprompt_storage::engine::fs::{Call, Extreme, Fault, OpenMode, Repeat, SimFs};
use octoprompt_storage::engine::{Database, Durability, Error, Transaction, Wait, WarningCode, repair};

/// Two collections whose files were edited by hand while the journal had something newer. Each keeps back another generation
/// until it is used.
fn with_two_unadopted_edits() -> SimFs {
    let fs = machine();
    drop(open(&fs));
    put(&open(&fs), "first.json", 1, "first");
    fs.write_file("/database/first.json", b"{}\n");
    let database = open(&fs);
    put(&database, "other.json", 1, "a");
    checkpoint(&database).expect("the other one is checkpointed");
    put(&database, "second.json", 2, "second");
    drop(database);
    fs.write_file("/database/second.json", b"{}\n");
    let database = open(&fs);
    assert_eq!(name(&database, "first.json", 1), Ok(Some("first".into())));
    put(&database, "other.json", 1, "b");
    checkpoint(&database).expect("all but the second are checkpointed");
    fs
}

#[test]
fn what_a_crash_left_of_the_first_document_is_removed_at_opening() {
    let fs = machine();
    drop(open(&fs));
    for name in ["spool-1-1", "document-000000000001-0123456789abcdef"] {
        fs.write_file(format!("/database/.storage/{name}"), b"left over");
    }
    let fs = fs.kill();
    let _database = open(&fs);
    assert!(reserved(&fs).iter().all(|name| !name.starts_with("spool-") && !name.starts_with("document-")));
}

#[test]
fn a_generation_is_not_needed_once_a_later_one_says_that_the_snapshots_hold_it() {
    let fs = with_two_unadopted_edits();
    assert!(!reserved(&fs).contains(&"journal-000000000001.jsonl".to_owned()));
    let report = verified(&fs);
    assert!(report.is_ok(), "{report}");
    let database = open(&fs);
    assert_eq!(name(&database, "second.json", 2), Ok(Some("second".into())));
    assert_eq!(name(&database, "first.json", 1), Ok(Some("first".into())));
    assert_eq!(name(&database, "other.json", 1), Ok(Some("b".into())));
}

#[test]
fn a_missing_generation_that_is_still_needed_is_damage() {
    let fs = with_two_unadopted_edits();
    remove(&fs, ".storage/journal-000000000002.jsonl");
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    assert!(!verified(&fs).is_ok());
}

fn damaged(fs: &SimFs, path: &str, bit: usize) -> Vec<u8> {
    let mut bytes = fs.read_file(path).expect("a journal");
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs.write_file(path, &bytes);
    bytes
}

/// A machine whose newest journal, of this generation, has one batch and nothing else after its header.
fn with_one_batch(generation: u64) -> SimFs {
    let fs = machine();
    let database = open(&fs);
    for round in 1..generation {
        put(&database, "a.json", round, "before");
        begin_generation(&fs, &database);
    }
    put(&database, "a.json", generation, "acknowledged");
    fs.kill()
}

#[test]
fn a_damaged_header_with_one_batch_is_refused_and_left_unchanged() {
    for generation in [1, 2] {
        let (image, path) = (with_one_batch(generation).snapshot(), journal(generation));
        let bytes = image.kill().read_file(&path).expect("a journal");
        let header = bytes.iter().position(|&byte| byte == b'\n').expect("a header") + 1;
        for (bit, restarted) in (0..header * 8).flat_map(|bit| [(bit, false), (bit, true)]) {
            let fs = image.kill();
            let damaged = damaged(&fs, &path, bit);
            if restarted {
                forget_tip(&fs);
            }
            let at = format!("bit {bit} of generation {generation}, restarted: {restarted}");
            let report = verified(&fs);
            assert!(!report.is_ok(), "{at}: {report}");
            assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"), "{at}");
            assert_eq!(fs.read_file(&path), Some(damaged), "{at}");
        }
    }
}

#[test]
fn a_line_of_another_process_proves_what_was_durable_before_two_damaged_lines() {
    let fs = machine();
    let [one, other] = [(); 2].map(|()| open(&fs.process()));
    put(&one, "a.json", 1, "durable");
    put(&one, "a.json", 2, "durable");
    put_unsynced(&other, "a.json", 3, "behind them");
    drop((one, other));
    let bytes = fs.read_file(journal(1)).expect("a journal");
    let feeds = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').take(2);
    let damaged = feeds.map(|feed| damaged(&fs, &journal(1), 8 * (feed + 30))).last();
    forget_tip(&fs);
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    assert_eq!(fs.read_file(journal(1)), damaged);
}

#[test]
fn a_repair_saves_the_batch_after_a_damaged_header_end() {
    for restarted in [false, true] {
        let fs = with_one_batch(1);
        let bytes = fs.read_file(journal(1)).expect("a journal");
        damaged(&fs, &journal(1), 8 * bytes.iter().position(|&byte| byte == b'\n').expect("a header"));
        if restarted {
            forget_tip(&fs);
        }
        let wait = Wait::at_most(Duration::from_secs(1));
        let report = repair(&fs.handle(), Path::new(DIRECTORY), wait).expect("repaired");
        assert!(report.is_ok(), "{report}");
        assert_eq!(name(&open(&fs), "a.json", 1), Ok(Some("acknowledged".into())), "{report}");
    }
}

#[test]
fn a_repair_without_enough_disk_space_changes_nothing() {
    let fs = with_one_batch(1);
    let damaged = damaged(&fs, &journal(1), 8 * 30);
    let before = reserved(&fs);
    fs.set_free_space((1 << 20) + damaged.len() as u64);
    let wait = Wait::at_most(Duration::from_secs(1));
    let error = repair(&fs.handle(), Path::new(DIRECTORY), wait).expect_err("there is no room");
    assert!(matches!(error, Error::Io { kind: ErrorKind::StorageFull, .. }), "{error}");
    assert_eq!((reserved(&fs), fs.read_file(journal(1))), (before, Some(damaged)));
}

#[test]
fn an_unfinished_new_journal_is_moved_aside() {
    let fs = machine();
    put(&open(&fs), "a.json", 1, "x");
    for (left, kept) in [(&b"[\"0123456789"[..], 1), (&[0; 600], 0), (&b"   "[..], 0), (&b""[..], 0)] {
        fs.write_file(journal(2), left);
        let report = verified(&fs);
        assert!(report.is_ok(), "{report}");
        let fs = fs.snapshot().kill();
        let database = open(&fs);
        assert_eq!(name(&database, "a.json", 1), Ok(Some("x".into())));
        let names = reserved(&fs);
        let cut: Vec<&String> = names.iter().filter(|name| name.starts_with("cut-000000000002-0-")).collect();
        assert_eq!(cut.len(), kept, "{left:?}: {names:?}");
        for name in cut {
            assert_eq!(fs.read_file(format!("{DIRECTORY}/.storage/{name}")).as_deref(), Some(left));
        }
        assert!(!names.contains(&"journal-000000000002.jsonl".to_owned()));
        assert_eq!(warnings(&database), [WarningCode::TailCut]);
    }
}

#[test]
fn a_journal_that_ends_in_or_behind_its_header_while_the_machine_runs_is_the_damaged_one() {
    let fs = with_one_batch(2);
    let whole = fs.read_file(journal(2)).expect("a journal");
    let header = whole.iter().position(|&byte| byte == b'\n').expect("a header") + 1;
    for end in [0, header / 2, header] {
        let fs = fs.snapshot().kill();
        fs.write_file(journal(2), &whole[..end]);
        let error = try_open(&fs).map(drop).expect_err("a batch is missing");
        assert_eq!(error.code(), "CORRUPT_DATA");
        assert!(error.to_string().contains("journal-000000000002"), "{error}");
        assert_eq!(fs.read_file(journal(2)).as_deref(), Some(&whole[..end]));
    }
}

#[test]
fn an_unfinished_new_journal_stays_while_the_previous_one_is_damaged() {
    let fs = machine();
    put(&open(&fs), "a.json", 1, "x");
    let end = fs.read_file(journal(1)).expect("a journal").iter().rposition(|&byte| byte == b'}');
    damaged(&fs, &journal(1), 8 * end.expect("a batch"));
    fs.write_file(journal(2), b"[\"0123");
    let before = reserved(&fs);
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    assert_eq!(reserved(&fs), before);
}

/// Appends bytes to the first journal, as a dying writer leaves them.
fn tear(fs: &SimFs, bytes: &[u8]) {
    let whole = [&fs.read_file(journal(1)).expect("a journal"), bytes].concat();
    fs.write_file(journal(1), &whole);
}

fn is_cut(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cut-"))
}

/// From now on there is no room for bytes that are cut off, or only for some of them.
fn fill_disk(fs: &SimFs, written: Option<usize>) {
    let fits = move |call: &Call| match call {
        Call::Open { path, .. } => written.is_none() && is_cut(path),
        Call::Write { path, .. } => is_cut(path),
        _ => false,
    };
    fs.fail_when(fits, Fault::NoSpace { written: written.unwrap_or(0) }, Repeat::Forever);
}

fn cut_files(fs: &SimFs) -> usize {
    reserved(fs).iter().filter(|name| is_cut(Path::new(name))).count()
}

const TORN: &[u8] = b"[\"0123456789abcdef\",{\"seq\":2,\"pr";

#[test]
fn an_unacknowledged_torn_tail_is_cut_without_a_copy_on_a_full_disk() {
    for written in [None, Some(0), Some(9)] {
        let fs = machine();
        put(&open(&fs), "a.json", 1, "x");
        tear(&fs, TORN);
        fill_disk(&fs, written);
        let database = open(&fs);
        assert_eq!(warnings(&database), [WarningCode::TailCut]);
        put(&database, "a.json", 2, "y");
        drop(database);
        let database = open(&fs);
        assert_eq!(warnings(&database), []);
        assert_eq!(name(&database, "a.json", 1), Ok(Some("x".into())));
        assert_eq!(name(&database, "a.json", 2), Ok(Some("y".into())));
        assert_eq!(cut_files(&fs), 0);
    }
}

#[test]
fn a_possibly_acknowledged_tail_is_not_cut_while_the_disk_is_full() {
    for written in [None, Some(0), Some(9)] {
        let fs = machine();
        put(&open(&fs), "a.json", 1, "x");
        tear(&fs, TORN);
        forget_tip(&fs);
        let before = fs.read_file(journal(1));
        fill_disk(&fs, written);
        for _ in 0..3 {
            let database = open(&fs);
            assert!(database.is_read_only());
            assert_eq!(warnings(&database), [WarningCode::TailCut]);
            assert_eq!(name(&database, "a.json", 1), Ok(Some("x".into())));
            let (to, text) = (spec("a.json"), record(2, "y").into_bytes());
            let put = database.write(Durability::Full, move |t| t.put(&to, 2.into(), text));
            assert_eq!(put.map_err(|error| error.code()), Err("IO_ERROR"));
            assert_eq!(fs.read_file(journal(1)), before);
            assert_eq!(cut_files(&fs), 0);
        }
        fs.heal();
        let database = open(&fs);
        assert!(!database.is_read_only());
        put(&database, "a.json", 2, "y");
        assert_eq!(cut_files(&fs), 1);
    }
}

#[test]
fn documents_read_before_an_uncut_tail_are_durable() {
    let fs = machine();
    let database = open(&fs);
    put_unsynced(&database, "a.json", 1, "x");
    let handle = fs.handle().open(Path::new(&journal(1)), OpenMode::ReadWrite).expect("a journal");
    handle.write_at(TORN, handle.metadata().expect("metadata").len).expect("written");
    let fs = fs.power_loss(&mut Extreme::Everything);
    fill_disk(&fs, None);
    let database = open(&fs);
    assert!(database.is_read_only());
    assert_eq!(name(&database, "a.json", 1), Ok(Some("x".into())));
    let fs = fs.power_loss(&mut Extreme::Nothing);
    assert_eq!(name(&open(&fs), "a.json", 1), Ok(Some("x".into())));
}

#[test]
fn zeros_left_by_a_power_loss_are_cut_without_a_copy_on_a_full_disk() {
    let fs = machine();
    put(&open(&fs), "a.json", 1, "x");
    tear(&fs, &[0; 700]);
    forget_tip(&fs);
    fill_disk(&fs, None);
    let database = open(&fs);
    put(&database, "a.json", 2, "y");
    assert_eq!(cut_files(&fs), 0);
}

#[test]
fn a_partial_line_of_a_dead_writer_does_not_block_writes_on_a_full_disk() {
    for written in [None, Some(0), Some(9)] {
        let fs = machine();
        let database = open(&fs);
        put(&database, "a.json", 1, "x");
        let handle = fs.handle().open(Path::new(&journal(1)), OpenMode::ReadWrite).expect("a journal");
        let bytes = fs.read_file(journal(1)).expect("a journal");
        let acknowledged = bytes.iter().rposition(|&byte| byte == b'\n').expect("a line") + 1;
        handle.write_at(TORN, acknowledged as u64).expect("written");
        fill_disk(&fs, written);
        put(&database, "a.json", 2, "y");
        assert_eq!(warnings(&database), [WarningCode::TailCut]);
        assert_eq!(cut_files(&fs), 0);
        drop(database);
        assert_eq!(name(&open(&fs), "a.json", 2), Ok(Some("y".into())));
    }
}

fn fail_next_directory_sync(fs: &SimFs, directory: &'static str) {
    let fits = move |call: &Call| matches!(call, Call::SyncDir { path } if **path == *Path::new(directory));
    fs.fail_when(fits, Fault::Io, Repeat::Once);
}

/// A machine with a collection that was dropped, and whose removal is not durable yet.
fn with_dropped_collection() -> (SimFs, Arc<Database>) {
    let fs = machine();
    let database = open(&fs);
    put(&database, "deep/a.json", 1, "x");
    checkpoint(&database).expect("checkpointed");
    database.write(Durability::Full, |t| t.drop_collection(&spec("deep/a.json"))).expect("dropped");
    (fs, database)
}

fn assert_gone_for_good(fs: &SimFs) {
    let fs = fs.power_loss(&mut Extreme::Nothing);
    let database = open(&fs);
    assert_eq!(name(&database, "deep/a.json", 1), Ok(None));
    assert_eq!(fs.read_file("/database/deep/a.json"), None);
    assert_eq!(warnings(&database), []);
}

#[test]
fn a_removed_file_stays_removed_after_a_checkpoint_failed_to_sync_its_directory() {
    let (fs, database) = with_dropped_collection();
    fail_next_directory_sync(&fs, "/database/deep");
    assert!(checkpoint(&database).is_err());
    checkpoint(&database).expect("checkpointed");
    assert_gone_for_good(&fs);
}

#[test]
fn a_removed_file_stays_removed_after_a_recovery_failed_to_sync_its_directory() {
    let (fs, database) = with_dropped_collection();
    let killed = fs.kill();
    drop(database);
    fail_next_directory_sync(&killed, "/database/deep");
    assert!(try_open(&killed).is_err());
    let database = open(&killed);
    checkpoint(&database).expect("checkpointed");
    assert_gone_for_good(&killed);
}

#[test]
fn an_attachment_stays_removed_after_a_failed_directory_sync() {
    let fs = machine();
    fs.write_file("/database/files/1", b"old");
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    let delete = |t: &mut Transaction<'_>| {
        t.delete(&spec("a.json"), 1.into())?;
        t.remove_entity_path("files/1")
    };
    database.write(Durability::Full, delete).expect("deleted");
    let again = |t: &mut Transaction<'_>| {
        t.put(&spec("a.json"), 1.into(), record(1, "y").into_bytes())?;
        t.keep_entity_paths(["files/1"].into_iter())
    };
    fail_next_directory_sync(&fs, "/database/files");
    assert!(database.write(Durability::Full, again).is_err());
    database.write(Durability::Full, again).expect("written");
    let fs = fs.power_loss(&mut Extreme::Nothing);
    assert_eq!(name(&open(&fs), "a.json", 1), Ok(Some("y".into())));
    assert_eq!(fs.read_file("/database/files/1"), None);
}

#[test]
fn the_attachment_of_a_document_recreated_in_one_batch_is_removed_only_once() {
    let fs = machine();
    fs.write_file("/database/files/1", b"old");
    let database = open(&fs);
    put(&database, "a.json", 1, "x");
    let anew = |t: &mut Transaction<'_>| {
        t.delete(&spec("a.json"), 1.into())?;
        t.remove_entity_path("files/1")?;
        t.put(&spec("a.json"), 1.into(), record(1, "y").into_bytes())?;
        t.keep_entity_paths(["files/1"].into_iter())
    };
    database.write(Durability::Full, anew).expect("written");
    assert_eq!(fs.power_loss(&mut Extreme::Nothing).read_file("/database/files/1"), None);
    fs.write_file("/database/files/1", b"new");
    let follower = open(&fs.process());
    assert_eq!(name(&open(&fs.power_loss(&mut Extreme::Nothing)), "a.json", 1), Ok(Some("y".into())));
    for database in [database, follower] {
        put(&database, "a.json", 2, "z");
        checkpoint(&database).expect("checkpointed");
        assert_eq!(fs.read_file("/database/files/1").as_deref(), Some(&b"new"[..]));
    }
}

#[test]
fn an_adopted_file_survives_a_power_loss_even_if_its_writer_did_not_sync_it() {
    let fs = machine();
    // Opening a new database syncs its directory.
    let database = open(&fs);
    let text = format!("{{\"1\":{}}}", record(1, "by hand"));
    let file =
        fs.process().handle().open(Path::new("/database/a.json"), OpenMode::CreateNew).expect("created");
    file.write_at(text.as_bytes(), 0).expect("written");
    assert_eq!(name(&database, "a.json", 1), Ok(Some("by hand".into())));
    let lost = fs.power_loss(&mut Extreme::Nothing);
    assert_eq!(name(&open(&lost), "a.json", 1), Ok(Some("by hand".into())));
}

#[test]
fn a_damaged_acknowledged_batch_is_reported_to_every_process_that_has_not_read_it() {
    let fs = machine();
    let (writer, follower) = (open(&fs), open(&fs.process()));
    put(&writer, "a.json", 1, "damaged");
    let mut bytes = fs.read_file(journal(1)).expect("a journal");
    let at = String::from_utf8_lossy(&bytes).find("damaged").expect("the batch");
    bytes[at] ^= 1;
    fs.write_file(journal(1), &bytes);
    assert_eq!(name(&follower, "a.json", 1), Err("CORRUPT_DATA"));
    assert_eq!(try_open(&fs.process()).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
}

#[test]
fn what_dead_processes_were_writing_is_removed_by_the_next_one_that_opens_the_database_alone() {
    let fs = machine();
    put(&open(&fs), "a.json", 1, "x");
    let before = reserved(&fs);
    for name in ["new-1-0", "spool-1", "document-000000000001-0123456789abcdef"] {
        fs.write_file(format!("/database/.storage/{name}"), b"half");
    }
    drop(open(&fs));
    assert_eq!(reserved(&fs), before);
}

#[test]
fn a_file_is_adopted_where_only_what_is_open_for_writing_can_be_synced() {
    let fs = machine();
    fs.write_file("/database/a.json", format!("{{\"1\":{}}}", record(1, "by hand")).as_bytes());
    let syncs = |call: &Call| matches!(call, Call::SyncData { path } if path.ends_with("a.json"));
    fs.fail_when(syncs, Fault::Kind(ErrorKind::PermissionDenied), Repeat::Once);
    assert_eq!(name(&open(&fs), "a.json", 1), Ok(Some("by hand".into())));
    assert_eq!(fs.faults(), 1);
}

#[test]
fn a_new_journal_is_whole_after_a_power_loss_even_if_nothing_in_it_was_synced() {
    let fs = machine();
    let database = open(&fs);
    // Its header does not fit into one sector.
    (0..10).for_each(|number| put(&database, &format!("collection-{number}.json"), 1, "durable"));
    checkpoint(&database).expect("checkpointed");
    put(&database, "a.json", 1, "durable");
    begin_generation(&fs, &database);
    put_unsynced(&database, "a.json", 2, "not synced");
    for lost in fs.snapshot().crash_states(100, 1) {
        assert_eq!(name(&open(&lost), "a.json", 1), Ok(Some("durable".into())));
    }
}
