//! Verifying databases while a migration has them.

use crate::holding::hold;
use crate::support::no_wait;
use crate::world::{Process, change, code, machine};

#[test]
fn the_migrating_process_can_verify_its_databases_and_others_wait() {
    let fs = machine();
    let (mut process, mut other) = (Process::start(&fs), Process::start(&fs));
    let [own, theirs] = [&mut process, &mut other].map(|process| process.database(0).expect("opens"));
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    change(&mut process).expect("changed");
    let report = own.verify(no_wait()).expect("verified");
    assert!(report.is_ok() && report.documents() == 4, "{report}");
    assert_eq!(code(theirs.verify(no_wait())).map(drop), Err("LOCK_TIMEOUT"));
    held.put_back(copy).expect("put back");
    drop(held);
    assert!(theirs.verify(no_wait()).expect("verified").is_ok());
}
