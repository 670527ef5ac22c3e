//! Index checkpoints that are lost, torn, stale, foreign or damaged: all reads are as without them, and every index finds
//! what a scan finds.

use std::collections::BTreeSet;

use octoprompt_storage::engine::WarningCode;
use octoprompt_storage::engine::fs::{Extreme, Fs, SimFs, Snapshot};

use crate::explore::Explorer;
use crate::workload::{Op, Run};
use crate::world::{DIRECTORY, Documents, machine, observe, open, warnings};

const RESERVED: &str = "/base/db/.storage";

const WORKLOAD: [Op; 12] = [
    Op::Put,
    Op::Nested,
    Op::Checkpoint,
    Op::Both,
    Op::Checkpoint,
    Op::Group,
    Op::Checkpoint,
    Op::Put,
    Op::Persist,
    Op::Delete,
    Op::PutOs,
    Op::Nested,
];

fn index_files(fs: &SimFs) -> Vec<String> {
    let names = fs.list_dir(RESERVED.as_ref()).expect("the reserved folder");
    let ours = names.into_iter().filter(|name| name.starts_with("index-"));
    ours.map(|name| format!("{RESERVED}/{name}")).collect()
}

/// Runs the workload, and returns it with the machine that it leaves, once killed and once restarted.
fn machines() -> (Run, [Snapshot; 2]) {
    let run = Run::of(machine(), &WORKLOAD, None).expect("the workload runs");
    let left = [run.fs.kill().snapshot(), run.fs.power_loss(&mut Extreme::Everything).snapshot()];
    (run, left)
}

/// Returns what is read with `bytes`, or no file, in the place of an index checkpoint.
fn read_with(machine: &Snapshot, path: &str, bytes: Option<&[u8]>) -> Result<Documents, String> {
    let fs = machine.kill();
    match bytes {
        Some(bytes) => fs.write_file(path, bytes),
        None => fs.remove(path),
    }
    let database = open(&fs, None)?;
    let seen = observe(&database)?;
    // A torn end of the journal is cut, whatever index checkpoints there are.
    match warnings(&database).iter().find(|code| **code != WarningCode::TailCut) {
        None => Ok(seen),
        Some(code) => Err(format!("warns of {code:?}")),
    }
}

#[test]
fn a_lost_or_torn_index_checkpoint_is_harmless() {
    let (run, machines) = machines();
    for machine in &machines {
        let fs = machine.kill();
        assert_eq!(index_files(&fs).len(), 2);
        for path in index_files(&fs) {
            assert_eq!(read_with(machine, &path, None).as_ref(), Ok(run.state()));
            let bytes = fs.read_file(&path).expect("a file");
            for len in 0..bytes.len() {
                let mut torn = bytes[..len].to_vec();
                assert_eq!(read_with(machine, &path, Some(&torn)).as_ref(), Ok(run.state()), "{len} bytes");
                torn.resize(bytes.len(), 0);
                assert_eq!(
                    read_with(machine, &path, Some(&torn)).as_ref(),
                    Ok(run.state()),
                    "zeros from {len}"
                );
            }
            let longer = [bytes.as_slice(), b"\0"].concat();
            assert_eq!(read_with(machine, &path, Some(&longer)).as_ref(), Ok(run.state()));
        }
    }
}

#[test]
fn every_flipped_bit_in_an_index_checkpoint_is_harmless() {
    let (run, [killed, _]) = machines();
    let fs = killed.kill();
    for path in index_files(&fs) {
        let bytes = fs.read_file(&path).expect("a file");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_with(&killed, &path, Some(&damaged)).as_ref(), Ok(run.state()), "bit {bit}");
        }
    }
}

#[test]
fn any_older_or_foreign_index_checkpoint_is_harmless_in_place_of_any_other() {
    let mut versions = BTreeSet::new();
    let (run, machines) = machines();
    for moment in &run.moments {
        let fs = moment.snapshot.kill();
        versions.extend(index_files(&fs).iter().filter_map(|path| fs.read_file(path)));
    }
    assert!(versions.len() >= 7, "{}", versions.len());
    for moment in run.moments.iter().filter(|moment| !moment.page_only) {
        let allowed = &run.history[run.allowed(moment, false)];
        for path in index_files(&moment.snapshot.kill()) {
            for bytes in &versions {
                let seen = read_with(&moment.snapshot, &path, Some(bytes)).expect("readable");
                assert!(allowed.contains(&seen), "{seen:?}");
            }
        }
    }
    for machine in &machines {
        for path in index_files(&machine.kill()) {
            for bytes in &versions {
                assert_eq!(read_with(machine, &path, Some(bytes)).as_ref(), Ok(run.state()));
            }
        }
    }
}

#[test]
fn writing_and_removing_index_checkpoints_survives_power_loss_and_kills() {
    const OTHERS: [Op; 6] = [Op::Put, Op::Both, Op::Drop, Op::Checkpoint, Op::EditOpen, Op::Foreign];
    let mut explorer = Explorer::default();
    for own in [Op::Persist, Op::Forget] {
        for first in OTHERS {
            for second in OTHERS {
                for ops in [[first, own, second], [first, second, own], [own, first, second]] {
                    let ops: Vec<Op> = [Op::Nested].into_iter().chain(ops).chain([Op::Persist]).collect();
                    let run = Run::of(machine(), &ops, None).map(|mut run| {
                        run.interesting = 0;
                        run
                    });
                    explorer.run(run, |explorer, run| explorer.power_losses(run, 1, 1));
                }
            }
        }
        let run = Run::of(machine(), &[Op::Both, Op::Checkpoint, Op::Put, own, Op::Put], None);
        explorer.run(run, |explorer, run| explorer.kills(run));
    }
    explorer.finish("a crash around index checkpoints", 2000);
}

#[test]
fn a_database_without_collections_keeps_no_index_checkpoint() {
    let run = Run::of(machine(), &[Op::Nested, Op::Checkpoint, Op::Drop, Op::Checkpoint], None);
    let run = run.expect("the workload runs");
    assert_eq!(index_files(&run.fs), [""; 0], "in {DIRECTORY}");
}
