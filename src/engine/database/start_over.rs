//! Beginning a database anew over files that were put in the place of its own.
//!
//! The new generation has no predecessor, so recovery goes back no further. Its number and its sequence number are
//! higher than anything before, so that every process that has the database open notices that its own generation is
//! gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::document_file::remove_orphans;
use super::generations::{first_header, list_generations, read_header};
use super::recovery::{FRESH, sweep};
use super::unlocked::read;
use crate::engine::checksum::DatabaseId;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{self, Fs, OpenMode, read_all};
use crate::engine::journal::{
    CollectionRecord, FORMAT, Header, LAST_GENERATION, RESERVED, Tip, TipSlot, encode_covered_journal,
    journal_path,
};

/// Where a database begins anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Start {
    pub id: DatabaseId,
    pub generation: u64,
    /// The sequence number before the first batch.
    pub seq: u64,
}

impl Start {
    /// Returns a start beyond whatever was begun with this one, because a process may already have reached that.
    pub fn again(&self, fs: &dyn Fs, directory: &Path) -> Result<Start> {
        Ok(Start { id: self.id, ..start_beyond(fs, directory, self.seq)? })
    }
}

/// Returns a start beyond everything that the database may hold, even if some of it is damaged or gone, and beyond what
/// processes that have it open may have reached: they notice by generation and sequence number that their own
/// generation is gone. `least` is the lowest sequence number wanted. O(journals).
///
/// # Errors
/// `CORRUPT_DATA` if something names the last generation that there can be, `IO_ERROR`.
pub(in crate::engine) fn start_beyond(fs: &dyn Fs, directory: &Path, least: u64) -> Result<Start> {
    let (mut id, mut seq) = (None, least);
    let generations = list_generations(fs, directory)?;
    let mut newest = generations.last().map_or((0, directory.join(RESERVED)), |&generation| {
        (generation, journal_path(directory, generation))
    });
    for &generation in &generations {
        let path = journal_path(directory, generation);
        let file = fs.open(&path, OpenMode::Read).at("open", &path)?;
        // A header that cannot be read says nothing; the lines after it are counted on from what is known.
        let header = read_header(&*file, &path, generation).ok().flatten().map(|(header, _, _)| header);
        if let Some(header) = header {
            id = Some(header.database);
            seq = seq.max(header.seq);
        }
        // No line has more than one sequence number.
        let bytes = read_all(&*file).at("read", &path)?;
        seq += memchr::memchr_iter(b'\n', &bytes).count() as u64;
    }
    let tip = directory.join(RESERVED).join("tip");
    if fs.metadata(&tip).at("look up", &tip)?.is_some()
        && let Some(slot) = Tip::open(fs, &tip)?.read()
    {
        seq = seq.max(slot.seq);
        // The tip moves to a generation once its journal is durable, and journals are removed once the tip is further
        // on. So the tip is ahead only if somebody removed journals by hand.
        if slot.generation > newest.0 {
            newest = (slot.generation, tip);
        }
    }
    let (generation, path) = newest;
    if generation >= LAST_GENERATION {
        let problem = "it names a generation that no database reaches; close every process that uses the database, and move the file away";
        return Err(Error::corrupt(&path, 0, problem));
    }
    let id = match id {
        Some(id) => id,
        None => first_header()?.database,
    };
    Ok(Start { id, generation: generation + 1, seq })
}

/// Returns the paths of the collections that a database has or may have, as far as its journals can be read.
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

/// Begins the generation, moves the tip there, marked as migrating, and removes older generations. To repeat it, use
/// [`Start::again`]. The caller holds the write lock and has made the files in `catalog` durable.
pub(in crate::engine) fn start_over(
    fs: &dyn Fs,
    directory: &Path,
    start: &Start,
    catalog: &BTreeMap<String, CollectionRecord>,
) -> Result<()> {
    let reserved = directory.join(RESERVED);
    fs::create_dirs(fs, &reserved).at("create", &reserved)?;
    begin_covered(fs, directory, start, catalog.clone(), true)?;
    for generation in list_generations(fs, directory)?.into_iter().filter(|&old| old < start.generation) {
        let path = journal_path(directory, generation);
        fs.remove_file(&path).at("remove", &path)?;
    }
    sweep(fs, directory, FRESH)?;
    fs.sync_dir(&reserved).at("sync directory", &reserved)?;
    let names = fs.list_dir(&reserved).at("list", &reserved)?;
    remove_orphans(fs, directory, &names, |generation| generation >= start.generation)
}

/// Durably writes the journal of a generation that has no predecessor and whose batches the snapshots hold, and moves
/// the tip there. The caller holds the write lock and has made the files in `catalog` durable.
pub(in crate::engine) fn begin_covered(
    fs: &dyn Fs,
    directory: &Path,
    start: &Start,
    catalog: BTreeMap<String, CollectionRecord>,
    migrating: bool,
) -> Result<()> {
    let reserved = directory.join(RESERVED);
    let path = journal_path(directory, start.generation);
    let header = Header {
        format: FORMAT,
        database: start.id,
        generation: start.generation,
        seq: start.seq,
        previous: None,
        removed: start.seq,
        covered: start.seq,
        catalog,
    };
    let lines = encode_covered_journal(&header).at("write", &path)?;
    let file = fs.open(&path, OpenMode::CreateNew).at("create", &path)?;
    file.write_at(&lines, 0).at("write", &path)?;
    file.sync_data().at("sync", &path)?;
    fs.sync_dir(&reserved).at("sync directory", &reserved)?;
    Tip::open(fs, &reserved.join("tip"))?.write(TipSlot {
        boot_id: fs.boot_id(),
        generation: start.generation,
        seq: start.seq + 1,
        end: lines.len() as u64,
        poisoned: false,
        migrating,
    });
    Ok(())
}

