//! Files that callers keep beside their collections: read whole, replaced whole. No journal knows them.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Error, IoContext, Result};
use super::fs::{self, Fs, OpenMode, read_all};
use super::options::Durability;

/// The content of a file; `None` if there is none.
pub fn read_file(fs: &dyn Fs, path: &Path) -> Result<Option<Vec<u8>>> {
    match fs.open(path, OpenMode::Read) {
        Ok(file) => read_all(&*file).at("read", path).map(Some),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(Error::io("open", path, &error)),
    }
}

/// Puts a file in place of what is there, in one step: a crash leaves the old content or the new. Missing directories are
/// created. With [`Durability::Full`] the new content survives power loss once this returns.
pub fn replace_file(fs: &dyn Fs, path: &Path, content: &[u8], durability: Durability) -> Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::InvalidArgument(format!("{} names no file", path.display())));
    };
    fs::create_dirs(fs, directory).at("create", directory)?;
    let fresh = directory.join(fresh_name(name.to_owned()));
    let result = write_fresh(fs, path, &fresh, content, durability);
    if result.is_err() {
        // What cannot be removed now is only in the way of a person.
        let _ = fs.remove_file(&fresh);
        return result;
    }
    match durability {
        Durability::Full => fs.sync_dir(directory).at("sync directory", directory),
        Durability::Os => Ok(()),
    }
}

fn write_fresh(fs: &dyn Fs, path: &Path, fresh: &Path, content: &[u8], durability: Durability) -> Result<()> {
    let file = fs.open(fresh, OpenMode::CreateNew).at("create", fresh)?;
    if fs.metadata(path).at("look up", path)?.is_some() {
        fs.copy_permissions(path, fresh).at("copy permissions to", fresh)?;
    }
    file.write_at(content, 0).at("write", fresh)?;
    if durability == Durability::Full {
        file.sync_data().at("sync", fresh)?;
    }
    fs.rename(fresh, path).at("rename into place", path)
}

/// A name that nobody else uses now: of this process, and of this call.
fn fresh_name(mut name: OsString) -> OsString {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".new-{}-{call}", std::process::id()));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fs::OsFs;

    #[test]
    fn a_file_is_replaced_whole() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("below/settings.json");
        assert_eq!(read_file(&OsFs, &path).expect("readable"), None);
        for content in [&b"a long first content"[..], b"short"] {
            replace_file(&OsFs, &path, content, Durability::Full).expect("written");
            assert_eq!(read_file(&OsFs, &path).expect("readable").as_deref(), Some(content));
        }
        let names = OsFs.list_dir(&directory.path().join("below")).expect("listed");
        assert_eq!(names, ["settings.json"]);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_nothing_behind() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(directory.path().join("taken")).expect("a directory");
        let error = replace_file(&OsFs, &directory.path().join("taken"), b"x", Durability::Os);
        assert_eq!(error.map_err(|error| error.code()), Err("IO_ERROR"));
        assert_eq!(OsFs.list_dir(directory.path()).expect("listed"), ["taken"]);
    }
}
