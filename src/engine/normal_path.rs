//! Paths as their text tells.

use std::path::{Component, Path, PathBuf};

/// The path without `.` and `..`. Symlinks are not looked at.
pub fn normal_path(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}
