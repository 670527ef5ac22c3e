//! What a database looks like at one moment, as data.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Database;
use super::counters::Timing;
use super::generations::list_generations;
use super::state::{Collection, Content, State};
use crate::engine::cache::CacheStats;
use crate::engine::error::{IoContext, Result};
use crate::engine::journal::{Tip, journal_path};

/// Counts and times are those of this process since it opened the database.
#[derive(Debug, Clone)]
pub struct Statistics {
    pub directory: PathBuf,
    /// Tells the engine from all others of the process.
    pub engine: u64,
    /// Milliseconds since 1970.
    pub opened: u64,
    pub read_only: bool,
    pub sequence: Sequences,
    pub journal: JournalStatistics,
    /// Ordered by path.
    pub collections: Vec<CollectionStatistics>,
    pub writes: WriteStatistics,
    pub syncs: Timing,
    pub lock_waits: Timing,
    pub checkpoints: CheckpointStatistics,
    pub catch_ups: CatchUpStatistics,
    pub cache: CacheStats,
    /// Journals, snapshots and document files that documents are read from.
    pub open_files: usize,
    pub tip_mapped: bool,
}

/// Numbers of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequences {
    /// The last one in memory.
    pub last: u64,
    /// The last one that any process acknowledged.
    pub acknowledged: u64,
    pub durable: u64,
    /// The snapshots hold every batch up to this one.
    pub covered: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalStatistics {
    pub generation: u64,
    pub files: u64,
    /// Of all these files.
    pub bytes: u64,
    /// Written by this process, or recovered, since the last checkpoint.
    pub pending_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionStatistics {
    pub path: Arc<str>,
    /// `None` if the collection is not in memory.
    pub documents: Option<u64>,
    /// Size of the snapshot.
    pub bytes: u64,
    /// Documents that were changed or deleted since the snapshot.
    pub changed_documents: u64,
    pub changed_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteStatistics {
    pub groups: u64,
    pub batches: u64,
    pub documents: u64,
    pub document_bytes: u64,
    pub journal_bytes: u64,
    pub snapshot_bytes: u64,
    pub index_bytes: u64,
    pub conflicts: u64,
}

impl WriteStatistics {
    /// Returns the bytes that reached the disk for each byte of the documents that were put; `None` before the first
    /// document.
    pub fn amplification(&self) -> Option<f64> {
        let written = self.journal_bytes + self.snapshot_bytes + self.index_bytes;
        (self.document_bytes > 0).then(|| written as f64 / self.document_bytes as f64)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointStatistics {
    pub timing: Timing,
    pub failed: u64,
    pub last: Option<Checkpointed>,
}

/// The last checkpoint that this process made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpointed {
    /// Milliseconds since 1970.
    pub at: u64,
    pub age: Duration,
    pub took: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatchUpStatistics {
    pub count: u64,
    pub batches: u64,
    pub reloads: u64,
}

impl Database {
    /// Reads memory, and the sizes of the journals from disk. Takes no lock that a writer holds while it writes.
    /// O(collections + documents changed since their snapshots).
    ///
    /// # Errors
    /// `IO_ERROR` if the journals cannot be listed.
    pub fn statistics(&self) -> Result<Statistics> {
        let (files, bytes) = self.journal_sizes()?;
        let counters = &self.counters;
        let last = counters.last_checkpoint.lock().map(|last| Checkpointed {
            at: last.at,
            age: last.ended.elapsed(),
            took: last.took,
        });
        let state = self.state.read();
        let position = state.position;
        Ok(Statistics {
            directory: self.directory.clone(),
            engine: self.number,
            opened: counters.opened,
            read_only: self.is_read_only(),
            sequence: Sequences {
                last: position.seq,
                acknowledged: self.tip.as_ref().map_or(position.seq, Tip::seq),
                durable: position.durable,
                covered: state.covered(),
            },
            journal: JournalStatistics {
                generation: position.generation,
                files,
                bytes,
                pending_bytes: self.background.pending(),
            },
            collections: state.collection_statistics(),
            writes: WriteStatistics {
                groups: counters.groups.get(),
                batches: counters.batches.get(),
                documents: counters.documents.get(),
                document_bytes: counters.document_bytes.get(),
                journal_bytes: counters.journal_bytes.get(),
                snapshot_bytes: counters.snapshot_bytes.get(),
                index_bytes: counters.index_bytes.get(),
                conflicts: counters.conflicts.get(),
            },
            syncs: counters.syncs.read(),
            lock_waits: counters.lock_waits.read(),
            checkpoints: CheckpointStatistics {
                timing: counters.checkpoints.read(),
                failed: counters.failed_checkpoints.get(),
                last,
            },
            catch_ups: CatchUpStatistics {
                count: counters.catch_ups.get(),
                batches: counters.caught_up_batches.get(),
                reloads: counters.reloads.get(),
            },
            open_files: state.files.open_count(),
            tip_mapped: self.tip.is_some(),
            cache: self.cache.stats(),
        })
    }

    /// Returns the number of journals and their size in bytes.
    fn journal_sizes(&self) -> Result<(u64, u64)> {
        let (mut files, mut bytes) = (0, 0);
        for generation in list_generations(&*self.fs, &self.directory)? {
            let path = journal_path(&self.directory, generation);
            // A checkpoint may remove one meanwhile.
            if let Some(metadata) = self.fs.metadata(&path).at("look up", &path)? {
                files += 1;
                bytes += metadata.len;
            }
        }
        Ok((files, bytes))
    }
}

impl State {
    fn collection_statistics(&self) -> Vec<CollectionStatistics> {
        let mut known: Vec<Arc<str>> = self.collections.keys().cloned().collect();
        let recorded = self.catalog.iter().filter(|(_, record)| record.dropped.is_none());
        known.extend(recorded.map(|(path, _)| path.as_str().into()));
        known.sort_unstable();
        known.dedup();
        known.into_iter().map(|path| self.statistics_of(path)).collect()
    }

    fn statistics_of(&self, path: Arc<str>) -> CollectionStatistics {
        let collection = self.collections.get(&path);
        CollectionStatistics {
            documents: collection.and_then(Collection::document_count),
            bytes: self.snapshot_size(&path),
            changed_documents: collection.map_or(0, Collection::change_count),
            changed_bytes: collection.map_or(0, Collection::changed_bytes),
            path,
        }
    }
}

impl Collection {
    fn document_count(&self) -> Option<u64> {
        match &self.content {
            Content::Loaded(loaded) => Some(loaded.documents.len() as u64),
            Content::Unloaded(_) => None,
        }
    }

    fn change_count(&self) -> u64 {
        let count = match &self.content {
            Content::Loaded(loaded) => loaded.dirty.len(),
            Content::Unloaded(changes) => changes.len(),
        };
        count as u64
    }
}
