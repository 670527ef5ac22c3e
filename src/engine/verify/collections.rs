//! Examining one collection: its file, its record in the catalog, and its changes in the journals.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::journals::Journals;
use super::long_text::TextJudge;
use super::report::{CollectionReport, Problem, ProblemCode, Severity};
use crate::engine::cancel;
use crate::engine::checksum::FileHash;
use crate::engine::database::large_snapshot::LargeSnapshot;
use crate::engine::database::load::{is_known, scan};
use crate::engine::database::state::{Change, Content, matching};
use crate::engine::database::{
    collection_file,
    texts::{ReadFailure, read_pieces},
};
use crate::engine::document::DocumentId;
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::{FileBytes, FileKind, Fs, is_systems_own, list_if_there};
use crate::engine::index_set::{is_definition, is_definitions};
use crate::engine::journal::{CollectionRecord, Layout, SnapshotRecord};
use crate::engine::json;
use crate::engine::plain_file::read_file;
use crate::engine::snapshot::{Documents, Scanned, salvage, scan_map, scan_pieces};

/// The state of a collection's file.
pub enum FileState {
    /// There is none, and there should be none.
    Absent,
    /// It is as the engine left it.
    Known(SnapshotRecord),
    /// Another valid map: a person's edit, or damage that looks like one.
    Foreign,
    /// Not a valid map.
    Broken,
    /// The catalog knows a file, but it is missing or empty.
    Missing,
    /// What is in its place is not a file, but a directory, for example.
    Obstructed,
    /// There is one, but it cannot be read.
    Unreadable,
}

/// A collection, examined.
pub struct Examined {
    pub path: String,
    pub state: FileState,
    /// Size of the file.
    pub size: u64,
    pub bytes: FileBytes,
    /// The documents in the file; of several with one id, the last.
    pub scanned: BTreeMap<DocumentId, std::ops::Range<usize>>,
    pub documents: u64,
    pub problems: Vec<Problem>,
}

impl Examined {
    /// Returns whether to examine it again, because what looks wrong may be due to others that are writing.
    pub fn is_suspicious(&self) -> bool {
        !self.problems.is_empty()
    }

    pub fn report(&self) -> CollectionReport {
        CollectionReport { path: self.path.clone(), documents: self.documents, bytes: self.size }
    }

    /// Drops the content of the file and keeps the findings.
    pub fn forget(&mut self) {
        self.bytes = FileBytes::default();
        self.scanned = BTreeMap::new();
    }
}

/// Returns the collections that the journals know and that are not dropped.
pub fn known_collections(journals: &Journals) -> BTreeSet<String> {
    let state = &journals.state;
    let dropped = |path: &str| state.catalog.get(path).is_some_and(|record| record.dropped.is_some());
    let recorded = state.catalog.keys().filter(|path| !dropped(path)).cloned();
    recorded.chain(state.changed().map(|(path, _)| path.to_string())).collect()
}

/// Returns the dropped collections in whose place there is something that is not a file, so that they cannot be used.
pub fn obstructed_collections(fs: &dyn Fs, directory: &Path, journals: &Journals) -> Result<Vec<String>> {
    let mut obstructed = Vec::new();
    for (path, _) in journals.state.catalog.iter().filter(|(_, record)| record.dropped.is_some()) {
        let file = collection_file(directory, path);
        let found = fs.metadata(&file).at("look up", &file)?;
        if found.is_some_and(|found| found.kind != FileKind::File) {
            obstructed.push(path.clone());
        }
    }
    Ok(obstructed)
}

