//! OctoPrompt's own types and rules on top of the engine: what a project and a file are, which values their fields take, and
//! the single text form in which each is stored.
//!
//! The rules are pure: JSON text in, canonical JSON text out. Canonical text is compact. It has its fields in the order of
//! the table that describes them, then the unknown properties that were on disk, and last a file's [`LARGE_FIELD`], so that
//! everything before it can be read without it.

mod attached;
mod bulk;
mod chain;
mod collections;
mod content;
mod fields;
mod file_store;
mod files;
#[cfg(feature = "simulation")]
pub mod fuzzing;
mod incoming;
mod integer;
mod layout;
mod path;
pub mod project_store;
mod projects;
mod put_at_path;
mod record;
mod schema;
mod timestamp;
pub mod versions;

#[cfg(test)]
mod tests;

pub use attached::{DIRECTORY, attached_indexes, file_collections, owners};
pub use chain::{Chain, chain_of, with_chain};
pub use content::Content;
pub use file_store::{Files, fold, sort_by_path};
pub use files::{create_file, create_file_head, next_version, stored_file, update_file, written_file};
pub use incoming::{Complete, Incoming};
pub use layout::{LARGE_FIELD, content_of, head_of, without_content};
pub use projects::{create_project, stored_project, update_project, written_project};
pub use put_at_path::Put;
pub use schema::{MapKind, Records, parse_map};
