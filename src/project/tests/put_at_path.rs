use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::super::*;
use super::value;
use crate::engine::fs::OsFs;
use crate::engine::{Database, DatabaseOptions, Durability, Part, ReadOptions, Transaction};

struct World {
    _directory: tempfile::TempDir,
    database: Arc<Database>,
    files: Files,
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        let database = Database::open(Arc::new(OsFs), directory.path(), options).unwrap();
        let input = br#"{"name":"p","path":"/p"}"#;
        let project = database.write(Durability::Os, |tx| project_store::create(tx, input)).unwrap();
        let files = Files::of(value(&project)["id"].as_u64().unwrap());
        World { _directory: directory, database, files }
    }

    /// Puts contents at one path in one transaction.
    fn put<const N: usize>(&self, contents: [&'static str; N], in_place: bool) -> [Put; N] {
        let files = self.files.clone();
        let put = self.database.write(Durability::Os, move |tx| {
            let put = |content: &str| files.put_at_path(tx, "a/b.ts", content, in_place);
            contents.into_iter().map(put).collect::<Result<Vec<Put>, _>>()
        });
        put.unwrap().try_into().unwrap()
    }

    fn stored(&self) -> Vec<Value> {
        let options = ReadOptions { cached: false, lock_timeout: Duration::from_secs(5) };
        let list = self.database.list(&self.files.spec, Part::Whole, options).unwrap();
        value(&list).as_array().unwrap().clone()
    }

    fn contents(&self) -> Vec<(u64, String)> {
        let content =
            |file: &Value| (file["version"].as_u64().unwrap(), file["content"].as_str().unwrap().to_owned());
        self.stored().iter().map(content).collect()
    }
}

#[test]
fn putting_the_same_content_at_a_path_again_changes_nothing() {
    let world = World::new();
    assert_eq!(world.put(["one"], false), [Put::Created]);
    assert_eq!(world.put(["one"], false), [Put::Unchanged]);
    assert_eq!(world.put(["two"], false), [Put::Changed]);
    assert_eq!(world.contents(), [(1, "one".into()), (2, "two".into())]);
    assert_eq!(world.put(["three"], true), [Put::Changed]);
    assert_eq!(world.contents(), [(1, "one".into()), (2, "three".into())]);
}

#[test]
fn puts_see_earlier_puts_of_their_transaction() {
    let world = World::new();
    assert_eq!(world.put(["one", "one", "two"], false), [Put::Created, Put::Unchanged, Put::Changed]);
    assert_eq!(world.contents(), [(1, "one".into()), (2, "two".into())]);
}

#[test]
fn of_several_files_or_projects_at_a_path_the_one_created_last_counts() {
    let world = World::new();
    let (files, input) = (world.files.clone(), br#"{"path":"a/b.ts","content":"one"}"#);
    let two = move |tx: &mut Transaction<'_>| {
        let again = project_store::create(tx, br#"{"name":"again","path":"/p"}"#)?;
        files.create(tx, &[input[..].into(), input[..].into()], false)?;
        Ok((again, project_store::at_path_or_new(tx, "/p", b"{}")?))
    };
    let (again, found) = world.database.write(Durability::Os, two).unwrap();
    assert_eq!(found, (again, false));
    assert_eq!(world.put(["two"], true), [Put::Changed]);
    assert_eq!(world.contents(), [(1, "one".into()), (1, "two".into())]);
}

#[test]
fn every_version_has_the_checksum_of_its_content() {
    let world = World::new();
    world.put(["one", "abc"], false);
    let sums: Vec<Value> = world.stored().iter().map(|file| file["checksum"].clone()).collect();
    assert_eq!(
        sums,
        [
            "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        ]
    );
}

#[test]
fn deleting_a_file_deletes_all_its_versions() {
    let world = World::new();
    world.put(["one", "two", "three"], false);
    let middle = world.stored()[1]["id"].as_u64().unwrap();
    let files = world.files.clone();
    let deleted = world.database.write(Durability::Os, move |tx| files.delete_chain(tx, middle));
    assert_eq!(deleted.unwrap(), 3);
    assert_eq!(world.stored(), [] as [Value; 0]);
}
