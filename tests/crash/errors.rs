//! Every file call failing, once or permanently.

use octoprompt_storage::engine::fs::{Call, Extreme, Fault, Repeat, Seeded, SimFs};
use octoprompt_storage::engine::{Error, Mutant, Outcome};

use crate::check::report;
use crate::explore::wanted;
use crate::reached::reached;
use crate::support::no_wait;
use crate::workload::{Op, Run, write_group};
use crate::world::{Documents, machine, observe, try_open};

const WORKLOAD: [Op; 9] =
    [Op::Put, Op::Both, Op::PutOs, Op::Checkpoint, Op::Group, Op::Drop, Op::Checkpoint, Op::Nested, Op::Put];

/// What became of the workload under a fault.
pub struct Faulty {
    pub run: Run,
    pub poisoned: bool,
}

/// Runs the workload and trusts every result; `spoil` is called between opening and working.
pub fn run_with_faults(
    fs: SimFs,
    ops: &[Op],
    mutant: Option<Mutant>,
    spoil: impl FnOnce(&SimFs),
) -> Result<Faulty, String> {
    let mut run = Run::begin(fs, vec![Documents::new()], mutant)?;
    spoil(&run.fs);
    let mut poisoned = false;
    for &op in ops {
        let before = run.fs.faults();
        let failed = work(&mut run, op)?;
        for error in &failed {
            if error.code() != "IO_ERROR" {
                return Err(format!("{op:?} gave {}: {error}\n{run}", error.code()));
            }
            poisoned |= error.outcome() == Outcome::Unknown;
        }
        if failed.is_empty() && poisoned && op != Op::Checkpoint {
            return Err(format!("{op:?} was accepted after a failed sync\n{run}"));
        }
        if !failed.is_empty() && !poisoned && run.fs.faults() == before {
            return Err(format!("{op:?} failed though nothing fails any more: {}\n{run}", failed[0]));
        }
    }
    Ok(Faulty { run, poisoned })
}

fn work(run: &mut Run, op: Op) -> Result<Vec<Error>, String> {
    let begun = run.fs.total_calls();
    run.ops.push(op);
    if op == Op::Checkpoint {
        return Ok(match run.handle()?.checkpoint(no_wait()) {
            Ok(()) => {
                run.mark(begun, true);
                Vec::new()
            }
            Err(error) => vec![error],
        });
    }
    let (batches, durability) = run.batches(op);
    let results = write_group(run.handle()?, &batches, durability);
    let acknowledged = results.iter().all(Result::is_ok);
    for (batch, result) in batches.iter().zip(&results) {
        if result.as_ref().map_or_else(|error| error.outcome() == Outcome::Unknown, |()| true) {
            run.push(batch);
        }
    }
    if acknowledged {
        run.mark(begun, op != Op::PutOs);
    } else {
        run.mark_unknown(begun);
    }
    Ok(results.into_iter().filter_map(Result::err).collect())
}

/// Checks that, whatever failed, everything acknowledged is there after the process is killed or the machine loses power.
pub fn check_afterwards(faulty: &Faulty, seed: u64) -> Result<(), String> {
    let run = &faulty.run;
    let moment = run.now();
    report(&moment.snapshot.kill(), run, run.allowed(&moment, false)).map_err(|e| format!("killed: {e}"))?;
    let allowed = run.allowed(&moment, true);
    for mut chooser in [Extreme::Nothing, Extreme::Everything] {
        report(&moment.snapshot.power_loss(&mut chooser), run, allowed.clone())?;
    }
    report(&moment.snapshot.power_loss(&mut Seeded::new(seed)), run, allowed)
}

/// Lets the first call fail that this fault can hit, from this one after opening on. Returns which it was; `None` if there
/// was none.
fn one_fault(ops: &[Op], fault: Fault, repeat: Repeat, call: u64) -> Result<Option<u64>, String> {
    let mut opened = 0;
    let faulty = run_with_faults(machine(), ops, None, |fs| {
        opened = fs.calls();
        fs.fail_from(opened + call, fault, repeat);
    })?;
    let Some(failed) = faulty.run.fs.first_fault() else { return Ok(None) };
    let failed = Some(failed - opened);
    check_afterwards(&faulty, call)?;
    // In the same process, once nothing fails any more, reads continue, and reopening heals.
    let Faulty { run, poisoned } = faulty;
    run.fs.heal();
    let seen = observe(run.handle()?).map_err(|problem| format!("{problem}\n{run}"))?;
    if !run.history.contains(&seen) {
        return Err(format!("goes on reading {seen:?}\n{run}"));
    }
    if !poisoned {
        let mut run = run;
        let known = run.state().clone();
        if seen != known {
            return Err(format!("reads {seen:?} after errors\n{run}"));
        }
        // If the sync of a directory failed and the file could not even be removed again, nobody can learn that its name is
        // not on the disk. It is not promised to notice that a disk which failed everything works again.
        let everything = matches!(fault, Fault::Io | Fault::Kind(_)) && repeat == Repeat::Forever;
        if run.handle()?.is_read_only() || everything {
            return Ok(failed);
        }
        run.step(Op::Put)?;
        run.step(Op::Checkpoint)?;
        run.step(Op::Reopen)?;
        let moment = run.now();
        report(&moment.snapshot.power_loss(&mut Extreme::Nothing), &run, run.allowed(&moment, true))?;
    }
    Ok(failed)
}

/// Returns the workloads. `CRASH_STATES=1000000` rotates the workload about as many times as it multiplies power losses.
fn workloads() -> Vec<Vec<Op>> {
    let more = wanted(20_000) / 20_000;
    (0..more.min(WORKLOAD.len())).map(|at| [&WORKLOAD[at..], &WORKLOAD[..at]].concat()).collect()
}

