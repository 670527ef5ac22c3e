//! Writing and removing index checkpoints. The caller holds the checkpoint lock.

use std::sync::Arc;
use std::time::Duration;

use super::{Draft, file_name};
use crate::engine::checksum::FileHash;
use crate::engine::database::large_snapshot::LargeSnapshot;
use crate::engine::database::load::{last_of_each, scan};
use crate::engine::database::{CollectionSpec, Database, ReadOptions};
use crate::engine::document::DocumentId;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::OpenMode;
use crate::engine::lock::Wait;
use crate::engine::snapshot::{Heads, measure_pieces};

/// How often to try with a collection whose file others keep changing.
const ATTEMPTS: usize = 3;

impl Database {
    /// Writes the index checkpoint of a collection, after a checkpoint of what is dirty. The snapshot is not written
    /// again if nothing in it has changed. Costs one pass over the bytes of the snapshot.
    ///
    /// # Errors
    /// Those of loading the collection and of [`Database::checkpoint`]; `IO_ERROR` if the directory is read-only.
    pub fn persist_indexes(&self, spec: &Arc<CollectionSpec>, options: ReadOptions) -> Result<()> {
        for _ in 1..ATTEMPTS {
            match self.persist_current(spec, options) {
                Err(Error::Conflict(_)) => {}
                other => return other,
            }
        }
        self.persist_current(spec, options)
    }

    fn persist_current(&self, spec: &Arc<CollectionSpec>, options: ReadOptions) -> Result<()> {
        let wait = Wait::at_most(options.lock_timeout);
        {
            // A recent edit is adopted first.
            let mut writer = self.writer.lock();
            self.catch_up(&mut writer)?;
            self.notice_edit(spec)?;
        }
        self.make_ready(spec, options)?;
        self.checkpoint_or_warn(wait)?;
        self.as_checkpointer(wait, || self.persist_snapshot_indexes(spec))
    }

    /// Like [`Database::persist_indexes`], but for the snapshot that is there now, and only if nobody else checkpoints.
    /// A failure does no harm.
    pub(in crate::engine::database) fn try_persist_indexes(&self, spec: &Arc<CollectionSpec>) {
        let _ = self.as_checkpointer(Wait::at_most(Duration::ZERO), || self.persist_snapshot_indexes(spec));
    }

    /// Removes the index checkpoint of a collection, if there is one. The collection's next checkpoint writes it again.
    ///
    /// # Errors
    /// `IO_ERROR`, also if the directory is read-only; `LOCK_TIMEOUT` while another process checkpoints.
    pub fn remove_index_checkpoints(&self, spec: &CollectionSpec, wait: Wait) -> Result<()> {
        self.as_checkpointer(wait, || {
            let path = self.reserved(&file_name(&spec.path));
            match self.fs.remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                other => other.at("remove", &path),
            }
        })
    }

    /// Does what only the holder of the checkpoint lock may do.
    fn as_checkpointer(&self, wait: Wait, work: impl FnOnce() -> Result<()>) -> Result<()> {
        match self.quiet(wait)? {
            Some(_quiet) => work(),
            None => Err(self.read_only_error()),
        }
    }

    /// Builds and writes the index checkpoint of the snapshot that is there now.
    pub(super) fn persist_snapshot_indexes(&self, spec: &Arc<CollectionSpec>) -> Result<()> {
        // Other callers may want more indexes.
        let declared = self.state.read().collections.get(&spec.path).and_then(|known| known.spec.clone());
        let spec = declared.unwrap_or_else(|| Arc::clone(spec));
        let Some(mut draft) = Draft::of(&spec) else { return Ok(()) };
        let path = spec.file(&self.directory);
        let known = self.state.read().catalog.get(&*spec.path).cloned();
        if let Some(large) = LargeSnapshot::open(&*self.fs, &path, known.as_ref())? {
            let push = |id: DocumentId, offset, measured| draft.push_measured(&id, offset, measured);
            let measured = measure_pieces(&*large.file, &path, Heads::Before(spec.large_field), push);
            let (hash, laid_out) = measured?;
            if laid_out.is_err() || hash != large.record.hash {
                return Err(Error::Conflict(format!("{} was changed from outside", spec.path)));
            }
            return self.write_index_checkpoint(draft, hash, large.record.size);
        }
        let Some(snapshot) = self.read_snapshot(&spec)? else { return Ok(()) };
        let Some(record) = self.known_snapshot(&spec, snapshot.hash) else {
            // Edited or replaced since it was loaded.
            return Err(Error::Conflict(format!("{} was changed from outside", spec.path)));
        };
        let scanned = scan(&snapshot.bytes, &record).map_err(|error| {
            Error::corrupt(&spec.file(&self.directory), error.offset as u64, error.problem)
        })?;
        for found in last_of_each(scanned) {
            draft.push(&found.id, found.text.start as u64, &snapshot.bytes[found.text]);
        }
        self.write_index_checkpoint(draft, record.hash, record.size)
    }

    /// Writes the index checkpoint that was gathered while a snapshot was written. A failure does no harm: the next
    /// checkpoint of the collection tries again.
    pub(in crate::engine::database) fn try_write_index_checkpoint(
        &self,
        draft: Draft,
        hash: FileHash,
        size: u64,
    ) {
        let _ = self.write_index_checkpoint(draft, hash, size);
    }

    /// Removes the index checkpoint of a collection whose callers ask for no indexes any more. If this fails, the next
    /// checkpoint of the collection tries again.
    pub(in crate::engine::database) fn try_remove_index_checkpoint(&self, collection: &str) {
        let _ = self.fs.remove_file(&self.reserved(&file_name(collection)));
    }

    fn write_index_checkpoint(&self, draft: Draft, hash: FileHash, size: u64) -> Result<()> {
        let spec = Arc::clone(draft.spec());
        let times = {
            let state = self.state.read();
            let loaded = state.loaded(&spec.path).filter(|loaded| Arc::ptr_eq(&loaded.spec, &spec));
            loaded.map(|loaded| loaded.times.clone())
        };
        let times = times.unwrap_or_else(|| self.times_of_built(&spec));
        let database = self.state.read().database;
        let bytes = draft.encode(database, (hash, size), self.fs.now_ms(), &times);
        let name = file_name(&spec.path);
        let (path, temporary) = (self.reserved(&name), self.reserved(&format!("new-{name}")));
        let written = self
            .fs
            .open(&temporary, OpenMode::CreateNew)
            .and_then(|file| file.write_at(&bytes, 0))
            .and_then(|()| self.fs.rename(&temporary, &path));
        if written.is_err() {
            // What cannot be removed now is swept by the next checkpoint.
            let _ = self.fs.remove_file(&temporary);
        } else {
            self.counters.index_bytes.add(bytes.len() as u64);
        }
        written.at("write", &path)
    }
}
