//! The storage engine: documents in collections, one journal per database, snapshots as plain JSON maps.
//!
//! Everything here is synchronous and free of napi, so it can be used and tested as an ordinary Rust library.

mod base_path;
mod cache;
mod cancel;
mod checksum;
mod database;
pub mod document;
mod document_map;
pub mod error;
pub mod fs;
mod id;
pub mod index;
mod journal;
pub mod json;
mod lock;
mod map_write;
mod options;
pub mod query;
mod registry;
mod snapshot;

pub use base_path::BasePath;
pub use cache::CacheStats;
pub use cancel::Cancel;
pub use database::{
    AdoptRule, Change, CollectionSpec, Database, DatabaseOptions, Foreign, Mutant, Part, Peek, Queryable,
    ReadOptions, Request, Subscription, Transaction, View, Warning, WarningCode, WriteOptions,
};
pub use error::{Error, Issue, Outcome, PathSegment, Result, below};
pub use id::{generate_id, now_ms};
pub use lock::Wait;
pub use map_write::{Written, write_map};
pub use options::{CacheLimits, Durability};
pub use registry::{open_shared, open_under};
