//! All processes killed: what the system has received stays, and everything acknowledged, whatever its durability, must be
//! there.

use octoprompt_storage::engine::fs::SimFs;

use crate::check::report;
use crate::explore::Explorer;
use crate::sampled::drawn;
use crate::workload::{Op, Run};
use crate::world::{machine, open};

#[test]
fn workloads_of_one_and_two_operations_survive_every_kill() {
    let mut explorer = Explorer::default();
    for first in Op::ALL {
        for second in Op::ALL {
            let run = Run::of(machine(), &[first, second], None);
            explorer.run(run, |explorer, run| explorer.kills(run));
        }
    }
    explorer.finish("a kill", 1900);
}

#[test]
fn long_workloads_survive_every_kill() {
    let mut explorer = Explorer::default();
    for seed in 1000..1020 {
        let run = Run::of(machine(), &drawn(seed), None).map(|mut run| {
            run.interesting = 0;
            run
        });
        explorer.run(run, |explorer, run| explorer.kills(run));
    }
    explorer.finish("a kill", 2000);
}

/// A process may die in the middle of a write, which then leaves any number of its bytes.
#[test]
fn committed_batches_survive_a_kill_in_the_middle_of_any_write() {
    let mut explorer = Explorer::default();
    for op in [Op::Put, Op::Both, Op::Group, Op::Checkpoint] {
        let calls = calls_of(op);
        for call in 1..=calls {
            for written in [1, 30, 190] {
                let fs = machine();
                let mut run = match Run::of(fs.clone(), &[Op::PutOs, Op::Nested], None) {
                    Ok(run) => run,
                    Err(problem) => return explorer.violations.push(problem),
                };
                let (batches, durability) = run.batches(op);
                let begun = fs.total_calls();
                fs.stop_at_after(fs.calls() + call, written);
                if op == Op::Checkpoint {
                    let _ = run.checkpoint();
                } else if run.commit(&batches, durability).is_err() {
                    batches.iter().for_each(|batch| run.push(batch));
                    run.mark_unknown(begun);
                }
                let moment = run.now();
                let after: SimFs = moment.snapshot.kill();
                explorer.states += 1;
                explorer.violations.extend(report(&after, &run, run.allowed(&moment, false)).err());
            }
        }
    }
    explorer.finish("a kill", 400);
}

fn calls_of(op: Op) -> u64 {
    let fs = machine();
    let mut run = Run::of(fs.clone(), &[Op::PutOs, Op::Nested], None).expect("the workload runs");
    let before = fs.calls();
    run.step(op).expect("the operation works");
    fs.calls() - before
}

#[test]
fn a_database_whose_process_was_killed_opens_without_waiting() {
    let fs = machine();
    let database = open(&fs, None).expect("opens");
    let fs = fs.kill();
    open(&fs, None).expect("opens although the dead process never unlocked anything");
    drop(database);
}
