//! Directories that earlier versions of the engine wrote, in each format of the journal. Each has documents in snapshots with
//! index checkpoints, and newer batches that are only in the journal.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::support::{Fixture, READ, record, wait};
use octoprompt_storage::engine::fs::OsFs;
use octoprompt_storage::engine::{Durability, verify};

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a directory").filter_map(Result::ok) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            fs::create_dir_all(&to).expect("created");
            copy(&from, &to);
        } else {
            fs::copy(from, to).expect("copied");
        }
    }
}

/// A copy of a directory in a format, as a killed process left it.
fn written_in_format(format: u32) -> Fixture {
    let fixture = Fixture::new();
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("__test__/fixtures");
    copy(&stored.join(format!("format-{format}")), &fixture.path(""));
    fixture
}

fn is_verified(fixture: &Fixture) -> bool {
    let report = verify(&(Arc::new(OsFs) as _), &fixture.path(""), wait());
    report.expect("readable").problems.is_empty()
}

/// Opens the database and checks that it has all documents, but not the one that was deleted.
fn check(fixture: &Fixture, documents: &[(u64, &str)]) {
    assert!(is_verified(fixture));
    let database = fixture.open();
    for id in 1..=6 {
        let expected = documents.iter().find(|document| document.0 == id);
        assert_eq!(
            fixture.get(&database, id),
            expected.map(|&(id, text)| text_of(id, text)),
            "document {id}"
        );
    }
    let nested = database.get(&fixture.nested(), &1.into(), READ).expect("readable").expect("there");
    assert_eq!(String::from_utf8_lossy(&nested.text), record(1, "nested"));
    assert_eq!(fixture.find(&database, "old"), [1]);
    assert_eq!(fixture.find(&database, "new"), [3, 4]);
}

/// The text of a document; that of the one that came as a stream differs.
fn text_of(id: u64, name: &str) -> String {
    if name == "large" {
        r#"{"id":5,"name":"large","content":"streamed"}"#.to_owned()
    } else {
        record(id, name)
    }
}

/// Checks that the directory of a format has all documents, and still has them after writes in it and a checkpoint.
fn check_format(format: u32, documents: &[(u64, &str)]) {
    let fixture = written_in_format(format);
    check(&fixture, documents);
    let database = fixture.open();
    fixture.put(&database, 6, "later");
    drop(database);
    let documents = [documents, &[(6, "later")]].concat();
    check(&fixture, &documents);
    fixture.checkpoint(&fixture.open());
    check(&fixture, &documents);
}

#[test]
fn a_directory_of_format_1_opens_with_all_its_documents() {
    check_format(1, &[(1, "old"), (3, "new"), (4, "new")]);
}

#[test]
fn a_directory_of_format_2_opens_with_all_its_documents() {
    check_format(2, &[(1, "old"), (3, "new"), (4, "new"), (5, "large")]);
}

#[test]
fn a_generation_of_format_1_gets_no_reference_to_a_document_file() {
    let fixture = written_in_format(1);
    let database = fixture.open();
    let mut spool = database.spool("content", 100).expect("room");
    spool.append(b"streamed").expect("room");
    let file = database.seal(spool, br#"{"id":5,"name":"large""#).expect("room");
    let spec = fixture.spec();
    database.write(Durability::Full, move |t| t.put_file(&spec, 5.into(), file)).expect("written");
    drop(database);
    let journal = fs::read_to_string(fixture.path(".storage/journal-000000000002.jsonl")).expect("a journal");
    assert!(journal.contains("streamed") && !journal.contains("\"large\":{"), "{journal}");
    check(&fixture, &[(1, "old"), (3, "new"), (4, "new"), (5, "large")]);
}
