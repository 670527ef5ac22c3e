//! All short workloads, crashed at every call.

use crate::explore::{CRASHED, Explorer, wanted};
use crate::workload::{Op, Run};
use crate::world::{empty_machine, machine};

#[test]
fn a_database_survives_power_loss_while_it_is_created() {
    let mut explorer = Explorer::default();
    for op in Op::ALL {
        explorer.run(Run::of(empty_machine(), &[op], None), |explorer, run| {
            explorer.power_losses(run, 100, 1);
            explorer.kills(run);
        });
    }
    explorer.finish_disks("power loss while a database is created", 700);
}

#[test]
fn workloads_of_one_and_two_operations_survive_every_power_loss() {
    let mut explorer = Explorer::beside(&CRASHED);
    let limit = wanted(24);
    for first in Op::ALL {
        explorer.run(Run::of(machine(), &[first], None), |explorer, run| {
            explorer.power_losses(run, 4 * limit, 1)
        });
        for second in Op::ALL {
            let run = Run::of(machine(), &[first, second], None);
            explorer.run(run, |explorer, run| explorer.power_losses(run, limit, 1));
        }
    }
    explorer.finish_disks("power loss in one and two operations", 2300);
}

#[test]
fn removals_without_waiting_for_the_disk_survive_every_power_loss() {
    let mut explorer = Explorer::default();
    let workloads: [&[Op]; 4] = [
        &[Op::Nested, Op::Checkpoint, Op::DropOs],
        &[Op::Nested, Op::Checkpoint, Op::PutOs, Op::DropOs, Op::Nested],
        &[Op::Nested, Op::Checkpoint, Op::DropOs, Op::PutOs, Op::Checkpoint],
        &[Op::Both, Op::DropOs, Op::Reopen],
    ];
    for ops in workloads {
        explorer.run(Run::of(machine(), ops, None), |explorer, run| {
            explorer.power_losses(run, wanted(24), 1);
            explorer.kills(run);
        });
    }
    explorer.finish("power loss around removals that do not wait", 200);
}

/// Runs workloads of three operations. Crashes in the first two are those of the shorter workloads, so only the last one is
/// examined.
fn three_operations(part: usize) {
    let mut explorer = Explorer::beside(&CRASHED);
    let limit = wanted(4);
    for first in Op::ALL.into_iter().skip(part).step_by(2) {
        for second in Op::ALL {
            for third in Op::ALL {
                let run = Run::of(machine(), &[first, second, third], None);
                explorer.run(run, |explorer, run| explorer.power_losses(run, limit, 1));
            }
        }
    }
    explorer.finish_disks("power loss in three operations, one half", 4000);
}

#[test]
fn half_of_the_workloads_of_three_operations_survive_every_power_loss() {
    three_operations(0);
}

#[test]
fn the_other_half_of_the_workloads_of_three_operations_survive_every_power_loss() {
    three_operations(1);
}
