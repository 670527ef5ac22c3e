//! Recovery: what the sole opener of a database does before it serves anything.
//!
//! It must survive a crash inside itself: each step either changes nothing that counts or may be repeated.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::catch_up::headless;
use super::document_file::remove_unnamed;
use super::file_table::FileTable;
use super::generations::{
    Generation, Newest, bad_header, check_link, covered_by, discard, list_generations, newest,
    open_generation,
};
use super::index_checkpoint::remove_stray;
use super::kept_bytes::{is_full, keep_cut, says_nothing};
use super::path_map::PathMap;
use super::paths::check_reach;
use super::removals::repeat_removals;
use super::spool::SPOOL;
use super::state::{Change, Position, State};
use super::{Mutant, WarningCode};
use crate::engine::document::DocumentId;
use crate::engine::document_map::{FileId, Location, Revision};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{File, FileHandle, Fs, OpenMode};
use crate::engine::journal::{Body, RESERVED, Tail, TipSlot, classify_tail, journal_path};

/// What recovery found.
pub struct Recovered {
    pub state: State,
    pub journal: Arc<dyn File>,
    /// Whether nothing may be written: the directory is read-only, or the journal ends in bytes that could not be settled.
    pub read_only: bool,
}

/// How far journals are read.
#[derive(Clone, Copy)]
pub enum Until {
    /// To the last good line, cutting what is torn: nobody else has the database open. `most_above` is that of the options.
    End { tip: Option<TipSlot>, boot_id: u128, most_above: usize },
    /// To the tip: others may be writing.
    Tip(TipSlot),
    /// To the last good line, changing nothing: the directory is read-only.
    LastGoodLine,
}

impl Until {
    /// Returns what the tip says, if it was written since this machine started and no other process moves it.
    pub fn tip(self) -> Option<TipSlot> {
        match self {
            Until::End { tip, boot_id, .. } => tip.filter(|tip| tip.is_of_boot(boot_id)),
            Until::Tip(_) | Until::LastGoodLine => None,
        }
    }

    /// Returns how journals are opened: only a sole opener may cut them.
    pub fn mode(self) -> OpenMode {
        match self {
            Until::End { .. } => OpenMode::ReadWrite,
            Until::Tip(_) | Until::LastGoodLine => OpenMode::Read,
        }
    }
}

/// Reads the journals of a database. Returns `None` if it has none yet. Changes files only after no damage was found.
pub fn recover(
    file_system: &Arc<dyn Fs>,
    directory: &Path,
    until: Until,
    mutant: impl Fn(Mutant) -> bool,
    warnings: &mut Vec<(WarningCode, String)>,
) -> Result<Option<Recovered>> {
    let fs = &**file_system;
    let generations = list_generations(fs, directory)?;
    let Newest { generation: newest, unused } = match until {
        Until::Tip(slot) => {
            let generation = open_generation(fs, directory, slot.generation, OpenMode::ReadWrite)?;
            let generation = generation.ok_or_else(|| bad_header(directory, slot.generation))?;
            Newest { generation: Some(generation), unused: Vec::new() }
        }
        Until::End { .. } | Until::LastGoodLine => newest(fs, directory, &generations, until)?,
    };
    let Some(newest) = newest else {
        if until.tip().is_some_and(|slot| slot.seq > 0) {
            let problem = "the journals are missing; restore a backup, or remove the folder to start from the JSON files";
            return Err(Error::corrupt(&directory.join(RESERVED), 0, problem));
        }
        if matches!(until, Until::End { .. }) {
            discard(fs, directory, unused, warnings)?;
            sweep(fs, directory, SPOOL)?;
            remove_unnamed(fs, directory, 0, &HashSet::new())?;
        }
        return Ok(None);
    };
    let chain = chain_to(fs, directory, &generations, newest, until.mode())?;
    let (Some(oldest), Some(newest)) = (chain.first(), chain.last()) else {
        return Err(Error::corrupt(directory, 0, "no journal can be read; restore a backup"));
    };
    let end = match until {
        Until::Tip(slot) => slot.end as usize,
        Until::End { .. } | Until::LastGoodLine => newest.bytes.len(),
    };
    if newest.bytes.len() < end {
        let problem = "acknowledged batches are missing; restore a backup";
        return Err(Error::corrupt(&newest.path, newest.bytes.len() as u64, problem));
    }
    let Replayed { mut state, named } = replay(file_system, directory, &chain, newest, end);
    let read_only = match until {
        Until::Tip(_) if (state.position.end as usize) < end => {
            let problem = "an acknowledged batch is damaged; restore a backup";
            return Err(Error::corrupt(&newest.path, state.position.end, problem));
        }
        Until::Tip(_) => false,
        Until::LastGoodLine => true,
        Until::End { most_above, .. } => {
            check_reach(directory, most_above, state.paths())?;
            let tail = judge_tail(newest, &state.position, until.tip())?;
            discard(fs, directory, unused, warnings)?;
            let settled = settle_tail(fs, newest, tail, &mut state.position, until.tip(), &mutant, warnings)?;
            if settled {
                repeat_removals(
                    file_system,
                    directory,
                    most_above,
                    &state.catalog,
                    state.removed,
                    &state.removals,
                )?;
                sweep(fs, directory, FRESH)?;
                sweep(fs, directory, SPOOL)?;
                remove_unnamed(fs, directory, oldest.header.generation, &named)?;
                remove_stray(fs, directory, &state.catalog);
            }
            !settled
        }
    };
    let journal = Arc::clone(&newest.file);
    Ok(Some(Recovered { state, journal, read_only }))
}

