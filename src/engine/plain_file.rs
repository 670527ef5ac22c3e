//! Files that callers keep beside their collections. They are read and replaced whole, and no journal covers them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Error, IoContext, Result};
use super::fs::{self, File, FileBytes, Fs, OpenMode, read_all};
use super::id::random_bits;
use super::options::Durability;

/// Returns the content of a file, or `None` if there is none.
pub fn read_file(fs: &dyn Fs, path: &Path) -> Result<Option<FileBytes>> {
    let Some(file) = fs::open_if_there(fs, path).at("open", path)? else { return Ok(None) };
    read_all(&*file).at("read", path).map(Some)
}

/// Replaces a file in one step: a crash leaves either the old or the new content. Missing directories are created. With
/// [`Durability::Full`] the new content survives power loss once this returns.
pub fn replace_file(fs: &dyn Fs, path: &Path, content: &[u8], durability: Durability) -> Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::InvalidArgument(format!("{} names no file", path.display())));
    };
    fs::create_dirs(fs, directory).at("create", directory)?;
    let is_new = fs.metadata(path).at("look up", path)?.is_none();
    let (fresh, file) = create_fresh(fs, directory, name)?;
    let result = write_fresh(fs, path, &fresh, &*file, content, durability);
    if result.is_err() {
        // A file that cannot be removed is harmless clutter.
        let _ = fs.remove_file(&fresh);
        return result;
    }
    if durability == Durability::Os {
        return Ok(());
    }
    // Whoever created the directories of a new file may not have made them durable yet.
    let synced = match is_new {
        true => fs::sync_dirs_above(fs, path).at("sync the directories above", path),
        false => fs.sync_dir(directory).at("sync directory", directory),
    };
    synced.map_err(Error::with_unknown_outcome)
}

/// Does the same, durably, by way of the file `fresh`, which only holders of a lock write. A killed process may have left
/// that file behind. The directories of both files must exist.
pub fn replace_by_way_of(fs: &dyn Fs, fresh: &Path, path: &Path, content: &[u8]) -> Result<()> {
    fs::remove_tree(fs, fresh).at("remove", fresh)?;
    let file = fs.open(fresh, OpenMode::CreateNew).at("create", fresh)?;
    write_fresh(fs, path, fresh, &*file, content, Durability::Full)?;
    path.parent().map_or(Ok(()), |parent| fs.sync_dir(parent).at("sync directory", parent))
}

fn write_fresh(
    fs: &dyn Fs,
    path: &Path,
    fresh: &Path,
    file: &dyn File,
    content: &[u8],
    durability: Durability,
) -> Result<()> {
    if fs.metadata(path).at("look up", path)?.is_some() {
        fs.copy_permissions(path, fresh).at("copy permissions to", fresh)?;
    }
    file.write_at(content, 0).at("write", fresh)?;
    if durability == Durability::Full {
        file.sync_data().at("sync", fresh)?;
    }
    fs.rename(fresh, path).at("rename into place", path)
}

/// Creates a file beside the one to be replaced, under a name that nobody else uses. The name is drawn at random, because
/// killed processes may have left such files, and a process in another container may have the same process id.
fn create_fresh(fs: &dyn Fs, directory: &Path, name: &OsStr) -> Result<(PathBuf, Arc<dyn File>)> {
    let mut fresh = name.to_owned();
    fresh.push(format!(".new-{:016x}", random_bits(directory)?));
    let fresh = directory.join(fresh);
    let file = fs.open(&fresh, OpenMode::CreateNew).at("create", &fresh)?;
    Ok((fresh, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fs::OsFs;

    #[test]
    fn a_file_is_replaced_whole() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("below/settings.json");
        assert!(read_file(&OsFs, &path).expect("readable").is_none());
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

    #[test]
    fn leftovers_of_killed_processes_neither_block_a_write_nor_disappear() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let pid = std::process::id();
        let left = |at: u64| format!("settings.json.new-{pid}-{at}");
        for at in 0..100 {
            std::fs::write(directory.path().join(left(at)), "left").expect("written");
        }
        for content in [&b"1"[..], b"2", b"3"] {
            replace_file(&OsFs, &directory.path().join("settings.json"), content, Durability::Os)
                .expect("written");
        }
        assert_eq!(OsFs.list_dir(directory.path()).expect("listed").len(), 101);
    }

    #[cfg(feature = "simulation")]
    #[test]
    fn a_new_file_is_durable_with_its_directory_even_if_that_was_created_by_another_process() {
        use crate::engine::fs::SimFs;
        let fs = SimFs::new();
        fs.make_dirs("/base");
        fs.handle().create_dir(Path::new("/base/below")).expect("created");
        let path = Path::new("/base/below/settings.json");
        replace_file(&fs.kill(), path, b"1", Durability::Full).expect("written");
        for after in fs.crash_states(100, 1) {
            let origin = after.origin().expect("a power loss");
            assert_eq!(after.read_file(path).as_deref(), Some(&b"1"[..]), "{origin}");
        }
    }

    #[cfg(feature = "simulation")]
    #[test]
    fn whether_a_replaced_file_is_durable_is_unknown_if_its_directory_cannot_be_synced() {
        use crate::engine::error::Outcome;
        use crate::engine::fs::{Call, Fault, Repeat, SimFs};
        for old in [None, Some(&b"old"[..])] {
            let fs = SimFs::new();
            fs.make_dirs("/base");
            let path = Path::new("/base/settings.json");
            old.into_iter().for_each(|old| fs.write_file(path, old));
            fs.fail_when(|call| matches!(call, Call::SyncDir { .. }), Fault::Io, Repeat::Forever);
            let error = replace_file(&fs, path, b"new", Durability::Full).expect_err("not synced");
            assert_eq!((error.code(), error.outcome()), ("IO_ERROR", Outcome::Unknown));
            assert_eq!(fs.read_file(path).as_deref(), Some(&b"new"[..]));
            fs.heal();
            fs.fail_when(|call| matches!(call, Call::SyncData { .. }), Fault::Io, Repeat::Forever);
            let error = replace_file(&fs, path, b"newer", Durability::Full).expect_err("not synced");
            assert_eq!(error.outcome(), Outcome::None);
            assert_eq!(fs.read_file(path).as_deref(), Some(&b"new"[..]));
        }
    }
}
