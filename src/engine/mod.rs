//! The storage engine: documents in collections, one journal per database, snapshots as plain JSON maps.
//!
//! Everything here is synchronous and free of napi, so it can be used and tested as an ordinary Rust library.

pub mod document;
pub mod error;
pub mod fs;
pub mod index;
pub mod json;

pub use error::{Error, Issue, Outcome, PathSegment, Result};