/// Returns the journals up to the newest, oldest first, going back as far as they hold what the snapshots do not.
fn chain_to(
    fs: &dyn Fs,
    directory: &Path,
    generations: &[u64],
    newest: Generation,
    mode: OpenMode,
) -> Result<Vec<Generation>> {
    let mut chain = vec![newest];
    // What the snapshots cover stays covered, so what a newer generation says about that also counts for older ones.
    let mut covered = 0;
    while let Some(newest) = chain.last()
        && newest.header.previous.is_some()
    {
        covered = covered_by(newest, newest.header.seq).max(covered);
        if covered >= newest.header.seq {
            break;
        }
        let generation = newest.header.generation - 1;
        if !generations.contains(&generation) {
            let problem = "the journal is missing and the snapshots lack what it holds; restore a backup";
            return Err(Error::corrupt(&journal_path(directory, generation), 0, problem));
        }
        let Some(older) = open_generation(fs, directory, generation, mode)? else {
            return Err(bad_header(directory, generation));
        };
        check_link(&older, newest)?;
        chain.push(older);
    }
    chain.reverse();
    Ok(chain)
}

/// The content of all lines taken together.
struct Replayed {
    state: State,
    /// Names of the document files that lines refer to.
    named: HashSet<String>,
}

/// Applies the lines of all journals to one state. The newest journal is read up to `end`.
fn replay(
    file_system: &Arc<dyn Fs>,
    directory: &Path,
    chain: &[Generation],
    newest: &Generation,
    end: usize,
) -> Replayed {
    let mut files = FileTable::default();
    let add = |generation: &Generation| files.add_open(&*generation.path, Arc::clone(&generation.file));
    let ids: Vec<FileId> = chain.iter().map(add).collect();
    let journal = ids.last().copied().unwrap_or(FileId(0));
    let mut state = State {
        database: newest.header.database,
        position: Position {
            generation: newest.header.generation,
            seq: newest.header.seq,
            end: newest.body_start as u64,
            checksum: newest.checksum,
            durable: newest.header.seq,
        },
        files: Arc::new(files),
        journal,
        ..State::empty()
    };
    state.begin_generation(&newest.header);
    let mut removals = PathMap::default();
    let mut named = HashSet::new();
    let mut position = state.position;
    for (at, (generation, file)) in chain.iter().zip(ids).enumerate() {
        let next = chain.get(at + 1);
        let stop = next.and_then(|next| next.header.previous).map_or(end, |previous| previous.end as usize);
        let mut lines = generation.lines(stop);
        let mut find = |name: &str| {
            named.insert(name.to_owned());
            FileHandle::closed(file_system, directory.join(RESERVED).join(name))
        };
        let mut source = Source { bytes: &generation.bytes, file, find: &mut find };
        for line in lines.by_ref() {
            apply(&mut state, &mut source, &line.body, next.is_none(), &mut removals);
            if next.is_none() {
                position.durable = position.durable.max(line.body.durable);
            }
        }
        if next.is_none() {
            position.seq = lines.seq;
            position.checksum = lines.checksum;
            position.end = lines.position as u64;
        }
    }
    state.position = position;
    // Older generations also hold changes of collections for which they are no longer needed.
    let known: Vec<Arc<str>> = state.collections.keys().cloned().collect();
    known.iter().for_each(|path| state.forget_covered(path));
    removals.retain(|seq| *seq > state.removed);
    state.removals = removals;
    Replayed { state, named }
}

