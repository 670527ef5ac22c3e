//! A database in a temporary directory, with one collection of named items.
#![allow(dead_code, reason = "each program uses its own part")]

pub mod simulated;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use octoprompt_storage::engine::fs::OsFs;
use octoprompt_storage::engine::index::{Extractor, IndexConfig, IndexKey, IndexSpec, IndexType};
use octoprompt_storage::engine::{
    CollectionSpec, Database, DatabaseOptions, Durability, Foreign, Part, ReadOptions, Request, Wait,
    WriteOptions,
};

pub type Handle = Arc<Database>;

pub const READ: ReadOptions = ReadOptions { cached: true, lock_timeout: Duration::from_secs(5) };

/// Longer than anything that is waited for takes.
pub fn wait() -> Wait {
    Wait::at_most(Duration::from_secs(10))
}

pub fn no_wait() -> Wait {
    Wait::at_most(Duration::ZERO)
}

pub struct Fixture {
    directory: tempfile::TempDir,
}

/// The text of an item.
pub fn record(id: u64, name: &str) -> String {
    format!("{{\"id\":{id},\"name\":\"{name}\",\"content\":\"content of {name}\"}}")
}

pub fn spec(path: &str) -> Arc<CollectionSpec> {
    spec_by_name(path, false)
}

/// A collection with an index of its names, which are `unique` or not.
pub fn spec_by_name(path: &str, unique: bool) -> Arc<CollectionSpec> {
    spec_with(path, [by_name(unique)])
}

pub fn by_name(unique: bool) -> IndexConfig {
    IndexConfig {
        name: "name".into(),
        kind: IndexType::Hash,
        fields: vec!["name".into()],
        unique,
        sparse: false,
    }
}

pub fn spec_with(path: &str, indexes: impl IntoIterator<Item = IndexConfig>) -> Arc<CollectionSpec> {
    let index = |config| Arc::new(IndexSpec::new(config, Extractor::Fields));
    Arc::new(CollectionSpec {
        path: path.into(),
        large_field: Some("content"),
        indexes: indexes.into_iter().map(index).collect(),
        foreign: Foreign::Adopt(None),
    })
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Opens the database like a process of its own: it shares nothing but the files with other handles.
    pub fn open(&self) -> Handle {
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        Database::open(Arc::new(OsFs), self.directory.path(), options).expect("the database opens")
    }

    pub fn spec(&self) -> Arc<CollectionSpec> {
        spec("items.json")
    }

    pub fn nested(&self) -> Arc<CollectionSpec> {
        spec("data/7/items.json")
    }

    pub fn put(&self, database: &Handle, id: u64, name: &str) {
        let (spec, text) = (self.spec(), record(id, name).into_bytes());
        database.write(Durability::Full, move |t| t.put(&spec, id.into(), text)).expect("written");
    }

    pub fn put_without_waiting(&self, database: &Handle, id: u64, name: &str) {
        let (spec, text) = (self.spec(), record(id, name).into_bytes());
        let options =
            WriteOptions { durability: Durability::Full, wait: Wait::at_most(Duration::from_millis(10)) };
        let work = move |t: &mut octoprompt_storage::engine::Transaction<'_>| t.put(&spec, id.into(), text);
        let done = |result: Result<(), octoprompt_storage::engine::Error>| {
            assert_eq!(result.map_err(|error| error.code()), Err("LOCK_TIMEOUT"));
        };
        if database.submit(Request::new(options, work, done)) {
            database.drain();
        }
    }

    pub fn delete(&self, database: &Handle, id: u64) {
        let spec = self.spec();
        assert!(database.write(Durability::Full, move |t| t.delete(&spec, id.into())).expect("deleted"));
    }

    pub fn get(&self, database: &Handle, id: u64) -> Option<String> {
        let document = database.get(&self.spec(), &id.into(), READ).expect("readable")?;
        Some(String::from_utf8_lossy(&document.text).into_owned())
    }

    pub fn find(&self, database: &Handle, name: &str) -> Vec<u64> {
        let key = IndexKey::text(name);
        let choose = |query: &octoprompt_storage::engine::Queryable<'_>| Ok(query.index("name")?.find(&key));
        let texts = database.select(&self.spec(), Part::Head, READ, choose).expect("readable");
        let id = |text: &[u8]| {
            octoprompt_storage::engine::json::get(text, "id")
                .and_then(octoprompt_storage::engine::json::parse_number)
        };
        texts.iter().filter_map(|text| id(text)).map(|id| id as u64).collect()
    }

    pub fn checkpoint(&self, database: &Handle) {
        database.checkpoint(wait()).expect("checkpointed");
    }

    pub fn files_like(&self, prefix: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directory.path()).expect("a directory").filter_map(Result::ok);
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path())
            .collect()
    }
}
