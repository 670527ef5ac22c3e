//! Loading a collection from its index checkpoint.

use std::io;
use std::sync::Arc;

use super::file_name;
use super::format::{Header, Stored, read_header};
use crate::engine::cancel;
use crate::engine::checksum::{FileHash, hash_in_blocks};
use crate::engine::database::load::Base;
use crate::engine::database::state::{Dirty, IndexTimes, holds_documents, matching};
use crate::engine::database::{CollectionSpec, Database, Mutant};
use crate::engine::document::DocumentId;
use crate::engine::document_map::FileId;
use crate::engine::error::Result;
use crate::engine::fs::{File, Metadata, OpenMode};
use crate::engine::index::{Index, rules};
use crate::engine::journal::SnapshotRecord;

impl Database {
    /// Loads a collection from its index checkpoint. Returns false, without having changed anything, if there is none
    /// that fits the collection, its indexes and the file that is there now. O(n) in the number of documents and their
    /// entries, plus one pass over the bytes of the snapshot, which proves that the index checkpoint was made from it.
    pub(in crate::engine::database) fn restore(&self, spec: &Arc<CollectionSpec>) -> Result<bool> {
        let Some(stored) = self.read_index_checkpoint(spec) else { return Ok(false) };
        let hash = stored.header.snapshot;
        let trusts_stale = self.is_mutant(Mutant::TrustStaleIndexCheckpoint);
        if self.known_snapshot(spec, hash).is_none() && !trusts_stale {
            return Ok(false);
        }
        let Some((snapshot, seen, found)) = self.hash_snapshot(spec) else {
            cancel::check()?;
            return Ok(false);
        };
        if found != hash && !trusts_stale {
            return Ok(false);
        }
        let Some(record) = self.known_snapshot(spec, found) else { return Ok(false) };
        let changes = self.changes_beyond(spec, Some(&record));
        let file = self.add_snapshot(spec, snapshot);
        let Some(base) = restored(&stored, spec, file, |id| changes.get(id).map(|change| change.seq)) else {
            self.state.write().drop_unused_files();
            cancel::check()?;
            return Ok(false);
        };
        self.install_base(spec, base, Some((file, seen)), changes)?;
        Ok(true)
    }

    /// Returns the index checkpoint if it has what the collection asks for. Does not check that it was made from the
    /// present snapshot.
    fn read_index_checkpoint(&self, spec: &CollectionSpec) -> Option<Stored> {
        if spec.indexes.is_empty() {
            return None;
        }
        let stored = Stored::read(&*self.open_index_checkpoint(&spec.path)?)?;
        let database = self.state.read().database;
        stored.serves(spec, database, &rules()).then_some(stored)
    }

    /// Returns what the index checkpoint of a collection says of itself, however old it is.
    pub(super) fn index_checkpoint_header(&self, path: &str) -> Option<Header> {
        let header = read_header(&*self.open_index_checkpoint(path)?)?;
        let database = self.state.read().database;
        header.is_of(path, database).then_some(header)
    }

    fn open_index_checkpoint(&self, path: &str) -> Option<Arc<dyn File>> {
        self.fs.open(&self.reserved(&file_name(path)), OpenMode::Read).ok()
    }

    /// Returns the times of indexes that are now built from the documents of the collection.
    pub(in crate::engine::database) fn times_of_built(&self, spec: &CollectionSpec) -> Vec<IndexTimes> {
        if spec.indexes.is_empty() {
            return Vec::new();
        }
        let header = self.index_checkpoint_header(&spec.path);
        let stored = header.as_ref().map_or(&[][..], |header| &header.indexes);
        let now = self.fs.now_ms();
        let times = spec.indexes.iter().map(|index| {
            let known = stored.iter().find(|stored| stored.is_of(index));
            IndexTimes { first_built: known.map_or(now, |known| known.first_built), last_changed: now }
        });
        times.collect()
    }

    /// Returns what the catalog knows of a snapshot with this hash, if documents are read from it.
    pub(super) fn known_snapshot(&self, spec: &CollectionSpec, hash: FileHash) -> Option<SnapshotRecord> {
        let state = self.state.read();
        let record = state.catalog.get(&*spec.path).filter(|record| record.dropped.is_none());
        matching(record, hash).filter(|record| holds_documents(record)).cloned()
    }