/// Returns what the journals changed in a collection after the sequence number `covers`.
pub fn changes(journals: &Journals, path: &str, covers: u64) -> BTreeMap<DocumentId, Change> {
    match journals.state.collections.get(path).map(|collection| &collection.content) {
        Some(Content::Unloaded(changes)) => changes
            .iter()
            .filter(|(_, change)| change.seq > covers)
            .map(|(id, &change)| (id.clone(), change))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// What to do about a file that is gone or damaged.
const RESTORE: &str = "restore it from a backup, or repair to keep what the journals have of it";

/// Whether the texts of a file that was examined are needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    Kept,
    Forgotten,
}

/// Like [`examine`], without texts; a file that cannot be read is a problem of its collection.
pub fn survey(fs: &dyn Fs, directory: &Path, path: &str, journals: &Journals) -> Result<Examined> {
    match examine(fs, directory, path, journals, Texts::Forgotten) {
        Err(error) => match Problem::unreadable(path, &error) {
            Some(problem) => examine_without_file(path, FileState::Unreadable, problem, journals),
            None => Err(error),
        },
        Ok(mut examined) => {
            examined.forget();
            Ok(examined)
        }
    }
}

/// Examines a collection.
///
/// # Errors
/// `IO_ERROR`, `ABORTED`.
pub fn examine(
    fs: &dyn Fs,
    directory: &Path,
    path: &str,
    journals: &Journals,
    texts: Texts,
) -> Result<Examined> {
    cancel::check()?;
    let file = collection_file(directory, path);
    if let Some(metadata) = fs.metadata(&file).at("look up", &file)?
        && metadata.kind != FileKind::File
    {
        let message =
            "what is in its place is not a file; move it elsewhere, then repair or restore a backup";
        let problem = Problem::new(ProblemCode::SnapshotDamaged, path, message);
        return examine_without_file(path, FileState::Obstructed, problem, journals);
    }
    if texts == Texts::Forgotten
        && let Some(examined) = examine_in_pieces(fs, &file, path, journals)?
    {
        return Ok(examined);
    }
    let bytes = read_file(fs, &file)?;
    let mut problems = Vec::new();
    let state = judge_file(path, journals.state.catalog.get(path), bytes.as_ref(), &mut problems);
    let bytes = bytes.unwrap_or_default();
    let scanned = find_documents(path, &state, &bytes, &mut problems);
    let scanned: BTreeMap<_, _> = scanned.into_iter().map(|Scanned { id, text }| (id, text)).collect();
    let mut examined = Examined {
        size: bytes.len() as u64,
        path: path.to_owned(),
        state,
        bytes,
        scanned,
        documents: 0,
        problems,
    };
    examined.check_documents(journals)?;
    Ok(examined)
}

/// Examines what the journals have of a collection whose file is of no use.
fn examine_without_file(
    path: &str,
    state: FileState,
    problem: Problem,
    journals: &Journals,
) -> Result<Examined> {
    let mut examined = Examined {
        path: path.to_owned(),
        state,
        size: 0,
        bytes: FileBytes::default(),
        scanned: BTreeMap::new(),
        documents: 0,
        problems: vec![problem],
    };
    examined.check_documents(journals)?;
    Ok(examined)
}

/// Determines the state of a collection's file from what the catalog records of it.
fn judge_file(
    path: &str,
    record: Option<&CollectionRecord>,
    bytes: Option<&FileBytes>,
    problems: &mut Vec<Problem>,
) -> FileState {
    let known = is_known(record);
    let dropped = record.is_some_and(|record| record.dropped.is_some());
    let mut note = |code, message: String| problems.push(Problem::new(code, path, message));
    let matched = bytes.and_then(|bytes| matching(record, FileHash::of(bytes)).cloned());
    match (bytes, matched) {
        (None, _) if known && !record.is_some_and(|record| record.absent) => {
            note(ProblemCode::SnapshotMissing, format!("the file is missing; {RESTORE}"));
            FileState::Missing
        }
        (None, _) => FileState::Absent,
        // A crash left the file of a dropped collection behind, or repeating its removal left an empty one.
        (Some(_), Some(_)) if dropped => FileState::Absent,
        (Some(bytes), None) if dropped && bytes.is_empty() => FileState::Absent,
        (Some(_), Some(record)) => FileState::Known(record),
        (Some(bytes), None) if known && bytes.is_empty() => {
            note(ProblemCode::SnapshotEmpty, format!("the file is empty; {RESTORE}"));
            FileState::Missing
        }
        (Some(bytes), None) => match scan_map(bytes) {
            Ok(_) if known => {
                let next = if is_definitions(path) {
                    "repair adopts it"
                } else {
                    "the next use adopts it (an index must be rebuilt)"
                };
                let message = format!(
                    "it is not the file that was written: a manual edit, or damage; {next}, restoring a backup undoes it"
                );
                note(ProblemCode::SnapshotChanged, message);
                FileState::Foreign
            }
            Ok(found) if holds_definitions(path, bytes, &found) => {
                let message = "definitions of indexes that this database does not know; repair adopts them";
                let problem = Problem::new(ProblemCode::NotAdopted, path, message);
                problems.push(problem.with_severity(Severity::Warning));
                FileState::Foreign
            }
            Ok(found) => {
                let message =
                    format!("a map of {} that has not been used yet; the first use adopts it", found.len());
                note(ProblemCode::NotAdopted, message);
                FileState::Foreign
            }
            Err(error) => {
                let whole = salvage(bytes).len();
                let message = format!(
                    "no valid JSON map ({}); {whole} whole documents can be saved from it",
                    error.problem
                );
                let code = if known { ProblemCode::SnapshotDamaged } else { ProblemCode::NotAdopted };
                problems.push(Problem::new(code, path, message).at(error.offset as u64));
                FileState::Broken
            }
        },
    }
}

/// Returns the documents of a file, in the order of the file.
fn find_documents(path: &str, state: &FileState, bytes: &[u8], problems: &mut Vec<Problem>) -> Vec<Scanned> {
    match state {
        FileState::Known(record) => match scan(bytes, record) {
            Ok(scanned) => {
                let duplicates = record.layout == Layout::Lines && !scanned.is_sorted_by(|a, b| a.id < b.id);
                if duplicates {
                    let message = "the documents are not in the order of their ids; repair writes it anew";
                    problems.push(Problem::new(ProblemCode::SnapshotDamaged, path, message));
                }
                scanned
            }
            Err(error) => {
                let message = format!("{}; {RESTORE}", error.problem);
                problems
                    .push(Problem::new(ProblemCode::SnapshotDamaged, path, message).at(error.offset as u64));
                Vec::new()
            }
        },
        FileState::Foreign => scan_map(bytes).unwrap_or_default(),
        FileState::Broken => salvage(bytes),
        FileState::Absent | FileState::Missing | FileState::Obstructed | FileState::Unreadable => Vec::new(),
    }
}

/// Examines a large file that is as the engine left it. Returns `None` for any other file.
fn examine_in_pieces(fs: &dyn Fs, file: &Path, path: &str, journals: &Journals) -> Result<Option<Examined>> {
    let record = journals.state.catalog.get(path);
    let Some(snapshot) = LargeSnapshot::open(fs, file, record)? else { return Ok(None) };
    let LargeSnapshot { file: opened, record, .. } = snapshot;
    let changed = changes(journals, path, record.covers);
    let mut documents = Judging { path, changed: &changed, current: None, found: 0, problems: Vec::new() };
    let (hash, laid_out) = scan_pieces(&*opened, file, &mut documents)?;
    if laid_out.is_err() || hash != record.hash {
        return Ok(None);
    }
    let Judging { found, problems, .. } = documents;
    let mut examined = Examined {
        path: path.to_owned(),
        size: record.size,
        state: FileState::Known(record),
        bytes: FileBytes::default(),
        scanned: BTreeMap::new(),
        documents: 0,
        problems,
    };
    examined.check_documents(journals)?;
    examined.documents += found;
    Ok(Some(examined))
}

/// Judges the documents of a file, except those that changed since it was written.
struct Judging<'a> {
    path: &'a str,
    changed: &'a BTreeMap<DocumentId, Change>,
    current: Option<(DocumentId, u64, TextJudge)>,
    found: u64,
    problems: Vec<Problem>,
}

