//! Power lost, or all processes killed, at every file call: the promises hold wherever that happens.

use std::collections::HashSet;
use std::path::Path;

use octoprompt_storage::engine::backup::list_backups;
use octoprompt_storage::engine::fs::{self, Extreme, SimFs, Snapshot};
use octoprompt_storage::engine::{Error, Mutant, Result};

use crate::holding::hold;
use crate::reached::reached;
use crate::world::{Process, Seen, change, directory, machine};

/// Something that is done to a base path, and what may be found if it is cut short.
pub struct Workload {
    pub name: &'static str,
    /// Prepares the initial state.
    pub prepare: fn(&mut Process) -> Result<()>,
    /// The steps, and which states may be found while each runs: see [`Stage`].
    pub steps: &'static [(Step, Stage)],
}

pub type Step = fn(&mut Process) -> Result<()>;

/// What a crash may leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The state before the workload.
    Before,
    /// The state before or the state after it.
    Either,
    /// The state after it.
    After,
}

fn nothing(_: &mut Process) -> Result<()> {
    Ok(())
}

fn back_up_and_change(process: &mut Process) -> Result<()> {
    process.back_up("one")?;
    change(process)
}

/// Leaves it to the restore to create one of the databases.
fn back_up_and_remove(process: &mut Process) -> Result<()> {
    back_up_and_change(process)?;
    process.close();
    fs::remove_tree(&process.fs, &directory(1)).map_err(|error| Error::io("remove", &directory(1), &error))
}

fn restore(process: &mut Process) -> Result<()> {
    process.restore("one")
}

fn restore_while_open(process: &mut Process) -> Result<()> {
    process.database(0)?;
    process.restore("one")
}

fn fail_to_migrate(process: &mut Process) -> Result<()> {
    let hold = hold(process)?;
    let copy = hold.copy(None)?;
    change(process)?;
    hold.put_back(copy)
}

fn begin(process: &mut Process) -> Result<()> {
    let hold = hold(process)?;
    let copy = hold.copy(None)?;
    change(process)?;
    process.held = Some((hold, copy));
    Ok(())
}

fn succeed(process: &mut Process) -> Result<()> {
    let Some((hold, copy)) = process.held.take() else { return Ok(()) };
    hold.discard(&copy).map(drop)
}

fn make_backup(process: &mut Process) -> Result<()> {
    process.back_up("two").map(drop)
}

pub const BACKUP: Workload =
    Workload { name: "backup", prepare: nothing, steps: &[(make_backup, Stage::Before)] };

pub const RESTORE: Workload = Workload {
    name: "restore",
    prepare: back_up_and_change,
    steps: &[(restore, Stage::Either), (nothing, Stage::After)],
};

pub const RESTORE_OPEN: Workload = Workload {
    name: "restore while open",
    prepare: back_up_and_change,
    steps: &[(restore_while_open, Stage::Either), (nothing, Stage::After)],
};

pub const RESTORE_MISSING: Workload = Workload {
    name: "restore of a database that is gone",
    prepare: back_up_and_remove,
    steps: &[(restore, Stage::Either), (nothing, Stage::After)],
};

pub const FAILURE: Workload =
    Workload { name: "failing migration", prepare: nothing, steps: &[(fail_to_migrate, Stage::Before)] };

pub const SUCCESS: Workload = Workload {
    name: "migration",
    prepare: nothing,
    steps: &[(begin, Stage::Before), (succeed, Stage::Either), (nothing, Stage::After)],
};

/// One moment of a run.
struct Moment {
    snapshot: Snapshot,
    stage: Stage,
}

/// A workload that has run.
pub struct Run {
    moments: Vec<Moment>,
    before: Seen,
    after: Seen,
}

fn see(fs: &SimFs) -> Result<Seen, String> {
    Process::start(fs).see().map_err(|error| format!("{}: {error}", error.code()))
}

impl Run {
    pub fn of(workload: &Workload, mutant: Option<Mutant>) -> Run {
        let fs = machine();
        let mut process = Process::start_as(&fs, mutant);
        (workload.prepare)(&mut process).unwrap_or_else(|error| panic!("{}: {error}", workload.name));
        process.close();
        drop(process);
        let fs = fs.power_loss(&mut Extreme::Everything);
        let before = see(&fs.snapshot().kill()).expect("readable");
        let mut process = Process::start_as(&fs, mutant);
        let mut moments = Vec::new();
        for (step, stage) in workload.steps {
            fs.record();
            step(&mut process).unwrap_or_else(|error| panic!("{}: {error}", workload.name));
            moments.extend(fs.moments().into_iter().map(|snapshot| Moment { snapshot, stage: *stage }));
        }
        let after = see(&fs.snapshot().kill()).expect("readable");
        Run { moments, before, after }
    }

