//! Verifying and repairing databases on a real file system.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::support::{Fixture, READ, no_wait, record, spec_by_name, wait};
use octoprompt_storage::engine::fs::{Fs, OsFs};
use octoprompt_storage::engine::{
    Database, DatabaseOptions, Durability, Part, RepairReport, Severity, Transaction, VerifyReport, repair,
    verify,
};

fn file_system() -> Arc<dyn Fs> {
    Arc::new(OsFs)
}

fn verified(fixture: &Fixture) -> VerifyReport {
    verify(&file_system(), &fixture.path(""), wait()).expect("readable")
}

fn repaired(fixture: &Fixture) -> RepairReport {
    let report = repair(&file_system(), &fixture.path(""), wait()).expect("repairable");
    assert!(report.is_ok(), "{report}");
    report
}

fn codes(report: &VerifyReport) -> Vec<&'static str> {
    report.problems.iter().map(|problem| problem.code.as_str()).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("written");
}

/// Three documents in the snapshot, two more and a change in the journal.
fn filled() -> Fixture {
    let fixture = Fixture::new();
    let database = fixture.open();
    (1..=3).for_each(|id| fixture.put(&database, id, "old"));
    fixture.checkpoint(&database);
    (3..=5).for_each(|id| fixture.put(&database, id, "new"));
    fixture
}

fn names_of(fixture: &Fixture) -> Vec<Option<String>> {
    let database = fixture.open();
    (1..=5).map(|id| fixture.get(&database, id)).collect()
}

fn journal(fixture: &Fixture) -> std::path::PathBuf {
    fixture.path(".storage/journal-000000000002.jsonl")
}

#[test]
fn a_sound_database_has_no_problems_open_or_closed() {
    let fixture = filled();
    let report = verified(&fixture);
    assert_eq!((report.problems.len(), report.documents()), (0, 5), "{report}");
    let database = fixture.open();
    fixture.get(&database, 1);
    let report = database.verify(wait()).expect("readable");
    assert_eq!((report.problems.len(), report.documents()), (0, 5), "{report}");
}

#[test]
fn verifying_writes_nothing() {
    let fixture = filled();
    let image = |folder: &str| {
        let mut files: Vec<_> =
            fs::read_dir(fixture.path(folder)).expect("a folder").filter_map(Result::ok).collect();
        files.sort_by_key(fs::DirEntry::path);
        files
            .iter()
            .map(|file| {
                let metadata = file.metadata().expect("there");
                (file.path(), metadata.len(), metadata.modified().expect("a time"))
            })
            .collect::<Vec<_>>()
    };
    let before = (image(""), image(".storage"));
    verified(&fixture);
    assert_eq!((image(""), image(".storage")), before);
}

#[test]
fn verifying_a_folder_without_a_database_reports_files_not_yet_adopted() {
    let fixture = Fixture::new();
    fs::write(fixture.path("items.json"), format!("{{\"1\":{}}}", record(1, "a"))).expect("written");
    let report = verified(&fixture);
    assert!(report.is_ok(), "{report}");
    assert_eq!(codes(&report), ["NOT_ADOPTED"]);
    assert!(!fixture.path(".storage").exists());
    assert!(repaired(&fixture).copies.is_none());
}

#[test]
fn an_edited_file_is_reported_and_stays_to_be_adopted_after_a_repair() {
    let fixture = filled();
    let text = fs::read_to_string(fixture.path("items.json")).expect("a file").replace("old", "edited");
    fs::write(fixture.path("items.json"), text).expect("written");
    let report = verified(&fixture);
    assert_eq!((report.is_ok(), codes(&report)), (false, vec!["SNAPSHOT_CHANGED"]), "{report}");
    repaired(&fixture);
    let expected = [(1, "edited"), (2, "edited"), (3, "new"), (4, "new"), (5, "new")];
    assert_eq!(names_of(&fixture), expected.map(|(id, name)| Some(record(id, name))));
}

