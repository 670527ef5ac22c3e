//! Wrong variants of the protocol: each must be caught by checks that the right variant passes.

use std::sync::OnceLock;

use octoprompt_storage::engine::fs::{Call, Extreme, Fault, Repeat};
use octoprompt_storage::engine::{Durability, Mutant};

use crate::check::report;
use crate::errors::{check_afterwards, run_with_faults};
use crate::explore::Explorer;
use crate::nested::crash_again;
use crate::reached::reached;
use crate::workload::{Batch, Op, Run};
use crate::world::{Documents, machine, observe, open};

/// Loses power everywhere in these workloads, and a second time after each first power loss.
fn crashed(workloads: &[&[Op]], mutant: Option<Mutant>) -> Vec<String> {
    let mut explorer = Explorer::default();
    for ops in workloads {
        let run = Run::of(machine(), ops, mutant).map(|mut run| {
            run.interesting = 0;
            run
        });
        explorer.run(run, |explorer, run| {
            explorer.power_losses(run, 8, 1);
            for (at, moment) in run.moments.iter().enumerate().filter(|(_, moment)| !moment.page_only) {
                if explorer.violations.is_empty() {
                    for (number, after) in moment.snapshot.crash_states(4, at as u64).enumerate() {
                        crash_again(explorer, run, moment, after, (at + number) as u64);
                    }
                }
            }
        });
    }
    explorer.violations
}

/// Workloads on which mutants are tried, once the right protocol has passed them.
struct Workloads {
    of: &'static [&'static [Op]],
    right: OnceLock<Vec<String>>,
}

impl Workloads {
    const fn new(of: &'static [&'static [Op]]) -> Workloads {
        Workloads { of, right: OnceLock::new() }
    }
}

fn is_caught_by_crashes(mutant: Mutant, workloads: &Workloads) {
    let right = workloads.right.get_or_init(|| crashed(workloads.of, None));
    assert!(right.is_empty(), "the right protocol fails: {}", right[0]);
    let wrong = crashed(workloads.of, Some(mutant));
    assert!(!wrong.is_empty(), "{mutant:?} is not caught");
    caught(mutant, &wrong[0]);
}

/// Prints how the mutant was caught.
fn caught(mutant: Mutant, problem: &str) {
    println!("{mutant:?}: {problem}");
    reached("a wrong protocol caught", "1 mutant");
}

static CHECKPOINTS: Workloads = Workloads::new(&[
    &[Op::Put, Op::Checkpoint, Op::Both, Op::Checkpoint, Op::Put],
    &[Op::Nested, Op::Checkpoint, Op::Put],
]);

#[test]
fn a_new_journal_without_a_directory_sync_is_caught() {
    is_caught_by_crashes(Mutant::NewJournalWithoutDirectorySync, &CHECKPOINTS);
}

#[test]
fn dropping_a_journal_before_the_renames_are_durable_is_caught() {
    let workloads = Workloads::new(&[&[
        Op::Put,
        Op::Checkpoint,
        Op::Both,
        Op::Checkpoint,
        Op::Put,
        Op::Checkpoint,
        Op::Both,
    ]]);
    is_caught_by_crashes(Mutant::DropJournalBeforeDirectorySync, &workloads);
}

#[test]
fn renaming_a_snapshot_before_it_is_synced_is_caught() {
    is_caught_by_crashes(Mutant::RenameBeforeSync, &CHECKPOINTS);
}

#[test]
fn resetting_a_journal_in_place_is_caught() {
    is_caught_by_crashes(Mutant::JournalResetInPlace, &CHECKPOINTS);
}

#[test]
fn trusting_a_stale_index_checkpoint_is_caught() {
    is_caught_by_crashes(Mutant::TrustStaleIndexCheckpoint, &CHECKPOINTS);
}

#[test]
fn a_line_written_before_its_document_file_is_durable_is_caught() {
    is_caught_by_crashes(Mutant::LineBeforeDocumentFile, &Workloads::new(&[&[Op::Large, Op::Put]]));
}

#[test]
fn appending_after_an_unsynced_cut_is_caught() {
    is_caught(Mutant::AppendAfterUnsyncedCut, dead_batches_stay_dead);
}

/// A writer dies before its sync; another process cuts what it left and continues to write. The dead batch must not come
/// back in the place of what followed, even if that was not synced either.
fn dead_batches_stay_dead(mutant: Option<Mutant>) -> Result<(), String> {
    let fs = machine();
    let (writing, other) = (fs.process(), fs.process());
    let (writer, survivor) = (open(&writing, mutant)?, open(&other, mutant)?);
    let syncs = |call: &Call| matches!(call, Call::SyncData { .. });
    let calls = calls_before(&writing, syncs, mutant)?;
    writing.stop_at(writing.calls() + calls);
    let _ = Batch::put(0, 1, 1).write(&writer, Durability::Full);
    writing.kill();
    let written = Batch::put(0, 2, 2).write(&survivor, Durability::Os);
    written.map_err(|error| format!("the survivor: {error}"))?;
    let mut after = Documents::new();
    Batch::put(0, 2, 2).model(&mut after);
    for lost in fs.crash_states(200, 1) {
        let found = observe(&open(&lost, mutant)?)?;
        if !found.is_empty() && found != after {
            return Err(format!("there is {found:?} again"));
        }
    }
    Ok(())
}

