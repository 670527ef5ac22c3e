//! A database: a directory that one engine owns, with one journal, one write lock and one commit order.
//!
//! Lock order, outermost first: `checkpointing` → the checkpoint lock file → `writer` → the write lock file → `state` →
//! what the cache locks inside. `queue`, `warnings` and `observers` may be locked briefly under any of these, and
//! nothing else is locked while one of them is held. While `state` is held, no file is read or written, except for reads
//! that need no disk access ([`File::read_at_cached`](crate::engine::fs::File::read_at_cached)).

mod absent;
pub(super) mod adopt;
mod background;
mod batch;
mod catch_up;
mod check;
mod checkpoint;
mod commit;
mod content;
mod counters;
mod cut;
mod declared;
mod document_copy;
mod document_file;
mod edits;
mod entity_paths;
mod events;
mod exclusive;
mod feed;
mod file_table;
mod freeze;
pub(super) mod generations;
mod index_checkpoint;
mod interactive;
mod iterate;
mod kept_bytes;
pub(super) mod large_snapshot;
mod linger;
mod list;
pub(super) mod load;
mod lookups;
mod mutant;
mod network;
mod new_id;
mod open;
mod overlay;
mod owners;
pub(super) mod path_map;
mod paths;
mod process_hold;
mod published;
mod put;
mod query;
mod queue;
mod read;
mod read_set;
mod ready;
mod recent;
pub(super) mod recovery;
pub(super) mod removals;
mod replaced;
mod room;
mod search;
mod size_limits;
mod spool;
mod start_over;
pub(super) mod state;
mod stats;
pub(super) mod texts;
mod transaction;
mod unlocked;
mod verdicts;
mod watch;
mod widen;
mod writer;

/// The locks that the queue uses; its model checker substitutes its own.
mod sync {
    pub use parking_lot::Mutex;
}

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

pub use commit::{Request, WriteOptions};
pub use content::ContentReader;
pub use counters::Timing;
pub(in crate::engine) use cut::{Cut, CutContent};
pub use declared::Declaration;
pub use document_file::DocumentFile;
pub use events::{Checkpoint, Event, Observer, Opened};
pub(in crate::engine) use exclusive::{Copying, Quiet, in_use};
pub use feed::{Change, Subscription};
pub(in crate::engine) use freeze::Frozen;
pub use interactive::{Commit, Interactive};
pub use iterate::Slice;
pub use list::View;
pub(in crate::engine) use load::WAYS_OUT;
pub use mutant::Mutant;
pub use owners::{FindOwners, Owners};
pub(super) use paths::{check_path, check_reach, collection_file, leads_out, passes_symlink};
pub use query::Queryable;
pub use read::{Fresh, Peek, ReadOptions};
pub use recent::{Moment, RecentChange};
pub use room::RoomOptions;
pub use size_limits::{LONGEST_TEXT, SizeLimits};
pub use spool::Spool;
pub(in crate::engine) use spool::{SPOOL, is_of_this_process};
pub(in crate::engine) use start_over::{
    Start, begin_covered, known_collections, mark_migrating, start_beyond, start_over,
};
pub use stats::{
    CatchUpStatistics, CheckpointStatistics, Checkpointed, CollectionStatistics, JournalStatistics,
    Sequences, Statistics, WriteStatistics,
};
pub use texts::Part;
pub use transaction::Transaction;
pub(super) use unlocked::{collections_in, uses_collection};
pub use verdicts::{ForeignRecords, Verdicts};
pub(in crate::engine) use writer::Held;

use super::cache::{Cache, CacheStats};
use super::document::DocumentId;
use super::error::Result;
use super::fs::{Fs, PageMemory};
use super::index::{Entries, Index, IndexSpec, extract_all};
pub use super::journal::{ACKNOWLEDGED_AT, ANNOUNCED_AT};
use super::journal::{RESERVED, Tip};
use super::lock::Wait;
use super::lock_files::PRESENCE_LOCK;
use super::options::CacheLimits;
use counters::Counters;
use exclusive::Checkpointing;
use linger::Linger;
use queue::Queue;
use state::State;
use writer::Writer;

