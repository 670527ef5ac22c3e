//! The database under test, and what a process sees of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use octoprompt_storage::engine::document::DocumentId;
use octoprompt_storage::engine::fs::{Extreme, SimFs, Snapshot};
use octoprompt_storage::engine::index::{IndexConfig, IndexKey, IndexType};
use octoprompt_storage::engine::{
    CollectionSpec, Database, DatabaseOptions, DocumentFile, Error, Mutant, Part, ReadOptions, RoomOptions,
    WarningCode, json,
};

use crate::support::{by_name, spec_with};

pub type Handle = Arc<Database>;

pub const DIRECTORY: &str = "/base/db";
pub const TIP: &str = "/base/db/.storage/tip";
/// The collections: one beside the reserved folder, one in directories of its own.
pub const PATHS: [&str; 2] = ["items.json", "data/7/items.json"];
pub const READ: ReadOptions = ReadOptions { cached: false, lock_timeout: Duration::ZERO };
pub const NAMES: u32 = 3;

/// The version of each document, keyed by the collection's number and the document's id.
pub type Documents = BTreeMap<(usize, u64), u32>;

pub fn file(collection: usize) -> String {
    format!("{DIRECTORY}/{}", PATHS[collection])
}

/// Returns the text of one version. Every fourth is longer than a sector, and all share three names.
pub fn text(id: u64, version: u32) -> String {
    let content = "c".repeat(if version.is_multiple_of(4) { 700 } else { 10 });
    format!(
        "{{\"id\":{id},\"name\":\"n{}\",\"version\":{version},\"content\":\"{content}\"}}",
        version % NAMES
    )
}

/// Stores the text of a version in a file of its own, as a document that no batch has put yet.
pub fn file_of(database: &Database, id: u64, version: u32) -> Result<DocumentFile, Error> {
    let text = text(id, version);
    let (head, content) = text.split_once(",\"content\":\"").expect("a document with a content");
    let mut spool = database.spool("content", head.len() as u64 + 5)?;
    // The content is appended in two pieces.
    let (first, second) = content[..content.len() - 2].split_at(7);
    spool.append(first.as_bytes())?;
    spool.append(second.as_bytes())?;
    database.seal(spool, head.as_bytes())
}

/// A collection with an index of names and one of versions, which are unique.
pub fn spec(collection: usize) -> Arc<CollectionSpec> {
    static SPECS: LazyLock<[Arc<CollectionSpec>; 2]> =
        LazyLock::new(|| PATHS.map(|path| spec_with(path, [by_name(false), by_version()])));
    Arc::clone(&SPECS[collection])
}

fn by_version() -> IndexConfig {
    IndexConfig {
        name: "version".into(),
        kind: IndexType::Btree,
        fields: vec!["version".into()],
        unique: true,
        sparse: false,
    }
}

pub fn version_key(version: u32) -> IndexKey {
    IndexKey::number(f64::from(version)).expect("a number")
}

pub fn try_open(fs: &SimFs, mutant: Option<Mutant>) -> Result<Handle, Error> {
    open_on(Arc::new(fs.clone()), mutant)
}

pub fn open_on(
    fs: Arc<dyn octoprompt_storage::engine::fs::Fs>,
    mutant: Option<Mutant>,
) -> Result<Handle, Error> {
    let options = DatabaseOptions {
        lock_timeout: Duration::ZERO,
        background: false,
        // Even journals of a few lines get room, however long the writes take.
        room: RoomOptions { block: 64, within: Duration::MAX },
        mutant,
        ..DatabaseOptions::default()
    };
    Database::open(fs, Path::new(DIRECTORY), options)
}

pub fn open(fs: &SimFs, mutant: Option<Mutant>) -> Result<Handle, String> {
    try_open(fs, mutant).map_err(|error| format!("the database does not open: {}: {error}", error.code()))
}

/// A machine with nothing on it.
pub fn empty_machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs("/base");
    fs
}