    /// Opens the snapshot file and hashes it, without holding it in memory. An error is dropped, because it occurs
    /// again where it is reported.
    fn hash_snapshot(&self, spec: &CollectionSpec) -> Option<(Arc<dyn File>, Metadata, FileHash)> {
        let file = self.fs.open(&spec.file(&self.directory), OpenMode::Read).ok()?;
        let seen = file.metadata().ok()?;
        let hash = hash_in_blocks(&*file, || cancel::check().map_err(io::Error::other)).ok()?;
        Some((file, seen, hash))
    }
}

/// Returns the collection as its index checkpoint has it. Documents for which `changed` returns a sequence number are
/// left out and noted as changed.
fn restored(
    stored: &Stored,
    spec: &CollectionSpec,
    file: FileId,
    changed: impl Fn(&DocumentId) -> Option<u64>,
) -> Option<Base> {
    let documents = stored.documents(file)?;
    let seqs: Vec<Option<u64>> = documents.iter().map(|(id, _)| changed(id)).collect();
    let unchanged = documents.iter().zip(&seqs).map(|((id, _), seq)| seq.is_none().then_some(id));
    let ids: Vec<Option<&DocumentId>> = unchanged.collect();
    let mut indexes = Vec::with_capacity(spec.indexes.len());
    let mut times = Vec::with_capacity(spec.indexes.len());
    for index in &spec.indexes {
        let (header, bytes) = stored.index(index)?;
        indexes.push(Index::from_stored(Arc::clone(index), bytes, header.counts(), &ids)?);
        times.push(IndexTimes { first_built: header.first_built, last_changed: header.last_changed });
    }
    let mut base = Base { indexes, times, ..Base::default() };
    base.entries.reserve(documents.len());
    for ((id, location), seq) in documents.into_iter().zip(seqs) {
        match seq {
            None => base.entries.push((id, location)),
            Some(seq) => drop(base.dirty.insert(id, Dirty { seq, base: Some(location.hash) })),
        }
    }
    Some(base)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::engine::cancel::Cancel;
    use crate::engine::database::{DatabaseOptions, ReadOptions};
    use crate::engine::fs::{Call, SimFs};
    use crate::engine::index::{Extractor, IndexConfig, IndexSpec, IndexType};
    use crate::engine::lock::Wait;
    use crate::engine::options::Durability;

    #[test]
    fn a_call_that_is_given_up_while_the_snapshot_is_hashed_ends() {
        let (name, fields) = ("by_a".into(), vec!["a".into()]);
        let config = IndexConfig { name, kind: IndexType::Hash, fields, unique: false, sparse: false };
        let indexes = vec![Arc::new(IndexSpec::new(config, Extractor::Fields))];
        let spec = Arc::new(CollectionSpec { indexes, ..CollectionSpec::plain("a.json") });
        let fs = SimFs::new();
        fs.make_dirs("/database");
        let open = |fs: &SimFs| {
            let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
            Database::open(fs.handle(), Path::new("/database"), options).expect("opens")
        };
        let database = open(&fs);
        let (to, text) = (Arc::clone(&spec), format!("{{\"id\":1,\"a\":\"{}\"}}", "x".repeat(1 << 20)));
        database.write(Durability::Os, move |tx| tx.put(&to, 1.into(), text.into_bytes())).expect("written");
        database.checkpoint(Wait::at_most(Duration::from_secs(5))).expect("checkpointed");
        drop(database);
        let (fs, cancel) = (fs.process(), Cancel::default());
        let database = open(&fs);
        let own = cancel.clone();
        let reads = |call: &Call| matches!(call, Call::Read { .. }) && call.name() == "a.json";
        fs.before(reads, move || assert!(own.cancel()));
        let options = ReadOptions { cached: false, lock_timeout: Duration::from_secs(5) };
        let found = cancel.scope(|| database.query(&spec, options, |all| all.documents().len()));
        assert_eq!(found.map_err(|error| error.code()), Err("ABORTED"));
        assert_eq!(database.query(&spec, options, |all| all.documents().len()).expect("readable"), 1);
    }
}
