//! Longer workloads drawn from printed seeds.

use crate::explore::{CRASHED, Explorer, wanted};
use crate::workload::{Op, Run};
use crate::world::machine;

/// Returns the workload of a seed: five to twelve operations.
pub fn drawn(seed: u64) -> Vec<Op> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as usize % below
    };
    (0..5 + draw(8)).map(|_| Op::ALL[draw(Op::ALL.len())]).collect()
}

/// Loses power at every call of the workload of a seed.
fn explore(explorer: &mut Explorer, seed: u64) {
    let run = Run::of(machine(), &drawn(seed), None).map(|mut run| {
        run.interesting = 0;
        run
    });
    explorer.run(run, |explorer, run| explorer.power_losses(run, 8, seed));
    for violation in &mut explorer.violations {
        *violation = format!("CRASH_SEED={seed}: {violation}");
    }
}

/// Draws workloads until enough different disks have been examined.
fn sample(first_seed: u64, disks: usize) {
    let mut explorer = Explorer::beside(&CRASHED);
    let mut seed = first_seed;
    while explorer.disks < disks && explorer.violations.is_empty() {
        explore(&mut explorer, seed);
        seed += 2;
    }
    explorer.finish_disks(&format!("power loss in workloads of seeds {first_seed} to {seed}"), disks);
}

#[test]
fn long_workloads_of_even_seeds_survive_power_losses() {
    sample(0, wanted(40_000));
}

#[test]
fn long_workloads_of_odd_seeds_survive_power_losses() {
    sample(1, wanted(40_000));
}

/// The seed is `CRASH_SEED`, to repeat a failure, or else the first one.
#[test]
fn the_workload_of_one_seed_survives_power_losses() {
    let seed = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let mut explorer = Explorer::default();
    explore(&mut explorer, seed);
    explorer.finish_disks("power loss in the workload of one seed", 1);
}
