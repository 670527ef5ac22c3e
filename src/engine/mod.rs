//! The storage engine: documents in collections, one journal per database, snapshots as plain JSON maps.
//!
//! Everything here is synchronous and free of napi, so it can be used and tested as an ordinary Rust library.

mod base_path;
mod cache;
mod checksum;
mod database;
pub mod document;
mod document_map;
pub mod error;
pub mod fs;
#[cfg(feature = "simulation")]
pub mod fuzzing;
mod id;
pub mod index;
mod journal;
pub mod json;
mod lock;
mod map_write;
mod options;
mod registry;
mod repair;
mod snapshot;
mod verify;

pub use base_path::BasePath;
pub use cache::CacheStats;
pub use database::{
    AdoptRule, CollectionSpec, Database, DatabaseOptions, Foreign, Mutant, Part, Peek, Queryable,
    ReadOptions, Request, Transaction, View, Warning, WarningCode, WriteOptions,
};
pub use error::{Error, Issue, Outcome, PathSegment, Result, below};
pub use id::{generate_id, now_ms};
pub use lock::Wait;
pub use map_write::{Written, write_map};
pub use options::{CacheLimits, Durability};
pub use registry::{open_shared, open_under};
pub use repair::{Action, ActionCode, RepairReport, repair};
pub use verify::{CollectionReport, Problem, ProblemCode, Severity, VerifyReport, verify};
