//! Recovery: what the only opener of a database does before it serves anything.
//!
//! It must survive a crash inside itself: every step either changes nothing that counts or may be repeated.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::catch_up::headless;
use super::document_file::{open_document, remove_unnamed};
use super::entity_paths::overlap;
use super::generations::{
    Generation, bad_header, check_link, covers_all_before, list_generations, newest, open_generation,
};
use super::index_checkpoint::remove_stray;
use super::recent::RecentChanges;
use super::removals::repeat_removals;
use super::spool::SPOOL;
use super::state::{Change, FileTable, Position, State};
use super::{Mutant, WarningCode};
use crate::engine::document::DocumentId;
use crate::engine::document_map::{FileId, Location};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{File, Fs, OpenMode, read_exact_at};
use crate::engine::journal::{Body, RESERVED, Tail, TipSlot, classify_tail, journal_path, without_room};

/// What recovery found.
pub struct Recovered {
    pub state: State,
    pub journal: Arc<dyn File>,
    pub warnings: Vec<(WarningCode, String)>,
}

/// How far journals are read.
#[derive(Clone, Copy)]
pub enum Until {
    /// To the last good line, cutting what is torn: nobody else has the database open.
    End { tip: Option<TipSlot>, boot_id: u128 },
    /// To the tip: others may be writing.
    Tip(TipSlot),
    /// To the last good line, changing nothing: the directory is read-only.
    LastGoodLine,
}

/// Reads the journals of a database. `None` if it has none yet.
pub fn recover(
    fs: &dyn Fs,
    directory: &Path,
    until: Until,
    mutant: impl Fn(Mutant) -> bool,
) -> Result<Option<Recovered>> {
    let mode = match until {
        Until::End { .. } => OpenMode::ReadWrite,
        Until::Tip(_) | Until::LastGoodLine => OpenMode::Read,
    };
    let mut warnings = Vec::new();
    let generations = list_generations(fs, directory)?;
    let mut chain = match until {
        Until::Tip(slot) => vec![
            open_generation(fs, directory, slot.generation, OpenMode::ReadWrite)?
                .ok_or_else(|| bad_header(directory, slot.generation))?,
        ],
        Until::End { .. } | Until::LastGoodLine => {
            match newest(fs, directory, &generations, until, &mut warnings)? {
                Some(newest) => vec![newest],
                None => return Ok(None),
            }
        }
    };
    // Older generations hold what the snapshots do not: go back as far as that may be.
    while let Some(newest) = chain.last()
        && newest.header.previous.is_some()
        && !covers_all_before(newest)
    {
        let generation = newest.header.generation - 1;
        if !generations.contains(&generation) {
            let path = journal_path(directory, generation);
            return Err(Error::corrupt(
                &path,
                0,
                "the journal is missing and the snapshots lack what it holds; restore a backup",
            ));
        }
        let Some(older) = open_generation(fs, directory, generation, mode)? else {
            return Err(bad_header(directory, generation));
        };
        check_link(&older, newest)?;
        chain.push(older);
    }
    chain.reverse();
    replay(fs, directory, chain, until, mutant, warnings).map(Some)
}

