//! The storage engine: documents in collections, one journal per database, snapshots as plain JSON maps.
//!
//! Everything here is synchronous and free of napi, so it can be used and tested as an ordinary Rust library.

pub mod backup;
mod base_path;
mod binary;
mod buffer;
mod cache;
pub mod cancel;
mod checksum;
mod database;
pub mod date;
pub mod document;
mod document_map;
pub mod error;
pub mod fs;
#[cfg(feature = "simulation")]
pub mod fuzzing;
mod id;
pub mod index;
mod index_query;
pub mod index_set;
mod journal;
mod key_lock;
mod lock;
mod lock_files;
mod map_membership;
mod map_write;
pub mod migration;
mod normal_path;
mod options;
pub(crate) mod order;
mod ownership;
pub mod parallel;
pub mod patience;
mod plain_file;
pub mod query;
mod registry;
mod repair;
mod scope;
mod snapshot;
mod text_measure;
mod verify;

pub use base_path::BasePath;
pub use buffer::Buffer;
pub use cache::CacheStats;
pub use checksum::FileHash;
pub use database::{
    ACKNOWLEDGED_AT, ANNOUNCED_AT, AdoptRule, CatchUpStatistics, Change, Checkpoint, CheckpointStatistics,
    Checkpointed, CollectionSpec, CollectionStatistics, Commit, ContentReader, Database, DatabaseOptions,
    Declaration, DocumentFile, Event, FindOwners, Foreign, ForeignRecords, Fresh, Interactive,
    JournalStatistics, LONGEST_TEXT, Moment, Mutant, Observer, Opened, Owners, Part, Peek, Queryable,
    ReadOptions, RecentChange, Request, RoomOptions, Sequences, SizeLimits, Slice, Spool, Statistics,
    Subscription, Timing, Transaction, Verdicts, View, Warning, WarningCode, WriteOptions, WriteStatistics,
};
pub use error::{Error, Holder, IoContext, Issue, Outcome, PathSegment, Result, below};
pub use id::{LATEST_TIME, generate_id, now_ms};
pub use index_query::IndexQuery;
pub use key_lock::{Attempt, KeyLock, try_lock_key};
pub use lock::Wait;
pub use map_membership::{Membership, compare_keys, unforeseen};
pub use map_write::{GivenMap, Written, write_difference, write_map};
pub use normal_path::{is_file_name, normal_path};
pub use octoprompt_storage_json as json;
pub use options::{CacheLimits, Durability};
pub use ownership::{
    check_directory, check_entity_path, check_plain_file, check_removals, own_collection, own_names,
};
pub use plain_file::{read_file, replace_file};
pub use registry::{Registry, open_under, verify_shared};
pub use repair::{Action, ActionCode, RepairReport, repair, repair_under};
pub use verify::{CollectionReport, Problem, ProblemCode, Severity, VerifyReport, verify, verify_records};