/// Returns how many calls a process makes in a write up to its first sync.
fn calls_before(
    process: &octoprompt_storage::engine::fs::SimFs,
    fits: fn(&Call) -> bool,
    mutant: Option<Mutant>,
) -> Result<u64, String> {
    let twin = process.snapshot().kill();
    let database = open(&twin, mutant)?;
    let (before, logged) = (twin.calls(), twin.log().len());
    Batch::put(0, 1, 1).write(&database, Durability::Full).map_err(|error| error.to_string())?;
    let first = twin.log()[logged..].iter().find(|entry| fits(&entry.call)).map(|entry| entry.number);
    first.map(|number| number - before).ok_or_else(|| "the write does not sync".to_owned())
}

#[test]
fn serving_an_unsynced_tail_is_caught() {
    let killed = |mutant| -> Result<(), String> {
        let run = Run::of(machine(), &[Op::Put, Op::PutOs], mutant)?;
        let mut again = Run::begin(run.fs.kill(), run.history[2..].to_vec(), mutant)?;
        again.flush();
        let moment = again.now();
        let after = moment.snapshot.power_loss(&mut Extreme::Nothing);
        report(&after, &again, again.allowed(&moment, true))
    };
    is_caught(Mutant::ServeUnsyncedTail, killed);
}

fn is_caught(mutant: Mutant, scenario: impl Fn(Option<Mutant>) -> Result<(), String>) {
    scenario(None).unwrap_or_else(|problem| panic!("the right protocol fails: {problem}"));
    let problem = scenario(Some(mutant)).expect_err("the wrong protocol is caught");
    caught(mutant, &problem);
}

/// A writer dies at some call of its second write while another process has the database open. What the other one reads must
/// survive an immediate power loss, stay there, and include everything acknowledged.
pub fn writer_dies(call: u64, mutant: Option<Mutant>) -> Result<(), String> {
    let fs = machine();
    let (writing, reading) = (fs.process(), fs.process());
    let (writer, reader) = (open(&writing, mutant)?, open(&reading, mutant)?);
    let mut history = vec![observe(&reader)?];
    let put = |version: u32| Batch::put(0, version.into(), version);
    for version in 1..=2 {
        let mut state: Documents = history[history.len() - 1].clone();
        put(version).model(&mut state);
        history.push(state);
    }
    put(1).write(&writer, Durability::Full).map_err(|error| error.to_string())?;
    writing.stop_at(writing.calls() + call);
    // A process that is stopped while it stores the tip does not learn of it, and acknowledges nothing to anyone.
    let acknowledged = put(2).write(&writer, Durability::Full).is_ok() && !writing.is_stopped();
    writing.kill();
    let seen = observe(&reader)?;
    let Some(at) = history.iter().position(|state| *state == seen) else {
        return Err(format!("the other process reads {seen:?}, which never was"));
    };
    if at < 1 + usize::from(acknowledged) {
        return Err(format!("the other process reads {seen:?} and misses what was acknowledged"));
    }
    let lost = fs.power_loss(&mut Extreme::Nothing);
    let found = observe(&open(&lost, mutant)?)?;
    if !history[at..].contains(&found) {
        return Err(format!("the other process had read {seen:?}, a power loss left {found:?}"));
    }
    let mut expected = seen;
    put(3).model(&mut expected);
    put(3).write(&reader, Durability::Full).map_err(|error| format!("the other process: {error}"))?;
    let third = open(&fs.process(), mutant)?;
    for (who, database) in [("the other process", &reader), ("a third process", &third)] {
        let seen = observe(database)?;
        if seen != expected {
            return Err(format!("{who} reads {seen:?} instead of {expected:?}"));
        }
    }
    let after = fs.power_loss(&mut Extreme::Nothing);
    let found = observe(&open(&after, mutant)?)?;
    if found != expected {
        return Err(format!("in the end there is {found:?} instead of {expected:?}"));
    }
    Ok(())
}

fn any_writer_dies(mutant: Option<Mutant>) -> Result<(), String> {
    (1..=40).try_for_each(|call| {
        writer_dies(call, mutant).map_err(|problem| format!("a writer dies at call {call}: {problem}"))
    })
}

#[test]
fn reading_past_the_tip_is_caught() {
    is_caught(Mutant::ReadPastTip, any_writer_dies);
}

