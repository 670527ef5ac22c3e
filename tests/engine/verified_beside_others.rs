//! Verifying while other processes open the database, write to it and checkpoint it. On a simulated file system.

use std::path::Path;
use std::time::Duration;

use crate::support::simulated::{DIRECTORY, checkpoint, journal, machine, open, put, verified};
use octoprompt_storage::engine::fs::{Call, Fault, Repeat};
use octoprompt_storage::engine::{Wait, verify};

#[test]
fn a_database_that_another_process_opens_and_changes_meanwhile_has_no_problems() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "before");
    checkpoint(&database).expect("checkpointed");
    drop(database);
    let (verifying, other) = (fs.process(), fs.process());
    let examines = |call: &Call| matches!(call, Call::Metadata { path } if path.ends_with("items.json"));
    verifying.before(examines, move || {
        let database = open(&other);
        put(&database, "items.json", 1, "meanwhile");
        checkpoint(&database).expect("checkpointed");
    });
    let report = verify(&verifying.handle(), Path::new(DIRECTORY), Wait::at_most(Duration::from_secs(1)));
    let report = report.expect("verified");
    assert!(report.problems.is_empty(), "{report}");
}

#[test]
fn a_journal_that_a_checkpoint_removes_before_it_is_opened_is_not_missed() {
    let fs = machine();
    let database = open(&fs);
    let removes =
        |call: &Call| matches!(call, Call::RemoveFile { path } if **path == *Path::new(&journal(1)));
    fs.fail_when(removes, Fault::Io, Repeat::Once);
    for id in 1..=2 {
        put(&database, "items.json", id, "stored");
        assert_eq!(checkpoint(&database).is_ok(), id == 1, "the second one cannot remove the first journal");
    }
    let (verifying, other) = (fs.process(), fs.clone());
    let opens = |call: &Call| matches!(call, Call::Open { path, .. } if **path == *Path::new(&journal(1)));
    // A checkpoint removes journals without the write lock.
    verifying.before(opens, move || other.remove(journal(1)));
    let report = verified(&verifying);
    assert!(report.problems.is_empty(), "{report}");
}
