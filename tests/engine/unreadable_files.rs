//! Files that the disk cannot read, on a simulated file system.

use std::io;
use std::path::Path;

use crate::support::simulated::{DIRECTORY, checkpoint, leave_something, machine, name, open, put, verified};
use crate::support::{record, wait};
use octoprompt_storage::engine::fs::{Call, Fault, Repeat, SimFs};
use octoprompt_storage::engine::{BasePath, ProblemCode, VerifyReport, repair, verify, verify_records};

const PATHS: [&str; 3] = ["first.json", "second.json", "third.json"];

/// A checkpointed document in each collection, and one in the journal.
fn filled() -> SimFs {
    let fs = machine();
    let database = open(&fs);
    PATHS.iter().for_each(|path| put(&database, path, 1, "old"));
    checkpoint(&database).expect("made");
    PATHS.iter().for_each(|path| put(&database, path, 2, "new"));
    fs
}

fn fail_reads(fs: &SimFs, names: &'static [&str], fault: Fault) {
    let fits = |call: &Call| matches!(call, Call::Read { .. }) && names.contains(&&*call.name());
    fs.fail_when(fits, fault, Repeat::Forever);
}

fn unreadable(report: &VerifyReport) -> Vec<&str> {
    let found = report.problems.iter().filter(|problem| problem.code == ProblemCode::Unreadable);
    found.map(|problem| &*problem.path).collect()
}

#[test]
fn verifying_names_each_file_that_cannot_be_read_and_examines_the_others() {
    for in_use in [false, true] {
        let fs = filled();
        let _database = in_use.then(|| open(&fs));
        fail_reads(&fs, &["first.json", "third.json"], Fault::Io);
        let report = verified(&fs);
        assert_eq!(unreadable(&report), ["first.json", "third.json"], "{report}");
        assert_eq!(report.problems.len(), 2, "{report}");
        let documents: Vec<_> = report.collections.iter().map(|found| found.documents).collect();
        assert_eq!(documents, [1, 2, 1], "{report}");
    }
}

#[test]
fn a_text_of_a_journal_that_cannot_be_read_is_not_taken_for_damage() {
    let fs = filled();
    let length = record(2, "new").len();
    let text = move |call: &Call| {
        matches!(call, Call::Read { len, .. } if *len == length) && call.name().starts_with("journal-")
    };
    fs.fail_when(text, Fault::Io, Repeat::Forever);
    let report = verified(&fs);
    assert_eq!(unreadable(&report), PATHS, "{report}");
    assert_eq!(report.problems.len(), 3, "{report}");
}

#[test]
fn a_repair_does_not_give_up_what_cannot_be_read_at_the_moment() {
    let fs = filled();
    leave_something(&fs);
    fail_reads(&fs, &["second.json"], Fault::Io);
    let refused = repair(&fs.handle(), Path::new(DIRECTORY), wait()).expect_err("unreadable");
    assert_eq!(refused.code(), "IO_ERROR");
    fs.heal();
    let database = open(&fs);
    assert_eq!(name(&database, "second.json", 1), Ok(Some("old".to_owned())));
    assert_eq!(name(&database, "second.json", 2), Ok(Some("new".to_owned())));
}

#[test]
fn a_lack_of_memory_is_not_a_finding() {
    let fs = filled();
    fail_reads(&fs, &["second.json"], Fault::Kind(io::ErrorKind::OutOfMemory));
    let error = verify(&fs.handle(), Path::new(DIRECTORY), wait()).expect_err("no verdict");
    assert_eq!(error.code(), "IO_ERROR");
}

#[test]
fn a_lack_of_memory_is_no_finding_about_the_record_of_databases_either() {
    let fs = machine();
    fs.make_dirs("/base/data");
    fs.write_file("/base/data/.databases.json", b"{}");
    let records = || verify_records(&BasePath::new(fs.handle(), Path::new("/base")));
    fail_reads(&fs, &[".databases.json"], Fault::Kind(io::ErrorKind::OutOfMemory));
    assert_eq!(records().expect_err("no verdict").code(), "IO_ERROR");
    fs.heal();
    fail_reads(&fs, &[".databases.json"], Fault::Io);
    assert_eq!(records().expect("a verdict").len(), 1);
}
