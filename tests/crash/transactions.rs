//! Interactive transactions over several collections: whatever happens while one runs and commits, either all of it is there
//! or nothing, and one that read what others have changed since never commits.

use octoprompt_storage::engine::fs::{Extreme, Fault, Repeat, Seeded};
use octoprompt_storage::engine::query::Query;
use octoprompt_storage::engine::{Durability, Error, Interactive, Outcome};

use crate::explore::Explorer;
use crate::support::no_wait;
use crate::workload::{Batch, Op, Run};
use crate::world::{Documents, Handle, machine, observe, open, spec, text};

/// Runs the steps of a transaction: it reads both collections, then changes them one step at a time.
fn steps(database: &Handle, batch: &Batch) -> Result<Interactive, Error> {
    let transaction = Interactive::default();
    for collection in [0, 1] {
        transaction
            .step(database, no_wait(), |tx| tx.documents(&spec(collection), &Query::default()).map(drop))?;
    }
    if batch.drop_nested {
        let dropped = Batch { drop_nested: true, ..Batch::default() };
        transaction.step(database, no_wait(), |tx| dropped.run(tx))?;
    }
    for &(collection, id) in &batch.delete {
        transaction.step(database, no_wait(), |tx| tx.delete(&spec(collection), id.into()).map(drop))?;
    }
    for &(collection, id, version) in &batch.put {
        transaction.step(database, no_wait(), |tx| {
            tx.put(&spec(collection), id.into(), text(id, version).into_bytes())
        })?;
        let seen = transaction
            .step(database, no_wait(), |tx| Ok(tx.get(&spec(collection), &id.into())?.is_some()))?;
        assert!(seen, "a step does not see what the one before it put");
    }
    Ok(transaction)
}

fn commit(database: &Handle, transaction: &Interactive) -> Result<(), Error> {
    let commit = transaction.finish()?;
    database.write(Durability::Full, move |tx| commit.apply(tx))
}

/// Returns changes of both collections; those with an odd number drop the nested one first.
fn changes(run: &mut Run, number: usize) -> Batch {
    let mut version = || run.next_version();
    Batch {
        put: vec![(0, 1, version()), (1, 1, version()), (0, 4, version())],
        delete: vec![(0, 2), (1, 2)],
        drop_nested: number % 2 == 1,
        ..Batch::default()
    }
}

/// Commits a transaction. With `interfere`, another write changes what it read first, so that it runs twice.
fn transact(run: &mut Run, number: usize, interfere: bool) -> Result<(), String> {
    let batch = changes(run, number);
    if interfere {
        let lost = steps(run.handle()?, &batch).map_err(|error| error.to_string())?;
        run.step(Op::Put)?;
        match commit(run.handle()?, &lost) {
            Err(Error::Conflict(_)) => {}
            other => return Err(format!("a transaction that rests on what is no more gave {other:?}")),
        }
    }
    let begun = run.fs.total_calls();
    let transaction = steps(run.handle()?, &batch).map_err(|error| error.to_string())?;
    commit(run.handle()?, &transaction).map_err(|error| error.to_string())?;
    run.push(&batch);
    run.mark(begun, true);
    Ok(())
}

/// Runs operations, a transaction, and one more operation.
fn run(before: &[Op], number: usize, interfere: bool, after: Op) -> Result<Run, String> {
    let mut run = Run::begin(machine(), vec![Documents::new()], None)?;
    for &op in before {
        run.step(op)?;
    }
    run.interesting = run.fs.total_calls();
    transact(&mut run, number, interfere)?;
    run.step(after)?;
    run.flush();
    Ok(run)
}

const BEFORE: [&[Op]; 4] =
    [&[], &[Op::Both, Op::Nested], &[Op::Both, Op::Nested, Op::Checkpoint], &[Op::Drop, Op::PutOs]];

#[test]
fn a_crash_around_a_commit_leaves_all_of_a_transaction_or_nothing() {
    let mut explorer = Explorer::default();
    for before in BEFORE {
        for number in 0..2 {
            for interfere in [false, true] {
                for after in [Op::Put, Op::Checkpoint] {
                    explorer.run(run(before, number, interfere, after), |explorer, run| {
                        explorer.power_losses(run, 6, number as u64);
                        explorer.kills(run);
                    });
                }
            }
        }
    }
    explorer.finish("transactions", 250);
}

