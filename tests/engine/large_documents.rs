//! Documents and snapshots that are read and copied in pieces, on a real file system.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::support::{Fixture, Handle, READ, record, spec, wait};
use octoprompt_storage::engine::fs::OsFs;
use octoprompt_storage::engine::{Database, Durability, Error, json, verify};

/// Large enough for the file of the collection to be read in pieces.
const LARGE: usize = 17 << 20;

fn content() -> String {
    r#"text \n \"quoted\" é "#.repeat(LARGE / 24)
}

fn head(id: u64) -> String {
    format!("{{\"id\":{id},\"name\":\"large\"")
}

fn text(id: u64) -> String {
    format!("{},\"content\":\"{}\"}}", head(id), content())
}

/// Puts a large document piece by piece.
fn put_large(database: &Database, id: u64) {
    let mut spool = database.spool("content", 100).expect("room");
    let content = content();
    let mut rest = content.as_str();
    while !rest.is_empty() {
        // Pieces are cut neither within a character nor within an escape.
        let cut = rest.len().min(100_000);
        let end =
            (cut..).find(|&at| rest.is_char_boundary(at) && !rest[..at].ends_with('\\')).expect("an end");
        spool.append(&rest.as_bytes()[..end]).expect("room");
        rest = &rest[end..];
    }
    assert_eq!(spool.utf8_len(), json::utf8_len(format!("\"{content}\"").as_bytes()) as u64);
    let file = database.seal(spool, head(id).as_bytes()).expect("room");
    database
        .write(Durability::Full, move |t| t.put_file(&spec("items.json"), id.into(), file))
        .expect("written");
}

fn filled() -> (Fixture, Handle) {
    let fixture = Fixture::new();
    let database = fixture.open();
    (1..=3).for_each(|id| fixture.put(&database, id, "small"));
    put_large(&database, 2);
    (fixture, database)
}

fn document_files(fixture: &Fixture) -> Vec<PathBuf> {
    let entries = fs::read_dir(fixture.path(".storage")).expect("a folder").filter_map(Result::ok);
    let is_document = |path: &PathBuf| path.to_string_lossy().contains("document-");
    entries.map(|entry| entry.path()).filter(is_document).collect()
}