    fn check(&self, found: &Seen, stage: Stage) -> Result<(), String> {
        let allowed = match stage {
            Stage::Before => *found == self.before,
            Stage::After => *found == self.after,
            Stage::Either => *found == self.before || *found == self.after,
        };
        if allowed {
            Ok(())
        } else {
            Err(format!("{stage:?}: found {found:?}\nbefore: {:?}\nafter: {:?}", self.before, self.after))
        }
    }
}

/// Checks everything that must hold on a machine after a crash, and returns what was found.
fn sound(fs: &SimFs, run: &Run, stage: Stage) -> Result<Seen, String> {
    let found = see(fs)?;
    run.check(&found, stage)?;
    let again = see(&fs.kill())?;
    if again != found {
        return Err(format!("found {found:?}, the second time {again:?}"));
    }
    let mut process = Process::start(fs);
    let written = process.put((0, 0, 99), "after the crash").and_then(|()| process.checkpoint());
    written.map_err(|error| format!("writing after the crash: {error}"))?;
    process.close();
    let mut expected = found.clone();
    expected.documents.insert((0, 0, 99), crate::support::record(99, "after the crash"));
    let lost = see(&fs.power_loss(&mut Extreme::Nothing))?;
    // Where a collection's directory exists is not checked: the collection creates it.
    if lost.documents != expected.documents || lost.files != expected.files {
        return Err(format!("after writing there is {lost:?} instead of {expected:?}"));
    }
    no_half_backup(fs, run)?;
    Ok(found)
}

/// Checks that each backup listed as complete is complete.
fn no_half_backup(fs: &SimFs, run: &Run) -> Result<(), String> {
    let mut process = Process::start(fs);
    let listed = list_backups(&process.site).map_err(|error| error.to_string())?;
    for backup in listed {
        if backup.name == "two" {
            if !backup.is_complete() {
                return Err(format!("{backup:?}"));
            }
            process.restore("two").map_err(|error| format!("the backup does not restore: {error}"))?;
            let restored = process.see().map_err(|error| error.to_string())?;
            if restored != run.before {
                return Err(format!("the backup holds {restored:?}"));
            }
        }
    }
    Ok(())
}

/// Loses power everywhere, in up to `limit` ways each, and kills everywhere; then does so once more during recovery. Returns
/// the number of states checked, or the first that was wrong.
pub fn explore(
    workload: &Workload,
    mutant: Option<Mutant>,
    limit: usize,
    nested: usize,
) -> Result<usize, String> {
    let run = Run::of(workload, mutant);
    let mut seen = HashSet::new();
    let mut checked = 0;
    for (at, moment) in run.moments.iter().enumerate() {
        let at = at as u64;
        let named = |fs: &SimFs, problem: String| {
            let origin = fs.origin().map(ToString::to_string).unwrap_or_else(|| "killed".to_owned());
            format!("{} at call {}: {problem}\n{origin}", workload.name, moment.snapshot.calls())
        };
        for fs in moment.snapshot.crash_states(limit, at) {
            if !seen.insert((fs.image_hash(), moment.stage)) {
                continue;
            }
            checked += 1;
            let image = fs.snapshot();
            let found = sound(&fs, &run, moment.stage).map_err(|problem| named(&fs, problem))?;
            if checked % nested == 0 {
                let ended = (moment.stage, &found);
                let more = again(&image.kill(), &run, ended, |moment| moment.crash_states(3, at).collect());
                checked += more.map_err(|problem| named(&fs, problem))?;
            }
        }
        // What was not synced before a kill may still be lost later.
        let fs = moment.snapshot.kill();
        checked += 1;
        let image = fs.snapshot();
        let found = sound(&fs, &run, moment.stage).map_err(|problem| named(&fs, problem))?;
        let worst = |moment: &Snapshot| vec![moment.power_loss(&mut Extreme::Nothing)];
        // Neighbouring moments hardly differ, least of all between the ends of an undivided stage.
        let every = match moment.stage {
            _ if more() > 1 => 1,
            Stage::Either => 5,
            Stage::Before | Stage::After => 12,
        };
        if at.is_multiple_of(every) && is_pending(&image.kill()) {
            let more = again(&image.kill(), &run, (moment.stage, &found), worst);
            checked += more.map_err(|problem| named(&fs, problem))?;
        }
    }
    Ok(checked)
}