#[test]
fn a_repair_cuts_out_a_damaged_batch_and_keeps_later_ones() {
    let fixture = filled();
    // If nothing tells whether the machine was restarted, only a later batch proves that an earlier one was acknowledged.
    fixture.put(&fixture.open(), 6, "new");
    let text = fs::read_to_string(journal(&fixture)).expect("a journal");
    let at = text.find("\"put\":{\"4\"").expect("the batch");
    flip(&journal(&fixture), at + 8);
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    let refused = Database::open(file_system(), &fixture.path(""), options);
    assert_eq!(refused.err().map(|error| error.code()), Some("CORRUPT_DATA"));
    let report = verified(&fixture);
    let [problem] = &report.problems[..] else { panic!("{report}") };
    assert_eq!((problem.severity, problem.code.as_str()), (Severity::Error, "JOURNAL_DAMAGED"));
    assert!(problem.offset.is_some_and(|offset| offset < at as u64), "{report}");
    let report = repaired(&fixture);
    let expected = [(1, "old"), (2, "old"), (3, "new"), (0, ""), (5, "new")];
    assert_eq!(names_of(&fixture), expected.map(|(id, name)| (id > 0).then(|| record(id, name))));
    let copies = report.copies.clone().expect("something was changed");
    assert_ne!(fs::read(copies.join("storage/journal-000000000002.jsonl")).expect("a copy"), text.as_bytes());
    assert!(report.actions.iter().any(|action| action.code.as_str() == "BATCHES_LOST"), "{report}");
}

#[test]
fn a_repair_rebuilds_a_damaged_header_from_the_previous_journal() {
    for at in [5, 40, 70, 150] {
        let fixture = filled();
        flip(&journal(&fixture), at);
        assert_eq!(codes(&verified(&fixture)), ["JOURNAL_DAMAGED"], "byte {at}");
        repaired(&fixture);
        let expected = [(1, "old"), (2, "old"), (3, "new"), (4, "new"), (5, "new")];
        assert_eq!(names_of(&fixture), expected.map(|(id, name)| Some(record(id, name))), "byte {at}");
    }
}

#[test]
fn a_repair_corrects_a_damaged_database_id_in_the_first_journal() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    drop(database);
    let path = fixture.path(".storage/journal-000000000001.jsonl");
    let at = fs::read_to_string(&path).expect("a journal").find("\"database\":\"").expect("the id") + 15;
    flip(&path, at);
    repaired(&fixture);
    assert_eq!(fixture.get(&fixture.open(), 1), Some(record(1, "a")));
}

#[test]
fn a_repair_restores_a_missing_snapshot_from_the_journals() {
    let fixture = filled();
    fs::remove_file(fixture.path("items.json")).expect("removed");
    assert_eq!(codes(&verified(&fixture)), ["SNAPSHOT_MISSING"]);
    repaired(&fixture);
    // The journal before the current one still holds the first three documents.
    let expected = [(1, "old"), (2, "old"), (3, "new"), (4, "new"), (5, "new")];
    assert_eq!(names_of(&fixture), expected.map(|(id, name)| Some(record(id, name))));
}

#[test]
fn a_repair_saves_the_whole_documents_of_a_broken_file() {
    let fixture = filled();
    let database = fixture.open();
    fixture.checkpoint(&database);
    fixture.checkpoint(&database);
    drop(database);
    let text = fs::read_to_string(fixture.path("items.json")).expect("a file");
    fs::write(fixture.path("items.json"), &text[..text.len() - 20]).expect("written");
    assert_eq!(codes(&verified(&fixture)), ["SNAPSHOT_DAMAGED"]);
    let report = repaired(&fixture);
    let copies = report.copies.expect("something was changed");
    assert_eq!(fs::read_to_string(copies.join("items.json")).expect("a copy"), text[..text.len() - 20]);
    let found = names_of(&fixture);
    assert_eq!(found[..4].iter().flatten().count(), 4, "{found:?}");
}

