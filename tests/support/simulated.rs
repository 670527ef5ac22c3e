//! A database on a simulated file system, with collections of named items.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octoprompt_storage::engine::fs::{Call, Fault, Repeat, SimFs};
use octoprompt_storage::engine::{
    Database, DatabaseOptions, Durability, RepairReport, Result, VerifyReport, Wait, WarningCode, repair,
    verify,
};

use super::{READ, record, spec};

pub const DIRECTORY: &str = "/database";

pub fn machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs(DIRECTORY);
    fs
}

pub fn try_open(fs: &SimFs) -> Result<Arc<Database>> {
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    Database::open(fs.handle(), Path::new(DIRECTORY), options)
}

pub fn open(fs: &SimFs) -> Arc<Database> {
    try_open(fs).expect("the database opens")
}

pub fn put(database: &Database, path: &str, id: u64, name: &str) {
    put_with(database, Durability::Full, path, id, name);
}

/// Stores an item that a power loss may still take.
pub fn put_unsynced(database: &Database, path: &str, id: u64, name: &str) {
    put_with(database, Durability::Os, path, id, name);
}

fn put_with(database: &Database, durability: Durability, path: &str, id: u64, name: &str) {
    let (spec, text) = (spec(path), record(id, name).into_bytes());
    database.write(durability, move |t| t.put(&spec, id.into(), text)).expect("written");
}

/// The name of a document, or the code of the error.
pub fn name(database: &Database, path: &str, id: u64) -> std::result::Result<Option<String>, &'static str> {
    let found = database.get(&spec(path), &id.into(), READ).map_err(|error| error.code())?;
    Ok(found.map(|document| {
        let name = octoprompt_storage::engine::json::get(&document.text, "name").expect("a name");
        octoprompt_storage::engine::json::unescape_lossy(name).into_owned()
    }))
}

pub fn checkpoint(database: &Database) -> Result<()> {
    database.checkpoint(Wait::at_most(Duration::from_secs(1)))
}

/// Opens a database whose `items.json` lacks the last write, which changed the name "old" to "new".
pub fn outdated(fs: &SimFs) -> Arc<Database> {
    let database = open(fs);
    put(&database, "items.json", 1, "old");
    checkpoint(&database).expect("checkpointed");
    put(&database, "items.json", 1, "new");
    database
}

/// A checkpoint that begins a new generation but writes no collection, so that the previous generation is still needed.
pub fn begin_generation(fs: &SimFs, database: &Database) {
    let is_snapshot =
        |call: &Call| matches!(call, Call::Open { path, .. } if path.to_string_lossy().contains("new-"));
    fs.fail_when(is_snapshot, Fault::Io, Repeat::Once);
    assert!(checkpoint(database).is_err());
}

pub fn remove(fs: &SimFs, name: &str) {
    fs.handle().remove_file(&Path::new(DIRECTORY).join(name)).expect("removable");
}

pub fn reserved(fs: &SimFs) -> Vec<String> {
    fs.handle().list_dir(&Path::new(DIRECTORY).join(".storage")).expect("the reserved folder")
}

pub fn warnings(database: &Database) -> Vec<WarningCode> {
    database.take_warnings().into_iter().map(|warning| warning.code).collect()
}

pub fn verified(fs: &SimFs) -> VerifyReport {
    verify(&fs.handle(), Path::new(DIRECTORY), Wait::at_most(Duration::from_secs(1))).expect("verified")
}

/// The path of a journal.
pub fn journal(generation: u64) -> String {
    format!("{DIRECTORY}/.storage/journal-{generation:012}.jsonl")
}

/// Leaves the tip as a restart of the machine does.
pub fn forget_tip(fs: &SimFs) {
    fs.write_file("/database/.storage/tip", &[0; 4096]);
}

/// Cuts the last document of `items.json` short. Returns what is left of the file.
pub fn cut_short(fs: &SimFs) -> Vec<u8> {
    let mut bytes = fs.read_file("/database/items.json").expect("a file");
    bytes.truncate(bytes.len() - 10);
    fs.write_file("/database/items.json", &bytes);
    bytes
}

/// Causes damage that a repair can mend without losing a document.
pub fn leave_something(fs: &SimFs) {
    fs.write_file("/database/.storage/new-9-9", b"left over");
}

/// Repairs the database; afterwards nothing is wrong with it.
pub fn repaired(fs: &SimFs) -> RepairReport {
    let report = repair(&fs.handle(), Path::new(DIRECTORY), Wait::at_most(Duration::from_secs(1)))
        .expect("repairable");
    assert!(report.is_ok() && report.copies.is_some(), "{report}");
    assert!(verified(fs).is_ok());
    report
}
