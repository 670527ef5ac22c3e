//! What must hold of a database after a crash.

use std::ops::RangeInclusive;
use std::path::Path;

use octoprompt_storage::engine::fs::{Chooser, Extreme, Seeded, SimFs};
use octoprompt_storage::engine::{Durability, Mutant, ProblemCode, verify};

use crate::support::no_wait;
use crate::workload::{Batch, Run};
use crate::world::{DIRECTORY, Documents, Handle, disk_hash, observe, open, warnings};

/// Ids of the documents that are written after a crash.
const FRESH: u64 = 100;

/// One state in this many is followed through another power loss, a checkpoint and a third power loss. By then it no longer
/// matters where the state came from.
const FOLLOWED: u64 = 8;

/// Checks everything that is promised of the machine after a crash: the database opens to one of the allowed states of the
/// history, and to the same state a second time, and is sound; ten more writes work; in one of [`FOLLOWED`] states, these
/// and a checkpoint survive, and what was lost stays lost.
pub fn check(fs: &SimFs, run: &Run, allowed: RangeInclusive<usize>, seed: u64) -> Result<(), String> {
    let mutant = run.mutant;
    let process = fs.process();
    let database = open(&process, mutant)?;
    let found = observe(&database)?;
    if !run.history[allowed.clone()].contains(&found) {
        return Err(format!("opened to {found:?}, which is none of the states {allowed:?}"));
    }
    if let Some(code) = run.unexpected(&warnings(&database)) {
        return Err(format!("warns of {code:?} for no reason"));
    }
    let process = process.kill();
    drop(database);
    let database = open(&process, mutant).map_err(|problem| format!("the second time {problem}"))?;
    let again = observe(&database)?;
    let report = database.verify(no_wait()).map_err(|error| format!("cannot be verified: {error}"))?;
    if !report.is_ok() || report.documents() != again.len() as u64 {
        return Err(format!("verifying finds\n{report}"));
    }
    if again != found {
        return Err(format!("opened to {found:?}, the second time to {again:?}"));
    }
    let expected = write_more(&database, found)?;
    let seen = observe(&database)?;
    if seen != expected {
        return Err(format!("after ten writes there is {seen:?} instead of {expected:?}"));
    }
    if run.mutant.is_none() && !seed.is_multiple_of(FOLLOWED) {
        return Ok(());
    }
    let after = fs.power_loss(&mut *chooser(seed));
    drop(database);
    let database = reopened(&after, mutant, &expected, "ten more writes")?;
    database.checkpoint(no_wait()).map_err(|error| format!("the checkpoint failed: {error}"))?;
    let seen = observe(&database)?;
    if seen != expected {
        return Err(format!("after the checkpoint there is {seen:?} instead of {expected:?}"));
    }
    let last = after.power_loss(&mut *chooser(seed + 1));
    drop(database);
    drop(reopened(&last, mutant, &expected, "a checkpoint")?);
    sound(&last)
}

/// Checks that what all processes left behind is sound.
fn sound(fs: &SimFs) -> Result<(), String> {
    let report = verify(&fs.handle(), Path::new(DIRECTORY), no_wait());
    let report = report.map_err(|error| format!("cannot be verified: {error}"))?;
    let tidy = report.problems.iter().all(|problem| problem.code != ProblemCode::Leftover);
    if report.is_ok() && tidy { Ok(()) } else { Err(format!("verifying finds\n{report}")) }
}

fn chooser(seed: u64) -> Box<dyn Chooser> {
    match seed % 4 {
        0 => Box::new(Extreme::Nothing),
        1 => Box::new(Extreme::Everything),
        _ => Box::new(Seeded::new(seed)),
    }
}

fn reopened(fs: &SimFs, mutant: Option<Mutant>, expected: &Documents, what: &str) -> Result<Handle, String> {
    let database = open(fs, mutant).map_err(|problem| format!("after {what} {problem}"))?;
    let seen = observe(&database).map_err(|problem| format!("after {what} {problem}"))?;
    if seen == *expected {
        return Ok(database);
    }
    Err(format!("after {what} and another power loss there is {seen:?} instead of {expected:?}"))
}

/// Writes ten batches, each acknowledged as durable.
fn write_more(database: &Handle, mut documents: Documents) -> Result<Documents, String> {
    for number in 0..10 {
        let mut batch = Batch::put(number % 2, FRESH + number as u64 % 4, 1000 + number as u32);
        if number == 5 {
            batch.delete.extend(documents.keys().next().copied());
        }
        batch
            .write(database, Durability::Full)
            .map_err(|error| format!("write {number} after the crash failed: {error}"))?;
        batch.model(&mut documents);
    }
    Ok(documents)
}

/// Like [`check`], with everything that is needed to repeat it in the message.
pub fn report(fs: &SimFs, run: &Run, allowed: RangeInclusive<usize>) -> Result<(), String> {
    check(fs, run, allowed, disk_hash(fs) % 1_000_003).map_err(|problem| {
        let origin = fs.origin().map(ToString::to_string).unwrap_or_default();
        format!("{problem}\n{run}{origin}")
    })
}