/// How a database is opened.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseOptions {
    pub cache: CacheLimits,
    pub lock_timeout: Duration,
    /// Whether idle databases are checkpointed by a background thread.
    pub background: bool,
    pub room: RoomOptions,
    pub sizes: SizeLimits,
    /// Tells which collections belong to documents of another one.
    pub owners: Option<FindOwners>,
    /// How many levels above its directory the paths in the journals of the database may lead when it is opened.
    pub most_above: usize,
    /// A deliberately wrong variant of the protocol, for the tests that must catch it.
    #[cfg(feature = "simulation")]
    pub mutant: Option<Mutant>,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        DatabaseOptions {
            cache: CacheLimits::default(),
            lock_timeout: Duration::from_secs(30),
            background: true,
            room: RoomOptions::default(),
            sizes: SizeLimits::default(),
            owners: None,
            most_above: usize::MAX,
            #[cfg(feature = "simulation")]
            mutant: None,
        }
    }
}

impl DatabaseOptions {
    #[cfg(feature = "simulation")]
    pub(super) fn is_mutant(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    #[cfg(not(feature = "simulation"))]
    #[inline(always)]
    pub(super) fn is_mutant(&self, _: Mutant) -> bool {
        false
    }
}

/// Checks a record of a file that the engine did not write; returns its stored form, or an error that says what is
/// wrong.
pub type AdoptRule = dyn Fn(&DocumentId, &[u8]) -> Result<Vec<u8>> + Send + Sync;

/// What happens to a file that is not as the engine left it, because the old package wrote it or a person edited it.
#[derive(Clone)]
pub enum Foreign {
    /// It is adopted. Each record passes the rule first, if there is one.
    Adopt(Option<Arc<AdoptRule>>),
    /// It is adopted once its caller has judged each record, which the engine cannot do itself: see
    /// [`Database::adopt_judged`]. Until then every call on the collection fails with [`Error::Unadopted`].
    ///
    /// [`Error::Unadopted`]: crate::engine::Error::Unadopted
    Ask,
    /// It is damage, because the collection holds what nobody should edit.
    Refuse,
}

/// What a collection is: its file, its indexes and its rules. Several callers may want different indexes of one
/// collection; memory holds all of them.
pub struct CollectionSpec {
    /// The file, relative to the database's directory, with `/` between names; `..` in front leads out of it.
    pub path: Arc<str>,
    /// A field that may be large. Documents store it last, so that everything before it can be read without it.
    pub large_field: Option<&'static str>,
    pub indexes: Vec<Arc<IndexSpec>>,
    pub foreign: Foreign,
}

impl CollectionSpec {
    /// A collection without indexes and rules.
    pub(in crate::engine) fn plain(path: &str) -> CollectionSpec {
        let (large_field, indexes, foreign) = (None, Vec::new(), Foreign::Adopt(None));
        CollectionSpec { path: path.into(), large_field, indexes, foreign }
    }

    /// Returns the file of the collection.
    fn file(&self, directory: &Path) -> PathBuf {
        collection_file(directory, &self.path)
    }

    /// Returns the stored form of a foreign record, as far as the engine can tell it without the caller.
    fn adopted(&self, id: &DocumentId, raw: &[u8]) -> Result<Vec<u8>> {
        match &self.foreign {
            Foreign::Adopt(Some(rule)) => rule(id, raw),
            Foreign::Adopt(None) | Foreign::Ask | Foreign::Refuse => {
                Ok(super::json::compact(raw).into_owned())
            }
        }
    }

    /// Returns what a document with this head (a JSON object) has in the indexes, one element for each of them.
    fn entries(&self, head: &[u8]) -> Vec<Entries> {
        extract_all(&self.indexes, head)
    }

