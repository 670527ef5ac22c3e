//! Indexes in memory: from the values of documents' fields to the documents' ids.
//!
//! An [`Index`] does not know the documents. Its owner extracts the [`Entries`] of a document and inserts them under the
//! document's id; before a document changes or is deleted, the owner removes the entries of the old text. Nothing here does
//! I/O or takes a lock.

mod compare;
mod config;
mod dispatch;
mod entries;
mod extract;
mod inverted;
mod joined;
mod key;
mod key_map;
mod posting;
mod stored;
mod tokenize;

#[cfg(test)]
pub(crate) mod model_tests;
#[cfg(test)]
mod tests;

pub use config::{Extractor, IndexConfig, IndexSpec, IndexType, Keys, Lookup};
pub use dispatch::Index;
pub use entries::Entries;
pub use extract::{MAX_TUPLES, extract_all, keys_at, keys_of};
pub use key::{IndexKey, Number};
pub use stored::{Counts, Gathered, rules};