/// A machine with an empty database that is the same for every workload, so that equal states are recognised.
pub fn machine() -> SimFs {
    static CREATED: LazyLock<Snapshot> = LazyLock::new(|| {
        let fs = empty_machine();
        drop(open(&fs, None).expect("a new database opens"));
        fs.power_loss(&mut Extreme::Nothing).snapshot()
    });
    CREATED.kill()
}

/// Returns what a process sees: every document of every collection, each checked against the indexes.
pub fn observe(database: &Handle) -> Result<Documents, String> {
    match try_observe(database) {
        Ok(observed) => observed,
        Err(error) => Err(format!("unreadable: {}: {error}", error.code())),
    }
}

/// Like [`observe`], with the database's own error.
pub fn try_observe(database: &Handle) -> Result<Result<Documents, String>, Error> {
    let mut documents = Documents::new();
    for (collection, path) in PATHS.iter().enumerate() {
        let texts = database.filter(&spec(collection), Part::Whole, READ, |_| true)?;
        for found in &texts {
            let Some((id, version)) = identify(found) else {
                return Ok(Err(format!("{path} holds {:?}", String::from_utf8_lossy(found))));
            };
            documents.insert((collection, id), version);
        }
        let of_collection = documents.range((collection, 0)..(collection + 1, 0));
        let versions: BTreeMap<u64, u32> = of_collection.map(|(key, &version)| (key.1, version)).collect();
        if let Some(problem) = compare_indexes(database, collection, &versions)? {
            return Ok(Err(problem));
        }
    }
    Ok(Ok(documents))
}

/// Compares the answers of both indexes, all of one moment, with what a scan found.
fn compare_indexes(
    database: &Handle,
    collection: usize,
    versions: &BTreeMap<u64, u32>,
) -> Result<Option<String>, Error> {
    let names = (0..NAMES).map(|name| ("name", IndexKey::text(&format!("n{name}")), named(versions, name)));
    let numbers = versions.values().map(|&version| {
        let same = versions.iter().filter(|(_, other)| **other == version);
        ("version", version_key(version), same.map(|(&id, _)| id).collect())
    });
    let expected: Vec<(&str, IndexKey, Vec<DocumentId>)> = names
        .chain(numbers)
        .map(|(index, key, ids)| (index, key, ids.into_iter().map(DocumentId::from).collect()))
        .collect();
    database.query(&spec(collection), READ, |query| {
        for (index, key, expected) in &expected {
            let found = query.index(index)?.find(key);
            if found != *expected {
                let path = PATHS[collection];
                return Ok(Some(format!(
                    "the index {index} of {path} has {found:?} under {key}: not what a scan finds"
                )));
            }
        }
        Ok(None)
    })?
}

/// Returns the ids of the documents that have this name.
pub fn named(versions: &BTreeMap<u64, u32>, name: u32) -> Vec<u64> {
    let named = versions.iter().filter(|(_, version)| *version % NAMES == name);
    named.map(|(&id, _)| id).collect()
}

fn number(text: &[u8], field: &str) -> Option<u64> {
    json::get(text, field).and_then(json::parse_number).map(|number| number as u64)
}

fn identify(found: &[u8]) -> Option<(u64, u32)> {
    let (id, version) = (number(found, "id")?, number(found, "version")? as u32);
    (found == text(id, version).as_bytes()).then_some((id, version))
}

pub fn warnings(database: &Handle) -> Vec<WarningCode> {
    database.take_warnings().into_iter().map(|warning| warning.code).collect()
}

/// Returns a JSON file as a person writes it. Some of its documents are laid out as the engine does it, others are not.
pub fn map_file(documents: &BTreeMap<u64, u32>) -> String {
    let laid_out = |id: u64, version: u32| match version.is_multiple_of(2) {
        true => text(id, version).replacen('{', "{ ", 1),
        false => text(id, version),
    };
    let members: Vec<String> =
        documents.iter().map(|(&id, &version)| format!("  \"{id}\": {}", laid_out(id, version))).collect();
    format!("{{\n{}\n}}", members.join(",\n"))
}

/// Returns the same for two machines with equal disks, whatever their shared pages hold: no power loss keeps those.
pub fn disk_hash(fs: &SimFs) -> u64 {
    fs.image_hash_without(TIP)
}
