//! Paths as journals name them: relative to the database's directory, with `/` between names. A path that leads out of
//! the directory begins with `..`, as often as needed and nowhere else, so that each file has one name.

use std::path::{Path, PathBuf};

use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{FileKind, Fs};
use crate::engine::journal::RESERVED;
use crate::engine::normal_path::is_file_name;

/// Returns the file that a path names.
pub(in crate::engine) fn collection_file(directory: &Path, path: &str) -> PathBuf {
    let (above, below) = split(path);
    let mut file = root_of(directory, above);
    file.extend(below.split('/'));
    file
}

/// Returns the lowest directory above both the database and the path.
pub(super) fn common_directory(directory: &Path, path: &str) -> PathBuf {
    root_of(directory, split(path).0)
}

/// Whether the path leads out of the database's directory.
pub(in crate::engine) fn leads_out(path: &str) -> bool {
    split(path).0 > 0
}

/// Refuses a path that is not in its canonical form, that no file of a caller can have, or that names the database
/// itself.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub(in crate::engine) fn check_path(directory: &Path, path: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::InvalidArgument(format!("the path {path:?} {why}")));
    let (above, below) = split(path);
    let plain = |name: &str| is_file_name(name) && !name.contains(['\\', ':']);
    if !below.split('/').all(plain) || above > directory.ancestors().count() - 1 {
        return refuse("names no file that a database can use");
    }
    if below.split('/').any(|name| name.eq_ignore_ascii_case(RESERVED)) {
        return refuse("leads into a folder that belongs to the engine");
    }
    let file = collection_file(directory, path);
    if directory.starts_with(&file) {
        return refuse("is the database's own directory, or lies above it");
    }
    if above > 0 && file.starts_with(directory) {
        return refuse("leads out of the database's directory and back into it");
    }
    Ok(())
}

/// Refuses paths that lead further above the directory than this. A database that somebody else prepared, or that was moved
/// to another place below its base path, may name anything.
///
/// # Errors
/// `CORRUPT_DATA`.
pub(in crate::engine) fn check_reach<'p>(
    directory: &Path,
    most_above: usize,
    mut paths: impl Iterator<Item = &'p str>,
) -> Result<()> {
    let Some(path) = paths.find(|path| split(path).0 > most_above) else { return Ok(()) };
    let problem = format!(
        "it names {path:?}, which is not under the base path; open it under the base path that it was written under"
    );
    Err(Error::corrupt(&directory.join(RESERVED), 0, problem))
}

/// Whether a directory on the way to the path, below the lowest one that the database shares with it, is a symlink.
pub(in crate::engine) fn passes_symlink(fs: &dyn Fs, directory: &Path, path: &str) -> Result<bool> {
    let root = common_directory(directory, path);
    let file = collection_file(directory, path);
    for above in file.ancestors().skip(1).take_while(|above| *above != root) {
        let found = fs.symlink_metadata(above).at("look up", above)?;
        if found.is_some_and(|found| found.kind == FileKind::Symlink) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a database lies at the path or below it. Symlinks are not followed.
pub(super) fn holds_database(fs: &dyn Fs, path: &Path) -> Result<bool> {
    let is_directory = |path: &Path| -> Result<bool> {
        let found = fs.symlink_metadata(path).at("look up", path)?;
        Ok(found.is_some_and(|found| found.kind == FileKind::Directory))
    };
    if !is_directory(path)? {
        return Ok(false);
    }
    for name in fs.list_dir(path).at("list", path)? {
        if name == RESERVED || holds_database(fs, &path.join(name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns how many levels the path leads upwards, and the rest of it.
fn split(path: &str) -> (usize, &str) {
    let (mut above, mut rest) = (0, path);
    while let Some(below) = rest.strip_prefix("../") {
        above += 1;
        rest = below;
    }
    (above, rest)
}

fn root_of(directory: &Path, above: usize) -> PathBuf {
    let mut root = directory.to_path_buf();
    for _ in 0..above {
        root.pop();
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_lead_out_of_the_directory() {
        let directory = Path::new("/base/one/two");
        assert_eq!(collection_file(directory, "a/b.json"), Path::new("/base/one/two/a/b.json"));
        assert_eq!(collection_file(directory, "../../x/y.json"), Path::new("/base/x/y.json"));
        assert_eq!(common_directory(directory, "../../x/y.json"), Path::new("/base"));
        assert_eq!(common_directory(directory, "a/b.json"), directory);
    }

    #[test]
    fn only_the_normal_form_of_a_path_is_accepted() {
        let directory = Path::new("/base/one");
        for fine in ["a", "a/b.json", "../a", "../two/a.json"] {
            assert!(check_path(directory, fine).is_ok(), "{fine}");
        }
        for wrong in [
            "",
            ".",
            "..",
            "../",
            "a/../b",
            "/a",
            "a//b",
            "a/",
            "../one",
            "../one/a",
            "../..",
            "../../../a",
            "a:b",
            "a\\b",
            ".storage",
            ".storage/tip",
            ".Storage/tip",
            "../two/.storage/tip",
        ] {
            let error = check_path(directory, wrong).expect_err(wrong);
            assert_eq!(error.code(), "INVALID_ARGUMENT", "{wrong}");
        }
    }
}
