//! The state file: which migrations were applied, when, and how they ended.
//!
//! ```json
//! {
//!   "currentVersion": "1.1.0",
//!   "migrations": [
//!     { "version": "1.0.0", "description": "…", "appliedAt": 1795495378037, "success": true },
//!     { "version": "1.1.0", "description": "…", "appliedAt": 1795495378112, "success": false, "error": "…" }
//!   ]
//! }
//! ```
//!
//! `appliedAt` is in milliseconds since 1970. Unknown members are kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::lock::folder;
use super::version::Version;
use crate::engine::base_path::BasePath;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{Fs, create_dirs};
use crate::engine::plain_file::{read_file, replace_by_way_of};
use crate::engine::verify::Problem;

/// The outcome of one version.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub version: Version,
    pub description: String,
    /// Milliseconds since 1970: when it was applied, or last tried.
    pub applied_at: u64,
    /// Whether the version is applied to the data.
    pub success: bool,
    /// The error that stopped it or, if `success` is true, the error that stopped its rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Unknown members of the file.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Record {
    pub fn new(version: Version, description: String, applied_at: u64, error: Option<String>) -> Record {
        Record { version, description, applied_at, success: error.is_none(), error, rest: Map::new() }
    }
}

/// The records of all versions, oldest first. The record of a failed version is replaced when it is tried again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    records: Vec<Record>,
    rest: Map<String, Value>,
}

const VERSION: &str = "currentVersion";
const MIGRATIONS: &str = "migrations";

impl State {
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Returns the highest applied version, or [`Version::NONE`] if none is applied.
    pub fn current(&self) -> Version {
        self.applied().map(|record| &record.version).max().cloned().unwrap_or(Version::NONE)
    }

    pub fn applied(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.success)
    }

    /// Returns the record that counts for each version: that of its success, or else that of its last failure.
    pub fn counting(&self) -> BTreeMap<&Version, &Record> {
        let mut counting: BTreeMap<&Version, &Record> = BTreeMap::new();
        for record in &self.records {
            let counts = counting.entry(&record.version).or_insert(record);
            if !counts.success {
                *counts = record;
            }
        }
        counting
    }

    pub fn is_applied(&self, version: &Version) -> bool {
        self.applied().any(|record| record.version == *version)
    }

    /// Replaces the records of the version.
    pub fn record(&mut self, record: Record) {
        self.forget(&record.version.clone());
        self.records.push(record);
    }

    /// Removes the records of the version.
    pub fn forget(&mut self, version: &Version) {
        self.records.retain(|record| record.version != *version);
    }

    /// Notes that the rollback of an applied version failed, so that the data still has it.
    pub fn rollback_failed(&mut self, version: &Version, error: String) {
        if let Some(record) =
            self.records.iter_mut().find(|record| record.success && record.version == *version)
        {
            record.error = Some(error);
        }
    }

    /// # Errors
    /// The offset of the problem in the text, and the problem as the end of a sentence.
    fn parse(text: &[u8]) -> Result<State, (u64, String)> {
        let value = serde_json::from_slice(text)
            .map_err(|error| (offset_of(text, &error), format!("it is not valid JSON ({error})")))?;
        let whole = |problem: String| (0, problem);
        let Value::Object(mut rest) = value else { return Err(whole("it is not a JSON object".into())) };
        let current = match rest.remove(VERSION) {
            Some(Value::String(text)) => Version::parse(&text).map_err(|error| whole(error.to_string()))?,
            _ => return Err(whole(format!("{VERSION} is not a string"))),
        };
        let Some(Value::Array(values)) = rest.remove(MIGRATIONS) else {
            return Err(whole(format!("{MIGRATIONS} is not an array")));
        };
        let record = |(at, value)| {
            parse_record(value).map_err(|problem| whole(format!("{MIGRATIONS}[{at}]: {problem}")))
        };
        let records = values.into_iter().enumerate().map(record).collect::<Result<Vec<_>, _>>()?;
        let state = State { records, rest };
        let known = if state.applied().next().is_none() {
            current == Version::NONE
        } else {
            state.is_applied(&current)
        };
        if known {
            Ok(state)
        } else {
            Err(whole(format!("{VERSION} is {current}, which {MIGRATIONS} does not list as a success")))
        }
    }

    /// Returns the state as JSON text, with the members in the order in which people read them.
    pub fn to_json(&self) -> String {
        let stored = Stored { current: self.current().to_string(), records: &self.records, rest: &self.rest };
        // Strings, numbers and maps with string keys always have a JSON form.
        serde_json::to_string_pretty(&stored).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(rename = "currentVersion")]
    current: String,
    #[serde(rename = "migrations")]
    records: &'a [Record],
    #[serde(flatten)]
    rest: &'a Map<String, Value>,
}

