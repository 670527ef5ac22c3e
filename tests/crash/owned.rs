//! Crashes while adopting an edit that removed a document together with the collection that belongs to it.

use std::path::Path;
use std::time::Duration;

use octoprompt_storage::engine::document::DocumentId;
use octoprompt_storage::engine::fs::{Extreme, SimFs};
use octoprompt_storage::engine::{Database, DatabaseOptions, Durability, Owners};

use crate::support::no_wait;
use crate::world::{DIRECTORY, Documents, Handle, empty_machine, file, map_file, observe, spec, text};

/// The document of the first collection to which the second collection belongs.
const OWNER: u64 = 7;

fn owners(_: &Path) -> Option<Owners> {
    let owner = |path: &str| (path == "data/7/items.json").then(|| DocumentId::from(OWNER));
    Some(Owners { spec: spec(0), owner })
}

fn open(fs: &SimFs) -> Result<Handle, String> {
    let options = DatabaseOptions {
        lock_timeout: Duration::ZERO,
        background: false,
        owners: Some(owners),
        ..DatabaseOptions::default()
    };
    Database::open(fs.handle(), Path::new(DIRECTORY), options).map_err(|error| error.to_string())
}

fn put(database: &Handle, collection: usize, id: u64) {
    // Versions are unique.
    let text = text(id, id as u32).into_bytes();
    database.write(Durability::Full, move |tx| tx.put(&spec(collection), id.into(), text)).expect("written");
}

fn check(fs: &SimFs, expected: &Documents) -> Result<(), String> {
    let database = open(&fs.process())?;
    for _ in 0..2 {
        let found = observe(&database)?;
        if found != *expected {
            return Err(format!("there is {found:?}"));
        }
        database.checkpoint(no_wait()).map_err(|error| format!("the checkpoint failed: {error}"))?;
    }
    Ok(())
}

#[test]
fn a_file_removed_with_its_owner_does_not_return_after_a_power_loss() {
    let fs = empty_machine();
    let database = open(&fs).expect("a new database opens");
    put(&database, 0, OWNER);
    put(&database, 1, 1);
    database.checkpoint(no_wait()).expect("checkpointed");
    drop(database);
    fs.write_file(file(0), b"{}");
    // The removal of the file is not synced.
    fs.process().handle().remove_file(Path::new(&file(1))).expect("removed");
    let database = open(&fs).expect("it opens");
    assert_eq!(observe(&database), Ok(Documents::new()));
    check(&fs.power_loss(&mut Extreme::Nothing), &Documents::new()).expect("still given up");
}

#[test]
fn an_edit_that_removes_a_document_and_its_collection_survives_every_crash() {
    let fs = empty_machine();
    let database = open(&fs).expect("a new database opens");
    put(&database, 0, OWNER);
    put(&database, 0, 8);
    put(&database, 1, 1);
    database.checkpoint(no_wait()).expect("checkpointed");
    drop(database);
    fs.remove(file(0));
    fs.write_file(file(0), map_file(&[(8, 2)].into()).as_bytes());
    fs.remove(file(1));
    let expected = Documents::from([((0, 8), 2)]);
    fs.record();
    let database = open(&fs).expect("it opens");
    assert_eq!(observe(&database), Ok(expected.clone()));
    database.checkpoint(no_wait()).expect("checkpointed");
    let mut checked = 0;
    for (at, moment) in fs.moments().iter().enumerate() {
        for crashed in moment.crash_states(12, at as u64).chain([moment.kill()]) {
            checked += 1;
            check(&crashed, &expected).unwrap_or_else(|problem| {
                panic!(
                    "call {at}: {problem}\n{}",
                    crashed.origin().map(ToString::to_string).unwrap_or_default()
                )
            });
        }
    }
    assert!(checked > 50, "only {checked} crashes");
}
