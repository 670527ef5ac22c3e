//! Which documents a whole-map write removes and which it adds.

use std::collections::HashSet;
use std::sync::Arc;

use super::cancel;
use super::database::{CollectionSpec, Database, Part, ReadOptions, Transaction};
use super::document::DocumentId;
use super::error::Result;
use super::json;

/// The difference between a map and a collection, by keys alone.
pub struct Membership {
    /// The ids of the documents that the map lacks, as JSON: numbers or strings, as the documents have them.
    pub gone: Vec<Vec<u8>>,
    /// The positions of the keys for which there is no document.
    pub new: Vec<usize>,
}

impl Membership {
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

/// Compares the keys of a map with the documents of a collection, and reads only the documents that the map lacks. The
/// collection may have changed by the time the map is written: see [`unforeseen`].
///
/// # Errors
/// As [`Database::query`].
pub fn compare_keys(
    database: &Database,
    spec: &Arc<CollectionSpec>,
    keys: &[DocumentId],
    options: ReadOptions,
) -> Result<Membership> {
    let documents = database.query(spec, options, |collection| collection.documents().clone())?;
    let new = (0..keys.len()).filter(|&at| documents.get(&keys[at]).is_none()).collect();
    let kept: HashSet<&DocumentId> = keys.iter().collect();
    let lacking: Vec<DocumentId> =
        documents.iter().map(|(id, _)| id).filter(|id| !kept.contains(id)).cloned().collect();
    let mut gone = Vec::with_capacity(lacking.len());
    for share in lacking.chunks(cancel::STEP) {
        cancel::check()?;
        let texts = database.select_part(spec, Part::Whole, options, |_| Ok(share.to_vec()))?;
        gone.extend(texts.iter().filter_map(|text| json::get(text, "id")).map(<[u8]>::to_vec));
    }
    Ok(Membership { gone, new })
}

/// Compares again during the write, and returns only the differences that were not `foreseen`.
///
/// # Errors
/// As [`Transaction::get`].
pub fn unforeseen(
    tx: &mut Transaction<'_>,
    spec: &Arc<CollectionSpec>,
    keys: &[DocumentId],
    foreseen: impl Fn(&DocumentId) -> bool,
) -> Result<Membership> {
    let (mut gone, mut new) = (Vec::new(), Vec::new());
    for (at, key) in keys.iter().enumerate() {
        if !foreseen(key) && !tx.contains(spec, key)? {
            new.push(at);
        }
    }
    let kept: HashSet<&DocumentId> = keys.iter().collect();
    for id in tx.ids(spec)?.iter().filter(|id| !kept.contains(id) && !foreseen(id)) {
        let document = tx.get(spec, id)?;
        gone.extend(document.and_then(|document| json::get(&document.text, "id").map(<[u8]>::to_vec)));
    }
    Ok(Membership { gone, new })
}