fn replay(
    fs: &dyn Fs,
    directory: &Path,
    chain: Vec<Generation>,
    until: Until,
    mutant: impl Fn(Mutant) -> bool,
    mut warnings: Vec<(WarningCode, String)>,
) -> Result<Recovered> {
    let (Some(oldest), Some(newest)) = (chain.first(), chain.last()) else {
        return Err(Error::corrupt(directory, 0, "no journal can be read; restore a backup"));
    };
    let oldest = oldest.header.generation;
    let mut files = FileTable::default();
    let add = |generation: &Generation| files.add(&*generation.path, Arc::clone(&generation.file));
    let ids: Vec<FileId> = chain.iter().map(add).collect();
    let journal = ids.last().copied().unwrap_or(FileId(0));
    let end = match until {
        Until::Tip(slot) => {
            let end = slot.end as usize;
            if newest.bytes.len() < end {
                return Err(Error::corrupt(
                    &newest.path,
                    newest.bytes.len() as u64,
                    "acknowledged batches are missing; restore a backup",
                ));
            }
            end
        }
        Until::End { .. } | Until::LastGoodLine => newest.bytes.len(),
    };
    let mut state = State {
        database: newest.header.database,
        format: newest.header.format,
        position: Position {
            generation: newest.header.generation,
            seq: newest.header.seq,
            end: newest.body_start as u64,
            checksum: newest.checksum,
            durable: newest.header.seq,
        },
        collections: HashMap::new(),
        catalog: newest.header.catalog.clone(),
        removed: newest.header.removed,
        recent: RecentChanges::default(),
        removals: Vec::new(),
        adoptions: BTreeSet::new(),
        files: Arc::new(files),
        journal,
    };
    let (mut renamed, mut removals) = (Vec::new(), Vec::new());
    let mut named = HashSet::new();
    let mut position = state.position;
    for (at, (generation, file)) in chain.iter().zip(ids).enumerate() {
        let last = at + 1 == chain.len();
        let stop = chain
            .get(at + 1)
            .and_then(|next| next.header.previous)
            .map_or(end, |previous| previous.end as usize);
        let mut lines = generation.lines(if last { end } else { stop });
        let mut open = |name: &str| {
            named.insert(name.to_owned());
            open_document(fs, directory, name).at("open", &directory.join(RESERVED).join(name))
        };
        let mut source = Source { directory, bytes: &generation.bytes, file, open: &mut open };
        for line in lines.by_ref() {
            apply(&mut state, &mut source, &line.body, last, &mut renamed, &mut removals)?;
            if last {
                position.durable = position.durable.max(line.body.durable);
            }
        }
        if last {
            position.seq = lines.seq;
            position.checksum = lines.checksum;
            position.end = lines.position as u64;
        }
    }
    state.position = position;
    if let Until::End { tip, boot_id } = until {
        settle_tail(
            fs,
            newest,
            &mut state.position,
            tip.filter(|tip| boot_id != 0 && tip.boot_id == boot_id),
            &mutant,
            &mut warnings,
        )?;
        repeat_removals(fs, directory, &state.catalog, state.removed, &removals)?;
        state.removals = removals;
        sweep(fs, directory, FRESH)?;
        sweep(fs, directory, SPOOL)?;
        remove_unnamed(fs, directory, oldest, &named)?;
        remove_stray(fs, directory, &state.catalog);
    } else if matches!(until, Until::Tip(_)) && (position.end as usize) < end {
        return Err(Error::corrupt(
            &newest.path,
            position.end,
            "an acknowledged batch is damaged; restore a backup",
        ));
    }
    let journal = Arc::clone(&newest.file);
    Ok(Recovered { state, journal, warnings })
}

/// Opens the file of a document. `None` if it is gone.
pub type Opener<'a> = dyn FnMut(&str) -> Result<Option<Arc<dyn File>>> + 'a;

/// Where the lines of a journal come from.
pub struct Source<'a> {
    /// Of the database.
    pub directory: &'a Path,
    pub bytes: &'a [u8],
    pub file: FileId,
    pub open: &'a mut Opener<'a>,
}

/// Takes one batch into a state in which nothing is loaded. `catalog` says whether its records of snapshots count: those
/// of older generations are in the header of the newest already. `renamed` collects the snapshots of the generation
/// that wait for the line which says that they are in place.
pub fn apply(
    state: &mut State,
    source: &mut Source<'_>,
    body: &Body<'_>,
    catalog: bool,
    renamed: &mut Vec<String>,
    removals: &mut Vec<(u64, String)>,
) -> Result<()> {
    for op in &body.ops {
        if let Some(path) = &op.remove {
            removals.push((body.seq, path.clone()));
        }
        if let Some(path) = &op.keep {
            removals.retain(|(_, removed)| !overlap(removed, path));
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
            renamed.push(path.clone());
        }
        if op.covered.is_some() && catalog {
            renamed.drain(..).for_each(|path| state.confirm_snapshot(&path));
        }
        let Some(path) = &op.collection else { continue };
        for (key, document) in &op.large {
            let file = (source.open)(&document.file)?;
            let location = document
                .location(state.add_document(source.directory.join(RESERVED).join(&document.file), file));
            let change = Change { location: Some(location), seq: body.seq, base: None };
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
            };
            let change = Change { location: Some(location), seq: body.seq, base: None };
            collection.note(DocumentId::from_key(key), change);
        }
        for key in &op.delete {
            let change = Change { location: None, seq: body.seq, base: None };
            collection.note(DocumentId::from_key(key), change);
        }
    }
    Ok(())
}