/// Crashes while an interrupted call is being settled. Until it is, nobody was told how the call ended; afterwards the
/// outcome is fixed.
fn again(
    fs: &SimFs,
    run: &Run,
    (stage, found): (Stage, &Seen),
    crashes: impl Fn(&Snapshot) -> Vec<SimFs>,
) -> Result<usize, String> {
    fs.record();
    Process::start(fs).settle().map_err(|error| error.to_string())?;
    let settling = fs.moments();
    fs.record();
    see(fs)?;
    let ended = if *found == run.before { Stage::Before } else { Stage::After };
    let moments = settling.into_iter().map(|moment| (moment, stage));
    let mut checked = 0;
    for (moment, stage) in moments.chain(fs.moments().into_iter().map(|moment| (moment, ended))) {
        for after in crashes(&moment) {
            checked += 1;
            let second = see(&after).map_err(|problem| format!("a second time: {problem}"))?;
            run.check(&second, stage).map_err(|problem| format!("a second time: {problem}"))?;
        }
    }
    Ok(checked)
}

/// Whether an interrupted call is to be settled.
fn is_pending(fs: &SimFs) -> bool {
    ["/base/data/.restore/intent.json", "/base/data/.migration/intent.json"]
        .iter()
        .any(|path| fs.read_file(path).is_some())
}

/// By how much to multiply the states of an ordinary run.
pub fn more() -> usize {
    let all: Option<usize> = std::env::var("CRASH_STATES").ok().and_then(|count| count.parse().ok());
    (all.unwrap_or(0) / 20_000).max(1)
}

pub fn every_crash(workload: &Workload, limit: usize, nested: usize, least: usize) {
    let checked = explore(workload, None, limit * more(), nested.div_ceil(more()))
        .unwrap_or_else(|problem| panic!("{problem}"));
    reached("a crash inside backup, restore or migration", format!("{checked} states"));
    assert!(checked >= least, "{}: only {checked} states", workload.name);
}

#[test]
fn a_crash_during_a_backup_leaves_a_whole_backup_or_none_and_the_data_unchanged() {
    every_crash(&BACKUP, 20, 100, 1000);
}

#[test]
fn a_crash_during_a_restore_leaves_all_of_it_or_none() {
    every_crash(&RESTORE, 3, 100, 2000);
}

#[test]
fn a_crash_during_a_restore_under_open_storages_leaves_all_of_it_or_none() {
    every_crash(&RESTORE_OPEN, 1, 200, 1500);
}

#[test]
fn a_crash_during_a_failing_migration_leaves_none_of_it() {
    every_crash(&FAILURE, 2, 300, 2000);
}

#[test]
fn a_crash_during_a_migration_leaves_all_of_it_or_none() {
    every_crash(&SUCCESS, 2, 300, 2000);
}

/// Returns the number of calls after which a new process is in the middle of making a backup.
pub fn calls_of_copying(fs: &SimFs) -> u64 {
    let mut twin = Process::start(&fs.snapshot().kill());
    twin.back_up("two").expect("backed up");
    let log = twin.fs.log();
    let is_below = |path: &Path| path.ancestors().skip(1).any(|above| above.ends_with(".partial-two"));
    let copying = log.iter().filter(|entry| is_below(entry.call.path()));
    let numbers: Vec<u64> = copying.map(|entry| entry.number).collect();
    numbers[numbers.len() / 2]
}

#[test]
fn the_next_backup_removes_the_partial_files_of_an_interrupted_one() {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.back_up("one").expect("backed up");
    process.close();
    let mut process = Process::start(&fs);
    process.fs.stop_at(calls_of_copying(&fs));
    process.back_up("two").expect_err("it was killed");
    let fs = process.fs.kill();
    let mut process = Process::start(&fs);
    let partial = |fs: &SimFs| {
        let names = octoprompt_storage::engine::fs::Fs::list_dir(fs, Path::new("/base/backups"))
            .expect("a directory");
        names.into_iter().filter(|name| name.starts_with(".partial-")).count()
    };
    assert_eq!(partial(&fs), 1);
    process.back_up("two").expect("backed up");
    assert_eq!(partial(&fs), 0);
}
