//! Files that a person edited before a backup, or before a migration that is undone.

use crate::holding::hold;
use crate::support::record;
use crate::world::{Process, change, machine};

#[test]
fn an_edit_that_nobody_has_asked_for_is_put_back_as_an_edit() {
    let fs = machine();
    let (file, edit) = ("/base/data/one/deep/7/items.json", format!("{{ \"2\": {} }}", record(2, "edited")));
    fs.write_file(file, edit.as_bytes());
    let mut process = Process::start(&fs);
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    process.put((0, 0, 1), "changed").expect("changed");
    held.put_back(copy).expect("put back");
    drop(held);
    assert_eq!(fs.read_file(file).as_deref(), Some(edit.as_bytes()));
    assert_eq!(process.see().expect("readable").documents[&(0, 1, 2)], record(2, "edited"));
}

#[test]
fn an_edit_that_lacks_newer_documents_is_put_back_with_them_and_kept_beside() {
    let fs = machine();
    let edit = format!("{{\"1\":{}}}", record(1, "edited"));
    fs.write_file("/base/data/one/items.json", edit.as_bytes());
    let mut process = Process::start(&fs);
    let held = hold(&process).expect("held");
    let copy = held.copy(None).expect("copied");
    change(&mut process).expect("changed");
    held.put_back(copy).expect("put back");
    drop(held);
    let seen = process.see().expect("readable");
    assert_eq!(seen.documents[&(0, 0, 1)], record(1, "edited"));
    assert_eq!(seen.documents[&(0, 0, 4)], record(4, "in the journal"));
    let kept = seen.files.iter().filter(|(path, _)| path.starts_with("data/one/items.json.edited-"));
    assert_eq!(kept.map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>(), [edit.as_bytes()]);
}

#[test]
fn a_backup_holds_an_edit_that_nobody_has_asked_for_and_not_the_adopted_edit_before_it() {
    let fs = machine();
    for name in ["first", "second"] {
        let edit = format!("{{ \"1\": {} }}", record(1, name).replace(':', ": "));
        fs.write_file("/base/data/one/items.json", edit.as_bytes());
        let mut process = Process::start(&fs);
        if name == "second" {
            process.back_up("one").expect("backed up");
            change(&mut process).expect("changed");
            process.restore("one").expect("restored");
        }
        let documents = process.see().expect("readable").documents;
        assert_eq!(documents[&(0, 0, 1)], record(1, name));
        assert_eq!(documents[&(0, 0, 4)], record(4, "in the journal"));
    }
}

#[test]
fn an_edit_that_lacks_newer_documents_is_no_snapshot_in_a_backup() {
    let fs = machine();
    let edit = format!("{{\"1\":{}}}", record(1, "edited"));
    fs.write_file("/base/data/one/items.json", edit.as_bytes());
    let mut process = Process::start(&fs);
    process.back_up("one").expect("backed up");
    let manifest = fs.read_file("/base/backups/one/manifest.json").expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let files = manifest["content"]["files"].as_array().expect("a list");
    let is_snapshot = |path: &str| {
        let file = files.iter().find(|file| file["path"] == path).expect("in the backup");
        file.to_string().contains("\"lines\"")
    };
    assert!(is_snapshot("data/one/deep/7/items.json"));
    // What is laid over the edit is kept, and the edit is judged when it is adopted.
    assert!(!is_snapshot("data/one/items.json"));
    process.restore("one").expect("restored");
    let documents = process.see().expect("readable").documents;
    assert_eq!(documents[&(0, 0, 1)], record(1, "edited"));
    assert_eq!(documents[&(0, 0, 4)], record(4, "in the journal"));
}
