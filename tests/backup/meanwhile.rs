//! What others begin while a restore that fails is under way.

use std::sync::mpsc;

use octoprompt_storage::engine::fs::{Call, Fault, Repeat, remove_tree};

use crate::world::{Process, code, directory, machine};

#[test]
fn a_restore_that_fails_leaves_a_database_that_another_process_began_meanwhile() {
    for stays_open in [true, false] {
        let fs = machine();
        let mut process = Process::start(&fs);
        process.back_up("one").expect("backed up");
        process.close();
        remove_tree(&fs, &directory(0)).expect("removed");
        let mut other = Process::start(&fs);
        let mut restoring = Process::start(&fs);
        let begins = |call: &Call| matches!(call, Call::OpenLock { path } if path.ends_with("one/.storage/checkpoint.lock"));
        let (kept, keeps) = mpsc::channel();
        restoring.fs.before(begins, move || {
            other.put((0, 0, 9), "acknowledged").expect("written");
            if !stays_open {
                other.close();
            }
            kept.send(other).expect("somebody waits");
        });
        if !stays_open {
            let stages = |call: &Call| matches!(call, Call::CloneFile { .. });
            restoring.fs.fail_when(stages, Fault::Io, Repeat::Once);
        }
        let expected = if stays_open { "LOCK_TIMEOUT" } else { "IO_ERROR" };
        assert_eq!(code(restoring.restore("one")), Err(expected));
        let mut other = keeps.recv().expect("it began");
        assert!(other.see().expect("readable").documents.contains_key(&(0, 0, 9)));
        other.put((0, 0, 8), "afterwards").expect("writes go on");
        other.close();
        assert!(Process::start(&fs).see().expect("readable").documents.contains_key(&(0, 0, 9)));
    }
}
