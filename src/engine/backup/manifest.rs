//! The manifest of a copy.

use serde::{Deserialize, Serialize};

use crate::engine::checksum::DatabaseId;
use crate::engine::journal::Layout;

/// The name of the manifest in a copy.
pub const MANIFEST: &str = "manifest.json";

/// What a copy holds. Paths are relative to the base path, with `/` between names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this package that wrote it.
    pub package: String,
    /// Milliseconds since 1970.
    pub created: u64,
    pub name: String,
    pub databases: Vec<DatabaseEntry>,
    /// The directories under `data` and those that were included, parents first.
    pub directories: Vec<String>,
    pub files: Vec<FileEntry>,
    /// What is neither a file nor a directory and was not copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabaseEntry {
    pub path: String,
    pub id: DatabaseId,
    /// The sequence number of the last batch in the copy.
    pub seq: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileEntry {
    pub path: String,
    pub size: u64,
    pub sha256: String,
    #[serde(flatten)]
    pub kind: Kind,
    /// The name of the file in the copy, if it differs from its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
}

/// What a file belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// The JSON file of a collection.
    Collection {
        /// The path of its database.
        database: String,
        /// Its path in the database.
        collection: String,
        /// Its layout; `None` if a person edited the file and it was not adopted yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        layout: Option<Layout>,
    },
    /// Anything else: copied as it is.
    Foreign,
}

impl Manifest {
    /// Every path in the manifest.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let files = self.files.iter().flat_map(|file| [file.path.as_str(), file.stored()]);
        let databases = self.databases.iter().map(|entry| entry.path.as_str());
        files.chain(databases).chain(self.directories.iter().map(String::as_str))
    }

    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

impl FileEntry {
    /// The name of the file in the copy.
    pub fn stored(&self) -> &str {
        self.stored.as_deref().unwrap_or(&self.path)
    }
}
