//! What must hold of a database after a power loss.

use std::io;
use std::path::Path;

use octoprompt_storage::engine::backup::restore;
use octoprompt_storage::engine::{Database, ProblemCode, WarningCode, verify};

use crate::database::{directory, observe, open, site, to_the_end, wait};
use crate::device::DEVICE;
use crate::guest::Settings;
use crate::marks::Marks;
use crate::model::{Batch, Documents, FILES, IDS, Life, digest};
use crate::states::Lost;
use crate::writer::{Outcome, backup_name, write};

/// Ids of the documents that are written after a power loss. No writer has them.
const FRESH: u64 = 900_000;

/// What must be found after a power loss.
pub struct Demand<'a> {
    pub allows: &'a dyn Fn(&Documents) -> Result<(), String>,
    /// A backup, and what it holds.
    pub backup: Option<(usize, &'a Documents)>,
}

/// Marks on the disk through which states a check leads the database, so that another power loss meanwhile can be checked
/// too: the state that is durable, and the next one.
struct Progress {
    durable: Marks,
    next: Marks,
}

impl Progress {
    fn open(settings: &Settings) -> io::Result<Progress> {
        let marks = |process| Marks::open(DEVICE, settings.size, process);
        Ok(Progress { durable: marks(0)?, next: marks(1)? })
    }

    /// Does what leads to a state and makes it durable.
    fn lead(&self, state: &Documents, work: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
        self.next.set(digest(state))?;
        work()?;
        Ok(self.durable.set(digest(state))?)
    }
}

/// Checks what is found after a power loss in a check that made these marks. Before the first of them, it is what `before`
/// allows.
pub fn is_led_to(found: &Documents, marks: &[u64], before: &Demand<'_>) -> Result<(), String> {
    match marks {
        [0, ..] => (before.allows)(found),
        marks if marks.contains(&digest(found)) => Ok(()),
        _ => Err("finds neither the state that the check before made durable nor the next one".into()),
    }
}

/// Checks the database on the mounted disk: it opens to a state that is allowed, and to the same a second time, without
/// warning of damage; it is sound; ten more writes and a checkpoint work and leave nothing behind; the backup is whole.
pub fn check(settings: &Settings, demand: &Demand<'_>) -> Result<(), String> {
    let progress = &Progress::open(settings).map_err(|error| error.to_string())?;
    let mutant = settings.mutant().map_err(|error| error.to_string())?;
    let base = &settings.base();
    let first = site(Path::new(base), mutant, false);
    let database = open(&first).map_err(|error| format!("does not open: {}: {error}", error.code()))?;
    let found = observe(&first, &database)?;
    (demand.allows)(&found)?;
    progress.lead(&found, || Ok(())).map_err(|error| error.to_string())?;
    let warnings = database.take_warnings();
    if let Some(warning) = warnings.iter().find(|warning| warning.code != WarningCode::TailCut) {
        return Err(format!("warns without a reason: {}", warning.message));
    }
    drop(database);
    let second = site(Path::new(base), mutant, true);
    let database = open(&second).map_err(|error| format!("does not open a second time: {error}"))?;
    if observe(&second, &database)? != found {
        return Err("opened to another state the second time".into());
    }
    let report = database.verify(wait()).map_err(|error| format!("cannot be verified: {error}"))?;
    let documents = found.keys().filter(|(collection, _)| *collection < FILES).count();
    if !report.is_ok() || report.documents() != documents as u64 {
        return Err(format!("verifying finds\n{report}"));
    }
    let expected = write_more(settings, &database, found, progress)
        .map_err(|error| format!("cannot be written: {error}"))?;
    if observe(&second, &database)? != expected {
        return Err("ten more writes led to another state".into());
    }
    database.checkpoint(wait()).map_err(|error| format!("the checkpoint failed: {error}"))?;
    drop(database);
    let report = verify(&second.base.file_system(), &directory(&second), wait());
    let report = report.map_err(|error| format!("cannot be verified: {error}"))?;
    if !report.is_ok() || report.problems.iter().any(|problem| problem.code == ProblemCode::Leftover) {
        return Err(format!("after a checkpoint, verifying finds\n{report}"));
    }
    if let Some((number, saved)) = demand.backup {
        let name = backup_name(number);
        progress
            .lead(saved, || Ok(restore(&second, Path::new(&name), wait(), &mut to_the_end())?))
            .map_err(|error| format!("backup {number} cannot be restored: {error}"))?;
        let database = open(&second).map_err(|error| format!("restored, it does not open: {error}"))?;
        if observe(&second, &database)? != *saved {
            return Err(format!("backup {number} restored another state"));
        }
    }
    Ok(())
}

/// Checks that what is found after a power loss is allowed by the lives of all writers.
pub fn are_allowed(found: &Documents, lives: &[Life], lost: &Lost) -> Result<(), String> {
    // Of each writer, the first of its states that may be found.
    let mut least = vec![0; lives.len()];
    // Where something is found, so is all that was acknowledged before it began.
    for _ in 0..2 {
        for (writer, life) in lives.iter().enumerate() {
            let place = place(found, life, lost.marks[writer], writer, least[writer])?;
            let Some(place) = place.filter(|&place| place > 0) else { continue };
            let begun = (writer, life.before(place) as u64 + 1);
            for (other, &mark) in lost.order.get(&begun).into_iter().flatten().enumerate() {
                least[other] = least[other].max(lives[other].end(mark.saturating_sub(1) as usize));
            }
        }
    }
    Ok(())
}

/// Returns the first state of a life that may be found, and is; `None` if it is one that repeating an operation leads to.
fn place(
    found: &Documents,
    life: &Life,
    mark: u64,
    writer: usize,
    least: usize,
) -> Result<Option<usize>, String> {
    let own = |&(&(_, id), _): &(&(usize, u64), _)| id / IDS == writer as u64;
    let found: Documents = found.iter().filter(own).map(|(key, value)| (*key, *value)).collect();
    // Nothing is written before the first mark.
    let acknowledged = mark.checked_sub(1).map(|acknowledged| acknowledged as usize);
    let allowed = acknowledged.map_or(0..=0, |acknowledged| life.allowed(acknowledged));
    let allowed = least.max(*allowed.start())..=*allowed.end();
    if let Some(place) = allowed.clone().find(|&place| life.states[place] == found) {
        return Ok(Some(place));
    }
    if acknowledged.is_some_and(|acknowledged| life.repeated(acknowledged).contains(&found)) {
        return Ok(None);
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
    settings: &Settings,
    database: &Database,
    mut documents: Documents,
    progress: &Progress,
) -> Outcome<Documents> {
    for number in 0..10 {
        let mut batch = Batch::default();
        batch.put.push((number % 2, FRESH + number as u64 % 4, 1_000_000 + number as u32, 100 * number));
        batch.in_files = number == 7;
        if number == 5 {
            batch.delete.extend(documents.keys().next().copied());
        }
        batch.apply(&mut documents, 1);
        let batches = std::slice::from_ref(&batch);
        progress.lead(&documents, || write(database, batches, settings.durability(true), 0))?;
    }
    Ok(documents)
}
