//! Verifying backups.

use std::ops::ControlFlow;
use std::path::Path;

use octoprompt_storage::engine::Result;
use octoprompt_storage::engine::backup::{BackupReport, list_backups, verify_backup};
use octoprompt_storage::engine::fs::{Call, Fault, Repeat};

use crate::restoring::changed;
use crate::world::{Process, code, image, to_the_end};

const NOTES: &str = "data/notes.txt";

fn verified(process: &Process) -> Result<BackupReport> {
    verify_backup(&process.site, Path::new("one"), &mut to_the_end())
}

fn problems(process: &Process) -> Vec<(String, String)> {
    let report = verified(process).expect("verified");
    report.problems.into_iter().map(|problem| (problem.path, problem.message)).collect()
}

fn in_backup(path: &str) -> String {
    format!("/base/backups/one/{path}")
}

#[test]
fn a_good_backup_is_reported_with_what_it_holds_and_nothing_is_written() {
    let (fs, _, _) = changed();
    let before = image(&fs, "/base");
    let process = Process::start(&fs);
    let report = verified(&process).expect("verified");
    let listed = list_backups(&process.site).expect("listed").remove(0);
    assert!(report.is_ok() && report.files > 3);
    assert_eq!(
        (report.name, report.path, report.created, report.size, report.files),
        (listed.name, listed.path, listed.created, listed.size, listed.files)
    );
    assert!(image(&fs, "/base") == before);
}

#[test]
fn every_file_that_is_damaged_missing_or_unreadable_is_named() {
    let (fs, _, _) = changed();
    let paths: Vec<String> = image(&fs, "/base/backups/one")
        .into_keys()
        .filter_map(|path| Some(path.strip_prefix("/base/backups/one").ok()?.to_string_lossy().into_owned()))
        .filter(|path| path != "manifest.json")
        .collect();
    let mut content = fs.read_file(in_backup(&paths[0])).expect("a file");
    content[0] ^= 1;
    fs.write_file(in_backup(&paths[0]), &content);
    fs.remove(in_backup(&paths[1]));
    let unreadable = in_backup(&paths[2]);
    let opens =
        move |call: &Call| matches!(call, Call::Open { path, .. } if **path == *Path::new(&unreadable));
    let process = Process::start(&fs);
    process.fs.fail_when(opens, Fault::Io, Repeat::Forever);
    let mut found = problems(&process);
    found.sort();
    let (named, messages): (Vec<String>, Vec<String>) = found.into_iter().unzip();
    assert_eq!(named, paths[..3]);
    assert_eq!(
        messages[..2],
        ["its checksum is not that of the manifest", "the file is missing from the backup"]
    );
    assert!(messages[2].starts_with("open ") && messages[2].contains("failed"), "{}", messages[2]);
}

#[test]
fn a_file_of_another_size_is_reported_with_both_sizes() {
    let (fs, _, _) = changed();
    fs.write_file(in_backup(NOTES), b"not our");
    assert_eq!(
        problems(&Process::start(&fs)),
        [(NOTES.to_owned(), "it has 7 bytes instead of 8".to_owned())]
    );
}

#[test]
fn a_missing_manifest_is_the_only_problem_of_its_backup() {
    let (fs, _, _) = changed();
    fs.remove(in_backup("manifest.json"));
    let report = verified(&Process::start(&fs)).expect("verified");
    assert_eq!((report.created, report.files, report.problems.len()), (None, 0, 1));
    assert_eq!(report.problems[0].path, "manifest.json");
}

#[test]
fn verifying_a_backup_stops_when_its_caller_wants_it() {
    let (fs, _, _) = changed();
    let process = Process::start(&fs);
    let stopped = verify_backup(&process.site, Path::new("one"), &mut |_, _| ControlFlow::Break(()));
    assert_eq!(code(stopped), Err("ABORTED"));
}