    /// Returns index entries for no document at all, one empty element for each index.
    fn no_entries(&self) -> Vec<Entries> {
        vec![Entries::default(); self.indexes.len()]
    }

    fn empty_indexes(&self) -> Vec<Index> {
        self.indexes.iter().map(|index| Index::new(Arc::clone(index))).collect()
    }

    fn with_indexes(&self, indexes: Vec<Arc<IndexSpec>>) -> CollectionSpec {
        CollectionSpec {
            path: Arc::clone(&self.path),
            large_field: self.large_field,
            indexes,
            foreign: self.foreign.clone(),
        }
    }

    /// Whether a collection with this spec provides everything that `wanted` asks for.
    fn provides(&self, wanted: &CollectionSpec) -> bool {
        let has =
            |index: &Arc<IndexSpec>| self.indexes.iter().any(|own| Arc::ptr_eq(own, index) || own == index);
        std::ptr::eq(self, wanted)
            || (self.large_field == wanted.large_field && wanted.indexes.iter().all(has))
    }

    /// Returns this spec with the indexes of `wanted` added. Where both have an index of the same name, that of
    /// `wanted` replaces it. The other rules are those of `wanted`.
    fn joined_with(&self, wanted: &CollectionSpec) -> CollectionSpec {
        let replaced =
            |own: &Arc<IndexSpec>| wanted.indexes.iter().any(|index| index.config.name == own.config.name);
        let mut indexes: Vec<_> = self.indexes.iter().filter(|own| !replaced(own)).cloned().collect();
        indexes.extend(wanted.indexes.iter().cloned());
        CollectionSpec {
            path: Arc::clone(&self.path),
            large_field: wanted.large_field,
            indexes,
            foreign: match (&self.foreign, &wanted.foreign) {
                // A rule that the engine can run itself saves every caller from being asked.
                (Foreign::Adopt(Some(_)), Foreign::Ask) => self.foreign.clone(),
                (_, wanted) => wanted.clone(),
            },
        }
    }
}

/// Something that the engine noticed or put right, and that a person should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub code: WarningCode,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningCode {
    SnapshotChanged,
    RecordSetAside,
    TailCut,
    CheckpointFailed,
    UnsupportedFilesystem,
}

impl WarningCode {
    pub fn as_str(self) -> &'static str {
        match self {
            WarningCode::SnapshotChanged => "SNAPSHOT_CHANGED",
            WarningCode::RecordSetAside => "RECORD_SET_ASIDE",
            WarningCode::TailCut => "TAIL_CUT",
            WarningCode::CheckpointFailed => "CHECKPOINT_FAILED",
            WarningCode::UnsupportedFilesystem => "UNSUPPORTED_FILESYSTEM",
        }
    }
}

/// The most warnings that are kept while no listener takes them.
const MAX_WARNINGS: usize = 1000;

/// Numbers the engines of this process.
static ENGINES: AtomicU64 = AtomicU64::new(0);

/// An open database. All methods may be called from any thread.
pub struct Database {
    /// No other engine of this process has this number.
    number: u64,
    fs: Arc<dyn Fs>,
    directory: PathBuf,
    options: DatabaseOptions,
    /// Everything that readers need. Held briefly, never across I/O.
    state: RwLock<State>,
    /// How far the journal is acknowledged by any process; `None` if the directory is read-only.
    tip: Option<Tip>,
    /// Why the directory is read-only, if it is.
    refusal: Option<String>,
    writer: Mutex<Writer>,
    checkpointing: Mutex<Checkpointing>,
    /// Whether this process changes the data in a way that an intent on disk will undo: see `TipSlot::migrating`.
    migrating: AtomicBool,
    /// Whether the files that this engine has open were replaced by others.
    replaced: AtomicBool,
    /// Whether a sync failed when the tip had no room to say so.
    poisoned: AtomicBool,
    queue: Queue<Request>,
    linger: Linger,
    cache: Cache,
    warnings: Mutex<Vec<Warning>>,
    background: background::Activity,
    counters: Counters,
    observers: events::Observers,
    feed: feed::Feed,
    this: Weak<Database>,
}

