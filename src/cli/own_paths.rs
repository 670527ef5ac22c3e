//! The directories and files of the storage itself, which are no files of any project.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::place::Place;
use crate::engine::fs::{Fs, OsFs};
use crate::engine::normal_path;

/// The parts of `data/` that are there for all databases, and the database of the projects.
const IN_DATA: [&str; 6] = [
    ".restore",
    ".migration",
    ".migration-state.json",
    ".databases.json",
    ".databases.lock",
    "project_storage",
];

#[derive(Debug, Default)]
pub struct OwnPaths {
    /// Canonical paths.
    paths: BTreeSet<PathBuf>,
}

impl OwnPaths {
    /// `databases` are the directories of all databases that are known.
    pub fn of(place: &Place, databases: &[PathBuf]) -> OwnPaths {
        let Ok(base) = OsFs.canonical(place.base()) else { return OwnPaths::default() };
        let data = real(&base.join("data"));
        let mut paths: BTreeSet<PathBuf> = IN_DATA.iter().map(|name| data.join(name)).collect();
        paths.insert(base.join("backups"));
        let databases = databases.iter().filter_map(|directory| OsFs.canonical(directory).ok());
        // Of a database in the base path itself, other things are around it.
        paths.extend(databases.map(|directory| {
            if base.starts_with(&directory) { directory.join(".storage") } else { directory }
        }));
        OwnPaths { paths }
    }

    /// Whether this canonical path is that of a part of the storage.
    pub fn has(&self, path: &Path) -> bool {
        self.paths.contains(path)
    }

    /// Whether this canonical path is that of a part of the storage, or below one.
    pub fn contain(&self, path: &Path) -> bool {
        path.ancestors().any(|above| self.has(above))
    }
}

/// Returns the canonical form of a path, as far as it exists.
pub fn real(path: &Path) -> PathBuf {
    let path = normal_path(path);
    path.ancestors()
        .find_map(|above| Some(OsFs.canonical(above).ok()?.join(path.strip_prefix(above).ok()?)))
        .unwrap_or(path)
}