/// Whether the database in `directory`, which other processes may have open, has a collection in this file.
pub(in crate::engine) fn uses_collection(fs: &dyn Fs, directory: &Path, path: &str) -> Result<bool> {
    let Some(Recovered { state, .. }) = recover(fs, directory, Until::LastGoodLine, |_| false)? else {
        return Ok(false);
    };
    let known = state.catalog.get(path).is_some_and(|record| record.dropped.is_none());
    Ok(known || state.collections.get(path).is_some_and(|collection| collection.oldest_change().is_some()))
}

/// Cuts a torn tail and makes the uncertain lines durable: what was read may exist in memory only, when a sync of an
/// earlier life failed or never came.
fn settle_tail(
    fs: &dyn Fs,
    newest: &Generation,
    position: &mut Position,
    tip: Option<TipSlot>,
    mutant: &impl Fn(Mutant) -> bool,
    warnings: &mut Vec<(WarningCode, String)>,
) -> Result<()> {
    let path = &newest.path;
    let end = position.end as usize;
    let tail = classify_tail(&newest.bytes, newest.salt(), end, position.seq);
    // The machine still runs: what the tip covers cannot have been lost, only damaged.
    let covered = tip.is_some_and(|tip| tip.seq > position.seq && !tip.poisoned);
    if tail == Tail::Damaged || covered {
        return Err(Error::corrupt(path, position.end, "an acknowledged batch is damaged; restore a backup"));
    }
    if tail == Tail::Torn {
        let cut = &newest.bytes[end..];
        keep_cut(fs, path, position.generation, position.end, cut)?;
        newest.file.set_len(position.end).at("cut", path)?;
        if !mutant(Mutant::AppendAfterUnsyncedCut) {
            newest.file.sync_data().at("sync", path)?;
        }
        warnings.push((
            WarningCode::TailCut,
            format!(
                "{} bytes that were never acknowledged were cut from the end of {}; a copy lies beside it",
                cut.len(),
                path.display()
            ),
        ));
    }
    if !mutant(Mutant::ServeUnsyncedTail) {
        // Everything after the last line known durable; the header too, if no line knows it durable.
        let mut certain = 0;
        for line in newest.lines(end) {
            if line.body.seq > position.durable || position.durable <= newest.header.seq {
                break;
            }
            certain = line.end;
        }
        let uncertain = &newest.bytes[certain..end];
        newest.file.write_at(uncertain, certain as u64).at("rewrite the end of", path)?;
        newest.file.sync_data().at("sync", path)?;
        if let Some(parent) = path.parent() {
            fs.sync_dir(parent).at("sync directory", parent)?;
        }
        position.durable = position.seq;
    }
    Ok(())
}

/// Keeps bytes that are about to be cut. They are not needed for anything but a person's curiosity, so they are not
/// synced.
pub fn keep_cut(fs: &dyn Fs, journal: &Path, generation: u64, offset: u64, bytes: &[u8]) -> Result<()> {
    let copy = journal.with_file_name(format!("cut-{generation:012}-{offset}-{}", fs.now_ms()));
    match fs.open(&copy, OpenMode::CreateNew) {
        Ok(file) => file.write_at(bytes, 0).at("write", &copy),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io("create", &copy, &error)),
    }
}

/// How names of snapshots begin that are being written.
pub const FRESH: &str = "new-";

/// Removes what a checkpoint or a process that was cut short left behind: the files whose names begin so.
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

impl super::Database {
    pub(super) fn keep_cut_bytes(
        &self,
        journal: &dyn File,
        path: &Path,
        generation: u64,
        from: u64,
        to: u64,
    ) -> Result<()> {
        let mut bytes = vec![0; (to - from) as usize];
        read_exact_at(journal, &mut bytes, from).at("read", path)?;
        keep_cut(&*self.fs, path, generation, from, &without_room(bytes))
    }
}
