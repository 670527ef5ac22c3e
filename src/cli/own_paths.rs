//! The directories and files of the storage itself, which are no files of any project.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::place::Place;
use crate::engine::fs::{Fs, OsFs, real_path};
use crate::engine::{normal_path, own_names};

/// Canonical paths.
#[derive(Debug, Default)]
pub struct OwnPaths {
    parts: BTreeSet<PathBuf>,
    backups: PathBuf,
}

impl OwnPaths {
    /// `databases` are the directories of all databases that are known.
    pub fn of(place: &Place, databases: &[PathBuf]) -> OwnPaths {
        let Ok(base) = OsFs.canonical(place.base()) else { return OwnPaths::default() };
        let data = real(&base.join("data"));
        let mut parts: BTreeSet<PathBuf> = own_names().map(|name| data.join(name)).collect();
        // Also if nobody has used it yet.
        parts.insert(real(&place.directory()));
        let databases = databases.iter().filter_map(|directory| OsFs.canonical(directory).ok());
        // Of a database in the base path itself, other things are around it.
        parts.extend(databases.map(|directory| {
            if base.starts_with(&directory) { directory.join(".storage") } else { directory }
        }));
        OwnPaths { parts, backups: base.join("backups") }
    }

    /// Whether this canonical path is that of a part of the storage.
    pub fn has(&self, path: &Path) -> bool {
        self.parts.contains(path) || path == self.backups
    }

    /// Whether a canonical path below `directory` is in a part of the storage. Whoever names a directory among the backups
    /// means what is there.
    pub fn contain(&self, path: &Path, directory: &Path) -> bool {
        path.ancestors().any(|above| self.parts.contains(above))
            || (path.starts_with(&self.backups) && !directory.starts_with(&self.backups))
    }
}

/// Returns the canonical form of a path, as far as it exists.
pub fn real(path: &Path) -> PathBuf {
    real_path(&OsFs, &normal_path(path))
}
