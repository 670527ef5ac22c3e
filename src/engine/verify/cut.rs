//! A database at one moment: how far it is acknowledged, and the journals that hold what is.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::error::{IoContext, Result};
use crate::engine::fs::{File, FileHandle, Fs, OpenMode, read_all};
use crate::engine::journal::{RESERVED, TipSlot, document_generation, journal_generation, journal_path};
use crate::engine::lock::{LockGuard, LockKind, ProcessLock, Wait};
use crate::engine::lock_files::{PRESENCE_LOCK, WRITE_LOCK};

/// What the reserved folder held at one moment, read under the write lock if there is one. Journals only grow beyond that
/// state, so they may be read afterwards, while others continue to write.
pub struct Cut {
    /// Whether nobody has the database open.
    pub alone: bool,
    /// The current slot of the tip, if one has a right checksum.
    pub tip: Option<TipSlot>,
    /// Generations and their files, ascending.
    pub journals: Vec<(u64, Arc<dyn File>)>,
    /// The documents that have files of their own, by name. A checkpoint may remove them.
    documents: BTreeMap<String, Arc<FileHandle>>,
    fs: Arc<dyn Fs>,
    reserved: PathBuf,
    /// All names in the reserved folder.
    pub names: Vec<String>,
}

/// The write lock, held so that nothing changes.
pub struct Held(#[expect(dead_code, reason = "dropping it unlocks")] LockGuard);

impl Cut {
    /// Looks at the database while holding the write lock, and writes nothing. Nothing changes until the second value is
    /// dropped, except that checkpoints remove files that are not needed any more.
    ///
    /// # Errors
    /// `LOCK_TIMEOUT`, `IO_ERROR`.
    pub fn hold(fs: &Arc<dyn Fs>, directory: &Path, wait: Wait) -> Result<(Cut, Option<Held>)> {
        let reserved = directory.join(RESERVED);
        let held = Held::take(fs, &reserved.join(WRITE_LOCK), wait)?;
        let alone = match &held {
            Some(held) => held.is_alone(fs, &reserved.join(PRESENCE_LOCK))?,
            None => true,
        };
        Ok((Cut::look(fs, directory, alone)?, held))
    }

    /// Looks at the database as it is now. The caller ensures that nothing changes meanwhile.
    pub fn look(fs: &Arc<dyn Fs>, directory: &Path, alone: bool) -> Result<Cut> {
        let reserved = directory.join(RESERVED);
        let names = match fs.list_dir(&reserved) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.at("list", &reserved)?,
        };
        let mut journals = Vec::new();
        for generation in names.iter().filter_map(|name| journal_generation(name)) {
            let path = journal_path(directory, generation);
            match fs.open(&path, OpenMode::Read) {
                // A checkpoint removes journals that nobody needs any more without the write lock. The absence of one that
                // is needed is found as that of any other.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => journals.push((generation, opened.at("open", &path)?)),
            }
        }
        let mut documents = BTreeMap::new();
        for name in names.iter().filter(|name| document_generation(name).is_some()) {
            let path = reserved.join(name);
            match fs.open(&path, OpenMode::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => {
                    let file = opened.at("open", &path)?;
                    documents.insert(name.clone(), FileHandle::new(fs, path, file));
                }
            }
        }
        let tip = read_tip(&**fs, &reserved.join("tip"))?;
        Ok(Cut { alone, tip, journals, documents, fs: Arc::clone(fs), reserved, names })
    }

    /// Returns the file of the document to which a line refers by this name.
    pub fn document(&self, name: &str) -> Arc<FileHandle> {
        let known = self.documents.get(name).cloned();
        known.unwrap_or_else(|| FileHandle::closed(&self.fs, self.reserved.join(name)))
    }
}

impl Held {
    /// Returns `None` if there is no lock file: nobody has ever written here, or nobody can.
    fn take(fs: &Arc<dyn Fs>, path: &Path, wait: Wait) -> Result<Option<Held>> {
        if fs.metadata(path).at("look up", path)?.is_none() {
            return Ok(None);
        }
        let mut lock = ProcessLock::open(fs, path)?;
        lock.lock(LockKind::Exclusive, wait, || None)?;
        Ok(Some(Held(lock.guard())))
    }

    /// Every opener holds the write lock, so that none can mistake this short lock for the presence of another process.
    fn is_alone(&self, fs: &Arc<dyn Fs>, path: &Path) -> Result<bool> {
        if fs.metadata(path).at("look up", path)?.is_none() {
            return Ok(true);
        }
        let mut presence = ProcessLock::open(fs, path)?;
        let alone = presence.try_lock(LockKind::Exclusive)?;
        if alone {
            presence.unlock()?;
        }
        Ok(alone)
    }
}

/// Reads the tip from its file without mapping it, because mapping would create the file.
fn read_tip(fs: &dyn Fs, path: &Path) -> Result<Option<TipSlot>> {
    if fs.metadata(path).at("look up", path)?.is_none() {
        return Ok(None);
    }
    let file = fs.open(path, OpenMode::Read).at("open", path)?;
    // A writer may be storing one slot; the other one is still valid then.
    for _ in 0..3 {
        let slot = TipSlot::in_bytes(&read_all(&*file).at("read", path)?);
        if slot.is_some() {
            return Ok(slot);
        }
    }
    Ok(None)
}
