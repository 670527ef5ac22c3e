//! Databases on file systems of the network: one process only, and by its own word.
//!
//! Locks of such a file system may hold within one machine only, and memory is shared within one machine at most. So a
//! process that opens a database there says so in a file, with the name of its machine.

use std::path::{Path, PathBuf};

use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, Fs, Network, OpenMode, read_all};
use crate::engine::journal::RESERVED;

/// The file that says which machine has the database open. Removed when the database is closed.
pub struct Mark {
    path: PathBuf,
}

impl Mark {
    /// Leaves the mark. The write lock is held; `alone` says whether no other process of this machine has the database open.
    ///
    /// # Errors
    /// `UNSUPPORTED_FILESYSTEM` if another process has it open, by its word or by its lock.
    pub fn leave(fs: &dyn Fs, directory: &Path, network: &Network, alone: bool) -> Result<Mark> {
        let path = directory.join(RESERVED).join("owner");
        let refuse = |holder: String| {
            let (path, mark) = (directory.to_path_buf(), path.clone());
            Err(Error::UnsupportedFilesystem { path, file_system: network.file_system, holder, mark })
        };
        if !alone {
            return refuse("another process".into());
        }
        if fs.metadata(&path).at("look up", &path)?.is_some() {
            let file = fs.open(&path, OpenMode::Read).at("open", &path)?;
            let owner = String::from_utf8_lossy(&read_all(&*file).at("read", &path)?).trim().to_owned();
            // On this machine, whoever left the mark is gone: its lock would tell.
            if !owner.is_empty() && owner != network.host {
                return refuse(format!("a process on {owner}"));
            }
            fs::remove_tree(fs, &path).at("remove", &path)?;
        }
        let file = fs.open(&path, OpenMode::CreateNew).at("create", &path)?;
        file.write_at(format!("{}\n", network.host).as_bytes(), 0).at("write", &path)?;
        file.sync_data().at("sync", &path)?;
        let reserved = directory.join(RESERVED);
        fs.sync_dir(&reserved).at("sync directory", &reserved)?;
        Ok(Mark { path })
    }

    /// A mark that cannot be removed is one of this machine, which takes no notice of it.
    pub fn remove(&self, fs: &dyn Fs) {
        let _ = fs.remove_file(&self.path);
    }
}
