//! Collections that belong to documents of another collection, and a person who removes both together.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use octoprompt_storage::engine::document::DocumentId;
use octoprompt_storage::engine::fs::{Call, Extreme, Fault, Fs, OsFs, Repeat, SimFs};
use octoprompt_storage::engine::{
    Database, DatabaseOptions, Durability, Moment, Owners, Part, Registry, WarningCode,
};

use crate::support::simulated::{DIRECTORY, checkpoint, machine, name, put, remove};
use crate::support::{Fixture, Handle, READ, record, spec, wait};

/// Items own the collections in `data/<id>/items.json`.
fn owners(_: &Path) -> Option<Owners> {
    let owner =
        |path: &str| Some(DocumentId::from_key(path.strip_prefix("data/")?.strip_suffix("/items.json")?));
    Some(Owners { spec: spec("items.json"), owner })
}

fn open(fixture: &Fixture) -> Handle {
    let options = DatabaseOptions { background: false, owners: Some(owners), ..DatabaseOptions::default() };
    let file_system: Arc<dyn Fs> = Arc::new(OsFs);
    Registry::of_process().open(&file_system, &fixture.path(""), options, wait()).expect("opened")
}

/// Items 7 and 8, of which 7 owns a collection. Everything is in the JSON files.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let database = open(&fixture);
    fixture.put(&database, 7, "owner");
    fixture.put(&database, 8, "other");
    put_nested(&fixture, &database, 1);
    fixture.checkpoint(&database);
    fixture
}

fn put_nested(fixture: &Fixture, database: &Handle, id: u64) {
    let (nested, text) = (fixture.nested(), record(id, "nested").into_bytes());
    database.write(Durability::Full, move |tx| tx.put(&nested, id.into(), text)).expect("written");
}

fn nested(fixture: &Fixture, database: &Handle) -> Result<String, String> {
    let list = database.list(&fixture.nested(), Part::Whole, READ).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&list).into_owned())
}

fn give_up_owner(fixture: &Fixture) {
    fs::write(fixture.path("items.json"), format!("{{\"8\": {}}}", record(8, "other"))).expect("edited");
}

fn remove_file(fixture: &Fixture) {
    fs::remove_dir_all(fixture.path("data/7")).expect("removed");
}

#[test]
fn a_file_removed_together_with_its_owner_counts_as_deleted() {
    let fixture = fixture();
    give_up_owner(&fixture);
    remove_file(&fixture);
    let database = open(&fixture);
    assert_eq!(nested(&fixture, &database), Ok("[]".into()));
    assert_eq!(fixture.get(&database, 7), None);
    let codes: Vec<WarningCode> = database.take_warnings().into_iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::SnapshotChanged; 2]);
    let other = fixture.open();
    assert_eq!(nested(&fixture, &other), Ok("[]".into()));
    drop((database, other));
    let database = open(&fixture);
    assert_eq!(nested(&fixture, &database), Ok("[]".into()));
    put_nested(&fixture, &database, 2);
    fixture.checkpoint(&database);
    drop(database);
    assert_eq!(nested(&fixture, &open(&fixture)), Ok(format!("[{}]", record(2, "nested"))));
    assert!(
        octoprompt_storage::engine::verify(&(Arc::new(OsFs) as _), &fixture.path(""), wait())
            .expect("verified")
            .is_ok()
    );
}

#[test]
fn a_file_missing_while_its_owner_exists_is_damage_and_the_error_names_a_remedy() {
    for edit in [false, true] {
        let fixture = fixture();
        remove_file(&fixture);
        if edit {
            let text = format!("{{\"7\": {}}}", record(7, "edited"));
            fs::write(fixture.path("items.json"), text).expect("edited");
        }
        let database = open(&fixture);
        assert!(fixture.get(&database, 7).is_some());
        let error = nested(&fixture, &database).expect_err("damaged");
        assert!(error.contains("missing") && error.contains("repair") && error.contains("{}"), "{error}");
    }
}

#[test]
fn an_owner_kept_by_a_newer_write_makes_its_missing_file_damage() {
    let fixture = fixture();
    let database = open(&fixture);
    fixture.put(&database, 7, "newer");
    drop(database);
    give_up_owner(&fixture);
    remove_file(&fixture);
    let database = open(&fixture);
    assert_eq!(fixture.get(&database, 7), Some(record(7, "newer")));
    assert!(nested(&fixture, &database).is_err());
}

#[test]
fn journaled_documents_of_a_file_removed_with_its_owner_are_not_discarded() {
    let fixture = fixture();
    let database = open(&fixture);
    put_nested(&fixture, &database, 2);
    drop(database);
    give_up_owner(&fixture);
    remove_file(&fixture);
    let database = open(&fixture);
    assert_eq!(fixture.get(&database, 7), None);
    assert!(nested(&fixture, &database).is_err());
}