impl Documents for Judging<'_> {
    fn begin(&mut self, id: DocumentId, offset: u64) {
        if !self.changed.contains_key(&id) {
            self.found += 1;
            self.current = Some((id, offset, TextJudge::default()));
        }
    }

    fn piece(&mut self, piece: &[u8]) {
        if let Some((_, _, judge)) = &mut self.current {
            judge.push(piece);
        }
    }

    fn end(&mut self) {
        if let Some((id, offset, judge)) = self.current.take() {
            let problem = |(code, text)| Problem::new(code, self.path, text).at(offset).of(&id);
            self.problems.extend(judge.finish(&id).map(problem));
        }
    }
}

impl Examined {
    /// Returns the sequence number up to which the file holds every batch, as far as the file can be relied on.
    pub fn covers(&self, journals: &Journals) -> u64 {
        match &self.state {
            FileState::Known(record) => record.covers,
            // For a dropped collection, the journals hold what came after the drop, even in the same batch.
            FileState::Missing | FileState::Absent | FileState::Obstructed => 0,
            _ => journals.state.covered_by_any(&self.path),
        }
    }

    /// Returns whether a change is newer than what the file holds. A change made by adopting an earlier form of an edited
    /// file is not.
    pub fn is_newer(&self, journals: &Journals, change: &Change) -> bool {
        let edited = matches!(self.state, FileState::Foreign | FileState::Broken);
        change.seq > self.covers(journals) && !(edited && journals.state.adoptions.contains(&change.seq))
    }

