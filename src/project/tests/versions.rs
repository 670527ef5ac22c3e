use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::super::versions::{Wanted, append, read};
use super::super::*;
use super::*;
use crate::engine::document::Given;
use crate::engine::fs::SimFs;
use crate::engine::{Database, DatabaseOptions, Durability, ReadOptions, Transaction};

const CHAIN: Chain = Chain { version: 2, prev: Some(8), next: None, is_latest: true, original: Some(8) };

fn latest() -> Vec<u8> {
    let raw = br#"{"path":"src/a.ts","content":"one","checksum":"old","summary":"s","created":1718000000000,
        "updated":1718000000000,"syncVersion":3,"odd":true}"#;
    stored_file("8", 3, raw).unwrap().into_owned()
}

fn version(content: &[u8], extra: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    next_version(&latest(), Content::Json(content), extra, CHAIN, 9, LATER)
}

#[test]
fn a_version_is_a_copy_with_its_own_content_id_and_chain() {
    let mut expected = value(&latest());
    for (name, new) in [
        ("id", json!(9)),
        ("size", json!(3)),
        ("checksum", json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
        ("updated", json!(LATER)),
        ("version", json!(2)),
        ("prevId", json!(8)),
        ("originalFileId", json!(8)),
        ("content", json!("abc")),
    ] {
        expected[name] = new;
    }
    assert_eq!(value(&version(b"\"abc\"", None).unwrap()), expected);
}

#[test]
fn a_version_can_be_made_without_the_content_of_the_latest_one() {
    let whole = version(b"\"abc\"", None).unwrap();
    let head = without_content(&latest());
    assert_eq!(next_version(&head, Content::Json(b"\"abc\""), None, CHAIN, 9, LATER).unwrap(), whole);
    assert_eq!(
        next_version(head_of(&latest()), Content::Json(b"\"abc\""), None, CHAIN, 9, LATER).unwrap(),
        whole
    );
}

#[test]
fn extra_fields_override_everything_but_content_and_chain() {
    let extra =
        br#"{"summary":null,"checksum":"mine","size":1,"content":5,"version":7,"id":1,"created":1,"z":1}"#;
    // Content of the wrong kind is an issue like any other.
    assert_eq!(issues(version(b"\"abc\"", Some(extra))), ["content invalid_type"]);
    let extra =
        br#"{"summary":null,"checksum":"mine","size":1,"content":"no","version":7,"id":1,"created":1,"z":1}"#;
    let made = value(&version(b"\"abc\"", Some(extra)).unwrap());
    assert_eq!(
        (&made["summary"], &made["checksum"], &made["size"], &made["content"], &made["version"], &made["id"]),
        (&json!(null), &json!("mine"), &json!(1), &json!("abc"), &json!(2), &json!(9))
    );
    assert_eq!((made["created"].as_u64(), made.get("z")), (Some(NOW), None));
}

#[test]
fn a_version_with_unchanged_content_still_gets_its_own_checksum() {
    let made = value(&version(b"\"one\"", None).unwrap());
    assert_eq!(made["checksum"], "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed");
}

#[test]
fn content_must_be_one_string() {
    for content in ["", "null", "5", "{}"] {
        assert_eq!(issues(version(content.as_bytes(), None)), ["content invalid_type"], "{content}");
    }
    for content in ["\"", "\"a\" 1", "\"\\x\"", "\"a\nb\""] {
        assert_eq!(issues(version(content.as_bytes(), None)), ["content custom"], "{content}");
    }
    assert_eq!(issues(version(b"\"\xff\"", None)), ["content custom"]);
}

#[test]
fn content_is_kept_byte_for_byte() {
    let content = "\"\\ud83d \\u2028 \u{2028} ü \\\\\\\"}\"";
    let made = version(content.as_bytes(), None).unwrap();
    assert_eq!(content_of(&made), Some(content.as_bytes()));
    assert_eq!(chain_of(head_of(&made)), CHAIN);
}

/// A file with this many versions, and their ids.
fn file_of(count: usize) -> (SimFs, Arc<Database>, Files, Vec<u64>) {
    let fs = SimFs::new();
    fs.make_dirs("/d");
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    let database = Database::open(fs.handle(), Path::new("/d"), options).unwrap();
    let input = br#"{"name":"p","path":"/p"}"#;
    let project = database.write(Durability::Os, |tx| project_store::create(tx, input)).unwrap();
    let files = Files::of(value(&project)["id"].as_u64().unwrap());
    let given = Given { text: br#"{"path":"a.ts","content":"1"}"#, large: None };
    let of_files = files.clone();
    let created = database.write(Durability::Os, move |tx| of_files.create(tx, &[given], false)).unwrap();
    let mut ids = vec![value(&created[0].text)["id"].as_u64().unwrap()];
    for _ in 1..count {
        let (of_files, root) = (files.clone(), ids[0]);
        let append =
            move |tx: &mut Transaction<'_>| append(tx, &of_files, root, Content::Json(b"\"2\""), None);
        ids.push(value(&database.write(Durability::Os, append).unwrap().text)["id"].as_u64().unwrap());
    }
    (fs, database, files, ids)
}

#[test]
fn deleting_many_versions_reads_each_version_only_a_few_times() {
    let (fs, database, files, ids) = file_of(60);
    let before = fs.calls();
    let gone = ids[1..59].to_vec();
    assert_eq!(database.write(Durability::Os, move |tx| files.delete(tx, &gone)).unwrap(), 58);
    let calls = fs.calls() - before;
    assert!(calls < 10 * 60, "{calls} file calls");
}

/// The first version of a chain names the others' root. While it is deleted, any other version still stands for the chain.
#[test]
fn versions_are_found_while_the_first_ones_are_deleted() {
    let (_fs, database, files, ids) = file_of(80);
    let last = *ids.last().unwrap();
    let options = ReadOptions { cached: true, lock_timeout: Duration::from_secs(5) };
    std::thread::scope(|scope| {
        let deleter = scope.spawn(|| {
            for &id in &ids[..ids.len() - 1] {
                let files = files.clone();
                assert_eq!(database.write(Durability::Os, move |tx| files.delete(tx, &[id])).unwrap(), 1);
            }
        });
        while !deleter.is_finished() {
            let latest = read(&database, &files, last, Wanted::Latest, options).unwrap();
            assert_eq!(value(&latest[0])["id"], last);
        }
    });
}
