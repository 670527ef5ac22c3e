//! Several processes on one database: what they do in turn, and what is left when one of them dies.

use octoprompt_storage::engine::Durability;
use octoprompt_storage::engine::fs::{Extreme, Seeded, SimFs};

use crate::mutants::writer_dies;
use crate::support::no_wait;
use crate::workload::Batch;
use crate::world::{Documents, Handle, machine, observe, open};

/// Lets three processes write, read and checkpoint in an order drawn from the seed. Each read must find exactly what was
/// written before, whichever process wrote it.
fn in_turn(seed: u64, steps: u32) -> Result<(), String> {
    let fs = machine();
    let mut processes: Vec<(SimFs, Handle)> = Vec::new();
    for _ in 0..3 {
        let process = fs.process();
        let database = open(&process, None)?;
        processes.push((process, database));
    }
    let mut model = Documents::new();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % below
    };
    for version in 1..=steps {
        let who = draw(3) as usize;
        let (process, database) = &processes[who];
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            format!("step {version}, process {who}: {what} failed: {error}")
        };
        let batch = match draw(12) {
            0..5 => Batch::put(draw(2) as usize, draw(4), version),
            5 => Batch { delete: vec![(0, draw(4))], ..Batch::default() },
            6 => Batch { drop_nested: true, ..Batch::default() },
            7 | 8 => {
                database.checkpoint(no_wait()).map_err(|error| failed("the checkpoint", &error))?;
                Batch::default()
            }
            9 => {
                let fresh = process.kill();
                let database = open(&fresh, None)?;
                processes[who] = (fresh, database);
                continue;
            }
            _ => Batch::default(),
        };
        let durability = if draw(3) == 0 { Durability::Os } else { Durability::Full };
        batch.write(database, durability).map_err(|error| failed("the write", &error))?;
        batch.model(&mut model);
        let reader = draw(3) as usize;
        let seen = observe(&processes[reader].1).map_err(|problem| format!("step {version}: {problem}"))?;
        if seen != model {
            return Err(format!(
                "step {version}: process {reader} reads {seen:?} instead of {model:?} after {batch:?} of {who}"
            ));
        }
    }
    let after = fs.snapshot().kill();
    let seen = observe(&open(&after, None)?)?;
    if seen != model { Err(format!("in the end there is {seen:?} instead of {model:?}")) } else { Ok(()) }
}

#[test]
fn three_processes_that_take_turns_behave_like_one() {
    for seed in 0..150 {
        in_turn(seed, 40).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}

#[test]
fn a_writer_that_dies_at_any_call_leaves_correct_data_to_the_others() {
    for call in 1..=40 {
        writer_dies(call, None).unwrap_or_else(|problem| panic!("at call {call}: {problem}"));
    }
}

/// Lets a process die at some call of a checkpoint while another process lives on. The other one continues to write and to
/// checkpoint, and nothing acknowledged may be lost to a power loss at any step.
fn checkpoint_dies(call: u64, dropped: bool, chooser: u64) -> Result<bool, String> {
    let fs = machine();
    let (dying, other) = (fs.process(), fs.process());
    let (victim, survivor) = (open(&dying, None)?, open(&other, None)?);
    let mut model = Documents::new();
    let mut write = |database: &Handle, batch: Batch| {
        batch.write(database, Durability::Full).map_err(|error| format!("a write failed: {error}"))?;
        batch.model(&mut model);
        Ok::<_, String>(model.clone())
    };
    write(&victim, Batch::put(0, 1, 1))?;
    write(&victim, Batch::put(1, 1, 2))?;
    if dropped {
        victim.checkpoint(no_wait()).map_err(|error| error.to_string())?;
        dying.stop_at(dying.calls() + call);
        // The batch is either committed or not, and its files are either removed or not.
        let _ = Batch { drop_nested: true, ..Batch::default() }.write(&victim, Durability::Full);
    } else {
        write(&survivor, Batch::put(0, 2, 3))?;
        dying.stop_at(dying.calls() + call);
        let _ = victim.checkpoint(no_wait());
    }
    let died = dying.is_stopped();
    dying.kill();
    let mut expected = observe(&survivor)?;
    for (number, checkpoint) in [false, true, false, true, false].into_iter().enumerate() {
        if checkpoint {
            survivor.checkpoint(no_wait()).map_err(|error| format!("the survivor's checkpoint: {error}"))?;
        }
        let batch = Batch::put(number % 2, 9, 10 + number as u32);
        batch.write(&survivor, Durability::Full).map_err(|error| format!("the survivor: {error}"))?;
        batch.model(&mut expected);
        let seen = observe(&survivor)?;
        if seen != expected {
            return Err(format!("the survivor reads {seen:?} instead of {expected:?}"));
        }
        for lost in [
            fs.power_loss(&mut Extreme::Nothing),
            fs.power_loss(&mut Seeded::new(chooser + number as u64)),
            fs.snapshot().kill(),
        ] {
            let found = observe(&open(&lost, None)?)?;
            if found != expected {
                let origin = lost.origin().map(ToString::to_string).unwrap_or_default();
                return Err(format!("after write {number} {found:?} is left of {expected:?}\n{origin}"));
            }
        }
    }
    Ok(died)
}

fn at_every_call(dropped: bool) {
    let mut call = 1;
    loop {
        match checkpoint_dies(call, dropped, call) {
            Ok(true) => call += 1,
            Ok(false) => break,
            Err(problem) => panic!("at call {call}: {problem}"),
        }
    }
    assert!(call > 10, "only {call} calls");
}

#[test]
fn a_process_that_dies_in_a_checkpoint_leaves_correct_data_to_the_others() {
    at_every_call(false);
}

#[test]
fn a_process_that_dies_before_removing_files_leaves_correct_data_to_the_others() {
    at_every_call(true);
}
