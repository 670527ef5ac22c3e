//! Databases on network file systems: only one process may have them open, and says so itself.
//!
//! On such a file system, locks may hold within one machine only, and memory is shared within one machine at most. So a
//! process that opens a database there leaves a file with the name of its machine, and with what tells the mounted file
//! system from all others of all machines: what has a name of its own may be a container on this very machine.

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
        let reserved = directory.join(RESERVED);
        let mounted = mounted(fs, &reserved)?;
        if fs.metadata(&path).at("look up", &path)?.is_some() {
            let file = fs.open(&path, OpenMode::Read).at("open", &path)?;
            let text = read_all(&*file).at("read", &path)?;
            let text = String::from_utf8_lossy(&text);
            let mut lines = text.lines().map(str::trim);
            let owner = lines.next().unwrap_or_default();
            // If the mark was left on this machine, or through the file system as it is mounted here, the process that left
            // it is gone: otherwise it would hold its lock.
            let is_here = owner == network.host || (mounted.is_some() && lines.next() == mounted.as_deref());
            if !owner.is_empty() && !is_here {
                return refuse(format!("a process on {owner}"));
            }
            fs::remove_tree(fs, &path).at("remove", &path)?;
        }
        let file = fs.open(&path, OpenMode::CreateNew).at("create", &path)?;
        let mark = Mark { fs: Arc::clone(file_system), path };
        let mounted = mounted.map_or(String::new(), |mounted| format!("{mounted}\n"));
        let text = format!("{}\n{mounted}", network.host);
        file.write_at(text.as_bytes(), 0).at("write", &mark.path)?;
        file.sync_data().at("sync", &mark.path)?;
        fs.sync_dir(&reserved).at("sync directory", &reserved)?;
        Ok(mark)
    }
}

/// Returns what names the mounted file system of a directory among all that any machine ever mounts, if the system tells: its
/// locks hold for all who use it, whatever they call their machine. While a process has a file of it open, the system gives
/// its number to no other one.
fn mounted(fs: &dyn Fs, directory: &Path) -> Result<Option<String>> {
    let found = fs.metadata(directory).at("look up", directory)?;
    let device = found.map(|found| found.identity.0).filter(|_| fs.boot_id() != 0);
    Ok(device.map(|device| format!("{:032x} {device:x}", fs.boot_id())))
}

impl Drop for Mark {
    fn drop(&mut self) {
        // If this fails, the mark that stays names this machine, whose processes ignore it.
        let _ = self.fs.remove_file(&self.path);
    }
}