impl Database {
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the number that tells this engine from all others of this process, including later ones on the same
    /// directory.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Maps the tip's page of memory anew for the caller, who may keep it longer than the database. The page holds the
    /// sequence number of the last batch that any process may have seen, at [`ANNOUNCED_AT`], and of the last one that
    /// was acknowledged, at [`ACKNOWLEDGED_AT`]. Returns `None` if the directory is read-only or the page has no memory
    /// of its own.
    pub fn map_tip(&self) -> Result<Option<Arc<dyn PageMemory>>> {
        let page = self.tip.is_some().then(|| Tip::map(&*self.fs, &self.tip_path())).transpose()?;
        Ok(page.and_then(|page| page.memory()))
    }

    /// Returns the sequence number of the last batch in memory, and which documents the batches after `seq` changed;
    /// `None` instead of the changes if some are forgotten. O(changes).
    pub fn changes_since(&self, seq: u64) -> (u64, Option<Vec<RecentChange>>) {
        let state = self.state.read();
        (state.position.seq, state.recent.after(seq).map(|changes| changes.cloned().collect()))
    }

    /// Whether none of the batches in memory after `seq` changed the collection; false if some changes are forgotten.
    /// O(changes).
    pub fn is_unchanged_since(&self, path: &str, seq: u64) -> bool {
        let state = self.state.read();
        state.recent.after(seq).is_some_and(|mut changes| changes.all(|change| *change.collection != *path))
    }

    /// Whether nothing can be written because the directory is read-only.
    pub fn is_read_only(&self) -> bool {
        self.tip.is_none()
    }

    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    pub fn clear_cache(&self) {
        self.cache.clear();
    }

    /// Raises the limits of the cache to what another instance asks for.
    pub fn raise_cache_limits(&self, limits: CacheLimits) {
        self.cache.raise(limits);
    }

    /// Takes the warnings that came up since the last call.
    pub fn take_warnings(&self) -> Vec<Warning> {
        std::mem::take(&mut *self.warnings.lock())
    }

    /// Returns how many records and files this process has set aside because they broke a rule.
    pub fn set_aside_count(&self) -> u64 {
        self.counters.set_aside.get()
    }

    fn warn(&self, code: WarningCode, message: String) {
        self.counters.set_aside.add((code == WarningCode::RecordSetAside).into());
        let mut warnings = self.warnings.lock();
        if warnings.len() < MAX_WARNINGS {
            warnings.push(Warning { code, message });
        }
    }

    fn reserved(&self, name: &str) -> PathBuf {
        self.directory.join(RESERVED).join(name)
    }

    fn tip_path(&self) -> PathBuf {
        self.reserved("tip")
    }

    fn wait(&self) -> Wait {
        Wait::at_most(self.options.lock_timeout)
    }

    fn is_mutant(&self, mutant: Mutant) -> bool {
        self.options.is_mutant(mutant)
    }
}

impl Drop for Database {
    /// Runs when the last instance is gone: another process may now be the only one that has the database open. Nothing
    /// acknowledged depends on this running.
    fn drop(&mut self) {
        self.feed.end();
        if let Some(files) = &mut self.writer.get_mut().files {
            // Whoever opens the database next must not find it.
            files.mark = None;
            // If the unlock fails, the system releases the lock when the handle is closed.
            let _ = files.presence.unlock();
            if self.options.is_mutant(Mutant::DeleteLockFiles) {
                let _ = self.fs.remove_file(&self.directory.join(RESERVED).join(PRESENCE_LOCK));
            }
        }
    }
}
