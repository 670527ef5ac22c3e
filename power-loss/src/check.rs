//! What must hold of a database after a power loss.

use std::path::Path;

use octoprompt_storage::engine::backup::restore;
use octoprompt_storage::engine::{Database, Durability, ProblemCode, WarningCode, verify};

use crate::database::{directory, observe, open, site, to_the_end, wait};
use crate::model::{Batch, Documents, IDS, Life};
use crate::writer::{backup_name, write};

/// Ids of the documents that are written after a power loss. No writer has them.
const FRESH: u64 = 900_000;

/// Checks the database below `base`: it opens to a state that all writers allow, and to the same a second time, without
/// warning of damage; it is sound; ten more writes and a checkpoint work and leave nothing behind; the last backup is whole.
/// `marks` are those of the writers that live these lives.
pub fn check(base: &Path, lives: &[Life], marks: &[u64]) -> Result<(), String> {
    let first = site(base, None, false);
    let database = open(&first).map_err(|error| format!("does not open: {}: {error}", error.code()))?;
    let found = observe(&database)?;
    for (writer, life) in lives.iter().enumerate() {
        is_allowed(&found, life, marks[writer], writer)?;
    }
    let warnings = database.take_warnings();
    if let Some(warning) = warnings.iter().find(|warning| warning.code != WarningCode::TailCut) {
        return Err(format!("warns without a reason: {}", warning.message));
    }
    drop(database);
    let second = site(base, None, true);
    let database = open(&second).map_err(|error| format!("does not open a second time: {error}"))?;
    if observe(&database)? != found {
        return Err("opened to another state the second time".into());
    }
    let report = database.verify(wait()).map_err(|error| format!("cannot be verified: {error}"))?;
    if !report.is_ok() || report.documents() != found.len() as u64 {
        return Err(format!("verifying finds\n{report}"));
    }
    let expected = write_more(&database, found).map_err(|error| format!("cannot be written: {error}"))?;
    if observe(&database)? != expected {
        return Err("ten more writes led to another state".into());
    }
    database.checkpoint(wait()).map_err(|error| format!("the checkpoint failed: {error}"))?;
    drop(database);
    let report = verify(&second.base.file_system(), &directory(&second), wait());
    let report = report.map_err(|error| format!("cannot be verified: {error}"))?;
    if !report.is_ok() || report.problems.iter().any(|problem| problem.code == ProblemCode::Leftover) {
        return Err(format!("after a checkpoint, verifying finds\n{report}"));
    }
    let acknowledged = marks[0].saturating_sub(1) as usize;
    if let Some((number, saved)) = lives[0].backup(acknowledged).filter(|_| lives.len() == 1) {
        restore(&second, Path::new(&backup_name(number)), wait(), &mut to_the_end())
            .map_err(|error| format!("backup {number} cannot be restored: {error}"))?;
        let database = open(&second).map_err(|error| format!("restored, it does not open: {error}"))?;
        if observe(&database)? != *saved {
            return Err(format!("backup {number} restored another state"));
        }
    }
    Ok(())
}

fn is_allowed(found: &Documents, life: &Life, mark: u64, writer: usize) -> Result<(), String> {
    let own = |&(&(_, id), _): &(&(usize, u64), _)| id / IDS == writer as u64;
    let found: Documents = found.iter().filter(own).map(|(key, value)| (*key, *value)).collect();
    // Nothing is written before the first mark.
    let acknowledged = mark.checked_sub(1).map(|acknowledged| acknowledged as usize);
    let allowed = acknowledged.map_or(0..=0, |acknowledged| life.allowed(acknowledged));
    let repeated = acknowledged.map(|acknowledged| life.repeated(acknowledged)).unwrap_or_default();
    if life.states[allowed.clone()].contains(&found) || repeated.contains(&found) {
        return Ok(());
    }
    let place = life.states.iter().rposition(|state| *state == found);
    let place = place.map_or("a state that never was".into(), |place| format!("state {place}"));
    let least = &life.states[*allowed.start()];
    let differs: Vec<_> = found
        .iter()
        .filter(|(key, value)| least.get(key) != Some(value))
        .chain(least.iter().filter(|(key, _)| !found.contains_key(key)))
        .collect();
    Err(format!(
        "writer {writer} finds {place} instead of {allowed:?}; from the first of these differ {differs:?}"
    ))
}

/// Writes ten batches, each acknowledged as durable.
fn write_more(
    database: &Database,
    mut documents: Documents,
) -> Result<Documents, Box<dyn std::error::Error>> {
    for number in 0..10 {
        let mut batch = Batch::default();
        batch.put.push((number % 2, FRESH + number as u64 % 4, 1_000_000 + number as u32, 100 * number));
        batch.in_files = number == 7;
        if number == 5 {
            batch.delete.extend(documents.keys().next().copied());
        }
        write(database, std::slice::from_ref(&batch), Durability::Full, 0)?;
        batch.apply(&mut documents, 1);
    }
    Ok(documents)
}
