//! Repair, crashed and failing at every call: it may always be tried again, and saves the same documents.

use std::path::Path;

use octoprompt_storage::engine::fs::{Fault, Repeat, SimFs, Snapshot};
use octoprompt_storage::engine::{repair, verify};

use crate::reached::reached;
use crate::support::no_wait;
use crate::workload::{Op, Run};
use crate::world::{DIRECTORY, Documents, disk_hash, file, machine, observe, open};

const WORKLOAD: [Op; 7] =
    [Op::Put, Op::Nested, Op::Checkpoint, Op::Both, Op::Checkpoint, Op::Put, Op::Nested];

/// A machine with one kind of damage.
struct Damaged {
    image: Snapshot,
    what: &'static str,
    /// The states before the damage.
    history: Vec<Documents>,
    /// The least number of documents that must be saved.
    least: usize,
}

fn damaged() -> Vec<Damaged> {
    let run = Run::of(machine(), &WORKLOAD, None).expect("the workload runs");
    let journal = format!("{DIRECTORY}/.storage/journal-000000000003.jsonl");
    let spoil = |path: &str, what: &dyn Fn(&mut Vec<u8>)| {
        let fs = run.fs.snapshot().kill();
        let mut bytes = fs.read_file(path).expect("a file");
        what(&mut bytes);
        fs.write_file(path, &bytes);
        fs.snapshot()
    };
    let all = run.state().len();
    let cases = [
        (spoil(&journal, &|bytes| bytes[30] ^= 1), "the header of a journal", all),
        // Document 1 is lost. Without the tip, nothing proves that the batch after it was acknowledged.
        (spoil(&journal, &|bytes| spoil_batch(bytes)), "a batch", all - 1),
        (spoil(&file(1), &|bytes| bytes.truncate(bytes.len() - 3)), "a file cut short", all - 1),
        (spoil(&file(0), &|bytes| bytes.clear()), "an empty file", all - 1),
    ];
    let damaged = |(image, what, least)| Damaged { image, what, history: run.history.clone(), least };
    cases.map(damaged).into()
}

fn spoil_batch(bytes: &mut [u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<usize> = text.match_indices("\n[\"").map(|(at, _)| at).collect();
    bytes[lines[lines.len() - 2] + 40] ^= 1;
}

/// Checks that repairing leads to a sound database with everything that can be saved, whatever happened before.
fn repaired(fs: &SimFs, case: &Damaged) -> Result<(), String> {
    let directory = Path::new(DIRECTORY);
    let report = repair(&fs.handle(), directory, no_wait()).map_err(|error| format!("repair: {error}"))?;
    if !report.is_ok() {
        return Err(format!("repair leaves\n{report}"));
    }
    let found = observe(&open(fs, None)?)?;
    let once = |(key, version): (&(usize, u64), &u32)| {
        case.history.iter().any(|state| state.get(key) == Some(version))
    };
    if !found.iter().all(once) || found.len() < case.least {
        return Err(format!("repair saves {found:?} of {:?}\n{report}", case.history));
    }
    let report = verify(&fs.handle(), directory, no_wait()).map_err(|error| format!("verify: {error}"))?;
    if report.is_ok() { Ok(()) } else { Err(format!("verifying finds\n{report}")) }
}

#[test]
fn a_repair_survives_a_power_loss_or_kill_at_every_call() {
    let mut checked = 0;
    let replacement = format!("{DIRECTORY}/.storage/journal-000000000004.jsonl");
    for case in damaged() {
        let Damaged { image, what, .. } = &case;
        let fs = image.kill();
        fs.record();
        repaired(&fs, &case).unwrap_or_else(|problem| panic!("{what}: {problem}"));
        for (at, moment) in fs.moments().into_iter().enumerate() {
            let killed = moment.kill();
            // Each of the journals may be removed or not by then, whether the one that replaces them all is there or not.
            let limit = if killed.read_file(&replacement).is_some() { 25 } else { 4 };
            for after in moment.crash_states(limit, at as u64).chain([killed]) {
                checked += 1;
                let seed = disk_hash(&after);
                repaired(&after, &case).unwrap_or_else(|e| panic!("{what}, call {at}, disk {seed}: {e}"));
            }
        }
    }
    reached("a crash inside a repair", format!("{checked} states"));
    assert!(checked > 1500, "only {checked} states");
}

#[test]
fn a_repair_can_be_repeated_after_a_failure_of_any_call() {
    let mut runs = 0;
    for case in damaged() {
        let Damaged { image, what, .. } = &case;
        let healthy = image.kill();
        repair(&healthy.handle(), Path::new(DIRECTORY), no_wait()).expect("repairable");
        for call in 1..=healthy.calls() {
            for (fault, repeat) in [
                (Fault::Io, Repeat::Once),
                (Fault::Io, Repeat::Forever),
                (Fault::NoSpace { written: 9 }, Repeat::Forever),
            ] {
                runs += 1;
                let fs = image.kill();
                fs.fail_from(call, fault, repeat);
                if let Err(error) = repair(&fs.handle(), Path::new(DIRECTORY), no_wait()) {
                    assert_eq!(error.code(), "IO_ERROR", "{what}, {fault:?} at call {call}: {error}");
                }
                fs.heal();
                let again = fs.kill();
                repaired(&again, &case).unwrap_or_else(|e| panic!("{what}, {fault:?} at call {call}: {e}"));
            }
        }
    }
    reached("a file call of a repair failing", format!("{runs} runs"));
    assert!(runs > 2000, "only {runs} runs");
}