/// Finds the document file with this name in the reserved folder.
pub type FindDocument<'a> = dyn FnMut(&str) -> Arc<FileHandle> + 'a;

/// The journal that lines are read from.
pub struct Source<'a> {
    pub bytes: &'a [u8],
    pub file: FileId,
    pub find: &'a mut FindDocument<'a>,
}

/// Applies one batch to a state in which nothing is loaded. `catalog` says whether its catalog changes count: those of
/// older generations are already in the header of the newest.
pub fn apply(
    state: &mut State,
    source: &mut Source<'_>,
    body: &Body<'_>,
    catalog: bool,
    removals: &mut PathMap<u64>,
) {
    for op in &body.ops {
        if let Some(path) = &op.remove {
            removals.insert(path.clone(), body.seq);
        }
        if let Some(path) = &op.keep {
            removals.remove_overlapping(path);
        }
        if let Some(path) = &op.drop {
            if catalog {
                state.record_drop(path, body.seq);
            } else {
                *state.collection(path) = super::state::Collection::default();
            }
        }
        if op.adopted {
            state.adoptions.insert(body.seq);
        }
        if let (Some(path), Some(record), true) = (&op.snapshot, &op.record, catalog) {
            state.record_snapshot(path, record.clone(), op.adopted);
        }
        if op.covered.is_some() && catalog {
            state.confirm_snapshots();
        }
        let Some(path) = &op.collection else { continue };
        let replaced: HashSet<&str> = op.replaced.iter().map(String::as_str).collect();
        // Only the first change of a document tells whether the snapshot has it; later ones leave `base` as it is.
        let base = |key: &str| replaced.contains(key).then_some(None);
        for (key, document) in &op.large {
            let location = document.location(state.files_mut().add_document((source.find)(&document.file)));
            let change = Change { location: Some(location), seq: body.seq, base: base(key) };
            state.collection(path).note(DocumentId::from_key(key), change);
        }
        let collection = state.collection(path);
        for (key, text) in &op.put.0 {
            let text = text.get().as_bytes();
            let location = Location {
                offset: (text.as_ptr() as usize - source.bytes.as_ptr() as usize) as u64,
                hash: headless(text).hash,
                file: source.file,
                len: text.len() as u32,
                head: 0,
                revision: Revision::fresh(),
            };
            let change = Change { location: Some(location), seq: body.seq, base: base(key) };
            collection.note(DocumentId::from_key(key), change);
        }
        for key in &op.delete {
            let change = Change { location: None, seq: body.seq, base: None };
            collection.note(DocumentId::from_key(key), change);
        }
    }
}