/// Tells every process that the data of a database is being replaced, or no longer is. The caller holds the write lock.
pub(in crate::engine) fn mark_migrating(fs: &dyn Fs, directory: &Path, migrating: bool) -> Result<()> {
    let tip = directory.join(RESERVED).join("tip");
    if fs.metadata(&tip).at("look up", &tip)?.is_some() {
        Tip::open(fs, &tip)?.set_migrating(migrating);
    }
    Ok(())
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::database::{CollectionSpec, Database, DatabaseOptions, Transaction};
    use crate::engine::fs::SimFs;
    use crate::engine::{Durability, Wait};

    const DIRECTORY: &str = "/database";

    /// A database that a process has open.
    fn database() -> (SimFs, Arc<Database>) {
        let fs = SimFs::new();
        fs.make_dirs(DIRECTORY);
        let database = open(&fs).expect("opens");
        (fs, database)
    }

    fn open(fs: &SimFs) -> Result<Arc<Database>> {
        let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
        Database::open(fs.process().handle(), Path::new(DIRECTORY), options)
    }

    /// Forges both slots of the tip.
    fn forge(fs: &SimFs, generation: u64, seq: u64) {
        let tip = Tip::open(fs, &Path::new(DIRECTORY).join(RESERVED).join("tip")).expect("mapped");
        let slot = tip.read().expect("a slot");
        tip.forge(TipSlot { generation, seq, ..slot });
    }

    fn is_corrupt(error: &Error, name: &str) -> bool {
        matches!(error, Error::Corrupt { path, .. } if path.ends_with(name))
    }

    #[test]
    fn opening_beside_others_fails_if_the_tip_holds_impossible_numbers() {
        for (generation, seq) in [(u64::MAX, 1), (1, u64::MAX)] {
            let (fs, database) = database();
            forge(&fs, generation, seq);
            let error = open(&fs).map(drop).expect_err("it is damaged");
            assert!(
                is_corrupt(&error, "tip") && error.to_string().contains("close every process"),
                "{error}"
            );
            drop(database);
            assert!(open(&fs).is_ok());
        }
    }

    #[test]
    fn starting_over_continues_after_the_journals_and_ignores_a_forged_tip() {
        for (generation, seq) in [(u64::MAX, 1), (1, u64::MAX)] {
            let (fs, database) = database();
            drop(database);
            forge(&fs, generation, seq);
            let start = start_beyond(&fs, Path::new(DIRECTORY), 7).expect("a start");
            assert_eq!((start.generation, start.seq), (2, 8));
        }
    }

    /// Writes a document in each of as many batches, checkpoints, and returns the sequence number that was reached.
    fn filled(database: &Database, count: u64) -> u64 {
        let spec = Arc::new(CollectionSpec::plain("items.json"));
        for id in 1..=count {
            let spec = Arc::clone(&spec);
            let put = move |t: &mut Transaction<'_>| t.put(&spec, id.into(), b"{}".to_vec());
            database.write(Durability::Full, put).expect("written");
        }
        database.checkpoint(Wait::at_most(Duration::ZERO)).expect("checkpointed");
        database.position().seq
    }

    #[test]
    fn starting_over_continues_after_what_another_process_reached_even_if_the_journals_or_the_tip_are_lost() {
        for are_journals_lost in [true, false] {
            let (fs, database) = database();
            filled(&database, 20);
            // After another checkpoint, no journal holds the first batches any more.
            let reached = filled(&database, 21);
            if are_journals_lost {
                for generation in list_generations(&fs, Path::new(DIRECTORY)).expect("listed") {
                    fs.remove(journal_path(Path::new(DIRECTORY), generation));
                }
            } else {
                fs.write_file(format!("{DIRECTORY}/{RESERVED}/tip"), &[0; 4096]);
            }
            let start = start_beyond(&fs, Path::new(DIRECTORY), 0).expect("a start");
            assert!(reached >= 20 && start.seq >= reached, "{start:?}");
        }
    }

    #[test]
    fn starting_over_after_the_last_generation_is_refused() {
        let (fs, database) = database();
        drop(database);
        fs.write_file(journal_path(Path::new(DIRECTORY), LAST_GENERATION), b"");
        let error = start_beyond(&fs, Path::new(DIRECTORY), 0).expect_err("there is no generation beyond");
        assert!(
            is_corrupt(&error, "journal-999999999999.jsonl")
                && error.to_string().contains("move the file away")
        );
        fs.remove(journal_path(Path::new(DIRECTORY), LAST_GENERATION));
        forge(&fs, LAST_GENERATION, 1);
        let error = start_beyond(&fs, Path::new(DIRECTORY), 0).expect_err("there is no generation beyond");
        assert!(is_corrupt(&error, "tip"), "{error}");
    }
}