fn parse_record(value: Value) -> Result<Record, String> {
    let Value::Object(mut rest) = value else { return Err("it is not an object".into()) };
    let mut text = |name: &str| match rest.remove(name) {
        Some(Value::String(text)) => Ok(Some(text)),
        None => Ok(None),
        Some(_) => Err(format!("{name} is not a string")),
    };
    let version = text("version")?.ok_or("version is missing")?;
    let version = Version::parse(&version).map_err(|error| error.to_string())?;
    let description = text("description")?.ok_or("description is missing")?;
    let error = text("error")?;
    let applied_at = rest.remove("appliedAt").as_ref().and_then(Value::as_u64);
    let applied_at = applied_at.ok_or("appliedAt is not a time in milliseconds")?;
    let success = rest.remove("success").as_ref().and_then(Value::as_bool);
    let success = success.ok_or("success is neither true nor false")?;
    Ok(Record { version, description, applied_at, success, error, rest })
}

/// Returns the position of a JSON error in the text.
fn offset_of(text: &[u8], error: &serde_json::Error) -> u64 {
    let lines = text.split_inclusive(|&byte| byte == b'\n').take(error.line().saturating_sub(1));
    let before: usize = lines.map(<[u8]>::len).sum();
    (before + error.column()).min(text.len()) as u64
}

/// The state file, relative to the base path.
pub const STATE_FILE: &str = "data/.migration-state.json";

/// The state file of a base path.
#[derive(Clone)]
pub struct StateFile {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    /// Where the next state is written before it replaces the current one.
    next: PathBuf,
}

impl StateFile {
    pub fn of(base: &BasePath) -> StateFile {
        StateFile {
            fs: base.file_system(),
            path: base.path().join(STATE_FILE),
            next: folder(base.path()).join("next-state.json"),
        }
    }

    /// Reads the state on disk. If there is no file, no migration was ever applied.
    ///
    /// # Errors
    /// `CORRUPT_DATA` for anything but a complete and consistent state; `IO_ERROR`.
    pub fn load(&self) -> Result<State> {
        let Some(text) = read_file(&*self.fs, &self.path)? else { return Ok(State::default()) };
        State::parse(&text).map_err(|(offset, problem)| {
            let advice = "restore this file or a backup; delete it only if no migration ever ran here";
            Error::corrupt(&self.path, offset, format!("{problem}; {advice}"))
        })
    }

    /// Returns what is wrong with the state on disk, if anything is.
    ///
    /// # Errors
    /// Those that say nothing about the state.
    pub fn verify(&self) -> Result<Option<Problem>> {
        match self.load() {
            Ok(_) => Ok(None),
            Err(error) => Problem::of_record(STATE_FILE, &error).map(Some).ok_or(error),
        }
    }

    /// Replaces the state on disk, durably. The caller holds the migration lock.
    pub fn save(&self, state: &State) -> Result<()> {
        let text = state.to_json() + "\n";
        for path in [&self.path, &self.next] {
            if let Some(directory) = path.parent() {
                create_dirs(&*self.fs, directory).at("create directory", directory)?;
            }
        }
        replace_by_way_of(&*self.fs, &self.next, &self.path, text.as_bytes())
    }
}