#[test]
fn moving_the_tip_before_the_sync_is_caught() {
    is_caught(Mutant::TipBeforeSync, any_writer_dies);
}

#[test]
fn acknowledging_before_moving_the_tip_is_caught() {
    is_caught(Mutant::AcknowledgeBeforeTip, any_writer_dies);
}

#[test]
fn trusting_a_sync_repeated_after_a_failure_is_caught() {
    is_caught(Mutant::RetryFailedSync, |mutant| {
        let is_sync = |call: &Call| matches!(call, Call::SyncData { .. });
        let spoil =
            |fs: &octoprompt_storage::engine::fs::SimFs| fs.fail_when(is_sync, Fault::Io, Repeat::Once);
        check_afterwards(&run_with_faults(machine(), &[Op::Put], mutant, spoil)?, 1)
    });
}

/// A sync fails, and the disk works again. Reopening heals, so what is written then must survive a power loss.
#[test]
fn rewriting_pages_that_a_failed_sync_left_is_caught() {
    is_caught(Mutant::RewriteOverLostPages, |mutant| {
        let is_sync = |call: &Call| matches!(call, Call::SyncData { .. });
        let spoil =
            |fs: &octoprompt_storage::engine::fs::SimFs| fs.fail_when(is_sync, Fault::Io, Repeat::Once);
        let mut run = run_with_faults(machine(), &[Op::Put], mutant, spoil)?.run;
        run.step(Op::Reopen)?;
        run.step(Op::Put)?;
        let moment = run.now();
        report(&moment.snapshot.power_loss(&mut Extreme::Nothing), &run, run.allowed(&moment, true))
    });
}

/// One process closes the database while another has it open. A third one opens it and must not believe that it is alone.
#[test]
fn deleting_lock_files_is_caught() {
    is_caught(Mutant::DeleteLockFiles, |mutant| {
        let fs = machine();
        let staying = open(&fs.process(), mutant)?;
        drop(open(&fs.process(), mutant)?);
        let third = open(&fs.process(), mutant)?;
        let written = Batch::put(0, 1, 1).write(&staying, Durability::Full);
        written.map_err(|error| format!("the one that stayed: {error}"))?;
        let mut expected = Documents::new();
        Batch::put(0, 1, 1).model(&mut expected);
        let found = observe(&third)?;
        if found == expected {
            Ok(())
        } else {
            Err(format!("the third reads {found:?} instead of {expected:?}"))
        }
    });
}

/// Runs the right protocol on a disk that ignores certain calls, which shows what each of them is for.
fn is_missed(what: &str, ignored: fn(&Call) -> bool, workload: &[Op]) {
    let fs = machine();
    fs.ignore(ignored);
    let mut explorer = Explorer::default();
    let run = Run::of(fs, workload, None).map(|mut run| {
        run.interesting = 0;
        run
    });
    explorer.run(run, |explorer, run| explorer.power_losses(run, 20, 1));
    assert!(!explorer.violations.is_empty(), "nobody misses {what}");
}

#[test]
fn ignored_syncs_of_the_journal_are_caught() {
    let ignored = |call: &Call| {
        matches!(call, Call::SyncData { .. }) && call.path().to_string_lossy().contains("journal-")
    };
    is_missed("syncs of the journal", ignored, &[Op::Put, Op::Put]);
}

#[test]
fn ignored_syncs_of_directories_are_caught() {
    is_missed(
        "syncs of directories",
        |call| matches!(call, Call::SyncDir { .. }),
        &[Op::Put, Op::Checkpoint, Op::Put],
    );
}

#[test]
fn ignored_syncs_of_snapshots_are_caught() {
    let ignored =
        |call: &Call| matches!(call, Call::SyncData { .. }) && call.path().to_string_lossy().contains("new-");
    is_missed("syncs of snapshots", ignored, &[Op::Put, Op::Checkpoint, Op::Put]);
}

/// If a process closes its lock file and leaves unlocking to the system, the lock stays held for as long as a child that it
/// spawned lives.
#[test]
fn releasing_a_lock_only_by_closing_it_is_caught_if_a_child_process_lives_on() {
    let scenario = |unlocks: bool| {
        let fs = machine();
        if !unlocks {
            fs.ignore(|call| matches!(call, Call::Unlock { .. }));
        }
        let first = fs.process();
        let database = open(&first, None)?;
        let child = first.spawn_child();
        let written = Batch::put(0, 1, 1).write(&database, Durability::Full).map_err(|e| e.to_string());
        drop(database);
        let opened = open(&fs.process(), None).map(drop);
        drop(child);
        written.and(opened)
    };
    scenario(true).expect("the right protocol unlocks");
    assert!(scenario(false).is_err(), "a lock that is only closed is not missed");
}