#[test]
fn a_broken_owner_file_deletes_no_owned_collection() {
    let fixture = fixture();
    fs::write(fixture.path("items.json"), "{\"8\": {").expect("broken");
    remove_file(&fixture);
    let database = open(&fixture);
    assert_eq!(fixture.get(&database, 8), None);
    assert!(nested(&fixture, &database).is_err());
}

#[test]
fn a_file_put_back_together_with_its_owner_is_adopted_again() {
    for restarted in [false, true] {
        let fixture = fixture();
        let [items, owned] = ["items.json", "data/7/items.json"].map(|name| fixture.path(name));
        let before = [&items, &owned].map(|file| fs::read(file).expect("a snapshot"));
        give_up_owner(&fixture);
        remove_file(&fixture);
        let open_twice = || (open(&fixture), fixture.open());
        let mut opened = Some(open_twice());
        for database in opened.iter().flat_map(|(one, other)| [one, other]) {
            assert_eq!(nested(&fixture, database), Ok("[]".into()));
        }
        opened = opened.filter(|_| !restarted);
        fs::create_dir_all(fixture.path("data/7")).expect("created");
        for (file, bytes) in [&items, &owned].into_iter().zip(&before) {
            fs::write(file, bytes).expect("put back");
        }
        let (database, follower) = opened.unwrap_or_else(open_twice);
        for database in [&database, &follower] {
            for spec in [fixture.spec(), fixture.nested()] {
                database.look_at_file(&spec, READ).expect("looked at");
            }
            assert_eq!(fixture.get(database, 7), Some(record(7, "owner")));
            assert_eq!(nested(&fixture, database), Ok(format!("[{}]", record(1, "nested"))));
        }
        put_nested(&fixture, &database, 2);
        fixture.checkpoint(&database);
        let both = format!("[{},{}]", record(1, "nested"), record(2, "nested"));
        assert_eq!(nested(&fixture, &follower), Ok(both.clone()));
        drop((database, follower));
        assert_eq!(nested(&fixture, &open(&fixture)), Ok(both));
    }
}

#[test]
fn a_collection_given_up_with_its_owner_counts_as_changed() {
    let fixture = fixture();
    let database = open(&fixture);
    assert_eq!(nested(&fixture, &database), Ok(format!("[{}]", record(1, "nested"))));
    let before = Moment { engine: database.number(), seq: database.known_sequence() };
    give_up_owner(&fixture);
    remove_file(&fixture);
    database.look_at_file(&fixture.spec(), READ).expect("looked at");
    let spec = fixture.nested();
    let unchanged = database.write(Durability::Full, move |tx| tx.is_unchanged_since(&spec, before));
    assert_eq!(unchanged.map_err(|error| error.code()), Ok(false));
}

fn open_simulated(fs: &SimFs) -> Handle {
    let options = DatabaseOptions { background: false, owners: Some(owners), ..DatabaseOptions::default() };
    Database::open(fs.handle(), Path::new(DIRECTORY), options).expect("opened")
}

/// A machine on which a person has just removed a file together with its owner, so that a power loss may bring it back.
fn given_up_a_moment_ago() -> SimFs {
    let fs = machine();
    let database = open_simulated(&fs);
    put(&database, "items.json", 7, "owner");
    put(&database, "items.json", 8, "other");
    put(&database, "data/7/items.json", 1, "nested");
    checkpoint(&database).expect("checkpointed");
    remove(&fs, "data/7/items.json");
    fs.write_file("/database/items.json", format!("{{\"8\": {}}}", record(8, "other")).as_bytes());
    fs
}

#[test]
fn a_file_given_up_with_its_owner_does_not_return_after_a_power_loss() {
    let fs = given_up_a_moment_ago();
    assert_eq!(name(&open_simulated(&fs), "items.json", 7), Ok(None));
    let lost = fs.power_loss(&mut Extreme::Nothing);
    assert_eq!(name(&open_simulated(&lost), "data/7/items.json", 1), Ok(None));
}

#[test]
fn a_file_given_up_with_its_owner_counts_as_deleted_on_a_read_only_disk_too() {
    let fs = given_up_a_moment_ago();
    fs.fail_when(Call::changes_state, Fault::ReadOnly, Repeat::Forever);
    let database = open_simulated(&fs);
    assert_eq!(name(&database, "items.json", 7), Ok(None));
    assert_eq!(name(&database, "data/7/items.json", 1), Ok(None));
}