/// Fails every call of the workload in turn.
fn every_call(fault: Fault, repeat: Repeat) {
    workloads().iter().for_each(|ops| every_call_of(ops, fault, repeat, 70));
}

pub fn every_call_of(ops: &[Op], fault: Fault, repeat: Repeat, least: u64) {
    let healthy = run_with_faults(machine(), ops, None, |_| {}).expect("works without faults");
    let calls = healthy.run.fs.calls();
    let mut problems = Vec::new();
    let (mut call, mut runs) = (1, 0);
    while call <= calls {
        match one_fault(ops, fault, repeat, call) {
            Ok(None) => break,
            Ok(Some(failed)) => {
                runs += 1;
                call = failed + 1;
            }
            Err(problem) => {
                problems.push(format!("{fault:?} {repeat:?} from call {call} after opening on: {problem}"));
                call += 1;
            }
        }
    }
    reached("a file call failing", format!("{runs} runs"));
    assert!(runs >= least, "only {runs} runs");
    assert!(problems.is_empty(), "{} of {calls} calls, the first one: {}", problems.len(), problems[0]);
}

#[test]
fn one_failure_of_any_call_breaks_no_promise() {
    every_call(Fault::Io, Repeat::Once);
}

#[test]
fn a_permanent_failure_from_any_call_on_breaks_no_promise() {
    every_call(Fault::Io, Repeat::Forever);
}

#[test]
fn a_disk_that_is_full_for_one_call_breaks_no_promise() {
    every_call(Fault::NoSpace { written: 20 }, Repeat::Once);
}

#[test]
fn a_disk_that_is_full_from_any_call_on_breaks_no_promise() {
    every_call(Fault::NoSpace { written: 200 }, Repeat::Forever);
}

#[test]
fn a_disk_that_is_read_only_from_any_call_on_breaks_no_promise() {
    every_call(Fault::ReadOnly, Repeat::Forever);
}

#[test]
fn a_disk_that_is_read_only_for_one_call_breaks_no_promise() {
    every_call(Fault::ReadOnly, Repeat::Once);
}

#[test]
fn a_quota_exceeded_for_one_call_breaks_no_promise() {
    every_call(Fault::Quota { written: 33 }, Repeat::Once);
}

#[test]
fn a_quota_exceeded_from_any_call_on_breaks_no_promise() {
    every_call(Fault::Quota { written: 0 }, Repeat::Forever);
}

/// Writes that stop after one byte, within a line, within a sector, and just before their last byte.
#[test]
fn a_short_write_at_any_call_breaks_no_promise() {
    for written in [1, 120, 511, 100_000] {
        every_call(Fault::NoSpace { written }, Repeat::Once);
    }
}

#[test]
fn access_denied_from_any_call_on_breaks_no_promise() {
    every_call(Fault::Kind(std::io::ErrorKind::PermissionDenied), Repeat::Forever);
}

#[test]
fn an_interruption_of_any_call_breaks_no_promise() {
    every_call(Fault::Interrupted, Repeat::Once);
}

#[test]
fn one_failure_of_any_call_while_opening_breaks_no_promise() {
    let calls = {
        let fs = crate::world::empty_machine();
        try_open(&fs, None).expect("opens");
        fs.calls()
    };
    let mut runs = 0;
    for existing in [false, true] {
        for call in 1..=calls {
            for fault in [Fault::Io, Fault::NoSpace { written: 9 }, Fault::Interrupted] {
                runs += 1;
                let fs = if existing { machine() } else { crate::world::empty_machine() };
                fs.fail_from(call, fault, Repeat::Once);
                if let Err(error) = try_open(&fs, None) {
                    assert_eq!(error.code(), "IO_ERROR", "{fault:?} at call {call}: {error}");
                }
                fs.heal();
                let mut run = Run::begin(fs, vec![Documents::new()], None)
                    .unwrap_or_else(|problem| panic!("{fault:?} at call {call}: {problem}"));
                run.step(Op::Put).unwrap_or_else(|problem| panic!("{fault:?} at call {call}: {problem}"));
                let moment = run.now();
                let after = moment.snapshot.power_loss(&mut Extreme::Nothing);
                let sound = report(&after, &run, run.allowed(&moment, true));
                sound.unwrap_or_else(|problem| panic!("{fault:?} at call {call}: {problem}"));
            }
        }
    }
    reached("a file call failing", format!("{runs} runs"));
    assert!(runs >= 200, "only {runs} runs");
}

#[test]
fn a_failed_sync_stops_all_writes_until_every_process_has_closed() {
    let fs = machine();
    let (one, other) = (fs.process(), fs.process());
    let first = try_open(&one, None).expect("opens");
    let second = try_open(&other, None).expect("opens");
    one.fail_when(|call| matches!(call, Call::SyncData { .. }), Fault::Io, Repeat::Once);
    let put = |database: &crate::world::Handle| {
        crate::workload::Batch::put(0, 1, 1).write(database, Default::default())
    };
    let error = put(&first).expect_err("the sync failed");
    assert_eq!((error.code(), error.outcome()), ("IO_ERROR", Outcome::Unknown));
    for database in [&first, &second] {
        let error = put(database).expect_err("nothing is written any more");
        assert_eq!((error.code(), error.outcome()), ("IO_ERROR", Outcome::None));
        observe(database).expect("reads go on");
    }
    drop((first, second));
    put(&try_open(&fs.process(), None).expect("opens")).expect("reopening heals");
}
