//! Beginning a database anew over files that were put in the place of its own.
//!
//! The new generation follows none: recovery goes no further back than it. It has a higher number and a higher sequence
//! number than anything before, so that whoever has the database open notices that his own is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::document_file::remove_orphans;
use super::generations::{first_header, list_generations, read_header};
use super::recovery::{FRESH, sweep};
use super::unlocked::read;
use crate::engine::checksum::DatabaseId;
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::{self, Fs, OpenMode, read_all};
use crate::engine::journal::{
    CollectionRecord, FORMAT, Header, RESERVED, Tip, TipSlot, encode_covered_journal, journal_path,
};

/// Where a database goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Start {
    pub id: DatabaseId,
    pub generation: u64,
    /// The sequence number before the first batch.
    pub seq: u64,
}

impl Start {
    /// A start beyond whatever was begun with this one: somebody may stand in that already.
    pub fn again(&self, fs: &dyn Fs, directory: &Path) -> Result<Start> {
        Ok(Start { id: self.id, ..start_beyond(fs, directory, self.seq)? })
    }
}

/// A start beyond everything that the database may hold, whatever of it is damaged or gone, and beyond what those who have it
/// open may stand in: they tell by generation and sequence number that theirs is gone. `least` is the lowest sequence number
/// wanted. O(journals).
pub(in crate::engine) fn start_beyond(fs: &dyn Fs, directory: &Path, least: u64) -> Result<Start> {
    let (mut id, mut seq) = (None, least);
    let generations = list_generations(fs, directory)?;
    let mut generation = generations.last().copied().unwrap_or(0);
    for &generation in &generations {
        let path = journal_path(directory, generation);
        let file = fs.open(&path, OpenMode::Read).at("open", &path)?;
        // A header that cannot be read tells nothing; its lines count on from what is known.
        let header = read_header(&*file, &path, generation).ok().flatten().map(|(header, _, _)| header);
        if let Some(header) = header {
            id = Some(header.database);
            seq = seq.max(header.seq);
        }
        // No line holds more than one number.
        let bytes = read_all(&*file).at("read", &path)?;
        seq += memchr::memchr_iter(b'\n', &bytes).count() as u64;
    }
    let tip = directory.join(RESERVED).join("tip");
    if fs.metadata(&tip).at("look up", &tip)?.is_some()
        && let Some(slot) = Tip::open(fs, &tip)?.read()
    {
        seq = seq.max(slot.seq);
        // The tip moves to a generation when its journal is durable, and journals are removed when it is further on. So this is
        // higher only where somebody removed journals by hand.
        generation = generation.max(slot.generation);
    }
    let id = match id {
        Some(id) => id,
        None => first_header()?.database,
    };
    Ok(Start { id, generation: generation + 1, seq })
}

/// The files that a database has or may have, as far as its journals can be read: paths of collections.
pub(in crate::engine) fn known_collections(fs: &Arc<dyn Fs>, directory: &Path) -> Result<BTreeSet<String>> {
    if let Ok(Some(state)) = read(fs, directory) {
        let changed = state.collections.keys().map(|path| path.to_string());
        return Ok(state.catalog.keys().cloned().chain(changed).collect());
    }
    let mut paths = BTreeSet::new();
    for generation in list_generations(&**fs, directory)? {
        let path = journal_path(directory, generation);
        let file = fs.open(&path, OpenMode::Read).at("open", &path)?;
        if let Ok(Some((header, _, _))) = read_header(&*file, &path, generation) {
            paths.extend(header.catalog.into_keys());
        }
    }
    Ok(paths)
}

/// Begins the generation and lets the tip say so, as one that is being migrated; older generations are removed. Repeated with
/// [`Start::again`]. The caller holds the write lock and has made the files that `catalog` tells of durable.
pub(in crate::engine) fn start_over(
    fs: &dyn Fs,
    directory: &Path,
    start: &Start,
    catalog: &BTreeMap<String, CollectionRecord>,
) -> Result<()> {
    let reserved = directory.join(RESERVED);
    fs::create_dirs(fs, &reserved).at("create", &reserved)?;
    let path = journal_path(directory, start.generation);
    fs::remove_tree(fs, &path).at("remove", &path)?;
    let header = Header {
        format: FORMAT,
        database: start.id,
        generation: start.generation,
        seq: start.seq,
        previous: None,
        removed: start.seq,
        covered: start.seq,
        catalog: catalog.clone(),
    };
    let lines = encode_covered_journal(&header).at("write", &path)?;
    let file = fs.open(&path, OpenMode::CreateNew).at("create", &path)?;
    file.write_at(&lines, 0).at("write", &path)?;
    file.sync_data().at("sync", &path)?;
    fs.sync_dir(&reserved).at("sync directory", &reserved)?;
    let end = lines.len() as u64;
    let slot = TipSlot {
        boot_id: fs.boot_id(),
        generation: start.generation,
        seq: header.seq + 1,
        end,
        poisoned: false,
        migrating: true,
    };
    Tip::open(fs, &reserved.join("tip"))?.write(slot);
    for generation in list_generations(fs, directory)?.into_iter().filter(|&old| old < start.generation) {
        let path = journal_path(directory, generation);
        fs.remove_file(&path).at("remove", &path)?;
    }
    sweep(fs, directory, FRESH)?;
    fs.sync_dir(&reserved).at("sync directory", &reserved)?;
    let names = fs.list_dir(&reserved).at("list", &reserved)?;
    remove_orphans(fs, directory, &names, |generation| generation >= start.generation)
}

/// Says to every process that the data of a database is being replaced, or no longer. The caller holds the write lock.
pub(in crate::engine) fn mark_migrating(fs: &dyn Fs, directory: &Path, migrating: bool) -> Result<()> {
    let tip = directory.join(RESERVED).join("tip");
    if fs.metadata(&tip).at("look up", &tip)?.is_some() {
        Tip::open(fs, &tip)?.set_migrating(migrating);
    }
    Ok(())
}
