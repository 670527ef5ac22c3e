//! Crashes during what follows a crash: recovery, and the first checkpoint.

use std::sync::Arc;
use std::thread;

use octoprompt_storage::engine::fs::SimFs;

use crate::explore::{Explorer, wanted};
use crate::workload::{Moment, Op, Run};
use crate::world::machine;

/// What a machine does after its first crash, before the second one.
const AFTERWARDS: [&[Op]; 3] = [&[], &[Op::Checkpoint], &[Op::Nested, Op::Checkpoint, Op::Put]];

const WORKLOADS: [&[Op]; 8] = [
    &[Op::Put, Op::PutOs],
    &[Op::Group, Op::PutOs, Op::PutOs],
    &[Op::Both, Op::Checkpoint],
    &[Op::Put, Op::Checkpoint, Op::Both, Op::Checkpoint],
    &[Op::Nested, Op::Checkpoint, Op::Drop],
    &[Op::Nested, Op::Checkpoint, Op::Drop, Op::Nested, Op::Checkpoint],
    &[Op::Both, Op::Checkpoint, Op::PutOs, Op::Delete, Op::Checkpoint],
    &[Op::PutOs, Op::Reopen, Op::PutOs],
];

/// Continues after a first crash, and crashes again at every call.
pub fn crash_again(explorer: &mut Explorer, run: &Run, moment: &Moment, after: SimFs, seed: u64) {
    // After a kill, what was not synced may still be lost until the next opener has served it.
    let found = run.history[run.allowed(moment, true)].to_vec();
    let ops = AFTERWARDS[seed as usize % AFTERWARDS.len()];
    let origin = after.origin().map(ToString::to_string);
    let again = Run::begin(after, found, run.mutant).and_then(|mut again| {
        ops.iter().try_for_each(|op| again.step(*op))?;
        again.flush();
        Ok(again)
    });
    let before = explorer.violations.len();
    explorer.run(again, |explorer, again| {
        explorer.power_losses(again, 6, seed);
        if seed.is_multiple_of(5) {
            explorer.kills(again);
        }
    });
    for violation in &mut explorer.violations[before..] {
        let call = moment.snapshot.calls();
        *violation = format!(
            "{violation}\nafter a first crash at call {call} ({}) of {run}",
            origin.as_deref().unwrap_or("killed")
        );
    }
}

fn after_a_power_loss(explorer: &mut Explorer) {
    let limit = wanted(1);
    for ops in WORKLOADS {
        explorer.run(Run::of(machine(), ops, None), |explorer, run| {
            for (at, moment) in run.moments.iter().filter(|moment| !moment.page_only).enumerate() {
                for (number, after) in moment.snapshot.crash_states(limit + 1, at as u64).enumerate() {
                    crash_again(explorer, run, moment, after, (at + number) as u64);
                }
            }
        });
    }
}

fn after_a_kill(explorer: &mut Explorer) {
    for ops in WORKLOADS {
        explorer.run(Run::of(machine(), ops, None), |explorer, run| {
            for moment in &run.moments {
                if moment.page_only {
                    continue;
                }
                for number in 0..AFTERWARDS.len() as u64 {
                    crash_again(explorer, run, moment, moment.snapshot.kill(), 6 + number);
                }
            }
        });
    }
}

#[test]
fn recovery_survives_a_power_loss_at_every_call() {
    let seen = Arc::default();
    let (mut lost, mut killed) = (Explorer::beside(&seen), Explorer::beside(&seen));
    thread::scope(|scope| {
        scope.spawn(|| after_a_power_loss(&mut lost));
        after_a_kill(&mut killed);
    });
    lost.take_in(killed);
    lost.finish("a crash after a crash", 20_000);
}
