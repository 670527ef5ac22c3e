//! Snapshots that are too large to be read into memory: those that the engine wrote are read piece by piece.

use std::path::Path;
use std::sync::Arc;

use super::load::{Base, index_document};
use super::state::Dirty;
use super::{CollectionSpec, Database};
use crate::engine::document_map::{Entry, FileId, Location, Revision};
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::{File, Fs, Metadata, open_if_there};
use crate::engine::journal::{CollectionRecord, Layout, SnapshotRecord};
use crate::engine::snapshot::{Heads, measure_pieces};

/// Files from this size on are read piece by piece.
const LARGE: u64 = 16 << 20;

/// A large file that looks like one that the engine wrote.
pub struct LargeSnapshot {
    pub file: Arc<dyn File>,
    pub seen: Metadata,
    /// What the catalog knows of a file of this size. Only the hash shows whether it is this one.
    pub record: SnapshotRecord,
}

impl LargeSnapshot {
    /// Opens a large snapshot. Returns `None` for a file that is read whole: a small one, one with another layout, or
    /// none at all.
    ///
    /// # Errors
    /// `IO_ERROR`.
    pub fn open(
        fs: &dyn Fs,
        path: &Path,
        record: Option<&CollectionRecord>,
    ) -> Result<Option<LargeSnapshot>> {
        let Some(record) = record.filter(|record| record.dropped.is_none()) else { return Ok(None) };
        if record.snapshots.iter().all(|snapshot| snapshot.size < LARGE) {
            return Ok(None);
        }
        let Some(file) = open_if_there(fs, path).at("open", path)? else { return Ok(None) };
        let seen = file.metadata().at("look up", path)?;
        let fits = |snapshot: &&SnapshotRecord| snapshot.size == seen.len && snapshot.layout == Layout::Lines;
        let record = record.snapshots.iter().rev().find(fits).filter(|_| seen.len >= LARGE);
        Ok(record.cloned().map(|record| LargeSnapshot { file, seen, record }))
    }

    /// Returns the documents of the file, without knowing the spec of the collection; `None` if the file is not the one
    /// that the engine wrote.
    pub fn bare_entries(&self, path: &Path, file: FileId) -> Result<Option<Vec<Entry>>> {
        let mut entries = Vec::new();
        let (hash, laid_out) = measure_pieces(&*self.file, path, Heads::None, |id, offset, measured| {
            let (hash, len) = (measured.hash, measured.len as u32);
            entries.push((id, Location { offset, hash, file, len, head: 0, revision: Revision::UNKNOWN }));
        })?;
        Ok((laid_out.is_ok() && hash == self.record.hash).then_some(entries))
    }
}

impl Database {
    /// Loads a collection with a large file from its documents. Returns false if it must be loaded in another way.
    pub(super) fn load_in_pieces(&self, spec: &Arc<CollectionSpec>) -> Result<bool> {
        let known = self.state.read().catalog.get(&*spec.path).cloned();
        let path = spec.file(&self.directory);
        let Some(snapshot) = LargeSnapshot::open(&*self.fs, &path, known.as_ref())? else { return Ok(false) };
        let changes = self.changes_beyond(spec, Some(&snapshot.record));
        let file = self.add_snapshot(spec, Arc::clone(&snapshot.file));
        let mut base =
            Base { indexes: spec.empty_indexes(), times: self.times_of_built(spec), ..Base::default() };
        let measured =
            measure_pieces(&*snapshot.file, &path, Heads::Before(spec.large_field), |id, offset, found| {
                if let Some(change) = changes.get(&id) {
                    base.dirty.insert(id, Dirty { seq: change.seq, base: Some(found.hash) });
                    return;
                }
                index_document(spec, &mut base.indexes, &id, &found.head);
                let (len, head) = (found.len as u32, found.head.len() as u32);
                let revision = Revision::UNKNOWN;
                base.entries.push((id, Location { offset, hash: found.hash, file, len, head, revision }));
            });
        let (hash, laid_out) = measured?;
        if laid_out.is_err() || hash != snapshot.record.hash {
            self.state.write().drop_unused_files();
            return Ok(false);
        }
        self.install_base(spec, base, Some((file, snapshot.seen)), changes)?;
        Ok(true)
    }
}
