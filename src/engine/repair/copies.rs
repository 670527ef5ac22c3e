//! Copying originals aside before anything changes.

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::database::collection_file;
use crate::engine::date;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, FileKind, Fs, OpenMode};
use crate::engine::journal::RESERVED;
use crate::engine::verify::BEFORE_REPAIR;

/// The number of bytes copied with one call.
const CHUNK: usize = 1 << 20;

/// A dated folder in the reserved folder that receives copies of a database's files under their relative paths.
pub struct Copies<'a> {
    fs: &'a dyn Fs,
    directory: &'a Path,
    pub folder: PathBuf,
}

impl<'a> Copies<'a> {
    /// Creates the folder if there is space for `bytes`.
    pub fn begin(fs: &'a dyn Fs, directory: &'a Path, bytes: u64) -> Result<Copies<'a>> {
        fs::check_space(fs, directory, bytes, "copying the originals").at("repair", directory)?;
        let reserved = directory.join(RESERVED);
        let stamp = format!("{}Z", date::second(fs.now_ms()));
        for number in 1.. {
            let name = if number == 1 { stamp.clone() } else { format!("{stamp}-{number}") };
            let folder = reserved.join(format!("{BEFORE_REPAIR}{name}"));
            match fs.create_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => {
                    other.at("create", &folder)?;
                    fs.sync_dir(&reserved).at("sync directory", &reserved)?;
                    return Ok(Copies { fs, directory, folder });
                }
            }
        }
        Err(Error::io("create a folder in", &reserved, &io::ErrorKind::AlreadyExists.into()))
    }

    /// Copies a file, or a directory with everything in it, and makes the copy durable. A file that does not exist needs no
    /// copy.
    pub fn keep(&self, relative: &str) -> Result<()> {
        let from = collection_file(self.directory, relative);
        let mut to = self.folder.clone();
        to.extend(relative.split('/').map(|name| match name {
            RESERVED => "storage",
            ".." => "above",
            name => name,
        }));
        self.copy(&from, &to)
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        match self.fs.symlink_metadata(from).at("look up", from)?.map(|metadata| metadata.kind) {
            Some(FileKind::File) => self.copy_file(from, to),
            Some(FileKind::Directory) => {
                for name in self.fs.list_dir(from).at("list", from)? {
                    self.copy(&from.join(&name), &to.join(&name))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn copy_file(&self, from: &Path, to: &Path) -> Result<()> {
        let Some(parent) = to.parent() else { return Ok(()) };
        fs::create_dirs(self.fs, parent).at("create", parent)?;
        let source = self.fs.open(from, OpenMode::Read).at("open", from)?;
        let copy = match self.fs.open(to, OpenMode::CreateNew) {
            // A file that is named twice is copied once.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            other => other.at("create", to)?,
        };
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        loop {
            let read = source.read_at(&mut buffer, at).at("read", from)?;
            if read == 0 {
                break;
            }
            copy.write_at(&buffer[..read], at).at("write", to)?;
            at += read as u64;
        }
        copy.sync_data().at("sync", to)?;
        self.fs.sync_dir(parent).at("sync directory", parent)
    }
}
