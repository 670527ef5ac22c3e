//! Room ahead: blanks after the last line of a journal.

use std::path::Path;

use octoprompt_storage::engine::Durability;
use octoprompt_storage::engine::fs::{Call, Extreme, Fault, Repeat, SimFs};

use crate::support::no_wait;
use crate::workload::Batch;
use crate::world::{DIRECTORY, Documents, Handle, machine, observe, open, warnings};

const JOURNAL: &str = "/base/db/.storage/journal-000000000001.jsonl";

fn journal(fs: &SimFs) -> Vec<u8> {
    fs.read_file(JOURNAL).expect("a journal")
}

/// Returns the number of blanks at the end of the journal.
fn room(fs: &SimFs) -> usize {
    journal(fs).iter().rev().take_while(|&&byte| byte == b' ').count()
}

fn put(database: &Handle, versions: std::ops::RangeInclusive<u32>, durability: Durability) {
    for version in versions {
        Batch::put(0, version.into(), version).write(database, durability).expect("written");
    }
}

fn documents(versions: std::ops::RangeInclusive<u32>) -> Documents {
    versions.map(|version| ((0, u64::from(version)), version)).collect()
}

fn cuts(fs: &SimFs) -> Vec<String> {
    let reserved = Path::new(DIRECTORY).join(".storage");
    let mut names = fs.handle().list_dir(&reserved).expect("listed");
    names.retain(|name| name.starts_with("cut-"));
    names
}

#[test]
fn durable_writes_leave_room_that_the_next_writes_fill() {
    let fs = machine();
    let database = open(&fs, None).expect("open");
    put(&database, 1..=3, Durability::Full);
    let before = journal(&fs).len();
    assert!(room(&fs) > 0);
    let version = (4..).find(|version| version % 4 != 0).expect("a short one");
    put(&database, version..=version, Durability::Full);
    assert_eq!(journal(&fs).len(), before, "the line fits into the room");
}

#[test]
fn room_is_neither_damage_nor_a_torn_tail() {
    let fs = machine();
    let database = open(&fs, None).expect("open");
    put(&database, 1..=3, Durability::Full);
    drop(database);
    assert!(room(&fs) > 0);
    let lost = fs.power_loss(&mut Extreme::Nothing);
    let database = open(&lost, None).expect("open");
    assert_eq!(warnings(&database), []);
    assert_eq!(observe(&database), Ok(documents(1..=3)));
    assert!(room(&lost) > 0, "it is kept");
    let report = database.verify(no_wait()).expect("readable");
    assert_eq!(report.problems.len(), 0, "{report}");
}

#[test]
fn a_partial_line_in_the_room_is_cut_out_and_kept_as_a_copy() {
    let fs = machine();
    let database = open(&fs.process(), None).expect("open");
    put(&database, 1..=3, Durability::Full);
    let mut bytes = journal(&fs);
    let end = bytes.len() - room(&fs);
    let stray = b"[\"0123";
    bytes[end..end + stray.len()].copy_from_slice(stray);
    fs.write_file(JOURNAL, &bytes);
    put(&database, 4..=4, Durability::Full);
    let kept = cuts(&fs);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let copy = format!("{DIRECTORY}/.storage/{}", kept[0]);
    assert_eq!(fs.read_file(copy).as_deref(), Some(&stray[..]));
    let lost = fs.power_loss(&mut Extreme::Nothing);
    let database = open(&lost, None).expect("open");
    assert_eq!(observe(&database), Ok(documents(1..=4)));
    assert_eq!(warnings(&database), []);
}

#[test]
fn a_line_in_the_room_lost_by_a_power_loss_leaves_earlier_lines_intact() {
    let fs = machine();
    let database = open(&fs, None).expect("open");
    put(&database, 1..=3, Durability::Full);
    put(&database, 4..=4, Durability::Os);
    for extreme in Extreme::ALL {
        let mut extreme = extreme;
        let database = open(&fs.power_loss(&mut extreme), None).expect("open");
        let seen = observe(&database).expect("readable");
        assert!(seen == documents(1..=3) || seen == documents(1..=4), "{extreme:?}: {seen:?}");
    }
}

#[test]
fn a_checkpoint_removes_the_room_from_the_finished_journal() {
    let fs = machine();
    let database = open(&fs, None).expect("open");
    put(&database, 1..=3, Durability::Full);
    database.checkpoint(no_wait()).expect("checkpointed");
    assert_eq!(room(&fs), 0);
}

#[test]
fn writes_without_a_sync_make_no_room() {
    let fs = machine();
    let database = open(&fs, None).expect("open");
    put(&database, 1..=20, Durability::Os);
    assert_eq!(room(&fs), 0);
}

#[test]
fn a_large_batch_makes_no_room() {
    let fs = machine();
    let database = open(&fs, None).expect("open");
    let batch = Batch { put: (1..=1000).map(|id| (0, id, id as u32)).collect(), ..Batch::default() };
    batch.write(&database, Durability::Full).expect("written");
    assert_eq!(room(&fs), 0);
}

#[test]
fn a_write_succeeds_on_a_disk_too_full_for_room() {
    let fs = machine();
    let database = open(&fs, None).expect("open");
    put(&database, 1..=1, Durability::Full);
    let end = journal(&fs).len() - room(&fs);
    // The first write that begins at the end makes room, and the second one is the line.
    let is_write = move |call: &Call| matches!(call, Call::Write { offset, .. } if *offset >= end as u64);
    fs.fail_when(is_write, Fault::NoSpace { written: 10 }, Repeat::Once);
    put(&database, 4..=4, Durability::Full);
    assert_eq!(fs.faults(), 1);
    let expected: Documents = [((0, 1), 1), ((0, 4), 4)].into();
    assert_eq!(observe(&database), Ok(expected));
}
