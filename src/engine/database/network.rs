//! Databases on network file systems: only one process may have them open, and says so itself.
//!
//! On such a file system, locks may hold within one machine only, and memory is shared within one machine at most. So a
//! process that opens a database there leaves a file with the name of its machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, Fs, Network, OpenMode, read_all};
use crate::engine::journal::RESERVED;

/// The file that says which machine has the database open. It is removed when this is dropped.
pub struct Mark {
    fs: Arc<dyn Fs>,
    path: PathBuf,
}

impl Mark {
    /// Leaves the mark. The write lock is held; `alone` says whether no other process of this machine has the database open.
    ///
    /// # Errors
    /// `UNSUPPORTED_FILESYSTEM` if another process has it open, as its mark or its lock says.
    pub fn leave(
        file_system: &Arc<dyn Fs>,
        directory: &Path,
        network: &Network,
        alone: bool,
    ) -> Result<Mark> {
        let fs = &**file_system;
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
            // If the mark is one of this machine, the process that left it is gone: otherwise it would hold its lock.
            if !owner.is_empty() && owner != network.host {
                return refuse(format!("a process on {owner}"));
            }
            fs::remove_tree(fs, &path).at("remove", &path)?;
        }
        let file = fs.open(&path, OpenMode::CreateNew).at("create", &path)?;
        let mark = Mark { fs: Arc::clone(file_system), path };
        file.write_at(format!("{}\n", network.host).as_bytes(), 0).at("write", &mark.path)?;
        file.sync_data().at("sync", &mark.path)?;
        let reserved = directory.join(RESERVED);
        fs.sync_dir(&reserved).at("sync directory", &reserved)?;
        Ok(mark)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // If this fails, the mark that stays names this machine, whose processes ignore it.
        let _ = self.fs.remove_file(&self.path);
    }
}