#[test]
fn a_directory_in_place_of_a_file_is_reported_and_concerns_only_its_collection() {
    let fixture = filled();
    let database = fixture.open();
    let nested = fixture.nested();
    let text = record(1, "nested").into_bytes();
    let put = move |t: &mut Transaction<'_>| t.put(&nested, 1.into(), text);
    database.write(Durability::Full, put).expect("written");
    drop(database);
    let (file, elsewhere) = (fixture.path("items.json"), fixture.path("elsewhere"));
    fs::rename(&file, &elsewhere).expect("moved");
    fs::create_dir(&file).expect("created");
    let report = verified(&fixture);
    assert_eq!((report.is_ok(), codes(&report)), (false, vec!["SNAPSHOT_DAMAGED"]), "{report}");
    assert_eq!(report.problems[0].path, "items.json");
    let database = fixture.open();
    let error = database.get(&fixture.spec(), &1.into(), READ).expect_err("it is not a file");
    assert_eq!(error.code(), "IO_ERROR");
    assert!(error.to_string().contains("it is a directory, not a file; move it elsewhere"), "{error}");
    assert!(database.get(&fixture.nested(), &1.into(), READ).expect("readable").is_some());
    drop(database);
    let error = repair(&file_system(), &fixture.path(""), wait()).expect_err("it is in the way");
    assert!(error.to_string().contains("move it elsewhere"), "{error}");
    fs::remove_dir(&file).expect("removed");
    fs::rename(&elsewhere, &file).expect("moved back");
    assert_eq!(verified(&fixture).problems, [], "the attempt to repair it changed nothing");
}

#[test]
fn a_directory_in_place_of_the_file_of_a_dropped_collection_is_reported_and_stays() {
    let fixture = filled();
    let database = fixture.open();
    let spec = fixture.spec();
    database.write(Durability::Full, move |t| t.drop_collection(&spec)).expect("dropped");
    drop(database);
    let file = fixture.path("items.json");
    fs::create_dir(&file).expect("created");
    let report = verified(&fixture);
    assert_eq!((report.is_ok(), codes(&report)), (false, vec!["SNAPSHOT_DAMAGED"]), "{report}");
    let database = fixture.open();
    fixture.checkpoint(&database);
    assert!(file.is_dir());
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_is_reported_without_waiting_for_a_writer() {
    let fixture = filled();
    let file = fixture.path("items.json");
    fs::remove_file(&file).expect("removed");
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RWXU).expect("made");
    assert_eq!(codes(&verified(&fixture)), ["SNAPSHOT_DAMAGED"]);
    let error = fixture.open().get(&fixture.spec(), &1.into(), READ).expect_err("it is not a file");
    assert_eq!(error.code(), "IO_ERROR");
}

