//! Every file call failing once: answers are true, and nothing is half done.

use std::sync::atomic::{AtomicUsize, Ordering};

use octoprompt_storage::engine::fs::{Call, Extreme, Fault, Repeat, SimFs};
use octoprompt_storage::engine::{Error, Outcome, Result};

use crate::crashes::{BACKUP, FAILURE, RESTORE, RESTORE_MISSING, RESTORE_OPEN, SUCCESS, Workload};
use crate::holding::hold;
use crate::reached::reached;
use crate::support::record;
use crate::world::{DATABASES, Process, Seen, code, machine};

/// A machine on which the workload can begin.
fn prepared(workload: &Workload) -> SimFs {
    let fs = machine();
    let mut process = Process::start(&fs);
    (workload.prepare)(&mut process).expect("prepared");
    process.close();
    drop(process);
    fs.power_loss(&mut Extreme::Everything)
}

fn run(process: &mut Process, workload: &Workload) -> Result<()> {
    workload.steps.iter().try_for_each(|(step, _)| step(process))
}

fn see(fs: &SimFs) -> std::result::Result<Seen, String> {
    Process::start(fs).see().map_err(|error| format!("{}: {error}", error.code()))
}

/// Whether `found` is allowed after the call returned this result.
fn judge(result: &Result<()>, found: &Seen, before: &Seen, after: &Seen) -> bool {
    found == after || (result.is_err() && found == before)
}

/// Returns the state of the machine after the workload.
fn outcome(workload: &Workload, fs: &SimFs) -> Seen {
    let twin = fs.snapshot().kill();
    let mut process = Process::start(&twin);
    run(&mut process, workload).expect("nothing fails");
    process.held = None;
    process.close();
    see(&twin).expect("readable")
}

/// Lets the first call fail that this fault can hit, from this one on. Returns which it was; `None` if there was none.
fn one_fault(
    workload: &Workload,
    fs: &SimFs,
    call: u64,
    fault: Fault,
    (before, after): (&Seen, &Seen),
) -> std::result::Result<Option<u64>, String> {
    let fs = fs.snapshot().kill();
    let mut process = Process::start(&fs);
    process.fs.fail_from(call, fault, Repeat::Once);
    let result = run(&mut process, workload);
    let Some(failed) = process.fs.first_fault() else { return Ok(None) };
    process.fs.heal();
    if let Err(error) = &result
        && !matches!(error.code(), "IO_ERROR" | "CORRUPT_DATA" | "CONFLICT")
    {
        return Err(format!("{}: {error}", error.code()));
    }
    process.held = None;
    // Other processes, and restarts of the machine.
    let image = fs.snapshot();
    for after_crash in
        [image.kill(), image.power_loss(&mut Extreme::Nothing), image.power_loss(&mut Extreme::Everything)]
    {
        let seen = see(&after_crash)?;
        if !judge(&result, &seen, before, after) {
            return Err(format!("answered {result:?}, found {seen:?}\nbefore {before:?}\nafter {after:?}"));
        }
    }
    same_process(process, &fs, before, after)?;
    Ok(Some(failed))
}

/// The process continues: it sees one of the two states, and what it writes stays or is refused.
fn same_process(
    mut process: Process,
    fs: &SimFs,
    before: &Seen,
    after: &Seen,
) -> std::result::Result<(), String> {
    let seen = process.see().map_err(|error| format!("the process itself: {}: {error}", error.code()))?;
    if seen != *before && seen != *after {
        return Err(format!("the process itself sees {seen:?}\nbefore {before:?}\nafter {after:?}"));
    }
    match process.put((0, 0, 99), "afterwards") {
        Ok(()) => {
            let again = see(&fs.snapshot().power_loss(&mut Extreme::Nothing))?;
            if again.documents.get(&(0, 0, 99)) != Some(&record(99, "afterwards")) {
                return Err("what was written afterwards is lost".to_owned());
            }
        }
        Err(error @ (Error::Poisoned { .. } | Error::MigrationFailed(_)))
            if error.outcome() == Outcome::None => {}
        Err(error) => return Err(format!("writing afterwards: {}: {error}", error.code())),
    }
    Ok(())
}

/// Answers are true, whichever call of the workload fails.
pub fn every_call(workload: &Workload, fault: Fault) {
    let fs = prepared(workload);
    let (before, after) = (see(&fs.snapshot().kill()).expect("readable"), outcome(workload, &fs));
    let (mut call, mut runs) = (1, 0);
    let named = |call, problem| panic!("{} with {fault:?} from call {call} on: {problem}", workload.name);
    while let Some(failed) = one_fault(workload, &fs, call, fault, (&before, &after))
        .unwrap_or_else(|problem| named(call, problem))
    {
        runs += 1;
        call = failed + 1;
    }
    reached("a file call of backup, restore or migration failing", format!("{runs} runs"));
    assert!(runs > 20, "{runs}");
}

#[test]
fn a_backup_keeps_its_promises_when_any_call_fails() {
    every_call(&BACKUP, Fault::Io);
    every_call(&BACKUP, Fault::NoSpace { written: 5 });
}

#[test]
fn a_restore_keeps_its_promises_when_any_call_fails() {
    every_call(&RESTORE, Fault::Io);
    every_call(&RESTORE, Fault::NoSpace { written: 5 });
}

#[test]
fn a_restore_under_open_storages_keeps_its_promises_when_any_call_fails() {
    every_call(&RESTORE_OPEN, Fault::Io);
}

#[test]
fn a_restore_of_a_missing_database_keeps_its_promises_when_any_call_fails() {
    every_call(&RESTORE_MISSING, Fault::Io);
}

#[test]
fn a_restore_that_fails_without_effect_leaves_every_open_database_writable() {
    let fs = prepared(&RESTORE_OPEN);
    for failing in 0.. {
        let mut process = Process::start(&fs.snapshot().kill());
        (0..DATABASES.len()).for_each(|number| drop(process.database(number).expect("opens")));
        let mapped = AtomicUsize::new(0);
        let maps_tip = move |call: &Call| {
            matches!(call, Call::OpenPage { .. }) && mapped.fetch_add(1, Ordering::Relaxed) == failing
        };
        process.fs.fail_when(maps_tip, Fault::Io, Repeat::Once);
        let restored = process.restore("one");
        if process.fs.faults() == 0 {
            assert!(failing > 4, "{failing}");
            return restored.expect("nothing fails");
        }
        if restored.expect_err("a call failed").outcome() == Outcome::None {
            for number in 0..DATABASES.len() {
                process.put((number, 0, 99), "afterwards").expect("writable");
            }
        }
    }
}

#[test]
fn a_failing_migration_keeps_its_promises_when_any_call_fails() {
    every_call(&FAILURE, Fault::Io);
    every_call(&FAILURE, Fault::NoSpace { written: 5 });
}

#[test]
fn a_migration_keeps_its_promises_when_any_call_fails() {
    every_call(&SUCCESS, Fault::Io);
    every_call(&SUCCESS, Fault::NoSpace { written: 5 });
}

#[test]
fn a_rollback_copy_can_be_made_after_one_that_failed_half_way() {
    let fs = machine();
    let process = Process::start(&fs);
    let held = hold(&process).expect("held");
    let syncs = |call: &Call| matches!(call, Call::SyncDir { path } if path.ends_with(".migration/before"));
    process.fs.fail_when(syncs, Fault::Io, Repeat::Once);
    assert_eq!(code(held.copy(None)).map(drop), Err("IO_ERROR"));
    let copy = held.copy(None).expect("copied");
    let _ = held.discard(&copy).expect("discarded");
}