/// Judges what follows the last good line; damage is an error.
fn judge_tail(newest: &Generation, position: &Position, tip: Option<TipSlot>) -> Result<Tail> {
    let tail = classify_tail(&newest.bytes, newest.salt(), position.end as usize, position.seq);
    // The machine has been running since, so what the tip covers cannot have been lost, only damaged.
    let covered = tip.is_some_and(|tip| tip.seq > position.seq && !tip.poisoned);
    if tail == Tail::Damaged || covered {
        let problem = "an acknowledged batch is damaged; restore a backup";
        return Err(Error::corrupt(&newest.path, position.end, problem));
    }
    Ok(tail)
}

/// Cuts a torn tail and makes the uncertain lines durable: what was read may exist in the system's memory only, if a
/// sync failed or was never made before. Returns false if the tail could not be cut; nothing may be appended then.
fn settle_tail(
    fs: &dyn Fs,
    newest: &Generation,
    tail: Tail,
    position: &mut Position,
    tip: Option<TipSlot>,
    mutant: &impl Fn(Mutant) -> bool,
    warnings: &mut Vec<(WarningCode, String)>,
) -> Result<bool> {
    let path = &newest.path;
    let cut = &newest.bytes[position.end as usize..];
    let mut settled = true;
    if tail == Tail::Torn {
        // Without a tip written since the machine started, a batch that was acknowledged and damaged later cannot be
        // told from one that was never whole.
        let promised = !says_nothing(cut) && tip.is_none_or(|tip| tip.seq > position.seq);
        let of = format!("the end of {}", path.display());
        let message = match keep_cut(fs, path, position.generation, position.end, cut) {
            Ok(()) => {
                format!(
                    "{} bytes that were never acknowledged were cut from {of}; a copy lies beside it",
                    cut.len()
                )
            }
            Err(error) if !promised => {
                format!(
                    "{} bytes that were never acknowledged were cut from {of}; no copy was kept: {error}",
                    cut.len()
                )
            }
            Err(error) if is_full(&error) => {
                settled = false;
                format!(
                    "the {} bytes at {of} are not a batch, and there is no room for a copy of them ({error}), so nothing can be written; free some space and open the database again",
                    cut.len()
                )
            }
            Err(error) => return Err(error),
        };
        warnings.push((WarningCode::TailCut, message));
        if settled {
            newest.file.set_len(position.end).at("cut", path)?;
            if !mutant(Mutant::AppendAfterUnsyncedCut) {
                newest.file.sync_data().at("sync", path)?;
            }
        }
    }
    if !mutant(Mutant::ServeUnsyncedTail) {
        // Pages that a failed sync left in memory may never reach the disk, however often they are written again.
        if !mutant(Mutant::RewriteOverLostPages) {
            newest.file.forget_cached();
        }
        make_durable(fs, newest, position)?;
    }
    Ok(settled)
}

/// Rewrites and syncs everything after the last line known to be durable; the header too, if no line says that it is
/// durable.
fn make_durable(fs: &dyn Fs, newest: &Generation, position: &mut Position) -> Result<()> {
    let (path, end) = (&newest.path, position.end as usize);
    let mut certain = 0;
    for line in newest.lines(end) {
        if line.body.seq > position.durable {
            break;
        }
        certain = line.end;
    }
    newest.file.write_at(&newest.bytes[certain..end], certain as u64).at("rewrite the end of", path)?;
    newest.file.sync_data().at("sync", path)?;
    if let Some(parent) = path.parent() {
        fs.sync_dir(parent).at("sync directory", parent)?;
    }
    position.durable = position.seq;
    Ok(())
}

/// How the names of snapshots that are being written begin.
pub const FRESH: &str = "new-";

/// Removes the files whose names begin with `beginning`, which a checkpoint or a process that was cut short left
/// behind.
pub fn sweep(fs: &dyn Fs, directory: &Path, beginning: &str) -> Result<()> {
    let reserved = directory.join(RESERVED);
    for name in fs.list_dir(&reserved).at("list", &reserved)? {
        if name.starts_with(beginning) {
            let path = reserved.join(name);
            fs.remove_file(&path).at("remove", &path)?;
        }
    }
    Ok(())
}
