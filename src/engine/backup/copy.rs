//! Copying and hashing files.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Site;
use crate::engine::checksum::{FileHash, FileHasher};
use crate::engine::database::{CutContent, Frozen, Mutant};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{File, Fs, OpenMode};
use crate::engine::journal::{Layout, SnapshotRecord};

/// How many bytes are read at once.
const CHUNK: usize = 1 << 20;

/// The content of a file, by its hashes.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub size: u64,
    /// In hexadecimal, as in manifests.
    pub sha256: String,
    /// As in catalogs.
    pub hash: FileHash,
}

impl Content {
    /// Returns the layout of the snapshot among these that has this content; `None` if it is none of them.
    pub fn layout_among(&self, snapshots: &[SnapshotRecord]) -> Option<Layout> {
        snapshots.iter().find(|snapshot| snapshot.hash == self.hash).map(|snapshot| snapshot.layout)
    }
}

#[derive(Default)]
struct ContentHasher {
    size: u64,
    sha256: Sha256,
    hash: FileHasher,
}

impl ContentHasher {
    fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        self.hash.update(bytes);
    }

    fn finish(self) -> Content {
        Content { size: self.size, sha256: hex(&self.sha256.finalize()), hash: self.hash.finish() }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 in hexadecimal.
pub fn hex_digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Hashes a file. `tick` is called with the number of bytes of each read. O(size).
pub fn hash_file(file: &dyn File, path: &Path, tick: &mut dyn FnMut(u64) -> Result<()>) -> Result<Content> {
    transfer(file, path, tick, &mut |_, _| Ok(()))
}

fn transfer(
    source: &dyn File,
    path: &Path,
    tick: &mut dyn FnMut(u64) -> Result<()>,
    take: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<Content> {
    let mut hasher = ContentHasher::default();
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = source.read_at(&mut buffer, hasher.size).at("read", path)?;
        take(&buffer[..read], hasher.size)?;
        hasher.update(&buffer[..read]);
        tick(read as u64)?;
        if read < CHUNK {
            return Ok(hasher.finish());
        }
    }
}

/// Returns the content of the file at `path`, or `None` if no file is there.
pub fn content_of(fs: &dyn Fs, path: &Path) -> Result<Option<Content>> {
    match fs.open(path, OpenMode::Read) {
        Ok(file) => hash_file(&*file, path, &mut |_| Ok(())).map(Some),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(Error::io("open", path, &error)),
    }
}

/// Whether an error says that no file is at a path.
pub fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

/// Streams the documents of a collection to `to`, where nothing may exist yet, and syncs them. `own` is where the
/// collection's own file is or will be, whose mode is copied. The caller syncs the directory.
pub fn write_documents(
    site: &Site,
    frozen: &Frozen,
    own: &Path,
    to: &Path,
    tick: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Content> {
    let fs = site.fs();
    let file = fs.open(to, OpenMode::CreateNew).at("create", to)?;
    if fs.metadata(own).at("look up", own)?.is_some() {
        fs.copy_permissions(own, to).at("copy permissions to", to)?;
    }
    let hash = CutContent::write_to(frozen, Arc::clone(&file), to)?;
    if !site.options.is_mutant(Mutant::ManifestBeforeFiles) {
        file.sync_data().at("sync", to)?;
    }
    let content = hash_file(&*file, to, tick)?;
    if content.hash == hash {
        return Ok(content);
    }
    Err(Error::corrupt(to, 0, "it does not read back as it was written; check the disk"))
}

/// Copies a file with its mode to `to`, where nothing may exist yet, sharing blocks if the file system can, and syncs it.
/// Returns `None` if there is nothing to copy, also if the file vanishes meanwhile. The caller syncs the directory.
pub fn copy_file(
    fs: &dyn Fs,
    from: &Path,
    to: &Path,
    tick: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Option<Content>> {
    let source = match fs.open(from, OpenMode::Read) {
        Err(error) if is_missing(&error) => return Ok(None),
        other => other.at("open", from)?,
    };
    let is_cloned = match fs.clone_file(from, to) {
        Err(error) if is_missing(&error) => return Ok(None),
        other => other.at("copy", from)?,
    };
    let mode = if is_cloned { OpenMode::ReadWrite } else { OpenMode::CreateNew };
    let copy = fs.open(to, mode).at("create", to)?;
    // First, so that nobody may read the copy who may not read the file.
    match fs.copy_permissions(from, to) {
        Err(error) if is_missing(&error) => {
            fs.remove_file(to).at("remove", to)?;
            return Ok(None);
        }
        other => other.at("copy permissions to", to)?,
    }
    let content = if is_cloned {
        hash_file(&*copy, to, tick)?
    } else {
        let mut write = |bytes: &[u8], offset| match bytes {
            [] => Ok(()),
            _ => copy.write_at(bytes, offset).at("write", to),
        };
        transfer(&*source, from, tick, &mut write)?
    };
    copy.sync_data().at("sync", to)?;
    Ok(Some(content))
}