/// Lets a process die at some call of a transaction that it commits, while another process with a transaction of its own
/// lives on. Returns false once the call comes after the commit.
fn dies(call: u64, number: usize) -> Result<bool, String> {
    let fs = machine();
    let (dying, living) = (fs.process(), fs.process());
    let (victim, survivor) = (open(&dying, None)?, open(&living, None)?);
    let first = Batch { put: vec![(0, 2, 1), (1, 2, 2)], ..Batch::default() };
    first.write(&victim, Durability::Full).map_err(|error| error.to_string())?;
    let before = observe(&survivor)?;
    let batch = Batch {
        put: vec![(0, 1, 3), (1, 1, 4)],
        delete: vec![(0, 2), (1, 2)],
        drop_nested: number % 2 == 1,
        ..Batch::default()
    };
    let mut after = before.clone();
    batch.model(&mut after);
    let other = Batch { put: vec![(0, 9, 5), (1, 9, 6)], ..Batch::default() };
    let under_way = steps(&survivor, &other).map_err(|error| error.to_string())?;
    dying.stop_at(dying.calls() + call);
    let committed = steps(&victim, &batch).and_then(|transaction| commit(&victim, &transaction)).is_ok();
    let stopped = dying.is_stopped();
    // A process that is stopped while it stores the tip does not learn of it, and acknowledges nothing to anyone.
    let acknowledged = committed && !stopped;
    dying.kill();
    let seen = observe(&survivor)?;
    if seen != before && seen != after || seen == before && acknowledged {
        return Err(format!("the other process reads {seen:?}, not {before:?} or {after:?}"));
    }
    let mut expected = seen.clone();
    match commit(&survivor, &under_way) {
        Ok(()) if seen == before => other.model(&mut expected),
        Err(Error::Conflict(_)) if seen == after => {}
        // The dead process's batch was in the tip, where writers look, but not yet in the word at which readers look.
        Err(Error::Conflict(_)) if !acknowledged && observe(&survivor)? == after => expected = after.clone(),
        outcome => return Err(format!("the other transaction gave {outcome:?} after {seen:?}")),
    }
    for lost in [
        fs.power_loss(&mut Extreme::Nothing),
        fs.power_loss(&mut Seeded::new(call)),
        fs.power_loss(&mut Extreme::Everything),
    ] {
        let found = observe(&open(&lost, None)?)?;
        // What the dead process did not acknowledge may be lost with the power, as long as nobody built on it.
        if found != expected && !(expected == after && !acknowledged && found == before) {
            return Err(format!("after a power loss there is {found:?} instead of {expected:?}"));
        }
    }
    let found = observe(&open(&fs.process(), None)?)?;
    if found != expected {
        return Err(format!("a third process reads {found:?} instead of {expected:?}"));
    }
    Ok(stopped)
}

#[test]
fn a_process_that_dies_in_a_commit_leaves_all_of_the_transaction_or_nothing() {
    for number in 0..2 {
        let mut call = 1;
        while dies(call, number).unwrap_or_else(|problem| panic!("at call {call}: {problem}")) {
            call += 1;
        }
        assert!(call > 3, "only {call} calls");
    }
}

/// Lets some call fail while a transaction runs and commits.
fn fails(call: u64, number: usize, repeat: Repeat) -> Result<bool, String> {
    let mut run = Run::begin(machine(), vec![Documents::new()], None)?;
    for op in [Op::Both, Op::Nested] {
        run.step(op)?;
    }
    let batch = changes(&mut run, number);
    let before = run.fs.faults();
    run.fs.fail_from(run.fs.calls() + call, Fault::Io, repeat);
    let database = run.handle()?;
    let result = steps(database, &batch).and_then(|transaction| commit(database, &transaction));
    let failed = run.fs.faults() > before;
    run.fs.heal();
    let old = run.state().clone();
    let mut new = old.clone();
    batch.model(&mut new);
    let allowed: Vec<&Documents> = match &result {
        Ok(()) => vec![&new],
        Err(error) if error.outcome() == Outcome::Unknown => vec![&old, &new],
        Err(error) if error.code() == "IO_ERROR" => vec![&old],
        Err(error) => return Err(format!("{}: {error}", error.code())),
    };
    let seen = observe(database)?;
    if !allowed.contains(&&seen) || result.is_err() && seen != old {
        return Err(format!("after {result:?} there is {seen:?}"));
    }
    for lost in [run.fs.power_loss(&mut Extreme::Nothing), run.fs.power_loss(&mut Extreme::Everything)] {
        let found = observe(&open(&lost, None)?)?;
        if !allowed.contains(&&found) {
            return Err(format!("after {result:?} and a power loss there is {found:?}"));
        }
    }
    Ok(failed)
}

#[test]
fn a_failed_call_in_a_commit_leaves_all_of_the_transaction_or_nothing() {
    for (number, repeat) in [(0, Repeat::Once), (1, Repeat::Once), (0, Repeat::Forever)] {
        let mut call = 1;
        while fails(call, number, repeat).unwrap_or_else(|problem| panic!("at call {call}: {problem}")) {
            call += 1;
        }
        assert!(call > 3, "only {call} calls");
    }
}