    fn check_documents(&mut self, journals: &Journals) -> Result<()> {
        let mut changes = changes(journals, &self.path, 0);
        changes.retain(|_, change| self.is_newer(journals, change));
        let unchanged = self.scanned.iter().filter(|(id, _)| !changes.contains_key(id));
        let mut found = 0;
        let mut problems = Vec::new();
        for (id, range) in unchanged {
            if found % cancel::STEP as u64 == 0 {
                cancel::check()?;
            }
            found += 1;
            let (text, path, offset) = (&self.bytes[range.clone()], &*self.path, range.start as u64);
            problems
                .extend(judge(id, text).map(|(code, text)| Problem::new(code, path, text).at(offset).of(id)));
        }
        for (id, change) in &changes {
            let Some(location) = &change.location else { continue };
            if found % cancel::STEP as u64 == 0 {
                cancel::check()?;
            }
            found += 1;
            let mut judge = TextJudge::default();
            let read = read_pieces(&journals.state.files, location, |piece| {
                judge.push(piece);
                Ok(())
            });
            match read {
                Ok(()) => problems.extend(
                    judge.finish(id).map(|(code, text)| Problem::new(code, &*self.path, text).of(id)),
                ),
                Err(failure) => {
                    let code = match failure {
                        ReadFailure::Changed => ProblemCode::DocumentDamaged,
                        ReadFailure::Io(_) => ProblemCode::Unreadable,
                    };
                    let message = format!("its text in the journal cannot be read: {failure}");
                    problems.push(Problem::new(code, &*self.path, message).of(id));
                }
            }
        }
        self.documents = found;
        self.problems.extend(problems);
        Ok(())
    }
}

/// Returns whether a file that the journals do not know holds definitions of indexes.
fn holds_definitions(path: &str, bytes: &[u8], found: &[Scanned]) -> bool {
    is_definitions(path) && found.iter().any(|found| is_definition(&bytes[found.text.clone()]))
}

/// Returns what is wrong with a document's text.
pub fn judge(id: &DocumentId, text: &[u8]) -> Option<(ProblemCode, String)> {
    if let Err(error) = json::check(text) {
        return Some((ProblemCode::DocumentDamaged, format!("no valid JSON: {}", error.problem)));
    }
    let own = json::get(text, "id")?;
    let named = if json::is_string(own) {
        json::unescape_lossy(own).into_owned()
    } else {
        String::from_utf8_lossy(own).into_owned()
    };
    (named != id.to_string()).then(|| {
        let message = format!("its own id is {named}; make the two agree in the file, or delete it");
        (ProblemCode::IdMismatch, message)
    })
}

/// Returns the JSON files in a database's directory, relative to it, and the files set aside. Skips folders of other
/// databases and those whose names begin with a dot, and does not follow symlinks.
pub fn files(fs: &dyn Fs, directory: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![(directory.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for name in list_if_there(fs, &folder).at("list", &folder)? {
            let path: PathBuf = folder.join(&name);
            let Some(metadata) = fs.symlink_metadata(&path).at("look up", &path)? else { continue };
            let relative = format!("{prefix}{name}");
            match metadata.kind {
                FileKind::Directory if !name.starts_with('.') && !is_systems_own(fs, &path) => {
                    let reserved = path.join(crate::engine::journal::RESERVED);
                    if fs.metadata(&reserved).at("look up", &reserved)?.is_none() {
                        folders.push((path, format!("{relative}/")));
                    }
                }
                FileKind::File if !name.starts_with('.') => found.push(relative),
                _ => {}
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}
