//! Index checkpoints: where the documents of a snapshot are and what they have in the indexes, so that a collection can
//! be loaded without looking at its documents.
//!
//! They are derived from the snapshots and never trusted unchecked: a file that is damaged, made by other rules or for
//! other indexes, or that belongs to another state of the snapshot, counts as absent. So nothing about them is synced,
//! and a failure to write one does not fail the checkpoint.
//!
//! Only the holder of the checkpoint lock writes or removes them.

mod draft;
mod format;
mod indexed_collections;
mod restore;
mod write;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::load::is_known;
use crate::engine::fs::Fs;
use crate::engine::journal::{CollectionRecord, RESERVED};

pub(super) use draft::Draft;

const PREFIX: &str = "index-";

/// Returns the name of a collection's index checkpoint in the reserved folder.
fn file_name(collection: &str) -> String {
    format!("{PREFIX}{:016x}", xxh3_64(collection.as_bytes()))
}

/// Removes the index checkpoints of collections that are dropped or not known. One that cannot be removed does no harm.
pub(super) fn remove_stray(fs: &dyn Fs, directory: &Path, catalog: &BTreeMap<String, CollectionRecord>) {
    let reserved = directory.join(RESERVED);
    let Ok(names) = fs.list_dir(&reserved) else { return };
    let known = catalog.iter().filter(|(_, record)| is_known(Some(record)));
    let known: HashSet<String> = known.map(|(path, _)| file_name(path)).collect();
    for name in names.iter().filter(|name| name.starts_with(PREFIX) && !known.contains(*name)) {
        let _ = fs.remove_file(&reserved.join(name));
    }
}