fn remove_index_checkpoints(fixture: &Fixture) {
    for entry in fs::read_dir(fixture.path(".storage")).expect("a folder").filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with("index-") {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
}

fn assert_whole(fixture: &Fixture, database: &Handle) {
    assert!(fixture.get(database, 2).as_ref() == Some(&text(2)), "the large document is another one");
    assert_eq!(fixture.get(database, 3), Some(record(3, "small")));
    assert_eq!(fixture.find(database, "large"), [2]);
    assert_eq!(fixture.find(database, "small"), [1, 3]);
}

fn assert_sound(fixture: &Fixture) {
    let report = verify(&OsFs.into_handle(), &fixture.path(""), wait());
    let report = report.expect("readable");
    assert_eq!((report.problems.len(), report.documents()), (0, 3), "{report}");
}

trait IntoHandle {
    fn into_handle(self) -> Arc<dyn octoprompt_storage::engine::fs::Fs>;
}

impl IntoHandle for OsFs {
    fn into_handle(self) -> Arc<dyn octoprompt_storage::engine::fs::Fs> {
        Arc::new(self)
    }
}

#[test]
fn a_large_document_reads_the_same_from_its_file_and_the_snapshot() {
    let (fixture, database) = filled();
    assert_whole(&fixture, &database);
    drop(database);
    assert_sound(&fixture);
    assert_whole(&fixture, &fixture.open());
    let database = fixture.open();
    fixture.checkpoint(&database);
    assert_whole(&fixture, &database);
    drop(database);
    assert_sound(&fixture);
    let snapshot = fs::read(fixture.path("items.json")).expect("a file");
    let expected =
        format!("{{\n\"1\":{},\n\"2\":{},\n\"3\":{}\n}}\n", record(1, "small"), text(2), record(3, "small"));
    assert!(snapshot == expected.as_bytes(), "the snapshot is laid out in another way");
    assert_whole(&fixture, &fixture.open());
    remove_index_checkpoints(&fixture);
    assert_whole(&fixture, &fixture.open());
}

#[test]
fn a_checkpoint_copies_an_unloaded_collection_in_pieces() {
    let (fixture, database) = filled();
    drop(database);
    for _ in 0..2 {
        let database = fixture.open();
        fixture.checkpoint(&database);
        let other = fixture.open();
        fixture.put(&other, 3, "small too");
        fixture.put(&other, 3, "small");
        drop((database, other));
        remove_index_checkpoints(&fixture);
    }
    assert_whole(&fixture, &fixture.open());
    assert_sound(&fixture);
}

#[test]
fn persisting_indexes_does_not_rewrite_a_large_snapshot() {
    let (fixture, database) = filled();
    fixture.checkpoint(&database);
    remove_index_checkpoints(&fixture);
    let before = fs::metadata(fixture.path("items.json")).expect("a file").modified().expect("a time");
    database.persist_indexes(&fixture.spec(), READ).expect("written");
    assert_eq!(fs::metadata(fixture.path("items.json")).expect("a file").modified().expect("a time"), before);
    drop(database);
    assert_whole(&fixture, &fixture.open());
    assert_sound(&fixture);
}

#[test]
fn the_content_of_a_large_document_comes_in_chunks() {
    let (fixture, database) = filled();
    for _ in 0..2 {
        let reader = database.content(&fixture.spec(), &2.into(), READ);
        let mut reader = reader.expect("readable").expect("there");
        let mut found = Vec::new();
        loop {
            let chunk = database.next_chunk(&mut reader).expect("readable");
            assert!(chunk.len() <= 1 << 20);
            if chunk.is_empty() {
                break;
            }
            found.extend(chunk);
        }
        assert!(found == content().as_bytes(), "the content is another one");
        fixture.checkpoint(&database);
    }
}

#[test]
fn damage_in_a_large_snapshot_is_found_and_a_valid_edit_is_adopted() {
    let (fixture, database) = filled();
    fixture.checkpoint(&database);
    drop(database);
    let path = fixture.path("items.json");
    let bytes = fs::read(&path).expect("a file");
    let mut damaged = bytes.clone();
    damaged[9 << 20] = 1;
    fs::write(&path, &damaged).expect("written");
    let report = verify(&OsFs.into_handle(), &fixture.path(""), wait());
    let codes: Vec<_> =
        report.expect("readable").problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes, ["SNAPSHOT_DAMAGED"]);
    fs::write(&path, String::from_utf8_lossy(&bytes).replacen("small", "edited", 1)).expect("written");
    let database = fixture.open();
    assert_eq!(fixture.find(&database, "edited"), [1]);
    assert!(fixture.get(&database, 2).as_ref() == Some(&text(2)));
}

#[test]
fn a_changed_document_file_is_reported_as_damage_by_name() {
    let (fixture, database) = filled();
    let [path] = &document_files(&fixture)[..] else { panic!("one file") };
    drop(database);
    let mut bytes = fs::read(path).expect("a file");
    *bytes.last_mut().expect("bytes") = b' ';
    fs::write(path, bytes).expect("written");
    let database = fixture.open();
    let error = database.get(&fixture.spec(), &2.into(), READ).expect_err("it is damaged");
    assert!(matches!(&error, Error::Corrupt { path: named, .. } if named == path), "{error}");
    assert_eq!(fixture.get(&database, 3), Some(record(3, "small")));
}

#[test]
fn a_streamed_piece_that_is_not_json_string_content_is_refused() {
    let fixture = Fixture::new();
    let database = fixture.open();
    for piece in [&b"a\"b"[..], b"a\nb", b"\\x", b"\xff", b"cut \\", b"cut \xc3"] {
        let mut spool = database.spool("content", 100).expect("room");
        let error = spool.append(piece).expect_err("it is refused");
        assert_eq!(error.code(), "INVALID_ARGUMENT");
    }
    assert!(document_files(&fixture).is_empty());
}
