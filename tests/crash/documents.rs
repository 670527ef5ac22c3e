//! Documents in files of their own: crashes and failures at every call.

use octoprompt_storage::engine::Durability;
use octoprompt_storage::engine::fs::{Fault, Fs, Repeat, SimFs};
use std::path::Path;

use crate::errors::every_call_of;
use crate::explore::{Explorer, wanted};
use crate::nested::crash_again;
use crate::support::no_wait;
use crate::workload::{Op, Run};
use crate::world::{DIRECTORY, Handle, file_of, machine, observe, open, spec};

const WORKLOADS: [&[Op]; 8] = [
    &[Op::Large],
    &[Op::Put, Op::Large, Op::Large],
    &[Op::PutOs, Op::Large, Op::PutOs],
    &[Op::Large, Op::Checkpoint, Op::Put, Op::Checkpoint, Op::Nested, Op::Checkpoint],
    &[Op::Large, Op::Delete, Op::Checkpoint],
    &[Op::Large, Op::Drop, Op::Large, Op::Checkpoint],
    &[Op::Large, Op::Reopen, Op::Large, Op::Checkpoint, Op::Large],
    &[Op::Large, Op::EditOpen, Op::Large],
];

fn of(ops: &[Op]) -> Result<Run, String> {
    Run::of(machine(), ops, None).map(|mut run| {
        run.interesting = 0;
        run
    })
}

#[test]
fn documents_in_their_own_files_survive_every_power_loss_and_kill() {
    let mut explorer = Explorer::default();
    for ops in WORKLOADS {
        explorer.run(of(ops), |explorer, run| {
            explorer.power_losses(run, wanted(6), 1);
            explorer.kills(run);
        });
    }
    explorer.finish("documents in files of their own", 1400);
}

#[test]
fn documents_in_their_own_files_survive_a_second_power_loss_at_every_call() {
    let mut explorer = Explorer::default();
    for ops in [WORKLOADS[1], WORKLOADS[4]] {
        explorer.run(of(ops), |explorer, run| {
            for (at, moment) in run.moments.iter().filter(|moment| !moment.page_only).enumerate() {
                for (number, after) in moment.snapshot.crash_states(wanted(1), at as u64).enumerate() {
                    crash_again(explorer, run, moment, after, (at + number) as u64);
                }
            }
        });
    }
    explorer.finish("documents in files of their own, power loss after power loss", 500);
}

#[test]
fn documents_in_their_own_files_survive_a_failure_at_every_call() {
    let ops = [Op::Large, Op::Checkpoint, Op::Large, Op::Put, Op::Checkpoint];
    for fault in [Fault::Io, Fault::NoSpace { written: 9 }] {
        every_call_of(&ops, fault, Repeat::Once, 70);
    }
}

/// Returns the files in the reserved folder that hold, or are to hold, one document each.
fn document_files(fs: &SimFs) -> Vec<String> {
    let names = fs.list_dir(&Path::new(DIRECTORY).join(".storage")).expect("a folder");
    names.into_iter().filter(|name| name.starts_with("document-") || name.starts_with("spool-")).collect()
}

fn put(database: &Handle, id: u64, version: u32) {
    let file = file_of(database, id, version).expect("room");
    database.write(Durability::Full, move |t| t.put_file(&spec(0), id.into(), file)).expect("written");
}

#[test]
fn a_document_file_is_removed_with_the_journal_that_refers_to_it() {
    let fs = machine();
    let database = open(&fs, None).expect("opens");
    put(&database, 1, 1);
    assert_eq!(document_files(&fs).len(), 1);
    for kept in [1, 0] {
        database.checkpoint(no_wait()).expect("checkpointed");
        assert_eq!(document_files(&fs).len(), kept);
        let other = file_of(&database, 2, 2).expect("room");
        drop(other);
        crate::workload::Batch::put(0, 3, 3).write(&database, Durability::Full).expect("written");
    }
    assert!(observe(&database).expect("readable").contains_key(&(0, 1)));
}

#[test]
fn a_failed_write_leaves_no_document_file() {
    let fs = machine();
    let database = open(&fs, None).expect("opens");
    let file = file_of(&database, 1, 1).expect("room");
    let refused = database.write(Durability::Full, move |t| {
        t.put_file(&spec(0), 1.into(), file)?;
        Err::<(), _>(octoprompt_storage::engine::Error::Closed)
    });
    assert!(refused.is_err());
    drop(file_of(&database, 2, 2).expect("room"));
    assert_eq!(document_files(&fs), Vec::<String>::new());
}

#[test]
fn another_process_reads_a_document_from_its_file_and_from_the_snapshot() {
    let fs = machine();
    let (writing, reading) = (fs.process(), fs.process());
    let (writer, reader) = (open(&writing, None).expect("opens"), open(&reading, None).expect("opens"));
    for version in 1..4 {
        observe(&reader).expect("readable");
        put(&writer, 1, version);
        assert_eq!(observe(&reader).expect("readable").get(&(0, 1)), Some(&version));
        writer.checkpoint(no_wait()).expect("checkpointed");
        assert_eq!(observe(&reader).expect("readable").get(&(0, 1)), Some(&version));
    }
}

#[test]
fn a_process_several_generations_behind_catches_up() {
    let fs = machine();
    let (writing, reading) = (fs.process(), fs.process());
    let (writer, reader) = (open(&writing, None).expect("opens"), open(&reading, None).expect("opens"));
    observe(&reader).expect("readable");
    for version in 1..5 {
        put(&writer, u64::from(version), version);
        writer.checkpoint(no_wait()).expect("checkpointed");
    }
    assert_eq!(observe(&reader).expect("readable").len(), 4);
}