#[cfg(unix)]
#[test]
fn symlinks_in_the_reserved_folder_are_not_followed() {
    use std::os::unix::fs::symlink;
    for name in ["journal-000000000002.jsonl", "tip", "write.lock", "open.lock"] {
        let fixture = filled();
        let (file, elsewhere) = (fixture.path(&format!(".storage/{name}")), fixture.path("elsewhere"));
        fs::rename(&file, &elsewhere).expect("moved");
        symlink(&elsewhere, &file).expect("linked");
        let before = fs::read(&elsewhere).expect("a file");
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let error = Database::open(file_system(), &fixture.path(""), options).err().expect("not followed");
        let message = error.to_string();
        assert_eq!(error.code(), "IO_ERROR", "{name}: {message}");
        assert!(message.contains(name) && message.contains("put the file itself in its place"), "{message}");
        let report = verified(&fixture);
        assert_eq!((report.is_ok(), codes(&report)), (false, vec!["UNKNOWN_FILE"]), "{name}: {report}");
        assert_eq!(fs::read(&elsewhere).expect("a file"), before, "{name}");
        fs::rename(&elsewhere, &file).expect("moved back");
        assert!(names_of(&fixture).iter().all(Option::is_some), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_collection_whose_file_is_a_symlink_is_read_and_written() {
    let fixture = filled();
    let (file, elsewhere) = (fixture.path("items.json"), fixture.path("elsewhere"));
    fs::rename(&file, &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, &file).expect("linked");
    assert_eq!(verified(&fixture).problems, []);
    let database = fixture.open();
    fixture.put(&database, 6, "new");
    fixture.checkpoint(&database);
    assert_eq!((1..=6).filter(|&id| fixture.get(&database, id).is_some()).count(), 6);
}

#[test]
fn a_repair_removes_leftovers_but_keeps_unknown_files_and_copies() {
    let fixture = filled();
    fs::write(fixture.path(".storage/new-7-0"), "{").expect("written");
    fs::write(fixture.path(".storage/notes.txt"), "mine").expect("written");
    fs::write(fixture.path("items.json.corrupt-17"), "{").expect("written");
    let report = verified(&fixture);
    assert_eq!(codes(&report), ["LEFTOVER", "UNKNOWN_FILE", "SET_ASIDE"]);
    assert!(report.is_ok());
    repaired(&fixture);
    assert!(!fixture.path(".storage/new-7-0").exists());
    assert!(fixture.path(".storage/notes.txt").exists() && fixture.path("items.json.corrupt-17").exists());
}

#[test]
fn a_repair_waits_until_all_others_have_closed() {
    let fixture = filled();
    let database = fixture.open();
    let at_once = no_wait();
    let error = repair(&file_system(), &fixture.path(""), at_once).expect_err("it is open");
    assert_eq!(error.code(), "LOCK_TIMEOUT");
    fixture.put(&database, 9, "goes on");
    drop(database);
    assert!(repaired(&fixture).copies.is_none());
}

#[test]
fn a_writer_notices_that_open_lock_was_replaced_and_takes_it_again() {
    let fixture = filled();
    let database = fixture.open();
    fs::remove_file(fixture.path(".storage/open.lock")).expect("removed");
    fs::write(fixture.path(".storage/open.lock"), "").expect("written");
    fixture.put(&database, 9, "present");
    let error = repair(&file_system(), &fixture.path(""), no_wait()).expect_err("it is open");
    assert_eq!(error.code(), "LOCK_TIMEOUT");
}

#[test]
fn documents_put_by_the_batch_that_dropped_their_collection_survive_a_repair() {
    let fixture = filled();
    let database = fixture.open();
    let spec = fixture.spec();
    let anew = move |t: &mut Transaction<'_>| {
        t.drop_collection(&spec)?;
        t.put(&spec, 5.into(), record(5, "anew").into_bytes())
    };
    database.write(Durability::Full, anew).expect("written");
    let report = database.verify(wait()).expect("readable");
    assert_eq!((report.problems.len(), report.documents()), (0, 1), "{report}");
    drop(database);
    fs::write(fixture.path(".storage/new-99-1"), "left over").expect("written");
    assert!(repaired(&fixture).copies.is_some(), "something was repaired");
    assert_eq!(names_of(&fixture), [None, None, None, None, Some(record(5, "anew"))]);
}

#[test]
fn documents_that_share_a_unique_key_are_reported_although_another_process_adopted_them() {
    let fixture = Fixture::new();
    let spec = spec_by_name("items.json", true);
    let (verifying, other) = (fixture.open(), fixture.open());
    let count =
        |database: &Database| database.filter(&spec, Part::Head, READ, |_| true).map(|found| found.len());
    assert_eq!((count(&verifying).ok(), count(&other).ok()), (Some(0), Some(0)));
    fs::write(fixture.path("items.json"), r#"{"1":{"id":1,"name":"one"},"2":{"id":2,"name":"one"}}"#)
        .expect("written");
    other.look_at_file(&spec, READ).expect("adopted");
    let report = verifying.verify(wait()).expect("verified");
    assert_eq!(codes(&report), ["UNIQUE_VIOLATION"], "{report}");
}
